package sigma

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern"
)

func TestCompileHead(t *testing.T) {
	t.Parallel()
	r := mustCompile(t, `
title: A title
id: 929a690e-bef0-4204-a928-ef5e620d6fcc
name: short
status: Test
level: HIGH
description: words
author: [A, B]
license: MIT
date: 2021-03-03
modified: 2021/03/04
tags: attack.t1190
references:
  - https://example.org/a
  - https://example.org/b
falsepositives: [Scanners]
logsource:
  category: Webserver
  product: windows
  service: iis
  definition: ignored
fields: [x]
postern:
  level: 2
detection:
  sel: {F: a}
  condition: sel
`)
	got := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%v|%v|%v|%v", r.ID, r.Name, r.Title, r.Status, r.Level,
		r.Description, r.Author, r.License, r.Date, r.Modified, r.Tags, r.References, r.FalsePositives, r.LogSource)
	want := "929a690e-bef0-4204-a928-ef5e620d6fcc|short|A title|test|high|words|A, B|MIT|2021-03-03|2021/03/04|" +
		"[attack.t1190]|[https://example.org/a https://example.org/b]|[Scanners]|{webserver windows iis}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRefused says for every kind of bad rule where, of what kind and by which
// message it is refused. Detections start at line 5.
func TestRefused(t *testing.T) {
	t.Parallel()
	const head = "title: t\nlogsource: {category: x}\n"
	for _, c := range []struct {
		src  string
		line int
		kind postern.ProblemKind
		key  string
	}{
		{one("F|frobnicate: a"), 6, postern.Malformed, "modifier-unknown"},
		{one("F|: a"), 6, postern.Malformed, "modifier-unknown"},
		{one("F|expand: '%x%'"), 6, postern.Unsupported, "expand"},
		{one("F|i: a"), 6, postern.Malformed, "modifier-after-re"},
		{one("F|re|cidr: a"), 6, postern.Malformed, "modifier-clash"},
		{one("F|contains|re: a"), 6, postern.Malformed, "modifier-clash"},
		{one("F|re|startswith: a"), 6, postern.Malformed, "modifier-clash"},
		{one("F|contains|base64: a"), 6, postern.Malformed, "modifier-clash"},
		{one("F|cidr|cased: a"), 6, postern.Malformed, "modifier-clash"},
		{one("F|gt|lt: 1"), 6, postern.Malformed, "modifier-clash"},
		{one("F|cased|gt: 1"), 6, postern.Malformed, "modifier-clash"},
		{one("F|hour|minute: 1"), 6, postern.Malformed, "modifier-clash"},
		{one("F|base64|fieldref: G"), 6, postern.Malformed, "modifier-clash"},
		{one("'|gt': 1"), 6, postern.Malformed, "needs-field"},
		{one("'|exists': true"), 6, postern.Malformed, "needs-field"},
		{one("F|exists: maybe"), 6, postern.Malformed, "value-type"},
		{one("F|exists: [true, false]"), 6, postern.Malformed, "value-type"},
		{one("F|gt: many"), 6, postern.Malformed, "value-type"},
		{one("F|hour: noon"), 6, postern.Malformed, "value-type"},
		{one("F|cidr: 300.0.0.0/8"), 6, postern.Malformed, "value-type"},
		{one("F|cidr: '::ffff:0:0/90'"), 6, postern.Malformed, "value-type"},
		{one("F|fieldref: 1"), 6, postern.Malformed, "fieldref"},
		{one("F|fieldref: [A, B]"), 6, postern.Malformed, "fieldref"},
		{one("F: {a: b}"), 6, postern.Malformed, "value-shape"},
		{one("F: [[a]]"), 6, postern.Malformed, "value-shape"},
		{one("F: []"), 6, postern.Malformed, "no-values"},
		{one("F|contains: null"), 6, postern.Malformed, "null"},
		{one("F|all: [a, null]"), 6, postern.Malformed, "null"},
		{one("F|re: null"), 6, postern.Malformed, "null"},
		{one("F|base64: 'a*'"), 6, postern.Malformed, "base64-wildcard"},
		{one("F|base64offset: a"), 6, postern.Malformed, "base64-short"},
		{one("F|windash: '-a -b -c -d -e'"), 6, postern.Limit, "windash-many"},
		{one("F|re: 'a(?=b)'"), 6, postern.Unsupported, "regexp-lookaround"},
		{one("F|re: 'a(?!b)'"), 6, postern.Unsupported, "regexp-lookaround"},
		{one("F|re: '(?<=a)b'"), 6, postern.Unsupported, "regexp-lookaround"},
		{one("F|re: '(?<!a)b'"), 6, postern.Unsupported, "regexp-lookaround"},
		{one(`F|re: '(a)\1'`), 6, postern.Unsupported, "regexp-backreference"},
		{one("F|re: '(?>a)b'"), 6, postern.Unsupported, "regexp-bad"},
		{one("F|re: 'a++'"), 6, postern.Unsupported, "regexp-bad"},
		{one("F|re: '(a'"), 6, postern.Malformed, "regexp-bad"},
		{one("F|re: '((a{100}){100}){9}'"), 6, postern.Limit, "regexp-bad"},
		{one("F|re: '(.{900}|.{800}){1}.{900}.{900}.{900}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}(.{30}x{30}){30}'"),
			6, postern.Limit, "regexp-large"},
		{one("F|re: '" + strings.Repeat("a", maxRegexpBytes+1) + "'"), 6, postern.Limit, "regexp-large"},
		{ruleText("sel: {}\ncondition: sel"), 5, postern.Malformed, "selection-empty"},
		{ruleText("sel: [{}]\ncondition: sel"), 5, postern.Malformed, "selection-empty"},
		{ruleText("sel: ['']\ncondition: sel"), 5, postern.Malformed, "keyword-empty"},
		{ruleText("sel: []\ncondition: sel"), 5, postern.Malformed, "yaml"},
		{ruleText("sel: [a, {F: b}]\ncondition: sel"), 5, postern.Malformed, "yaml-kind"},
		{ruleText("sel: [[a]]\ncondition: sel"), 5, postern.Malformed, "yaml"},
		{ruleText("a: {F: b}\ncondition: a and b"), 6, postern.Malformed, "condition-dangling"},
		{ruleText("a: {F: b}\ncondition: 1 of b*"), 6, postern.Malformed, "condition-dangling"},
		{ruleText("_a: {F: b}\ncondition: 1 of them"), 6, postern.Malformed, "condition-dangling"},
		{ruleText("a: {F: b}\ncondition: A"), 6, postern.Malformed, "condition-dangling"},
		{ruleText("a: {F: b}\ncondition: a and"), 6, postern.Malformed, "condition-bad"},
		{ruleText("a: {F: b}\ncondition: (a"), 6, postern.Malformed, "condition-bad"},
		{ruleText("a: {F: b}\ncondition: a a"), 6, postern.Malformed, "condition-bad"},
		{ruleText("a: {F: b}\ncondition: ''"), 6, postern.Malformed, "condition-bad"},
		{ruleText("a: {F: b}\ncondition: a and and"), 6, postern.Malformed, "condition-bad"},
		{ruleText("a: {F: b}\ncondition: a | count() > 5"), 6, postern.Unsupported, "aggregation"},
		{ruleText("a: {F: b}\ntimeframe: 5m\ncondition: a"), 6, postern.Unsupported, "aggregation"},
		{ruleText("a: {F: b}\ncondition: " + strings.Repeat("(", 100) + "a" + strings.Repeat(")", 100)), 6, postern.Limit, "condition-large"},
		{ruleText("a: {F: b}\ncondition: " + strings.Repeat("not ", 100) + "a"), 6, postern.Limit, "condition-large"},
		{ruleText("a: {F: b}\ncondition: a" + strings.Repeat(" or a", maxConditionBytes)), 6, postern.Limit, "condition-large"},
		{ruleText("a: {F: b}"), 5, postern.Malformed, "missing"},
		{ruleText("a: {F: b}\ncondition: {a: b}"), 5, postern.Malformed, "missing"},
		{ruleText("a: {F: b, F: c}\ncondition: a"), 5, postern.Malformed, "duplicate"},
		{ruleText("a: {F: b}\na: {F: c}\ncondition: a"), 6, postern.Malformed, "duplicate"},
		{ruleText("a: &x {F: b}\nb: *x\ncondition: a"), 6, postern.Unsupported, "alias"},
		{ruleText("a: {? [k] : b}\ncondition: a"), 5, postern.Malformed, "key"},
		{head, 1, postern.Malformed, "missing"},
		{"title: t\ndetection: {a: {F: b}, condition: a}\n", 1, postern.Malformed, "missing"},
		{"logsource: {category: x}\ndetection: {a: {F: b}, condition: a}\n", 1, postern.Malformed, "missing"},
		{"title: t\nlogsource: {category: x}\ntaxonomy: ecs\ndetection: {a: {F: b}, condition: a}\n", 3, postern.Unsupported, "taxonomy"},
		{head + "correlation: {type: event_count}\n", 3, postern.Malformed, "is-correlation"},
		{head + "filter: {rules: [x]}\n", 3, postern.Unsupported, "is-filter"},
		{head + "action: global\n", 3, postern.Unsupported, "action"},
		{one("F: a") + "---\n" + one("F: b"), 8, postern.Malformed, "documents"},
		{"title: [\n", 1, postern.Malformed, "yaml"},
		{"a: b\n c: d\n", 2, postern.Malformed, "yaml-colon"},
		{"- a\n- b\n", 1, postern.Malformed, "not-a-map"},
		{"just text", 1, postern.Malformed, "not-a-map"},
		{"", 0, postern.Malformed, "not-a-map"},
		{one("F: " + strings.Repeat("[", 40) + strings.Repeat("]", 40)), 6, postern.Limit, "too-deep"},
		{strings.Repeat("#", MaxRuleBytes+1), 0, postern.Limit, "too-large"},
		{one("F|contains|windash: [" + strings.Repeat("-a -b -c -d,", 100) + "]"), 6, postern.Limit, "patterns-many"},
	} {
		short := c.src[:min(len(c.src), 300)]
		_, err := Compile([]byte(c.src), nil)
		if err == nil {
			t.Errorf("%s\nis loaded, want %s", short, c.key)
			continue
		}
		e := asError(t, err)
		if e.Line != c.line || e.Kind != c.kind || e.Reason.Key != "sigma."+c.key {
			t.Errorf("%s\ngot line %d, %s, %s (%v)\nwant line %d, %s, sigma.%s", short, e.Line, e.Kind, e.Reason.Key, e, c.line, c.kind, c.key)
		}
		if e.Line > 0 && !strings.Contains(e.Error(), fmt.Sprintf("line %d: ", e.Line)) {
			t.Errorf("%v does not name its line", e)
		}
	}
	_, err := Compile([]byte(one("F: a")), map[string]string{"failed": "not success"})
	if e := asError(t, err); e.Reason.Key != "sigma.condition-dangling" || !strings.Contains(e.Error(), `"failed"`) {
		t.Errorf("dangling extra condition: got %v", e)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	docs := Split([]byte("# comment\n---\ntitle: a\nb: |\n  ---x\n ---\n--- # second\n# nothing\n---\r\ncorrelation: x\n---"))
	var got []string
	for _, d := range docs {
		got = append(got, fmt.Sprintf("%d %v %q", d.Line, d.Correlation, d.Src))
	}
	want := []string{
		`1 false "---\ntitle: a\nb: |\n  ---x\n ---\n"`,
		`8 true "---\r\ncorrelation: x\n"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if docs := Split([]byte(one("F: a"))); len(docs) != 1 || docs[0].Line != 0 {
		t.Errorf("one document: got %+v", docs)
	}
}

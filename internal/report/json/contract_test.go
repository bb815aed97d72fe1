package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/report"
	"postern/internal/report/json"
	"postern/internal/report/reporttest"
)

// contract is every key that the document promises, written by hand from its
// specification, not taken from the types: key by key, what others may ask for.
// The value says what it is.
var contract = map[string]string{
	"schema": "string", "tool": "object", "status": "string", "hosts": "array", "problems": "array", "stats": "object",
	"tool.name": "string", "tool.version": "string", "tool.campaigns": "array", "tool.campaigns[]": "string",

	"hosts[].host": "string", "hosts[].build": "string", "hosts[].verdict": "object",
	"hosts[].verdict.level": "number", "hosts[].verdict.name": "string", "hosts[].verdict.title": "string",
	"hosts[].verdict.confidence": "string", "hosts[].verdict.conclusive": "boolean", "hosts[].verdict.summary": "string",
	"hosts[].verdict.next": "array", "hosts[].verdict.next[]": "string",

	"hosts[].campaigns": "array", "hosts[].campaigns[].name": "string", "hosts[].campaigns[].verdict": "object",
	"hosts[].campaigns[].verdict.level": "number", "hosts[].campaigns[].verdict.name": "string", "hosts[].campaigns[].verdict.title": "string",
	"hosts[].campaigns[].verdict.confidence": "string", "hosts[].campaigns[].verdict.conclusive": "boolean",
	"hosts[].campaigns[].verdict.summary": "string", "hosts[].campaigns[].verdict.next": "array",
	"hosts[].campaigns[].coverage": "array", "hosts[].campaigns[].coverage[].source": "string",
	"hosts[].campaigns[].coverage[].status": "string", "hosts[].campaigns[].coverage[].from": "string",
	"hosts[].campaigns[].coverage[].to": "string", "hosts[].campaigns[].coverage[].records": "number",
	"hosts[].campaigns[].coverage[].gaps": "array",

	"hosts[].findings": "array", "hosts[].findings[].id": "string", "hosts[].findings[].rule": "string",
	"hosts[].findings[].level": "number", "hosts[].findings[].title": "string", "hosts[].findings[].time": "string",
	"hosts[].findings[].cve": "array", "hosts[].findings[].cve[]": "string", "hosts[].findings[].confidence": "string",
	"hosts[].findings[].explain": "string", "hosts[].findings[].evidence": "array",
	"hosts[].findings[].evidence[].path": "string", "hosts[].findings[].evidence[].line": "number",
	"hosts[].findings[].evidence[].record": "number", "hosts[].findings[].evidence[].offset": "number",
	"hosts[].findings[].evidence[].sha256": "string", "hosts[].findings[].evidence[].excerpt": "string",
	"hosts[].findings[].entities":           "object",
	"hosts[].findings[].entities.client_ip": "string", "hosts[].findings[].entities.user_agent": "string",
	"hosts[].findings[].entities.url": "string", "hosts[].findings[].entities.file": "string",
	"hosts[].findings[].entities.file_sha256": "string", "hosts[].findings[].entities.account": "string",
	"hosts[].findings[].entities.shell_parameter": "string", "hosts[].findings[].entities.status": "string",

	"hosts[].incidents": "array", "hosts[].incidents[].id": "string", "hosts[].incidents[].level": "number",
	"hosts[].incidents[].first": "string", "hosts[].incidents[].last": "string",
	"hosts[].incidents[].findings": "array", "hosts[].incidents[].findings[]": "string",
	"hosts[].incidents[].story": "array", "hosts[].incidents[].story[]": "string",

	"hosts[].coverage": "array", "hosts[].coverage[].source": "string", "hosts[].coverage[].status": "string",
	"hosts[].coverage[].from": "string", "hosts[].coverage[].to": "string", "hosts[].coverage[].records": "number",
	"hosts[].coverage[].gaps": "array", "hosts[].coverage[].gaps[].from": "string", "hosts[].coverage[].gaps[].to": "string",

	"problems[].path": "string", "problems[].what": "string", "problems[].detail": "string",
	"stats.files": "number", "stats.bytes": "number", "stats.records": "number", "stats.elapsed_seconds": "number",
}

// sample gives the sample as one document, decoded without our types.
func sample(t *testing.T) map[string]any {
	t.Helper()
	loc := reporttest.Catalogue(t, "en")
	var b bytes.Buffer
	reporttest.Play(t, json.NewDocument(&b, report.Options{}, loc), loc)
	return decode(t, b.Bytes())
}

func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := stdjson.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func kind(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// walk calls see for every value with the keys that lead to it.
func walk(path string, v any, see func(path string, v any)) {
	if path != "" {
		see(path, v)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(strings.TrimPrefix(path+"."+k, "."), v[k], see)
		}
	case []any:
		for _, e := range v {
			walk(path+"[]", e, see)
		}
	}
}

func TestContractKeys(t *testing.T) {
	t.Parallel()
	doc := sample(t)
	counts := map[string]int{}
	walk("", doc, func(path string, v any) {
		counts[path]++
		if want, ok := contract[path]; ok && kind(v) != want {
			t.Errorf("%s is a %s, want a %s", path, kind(v), want)
		}
		if v == nil {
			t.Errorf("%s is null", path)
		}
	})
	for path := range contract {
		// A key stands in every object of its kind, not only in some.
		parent := path[:max(strings.LastIndex(path, "."), 0)]
		want := 1
		if parent != "" {
			want = counts[parent]
		}
		if strings.HasSuffix(path, "[]") {
			if counts[path] == 0 {
				t.Errorf("the sample has no %s", path)
			}
			continue
		}
		if counts[path] != want || want == 0 {
			t.Errorf("%s stands %d times, want %d", path, counts[path], want)
		}
	}
}

func TestContractValues(t *testing.T) {
	t.Parallel()
	doc := sample(t)
	if got := doc["schema"]; got != "postern.hunt/1" {
		t.Errorf("schema %v", got)
	}
	names := []string{"not-seen", "probed", "exploited", "privileged", "implanted", "used", "post-exploitation"}
	closed := map[string][]string{
		"status":                                 {"complete", "partial", "failed"},
		"hosts[].verdict.confidence":             {"low", "medium", "high"},
		"hosts[].findings[].confidence":          {"low", "medium", "high"},
		"hosts[].coverage[].status":              {"covered", "partial", "absent", "not-applicable"},
		"hosts[].campaigns[].coverage[].status":  {"covered", "partial", "absent", "not-applicable"},
		"problems[].what":                        {"truncated", "unreadable", "unsupported", "limit", "malformed", "encoding"},
		"hosts[].patched.state":                  {"yes", "no", "unknown", "ineffective"},
		"hosts[].mitigated.state":                {"yes", "no", "unknown", "ineffective"},
		"hosts[].campaigns[].verdict.confidence": {"low", "medium", "high"},
	}
	walk("", doc, func(path string, v any) {
		if words := closed[path]; words != nil && !slices.Contains(words, fmt.Sprint(v)) {
			t.Errorf("%s is %v, want one of %v", path, v, words)
		}
		last := path[strings.LastIndex(path, ".")+1:]
		if slices.Contains([]string{"time", "first", "last", "from", "to", "since", "started"}, last) && !strings.Contains(path, "i18n") {
			if s := v.(string); s != "" && (len(s) != len("2021-03-03T06:49:43.699Z") || s[19] != '.' || !strings.HasSuffix(s, "Z")) {
				t.Errorf("%s is %q, want RFC 3339 in UTC with milliseconds", path, s)
			}
		}
		if strings.HasSuffix(path, "verdict") {
			verdict := v.(map[string]any)
			if want := names[int(verdict["level"].(float64))]; verdict["name"] != want {
				t.Errorf("%s: level %v is called %v, want %s", path, verdict["level"], verdict["name"], want)
			}
		}
	})
}

// TestEmpty checks that a run with nothing in it still has every list.
func TestEmpty(t *testing.T) {
	t.Parallel()
	loc := reporttest.Catalogue(t, "en")
	var b bytes.Buffer
	f := report.NewFeed(json.NewDocument(&b, report.Options{}, loc), loc)
	if err := f.Start("0.1.0", postern.Instant{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Host(postern.Host{Findings: []postern.Finding{{Rule: "x/y"}}, Incidents: []postern.Incident{{}}, Campaigns: []postern.CampaignVerdict{{}}}); err != nil {
		t.Fatal(err)
	}
	if err := f.End(postern.Complete, postern.Stats{}); err != nil {
		t.Fatal(err)
	}
	doc := decode(t, b.Bytes())
	found := map[string]bool{}
	walk("", doc, func(path string, v any) {
		found[path] = true
		if v == nil {
			t.Errorf("%s is null", path)
		}
	})
	for path, what := range contract {
		if what == "array" && !found[path] && !strings.Contains(path, "coverage[]") {
			t.Errorf("%s is missing", path)
		}
	}
	for _, path := range []string{"hosts[].build", "hosts[].findings[].time", "hosts[].incidents[].first"} {
		if !found[path] {
			t.Errorf("%s is missing", path)
		}
	}
}

// TestRawText checks that a program gets what the evidence said.
func TestRawText(t *testing.T) {
	t.Parallel()
	want := strings.ReplaceAll(reporttest.Hostile, "\xff", `\xff`)
	found := false
	walk("", sample(t), func(path string, v any) {
		if path == "hosts[].findings[].evidence[].excerpt" && v == want {
			found = true
		}
	})
	if !found {
		t.Errorf("no excerpt is %q", want)
	}
}

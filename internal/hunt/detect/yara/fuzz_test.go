package yara

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// seedRules are texts that the fuzz targets begin with.
var seedRules = []string{
	"rule a { condition: true }",
	"import \"pe\"\nrule a : T { meta: score = -1 strings: $a = \"x\\x00\" wide xor(1-3) $b = { 0? [1-] ~11 ( 22 | 33 ?? ) } $c = /a(b|c){2,3}$/is condition: 2 of them or $a at 0 or #b in (0..9) > 1 }",
	"private global rule a { condition: filesize > 1KB and uint16(0) == 0x5a4d }\nrule b { condition: a and for any i in (1..3) : (uint8(i) == 0x41) }",
	"include \"a.yar\"\n/* { */ rule a { strings: $ = \"}\" condition: for all of them : ($ at 0) } // }",
	"rule a { condition: }\nrule b { condition: any of (a*) }\nrule c { condition: not defined pe.x }",
}

// FuzzLoad asks of any file of rules: each rule is loaded or reported with its file, a
// rule that stands behind it is not lost, and loading again gives the same.
func FuzzLoad(f *testing.F) {
	for _, s := range seedRules {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		load := func() (*Rules, *Report) {
			return Load([]Source{{FS: fstest.MapFS{"f.yar": {Data: []byte(text)}}, Path: "f.yar"}})
		}
		rules, report := load()
		refused := 0
		for _, u := range report.Unsupported {
			if u.Rule != "" {
				refused++
			}
			if u.File != "f.yar" && u.File == "" || u.Why.IsZero() {
				t.Errorf("a complaint without its place or reason: %+v", u)
			}
		}
		if report.Loaded != rules.Len() || report.Loaded+refused != report.Rules {
			t.Errorf("%d rules: %d loaded, %d in the set, %d refused", report.Rules, report.Loaded, rules.Len(), refused)
		}
		if _, again := load(); !slices.Equal(said(again), said(report)) {
			t.Errorf("loaded twice: %q and %q", said(report), said(again))
		}
		if !strings.ContainsAny(text, "\"/{}") {
			set, _ := Load([]Source{{FS: fstest.MapFS{"f.yar": {Data: []byte(text + "\nrule the_very_last { condition: true }")}}, Path: "f.yar"}})
			if !slices.ContainsFunc(set.rules, func(r *rule) bool { return r.meta.Rule == "the_very_last" }) && !strings.Contains(text, "the_very_last") {
				t.Errorf("the rule behind %q was lost", text)
			}
		}
	})
}

// FuzzScan asks of any rules and any file: guards and gates change nothing, and
// the bounds hold.
func FuzzScan(f *testing.F) {
	for _, s := range seedRules {
		f.Add(s, []byte("MZ x\x00 abcab <?php ab"))
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		if len(text) > 1<<12 || len(data) > 1<<12 {
			return
		}
		rules, _ := Load([]Source{{FS: fstest.MapFS{"f.yar": {Data: []byte(text)}}, Path: "f.yar"}})
		ctx, cancel := context.WithTimeout(t.Context(), maxTime)
		defer cancel()
		in := input{data: data, size: int64(len(data)), known: [5]bool{true, true, true, true, true}}
		start := time.Now()
		gated := rules.scan(ctx, rules.newScratch(), &in)
		if d := time.Since(start); d > maxTime+maxTime/2 {
			t.Errorf("took %v", d)
		}
		plain := rules.scanPlain(ctx, rules.newScratch(), &in)
		if len(gated.over)+len(plain.over) > 0 || gated.budget || plain.budget || gated.timeout || plain.timeout {
			return // cut at different places
		}
		if !slices.Equal(gated.matched, plain.matched) {
			t.Errorf("with gates %v, without %v", gated.matched, plain.matched)
		}
	})
}

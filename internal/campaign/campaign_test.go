package campaign_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
)

// small is a pack with one of everything.
const small = `
-- campaign.yaml --
format: 1
name: small
version: 3
product: exchange
title: {en: Small, es: Pequeña}
about: {en: Something happened., es: Algo pasó.}
cves: [CVE-2021-26855, CVE-2021-27065]
first_known_use: 2021-01-03
window:
  from: {time: 2021-02-26T00:00:00Z, because: {en: It began., es: Empezó.}}
  to: {time: 2021-03-15, because: {en: It ended., es: Terminó.}}
levels:
  not-seen: {en: L0, es: N0}
  probed: {en: L1, es: N1}
  exploited: {en: L2, es: N2}
  privileged: {en: L3, es: N3}
  implanted: {en: L4, es: N4}
  used: {en: L5, es: N5}
  post-exploitation: {en: L6, es: N6}
sources:
  - name: httpproxy
    required: true
    lifetime_days: 30
    quiet_hours: 2
    collect: {en: Copy it., es: Cópielo.}
next:
  not-seen: [patch]
  probed: []
  exploited: [look, patch]
  privileged: [look]
  implanted: [look]
  used: [look]
  post-exploitation: [look]
-- guidance/en.yaml --
patch: Install the update.
look: Look again.
-- guidance/es.yaml --
patch: Instale la actualización.
look: Mire otra vez.
-- rules/a.yml --
# remarks before the first rule
title: First
id: 11111111-1111-1111-1111-111111111111
description: What the author says.
author: Somebody
license: DRL 1.1
references: [https://example.org/1]
tags: [attack.t1190]
logsource: {product: exchange, service: httpproxy}
detection:
  page: {UrlStem: /a}
  success: {HttpStatus: 200}
  condition: page
falsepositives: [none]
level: high
postern:
  id: first
  title: {en: The first, es: La primera}
  means: {en: It was so., es: Fue así.}
  level: 2
  confidence: high
  cves: [CVE-2021-26855]
  tags: [ssrf]
  downgrade:
    - when: not success
      level: probed
      confidence: medium
      because: {en: It failed., es: Falló.}
  entities: {client_ip: ClientIp, url: UrlStem}
  next: [patch]
---
title: Second, by somebody else
id: 22222222-2222-2222-2222-222222222222
name: second_by_name
description: It keeps its own words.
logsource: {category: webserver}
detection:
  selection: {cs-uri-stem: /b}
  condition: selection
postern: {id: second, level: used, confidence: low, entities: {client_ip: c-ip}}
---
title: Both
correlation:
  type: temporal_ordered
  rules: [first, second_by_name]
  group-by: [client_ip]
  timespan: 10m
postern:
  id: both
  title: {en: Both of them, es: Las dos}
  means: {en: One after the other., es: Una tras otra.}
  level: 5
  confidence: high
-- indicators/sources.csv --
source,title
S1,First source
S2,"Second, with a comma"
-- indicators/sha256.csv --
value,note,source,first_seen
B75F163CA9B9240BF4B37AD92BC7556B40A17E27C2B8ED5C8991385FE07D17D0,web shell,S1 S2,2021-03
-- indicators/file-name.csv --
value,place,note,source
Help.aspx,owa/auth,,S1
-- indicators/domain.csv --
value,source
evil[.]example,S2
-- README.md --
Not read.
`

// files makes a pack named "small" of a text archive, with some of its text
// exchanged: each pair is old and new.
func files(t testing.TB, archive string, pairs ...string) fstest.MapFS {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.Count(archive, pairs[i]) != 1 {
			t.Fatalf("%q stands %d times in the archive, want once", pairs[i], strings.Count(archive, pairs[i]))
		}
		archive = strings.Replace(archive, pairs[i], pairs[i+1], 1)
	}
	fsys := make(fstest.MapFS)
	for _, f := range txtar.Parse([]byte(archive)).Files {
		fsys["small/"+f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return fsys
}

func load(t testing.TB, fsys fs.FS) *campaign.Pack {
	t.Helper()
	p, err := campaign.Load(fsys, "small")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoad(t *testing.T) {
	t.Parallel()
	p := load(t, files(t, small))
	if p.Name != "small" || p.Version != 3 || p.Product != "exchange" || p.Facts.Name != "exchange" {
		t.Errorf("head: got %q %d %q", p.Name, p.Version, p.Product)
	}
	window := postern.Window{
		From: time.Date(2021, 2, 26, 0, 0, 0, 0, time.UTC), FromReason: postern.Say("small.window.from"),
		To: time.Date(2021, 3, 15, 0, 0, 0, 0, time.UTC), ToReason: postern.Say("small.window.to"),
	}
	if diff := cmp.Diff(window, p.Window); diff != "" {
		t.Errorf("window (-want +got):\n%s", diff)
	}
	sources := []postern.Source{{Name: "httpproxy", Required: true, LifetimeDays: 30, QuietHours: 2, Collect: postern.Say("small.source.httpproxy.collect")}}
	if diff := cmp.Diff(sources, p.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if len(p.Rules) != 2 || len(p.Sequences) != 1 {
		t.Fatalf("got %d rules and %d sequences, want 2 and 1", len(p.Rules), len(p.Sequences))
	}
	first := campaign.RuleDoc{
		Rule: postern.Rule{ID: "small/first", Campaign: "small", Title: postern.Say("small/first.title"), Means: postern.Say("small/first.means"),
			Level: postern.Exploited, Confidence: postern.High, CVE: []string{"CVE-2021-26855"}, Tags: []string{"attack.t1190", "ssrf"},
			References: []string{"https://example.org/1"}, Author: "Somebody", Licence: "DRL 1.1"},
		Where: campaign.Where{File: "small/rules/a.yml", Line: 2}, Sources: []string{"httpproxy"},
		Downgrade: []campaign.Downgrade{{When: "not success", Level: postern.Probed, Confidence: postern.Medium, Because: postern.Say("small/first.because.1")}},
		Entities:  map[string]string{"client_ip": "ClientIp", "url": "UrlStem"},
		Next:      []postern.Text{postern.Say("small.guidance.patch")},
	}
	got := p.Rules[0]
	if !bytes.Contains(got.Sigma, []byte("title: First")) || bytes.Contains(got.Sigma, []byte("Second")) {
		t.Errorf("the document of the first rule is\n%s", got.Sigma)
	}
	got.Sigma = nil
	if diff := cmp.Diff(first, got); diff != "" {
		t.Errorf("first rule (-want +got):\n%s", diff)
	}
	second := p.Rules[1]
	if second.Title.Args["text"] != "Second, by somebody else" || second.Means.Args["text"] != "It keeps its own words." || second.Level != postern.Used || second.Line != 32 || second.Sources[0] != "iis" {
		t.Errorf("second rule: got %+v", second)
	}
	sequence := p.Sequences[0]
	if !sequence.Ordered || sequence.Timespan != 10*time.Minute || sequence.ID != "small/both" || sequence.Line != 42 ||
		!slices.Equal(sequence.Rules, []string{"small/first", "small/second"}) || !slices.Equal(sequence.GroupBy, []string{"client_ip"}) {
		t.Errorf("sequence: got %+v", sequence)
	}
	indicators := []postern.Indicator{
		{Kind: postern.IndicatorDomain, Value: "evil.example", Source: "Second, with a comma", Campaign: "small"},
		{Kind: postern.IndicatorFileName, Value: "Help.aspx", Place: "owa/auth", Source: "First source", Campaign: "small"},
		{Kind: postern.IndicatorSHA256, Value: "b75f163ca9b9240bf4b37ad92bc7556b40a17e27c2b8ed5c8991385fe07d17d0", Note: "web shell",
			Source: "First source; Second, with a comma", FirstSeen: time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC), Campaign: "small"},
	}
	if diff := cmp.Diff(indicators, p.Indicators); diff != "" {
		t.Errorf("indicators (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]postern.Text{postern.Say("small.guidance.look"), postern.Say("small.guidance.patch")}, p.Guidance[postern.Exploited]); diff != "" {
		t.Errorf("guidance (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"small.title": "Pequeña", "small.level.4": "N4", "small.window.to": "Terminó.", "small.source.httpproxy.collect": "Cópielo.",
		"small/first.title": "La primera", "small/first.because.1": "Falló.", "small.guidance.look": "Mire otra vez.", "small/both.means": "Una tras otra.",
	} {
		if got := p.Messages("es")[key]; got != want {
			t.Errorf("message %s: got %q, want %q", key, got, want)
		}
	}
}

// TestMistakes breaks the small pack in one place at a time. Each mistake must be
// reported at its place, alone, and readably in every language.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "version: 3", "version: 3\nversoin: 4", "campaign.yaml:4 campaign.unknown-key"},
		{"key twice", "version: 3", "version: 3\nversion: 4", "campaign.yaml:4 campaign.key-twice"},
		{"format of the future", "format: 1", "format: 2", "campaign.yaml:1 campaign.unsupported-format"},
		{"no format", "format: 1\n", "", "campaign.yaml:1 campaign.missing-key"},
		{"wrong name", "name: small", "name: large", "campaign.yaml:2 campaign.wrong-name"},
		{"no such product", "version: 3\nproduct: exchange", "version: 3\nproduct: fax", "campaign.yaml:4 campaign.unknown-product"},
		{"version that is none", "version: 3", "version: new", "campaign.yaml:3 campaign.not-a-number"},
		{"missing language", "{en: Small, es: Pequeña}", "{en: Small}", "campaign.yaml:5 campaign.missing-language"},
		{"unknown language", "{en: Small, es: Pequeña}", "{en: Small, es: Pequeña, fr: Petite}", "campaign.yaml:5 campaign.unknown-key"},
		{"text that is none", "{en: Small, es: Pequeña}", "Small", "campaign.yaml:5 campaign.not-a-mapping"},
		{"text too long", "{en: Small, es:", "{en: " + strings.Repeat("long ", 2000) + ", es:", "campaign.yaml:5 campaign.text-too-long campaign.yaml:5 campaign.missing-language"},
		{"no required source", "required: true", "required: false", "campaign.yaml:21 campaign.no-required-source"},
		{"unknown CVE", "CVE-2021-27065]", "CVE-2021-99999]", "campaign.yaml:7 campaign.unknown-cve"},
		{"bad date", "first_known_use: 2021-01-03", "first_known_use: 03.01.2021", "campaign.yaml:8 campaign.bad-date"},
		{"time without zone", "2021-02-26T00:00:00Z", "2021-02-26T00:00:00", "campaign.yaml:10 campaign.bad-date"},
		{"window backwards", "2021-02-26T00:00:00Z", "2021-03-26T00:00:00Z", "campaign.yaml:10 campaign.window-backwards"},
		{"used after the window began", "first_known_use: 2021-01-03", "first_known_use: 2021-03-03", "campaign.yaml:8 campaign.use-after-window"},
		{"no reason", "time: 2021-03-15, because: {en: It ended., es: Terminó.}", "time: 2021-03-15", "campaign.yaml:11 campaign.missing-key"},
		{"missing level", "  used: {en: L5, es: N5}\n", "", "campaign.yaml:13 campaign.missing-key"},
		{"unknown level", "  used: {en: L5, es: N5}", "  gone: {en: L5, es: N5}", "campaign.yaml:13 campaign.missing-key campaign.yaml:18 campaign.unknown-key"},
		{"unknown source", "name: httpproxy", "name: htttpproxy", "campaign.yaml:21 campaign.unknown-source"},
		{"unknown step", "exploited: [look, patch]", "exploited: [look, pray]", "campaign.yaml:29 campaign.unknown-step"},
		{"step in one language", "patch: Install the update.\n", "patch: Install the update.\nmore: More.\n", "guidance/en.yaml:2 campaign.missing-language"},
		{"empty step", "look: Look again.", "look: ''", "guidance/en.yaml:2 campaign.empty"},
		{"not YAML", "look: Look again.", "look: 'again", "guidance/en.yaml:2 campaign.not-yaml"},
		{"rule with unknown key", "falsepositives: [none]", "falsepositive: [none]", "rules/a.yml:14 campaign.unknown-key"},
		{"rule without title", "title: First\n", "", "rules/a.yml:2 campaign.missing-key"},
		{"rule without condition", "  condition: page\n", "", "rules/a.yml:11 campaign.missing-key"},
		{"rule for a log nobody reads", "service: httpproxy", "service: httproxy", "rules/a.yml:9 campaign.unknown-source"},
		{"rule without additions", "postern: {id: second, level: used, confidence: low, entities: {client_ip: c-ip}}\n", "", "rules/a.yml:32 campaign.no-additions rules/a.yml:44 campaign.no-entity"},
		{"id that is none", "id: first\n", "id: The First\n", "rules/a.yml:17 campaign.bad-word rules/a.yml:45 campaign.unknown-rule"},
		{"id twice", "id: second,", "id: first,", "rules/a.yml:40 campaign.rule-twice"},
		{"Sigma id twice", "22222222-2222-2222-2222-222222222222", "11111111-1111-1111-1111-111111111111", "rules/a.yml:33 campaign.twice"},
		{"bad level", "level: used, confidence", "level: 7, confidence", "rules/a.yml:40 campaign.bad-level"},
		{"bad confidence", "confidence: low,", "confidence: sure,", "rules/a.yml:40 campaign.bad-confidence"},
		{"unknown CVE in a rule", "cves: [CVE-2021-26855]\n", "cves: [CVE-2021-1]\n", "rules/a.yml:22 campaign.unknown-cve"},
		{"downgrade that raises", "level: probed", "level: 3", "rules/a.yml:26 campaign.no-downgrade"},
		{"downgrade without a reason", "      because: {en: It failed., es: Falló.}\n", "", "rules/a.yml:25 campaign.missing-key"},
		{"unknown step in a rule", "next: [patch]\n---", "next: [pray]\n---", "rules/a.yml:30 campaign.unknown-step"},
		{"dangling rule", "rules: [first, second_by_name]", "rules: [first, third]", "rules/a.yml:45 campaign.unknown-rule"},
		{"one rule is no sequence", "rules: [first, second_by_name]", "rules: [first]", "rules/a.yml:45 campaign.too-few-rules"},
		{"group by what is not there", "group-by: [client_ip]", "group-by: [url]", "rules/a.yml:45 campaign.no-entity"},
		{"bad time span", "timespan: 10m", "timespan: ten", "rules/a.yml:47 campaign.bad-timespan"},
		{"endless time span", "timespan: 10m", "timespan: 9999999d", "rules/a.yml:47 campaign.bad-timespan"},
		{"correlation of another type", "type: temporal_ordered", "type: value_count", "rules/a.yml:44 campaign.unknown-correlation"},
		{"sequence with entities", "  id: both\n", "  id: both\n  entities: {a: b}\n", "rules/a.yml:50 campaign.not-in-sequence"},
		{"reference", "page: {UrlStem: /a}\n  success: {HttpStatus: 200}", "page: &p {UrlStem: /a}\n  success: *p", "rules/a.yml:12 campaign.alias rules/a.yml:45 campaign.unknown-rule"},
		{"nesting", "page: {UrlStem: /a}", "page: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "rules/a.yml:11 campaign.too-deep rules/a.yml:45 campaign.unknown-rule"},
		{"rule that is a list", "title: Both\n", "- title: Both\n---\ntitle: Both\n", "rules/a.yml:42 campaign.not-a-mapping rules/a.yml:42 campaign.no-additions"},
		{"short hash", "D5C8991385FE07D17D0,web", "D5C8991385FE07D17D,web", "indicators/sha256.csv:2 campaign.bad-hash"},
		{"hash that is none", "B75F163C", "Z75F163C", "indicators/sha256.csv:2 campaign.bad-hash"},
		{"hash of the product", "B75F163CA9B9240BF4B37AD92BC7556B40A17E27C2B8ED5C8991385FE07D17D0", "98fc3aa73175d6d55c4ee6ae8daa0acc721d792b14df26b0cd39bbb13cb23d95", "indicators/sha256.csv:2 campaign.known-good"},
		{"row too wide", "Help.aspx,owa/auth,,S1", "Help.aspx,owa/auth,,S1,x", "indicators/file-name.csv:2 campaign.row-width"},
		{"quotation mark", "Help.aspx,owa/auth,,S1", "Help.aspx,\"owa/auth,,S1", "indicators/file-name.csv:2 campaign.broken-row"},
		{"row twice", "Help.aspx,owa/auth,,S1", "Help.aspx,owa/auth,,S1\nhelp.ASPX,owa/auth,,S1", "indicators/file-name.csv:3 campaign.twice"},
		{"place with a drive", "Help.aspx,owa/auth,,S1", `Help.aspx,C:\owa,,S1`, "indicators/file-name.csv:2 campaign.bad-place"},
		{"name with a folder", "Help.aspx,owa/auth,,S1", `auth/Help.aspx,owa,,S1`, "indicators/file-name.csv:2 campaign.bad-place"},
		{"unknown source of a row", "evil[.]example,S2", "evil[.]example,S3", "indicators/domain.csv:2 campaign.unknown-citation"},
		{"no source of a row", "evil[.]example,S2", "evil[.]example,", "indicators/domain.csv:2 campaign.empty"},
		{"domain that is none", "evil[.]example,S2", "http://evil,S2", "indicators/domain.csv:2 campaign.bad-domain"},
		{"bad month", "S1 S2,2021-03", "S1 S2,2021-13", "indicators/sha256.csv:2 campaign.bad-date"},
		{"missing column", "value,source\nevil", "worth,source\nevil", "indicators/domain.csv:1 campaign.unknown-column indicators/domain.csv:1 campaign.missing-column"},
		{"no rows at all", "value,source\nevil[.]example,S2\n", "", "indicators/domain.csv:1 campaign.no-header"},
		{"unknown kind", "-- indicators/domain.csv --", "-- indicators/colour.csv --", "indicators/colour.csv campaign.unknown-indicators"},
		{"rule in a folder that is not read", "-- README.md --", "-- rules/more/b.yml --", "rules/more/b.yml campaign.unknown-file"},
		{"missing file", "-- indicators/sources.csv --\nsource,title\nS1,First source\nS2,\"Second, with a comma\"\n", "", "indicators/domain.csv:2 campaign.unknown-citation " +
			"indicators/file-name.csv:2 campaign.unknown-citation indicators/sha256.csv:2 campaign.unknown-citation indicators/sha256.csv:2 campaign.unknown-citation " +
			"indicators/sources.csv campaign.missing-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := campaign.LoadWithFacts(t, files(t, small, c.old, c.new), "small")
			errs := mistakes(t, err)
			var got []string
			for _, e := range errs {
				place := strings.TrimPrefix(e.File, "small/")
				if e.Line > 0 {
					place += fmt.Sprint(":", e.Line)
				}
				got = append(got, place+" "+e.What.Key)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got  %s\nwant %s\n%v", s, c.want, err)
			}
		})
	}
}

// mistakes checks that an error is a list of mistakes that people can read.
func mistakes(t testing.TB, err error) campaign.Errors {
	t.Helper()
	var errs campaign.Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("got %v, want campaign.Errors", err)
	}
	for _, e := range errs {
		if e.File == "" {
			t.Errorf("no file: %v", e)
		}
		for _, c := range catalogues(t) {
			if !c.Has(e.What.Key) {
				t.Errorf("%s has no message %s", c.Lang(), e.What.Key)
			}
			if s := c.Say(e.What); strings.Contains(s, "{") && !strings.Contains(fmt.Sprint(e.What.Args), "{") {
				t.Errorf("%s: an argument is missing: %s", e.What.Key, s)
			}
		}
	}
	return errs
}

// loaded is the catalogues of all languages.
var loaded = sync.OnceValues(func() (list []*catalogue.Catalogue, err error) {
	for _, lang := range catalogue.Languages {
		c, err := catalogue.Load(lang)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
})

func catalogues(t testing.TB) []*catalogue.Catalogue {
	t.Helper()
	list, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLanguagesAreThoseOfTheCatalogues(t *testing.T) {
	t.Parallel()
	if !slices.Equal(campaign.Languages, catalogue.Languages) {
		t.Errorf("got %q, want %q", campaign.Languages, catalogue.Languages)
	}
}

func TestAllMistakesAtOnceUpToABound(t *testing.T) {
	t.Parallel()
	_, err := campaign.Load(files(t, small, "version: 3", "versoin: 3", "look: Look again.", "", "evil[.]example,S2", "evil[.]example,S9"), "small")
	if got := len(mistakes(t, err)); got < 3 {
		t.Errorf("got %d mistakes, want all of them:\n%v", got, err)
	}
	rows := strings.Repeat("not a domain,S2\n", 5000)
	_, err = campaign.Load(files(t, small, "evil[.]example,S2\n", rows), "small")
	errs := mistakes(t, err)
	if len(errs) != 101 || !slices.ContainsFunc(errs, func(e campaign.Error) bool { return e.What.Key == "campaign.too-many" }) {
		t.Errorf("got %d mistakes, want 100 and one that says so", len(errs))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	huge := files(t, small)
	huge["small/rules/big.yml"] = &fstest.MapFile{Data: make([]byte, 5<<20), Mode: 0o644}
	_, err := campaign.Load(huge, "small")
	if errs := mistakes(t, err); errs[0].What.Key != "campaign.file-too-large" || errs[0].File != "small/rules/big.yml" {
		t.Errorf("got %v, want campaign.file-too-large", err)
	}
	many := files(t, small)
	for i := range 10_001 {
		many[fmt.Sprintf("small/rules/%d.yml", i)] = &fstest.MapFile{Mode: 0o644}
	}
	_, err = campaign.Load(many, "small")
	if !slices.ContainsFunc(mistakes(t, err), func(e campaign.Error) bool { return e.What.Key == "campaign.too-many-files" }) {
		t.Errorf("got %v, want campaign.too-many-files", err)
	}
	link := files(t, small)
	link["small/rules/link.yml"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink | 0o777}
	_, err = campaign.Load(link, "small")
	if errs := mistakes(t, err); errs[0].What.Key != "campaign.not-a-file" {
		t.Errorf("got %v, want campaign.not-a-file", err)
	}
}

func TestLoadDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, f := range files(t, small) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := campaign.Find(filepath.Join(dir, "small"))
	if err != nil || p.Name != "small" || len(p.Rules) != 2 {
		t.Fatalf("got %v, %v", p, err)
	}
	// The folder may have any name, dot files belong to others, and messages name
	// the file as the user can open it.
	renamed := filepath.Join(dir, "renamed")
	if err := os.Rename(filepath.Join(dir, "small"), renamed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(renamed, ".editor"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := campaign.LoadDir(renamed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(renamed, "rules", "b.yml"), []byte("title: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = campaign.LoadDir(renamed)
	if errs := mistakes(t, err); errs[0].File != filepath.ToSlash(renamed)+"/rules/b.yml" {
		t.Errorf("got file %q, want the path that was given", errs[0].File)
	}
	for _, name := range []string{"nonesuch", filepath.Join(dir, "nonesuch"), filepath.Join(renamed, "campaign.yaml")} {
		_, err := campaign.Find(name)
		mistakes(t, err)
	}
}

func TestCheckReportsWhatTheEngineRefuses(t *testing.T) {
	t.Parallel()
	p := load(t, files(t, small))
	var seen []string
	err := campaign.Check(p, func(sigma []byte, conditions map[string]string) error {
		for _, name := range slices.Sorted(maps.Keys(conditions)) {
			seen = append(seen, name+"="+conditions[name])
		}
		if bytes.Contains(sigma, []byte("Second")) {
			return errors.New("line 5: no such modifier")
		}
		return nil
	})
	errs := mistakes(t, err)
	if len(errs) != 1 || errs[0].What.Key != "campaign.rule-broken" || errs[0].Line != 32 || errs[0].What.Args["rule"] != "small/second" {
		t.Errorf("got %v", err)
	}
	// The pack's own conditions, then those of its product's rules.
	if len(seen) < 2 || seen[0] != "downgrade.1=not success" || !slices.Contains(seen, "downgrade.3=not sent and not arguments") {
		t.Errorf("conditions: got %q", seen)
	}
	if err := campaign.Check(p, func([]byte, map[string]string) error { return nil }); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// What is built in must be whole, in both languages, and free of what AV products
// delete repositories for; the loader checks the rest.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	packs, err := campaign.BuiltIn()
	if err != nil {
		t.Fatalf("a built-in pack is broken:\n%v", err)
	}
	if got := campaign.Names(); len(packs) != len(got) || !slices.Contains(got, "proxylogon") {
		t.Fatalf("got %d packs of %q", len(packs), got)
	}
	for _, p := range packs {
		for _, text := range texts(p) {
			if text.Key == postern.VerbatimKey {
				t.Errorf("%s: %q stands in one language only", p.Name, text.Args["text"])
			}
			for _, lang := range campaign.Languages {
				if p.Messages(lang)[text.Key] == "" {
					t.Errorf("%s: %s is missing in %s", p.Name, text.Key, lang)
				}
			}
		}
		for level, steps := range p.Guidance {
			if len(steps) == 0 {
				t.Errorf("%s: nothing to do at level %d", p.Name, level)
			}
		}
	}
}

func TestProxyLogonIndicators(t *testing.T) {
	t.Parallel()
	p, err := campaign.Find("proxylogon")
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[postern.IndicatorKind]int)
	for _, i := range p.Indicators {
		count[i.Kind]++
		if i.Source == "" {
			t.Errorf("%s has no source", i.Value)
		}
		if y := i.FirstSeen.Year(); !i.FirstSeen.IsZero() && y != 2021 {
			t.Errorf("%s was first seen in %d: a later campaign's", i.Value, y)
		}
	}
	want := map[postern.IndicatorKind]int{"sha256": 34, "sha1": 23, "file-name": 104, "path": 8, "url": 4,
		"address": 46, "user-agent": 14, "parameter": 4, "domain": 10}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("indicators a kind (-want +got):\n%s", diff)
	}
	// A stock page of a folder is no sign of anything in that folder.
	for _, i := range p.Indicators {
		for _, s := range p.Facts.Stock {
			if i.Kind == postern.IndicatorFileName && (i.Place == s.Place || i.Place == "") && strings.EqualFold(i.Value, s.Name) {
				t.Errorf("%s in %q is a page of the product", i.Value, s.Place)
			}
		}
	}
}

// texts gives every text that a pack holds.
func texts(p *campaign.Pack) []postern.Text {
	all := []postern.Text{p.Title, p.About, p.Window.FromReason, p.Window.ToReason}
	all = append(all, p.Levels[:]...)
	for _, s := range p.Sources {
		all = append(all, s.Collect)
	}
	for _, steps := range p.Guidance {
		all = append(all, steps...)
	}
	for _, r := range p.Rules {
		all = append(all, r.Title, r.Means)
		all = append(all, r.Next...)
		for _, d := range r.Downgrade {
			all = append(all, d.Because)
		}
	}
	for _, s := range p.Sequences {
		all = append(all, s.Title, s.Means)
	}
	return all
}

// FuzzLoad asks of any pack: it is refused with mistakes that people can read and
// find, or everything it refers to is there.
func FuzzLoad(f *testing.F) {
	seed := files(f, small)
	part := func(name string) string { return string(seed["small/"+name].Data) }
	f.Add(part("campaign.yaml"), part("guidance/es.yaml"), part("rules/a.yml"), part("indicators/file-name.csv"))
	f.Add(part("campaign.yaml"), "patch: x\nlook: y", strings.ReplaceAll(part("rules/a.yml"), "\n", "\r\n"), "\ufeffvalue,source\na.aspx,S1")
	f.Add(part("campaign.yaml"), part("guidance/es.yaml"), "--- {title: x}\n...\n---\n"+part("rules/a.yml"), "value,source\n#a\n\"")
	f.Fuzz(func(t *testing.T, head, guidance, rules, indicators string) {
		fsys := maps.Clone(seed)
		for name, text := range map[string]string{"campaign.yaml": head, "guidance/es.yaml": guidance, "rules/a.yml": rules, "indicators/file-name.csv": indicators} {
			fsys["small/"+name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		}
		p, err := campaign.LoadWithFacts(t, fsys, "small")
		if err != nil {
			mistakes(t, err)
			return
		}
		for _, text := range texts(p) {
			for _, lang := range campaign.Languages {
				if text.Key != postern.VerbatimKey && p.Messages(lang)[text.Key] == "" {
					t.Errorf("%s is missing in %s", text.Key, lang)
				}
			}
		}
		ids := make(map[string]bool)
		for _, r := range p.Rules {
			if ids[r.ID] || len(r.Sources) == 0 || !r.Level.Valid() || r.Confidence == postern.Unsaid {
				t.Errorf("rule %+v is not whole", r.Rule)
			}
			ids[r.ID] = true
			data, _ := fs.ReadFile(fsys, r.File)
			if !bytes.Contains(data, r.Sigma) || r.Line < 1 || r.Line > bytes.Count(data, []byte("\n"))+1 {
				t.Errorf("rule %s is not at %s", r.ID, r.Where)
			}
			for _, d := range r.Downgrade {
				if d.Level > r.Level {
					t.Errorf("rule %s is raised", r.ID)
				}
			}
		}
		for _, s := range p.Sequences {
			if ids[s.ID] || len(s.Rules) < 2 || s.Timespan <= 0 || slices.ContainsFunc(s.Rules, func(id string) bool { return !ids[id] }) {
				t.Errorf("sequence %+v is not whole", s)
			}
		}
	})
}

func BenchmarkBuiltIn(b *testing.B) {
	for b.Loop() {
		if _, err := campaign.BuiltIn(); err != nil {
			b.Fatal(err)
		}
	}
}

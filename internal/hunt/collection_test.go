package hunt

import (
	"strings"
	"testing"
)

func TestHostOfNotes(t *testing.T) {
	t.Parallel()
	for note, want := range map[string]string{
		`{"Hostname":"EX01","Fqdn":"ex01.contoso.example"}`:                         "EX01",
		`{"client_id":"C.1","os_info":{"hostname":"EX01","fqdn":"ex01.x.example"}}`: "EX01",
		`{"client_info":{"fqdn":"ex01.contoso.example"}}`:                           "ex01.contoso.example",
		`{"Hostname":"EX01","OS":"windows"}` + "\n" + `{"Hostname":"EX02"}`:         "EX01",
		`{"session_id":"F.1"}`: "",
		`["EX01"]`:             "",
		`{"Hostname":5}`:       "",
		`{"Hostname":"EX`:      "",
		"":                     "",
	} {
		if got := hostOfJSON(strings.NewReader(note)); got != want {
			t.Errorf("%s: got %q, want %q", note, got, want)
		}
	}
	for note, want := range map[string]string{
		"[2021-03-12 09:00:00 | INF] System info: Machine name: EX01, 64-bit: True\r\n": "EX01",
		"Machine name: EX01":     "",
		"nothing about any name": "",
	} {
		if got := hostOfConsole(strings.NewReader(note)); got != want {
			t.Errorf("%s: got %q, want %q", note, got, want)
		}
	}
}

func TestNameCollections(t *testing.T) {
	t.Parallel()
	groups := grouped(0, "- a/C/inetpub/logs/x.log", "EX02 b/C/inetpub/logs/x.log", "- b/vss/D/inetpub/logs/x.log", "- c/C/inetpub/logs/x.log", "= a/D/inetpub/wwwroot/x.aspx")
	other := grouped(1, "- a/C/inetpub/logs/x.log")
	nameCollections(append(groups, other...), []collected{
		{0, "a", "EX01.contoso.example", 1}, {0, "a", "EX01", 3}, // the plainer note counts
		{0, "b", "OLDNAME", 3}, // the logs' own words count more
	})
	got := make(map[string]string)
	for _, g := range groups {
		got[g.prefix] = g.host
	}
	for prefix, want := range map[string]string{"a": "EX01", "b": "EX02", "c": ""} {
		if got[prefix] != want {
			t.Errorf("%s: got %q, want %q", prefix, got[prefix], want)
		}
	}
	if other[0].host != "" {
		t.Errorf("a collection of one input names a host of another: %q", other[0].host)
	}
}

func TestReportPrefix(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]string{
		"Test-ProxyLogonLogs/EX01-Cve-2021-26855.csv":  "EX01",
		"Test-ProxyLogonLogs/EX-01-Cve-2021-27065.log": "EX-01",
		"EX01-other.csv":                                     "EX01",
		"x/EX01.contoso.example-LogAgeDays.csv":              "EX01.contoso.example",
		"x/Cve-2021-26855.csv":                               "",
		"x/EX01-Cve-2021-26855.csv/a.csv":                    "",
		"C/inetpub/wwwroot/aspnet_client/x-another-list.csv": "",
	} {
		if _, got, _ := reportPrefix(p); got != want {
			t.Errorf("%s: got %q, want %q", p, got, want)
		}
	}
}

// A name that is given stands in the note, and fits where names go.
func FuzzNotes(f *testing.F) {
	f.Add(`{"Hostname":"EX01","os_info":{"fqdn":"x"}}`)
	f.Add("Machine name: EX01, 64-bit: True")
	f.Fuzz(func(t *testing.T, note string) {
		if got := hostOfConsole(strings.NewReader(note)); !strings.Contains(note, got) || strings.ContainsAny(got, " ,\n") {
			t.Errorf("%q: got %q", note, got)
		}
		if got := hostOfJSON(strings.NewReader(note)); got != strings.TrimSpace(got) {
			t.Errorf("%q: got %q", note, got)
		}
		_ = secondHand([]byte(note))
		if prefix, host, ok := reportPrefix(note); ok && !strings.HasSuffix(prefix, host) {
			t.Errorf("%q: got %q of %q", note, host, prefix)
		}
	})
}

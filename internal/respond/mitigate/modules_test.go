package mitigate

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
)

const cacheModule = `<add name="TokenCacheModule" image="%windir%\System32\inetsrv\cachtokn.dll" />`

// A module goes with its line and nothing else does, whatever the file looks like.
func TestWithoutModules(t *testing.T) {
	t.Parallel()
	list := func(inside string) string {
		return "<configuration>\n  <!-- é " + strings.ReplaceAll(cacheModule, "--", "") + " -->\n  <system.webServer>\n    <globalModules>" + inside +
			"</globalModules>\n    <modules><add name=\"TokenCacheModule\" type=\"X\" /></modules>\n  </system.webServer>\n</configuration>\n"
	}
	const other = `<add name="HttpCacheModule" image="cachhttp.dll" />`
	for _, tc := range []struct{ name, before, after string }{
		{"a line of its own", "\n      " + other + "\n      " + cacheModule + "\n      " + other + "\n    ", "\n      " + other + "\n      " + other + "\n    "},
		{"between others", other + cacheModule + other, other + other},
		{"the only one", "\n\t" + cacheModule + "\n    ", "\n    "},
		{"with a remark behind it", "\n  " + cacheModule + " <!-- ours -->\n", "\n   <!-- ours -->\n"},
		{"twice, and not empty", "\n  <add name='tokencachemodule' image='x'></add>\n  " + other + "\n  " + cacheModule + "\n", "\n  " + other + "\n"},
		{"over two lines", "\n  <add name=\"TokenCacheModule\"\n    image=\"x\" />\n  " + other + "\n", "\n  " + other + "\n"},
	} {
		for _, e := range encodings {
			for _, eol := range []string{"\n", "\r\n"} {
				write := func(s string) string { return string(e.write(strings.ReplaceAll(list(s), "\n", eol))) }
				out, err := withoutModules([]byte(write(tc.before)), []string{"TokenCacheModule"})
				if err != nil || string(out) != write(tc.after) {
					t.Errorf("%s, %s, %q: %v\n got %q\nwant %q", tc.name, e.name, eol, err, out, write(tc.after))
				}
			}
		}
	}
	for _, tc := range []struct{ name, text, why string }{
		{"not there", list(other), "mitigate.no.module-place"},
		{"in a place of its own", "<configuration><location path=\"\"><system.webServer><globalModules>" + cacheModule + "</globalModules></system.webServer></location></configuration>", "mitigate.no.module-place"},
		{"in another file", "<configuration><system.webServer><globalModules configSource=\"m.config\" /></system.webServer></configuration>", "mitigate.no.external"},
		{"broken", "<configuration><system.webServer><globalModules>" + cacheModule + "</system.webServer></configuration>", "mitigate.no.xml.nesting"},
	} {
		out, err := withoutModules([]byte(tc.text), []string{"TokenCacheModule"})
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != tc.why || out != nil {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.why)
		}
	}
}

// It is planned, applied, then in force, and comes back byte for byte. Where something
// still asks for the module nothing is changed: IIS would answer with errors.
func TestModuleTakenOutAndPutBack(t *testing.T) {
	t.Parallel()
	with := plainServer("<globalModules>\n", "<globalModules>\n      "+cacheModule+"\n")
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"loaded", map[string]string{serverFile: with, webFile: plainWeb}, "planned"},
		{"not loaded", map[string]string{serverFile: plainServer(), webFile: plainWeb}, "in-force"},
		{"without any site", map[string]string{serverFile: strings.NewReplacer("Exchange Server", "Other").Replace(with)}, "planned"},
		{"asked for by a site", map[string]string{serverFile: with, webFile: `<configuration><system.webServer><modules><add name="TokenCacheModule" /></modules></system.webServer></configuration>`}, "cannot-be config.why.module-wanted"},
		{"no applicationHost.config", map[string]string{webFile: plainWeb}, "cannot-be config.why.no-server-config"},
		{"broken", map[string]string{serverFile: strings.Replace(with, "</sites>", "", 1)}, "cannot-be mitigate.no.xml.nesting"},
	} {
		files := make(map[string][]byte)
		for name, text := range tc.files {
			files[name] = []byte(text)
		}
		l := lay(t, files)
		before := l.tree(t)
		p := l.planOf(t, tokenCache)
		if got := rulesOf(p)["token-cache"]; got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if (tc.want == "planned") != (len(p.Changes) == 1) {
			t.Errorf("%s: %d changes", tc.name, len(p.Changes))
			continue
		}
		if _, err := l.Apply(p.Changes); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if again := l.planOf(t, tokenCache); len(again.Changes) > 0 || tc.want == "planned" && rulesOf(again)["token-cache"] != "in-force" {
			t.Errorf("%s: planning again: %v", tc.name, rulesOf(again))
		}
		if _, err := l.Rollback(); err != nil || !maps.Equal(before, l.tree(t)) {
			t.Errorf("%s: rollback does not restore: %v", tc.name, err)
		}
	}
}

// FuzzWithoutModules asks of any bytes: are they either refused, or is what comes out
// sound, without the module, and the same bytes with pieces taken out of them?
func FuzzWithoutModules(f *testing.F) {
	for _, e := range encodings {
		f.Add(e.write(plainServer("<globalModules>\n", "<globalModules>\r\n\t"+cacheModule+"\r\n")))
		f.Add(e.write(plainServer("<globalModules>", "<globalModules>"+cacheModule+"<!-- "+cacheModule+" -->"+cacheModule)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			t.Skip("larger inputs only cost the fuzzer time")
		}
		out, err := withoutModules(raw, []string{"TokenCacheModule"})
		if err != nil {
			return
		}
		d, err := open(out)
		if err != nil {
			t.Fatalf("the result does not parse: %v\n%q", err, out)
		}
		for _, n := range below(below(below([]*node{d.root}, "system.webServer"), "globalModules"), "add") {
			if name, _ := d.get(n, "name"); strings.EqualFold(name, "TokenCacheModule") {
				t.Fatalf("the module is still there:\n%q", out)
			}
		}
		rest := raw // out is what is left of raw
		for _, b := range out {
			i := bytes.IndexByte(rest, b)
			if i < 0 {
				t.Fatalf("other bytes are changed:\n%q\n%q", raw, out)
			}
			rest = rest[i+1:]
		}
		if len(out) >= len(raw) {
			t.Fatalf("%d bytes became %d", len(raw), len(out))
		}
	})
}

package clean

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/respond"
)

const shell = "frontend/httpproxy/owa/auth/x.aspx"

func hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// lay writes files below a new folder and opens it.
func lay(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(full, time.Unix(1614700000, 5000), time.Unix(1614700001, 123456789)); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func keeper(t *testing.T, root *os.Root) *Keeper {
	t.Helper()
	return &Keeper{Root: root, Folder: open(t, t.TempDir()), Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Now: time.Now}
}

func page(name, content string) Named {
	return Named{Kind: Page, Finding: "f1", Rule: "files/webshell", Level: postern.Implanted, Path: name, SHA256: hash(content), Server: shell}
}

// all confirms everything.
func all(moves []Move) (map[string]bool, error) {
	yes := make(map[string]bool)
	for _, m := range moves {
		yes[m.Path] = true
	}
	return yes, nil
}

func plan(t *testing.T, root *os.Root, named ...Named) *Plan {
	t.Helper()
	p, err := Make(root, named, all)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(moves []Move) []string {
	var list []string
	for _, m := range moves {
		list = append(list, m.Path)
	}
	return list
}

func read(t *testing.T, root *os.Root, name string) string {
	t.Helper()
	b, err := root.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A hunt may have read a folder above the root, an archive, or a folder in it.
func TestFindsBelowTheRoot(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"C/web/x.aspx": "one"})
	for name, want := range map[string]string{
		"C/web/x.aspx":                      "C/web/x.aspx",
		"case/EX01/C/web/x.aspx":            "C/web/x.aspx",
		"all.zip!/EX01/C/web/x.aspx":        "C/web/x.aspx",
		"a.zip!/b.zip!/C/web/x.aspx":        "C/web/x.aspx",
		"C/web/other.aspx":                  "",
		"C/web/x.aspx/below-a-file.aspx":    "",
		"../C/web/x.aspx":                   "",
		"/C/web/x.aspx":                     "",
		"C/../C/web/x.aspx":                 "",
		"":                                  "",
		".":                                 "",
		"a.zip!/../../C/web/x.aspx":         "",
		strings.Repeat("a/", 5000) + "x":    "",
		"C/web/" + strings.Repeat("a", 300): "",
	} {
		p := plan(t, root, page(name, "one"))
		got := ""
		if len(p.Moves) == 1 {
			got = p.Moves[0].Path
		}
		if got != want {
			t.Errorf("%.60q: got %q, want %q", name, got, want)
		}
		if len(p.Moves)+len(p.Left)+len(p.Gone) != 1 {
			t.Errorf("%.60q: not said what became of it: %+v", name, p)
		}
	}
}

func TestLeavesWhatMustStay(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"web/x.aspx": "now another", "web/web.config": "c", "logs/u_ex.log": "l",
		"windows/system32/config/SOFTWARE": "h", "owa/auth/logon.aspx": "s", "ok.aspx": "ok"})
	stock := page("owa/auth/logon.aspx", "s")
	stock.Kind = Stock
	setting := Named{Kind: Setting, Path: "web/web.config", Line: 7, Excerpt: "<add name=…>"}
	p, err := Make(root, []Named{page("web/x.aspx", "then"), page("web/web.config", "c"), page("logs/u_ex.log", "l"),
		page("windows/system32/config/SOFTWARE", "h"), stock, setting, page("ok.aspx", "ok")},
		func([]Move) (map[string]bool, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Moves) != 0 || len(p.Gone) != 0 {
		t.Errorf("would move %v, gone %v", paths(p.Moves), p.Gone)
	}
	got := make(map[string][]string)
	for _, l := range p.Left {
		got[l.Path] = append(got[l.Path], l.Why.Key)
	}
	for name, want := range map[string]string{"web/x.aspx": "clean.left.changed", "web/web.config": "clean.left.kind", "logs/u_ex.log": "clean.left.kind",
		"windows/system32/config/SOFTWARE": "clean.left.kind", "owa/auth/logon.aspx": "clean.left.stock", "ok.aspx": "clean.left.unconfirmed"} {
		if !slices.Contains(got[name], want) {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if !slices.ContainsFunc(p.Left, func(l Left) bool { return l.Kind == Setting && l.Line == 7 && l.Excerpt == setting.Excerpt }) {
		t.Errorf("the setting is not said with its line: %+v", p.Left)
	}
}

// Links lead nowhere, inside of the root or out of it, on the way or at the end.
func TestFollowsNoLink(t *testing.T) {
	t.Parallel()
	outside := lay(t, map[string]string{"x.aspx": "one"})
	root := lay(t, map[string]string{"real/x.aspx": "one"})
	for link, to := range map[string]string{"out": outside.Name(), "in": "real", "x.aspx": "real/x.aspx", "up": "..", "abs.aspx": filepath.Join(outside.Name(), "x.aspx")} {
		if err := root.Symlink(to, link); err != nil {
			t.Skip("no links here: ", err)
		}
	}
	for _, name := range []string{"out/x.aspx", "in/x.aspx", "x.aspx", "abs.aspx", "up/real/x.aspx", "in/../real/x.aspx"} {
		p := plan(t, root, page(name, "one"))
		if got := paths(p.Moves); len(got) > 0 && !(len(got) == 1 && got[0] == "real/x.aspx") {
			t.Errorf("%s: would move %v", name, got)
		}
		if len(p.Moves) == 0 && len(p.Left) != 1 {
			t.Errorf("%s: got %+v", name, p)
		}
	}
	// A folder that becomes a link between plan and move.
	p := plan(t, root, page("real/x.aspx", "one"))
	if err := errors.Join(root.Rename("real", "was"), root.Symlink(outside.Name(), "real")); err != nil {
		t.Fatal(err)
	}
	m, err := keeper(t, root).Apply(p, Facts{})
	if err != nil || m.Items[0].State != Kept || m.Items[0].Why != "clean.left.link" {
		t.Errorf("got %+v, %v", m.Items[0], err)
	}
	if read(t, outside, "x.aspx") != "one" {
		t.Error("a file out of the root was touched")
	}
}

// A library that other pages need stays; without others it goes, with its sources.
func TestCompiledFormsGoWithTheirPage(t *testing.T) {
	t.Parallel()
	note := func(virtual, assembly string) string {
		return "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<preserve resultType=\"3\" virtualPath=\"" + virtual + "\" assembly=\"" + assembly + "\"/>"
	}
	files := map[string]string{
		"web/x.aspx":            "one",
		"tmp/x.aspx.1.compiled": note("/owa/auth/x.aspx", "App_Web_a"), "tmp/App_Web_a.dll": "lib a", "tmp/App_Web_a.0.cs": "source", "tmp/App_Web_ab.dll": "other",
		"two/x.aspx.2.compiled": note("/owa/auth/x.aspx", "App_Web_b"), "two/App_Web_b.dll": "lib b", "two/logon.aspx.3.compiled": note("/owa/auth/logon.aspx", "app_web_b"),
		"three/App_Web_c.dll": "lib c", "three/broken.aspx.4.compiled": "<preserve virtualPath=",
	}
	root := lay(t, files)
	named := []Named{page("web/x.aspx", "one")}
	for _, name := range []string{"tmp/x.aspx.1.compiled", "tmp/App_Web_a.dll", "two/x.aspx.2.compiled", "two/App_Web_b.dll", "three/App_Web_c.dll"} {
		named = append(named, Named{Kind: Compiled, Path: name, SHA256: hash(files[name]), Page: shell, Rule: "files/compiled-library"})
	}
	p := plan(t, root, named...)
	want := []string{"tmp/App_Web_a.0.cs", "tmp/App_Web_a.dll", "tmp/x.aspx.1.compiled", "two/x.aspx.2.compiled", "web/x.aspx"}
	got := paths(p.Moves)
	if last := got[len(got)-1]; last != "web/x.aspx" {
		t.Errorf("the last is %s; the page has to be, so that a killed run can be taken up", last)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	why := make(map[string]string)
	for _, l := range p.Left {
		why[l.Path] = l.Why.Key
	}
	if why["two/App_Web_b.dll"] != "clean.left.shared" || why["three/App_Web_c.dll"] != "clean.left.unreadable" {
		t.Errorf("left: %v", why)
	}
	// Without its page nothing compiled is moved.
	if p := plan(t, root, named[1:]...); len(p.Moves) != 0 || len(p.Left) != 5 {
		t.Errorf("without the page: %+v", p)
	}
}

func TestMovesAndRestores(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"web/x.aspx": "one", "web/ro.aspx": "two", "web/stays.aspx": "three"})
	if err := errors.Join(root.Chmod("web/ro.aspx", 0o444), root.Chtimes("web", time.Time{}, time.Unix(1600000000, 0))); err != nil {
		t.Fatal(err)
	}
	look := func() map[string]string {
		all := make(map[string]string)
		for _, name := range []string{"web", "web/x.aspx", "web/ro.aspx", "web/stays.aspx"} {
			if info, err := root.Lstat(name); err == nil {
				all[name] = info.Mode().String() + info.ModTime().String()
			}
		}
		return all
	}
	before := look()
	k := keeper(t, root)
	m, err := k.Apply(plan(t, root, page("web/x.aspx", "one"), page("web/ro.aspx", "two")), Facts{Host: "EX01", Preserved: Preserved{Refused: "drill"}})
	if err != nil || m.Count(Moved) != 2 {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got := look(); got["web"] != before["web"] || len(got) != 2 {
		t.Errorf("after the move: %v", got)
	}
	for _, i := range m.Items {
		info, err := k.Folder.Lstat(m.Run + "/" + i.Stored)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0 {
			t.Errorf("%s: got %v, %v", i.Stored, info, err)
		}
		if path.Ext(i.Stored) != suffix {
			t.Errorf("%s would run under this name", i.Stored)
		}
	}
	m, err = k.Load(m.Run)
	if err != nil || m.Preserved.Refused != "drill" {
		t.Fatalf("got %+v, %v", m, err)
	}
	if err := errors.Join(k.CheckRestore(m), k.Restore(m)); err != nil {
		t.Fatal(err)
	}
	for name, want := range before {
		if got := look()[name]; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if read(t, root, "web/x.aspx") != "one" || m.Count(Restored) != 2 {
		t.Errorf("got %q, %+v", read(t, root, "web/x.aspx"), m)
	}
}

// Nothing is put back if one of the files cannot be.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(k *Keeper, m *Manifest) error
		want  string
	}{
		"changed in quarantine": {func(k *Keeper, m *Manifest) error {
			_ = k.Folder.Chmod(m.Run+"/"+m.Items[0].Stored, 0o600)
			return k.Folder.WriteFile(m.Run+"/"+m.Items[0].Stored, []byte("zero"), 0o600)
		}, "clean.no.altered"},
		"taken":     {func(k *Keeper, m *Manifest) error { return k.Folder.Remove(m.Run + "/" + m.Items[0].Stored) }, "clean.no.lost"},
		"came back": {func(k *Keeper, _ *Manifest) error { return k.Root.WriteFile("web/x.aspx", []byte("new"), 0o600) }, "clean.no.again"},
		"no folder": {func(k *Keeper, _ *Manifest) error { return k.Root.RemoveAll("web") }, "clean.no.folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := lay(t, map[string]string{"web/x.aspx": "one", "b/y.aspx": "two"})
			k := keeper(t, root)
			m, err := k.Apply(plan(t, root, page("web/x.aspx", "one"), page("b/y.aspx", "two")), Facts{})
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(k, m); err != nil {
				t.Fatal(err)
			}
			var why *Refusal
			if err := k.CheckRestore(m); !errors.As(err, &why) || why.Why.Key != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if _, err := root.Lstat("b/y.aspx"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the other file was put back: %v", err)
			}
		})
	}
}

// What changes between plan and move is kept, and the rest goes on.
func TestChangedAfterThePlan(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"x.aspx": "one", "y.aspx": "two", "z.aspx": "three"})
	p := plan(t, root, page("x.aspx", "one"), page("y.aspx", "two"), page("z.aspx", "three"))
	if err := errors.Join(root.WriteFile("x.aspx", []byte("late"), 0o600), root.Remove("y.aspx")); err != nil {
		t.Fatal(err)
	}
	m, err := keeper(t, root).Apply(p, Facts{})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{m.Items[0].Why, m.Items[1].Why, string(m.Items[2].State)}
	if want := []string{"clean.left.changed", "clean.left.gone", "moved"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if read(t, root, "x.aspx") != "late" {
		t.Error("the changed file was touched")
	}
}

// Two runs at once would not know of each other.
func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	k := keeper(t, lay(t, nil))
	release, err := k.Lock()
	if err != nil {
		t.Fatal(err)
	}
	var why *Refusal
	if _, err := k.Lock(); !errors.As(err, &why) || why.Why.Key != "clean.no.running" {
		t.Errorf("got %v", err)
	}
	release()
	if release, err = k.Lock(); err != nil {
		t.Fatal(err)
	}
	release()
}

// A manifest that somebody edited, or another key signed, is not acted on.
func TestManifestIsProved(t *testing.T) {
	t.Parallel()
	root := lay(t, map[string]string{"x.aspx": "one"})
	k := keeper(t, root)
	m, err := k.Apply(plan(t, root, page("x.aspx", "one")), Facts{})
	if err != nil {
		t.Fatal(err)
	}
	name := m.Run + "/" + manifestName
	was := read(t, k.Folder, name)
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	evil := *m
	item := *m.Items[0]
	item.Path = "../x.aspx"
	evil.Items = []*Item{&item}
	sign := func(v any, key ed25519.PrivateKey) string {
		b, err := respond.Sign(Schema, v, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for want, text := range map[string]string{
		"clean.no.signature": strings.Replace(was, "x.aspx", "y.aspx", 1),
		"clean.no.signer":    sign(m, other),
		"clean.no.manifest":  sign(evil, k.Key),
	} {
		if err := k.Folder.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var why *Refusal
		if _, err := k.Load(m.Run); !errors.As(err, &why) || why.Why.Key != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Whatever a signed manifest says, its names stay below the root and the quarantine.
func FuzzManifest(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	good, err := json.Marshal(Manifest{Run: "20261122T063258Z-8eb40b04", Items: []*Item{{N: 1, State: Moved, Path: "a/b.aspx", Stored: "00001-x" + suffix, SHA256: hash("")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), "a/b.aspx", "../b", 1)))
	f.Add([]byte(`{"run":"20261122T063258Z-8eb40b04","items":[null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		raw, err := respond.Sign(Schema, json.RawMessage(body), key)
		if err != nil {
			return
		}
		m, err := parse(raw, "")
		if err != nil {
			return
		}
		for _, i := range m.Items {
			if !filepath.IsLocal(i.Path) || !filepath.IsLocal(i.Stored) || strings.ContainsAny(i.Stored, `/\`) || !filepath.IsLocal(m.Run) {
				t.Fatalf("accepted %+v of run %q", i, m.Run)
			}
		}
	})
}

package mitigate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// twoFiles is a server on which a plan changes two files.
func twoFiles(t testing.TB) *laid {
	second := `<site name="Partner" id="5"><application path="/"><virtualDirectory path="/" physicalPath="C:\web\partner" /></application>` +
		`<application path="/owa"><virtualDirectory path="/" physicalPath="C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\owa" /></application></site></sites>`
	return lay(t, map[string][]byte{serverFile: []byte(plainServer("</sites>", second)), webFile: []byte(plainWeb), "web/partner/web.config": []byte(plainWeb)})
}

// The disk is full at one step after the other: each time nothing is changed and
// nothing is left lying about, and the next try works.
func TestEveryStepCanFail(t *testing.T) {
	t.Parallel()
	for _, rollback := range []bool{false, true} {
		for fail, failed := 0, true; failed; fail++ {
			l := twoFiles(t)
			p := l.plan(t)
			before := l.tree(t)
			if len(p.Changes) != 2 {
				t.Fatalf("%d changes, want 2", len(p.Changes))
			}
			act := func() error { _, err := l.Apply(p.Changes); return err }
			if rollback {
				if err := act(); err != nil {
					t.Fatal(err)
				}
				act = func() error { _, err := l.Rollback(); return err }
			}
			start := l.tree(t)
			n, at := 0, ""
			l.step = func(s string) error {
				if n++; n == fail+1 {
					at = s
					return &os.PathError{Op: "write", Path: s, Err: syscall.ENOSPC}
				}
				return nil
			}
			err := act()
			l.step = nil
			failed = n > fail
			now := l.tree(t)
			switch {
			case !failed:
				if err != nil || fail < 6 {
					t.Errorf("rollback %v: %d steps, %v", rollback, fail, err)
				}
				continue
			case at == "save .json" && !maps.Equal(now, start):
				// The files are done, the journal is not: rollback still works, as it goes by what
				// the files are.
			case !maps.Equal(now, start):
				t.Errorf("rollback %v: failing at step %d, %s, leaves something changed", rollback, fail, at)
			}
			var why *Refusal
			if !errors.As(err, &why) || why.Why.Key != "mitigate.no.disk-full" {
				t.Errorf("rollback %v: failing at step %d, %s: %v", rollback, fail, at, err)
			}
			if _, err := l.Rollback(); err != nil {
				t.Errorf("rollback %v: after failing at step %d, %s: %v", rollback, fail, at, err)
			}
			if !maps.Equal(l.tree(t), before) {
				t.Errorf("rollback %v: failing at step %d, %s: not as it was after a rollback", rollback, fail, at)
			}
		}
	}
}

// Another program holds a file, or the system does not let us: nothing is changed.
func TestFileThatIsHeld(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("errors of Unix")
	}
	for trouble, want := range map[error]string{syscall.EBUSY: "locked", syscall.ETXTBSY: "locked", syscall.EACCES: "permission", syscall.EROFS: "write"} {
		l := twoFiles(t)
		p := l.plan(t)
		before := l.tree(t)
		l.step = func(s string) error {
			if s == "move "+p.Changes[1].File { // the first is in place by then
				return &os.PathError{Op: "replace", Path: s, Err: trouble}
			}
			return nil
		}
		_, err := l.Apply(p.Changes)
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != "mitigate.no."+want || why.File != p.Changes[1].File {
			t.Errorf("%v: got %v, want mitigate.no.%s", trouble, err, want)
		}
		if !maps.Equal(before, l.tree(t)) {
			t.Errorf("%v: something is changed", trouble)
		}
	}
}

// The disk takes nothing any more when one file is changed and the other is not: that is
// said, and rollback works once there is room.
func TestHalfOfARun(t *testing.T) {
	t.Parallel()
	for _, rollback := range []bool{false, true} {
		l := twoFiles(t)
		p := l.plan(t)
		before := l.tree(t)
		act := func() error { _, err := l.Apply(p.Changes); return err }
		if rollback {
			if err := act(); err != nil {
				t.Fatal(err)
			}
			act = func() error { _, err := l.Rollback(); return err }
		}
		moved := 0
		l.step = func(s string) error {
			if strings.HasPrefix(s, "move ") {
				moved++
			}
			if moved > 1 {
				return &os.PathError{Op: "write", Path: s, Err: syscall.ENOSPC}
			}
			return nil
		}
		err := act()
		l.step = nil
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != "mitigate.no.half" || why.Why.Args["file"] == "" || why.Why.Args["reason"] != syscall.ENOSPC.Error() {
			t.Errorf("rollback %v: got %v, want that half of it is changed", rollback, err)
		}
		if maps.Equal(before, l.tree(t)) {
			t.Fatalf("rollback %v: nothing is changed: this test tests nothing", rollback)
		}
		if done, err := l.Rollback(); err != nil || len(done) != 1 {
			t.Errorf("rollback %v: afterwards %d runs are taken back: %v", rollback, len(done), err)
		}
		if !maps.Equal(before, l.tree(t)) {
			t.Errorf("rollback %v: not as it was", rollback)
		}
	}
}

// A site may lie deep down, in a path longer than most programs take.
func TestLongPath(t *testing.T) {
	t.Parallel()
	deep := "inetpub/" + strings.Repeat("a folder with a name of fifty characters, or so it is/", 9) + "root"
	web := deep + "/web.config"
	l := lay(t, map[string][]byte{web: []byte(plainWeb), serverFile: []byte(plainServer(`%SystemDrive%\inetpub\wwwroot`, `C:\`+strings.ReplaceAll(deep, "/", `\`)))})
	before := l.tree(t)
	p := l.plan(t)
	if len(p.Changes) != 1 || p.Changes[0].File != web {
		t.Fatalf("changes %+v, want one of %s", p.Changes, web)
	}
	if _, err := l.Apply(p.Changes); err != nil {
		t.Fatal(err)
	}
	if got := rulesOf(l.plan(t))["backend-cookie"]; got != "in-force" {
		t.Errorf("then %s", got)
	}
	if _, err := l.Rollback(); err != nil || !maps.Equal(before, l.tree(t)) {
		t.Errorf("not as it was: %v", err)
	}
}

// The program is killed at one step after the other: each file is either as it was
// or as it should be, and both rollback and applying again end well.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	type killed struct{}
	for kill, more := 0, true; more; kill++ {
		for _, again := range []bool{false, true} {
			l := twoFiles(t)
			p := l.plan(t)
			before := l.tree(t)
			n := 0
			// A killed program does not tidy up: its last steps are undone by nobody. What is
			// deferred runs in this test all the same, so a copy of the tree is put back.
			var crashed, backup map[string]string
			l.step = func(string) error {
				if n++; n == kill+1 {
					crashed, backup = l.tree(t), (&laid{dir: l.Backup.Name()}).tree(t)
					panic(killed{})
				}
				return nil
			}
			func() {
				defer func() {
					if r := recover(); r != nil && r != (killed{}) {
						panic(r)
					}
				}()
				_, _ = l.Apply(p.Changes)
			}()
			l.step = nil
			if more = n > kill; !more {
				break
			}
			putBack(t, l.dir, crashed)
			putBack(t, l.Backup.Name(), backup)
			for _, c := range p.Changes {
				b, err := l.Files.ReadFile(c.File)
				if err != nil || !bytes.Equal(b, c.Before) && !bytes.Equal(b, c.After) {
					t.Errorf("killed at step %d: %s is neither old nor new: %v", kill, c.File, err)
				}
			}
			if again {
				if _, err := l.Apply(l.plan(t).Changes); err != nil {
					t.Errorf("killed at step %d: applying again: %v", kill, err)
				}
				if got := rulesOf(l.plan(t)); got["backend-cookie"] != "in-force" {
					t.Errorf("killed at step %d: applied again, and then %v", kill, got)
				}
			}
			if _, err := l.Rollback(); err != nil {
				t.Errorf("killed at step %d, again %v: %v", kill, again, err)
			}
			if !maps.Equal(l.tree(t), before) {
				t.Errorf("killed at step %d, again %v: not as it was after a rollback", kill, again)
			}
		}
	}
}

// putBack makes a folder hold the files of a tree and no others.
func putBack(t *testing.T, dir string, tree map[string]string) {
	t.Helper()
	now := (&laid{dir: dir}).tree(t)
	for name := range now {
		if _, ok := tree[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, what := range tree {
		if now[name] == what {
			continue
		}
		_, content, _ := strings.Cut(what, " ")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "web.config")
	if err := os.WriteFile(outside, []byte(plainWeb), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, why string
		meanwhile func(l *laid, at string) error
	}{
		{"changed since the plan", "changed", func(_ *laid, at string) error { return os.WriteFile(at, []byte(plainWeb+" "), 0o640) }},
		{"gone", "gone", func(_ *laid, at string) error { return os.Remove(at) }},
		{"read-only", "read-only", func(_ *laid, at string) error { return os.Chmod(at, 0o440) }},
		{"a link out of the root", "link", func(_ *laid, at string) error { return errors.Join(os.Remove(at), os.Symlink(outside, at)) }},
		{"a link inside", "link", func(l *laid, at string) error {
			return errors.Join(os.Rename(at, at+".moved"), os.Symlink("web.config.moved", at))
		}},
		{"a folder that is a link", "link", func(l *laid, at string) error {
			dir := filepath.Dir(at)
			return errors.Join(os.Rename(dir, dir+"2"), os.Symlink("wwwroot2", dir))
		}},
		{"a folder", "link", func(_ *laid, at string) error { return errors.Join(os.Remove(at), os.Mkdir(at, 0o755)) }},
		{"too large", "size", func(_ *laid, at string) error { return os.Truncate(at, MaxBytes+1) }},
	} {
		l := lay(t, map[string][]byte{serverFile: []byte(plainServer()), webFile: []byte(plainWeb)})
		p := l.plan(t)
		if err := tc.meanwhile(l, filepath.Join(l.dir, webFile)); err != nil {
			t.Fatal(err)
		}
		before := l.tree(t)
		_, err := l.Apply(p.Changes)
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != "mitigate.no."+tc.why || why.File != webFile {
			t.Errorf("%s: %v, want mitigate.no.%s", tc.name, err, tc.why)
		}
		if !maps.Equal(before, l.tree(t)) {
			t.Errorf("%s: something is changed", tc.name)
		}
		if runs, err := l.Runs(); err != nil || len(runs) > 0 {
			t.Errorf("%s: %d runs are in the journal, %v", tc.name, len(runs), err)
		}
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != plainWeb {
		t.Errorf("the file outside is changed: %v", err)
	}
}

// A plan is made from what Find reads, which follows no links and reads no copies.
func TestFind(t *testing.T) {
	t.Parallel()
	l := lay(t, map[string][]byte{
		webFile: []byte("a"), "Windows/WinSxS/x/web.config": []byte("b"), "inetpub/history/CFGHISTORY_0000000001/applicationHost.config": []byte("c"),
		"a/WEB.CONFIG": []byte("d"), "a/other.config": []byte("e"), "Windows.old/web.config": []byte("f"), "big/web.config": nil,
	})
	if err := errors.Join(os.Symlink("../a/WEB.CONFIG", filepath.Join(l.dir, "inetpub/web.config")), os.Symlink("a", filepath.Join(l.dir, "b")),
		os.Truncate(filepath.Join(l.dir, "big/web.config"), MaxBytes+1)); err != nil {
		t.Fatal(err)
	}
	files, problems, err := Find(t.Context(), l.Files)
	if err != nil || fmt.Sprint(files) != fmt.Sprint(map[string][]byte{webFile: []byte("a"), "a/WEB.CONFIG": []byte("d")}) {
		t.Errorf("files %v, %v", files, err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if files, _, err := Find(interrupted, l.Files); !errors.Is(err, context.Canceled) || len(files) > 0 {
		t.Errorf("interrupted: %d files, %v", len(files), err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Path+" "+p.Detail.Key)
	}
	if want := "[big/web.config mitigate.find.size inetpub/web.config mitigate.find.link]"; fmt.Sprint(got) != want {
		t.Errorf("problems %v, want %s", got, want)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	l := twoFiles(t)
	p := l.plan(t)
	before := l.tree(t)
	if _, err := l.Apply(p.Changes); err != nil {
		t.Fatal(err)
	}

	// One file changed: none is restored, and what was changed is given.
	at := filepath.Join(l.dir, webFile)
	if err := os.WriteFile(at, []byte("mine"), 0o640); err != nil {
		t.Fatal(err)
	}
	changedTree := l.tree(t)
	var changed *Changed
	if _, err := l.Rollback(); !errors.As(err, &changed) || changed.File != webFile || string(changed.Is) != "mine" || !bytes.Equal(changed.Was, p.Changes[0].After) {
		t.Errorf("%v", err)
	}
	if !maps.Equal(changedTree, l.tree(t)) {
		t.Error("a refused rollback changed something")
	}
	// Gone is changed, too.
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Rollback(); !errors.As(err, &changed) || changed.Is != nil {
		t.Errorf("%v", err)
	}
	// Somebody has put one file back already.
	if err := os.WriteFile(at, []byte(plainWeb), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(at, 0o640); err != nil {
		t.Fatal(err)
	}
	if runs, err := l.Rollback(); err != nil || len(runs) != 1 || !maps.Equal(before, l.tree(t)) {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if runs, err := l.Rollback(); err != nil || len(runs) != 0 {
		t.Errorf("twice: %d runs, %v", len(runs), err)
	}
	// And once more from the beginning; two runs come off in their order.
	if _, err := l.Apply(p.Changes[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Apply(l.plan(t).Changes); err != nil || rulesOf(l.plan(t))["backend-cookie"] != "in-force" {
		t.Errorf("in two runs: %v", err)
	}
	if runs, err := l.Rollback(); err != nil || len(runs) != 2 || !maps.Equal(before, l.tree(t)) {
		t.Errorf("two runs: %d, %v", len(runs), err)
	}
}

// A backup that was damaged, or that somebody put there, changes nothing.
func TestBadBackup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, why string
		damage    func(l *laid, run *Run) error
	}{
		{"content changed", "backup-damaged", func(l *laid, r *Run) error {
			return l.Backup.WriteFile(blob(r.Files[0].Before), []byte("<configuration/>"), 0o600)
		}},
		{"content gone", "backup-gone", func(l *laid, r *Run) error { return l.Backup.Remove(blob(r.Files[0].Before)) }},
		{"no journal", "bad-journal", func(l *laid, r *Run) error { return l.Backup.WriteFile(r.name(), []byte("{"), 0o600) }},
		{"another number", "bad-journal", func(l *laid, r *Run) error { r.Number = 7; return overwrite(l, "run-000001.json", r) }},
		{"out of the root", "bad-journal", func(l *laid, r *Run) error {
			r.Files[0].File, r.Files[0].Temp = "../web.config", "../"+tempName(1, 0)
			return overwrite(l, "run-000001.json", r)
		}},
		{"another file to remove", "bad-journal", func(l *laid, r *Run) error {
			r.Files[0].Temp = serverFile
			return overwrite(l, "run-000001.json", r)
		}},
	} {
		l := lay(t, map[string][]byte{serverFile: []byte(plainServer()), webFile: []byte(plainWeb)})
		run, err := l.Apply(l.plan(t).Changes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tc.damage(l, run); err != nil {
			t.Fatal(err)
		}
		before := l.tree(t)
		_, err = l.Rollback()
		var why *Refusal
		if !errors.As(err, &why) || why.Why.Key != "mitigate.no."+tc.why {
			t.Errorf("%s: %v, want mitigate.no.%s", tc.name, err, tc.why)
		}
		if !maps.Equal(before, l.tree(t)) {
			t.Errorf("%s: something is changed", tc.name)
		}
	}
}

func overwrite(l *laid, name string, r *Run) error {
	b := fmt.Sprintf(`{"schema":%q,"number":%d,"status":"applied","files":[{"file":%q,"before_sha256":%q,"after_sha256":%q,"temp":%q}]}`,
		Schema, r.Number, r.Files[0].File, r.Files[0].Before, r.Files[0].After, r.Files[0].Temp)
	return l.Backup.WriteFile(name, []byte(b), 0o600)
}

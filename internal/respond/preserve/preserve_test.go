package preserve

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"postern/internal/bundle"
	"postern/internal/respond/custody"
)

// lay makes a tree of files.
func lay(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// server has a file of every class, and others.
func server() map[string]string {
	return map[string]string{
		"C/Windows/System32/winevt/Logs/Security.evtx":                                                     "evtx",
		"C/Program Files/Microsoft/Exchange Server/V15/Logging/HttpProxy/Ecp/HttpProxy_1.LOG":              strings.Repeat("row\n", 5000),
		"C/inetpub/logs/LogFiles/W3SVC1/u_ex210303.log":                                                    "iis",
		"C/inetpub/wwwroot/aspnet_client/found.aspx":                                                       "named by a hunt",
		"C/inetpub/wwwroot/iisstart.htm":                                                                   "web",
		"C/inetpub/history/CFGHISTORY_0000000001/applicationHost.config":                                   "<old/>",
		"C/Windows/System32/inetsrv/config/applicationHost.config":                                         "<new/>",
		"C/Windows/Microsoft.NET/Framework64/v4.0.30319/Temporary ASP.NET Files/root/e2/1/App_Web_x.cs":    "compiled",
		"C/Windows/System32/config/SYSTEM":                                                                 "hive",
		"C/Windows/System32/Tasks/Back Up":                                                                 "<Task/>",
		"C/Windows/Prefetch/W3WP.EXE-1.pf":                                                                 "prefetch",
		"C/ProgramData/out.zip":                                                                            "staged",
		"C/Program Files/Microsoft/Exchange Server/V15/Mailbox/DB1/E0000000A1B.log":                        "a transaction log",
		"C/Windows/System32/kernel32.dll":                                                                  "a program",
		"C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/15.1.2176/scripts/a.js": "",
	}
}

func options(t testing.TB, root string) (Options, *age.X25519Identity) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Root: root, Out: filepath.Join(t.TempDir(), "x.bundle"), Recipients: []age.Recipient{id.Recipient()},
		Names: []string{id.Recipient().String()}, Who: "tester", Host: "EX01", Servers: []string{"EX01"}, Tool: "postern", Version: "test", System: "test"}, id
}

// prove checks a bundle and gives what is in it: files by path, and all lines of the lists.
func prove(t testing.TB, out string, id age.Identity) (map[string]string, []bundle.Member, *custody.Report) {
	t.Helper()
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	r, err := custody.Verify(context.Background(), f, info.Size(), custody.Options{Identities: []age.Identity{id}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() {
		t.Fatalf("%s is not sound: %+v", out, r.Damages)
	}
	b, err := bundle.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	var members []bundle.Member
	for _, p := range b.Parts {
		n, list := bundle.SegmentOf(p.Name)
		if n == 0 {
			continue
		}
		r, err := bundle.Unseal(b.Reader(p), []age.Identity{id})
		if err != nil {
			t.Fatal(err)
		}
		if list {
			err = bundle.ReadList(r, func(m bundle.Member) error { members = append(members, m); return nil })
		} else {
			err = untar(r, files)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	proved(t, b, r.Header, members)
	return files, members, r
}

// proved checks that whoever has one of the files can show without a key that it is
// there, and that nobody can show another.
func proved(t testing.TB, b *bundle.Bundle, h *bundle.Header, members []bundle.Member) {
	t.Helper()
	have, others := make(map[string]string), make(map[string]string)
	for _, m := range members {
		if m.Stored() {
			have[m.Path], others[m.Path] = m.SHA256, bundle.Hash([]byte("not "+m.Path))
		}
	}
	lacks, err := b.Lacking(h.ID, have)
	if err != nil || len(lacks) > 0 || !b.Proves() {
		t.Errorf("no proofs of %q: %v", lacks, err)
	}
	if lacks, err = b.Lacking(h.ID, others); err != nil || len(lacks) != len(others) {
		t.Errorf("%d files with other content lack a proof, want %d: %v", len(lacks), len(others), err)
	}
	if len(h.Servers) != 1 || h.Servers[0] != bundle.ServerProof(h.ID, "ex01") {
		t.Errorf("proofs of servers %q", h.Servers)
	}
}

func untar(r io.Reader, files map[string]string) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		files[h.Name] = string(b)
	}
}

func TestEvidenceInOrder(t *testing.T) {
	t.Parallel()
	want := server()
	root := lay(t, want)
	at := time.Date(2021, 3, 3, 6, 49, 43, 123456700, time.UTC)
	shell := filepath.Join(root, "C/inetpub/wwwroot/aspnet_client/found.aspx")
	if err := os.Chtimes(shell, at, at); err != nil {
		t.Fatal(err)
	}
	opt, id := options(t, root)
	opt.Named = []string{"inetpub/wwwroot/ASPNET_client/found.aspx", `C:\inetpub\wwwroot\gone.aspx`}
	offset := -1500 * time.Millisecond
	opt.ClockOffset = &offset
	r, err := Run(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	files, members, report := prove(t, opt.Out, id)
	for _, left := range []string{"C/Program Files/Microsoft/Exchange Server/V15/Mailbox/DB1/E0000000A1B.log", "C/Windows/System32/kernel32.dll"} {
		if _, taken := files[left]; taken {
			t.Errorf("%s was taken", left)
		}
		delete(want, left)
	}
	if len(files) != len(want) {
		t.Errorf("%d files, want %d", len(files), len(want))
	}
	for name, text := range want {
		if files[name] != text {
			t.Errorf("%s: got %.20q, want %.20q", name, files[name], text)
		}
	}
	var order []string
	for _, m := range members {
		if len(order) == 0 || order[len(order)-1] != m.Class {
			order = append(order, m.Class)
		}
	}
	if got := strings.Join(order, " "); got != "walk named event-logs compiled logs web iis tasks hives traces" {
		t.Errorf("taken in the order %s", got)
	}
	for _, m := range members {
		if m.Class == string(Named) && (m.Modified == nil || !m.Modified.Equal(at)) {
			t.Errorf("%s: modified %v, want %v", m.Path, m.Modified, at)
		}
	}
	if got := r.Troubles[bundle.NotFound]; got != 1 || !r.Partial() {
		t.Errorf("%d files not found, partial %v; want the one that the hunt named", got, r.Partial())
	}
	if len(report.Custody) != 2 || report.Custody[0].Action != "begin" || report.Custody[1].Action != "seal" || *report.Custody[0].ClockOffset != -1.5 {
		t.Errorf("custody: %+v", report.Custody)
	}
	if _, err := os.Stat(partFolder(opt.Out)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the unfinished bundle is still there: %v", err)
	}
}

func TestAllTakesTheRest(t *testing.T) {
	t.Parallel()
	want := server()
	opt, id := options(t, lay(t, want))
	opt.All = true
	if _, err := Run(context.Background(), opt); err != nil {
		t.Fatal(err)
	}
	if files, _, _ := prove(t, opt.Out, id); len(files) != len(want) {
		t.Errorf("%d files, want all %d", len(files), len(want))
	}
}

// A file that cannot be read to its end is there in part, and says so; the tar
// around it stays sound.
func TestReadingEndsEarly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		r    io.Reader
		want bundle.Trouble
	}{
		"shrank": {strings.NewReader("abc"), bundle.Shrank},
		"empty":  {strings.NewReader(""), bundle.Shrank},
		"broken": {io.MultiReader(strings.NewReader("abc"), broken{syscall.EIO}), bundle.Broken},
		"locked": {io.MultiReader(strings.NewReader("abc"), broken{lockedError()}), bundle.Locked},
	} {
		var out bytes.Buffer
		plain := &counter{w: &out}
		col := &collector{s: &state{opt: &Options{Progress: new(Progress)}}, ctx: context.Background(), buf: make([]byte, 4),
			seg: &segment{plain: plain, tar: tar.NewWriter(plain)}}
		m := &bundle.Member{Path: "x"}
		if err := col.copy(c.r, m, &tar.Header{Name: "x", Size: 10, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if err := col.seg.tar.Close(); err != nil {
			t.Fatal(err)
		}
		files := make(map[string]string)
		if err := untar(&out, files); err != nil {
			t.Fatal(err)
		}
		kept := "abc"
		if name == "empty" {
			kept = ""
		}
		if want := kept + string(make([]byte, 10-len(kept))); files["x"] != want || m.Problem != c.want || m.SHA256 != bundle.Hash([]byte(want)) {
			t.Errorf("%s: got %q, %q %q, SHA-256 %s", name, files["x"], m.Problem, m.Detail, m.SHA256)
		}
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func lockedError() error {
	if runtime.GOOS == "windows" {
		return syscall.Errno(33)
	}
	return syscall.EBUSY
}

// smallDisk fills after a number of bytes, over all files.
type smallDisk struct{ left *atomic.Int64 }

type smallFile struct {
	*os.File
	d smallDisk
}

func (d smallDisk) open(name string, flag int) (file, error) {
	if flag&os.O_CREATE != 0 && d.left.Load() <= 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	f, err := os.OpenFile(name, flag, 0o600)
	return &smallFile{f, d}, err
}

func (f *smallFile) spend(b []byte) (int, error) {
	left := f.d.left.Add(-int64(len(b)))
	n := min(int64(len(b)), max(left+int64(len(b)), 0))
	if n < int64(len(b)) {
		return int(n), &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return int(n), nil
}

func (f *smallFile) Write(b []byte) (int, error) {
	n, full := f.spend(b)
	if n, err := f.File.Write(b[:n]); err != nil {
		return n, err
	}
	return n, full
}

func (f *smallFile) WriteAt(b []byte, at int64) (int, error) {
	n, full := f.spend(b)
	if n, err := f.File.WriteAt(b[:n], at); err != nil {
		return n, err
	}
	return n, full
}

// noise does not pack, so that a small tree makes a bundle of some segments.
func noise(seed uint64, files, size int) map[string]string {
	r := rand.New(rand.NewPCG(seed, 0))
	tree := make(map[string]string)
	for i := range files {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		tree[fmt.Sprintf("logs/%03d.log", i)] = string(b)
	}
	return tree
}

// Wherever the disk fills, the error says so, nothing has the name of the bundle, and
// with room the same run finishes it.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	want := noise(1, 12, 8<<10)
	root := lay(t, want)
	for room := int64(0); ; room += 7919 {
		opt, id := options(t, root)
		var left atomic.Int64
		left.Store(room)
		opt.disk, opt.segment = smallDisk{&left}, 16<<10
		_, err := Run(context.Background(), opt)
		if err == nil {
			if room < 50_000 {
				t.Fatalf("no error with room for %d bytes", room)
			}
			return
		}
		var state *StateError
		if !errors.As(err, &state) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room for %d bytes: got %v, want a full disk", room, err)
		}
		if _, err := os.Stat(opt.Out); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("room for %d bytes: the bundle has its name: %v", room, err)
		}
		opt.disk = nil
		if _, err := Run(context.Background(), opt); err != nil {
			t.Fatalf("room for %d bytes, then more: %v", room, err)
		}
		if files, _, _ := prove(t, opt.Out, id); len(files) != len(want) {
			t.Fatalf("room for %d bytes, then more: %d files, want %d", room, len(files), len(want))
		}
	}
}

// A bundle that will not fit is not begun, and one that was begun stays.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	want := noise(4, 8, 8<<10)
	opt, id := options(t, lay(t, want))
	opt.segment = 16 << 10
	free := int64(1000)
	opt.free = func(string) (int64, bool) { return free, true }
	told := int64(0)
	opt.Planned = func(p Plan, free int64) error {
		if about, most := p.Room(); about <= free || most < about {
			t.Errorf("about %d, at most %d, with %d free", about, most, free)
		}
		told = free
		return nil
	}
	var short *RoomError
	if _, err := Run(context.Background(), opt); !errors.As(err, &short) || short.Free != free || told != free {
		t.Fatalf("got %v, told %d; want a RoomError with %d bytes free", err, told, free)
	}
	if _, err := os.Stat(partFolder(opt.Out)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refusal leaves something: %v", err)
	}
	opt.Planned = nil
	free = 1 << 30
	var left atomic.Int64
	left.Store(50_000)
	opt.disk = smallDisk{&left}
	var full *StateError
	if _, err := Run(context.Background(), opt); !errors.As(err, &full) {
		t.Fatalf("got %v, want a full disk", err)
	}
	opt.disk, free = nil, 0
	if _, err := Run(context.Background(), opt); !errors.As(err, &short) {
		t.Fatalf("begun, and no room: got %v, want a RoomError", err)
	}
	opt.free = func(string) (int64, bool) { return 0, false }
	r, err := Run(context.Background(), opt)
	if err != nil {
		t.Fatalf("nobody knows what is free: %v", err)
	}
	if files, _, _ := prove(t, opt.Out, id); len(files) != len(want) || r.Resumed == 0 {
		t.Errorf("%d files, want %d; resumed %d times", len(files), len(want), r.Resumed)
	}
}

// Killed at any point and begun again, as often as it takes, a bundle is whole: each
// file once.
func TestKilled(t *testing.T) {
	t.Parallel()
	const child = "POSTERN_PRESERVE_CHILD"
	if at := os.Getenv(child); at != "" {
		slowly(at)
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("kill -9")
	}
	want := noise(2, 60, 4<<10)
	root := lay(t, want)
	r := rand.New(rand.NewPCG(3, 0))
	for round := range 5 {
		opt, id := options(t, root)
		kills := 0
		for {
			c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
			c.Env = append(os.Environ(), child+"="+strings.Join([]string{opt.Root, opt.Out, opt.Names[0]}, "\n"))
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			done := false
			for n := 4 + r.IntN(30); lines.Scan(); n-- {
				if done = done || lines.Text() == "done"; n == 0 {
					_ = c.Process.Kill()
				}
			}
			err = c.Wait()
			if _, there := os.Stat(opt.Out); done || there == nil { // killed after the last step, perhaps
				break
			}
			if kills++; kills > 200 {
				t.Fatalf("round %d: killed %d times, and no bundle; the last run ended with %v", round, kills, err)
			}
		}
		files, _, report := prove(t, opt.Out, id)
		if len(files) != len(want) {
			t.Fatalf("round %d: %d files, want %d", round, len(files), len(want))
		}
		for name, text := range want {
			if files[name] != text {
				t.Fatalf("round %d: %s is another file", round, name)
			}
		}
		resumed := 0
		for _, e := range report.Custody {
			if e.Action == "resume" {
				resumed++
			}
		}
		if resumed > kills {
			t.Errorf("round %d: %d kills, and %d resumptions in custody", round, kills, resumed)
		}
	}
}

// slowly preserves and says on standard output whenever it wrote something.
func slowly(where string) {
	parts := strings.Split(where, "\n")
	all, err := age.ParseRecipients(strings.NewReader(parts[2]))
	if err == nil {
		_, err = Run(context.Background(), Options{Root: parts[0], Out: parts[1], Recipients: all, Names: parts[2:], Servers: []string{"EX01"}, segment: 16 << 10, disk: loudDisk{}})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("done")
}

type loudDisk struct{}

func (loudDisk) open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	return loudFile{f}, err
}

type loudFile struct{ *os.File }

func (f loudFile) Write(b []byte) (int, error) {
	fmt.Println("write")
	return f.File.Write(b)
}

func (f loudFile) WriteAt(b []byte, at int64) (int, error) {
	fmt.Println("write")
	return f.File.WriteAt(b, at)
}

func (f loudFile) Sync() error {
	fmt.Println("sync")
	return nil
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	root := lay(t, server())
	stop := errors.New("stop")
	opt, _ := options(t, root)
	opt.Planned = func(Plan, int64) error {
		second := opt
		second.Planned = nil
		if _, err := Run(context.Background(), second); !errors.Is(err, ErrRunning) {
			t.Errorf("while another runs: got %v, want ErrRunning", err)
		}
		return stop
	}
	if _, err := Run(context.Background(), opt); !errors.Is(err, stop) {
		t.Fatalf("got %v, want %v", err, stop)
	}
	opt.Planned = nil
	other := opt
	other.Named = []string{"x.aspx"}
	if _, err := Run(context.Background(), other); !errors.Is(err, ErrOther) {
		t.Errorf("after another hunt: got %v, want ErrOther", err)
	}
	if _, err := Run(context.Background(), opt); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := Run(context.Background(), opt); !errors.Is(err, ErrExists) {
		t.Errorf("once more: got %v, want ErrExists", err)
	}
	empty, _ := options(t, t.TempDir())
	if _, err := Run(context.Background(), empty); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty folder: got %v, want ErrNothing", err)
	}
	if _, err := os.Stat(partFolder(empty.Out)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder leaves something: %v", err)
	}
	nobody := opt
	nobody.Recipients = nil
	if _, err := Run(context.Background(), nobody); !errors.Is(err, ErrNoRecipient) {
		t.Errorf("for nobody: got %v, want ErrNoRecipient", err)
	}
	file := opt
	file.Root = opt.Out
	if _, err := Run(context.Background(), file); !errors.Is(err, ErrRoot) {
		t.Errorf("a file: got %v, want ErrRoot", err)
	}
}

// A bundle that is written below the root does not hold itself.
func TestOutputBelowTheRoot(t *testing.T) {
	t.Parallel()
	root := lay(t, server())
	opt, id := options(t, root)
	opt.Out, opt.All = filepath.Join(root, "C/x.log"), true
	if _, err := Run(context.Background(), opt); err != nil {
		t.Fatal(err)
	}
	files, _, _ := prove(t, opt.Out, id)
	for name := range files {
		if strings.HasPrefix(name, "C/x.log") {
			t.Errorf("%s is in the bundle", name)
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Class{
		"c/windows/system32/config/system.log1":      Hives,
		"c/windows/system32/config/regback/software": Hives,
		"c/users/admin/ntuser.dat":                   Hives,
		"c/windows/appcompat/programs/amcache.hve":   Hives,
		"system":                                             "",
		"logs/httpproxy_2021.log":                            Logs,
		"x/v15/mailbox/db/e00.log":                           "",
		"x/v15/mailbox/db/e000000a.jrs":                      "",
		"x/v15/transportroles/data/queue/trn0001.log":        "",
		"x/v15/logging/eas/anything.txt":                     Logs,
		"x/v15/frontend/httpproxy/owa/auth/logon.aspx":       Web,
		"x/v15/frontend/httpproxy/owa/web.config":            IIS,
		"windows/temp/a.dmp":                                 Traces,
		"programdata/microsoft/x.png":                        "",
		"windows/system32/logfiles/httperr/httperr1.log":     Logs,
		"windows/system32/winevt/logs/application.evtx":      EventLogs,
		"windows/debug/msert.log":                            Traces,
		"inetpub/history/cfghistory_1/administration.config": IIS,
	} {
		if got, _ := classOf(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

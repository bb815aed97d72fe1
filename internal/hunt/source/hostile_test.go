package source

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	yeka "github.com/yeka/zip"
)

// one opens a single archive and walks it.
func one(t testing.TB, name string, data []byte, opt Options) (paths []string, content map[string]string, problems []string) {
	t.Helper()
	e, p := open(t, filepath.Join(put(t, map[string][]byte{name: data}), name), opt)
	paths, content = walk(t, e)
	for _, path := range paths {
		if !fs.ValidPath(path) {
			t.Errorf("path %q is not valid", path)
		}
	}
	e.Close()
	return paths, content, p.keys()
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 2000) + ".aspx"
	names := []struct{ raw, want, problem string }{
		{"../../x.aspx", "__/__/x.aspx", "malformed name-unsafe"},
		{"/etc/passwd", "etc/passwd", "malformed name-unsafe"},
		{`C:\inetpub\wwwroot\y.aspx`, "C/inetpub/wwwroot/y.aspx", "malformed name-unsafe"},
		{`\\server\share\z`, "server/share/z", "malformed name-unsafe"},
		{`sub\back.log`, "sub/back.log", ""},
		{"./a//b/./c", "a/b/c", ""},
		{"nul\x00byte\x1b[31m", "nul_byte_[31m", "malformed name-unsafe"},
		{"..", "__~2", "malformed name-unsafe"},
		{"case.aspx", "case.aspx", ""},
		{"CASE.aspx", "CASE.aspx", ""},
		{"COM1/aux.aspx", "COM1/aux.aspx", ""},
		{"same", "same", ""},
		{"same", "same~2", "malformed name-twice"},
		{"same~2", "same~2~2", "malformed name-twice"},
		{"same", "same~3", "malformed name-twice"},
		{"same/below", "same~4/below", "malformed name-twice"},
		{"same/other", "same~4/other", "malformed name-twice"},
		{"folder/in", "folder/in", ""},
		{"folder", "folder~2", "malformed name-twice"},
		{strings.Repeat("d/", 100) + "deep", strings.Repeat("d/", 62) + "~" + fingerprint(strings.Repeat("d/", 37)+"d") + "/deep", "limit name-deep"},
		{long, long[:1024-14] + "~" + fingerprint(long) + ".aspx", "limit name-long"},
	}
	var entries []entry
	for i, n := range names {
		entries = append(entries, entry{n.raw, fmt.Sprint(i)})
	}
	var noZeros []entry
	for _, e := range entries {
		if !strings.Contains(e.name, "\x00") { // 7z names end there
			noZeros = append(noZeros, e)
		}
	}
	for format, data := range map[string][]byte{
		"x.zip": zipOf(t, zip.Deflate, entries...),
		"x.tar": rawTar(entries),
		"x.7z":  sevenOf(noZeros, 0),
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			paths, content, problems := one(t, format, data, Options{})
			want := 1 + len(names)
			if format == "x.7z" {
				want--
			}
			if len(paths) != want {
				t.Errorf("%d paths, want %d: no member is lost for its name", len(paths), want)
			}
			kinds := make(map[string]bool)
			for _, p := range problems {
				kinds[strings.TrimSuffix(p, " "+format)] = true
			}
			for i, n := range names {
				raw, want := n.raw, n.want
				if format == "x.7z" && strings.Contains(raw, "\x00") || format == "x.tar" && (strings.Contains(raw, "\x00") || len(raw) > 100) {
					continue // the format cannot say it
				}
				if got := content[format+"!/"+want]; got != fmt.Sprint(i) {
					t.Errorf("%.40q: %.60q has %q, want %d", raw, want, got, i)
				}
				if n.problem != "" && !kinds[n.problem] {
					t.Errorf("%.40q: no problem %q in %q", raw, n.problem, problems)
				}
			}
		})
	}
}

// rawTar writes headers that archive/tar would refuse to write.
func rawTar(entries []entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		b.Write(tarHeader(e.name, '0', len(e.data), ""))
		b.WriteString(e.data)
		b.Write(make([]byte, (512-len(e.data)%512)%512))
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func tarHeader(name string, kind byte, size int, link string) []byte {
	h := make([]byte, 512)
	copy(h[:100], name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00        ", size, 1614754183))
	h[156] = kind
	copy(h[157:257], link)
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

func TestLinkMembers(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for _, h := range [][]byte{
		tarHeader("soft", '2', 0, "/etc/passwd"), tarHeader("before", '1', 0, "./real"), tarHeader("device", '3', 0, ""),
		tarHeader("fifo", '6', 0, ""), tarHeader("real", '0', 4, ""), append([]byte("real"), make([]byte, 508)...),
		tarHeader("after", '1', 0, "/real"), tarHeader("broken", '1', 0, "nowhere"), tarHeader("strange", 'Q', 0, ""), make([]byte, 1024),
	} {
		b.Write(h)
	}
	paths, content, problems := one(t, "x.tar", b.Bytes(), Options{})
	equal(t, "paths", paths, []string{"x.tar", "x.tar!/real", "x.tar!/before", "x.tar!/after"})
	if content["x.tar!/before"] != "real" || content["x.tar!/after"] != "real" {
		t.Error("a hard link has not the bytes of its target")
	}
	equal(t, "problems", problems, []string{
		"malformed member-link-broken x.tar", "unsupported member-link x.tar", "unsupported member-special x.tar",
		"unsupported member-special x.tar", "unsupported member-special x.tar"})

	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for name, mode := range map[string]fs.FileMode{"link": fs.ModeSymlink, "pipe": fs.ModeNamedPipe, "file": 0} {
		h := &zip.FileHeader{Name: name}
		h.SetMode(mode | 0o644)
		f, _ := w.CreateHeader(h)
		io.WriteString(f, "../../../etc/passwd")
	}
	w.Close()
	paths, _, problems = one(t, "x.zip", z.Bytes(), Options{})
	equal(t, "paths", paths, []string{"x.zip", "x.zip!/file"})
	equal(t, "problems", problems, []string{"unsupported member-link x.zip", "unsupported member-special x.zip"})
}

func TestZipFolderWithContent(t *testing.T) {
	t.Parallel()
	z := zipOf(t, zip.Store, entry{"shell.aspxX", "content"})
	z = bytes.ReplaceAll(z, []byte("shell.aspxX"), []byte("shell.aspx/"))
	_, content, problems := one(t, "x.zip", z, Options{})
	if content["x.zip!/shell.aspx"] != "content" {
		t.Errorf("content %q: a folder with content is a file", content)
	}
	equal(t, "problems", problems, []string{"malformed folder-content x.zip"})
}

func TestBombs(t *testing.T) {
	// Not parallel: it measures memory.
	limits := Limits{FreeBytes: 8 << 20, Ratio: 50}
	zeros := func(w io.Writer, n int) { io.Copy(w, io.LimitReader(zeroReader{}, int64(n))) }
	pack := func(n int) []byte { // a zip of one member of n zeros
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, _ := w.Create("zeros.log")
		zeros(f, n)
		w.Close()
		return b.Bytes()
	}
	const size = 64 << 20
	flat := pack(size)
	var nested []entry
	for i := range 10 {
		nested = append(nested, entry{fmt.Sprintf("%d.zip", i), string(flat)})
	}
	var gz bytes.Buffer
	w, _ := gzip.NewWriterLevel(&gz, flate.BestCompression)
	zeros(w, size)
	w.Close()
	zw, _ := zstd.NewWriter(nil)
	tarball := tarOf(t, entry{"a", "a"}, entry{"zeros.log", string(make([]byte, size))}, entry{"z", "z"})
	many := func() []byte { // members that all lie over the same bytes
		var b bytes.Buffer
		z := pack(16 << 20)
		at := bytes.LastIndex(z, []byte("PK\x01\x02"))
		end := bytes.LastIndex(z, []byte("PK\x05\x06"))
		b.Write(z[:at])
		const n = 300
		for i := range n {
			h := bytes.Clone(z[at:end])
			copy(h[46:], fmt.Sprintf("z%04d", i))
			b.Write(h)
		}
		e := bytes.Clone(z[end:])
		binary.LittleEndian.PutUint16(e[8:], n)
		binary.LittleEndian.PutUint16(e[10:], n)
		binary.LittleEndian.PutUint32(e[12:], uint32(b.Len()-at))
		return append(b.Bytes(), e...)
	}()
	links := func() []byte { // 500 names of one member
		var b bytes.Buffer
		b.Write(tarHeader("zeros.log", '0', 256<<10, ""))
		zeros(&b, 256<<10)
		for i := range 500 {
			b.Write(tarHeader(fmt.Sprintf("link%03d", i), '1', 0, "zeros.log"))
		}
		zeros(&b, 1024)
		return b.Bytes()
	}()
	tests := []struct {
		name string
		data []byte
	}{
		{"links.tar", links}, {"flat.zip", flat}, {"nested.zip", zipOf(t, zip.Deflate, nested...)}, {"stream.gz", gz.Bytes()},
		{"stream.zst", zw.EncodeAll(make([]byte, size), nil)}, {"ball.tar.gz", gzipOf(t, tarball)}, {"overlap.zip", many},
		{"nested.tgz", gzipOf(t, tarOf(t, nested...))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			temp := t.TempDir()
			dir := put(t, map[string][]byte{"evidence/" + test.name: test.data, "evidence/innocent.log": []byte("innocent")})
			e, p := open(t, filepath.Join(dir, "evidence"), Options{Limits: limits, TempDir: temp})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var read, peak int64
			innocent := false
			buf := make([]byte, 64<<10)
			err := e.Walk(context.Background(), func(f File) error {
				innocent = innocent || f.Path == "innocent.log"
				r, err := f.Open()
				if err != nil {
					return nil
				}
				defer r.Close()
				for {
					n, err := r.Read(buf)
					if f.Path != test.name {
						read += int64(n)
					}
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatalf("%s: %v", f.Path, err)
					}
				}
				runtime.ReadMemStats(&after)
				peak = max(peak, int64(after.HeapAlloc)-int64(before.HeapAlloc))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if bound := limits.FreeBytes + (limits.Ratio+1)*int64(len(test.data)) + 1<<10; read > bound {
				t.Errorf("%d bytes of %d were unpacked, want at most %d", read, len(test.data), bound)
			}
			if read < limits.FreeBytes/2 {
				t.Errorf("only %d bytes were read, want what the bound allows", read)
			}
			if peak > 40<<20 {
				t.Errorf("heap grew by %d bytes", peak)
			}
			if !innocent {
				t.Error("the file beside the bomb was not visited")
			}
			limited := false
			for _, k := range p.keys() {
				limited = limited || strings.HasPrefix(k, "limit ")
			}
			if !limited {
				t.Errorf("problems %q, want a limit", p.keys())
			}
			e.Close()
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("left in the temporary folder: %v", left)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("written beside the evidence: %v", left)
			}
		})
	}
}

// TestBehindTheEnd has archives behind the end of others, and an end that hides what is
// before it.
func TestBehindTheEnd(t *testing.T) {
	t.Parallel()
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	a, b := zipOf(t, zip.Deflate, entry{"a.log", "aaa"}), zipOf(t, zip.Deflate, entry{"b.log", "bbb"})
	longer := zipOf(t, zip.Deflate, entry{"b.log", "bbb"}, entry{"c.log", "ccc"})
	noDirectory := b[:bytes.Index(b, []byte("PK\x01\x02"))]
	none := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	commented := append(bytes.Clone(a[:len(a)-2]), byte(len(none)), 0)
	elsewhere := bytes.Clone(none) // an empty directory where the true one is
	binary.LittleEndian.PutUint32(elsewhere[16:], uint32(len(a)))
	// A second directory that lists only the first of two members.
	first := bytes.Index(longer, []byte("PK\x01\x02"))
	listing := longer[first : first+bytes.Index(longer[first+4:], []byte("PK\x01\x02"))+4]
	fewer := append([]byte("PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00"), make([]byte, 10)...)
	binary.LittleEndian.PutUint32(fewer[12:], uint32(len(listing)))
	binary.LittleEndian.PutUint32(fewer[16:], uint32(len(longer)))
	ta, tb := tarOf(t, entry{"a.log", "aaa"}), tarOf(t, entry{"b.log", "bbb"})
	unlisted := "malformed zip-unlisted "
	tests := []struct {
		name     string
		data     []byte
		members  string
		problems []string
	}{
		{"same.zip", join(a, b), "b.log a.log", []string{unlisted + "same.zip"}},
		{"longer.zip", join(a, longer), "b.log c.log a.log", []string{unlisted + "longer.zip"}},
		{"three.zip", join(a, longer, a), "a.log a.log~2 b.log c.log", []string{"malformed name-twice three.zip", unlisted + "three.zip"}},
		{"comment.zip", join(commented, none), "a.log", []string{unlisted + "comment.zip"}},
		{"second.zip", join(a, elsewhere), "a.log", []string{unlisted + "second.zip"}},
		{"fewer.zip", join(longer, listing, fewer), "b.log c.log", []string{unlisted + "fewer.zip"}},
		{"half.zip", join(a, noDirectory), "a.log b.log", []string{unlisted + "half.zip"}},
		{"text.zip", join(a, []byte("a text behind it")), "a.log", nil},
		{"program.zip", join([]byte("MZ and a program"), a), "a.log", nil},
		{"two.tar", join(ta, tb), "a.log b.log", nil},
		{"text.tar", join(ta, []byte("a text behind it")), "a.log", []string{"malformed tar-behind text.tar"}},
		{"zeros.tar", join(ta, make([]byte, 100_000)), "a.log", nil},
		{"two.tgz", gzipOf(t, join(ta, tb)), "a.log b.log", nil},
		{"parts.tgz", join(gzipOf(t, ta), gzipOf(t, tb)), "a.log b.log", nil},
		{"x.7z.001", sevenOf([]entry{{"a.log", "aaa"}}, 0)[:60], "", []string{"truncated 7z-truncated x.7z.001", "unsupported part x.7z.001"}},
		{"whole.7z.001", sevenOf([]entry{{"a.log", "aaa"}}, 0), "a.log", nil}, // all of it went into the first part
		{"whole.zip.001", a, "a.log", nil},
		{"x.zip.001", a[:40], "", []string{"truncated zip-no-directory x.zip.001", "unsupported part x.zip.001"}},
		{"disk.001", join([]byte("KDMV"), make([]byte, 600)), "", []string{"unsupported disk-image disk.001"}},
		{"exchange.log.001", []byte("a log that is numbered"), "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			paths, content, problems := one(t, test.name, test.data, Options{})
			var members []string
			for _, p := range paths[1:] {
				name := strings.TrimPrefix(p, test.name+"!/")
				members = append(members, name)
				if want := strings.Repeat(name[:1], 3); content[p] != want {
					t.Errorf("%s: %q, want %q", p, content[p], want)
				}
			}
			equal(t, "members", members, strings.Fields(test.members))
			equal(t, "problems", problems, test.problems)
		})
	}
}

// lying gives a zip file of which the directory says of the member "lies" that it has
// other bytes than it has.
func lying(t *testing.T, said uint32, entries ...entry) []byte {
	t.Helper()
	z := zipOf(t, zip.Deflate, entries...)
	at := bytes.LastIndex(z, []byte("lies")) - 46
	if at < 0 || !bytes.HasPrefix(z[at:], []byte("PK\x01\x02")) {
		t.Fatal("there is no member that lies")
	}
	binary.LittleEndian.PutUint32(z[at+24:], said)
	return z
}

// TestLyingMember has a member that says of itself that it has far more than there is:
// what others are, they are all the same.
func TestLyingMember(t *testing.T) {
	t.Parallel()
	row := strings.Repeat("row ", 1000)
	z := lying(t, 2<<30, entry{"a.zip", string(zipOf(t, zip.Deflate, entry{"a.log", row}))}, entry{"lies", "42 bytes, and not one more than there are.."},
		entry{"b.zip", string(zipOf(t, zip.Deflate, entry{"b.log", row}))}, entry{"c.tgz", string(gzipOf(t, tarOf(t, entry{"c.log", row})))},
		entry{"d.log.gz", string(gzipOf(t, []byte(row)))}, entry{"e.log", row})
	_, content, problems := one(t, "x.zip", z, Options{})
	for _, name := range []string{"a.zip!/a.log", "b.zip!/b.log", "c.tgz!/c.log", "d.log.gz!/d.log", "e.log"} {
		if content["x.zip!/"+name] != row {
			t.Errorf("%s has %d bytes, want %d", name, len(content["x.zip!/"+name]), len(row))
		}
	}
	equal(t, "problems", problems, []string{"truncated member-truncated x.zip!/lies"})
}

// TestLyingMemberThatCould has one whose packed bytes could become what it says, so that
// the allowance pays for it. What there is not of it is given back when it is read, and
// not a second time when its archive is opened again.
func TestLyingMemberThatCould(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 8<<10)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	z := lying(t, 1<<20, entry{"lies", string(noise)}, entry{"a.zip", string(zipOf(t, zip.Store, entry{"a.log", strings.Repeat("a", 9000)}))}, entry{"b.log", strings.Repeat("b", 9000)})
	dir := put(t, map[string][]byte{"x.zip": z, "y.zip": zipOf(t, zip.Deflate, entry{"y", "y"})})
	e, p := open(t, dir, Options{Limits: Limits{FreeBytes: 40 << 10, Ratio: 1, OpenArchives: 1}})
	for range 3 {
		_, content := walk(t, e)
		e.mounts.evictIdle()
		if a, b := content["x.zip!/a.zip!/a.log"], content["x.zip!/b.log"]; len(a) != 9000 || len(b) != 9000 {
			t.Errorf("%d and %d bytes beside the member that lies, want all", len(a), len(b))
		}
		account := e.spending.allowances["x.zip"]
		unpacked := int64(len(noise) + 9000 + 9000 + len(zipOf(t, zip.Store, entry{"a.log", strings.Repeat("a", 9000)})))
		if left := int64(40<<10) + int64(len(z)) - account.left; left < unpacked || left > unpacked+9000 {
			t.Errorf("%d bytes are taken, want %d and what a second reading of one member takes", left, unpacked)
		}
	}
	e.Close()
	equal(t, "problems", p.keys(), []string{"limit allowance x.zip", "truncated member-truncated x.zip!/lies"})
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var many []entry
	for i := range 50 {
		many = append(many, entry{fmt.Sprintf("d%02d/f", i), "x"})
	}
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	tests := []struct {
		name     string
		data     []byte
		limits   Limits
		paths    int
		problems []string
	}{
		{"m.zip", zipOf(t, zip.Store, many...), Limits{Members: 20}, 11, []string{"limit members m.zip"}},
		{"m.tar", tarOf(t, many...), Limits{Members: 20}, 11, []string{"limit members m.tar"}},
		{"m.7z", sevenOf(many, 0), Limits{Members: 20}, 1, []string{"limit members m.7z"}},
		{"n.zip", zipOf(t, zip.Store, many...), Limits{NameBytes: 50}, 11, []string{"limit name-bytes n.zip"}},
		{"t.tgz", gzipOf(t, tarOf(t, entry{"a", "a"}, entry{"noise", string(noise)}, entry{"b", "b"})), Limits{TempBytes: 2 << 20}, 3,
			[]string{"limit temp t.tgz", "truncated archive-truncated t.tgz", "truncated member-truncated t.tgz!/noise"}},
		{"full.tgz", gzipOf(t, tarOf(t, entry{"a", "a"}, entry{"noise", string(noise)})), Limits{KeepFree: 1 << 60}, 3,
			[]string{"limit temp-full full.tgz", "truncated archive-truncated full.tgz", "truncated member-truncated full.tgz!/noise"}},
		{"w.zst", zstdWindow(t, noise), Limits{Window: 1 << 20}, 2, []string{"limit window w.zst!/w"}},
		{"h.7z", sevenOf(many, 0), Limits{Header: 100}, 1, []string{"limit 7z-header h.7z"}},
		{"total.zip", zipOf(t, zip.Store, entry{"a", "aaaa"}, entry{"b", "bbbb"}), Limits{TotalBytes: 6}, 3,
			[]string{"limit allowance total.zip", "limit member-allowance total.zip!/b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			paths, _, problems := one(t, test.name, test.data, Options{Limits: test.limits})
			if len(paths) != test.paths {
				t.Errorf("%d paths, want %d: %q", len(paths), test.paths, paths)
			}
			equal(t, "problems", problems, test.problems)
		})
	}
}

func zstdWindow(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func TestEncryptedZip(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("a row of a log\n", 9000)
	for name, method := range map[string]yeka.EncryptionMethod{"zipcrypto": yeka.StandardEncryption,
		"aes128": yeka.AES128Encryption, "aes192": yeka.AES192Encryption, "aes256": yeka.AES256Encryption} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			w := yeka.NewWriter(&b)
			for _, n := range []string{"small.log", "large.log"} {
				f, err := w.Encrypt(n, "secret", method)
				if err != nil {
					t.Fatal(err)
				}
				if n == "small.log" {
					io.WriteString(f, "small")
				} else {
					io.WriteString(f, data)
				}
			}
			f, _ := w.Create("open.log")
			io.WriteString(f, "open")
			w.Close()
			paths, content, problems := one(t, "x.zip", b.Bytes(), Options{Passwords: []string{"wrong", "other", "secret"}})
			equal(t, "paths", paths, []string{"x.zip", "x.zip!/small.log", "x.zip!/large.log", "x.zip!/open.log"})
			equal(t, "problems", problems, nil)
			if content["x.zip!/small.log"] != "small" || content["x.zip!/large.log"] != data || content["x.zip!/open.log"] != "open" {
				t.Error("other bytes than were packed")
			}
			for want, passwords := range map[string][]string{"unreadable encrypted x.zip": nil, "unreadable wrong-password x.zip": {"wrong", "other"}} {
				paths, _, problems := one(t, "x.zip", b.Bytes(), Options{Passwords: passwords})
				equal(t, "paths", paths, []string{"x.zip", "x.zip!/open.log"})
				equal(t, "problems", problems, []string{want})
			}
			if name == "zipcrypto" {
				return
			}
			broken := bytes.Clone(b.Bytes()) // one bit of the data of the large member
			at := bytes.Index(broken, []byte("large.log")) + 60
			broken[at] ^= 1
			_, _, problems = one(t, "x.zip", broken, Options{Passwords: []string{"secret"}})
			if len(problems) != 1 || !strings.HasPrefix(problems[0], "malformed member-damaged x.zip!/large.log") {
				t.Errorf("changed data: problems %q", problems)
			}
		})
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	row := strings.Repeat("2021-03-03 06:49:43 row\n", 2000)
	in := []entry{{"a.log", row}, {"b.log", row}, {"c.log", row}}
	z := zipOf(t, zip.Deflate, in...)
	stored := zipOf(t, zip.Store, in...)
	cut := func(b []byte, n int) []byte { return b[:n] }
	second := bytes.Index(z[10:], []byte("PK\x03\x04")) + 10
	noDescriptors := func() []byte { // sizes stand in the local headers, as most programs write them
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, e := range in {
			var packed bytes.Buffer
			d, _ := flate.NewWriter(&packed, 9)
			io.WriteString(d, e.data)
			d.Close()
			f, _ := w.CreateRaw(&zip.FileHeader{Name: e.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(e.data)),
				CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(e.data))})
			f.Write(packed.Bytes())
		}
		w.Close()
		return b.Bytes()
	}()
	lying := bytes.Clone(noDescriptors) // the local header says that nothing is there
	copy(lying[18:26], make([]byte, 8))
	short := bytes.Clone(z) // the directory says less than there is
	at := bytes.LastIndex(short, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(short[at+24:], 100)
	long := bytes.Clone(z)
	binary.LittleEndian.PutUint32(long[at+24:], 1<<30)
	checksum := bytes.Clone(stored)
	checksum[bytes.Index(checksum, []byte("row"))] = 'R'
	badLocal := bytes.Clone(z)
	badLocal[second] = 'X'
	ball := tarOf(t, in...)
	gz := gzipOf(t, ball)
	tests := []struct {
		name     string
		data     []byte
		want     []string // a, b, c: the members whose whole content comes
		problems []string
	}{
		{"end.zip", cut(z, len(z)-30), []string{"a", "b", "c"}, []string{"truncated zip-no-directory end.zip"}},
		{"middle.zip", cut(noDescriptors, second+60), []string{"a"}, []string{"truncated member-truncated middle.zip!/b.log", "truncated zip-no-directory middle.zip"}},
		{"stored.zip", cut(stored, len(stored)-200), []string{"a", "b", "c"}, []string{"truncated zip-no-directory stored.zip"}},
		{"lying.zip", lying, []string{"a", "b", "c"}, nil},
		{"short.zip", short, []string{"a", "b", "c"}, []string{"malformed member-longer short.zip!/c.log"}},
		{"long.zip", long, []string{"a", "b", "c"}, []string{"truncated member-truncated long.zip!/c.log"}},
		{"checksum.zip", checksum, []string{"b", "c"}, []string{"malformed member-checksum checksum.zip!/a.log"}},
		{"local.zip", badLocal, []string{"a", "c"}, []string{"malformed member-header local.zip!/b.log"}},
		{"method.zip", testdata(t, "deflate64.zip"), nil, []string{"unsupported method method.zip!/logs/sub/b.log"}},
		{"split.zip", splitEnd(z), nil, []string{"unsupported zip-split split.zip"}},
		{"cut.tar", cut(ball, len(ball)-2000-len(row)/2), []string{"a", "b"}, []string{"truncated archive-truncated cut.tar", "truncated member-truncated cut.tar!/c.log"}},
		{"cut.tgz", cut(gz, len(gz)-30), []string{"a", "b"}, nil},
		{"cut.7z", cut(sevenOf(in, 0), 1000), nil, []string{"truncated 7z-truncated cut.7z"}},
		{"text.zip", []byte("not an archive at all"), nil, []string{"malformed not-archive text.zip"}},
		{"empty.zip", nil, nil, nil},
		{"none.zip", zipOf(t, zip.Store), nil, nil},
		{"disk.vhdx", []byte("vhdxfile and so on"), nil, []string{"unsupported disk-image disk.vhdx"}},
		{"disk.vhd", []byte("a fixed one says it at its end"), nil, []string{"unsupported disk-image disk.vhd"}},
		{"DISK.E01", []byte("EVF\x09\x0d\x0a\xff\x00\x01"), nil, []string{"unsupported disk-image DISK.E01"}},
		{"r.rar", []byte("Rar!\x1a\x07\x01\x00 and so on"), nil, []string{"unsupported foreign-archive r.rar"}},
		{"staged.zip", []byte("MSCF\x00\x00\x00\x00 a cabinet under another name"), nil, []string{"unsupported foreign-archive staged.zip"}},
		{"two.gz", cut(gzipOf(t, []byte(row)), 40), nil, []string{"truncated member-truncated two.gz!/two"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, content, problems := one(t, test.name, test.data, Options{})
			if content[test.name] != string(test.data) {
				t.Error("the archive itself is not visited with its bytes")
			}
			for _, m := range []string{"a", "b", "c"} {
				whole := content[test.name+"!/"+m+".log"] == row
				wanted := strings.Contains(strings.Join(test.want, ""), m)
				if whole != wanted {
					t.Errorf("%s.log: whole is %v, want %v", m, whole, wanted)
				}
			}
			if test.name == "cut.tgz" { // where it ends depends on the packer
				if len(problems) == 0 || !strings.HasPrefix(problems[0], "truncated ") {
					t.Errorf("problems %q", problems)
				}
				return
			}
			equal(t, "problems", problems, test.problems)
		})
	}
}

func splitEnd(z []byte) []byte {
	z = bytes.Clone(z)
	z[bytes.LastIndex(z, []byte("PK\x05\x06"))+4] = 3
	return z
}

// TestSevenAsksForMemory holds against the library what it would allocate.
func TestSevenAsksForMemory(t *testing.T) {
	t.Parallel()
	huge := append([]byte{0xf0}, binary.LittleEndian.AppendUint32(nil, 0xfffffff0)...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	lzma := func(dict uint32) []byte {
		return join([]byte{0x01, 0x04, 0x06, 0, 1, 0x09, 4, 0, 0x07, 0x0b, 1, 0, 1, 0x23, 3, 1, 1, 5, 0x5d},
			binary.LittleEndian.AppendUint32(nil, dict), []byte{0x0c, 9, 0, 0, 0x05, 1, 0x11, 5, 0, 'h', 0, 0, 0, 0, 0})
	}
	tests := []struct {
		name    string
		header  []byte
		problem string
	}{
		{"files.7z", join([]byte{0x01, 0x05}, huge, make([]byte, 40)), "limit members"},
		{"streams.7z", join([]byte{0x01, 0x04, 0x06, 0}, huge, make([]byte, 40)), "malformed archive-damaged"},
		{"blocks.7z", join([]byte{0x01, 0x04, 0x07, 0x0b}, huge, make([]byte, 40)), "malformed archive-damaged"},
		{"properties.7z", join([]byte{0x01, 0x04, 0x06, 0, 1, 0x09, 4, 0, 0x07, 0x0b, 1, 0, 1, 0x21, 0}, huge), "malformed archive-damaged"},
		{"dictionary.7z", lzma(0xffffffff), "limit window"},
		{"method.7z", bytes.Replace(lzma(1<<20), []byte{0x23, 3, 1, 1}, []byte{0x24, 4, 0xf7, 0x11, 1}, 1), "unsupported 7z-method"},
		{"nothing.7z", []byte{0x01, 0x00}, ""},
		{"encoded.7z", []byte{0x17, 0x06}, "malformed archive-damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			paths, _, problems := one(t, test.name, sevenFile([]byte("abcd"), test.header), Options{})
			var want []string
			if test.problem != "" {
				want = []string{test.problem + " " + test.name}
			}
			equal(t, "problems", problems, want)
			equal(t, "paths", paths, []string{test.name})
		})
	}
}

// TestPanicsAreErrors holds a decoder that panics.
func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	if _, err := guardRead(panicking{}, make([]byte, 1)); err == nil {
		t.Error("no error from a reader that panics")
	}
	if _, err := guardRead(overreading{}, make([]byte, 1)); err == nil {
		t.Error("no error from a reader that reads more than there is room")
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("hostile input") }

type overreading struct{}

func (overreading) Read(b []byte) (int, error) { return len(b) + 1, nil }

// TestConcurrent reads members from many goroutines while archives are closed
// under them; the race detector listens.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	var in []entry
	for i := range 20 {
		in = append(in, entry{fmt.Sprintf("%02d.log", i), strings.Repeat(fmt.Sprint(i), 100_000)})
	}
	dir := put(t, map[string][]byte{"a.zip": zipOf(t, zip.Deflate, in...), "b.7z": sevenOf(in, 0), "c.tgz": gzipOf(t, tarOf(t, in...)),
		"d.zip": zipOf(t, zip.Deflate, entry{"e.tar.zst", string(zstdOf(t, tarOf(t, in...)))})})
	e, p := open(t, dir, Options{Limits: Limits{OpenArchives: 1}})
	files := make(chan File)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for f := range files {
				if !strings.HasSuffix(f.Path, ".log") {
					continue
				}
				got := read(t, &f)
				n := f.Path[len(f.Path)-6 : len(f.Path)-4]
				if want := strings.Repeat(strings.TrimPrefix(n, "0"), 100_000); n != "00" && got != want {
					t.Errorf("%s: %d bytes, want %d", f.Path, len(got), len(want))
				}
			}
		})
	}
	e.Walk(context.Background(), func(f File) error { files <- f; return nil })
	close(files)
	wait.Wait()
	equal(t, "problems", p.keys(), nil)
}

func TestZip64(t *testing.T) {
	t.Parallel()
	var many []entry
	for i := range 70_000 { // more than 16 bits count
		many = append(many, entry{fmt.Sprintf("%03d/%d", i/1000, i), ""})
	}
	many[69_999].data = "last"
	e, p := open(t, filepath.Join(put(t, map[string][]byte{"x.zip": zipOf(t, zip.Store, many...)}), "x.zip"), Options{})
	n := 0
	e.Walk(context.Background(), func(f File) error {
		if n++; n == 70_001 {
			if got := read(t, &f); got != "last" {
				t.Errorf("%s: %q, want last", f.Path, got)
			}
		}
		return nil
	})
	if n != 70_001 {
		t.Errorf("%d files, want 70001", n)
	}
	equal(t, "problems", p.keys(), nil)

	// Sizes and offset that stand in the extra field, one after another.
	for fields := range 8 {
		z := zipOf(t, zip.Store, entry{"first", "first"}, entry{"x", "content"})
		at := bytes.LastIndex(z, []byte("PK\x01\x02"))
		end := bytes.LastIndex(z, []byte("PK\x05\x06"))
		head := bytes.Clone(z[at:end])
		extra := binary.LittleEndian.AppendUint32(nil, 1)
		for i, field := range []int{24, 20, 42} { // unpacked, packed, offset
			if fields&(1<<i) != 0 {
				extra = binary.LittleEndian.AppendUint64(extra, uint64(binary.LittleEndian.Uint32(head[field:])))
				binary.LittleEndian.PutUint32(head[field:], 0xffffffff)
			}
		}
		binary.LittleEndian.PutUint16(extra[2:], uint16(len(extra)-4))
		binary.LittleEndian.PutUint16(head[30:], binary.LittleEndian.Uint16(head[30:])+uint16(len(extra)))
		tail := bytes.Clone(z[end:])
		binary.LittleEndian.PutUint32(tail[12:], binary.LittleEndian.Uint32(tail[12:])+uint32(len(extra)))
		// Behind the name, which is one letter, and before the other extra fields.
		z = bytes.Join([][]byte{z[:at], head[:47], extra, head[47:], tail}, nil)
		_, content, problems := one(t, "x.zip", z, Options{})
		if content["x.zip!/x"] != "content" || content["x.zip!/first"] != "first" {
			t.Errorf("fields %03b: content %q", fields, content)
		}
		equal(t, "problems", problems, nil)
	}
}

func TestZipNames(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range []zip.FileHeader{
		{Name: "M\x81ller.log", NonUTF8: true}, // code page 437
		{Name: "Müller.log", NonUTF8: true},    // UTF-8 that nobody says
		{Name: "señal.log"},
		{Name: "?.log", NonUTF8: true, Extra: unicodeName("?.log", "日.log")},
		{Name: "other.log", NonUTF8: true, Extra: unicodeName("wrong", "not.log")},
	} {
		if _, err := w.CreateHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	paths, _, problems := one(t, "x.zip", b.Bytes(), Options{})
	equal(t, "paths", paths, []string{"x.zip", "x.zip!/Müller.log", "x.zip!/Müller.log~2", "x.zip!/señal.log", "x.zip!/日.log", "x.zip!/other.log"})
	equal(t, "problems", problems, []string{"encoding name-encoding x.zip", "malformed name-twice x.zip"})
}

func unicodeName(raw, name string) []byte {
	b := binary.LittleEndian.AppendUint16([]byte{0x75, 0x70}, uint16(5+len(name)))
	b = binary.LittleEndian.AppendUint32(append(b, 1), crc32.ChecksumIEEE([]byte(raw)))
	return append(b, name...)
}

func TestZipTimes(t *testing.T) {
	t.Parallel()
	precise := stamp.Add(699_000_000)
	ticks := uint64(precise.UnixNano()/100 + 116_444_736_000_000_000)
	ntfs := binary.LittleEndian.AppendUint64([]byte{0x0a, 0, 32, 0, 0, 0, 0, 0, 1, 0, 24, 0}, ticks)
	ntfs = append(ntfs, make([]byte, 16)...)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, h := range []zip.FileHeader{
		{Name: "unix", Modified: stamp},
		{Name: "ntfs", Extra: ntfs},
		{Name: "dos", ModifiedDate: 41<<9 | 3<<5 | 3, ModifiedTime: 6<<11 | 49<<5 | 43/2},
		{Name: "none"},
	} {
		w.CreateHeader(&h)
	}
	w.Close()
	e, _ := open(t, filepath.Join(put(t, map[string][]byte{"x.zip": b.Bytes()}), "x.zip"), Options{})
	var got []string
	e.Walk(context.Background(), func(f File) error {
		if !f.Archive {
			got = append(got, fmt.Sprintf("%s %s %v", f.Path, f.ModTime.Format("2006-01-02T15:04:05.999"), f.LocalTime))
		}
		return nil
	})
	equal(t, "times", got, []string{"x.zip!/unix 2021-03-03T06:49:43 false", "x.zip!/ntfs 2021-03-03T06:49:43.699 false",
		"x.zip!/dos 2021-03-03T06:49:42 true", "x.zip!/none 0001-01-01T00:00:00 false"})
}

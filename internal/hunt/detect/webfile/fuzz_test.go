package webfile

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/detect"
)

// names under which FuzzLook shows its bytes, one of each role.
var fuzzNames = []string{
	auth + "x.aspx", auth + "logon.aspx", site + "x.asp", site + "x.jsp", site + "x.jspx", site + "x.php", site + "x.ashx", root + "x.css",
	site + "web.config", temporary + "owa/a/b/x.aspx.12.compiled", temporary + "owa/a/b/App_Web_x.dll", auth + "google.log", "windows/temp/x.exe", root + "x.cer",
}

// FuzzLook asks of any bytes under any name: nothing panics, the same bytes give
// the same findings, read or in memory, and every finding can be walked back: its place lies inside
// the file and shows what stands there.
func FuzzLook(f *testing.F) {
	for _, s := range []string{
		fixture(evalPage), fixture(uploadPage), stockPage("logon"), dump(fixture("http://f/<«SCRIPT» «RUNAT»>«EVAL»(«REQ»[\"k\"])")), record("/owa/auth/x.aspx"),
		assembly("~/auth/x.aspx"), "!BDN" + fixture(evalPage), "\x30\x82\x01\x01" + fixture(evalPage), "#@~^AAAAAA==abc^#~@",
		"<\x00%\x00e\x00v\x00a\x00l\x00", "<" + "?php `ls`; <<<A\n{$x}\nA;", "<" + "%$\"{a}\"", "<" + "%\\u0065\\U00000065\\u{65}",
	} {
		for i := range fuzzNames {
			f.Add([]byte(s), uint8(i))
		}
	}
	d := New(knowledge())
	f.Fuzz(func(t *testing.T, content []byte, which uint8) {
		if len(content) > 64<<10 {
			t.Skip("large inputs cost time and are tested apart")
		}
		server := fuzzNames[int(which)%len(fuzzNames)]
		file := &detect.File{Path: "C/" + server, Server: strings.ToLower(server), Size: int64(len(content)), ModTime: written,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
		first, problems, err := d.Look(file)
		if err != nil {
			t.Fatalf("bytes in memory can be read: %v", err)
		}
		second, _, _ := d.Look(file)
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("two looks differ: %v, %v", first, second)
		}
		file.Whole = content
		if whole, _, _ := d.Look(file); !reflect.DeepEqual(first, whole) {
			t.Fatalf("a look at the file in memory differs: %v, %v", first, whole)
		}
		for _, p := range problems {
			if p.Path != file.Path || p.Detail.IsZero() {
				t.Errorf("problem without place or words: %v", p)
			}
		}
		for _, found := range first {
			if found.ID == "" || found.Title.IsZero() || len(found.Explain) == 0 || len(found.Evidence) == 0 || found.Confidence == postern.Unsaid || !found.Level.Valid() {
				t.Errorf("finding is not complete: %+v", found)
			}
			for _, e := range found.Evidence {
				if e.Offset < 0 || e.Offset > int64(len(content)) || len(e.Excerpt) > maxExcerpt {
					t.Errorf("%s: offset %d of %d, excerpt of %d", found.Rule, e.Offset, len(content), len(e.Excerpt))
				}
			}
		}
	})
}

// BenchmarkStatic shows what style sheets and scripts cost: the walk for marks of
// server-side code and nothing else. Compare with BenchmarkRead.
func BenchmarkStatic(b *testing.B) {
	content := []byte(strings.Repeat(".a > .b:hover { color: #fff; } function f(x) { if (x < 3 && y > 2) { return x % 2; } }\n", 700))
	b.Run("gate", func(b *testing.B) { static(b, content, root+"x.css") })
	b.Run("template", func(b *testing.B) {
		static(b, append(bytes.Clone(content), "<"+"%= name %"+">"...), root+"x.js")
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		buf := make([]byte, len(content))
		for b.Loop() {
			if _, err := io.ReadFull(bytes.NewReader(content), buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func static(b *testing.B, content []byte, server string) {
	d := New(knowledge())
	f := &detect.File{Path: server, Server: server, Size: int64(len(content)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if found, _, err := d.Look(f); err != nil || len(found) > 0 {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkPage shows what a page costs that is read as code.
func BenchmarkPage(b *testing.B) {
	page := fixture("‹@ «PAGE» Language=\"C#\" ›\n" + strings.Repeat("<tr><td>‹= Name(\"x\" + i) ›</td><td><asp:Label id=\"l\" «RUNAT» /></td></tr>\n", 200) +
		"<«SCRIPT» «RUNAT»>\n" + strings.Repeat("string Name(string s) { if (s == null) { return \"\"; } return s.Trim() + list[3].ToString(); }\n", 100) + "</«SCRIPT»>")
	static(b, []byte(page), site+"x.aspx")
}

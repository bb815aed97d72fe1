package text

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode"

	"postern/internal/report"
)

func write(opt report.Options, f func(*page)) string {
	var b bytes.Buffer
	p := newPage(&b, opt)
	f(p)
	p.w.Flush()
	return b.String()
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"one two three", 9, "one two|three"},
		{"C:/inetpub/wwwroot/aspnet_client/x.aspx", 20, "C:/inetpub/wwwroot/|aspnet_client/x.aspx"},
		{`C:\inetpub\wwwroot\aspnet_client\x.aspx`, 21, `C:\inetpub\wwwroot|\aspnet_client\x.aspx`},
		{"日本語のとても長い名前", 9, "日本語の|とても長|い名前"},
		{"aaaaaaaaaaaaaaaaaaaa", 8, "aaaaaaaa|aaaaaaaa|aaaa"},
		{"", 10, ""},
		{"e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", 8, "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301|e\u0301"},
	} {
		if got := strings.Join(split(c.in, c.n), "|"); got != c.want {
			t.Errorf("split(%q, %d)\n got %s\nwant %s", c.in, c.n, got, c.want)
		}
	}
}

func TestASCII(t *testing.T) {
	t.Parallel()
	p := newPage(nil, report.Options{ASCII: true})
	for in, want := range map[string]string{
		"Próximos pasos: ¿sí? “ñ” 5 → 6…": `Proximos pasos: ?si? "n" 5 -> 6...`,
		"日": `\u65e5`,
		"😀": `\U0001f600`,
	} {
		if got := p.safe(in); got != want {
			t.Errorf("%q in ASCII is %q, want %q", in, got, want)
		}
	}
}

func TestWide(t *testing.T) {
	t.Parallel()
	p := newPage(nil, report.Options{Color: true})
	for in, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, p.paint(red, "abc") + "d": 4, "": 0} {
		if got := wide(in); got != want {
			t.Errorf("wide(%q) = %d, want %d", in, got, want)
		}
	}
	if got := p.pad("日本語日本語", 7); wide(got) != 7 {
		t.Errorf("padded to 7 columns it has %d: %q", wide(got), got)
	}
}

// FuzzWrap asks whether any text stays inside the page and off the terminal's
// controls.
func FuzzWrap(f *testing.F) {
	f.Add("plain words", false)
	f.Add("日本語\x1b[31m\u202e e\u0301 👩‍👩‍👧 🇪🇸🇪🇸🇪🇸 "+strings.Repeat("x/", 60), true)
	f.Fuzz(func(t *testing.T, s string, ascii bool) {
		out := write(report.Options{ASCII: ascii}, func(p *page) {
			p.wrap("  * ", "    ", p.safe(s), none)
			p.line(p.pad(p.safe(s), 20), "|")
		})
		scan := bufio.NewScanner(strings.NewReader(out))
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			if n := wide(scan.Text()); n > 80 {
				t.Fatalf("%d columns: %q", n, scan.Text())
			}
			for _, r := range scan.Text() {
				if !unicode.IsPrint(r) || ascii && r > '~' {
					t.Fatalf("%U in %q", r, scan.Text())
				}
			}
		}
	})
}

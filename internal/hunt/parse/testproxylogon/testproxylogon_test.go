package testproxylogon

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

const hits = "#TYPE Selected.System.Management.Automation.PSCustomObject\r\n" +
	`"DateTime","RequestId","ClientIPAddress","UrlHost","UrlStem","RoutingHint","UserAgent","AnchorMailbox","HttpStatus"` + "\r\n" +
	`"2021-03-03T06:49:43.699Z","4e818ea4-917d-4230-bdaa-a942772628b8","192.0.2.7","mail.contoso.example","/ecp/y.js","X-BEResource-Cookie","a ""quoted"" agent","ServerInfo~a]@ex01:444/mapi/emsmdb/?#","200"` + "\r\n"

func wideOf(s string) string {
	var b bytes.Buffer
	b.WriteString("\xff\xfe")
	for _, u := range utf16.Encode([]rune(s)) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	return b.String()
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, content := range []string{hits, strings.TrimPrefix(hits, "#TYPE Selected.System.Management.Automation.PSCustomObject\r\n"), "\xef\xbb\xbf" + hits, wideOf(hits), strings.ReplaceAll(hits, "\r", "")} {
		r, err := Read(strings.NewReader(content), "logs/EX01-Cve-2021-26855.csv")
		if err != nil || r == nil || len(r.Rows) != 1 {
			t.Fatalf("%.20q: got %+v, %v, want one row", content, r, err)
		}
		if r.Kind != ProxyHits || r.Host != "EX01" {
			t.Errorf("got %s of %q", r.Kind, r.Host)
		}
		f := r.Rows[0].Fields
		if f["useragent"] != `a "quoted" agent` || f["httpstatus"] != "200" || !strings.HasSuffix(f["anchormailbox"], "/mapi/emsmdb/?#") {
			t.Errorf("got %q", f)
		}
	}
	r, err := Read(strings.NewReader(hits), "renamed.csv")
	if err != nil || r == nil || r.Kind != ProxyHits {
		t.Errorf("under another name: got %+v, %v", r, err)
	}
	r, err = Read(strings.NewReader("C:\\Exchange\\Logging\\ECP\\Server\\ECPServer20210303-1.LOG\r\n\r\n"), "EX01-Cve-2021-27065.log")
	if err != nil || r == nil || len(r.Rows) != 1 || r.Rows[0].Fields["path"] == "" {
		t.Errorf("a list of paths: got %+v, %v", r, err)
	}
	r, err = Read(strings.NewReader(`"TimeCreated","MachineName","Message"`+"\n"+`"3/3/2021 6:49:43 AM","EX01","two`+"\n"+`lines"`+"\n"), "EX01-Cve-2021-26857.csv")
	if err != nil || r == nil || len(r.Rows) != 1 || r.Rows[0].Fields["message"] != "two\nlines" || r.Rows[0].Line != 2 {
		t.Errorf("a cell of two lines: got %+v, %v", r, err)
	}
	for name, content := range map[string]string{"a list": "name,value\na,b\n", "nothing": "", "a type line alone": "#TYPE x\r\n", "no CSV": "MZ\x00\x01"} {
		if r, err := Read(strings.NewReader(content), "x.csv"); r != nil || err != nil {
			t.Errorf("%s: got %+v, %v, want nothing", name, r, err)
		}
	}
	broken := errors.New("broken")
	if r, err := Read(iotest.ErrReader(broken), "EX01-other.csv"); !errors.Is(err, broken) {
		t.Errorf("got %+v, %v, want the error of the reader", r, err)
	}
}

// A row says where it stands: the text at its offset begins with it.
func FuzzRead(f *testing.F) {
	f.Add(hits)
	f.Add("\xef\xbb\xbf" + hits + "\"open\nquote")
	f.Add(`"ComputerName","Type","Path","Name","LastWrite"` + "\n" + `"EX01","LsassDump","C:\\root\\lsass.dmp","lsass.dmp","2021-03-03 10:00:00"`)
	f.Fuzz(func(t *testing.T, content string) {
		r, err := Read(strings.NewReader(content), "x.csv")
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return
		}
		text := strings.TrimPrefix(content, "\xef\xbb\xbf")
		if strings.Contains(content, "\x00") || strings.HasPrefix(content, "\xff\xfe") || strings.HasPrefix(content, "\xfe\xff") {
			return // not UTF-8: offsets are those of the decoded text
		}
		for _, row := range r.Rows {
			if row.Offset < 0 || int(row.Offset) > len(text) {
				t.Fatalf("offset %d of %d", row.Offset, len(text))
			}
			at := strings.ToValidUTF8(text[row.Offset:], "\uFFFD")
			if !strings.HasPrefix(strings.TrimRight(at, "\r\n"), strings.TrimRight(row.Raw[:min(len(row.Raw), 20)], "\r\n")) {
				t.Fatalf("at %d stands %.40q, not %.40q", row.Offset, at, row.Raw)
			}
			if want := int64(strings.Count(text[:row.Offset], "\n")) + 1; row.Line != want {
				t.Fatalf("line %d, want %d", row.Line, want)
			}
		}
	})
}

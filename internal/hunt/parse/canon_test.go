package parse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/hunt/parse"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                    "",
		"/":                                   "/",
		"/ecp/y.js":                           "/ecp/y.js",
		"/ECP/Y.JS?A=B+C":                     "/ecp/y.js?a=b+c",
		"/owa%2fauth%2Fx.aspx":                "/owa/auth/x.aspx",
		"/owa/auth/%65rror.aspx":              "/owa/auth/error.aspx",
		"/owa/auth/%2565rror.aspx":            "/owa/auth/error.aspx",
		"/owa/auth/%252565rror.aspx":          "/owa/auth/error.aspx",
		"/owa/auth/%25252565rror.aspx":        "/owa/auth/%65rror.aspx", // four times is three too many
		"/owa/auth/%u0065rror.aspx":           "/owa/auth/error.aspx",
		"/owa/auth/%U0065rror.aspx":           "/owa/auth/error.aspx",
		"/owa/auth/100%.aspx":                 "/owa/auth/100%.aspx",
		"/owa/auth/%zz%4":                     "/owa/auth/%zz%4",
		"/owa/%C3%A9":                         "/owa/é",
		"/owa/%e9":                            "/owa/\uFFFD",
		"/owa/%ud800x":                        "/owa/\uFFFDx",
		`/owa\auth\x.aspx`:                    "/owa/auth/x.aspx",
		"//owa///auth//x.aspx":                "/owa/auth/x.aspx",
		"/owa/./auth/foo/../x.aspx":           "/owa/auth/x.aspx",
		"/../../owa/auth/x.aspx":              "/owa/auth/x.aspx",
		"/owa/..%2f..%5cecp/x":                "/ecp/x",
		"/owa/x.aspx?a=//b/../c":              "/owa/x.aspx?a=//b/../c",
		"/owa/x.aspx%3Fa=b":                   "/owa/x.aspx?a=b",
		"/ASPNET~1/x.aspx":                    "/aspnet_client/x.aspx",
		"/aspnet%7E1/x.aspx?aspnet~1":         "/aspnet_client/x.aspx?aspnet~1",
		"/aspnet~2/x.aspx":                    "/aspnet~2/x.aspx",
		"https://localhost:444//ecp/./y.js":   "https://localhost:444/ecp/y.js",
		"https://Server/a/../../b?x=http://y": "https://server/b?x=http://y",
		"/a://b":                              "/a:/b",
		"/\u212Aelvin":                        "/\u212Aelvin", // no k to a file system
	} {
		if got := parse.URL(in); got != want {
			t.Errorf("URL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestServerPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                    "",
		`C:\inetpub\wwwroot\x.aspx`:           "c:/inetpub/wwwroot/x.aspx",
		`'D:/Inetpub//wwwroot\.\x.ASPX'`:      "d:/inetpub/wwwroot/x.aspx",
		`C:\`:                                 "c:/",
		`C:`:                                  "c:",
		`C:\a\..\..\..\inetpub\x.aspx`:        "c:/inetpub/x.aspx",
		`\\?\C:\inetpub\x.aspx`:               "c:/inetpub/x.aspx",
		`\\.\C:\inetpub\x.aspx`:               "c:/inetpub/x.aspx",
		`\??\C:\inetpub\x.aspx`:               "c:/inetpub/x.aspx",
		`\\localhost\c$\inetpub\x.aspx`:       "c:/inetpub/x.aspx",
		`\\?\UNC\localhost\c$\inetpub`:        "c:/inetpub",
		`\\127.0.0.1\C$`:                      "c:",
		`\\server\share\..\..\x.aspx`:         "//server/x.aspx",
		`\\server\admin$\x.aspx`:              "//server/admin$/x.aspx",
		`\\?\UNC\server\share\x.aspx`:         "//server/share/x.aspx",
		`C:\inetpub\x.aspx. .`:                "c:/inetpub/x.aspx",
		`C:\inetpub. \x.aspx`:                 "c:/inetpub/x.aspx",
		`C:\inetpub\x.aspx::$DATA`:            "c:/inetpub/x.aspx",
		`C:\inetpub\x.txt:y.aspx`:             "c:/inetpub/x.txt",
		`C:\inetpub:$I30:$INDEX_ALLOCATION\x`: "c:/inetpub/x",
		`C:\PROGRA~1\MICROS~1\EXCHAN~1\V15\FRONTE~1\HTTPPR~1\owa\auth\x.aspx`: "c:/program files/microsoft/exchange server/v15/frontend/httpproxy/owa/auth/x.aspx",
		`C:\PROGRA~2\x`:         "c:/program files (x86)/x",
		`C:\progra~1x\y`:        "c:/progra~1x/y",
		"C:%5Cinetpub%5cx.aspx": "c:/inetpub/x.aspx",
		"/inetpub/../x":         "/x",
	} {
		if got := parse.ServerPath(in); got != want {
			t.Errorf("ServerPath(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever 8.3 names a path has, and wherever a literal of its canonical form
// begins and ends, one of the literal's spellings stands in the path.
func TestShortForms(t *testing.T) {
	t.Parallel()
	short := strings.NewReplacer("program files (x86)", "progra~2", "program files", "progra~1", "microsoft", "micros~1", "exchange server", "exchan~1",
		"frontend", "fronte~1", "httpproxy", "httppr~1", "clientaccess", "client~1", "aspnet_client", "aspnet~1", "programdata", "progra~3")
	names := []string{"program files", "program files (x86)", "microsoft", "exchange server", "frontend", "httpproxy", "clientaccess", "aspnet_client", "programdata", "v15", "x.aspx"}
	rapid.Check(t, func(t *rapid.T) {
		var long, raw []string
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 5).Draw(t, "folders") {
			long = append(long, name)
			if rapid.Bool().Draw(t, "8.3") {
				name = short.Replace(name)
			}
			raw = append(raw, name)
		}
		path := "c:/" + strings.Join(raw, "/")
		canonical := parse.ServerPath(path)
		if want := "c:/" + strings.Join(long, "/"); canonical != want {
			t.Fatalf("ServerPath(%q) = %q, want %q", path, canonical, want)
		}
		from := rapid.IntRange(0, len(canonical)-1).Draw(t, "from")
		literal := canonical[from:rapid.IntRange(from+1, len(canonical)).Draw(t, "to")]
		for _, form := range append(parse.ShortForms(literal), literal) {
			if strings.Contains(path, form) {
				return
			}
		}
		t.Fatalf("none of the spellings %q of %q stands in %q", parse.ShortForms(literal), literal, path)
	})
	if forms := parse.ShortForms("/ecp/y.js"); len(forms) > 0 {
		t.Errorf("spellings of a literal without such a name: %q", forms)
	}
	if forms := parse.ShortForms(strings.Repeat("program files/microsoft/", 9)); !slices.Equal(forms, []string{""}) {
		t.Errorf("%d spellings of a literal that has too many", len(forms))
	}
}

func TestBlob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []postern.Field
	}{
		{"nothing", "", nil},
		{"plain", "S:TIME=13;S:SID=abc;S:CMD=Get-InboxRule;S:REQID=;S:URL=/ecp/x?a=b;", []postern.Field{{Name: "TIME", Value: "13"}, {Name: "SID", Value: "abc"}, {Name: "CMD", Value: "Get-InboxRule"}, {Name: "REQID"}, {Name: "URL", Value: "/ecp/x?a=b"}}},
		{"kinds", "I32:A=1;Dbl:B=1.5;F:C=x;D=y", []postern.Field{{Name: "A", Value: "1"}, {Name: "B", Value: "1.5"}, {Name: "C", Value: "x"}, {Name: "D", Value: "y"}}},
		{"pair in quotes", "S:A=1;'S:CMD=Set-X.ExternalUrl=''a;b''.Identity=''c''';S:B=2", []postern.Field{{Name: "A", Value: "1"}, {Name: "CMD", Value: "Set-X.ExternalUrl='a;b'.Identity='c'"}, {Name: "B", Value: "2"}}},
		{"pair in quotes that is cut", "'S:CMD=Set-X.ExternalUrl=''a;b", []postern.Field{{Name: "CMD", Value: "Set-X.ExternalUrl='a;b"}}},
		{"pair in quotes that is cut in a doubled one", "'S:CMD=Set-X.ExternalUrl=''", []postern.Field{{Name: "CMD", Value: "Set-X.ExternalUrl='"}}},
		{"value in quotes", "S:CMD=Set-X.ExternalUrl='a;b'.Identity='c';S:B=2", []postern.Field{{Name: "CMD", Value: "Set-X.ExternalUrl='a;b'.Identity='c'"}, {Name: "B", Value: "2"}}},
		{"value in quotes with what code has", "S:CMD=Set-X.ExternalUrl='f(';');g';S:B=2", []postern.Field{{Name: "CMD", Value: "Set-X.ExternalUrl='f(';');g'"}, {Name: "B", Value: "2"}}},
		{"quote that is none", "S:TNAME=O'Brien;S:B='x;S:C=3", []postern.Field{{Name: "TNAME", Value: "O'Brien"}, {Name: "B", Value: "'x"}, {Name: "C", Value: "3"}}},
		{"no pairs", ";;x;'y';=", []postern.Field{{}}},
		{"the same key twice", "S:A=1;S:A=2", []postern.Field{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}},
	}
	for _, tc := range tests {
		if diff := cmp.Diff(tc.want, parse.Blob(tc.in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	if n := len(parse.Blob(strings.Repeat("a=b;", 100_000))); n != 4096 {
		t.Errorf("%d pairs, want the bound", n)
	}
}

// Any value comes back from a pair in quotes.
func TestBlobQuoting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := []postern.Field{{Name: "A", Value: "1"}, {Name: "CMD", Value: rapid.StringOf(rapid.SampledFrom([]rune(`';=:a.<"é`))).Draw(t, "value")}, {Name: "B", Value: "2"}}
		in := "S:A=1;'S:CMD=" + strings.ReplaceAll(want[1].Value, "'", "''") + "';S:B=2"
		if diff := cmp.Diff(want, parse.Blob(in)); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", in, diff)
		}
	})
}

func TestParameter(t *testing.T) {
	t.Parallel()
	for _, tc := range [][3]string{
		{"/ecp/x?a=1&B=2", "b", "2"},
		{"/ecp/x?msExchEcpCanary=Ab.-_&schema=y#", "msexchecpcanary", "Ab.-_"},
		{"/ecp/x?a=1;b=2#c=3", "b", "2"},
		{"/ecp/x?a=1;b=2#c=3", "c", "3"},
		{"/ecp/x?ab=1", "b", ""},
		{"/ecp/x?b", "b", ""},
		{"/ecp/b=1", "b", ""},
		{"?b=x=y", "b", "x=y"},
		{"?b=1&b=2", "b", "1"},
		{"", "b", ""},
	} {
		if got := parse.Parameter(tc[0], tc[1]); got != tc[2] {
			t.Errorf("Parameter(%q, %q) = %q, want %q", tc[0], tc[1], got, tc[2])
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	const guid = "7f3a1b2c-0000-4000-8000-000000000000"
	for in, want := range map[string]string{
		"": "",
		"&CorrelationID=<empty>;&cafeReqId=" + guid + ";&encoding=;":                "",
		"&CorrelationID=<empty>;&ClientId=ABCDEFGHIJKLMNOPQRSTUVWXYZ&ActID=" + guid: "",
		"?a=b&CorrelationID=<empty>;&cafeReqId={" + guid + "};":                     "a=b",
		"cmd=whoami&cafeReqId=" + guid + ";":                                        "cmd=whoami",
		"clientid=whoami /all":                                                      "clientid=whoami /all",
		"encoding=dir":                                                              "encoding=dir",
		"=x":                                                                        "=x",
		"&;&":                                                                       "",
		"x":                                                                         "x",
	} {
		if got := parse.Arguments(in); got != want {
			t.Errorf("Arguments(%q) = %q, want %q", in, got, want)
		}
	}
}

// HttpProxy, IIS and the wire write the same agent in three ways.
func TestUserAgent(t *testing.T) {
	t.Parallel()
	const want = "mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml like gecko) chrome/88.0.4324.190"
	for _, spelling := range []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.190",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML  like Gecko) Chrome/88.0.4324.190",
		"Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/88.0.4324.190",
	} {
		if got := parse.UserAgent(spelling); got != want {
			t.Errorf("UserAgent(%q) = %q, want %q", spelling, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"-":                            "",
		"192.0.2.1":                    "192.0.2.1",
		" 192.0.2.1 ":                  "192.0.2.1",
		"192.0.2.1:51234":              "192.0.2.1",
		"2001:db8::1":                  "2001:db8::1",
		"[2001:db8::1]":                "2001:db8::1",
		"[2001:db8::1]:443":            "2001:db8::1",
		"::ffff:192.0.2.1":             "192.0.2.1",
		"fe80::1%13":                   "fe80::1%13",
		"192.0.2.1, 10.0.0.1":          "192.0.2.1",
		"192.0.2.1,+10.0.0.1":          "192.0.2.1",
		"192.0.2.1 10.0.0.1 127.0.0.1": "192.0.2.1",
		"unknown, 192.0.2.1":           "192.0.2.1",
		"<script>":                     "",
		"1.2.3":                        "",
	} {
		if got := parse.Address(in); got != want {
			t.Errorf("Address(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestColumnsOf(t *testing.T) {
	t.Parallel()
	f := &parse.Format{Columns: []string{"DateTime", "Data"}, Pairs: "Data",
		Deciding: map[string][]string{"Url": {"Stem", "Query"}, "Judgement": nil}, Aliases: map[string]string{"c-uri": "Url"}}
	for field, want := range map[string][]string{
		"Url": {"Url", "Stem", "Query"}, "url": {"url", "Stem", "Query"}, "C-URI": {"Url", "Stem", "Query"}, "U rl": {"Url", "Stem", "Query"},
		"DateTime": {"DateTime"}, "Judgement": nil, "TIME": {"TIME", "Data"},
	} {
		if diff := cmp.Diff(want, f.ColumnsOf(field)); diff != "" {
			t.Errorf("columns of %s (-want +got):\n%s", field, diff)
		}
	}
}

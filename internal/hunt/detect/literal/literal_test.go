package literal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// gate makes the gate of rules for a header.
func gate(delim byte, columns []string, rules ...[]Clause) *Pass {
	return New(rules, nil, nil).Gate(delim, columns).Start()
}

func clause(columns, literals string) Clause {
	c := Clause{Literals: strings.Fields(literals)}
	if columns != "" {
		c.Columns = strings.Fields(columns)
	}
	return c
}

func TestPass(t *testing.T) {
	t.Parallel()
	columns := []string{"Time", "Url", "Agent", "Url", "Status"}
	tests := []struct {
		name  string
		rules [][]Clause
		line  string
		want  bool
	}{
		{"there", [][]Clause{{clause("Url", "/ecp/y.js")}}, "t,/ecp/y.js,a,b,200", true},
		{"in another case", [][]Clause{{clause("url", "/ecp/y.js")}}, "t,/ECP/Y.JS,a,b,200", true},
		{"inside a value", [][]Clause{{clause("Url", "y.js")}}, "t,/ecp/xy.jsx,a,b,200", true},
		{"in the second column of the name", [][]Clause{{clause("Url", "y.js")}}, "t,x,a,y.js,200", true},
		{"in another column", [][]Clause{{clause("Url", "y.js")}}, "t,x,y.js,b,200", false},
		{"in the last column", [][]Clause{{clause("Status", "241")}}, "t,x,a,b,241", true},
		{"column that the line lacks", [][]Clause{{clause("Status", "241")}}, "t,x,a", false},
		{"column that the header lacks", [][]Clause{{clause("Method", "post")}}, "t,post,post,post,post", false},
		{"one of two columns that the header has", [][]Clause{{clause("Method Url", "post")}}, "t,post,,,", true},
		{"anywhere", [][]Clause{{clause("", "y.js")}}, "t,x,y.js,b,200", true},
		{"anywhere, and not there", [][]Clause{{clause("", "y.js")}}, "t,x,y.css,b,200", false},
		{"one of several literals", [][]Clause{{clause("Url", "abc def ghi")}}, "t,xghix,,,", true},
		{"all clauses", [][]Clause{{clause("Url", "abc"), clause("Agent", "def")}}, "t,abc,def,,", true},
		{"one clause of two", [][]Clause{{clause("Url", "abc"), clause("Agent", "def")}}, "t,abc,abc,,", false},
		{"clauses of two rules", [][]Clause{{clause("Url", "abc"), clause("Agent", "def")}, {clause("Url", "ghi"), clause("Agent", "jkl")}}, "t,abc,jkl,,", false},
		{"the other rule", [][]Clause{{clause("Url", "abc")}, {clause("Agent", "def")}}, "t,,def,,", true},
		{"escaped letter", [][]Clause{{clause("Url", "y.js")}}, "t,/ecp/%79.js,,,", true},
		{"escaped twice", [][]Clause{{clause("Url", "y.js")}}, "t,/ecp/%2579.js,,,", true},
		{"escaped with u", [][]Clause{{clause("Url", "y.js")}}, "t,/ecp/%u0079.js,,,", true},
		{"harmless escape", [][]Clause{{clause("Url", "y.js")}}, "t,/a%20b%3d%c3%a9,,,", false},
		{"single sign", [][]Clause{{clause("Agent", "<")}}, "t,,a<b,,", true},
		{"single sign, escaped", [][]Clause{{clause("Agent", "<")}}, "t,,a%3Cb,,", true},
		{"single sign that is the whole value", [][]Clause{{clause("Agent", "<")}}, "t,,<,,", true},
		{"single sign at the end of an odd value", [][]Clause{{clause("Agent", "<")}}, "t,,ab<,,", true},
		{"slash as backslash", [][]Clause{{clause("Agent", "/")}}, `t,,a\b,,`, true},
		{"slash as backslash, escaped", [][]Clause{{clause("Agent", "/")}}, `t,,a%5cb,,`, true},
		{"two letters at an odd place", [][]Clause{{clause("Agent", "xy")}}, "t,,axyb,,", true},
		{"two letters at the end", [][]Clause{{clause("Agent", "xy")}}, "t,,abcxy,,", true},
		{"quoted value with commas", [][]Clause{{clause("Agent", "def")}}, `t,"a,b""c,",xdefx,,`, true},
		{"comma in a quoted value is none", [][]Clause{{clause("Agent", "def")}}, `t,"a,def,b",x,,`, false},
		{"quoted value that is the one", [][]Clause{{clause("Url", "def")}}, `t,"a,def",x,,`, true},
		{"text behind a closing quote", [][]Clause{{clause("Url", "def")}}, `t,"a"def,x,,`, true},
		{"quote that is not closed", [][]Clause{{clause("Url", "def")}}, `t,"a,def,x`, true},
		{"nothing to go by", [][]Clause{{}}, "t,x,a,b,200", true},
		{"literals that say nothing", [][]Clause{{clause("Url", "a"), clause("Agent", "? :")}}, "t,,,,", true},
		{"one literal of two that says nothing", [][]Clause{{clause("Url", "abc a")}}, "t,,,,", true},
		{"no rules", nil, "t,abc,def,,", false},
		{"empty line", [][]Clause{{clause("Url", "abc")}}, "", false},
	}
	for _, tc := range tests {
		if got := gate(',', columns, tc.rules...).Pass([]byte(tc.line)); got != tc.want {
			t.Errorf("%s: %q passes: %v, want %v", tc.name, tc.line, got, tc.want)
		}
	}
}

func TestOtherDelimiters(t *testing.T) {
	t.Parallel()
	rule := []Clause{clause("Url", "abc")}
	for _, tc := range []struct {
		delim byte
		line  string
		want  bool
	}{
		{' ', `t "abc x`, true},
		{' ', `t "x abc`, false}, // a quote means nothing there
		{' ', `t  abc x`, true},
		{' ', ` t   abc  x`, true},
		{' ', `t  x abc`, false},
		{' ', `t  `, false},
		{0, "anything abc", true},
		{0, "anything", false},
	} {
		if got := gate(tc.delim, []string{"Time", "Url", "Agent"}, rule).Pass([]byte(tc.line)); got != tc.want {
			t.Errorf("delimiter %q: %q passes: %v, want %v", tc.delim, tc.line, got, tc.want)
		}
	}
	if !gate(',', []string{"Time", "User Agent"}, []Clause{clause("UserAgent", "abc")}).Pass([]byte("t,abc")) {
		t.Error("a column's name with a blank in it is not the one without")
	}
}

// Spellings that mean the same, as 8.3 names do.
func TestVariants(t *testing.T) {
	t.Parallel()
	short := func(l string) []string {
		if strings.Contains(l, "aspnet_client") {
			return []string{strings.ReplaceAll(l, "aspnet_client", "aspnet~1")}
		}
		return nil
	}
	g := New([][]Clause{{clause("Url", "/aspnet_client/x.aspx")}}, short, nil).Gate(',', []string{"Url"}).Start()
	for line, want := range map[string]bool{"/aspnet_client/x.aspx": true, "/ASPNET~1/x.aspx": true, "/aspnet/x.aspx": false, "/aspnet%7e1/x": true} {
		if got := g.Pass([]byte(line)); got != want {
			t.Errorf("%q passes: %v, want %v", line, got, want)
		}
	}
	all := New([][]Clause{{clause("Url", "abcdef")}}, func(string) []string { return []string{""} }, nil).Gate(',', []string{"Url"}).Start()
	if !all.Pass([]byte("x")) {
		t.Error("a literal of which not all spellings are known still refuses lines")
	}
}

// More rules than a word has bits, with few different clauses and with many.
func TestManyRules(t *testing.T) {
	t.Parallel()
	for _, n := range []int{63, 64, 65, 128, 129, 300} {
		for _, distinct := range []int{1, n} {
			var rules [][]Clause
			for i := range n {
				rules = append(rules, []Clause{clause("Url", fmt.Sprintf("abc%d.", i%distinct))})
			}
			rules = append(rules, []Clause{clause("Url", "xyz")})
			g := gate(',', []string{"Url"}, rules...)
			if !g.Pass([]byte("xyz")) || g.Pass([]byte("abd0.")) || !g.Pass([]byte(fmt.Sprintf("abc%d.", distinct-1))) {
				t.Errorf("%d rules with %d different clauses are decided wrongly", n, distinct)
			}
		}
	}
}

// words are literals and values of one alphabet, so that chance finds one in the other.
func words(t *rapid.T, label string, least, most int) []string {
	word := rapid.StringOfN(rapid.SampledFrom([]rune("abk1")), 2, 4, -1)
	return rapid.SliceOfN(word, least, most).Draw(t, label)
}

// On values without escapes, and for literals of plain letters, a gate says exactly
// what the rules say, however many there are.
func TestExact(t *testing.T) {
	t.Parallel()
	names := []string{"A", "B", "C", "D", "E"}
	rapid.Check(t, func(t *rapid.T) {
		var rules [][]Clause
		for range rapid.SampledFrom([]int{1, 2, 5, 63, 64, 65, 130, 200}).Draw(t, "rules") {
			var rule []Clause
			for range rapid.IntRange(1, 3).Draw(t, "clauses") {
				c := Clause{Literals: words(t, "literals", 1, 3)}
				if rapid.IntRange(0, 5).Draw(t, "whole line") > 0 {
					c.Columns = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 2, rapid.ID).Draw(t, "columns")
				}
				rule = append(rule, c)
			}
			rules = append(rules, rule)
		}
		columns := rapid.SliceOfN(rapid.SampledFrom(names[:4]), 1, 6).Draw(t, "header")
		g := gate(',', columns, rules...)
		g.memos = make([]memo, g.gate.stops) // as if many lines had come
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			cells := make([]string, rapid.IntRange(0, 7).Draw(t, "cells"))
			for i := range cells {
				cells[i] = strings.Join(words(t, "cell", 1, 4), "")
				if rapid.Bool().Draw(t, "upper case") {
					cells[i] = strings.ToUpper(cells[i])
				}
			}
			line := strings.Join(cells, ",")
			want := slices.ContainsFunc(rules, func(rule []Clause) bool {
				return !slices.ContainsFunc(rule, func(c Clause) bool { return !holds(c, columns, cells, line) })
			})
			for _, memory := range []string{"fresh", "known"} {
				if got := g.Pass([]byte(line)); got != want {
					t.Fatalf("header %v, %s line %q passes: %v, want %v, rules %v", columns, memory, line, got, want, rules)
				}
			}
		}
	})
}

// A value is only remembered as itself, whatever shares its place.
func TestMemo(t *testing.T) {
	t.Parallel()
	g := gate(',', []string{"Url"}, []Clause{clause("Url", "/evil.aspx")})
	rapid.Check(t, func(t *rapid.T) {
		for _, v := range rapid.SliceOfN(rapid.StringMatching(`/[ab]{0,3}(evil|EVIL|even)\.aspx[ab]{0,2}`), 1, 400).Draw(t, "values") {
			if got, want := g.Pass([]byte(v)), strings.Contains(strings.ToLower(v), "evil"); got != want {
				t.Fatalf("%q passes: %v, want %v", v, got, want)
			}
		}
	})
	if g.memos == nil {
		t.Error("nothing was remembered")
	}
}

// Skipping columns comes out where walking over each does.
func TestSkip(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{",", ",,", " ", "   ", `"`, `""`, `"a,b"`, `,"`, `",`, "a", "abcdefgh", "-"})
	rapid.Check(t, func(t *rapid.T) {
		line := []byte(strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "pieces"), ""))
		delim := rapid.SampledFrom([]byte{',', ' '}).Draw(t, "delimiter")
		n := rapid.IntRange(0, 20).Draw(t, "columns")
		want := 0
		for range n {
			if want <= len(line) {
				want = next(line, want, delim)
			}
		}
		got := skip(line, 0, n, delim)
		if delim == ' ' { // blanks before a column belong to it
			got, want = next(line, got, delim), next(line, want, delim)
		}
		if got != want {
			t.Fatalf("%d columns of %q: at %d, want %d", n, line, got, want)
		}
	})
}

func holds(c Clause, columns, cells []string, line string) bool {
	in := func(v string) bool {
		return slices.ContainsFunc(c.Literals, func(l string) bool { return strings.Contains(strings.ToLower(v), l) })
	}
	if c.Columns == nil {
		return in(line)
	}
	for i, name := range columns {
		if i < len(cells) && slices.Contains(c.Columns, name) && in(cells[i]) {
			return true
		}
	}
	return false
}

// Any character of a literal can be written in many ways that a parser undoes.
func spell(t *rapid.T, literal string) string {
	var b strings.Builder
	for i := range len(literal) {
		c := literal[i]
		if rapid.Bool().Draw(t, "upper case") {
			c = strings.ToUpper(literal)[i]
		}
		hex := fmt.Sprintf(rapid.SampledFrom([]string{"%02x", "%02X"}).Draw(t, "hex"), c)
		switch rapid.IntRange(0, 15).Draw(t, "spelling") {
		case 0:
			b.WriteString("%" + hex)
		case 1:
			b.WriteString("%25" + hex)
		case 2:
			b.WriteString("%2525" + hex)
		case 3:
			b.WriteString("%u00" + hex)
		case 4:
			b.WriteString("%U00" + hex)
		case 5: // the digits of the escape are escaped themselves
			b.WriteString(fmt.Sprintf("%%%%%02x%%%02x", hex[0], hex[1]))
		case 6, 7, 8:
			if c == '/' {
				b.WriteString(rapid.SampledFrom([]string{`\`, "//", "/./", "/x/../", `\.\`, "%5c", "%2f%2f"}).Draw(t, "slash"))
				continue
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// A gate never refuses a line whose decoded columns hold what a rule needs,
// whatever the case, escaping, quoting and position.
func TestNeverRefuses(t *testing.T) {
	t.Parallel()
	names := []string{"A", "B", "C", "D", "E"}
	literal := rapid.StringOfN(rapid.SampledFrom([]rune("abkxyz019-._~/<>'\"=&;(@,$[ +?:%{")), 1, 8, -1)
	literals := rapid.SliceOfN(literal, 1, 3)
	noise := rapid.StringOfN(rapid.SampledFrom([]rune("abk/.%2 é\\")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		delim := rapid.SampledFrom([]byte{',', ' ', 0}).Draw(t, "delimiter")
		columns := rapid.SliceOfN(rapid.SampledFrom(names), 1, 7).Draw(t, "header")
		var rules [][]Clause
		for range rapid.SampledFrom([]int{1, 3, 70}).Draw(t, "rules") {
			var rule []Clause
			for range rapid.IntRange(1, 5).Draw(t, "clauses") {
				c := Clause{Literals: literals.Draw(t, "literals")}
				if rapid.IntRange(0, 4).Draw(t, "whole line") > 0 {
					c.Columns = rapid.SliceOfNDistinct(rapid.SampledFrom(columns), 1, -1, rapid.ID).Draw(t, "columns")
				}
				rule = append(rule, c)
			}
			rules = append(rules, rule)
		}

		cells := make([]string, len(columns))
		for i := range cells {
			cells[i] = noise.Draw(t, "noise")
		}
		for _, c := range rapid.SampledFrom(rules).Draw(t, "the rule that matches") {
			where := rapid.IntRange(0, len(columns)-1).Draw(t, "anywhere")
			if c.Columns != nil {
				var at []int
				for i, name := range columns {
					if slices.Contains(c.Columns, name) {
						at = append(at, i)
					}
				}
				where = rapid.SampledFrom(at).Draw(t, "column")
			}
			cells[where] += spell(t, rapid.SampledFrom(c.Literals).Draw(t, "literal")) + noise.Draw(t, "noise")
		}
		for i := range cells {
			cells[i] = write(cells[i], delim, rapid.Bool().Draw(t, "quoted"))
		}
		between := string(max(delim, ' '))
		if delim == ' ' && rapid.Bool().Draw(t, "several blanks") {
			between = "  "
		}
		line := strings.Join(cells, between)
		if !gate(delim, columns, rules...).Pass([]byte(line)) {
			t.Fatalf("header %v, delimiter %q: refused %q, rules %v", columns, delim, line, rules)
		}
	})
}

// write puts a value into a cell as the writer of such a log does.
func write(v string, delim byte, quoted bool) string {
	switch {
	case delim == ' ' && v == "":
		return "-"
	case delim == ' ':
		return strings.ReplaceAll(v, " ", "+")
	case delim == ',' && (quoted || strings.ContainsAny(v, ",\"")):
		return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return v
}

// A line that holds nothing of any literal is refused: that is what a gate is for.
func TestSelective(t *testing.T) {
	t.Parallel()
	names := []string{"A", "B", "C"}
	rapid.Check(t, func(t *rapid.T) {
		var rules [][]Clause
		for range rapid.IntRange(1, 80).Draw(t, "rules") {
			c := Clause{Literals: rapid.SliceOfN(rapid.StringMatching(`[a-z]{2,6}([/=][a-z.]{0,3})?`), 1, 4).Draw(t, "literals")}
			if rapid.Bool().Draw(t, "columns") {
				c.Columns = []string{rapid.SampledFrom(names).Draw(t, "column")}
			}
			rules = append(rules, []Clause{c})
		}
		line := rapid.StringMatching(`[0-9 :/=?&-]*(,[0-9 :/=?&"-]*){0,5}(%20|%c3%a9|%3d)?[0-9]*`).Draw(t, "line")
		if gate(',', names, rules...).Pass([]byte(line)) {
			t.Fatalf("%q passes, rules %v", line, rules)
		}
	})
}

// realistic are rules of the shape of a campaign's, and lines of servers that
// nobody attacks.
func realistic() (httpproxy, iis *Pass, lines [2][][]byte) {
	proxy := strings.Split("DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,Protocol,UrlHost,UrlStem,ProtocolAction,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,AnchorMailbox,UserAgent,ClientIpAddress,ServerHostName,HttpStatus,BackEndStatus,ErrorCode,Method,ProxyAction,TargetServer,TargetServerVersion,RoutingType,RoutingHint,BackEndCookie,UrlQuery,GenericInfo", ",")
	w3c := strings.Split("date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken", " ")
	scripts := clause("UrlStem cs-uri-stem", ".aspx .ashx .asmx .asp .soap .cshtml")
	rules := [][]Clause{
		{clause("AnchorMailbox", "serverinfo~"), clause("AnchorMailbox BackEndCookie", "/autodiscover/")},
		{clause("AnchorMailbox", "serverinfo~"), clause("AnchorMailbox BackEndCookie", "/mapi/")},
		{clause("AnchorMailbox", "serverinfo~"), clause("AnchorMailbox BackEndCookie", "/ecp/proxylogon.ecp")},
		{clause("AnchorMailbox", "serverinfo~"), clause("AnchorMailbox BackEndCookie", "/ddiservice.svc/setobject")},
		{clause("RoutingHint", "x-beresource-cookie x-anonresource-backend-cookie"), clause("UrlStem", ".js .css .flt .gif .png .eot .ttf .ico")},
		{scripts, clause("UrlStem cs-uri-stem", "/aspnet_client/ /owa/auth/ /ecp/auth/ /oab/")},
		{clause("cs-method", "post"), clause("cs-uri-stem", ".js .css .flt .gif .png .eot .ttf")},
		{clause("cs-method", "post"), clause("cs-uri-stem", "/ecp/proxylogon.ecp")},
	}
	for _, s := range []string{
		`2021-03-03T06:49:43.699Z,3656c386-0000-4000-8000-000000000000,15,1,2176,2,{0F1E},Ews,mail.contoso.com,/ews/exchange.asmx,,Negotiate,true,CONTOSO\alice,,Sid~S-1-5-21-1004336348-1177238915-682003330-1142,Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.4266; Pro),192.0.2.7,EX01,200,200,,POST,Proxy,ex01.contoso.com,15.01.2176.000,IntraForest,WindowsIdentity,,,BeginRequest=2021-03-03T06:49:43.680Z;CorrelationID=<empty>;ProxyState-Run=None;FEAuth=BEVersion-1942062976;BeginGetResponse=2021-03-03T06:49:43.682Z;OnResponseReady=2021-03-03T06:49:43.698Z;EndGetResponse=2021-03-03T06:49:43.698Z;ProxyState-Complete=ProxyResponseData;SharedCacheGuard=0;EndRequest=2021-03-03T06:49:43.699Z;`,
		`2021-03-03T06:49:43.701Z,3656c386-0000-4000-8000-000000000001,15,1,2176,2,,Owa,127.0.0.1,/owa/,,FBA,false,,,,AMProbe/Local/ClientAccess,127.0.0.1,EX01,302,,,GET,,,,,,,,BeginRequest=2021-03-03T06:49:43.700Z;CorrelationID=<empty>;NoCookies=302 - GET/E14AuthPost;EndRequest=2021-03-03T06:49:43.701Z;`,
	} {
		lines[0] = append(lines[0], []byte(s))
	}
	for _, s := range []string{
		`2021-03-03 06:59:18 10.0.0.5 POST /Microsoft-Server-ActiveSync/default.eas Cmd=Ping&User=CONTOSO%5calice&DeviceId=ABCDEFGHIJKLMNOPQRSTUVWXYZ&DeviceType=iPhone&CorrelationID=<empty>;&cafeReqId=7f3a1b2c-0000-4000-8000-000000000000; 443 CONTOSO\alice 192.0.2.7 Apple-iPhone12C1/1803.60 - 200 0 0 871`,
		`2021-03-03 06:59:19 ::1 GET /owa/healthcheck.htm - 443 - ::1 HttpProxy.ClientAccessServer2010Ping - 200 0 0 1`,
	} {
		lines[1] = append(lines[1], []byte(s))
	}
	return gate(',', proxy, rules...), gate(' ', w3c, rules...), lines
}

func TestNoAllocations(t *testing.T) {
	httpproxy, iis, lines := realistic()
	for i, g := range []*Pass{httpproxy, iis} {
		for _, line := range lines[i] {
			if g.Pass(line) {
				t.Errorf("passes: %s", line)
			}
			if n := testing.AllocsPerRun(100, func() { g.Pass(line) }); n != 0 {
				t.Errorf("%v allocations for %.60s", n, line)
			}
		}
	}
}

func BenchmarkPass(b *testing.B) {
	httpproxy, iis, lines := realistic()
	for i, g := range []*Pass{httpproxy, iis} {
		b.Run([]string{"httpproxy", "iis"}[i], func(b *testing.B) {
			size := 0
			for _, line := range lines[i] {
				size += len(line)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, line := range lines[i] {
					g.Pass(line)
				}
			}
		})
	}
}

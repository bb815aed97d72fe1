package webfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// tags: every mark of an engine is put together here, so that no file of this
// repository looks like a page to a scanner.
var tags = strings.NewReplacer("‹", "<"+"%", "›", "%"+">", "«SCRIPT»", "scr"+"ipt", "«RUNAT»", "run"+"at=\"server\"", "«PHP»", "<?"+"php")

func split(name, content string) *Page { return Split(Decode([]byte(tags.Replace(content))), name) }

func TestRegions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, content, want string }{
		{"blocks", "a.aspx", `a‹ b ›c‹= d ›e‹# f ›‹: g ›‹$ h ›‹-- i ›j--›`, "Visual Basic:0: b |Visual Basic:1: d |Visual Basic:2: f |Visual Basic:1: g "},
		{"the directive says the language", "a.aspx", `‹@ Page Language="C#" ›‹ x ›`, "C#:0: x "},
		{"a space before it", "a.aspx", `‹ @Page Language=JScript›‹ x ›`, "JScript:0: x "},
		{"classic ASP", "a.asp", `‹@ language = "JScript" codepage=65001›‹ x ›`, "JScript:0: x "},
		{"classic ASP without", "a.asp", `‹ x ›`, "VBScript:0: x "},
		{"scripts that run on the server", "a.aspx", `<«SCRIPT» language="c#" «RUNAT»>a</«SCRIPT»><«SCRIPT»>b</«SCRIPT»><SCRIPT RUNAT=SERVER>c</SCRIPT>`, "C#:3:a|Visual Basic:3:c"},
		{"a script that never ends", "a.aspx", `<«SCRIPT» «RUNAT»>a`, "Visual Basic:3:a"},
		{"a handler", "a.ashx", "‹@ WebHandler Language=\"C#\" Class=\"H\" ›\nclass H {}", "C#:4:\nclass H {}"},
		{"a handler without its name", "a.ashx", "‹@ Language=\"C#\" Class=\"H\" ›class H {}", "C#:4:class H {}"},
		{"a handler whose code is elsewhere", "a.ashx", "‹@ WebHandler Language=\"C#\" Class=\"H\" CodeBehind=\"h.cs\" ›\r\n", ""},
		{"a page that names a class", "a.aspx", "‹@ Page Language=\"C#\" ClassName=\"H\" Class=\"H\" ›text", ""},
		{"JSP", "a.jsp", `‹@page import="x"›‹! a ›‹= b ›`, "Java:0: a |Java:1: b "},
		{"JSP document", "a.jspx", `<jsp:scriptlet>a</jsp:scriptlet><x:declaration>b</x:declaration>`, "Java:5:a|Java:5:b"},
		{"JSP expression", "a.jsp", `${param.a} ${x.getClass().f()}`, "Java:1:x.getClass().f()"},
		{"PHP", "a.php", `x «PHP» a ?> y <?= b ?>`, "PHP:0: a |PHP:0: b "},
		{"PHP to the end", "a.php", `«PHP» a`, "PHP:0: a"},
		{"PHP with its end in a string", "a.php", `«PHP» "?>" ?>x`, "PHP:0: \"?>\" "},
		{"XML is no PHP", "a.php", `<?xml version="1.0"?>`, ""},
		{"PHP is nothing to ASP.NET", "a.aspx", `«PHP» a ?>`, ""},
		{"everything where no engine is known", "a.txt", `‹ a ›«PHP» b ?>`, "VBScript:0: a |PHP:0: b "},
		{"a style sheet with script", "a.xsl", `<msxsl:script language="JScript" implements-prefix="x">a</msxsl:script>`, "JScript:5:a"},
		{"a quoted bracket in a tag", "a.aspx", `<«SCRIPT» x=">" «RUNAT»>a</«SCRIPT»>`, "Visual Basic:3:a"},
		{"code in an attribute", "a.aspx", `<input value="‹= a ›" «RUNAT» id="i"/>`, "Visual Basic:1: a "},
	} {
		p := split(c.file, c.content)
		var got []string
		for _, r := range p.Regions {
			got = append(got, fmt.Sprintf("%v:%d:%s", r.Lang, r.Mode, p.Text.Bytes[r.Start:r.End]))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: got %q, want %q", c.name, s, c.want)
		}
	}
}

func TestPageFacts(t *testing.T) {
	t.Parallel()
	p := split("a.aspx", `‹@ Page Language="C#" Inherits="X" CodeBehind="a.aspx.cs" ›<asp:TextBox ID="Cmd" «RUNAT» /><asp:FileUpload id=up runat=server /><asp:Label id="l" «RUNAT»/><asp:DropDownList id="d" «RUNAT»/><select id="s" «RUNAT»><option>1</option></select><input type="hidden" id="H" «RUNAT» /><object id="o" «RUNAT» progid="WScript.Sh`+`ell"></object>`)
	if !p.Inputs["cmd"] || !p.Inputs["h"] || !p.Inputs["d"] || !p.Inputs["s"] || p.Inputs["l"] || !p.Uploads["up"] || p.Objects["o"] == "" || p.CodeBehind != "a.aspx.cs" || p.Code() {
		t.Errorf("inputs %v, uploads %v, objects %v, code behind %q, code %v", p.Inputs, p.Uploads, p.Objects, p.CodeBehind, p.Code())
	}
}

// words gives the tokens of a piece of code in short: i:name s:string n:number and operators.
func words(toks []Token) string {
	var list []string
	for _, t := range toks {
		switch t.Kind {
		case Ident:
			list = append(list, "i:"+t.Text)
		case String:
			list = append(list, "s:"+t.Text)
		case Number:
			list = append(list, "n:"+t.Text)
		case Punct:
			list = append(list, t.Text)
		case Break:
			list = append(list, ";")
		}
	}
	return strings.Join(list, " ")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lang       Lang
		code, want string
	}{
		{CSharp, `x = a.B("c\"d") + @"e""f\g"; // h`, `i:x = i:a . i:b ( s:c"d ) + s:e"f\g ;`},
		{CSharp, `f($"a{{b}}")`, `i:f ( s:a{{b}} )`},
		{CSharp, `$"a{x}b"`, `s:a{x}b + ( i:x )`},
		{CSharp, "#region x\na", "i:a"},
		{CSharp, `'\x41' '\u0042' "\x43\u0044"`, `s:A s:B s:CD`},
		{CSharp, `@class \u0065val St\u0061rt`, `i:class i:eval i:start`},
		{CSharp, "a/*x*/b", "i:a i:b"},
		{CSharp, `a==b!=c=>d`, `i:a == i:b != i:c => i:d`},
		{CSharp, "\"unclosed\nx", "s:unclosed i:x"},
		{JScript, `/a"b/.test(c)`, `n:0 . i:test ( i:c )`},
		{JScript, `x / y / "z"`, `i:x / i:y / s:z`},
		{JScript, "`a`", "s:a"},
		{VBNet, "x = a _\n & \"b\"\"c\" ' d\ny = &H41", "i:x = i:a & s:b\"c ; i:y = n:&h41"},
		{VBNet, "a(1,\n2)\nb : c", "i:a ( n:1 , n:2 ) ; i:b ; i:c"},
		{VBNet, "[Process].Rem x\nREM y\nz", "i:process . ; i:z"},
		{VBNet, `Chr$(101)`, `i:chr ( n:101 )`},
		{VBNet, `f(a:=1)`, `i:f ( i:a := n:1 )`},
		{VBScript, "a = \u201cb\u201d", "i:a = s:b"},
		{Java, `"a" + '\u0062' + r\u0065q`, `s:a + s:b + i:req`},
		{PHP, `$A = 'a\'b\n' . "c\x41$d[0] {$e->f}"; # g`, `i:$A = s:a'b\n . s:cA  . ( i:$d [ n:0 ] ) . ( i:$e -> i:f ) ;`},
		{PHP, "$a = `ls $b`;", "i:$a = i:shell_exec ( s:ls  . ( i:$b ) ) ;"},
		{PHP, "<<<EOT\nx $y\nEOT;\nz", "s:\nx \n . ( i:$y ) ; i:z"},
		{PHP, "<<<'EOT'\n$y\nEOT;", "s:\n$y\n ;"},
		{PHP, `$$a ${'b'} @c()`, `$ i:$a $ { s:b } @ i:c ( )`},
	} {
		if got := words(Lex(c.code, c.lang, 0, 1000)); got != c.want {
			t.Errorf("%v %q:\n got %s\nwant %s", c.lang, c.code, got, c.want)
		}
	}
	// Brackets hide a word of Basic only if it could stand without them.
	for name, want := range map[string]bool{"[New]": false, "[Date]": false, "[Process]": true} {
		if got := Lex("x."+name, VBNet, 0, 10)[2].Odd; got != want {
			t.Errorf("%s: odd %v, want %v", name, got, want)
		}
	}
	// Java resolves escapes before it reads, so that they work in quotes too.
	p := split("a.jsp", `‹ Syst\u0065m.out.println(\u0022x"); ›`)
	toks, _ := p.Tokens(nil)
	if got := words(toks); got != `i:system . i:out . i:println ( s:x ) ;` {
		t.Errorf("Java escapes: %s", got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	p := split("a.aspx", strings.Repeat("‹a›", MaxRegions+10))
	if !p.Cut || len(p.Regions) != MaxRegions {
		t.Errorf("cut %v with %d regions", p.Cut, len(p.Regions))
	}
	p = split("a.aspx", "‹"+strings.Repeat("a ", MaxTokens+10)+"›")
	if toks, cut := p.Tokens(nil); !cut || len(toks) != MaxTokens {
		t.Errorf("cut %v with %d tokens", cut, len(toks))
	}
	p = split("a.aspx", strings.Repeat("<«SCRIPT» \"", 1<<18))
	if !p.Cut {
		t.Errorf("tags nested in tags were all walked")
	}
}

// TestEncodedScripts takes the encoding of Microsoft's script engines forth and
// back: every character, at every place of the order.
func TestEncodedScripts(t *testing.T) {
	t.Parallel()
	var plain strings.Builder
	for range 70 {
		for c := byte(' '); c < 0x7F; c++ {
			plain.WriteByte(c)
		}
		plain.WriteString("\t\xb7\xb5\r\n")
	}
	code := encode(plain.String())
	p := Split(Decode([]byte(tags.Replace("‹"+encodedStart+"AAAAAA=="+code+"AAAAAA=="+encodedEnd+"›"))), "a.asp")
	if !p.Encoded || len(p.Regions) != 1 {
		t.Fatalf("encoded %v, %d regions", p.Encoded, len(p.Regions))
	}
	want := plain.String()
	for _, r := range "\r\n<>@" { // written as two characters, read as one and a space
		want = strings.ReplaceAll(want, string(r), string(r)+" ")
	}
	r := p.Regions[0]
	want = strings.Trim(want, " ")
	if got := strings.Trim(string(p.Text.Bytes[r.Start:r.End]), " "); got != want {
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		t.Errorf("differs at %d: got %q, want %q", i, got[i:min(i+20, len(got))], want[i:min(i+20, len(want))])
	}
}

// encode is the other direction of decodeInPlace.
func encode(s string) string {
	var b strings.Builder
	n := 0
	escapes := map[byte]byte{}
	for letter, plain := range encodedEscapes {
		escapes[plain] = letter
	}
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			b.WriteByte(c)
			continue
		}
		if letter, ok := escapes[c]; ok {
			b.WriteString("@" + string(rune(letter)))
		} else {
			at := int(c) - 31
			if c == '\t' {
				at = 0
			}
			b.WriteByte(encodedAlphabets[encodedOrder[n%64]-'0'][at])
		}
		n++
	}
	return b.String()
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const text = "ab\r\nc<é>"
	wide := func(big bool, mark string) string {
		s := mark
		for _, u := range utf16.Encode([]rune(strings.Repeat(text, 4))) {
			if big {
				s += string([]byte{byte(u >> 8), byte(u)})
			} else {
				s += string([]byte{byte(u), byte(u >> 8)})
			}
		}
		return s
	}
	host, err := charmap.CodePage037.NewEncoder().String("<" + "%= a %" + ">\nb")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ raw, encoding string }{
		{text, "utf-8"}, {"\xef\xbb\xbf" + text, "utf-8"}, {wide(false, "\xff\xfe"), "utf-16le"}, {wide(true, "\xfe\xff"), "utf-16be"},
		{wide(false, ""), "utf-16le"}, {wide(true, ""), "utf-16be"}, {host, "ibm037"}, {"", "utf-8"}, {"\xff", "utf-8"}, {"\xff\xfea", "utf-16le"},
	} {
		d := Decode([]byte(c.raw))
		if d.Encoding != c.encoding {
			t.Errorf("%q: encoding %s, want %s", c.raw, d.Encoding, c.encoding)
		}
		if i := strings.Index(string(d.Bytes), "c<"); i >= 0 {
			if got := c.raw[d.Offset(i)]; got != 'c' && c.raw[d.Offset(i)+1] != 'c' {
				t.Errorf("%s: offset %d leads to %q", d.Encoding, d.Offset(i), got)
			}
			if d.Line(i) != 2 {
				t.Errorf("%s: line %d, want 2", d.Encoding, d.Line(i))
			}
			if got := d.Excerpt([]byte(c.raw), i, 200); !strings.HasPrefix(got, "c<é>") {
				t.Errorf("%s: excerpt %q", d.Encoding, got)
			}
		}
	}
}

func TestExcerptIsBounded(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.Repeat("é", 500))
	for i := range 20 {
		if got := Decode(raw).Excerpt(raw, i*37, 40); len(got) > 50 {
			t.Errorf("%d bytes at %d", len(got), i)
		}
	}
}

func TestDumpDates(t *testing.T) {
	t.Parallel()
	near := time.Date(2021, 3, 4, 0, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"3/3/2021 6:49:43 AM":    "2021-03-03 06:49:43",
		"3/14/2021 12:05:00 AM":  "2021-03-14 00:05:00",
		"3/14/2021 12:05:00 PM":  "2021-03-14 12:05:00",
		"03.04.2021 18:00:01":    "2021-04-03 18:00:01",
		"14/03/2021 18:00:01":    "2021-03-14 18:00:01",
		"2021-03-03 06:49:43":    "2021-03-03 06:49:43",
		"4/3/2021 6:00:00":       "2021-03-04 06:00:00", // nearer to the file's time than 3 April
		"3/3/21 6:49:43":         "2021-03-03 06:49:43",
		"31/31/2021 1:1:1":       "",
		"":                       "",
		"yesterday":              "",
		"99/99/9999 99:99:99 PM": "",
		"3/3/2021":               "",
	} {
		got := ""
		if d := parseLocal(s, near); !d.IsZero() {
			got = d.Format("2006-01-02 15:04:05")
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestDumpShape(t *testing.T) {
	t.Parallel()
	full := "ExtendedProtectionTokenChecking : None\r\nInternalAuthenticationMethods : x\r\nExternalUrl   : http://f/<«SCRIPT» «RUNAT»>a\r\n              b</«SCRIPT»>\r\nAdminDisplayVersion : Version 15.2 (Build 792.3)\r\n"
	d, ok := ParseDump(Decode([]byte(tags.Replace(full))))
	if !ok {
		t.Fatal("not read")
	}
	f, found := d.Markup()
	if want := tags.Replace("http://f/<«SCRIPT» «RUNAT»>ab</«SCRIPT»>"); !found || f.Value != want || d.Build().String() != "15.2.792.3" {
		t.Errorf("markup %q, want %q; build %v", f.Value, want, d.Build())
	}
	for _, s := range []string{"", "ExtendedProtectionTokenChecking", "ExternalUrl : x\r\nInternalUrl : y", strings.ReplaceAll(full, "External", "Extra")} {
		if _, ok := ParseDump(Decode([]byte(s))); ok {
			t.Errorf("%q was read as a dump", s)
		}
	}
}

// TestLeaps compares the search that leaps with the one that looks at every place.
func TestLeaps(t *testing.T) {
	t.Parallel()
	const word = "ExtendedProtectionTokenChecking"
	texts := []string{"", word[:30], "E" + word, word + word, "ExtendedProtectionToken" + word, "\xc5" + word + "\xe5", "Extended\x10rotectionTokenChecking"}
	for i := range len(word) {
		texts = append(texts, word[:i]+word, word[i:]+strings.ToUpper(word), word[:i]+"_"+word[i+1:], word[:i]+strings.ToUpper(word[i:])+"x",
			word[i:]+word[:i], strings.Repeat("g", i)+word[1:], strings.Repeat("n", i)+word)
	}
	found := 0
	for _, s := range texts {
		want := IndexFold([]byte(s), word) >= 0
		if got := containsFold([]byte(s), word); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
		if want {
			found++
		}
	}
	if found < len(word) || found == len(texts) {
		t.Errorf("%d of %d texts have the word", found, len(texts))
	}
}

func TestCompiledRecords(t *testing.T) {
	t.Parallel()
	c, ok := ParseCompiled(Decode([]byte("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-16\"?><preserve virtualPath=\"/owa/auth/x.aspx\" assembly=\"App_Web_a\" type=\"ASP.x\" filehash=\"1\"><filedeps><filedep name=\"/a\"/></filedeps></preserve>")))
	if !ok || c.VirtualPath != "/owa/auth/x.aspx" || c.Assembly != "App_Web_a" || len(c.Depends) != 1 {
		t.Errorf("got %+v, %v", c, ok)
	}
	for _, s := range []string{"", "x", "<preserve", "<preserve virtualPath=\"\"/>", "<a virtualPath=\"/x\"/>"} {
		if _, ok := ParseCompiled(Decode([]byte(s))); ok {
			t.Errorf("%q was read as a record", s)
		}
	}
}

// FuzzPage asks of any bytes under any name: regions lie in the text, in order and
// apart; tokens lie in regions; and a plain word is the text at its offset.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"‹@ Page Language=\"C#\"›‹ a.b(\"c\") ›", "«PHP» $a = \"{$b}\"; ?>", "<jsp:scriptlet>&amp;a</jsp:scriptlet>", "‹ x = \"y\" & _\n z ›", "#@~^AAAAAA==xAAAAAA==^#~@", "${a()}"} {
		for i := range 6 {
			f.Add([]byte(tags.Replace(s)), uint8(i))
		}
	}
	names := []string{"a.aspx", "a.asp", "a.jsp", "a.php", "a.ashx", "a.txt"}
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		if len(raw) > 1<<16 {
			t.Skip("larger inputs cost time; quadratic shapes are tested apart")
		}
		text := Decode(raw)
		p := Split(text, names[int(which)%len(names)])
		last := 0
		inOrder := true
		for _, r := range p.Regions {
			if r.Start < 0 || r.Start > r.End || r.End > len(p.Text.Bytes) {
				t.Fatalf("region %d–%d of %d", r.Start, r.End, len(p.Text.Bytes))
			}
			inOrder = inOrder && r.Start >= last
			last = r.End
		}
		if !inOrder && p.Engine != JSP { // ${…} are found in a second walk
			t.Errorf("regions overlap: %+v", p.Regions)
		}
		toks, _ := p.Tokens(nil)
		for _, tok := range toks {
			if tok.Off < 0 || int(tok.Off) > len(p.Text.Bytes) {
				t.Fatalf("token at %d of %d", tok.Off, len(p.Text.Bytes))
			}
			if text.Offset(int(tok.Off)) > int64(len(raw))+1 {
				t.Fatalf("token leads to byte %d of %d", text.Offset(int(tok.Off)), len(raw))
			}
		}
		if p.Engine == ClassicASP {
			for _, tok := range toks {
				if tok.Kind != Ident || tok.Odd || tok.Lang != VBScript {
					continue
				}
				at := p.Text.Bytes[tok.Off:]
				if bytes.HasPrefix(at, []byte("$\"")) && IndexFold(at, tok.Text) >= 0 {
					continue // a word in the hole of a string has the place of the string
				}
				if !hasFold(at, tok.Text) && !strings.EqualFold(strings.ToLower(string(at[:min(len(at), len(tok.Text))])), tok.Text) && isPlain(tok.Text) {
					t.Errorf("word %q does not stand at its offset: %q", tok.Text, at[:min(len(at), 20)])
				}
			}
		}
		ParseDump(text)
		ParseCompiled(text)
		text.Excerpt(raw, len(raw)/2, 64)
	})
}

// isPlain says whether a word is all ASCII, so that its case can be changed back.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

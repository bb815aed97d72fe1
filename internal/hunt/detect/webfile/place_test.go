package webfile

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/hunt/detect"
)

func toEBCDIC(s string) string {
	out, err := charmap.CodePage037.NewEncoder().String(s)
	if err != nil {
		panic(err) // the fixtures are ASCII
	}
	return out
}

const harmlessPage = `‹@ «PAGE» Language="C#"›<p>‹= DateTime.Now ›</p>`
const evalPage = `‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ»["k"]);›`
const uploadPage = `‹@ «PAGE» Language="C#"›‹ var f = «REQ».Files[0]; f.«SAVE»(Server.MapPath(".") + "\\" + f.FileName); ›`

// weakPage evaluates an expression of its own with a value in it, and writes a file.
const weakPage = "‹ s = \"x = \" & «REQ»(\"n\")\n«EXEC» s\nSet o = CreateObject(\"Scripting.FileSystemObject\")\no.CreateTextFile(place) ›"

func TestStockPages(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"as it was shipped", auth + "logon.aspx", stockPage("logon"), none},
		{"as it was shipped, in capitals", "FrontEnd/HttpProxy/owa/auth/RedirSuiteServiceProxy.aspx", stockPage("RedirSuiteServiceProxy"), none},
		{"customised", auth + "logon.aspx", stockPage("logon") + "<img src=\"logo.png\">", "unverified-stock 0 low"},
		{"of a later update", auth + "errorFE.aspx", harmlessPage, "unverified-stock 0 low"},
		{"known by name only", auth + "SvmFeedback.aspx", harmlessPage, "unverified-stock 0 low"},
		{"overwritten", auth + "RedirSuiteServiceProxy.aspx", stockPage("RedirSuiteServiceProxy") + evalPage, "overwritten-stock 4 high"},
		{"overwritten with an upload form", auth + "errorFE.aspx", uploadPage, "overwritten-stock 4 medium"},
		{"emptied", auth + "logon.aspx", "", "unverified-stock 0 low"},
		{"of another folder, bad", auth + "TimeoutLogout.aspx", evalPage, "misplaced-stock 4 high"},
		{"of another folder, harmless", auth + "TimeoutLogout.aspx", harmlessPage, "unexpected-page 1 low"},
		{"of another folder, a copy", auth + "TimeoutLogout.aspx", stockPage("TimeoutLogout"), "unverified-stock 0 low"},
		{"in its own folder", "frontend/httpproxy/ecp/auth/TimeoutLogout.aspx", stockPage("TimeoutLogout"), none},
		{"of the back end", "clientaccess/owa/default.aspx", stockPage("default"), none},
		{"below the product's folder on another drive", "exchange/frontend/httpproxy/owa/auth/logon.aspx", stockPage("logon"), none},
	})
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"harmless where only the product's belong", auth + "help.aspx", harmlessPage, "unexpected-page 1 low"},
		{"harmless below", auth + "15.1.2106/themes/resources/win.ashx", "‹@ WebHandler Language=\"C#\" Class=\"A\" ›class A {}", "unexpected-page 1 low"},
		{"no code", root + "system_web/x.aspx", "<html></html>", "unexpected-page 1 low"},
		{"empty", root + "x.aspx", " \r\n", "unexpected-page 1 low"},
		{"in the root of the site", "inetpub/wwwroot/x.aspx", harmlessPage, "unexpected-page 1 low"},
		{"below the root of the site", site + "x.aspx", harmlessPage, none},
		{"collected from below", "aspnet_client/x.aspx", harmlessPage, "unexpected-page 1 low"},
		{"collected with the root", "wwwroot/aspnet_client/x.aspx", evalPage, high},
		{"an upload form of a site", site + "up.aspx", uploadPage, none},
		{"an upload form among the product's", auth + "up.aspx", uploadPage, medium},
		{"hardly likely in a site", site + "x.asp", weakPage, level1},
		{"hardly likely among the product's", auth + "x.asp", weakPage, medium},
		{"an upload form under a published name", root + "OutlookEN.aspx", uploadPage, medium},
		{"in a language that no server has", auth + "x.aspx", "‹@ «PAGE» Language=\"x-inert\"›@@BODY@@<«SCRIPT» language=\"x-inert\" «RUNAT»>@@BODY@@</«SCRIPT»>", "webshell 4 low"},
		{"the same in a site", site + "x.aspx", "‹@ «PAGE» Language=\"x-inert\"›@@BODY@@<«SCRIPT» language=\"x-inert\" «RUNAT»>@@BODY@@</«SCRIPT»>", none},
		{"bad where nothing is served", "users/bob/downloads/x.aspx", evalPage, medium},
		{"perhaps bad where nothing is served", "users/bob/downloads/x.aspx", `‹@ «PAGE» Language="«JS»"›‹«EVAL»(x);›`, level1},
		{"harmless where no page belongs", "programdata/COM/x.aspx", harmlessPage, "unexpected-page 1 low"},
		{"bad where no page belongs", "programdata/COM/x.aspx", evalPage, medium},
	})
	for server, want := range map[string]string{
		auth + "x.aspx": "/owa/auth/x.aspx", root + "sub/x.aspx": "/aspnet_client/sub/x.aspx", "inetpub/wwwroot/x.aspx": "/x.aspx",
		"frontend/httpproxy/ecp/x.aspx": "/ecp/x.aspx", "frontend/httpproxy/oab/x.aspx": "/oab/x.aspx", "users/bob/x.aspx": "",
		site + "x.aspx": "/shop/x.aspx",
	} {
		f := lookAt(t, server, fixture(evalPage))
		if len(f) != 1 || f[0].Entities[postern.URL] != want {
			t.Errorf("%s: %d findings, address %q, want %q", server, len(f), f[0].Entities[postern.URL], want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"RedirSuiteServerProxy.aspx": "webfile.name.like redirsuiteserviceproxy.aspx",
		"OutlookEN.aspx":             "webfile.name.like outlookcn.aspx",
		"OutlookZH.aspx":             "webfile.name.like outlookcn.aspx",
		"errorFF.aspx":               "webfile.name.like errorfe.aspx",
		"errorEE.aspx":               "webfile.name.like errorfe.aspx",
		"errorFS.aspx":               "webfile.name.like errorfe.aspx",
		"loqon.aspx":                 "webfile.name.like logon.aspx",
		"l0gon.aspx":                 "webfile.name.like logon.aspx",
		"logof.aspx":                 "webfile.name.like logoff.aspx",
		"TimeoutLogout.aspx":         "webfile.name.published TimeoutLogout.aspx; webfile.name.misplaced TimeoutLogout.aspx",
		"Err0r.aspx":                 "webfile.name.published Err0r.aspx",
		"8Lw7tAhF.aspx":              "webfile.name.random 8Lw7tAhF.aspx",
		"570221043.aspx":             "webfile.name.random 570221043.aspx",
		"t.aspx":                     "webfile.name.short t.aspx",
		"resources.jpg.aspx":         "webfile.name.double resources.jpg.aspx",
		"web.config.aspx":            "webfile.name.double web.config.aspx",
		"help.aspx":                  "",
		"Calendar.aspx":              "",
		"Document1.aspx":             "",
	} {
		d := New(knowledge())
		l := &look{d: d, f: file(auth+name, ""), server: auth + strings.ToLower(name), name: name}
		l.where = d.places.where(l.server)
		var got []string
		for _, h := range d.hints(l) {
			about := h.text.Args["stock"]
			if about == "" {
				about = h.text.Args["name"]
			}
			got = append(got, h.text.Key+" "+about)
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s: got %q, want %q", name, s, want)
		}
	}
}

// A name alone never makes more than level 1, whatever it is.
func TestNamesDecideNothing(t *testing.T) {
	t.Parallel()
	for _, i := range knowledge().Indicators {
		if i.Kind != postern.IndicatorFileName {
			continue
		}
		for _, content := range []string{"", "<html></html>", fixture(harmlessPage)} {
			for _, f := range lookAt(t, "frontend/httpproxy/"+i.Place+"/"+i.Value, content) {
				if f.Level > postern.Probed {
					t.Errorf("%s with %q: level %d", i.Value, content, f.Level)
				}
			}
		}
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"a path", "windows/temp/cw.exe", "anything", "known-name 1 low"},
		{"a folder", "programdata/pst/x.dat", "anything", "known-name 1 low"},
		{"the beginning of a name", "windows/temp/lsass_123.dmp", "anything", "known-name 1 low"},
		{"a name that is no page", auth + "google.log", "anything", "known-name 1 low"},
		{"the same name elsewhere", "inetpub/logs/google.log", "anything", none},
	})
	f := lookAt(t, "windows/temp/cw.exe", "anything")[0]
	if f.Campaign != "proxylogon" {
		t.Errorf("campaign %q, want that of the indicator", f.Campaign)
	}
}

const temporary = "windows/microsoft.net/framework64/v4.0.30319/temporary asp.net files/"

func record(virtual string) string {
	return "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<preserve resultType=\"3\" virtualPath=\"" + virtual +
		"\" hash=\"fffffff8c1d1a0b2\" filehash=\"ffff9a3b5c7d1e2f\" flags=\"110000\" assembly=\"App_Web_ab12cd34\" type=\"ASP.x_aspx\">\r\n" +
		"    <filedeps>\r\n        <filedep name=\"" + virtual + "\" />\r\n    </filedeps>\r\n</preserve>\r\n"
}

func assembly(words ...string) string {
	s := "MZ\x90\x00" + strings.Repeat("\x00", 300)
	for _, w := range words {
		if strings.HasPrefix(w, "~") || strings.HasPrefix(w, "/") {
			s += wideText(w, false) + "\x00\x01"
		} else {
			s += w + "\x00"
		}
	}
	return s + strings.Repeat("\x00", 4000)
}

func TestCompiled(t *testing.T) {
	t.Parallel()
	app := func(name string) string { return temporary + name + "/0a1b2c3d/4e5f6a7b/" }
	check(t, []shape{
		{"a page that nobody knows", app("owa") + "x.aspx.1234abcd.compiled", record("/owa/auth/x.aspx"), "compiled-leftover 5 low"},
		{"a published name", app("root") + "outlooken.aspx.1234abcd.compiled", record("/aspnet_client/OutlookEN.aspx"), "compiled-leftover 5 medium"},
		{"a stock page", app("owa") + "logon.aspx.1234abcd.compiled", record("/owa/auth/logon.aspx"), none},
		{"a stock page in the wrong folder", app("owa") + "timeoutlogout.aspx.1234abcd.compiled", record("/owa/auth/TimeoutLogout.aspx"), "compiled-leftover 5 medium"},
		{"a page in the site's root", app("root") + "x.aspx.1234abcd.compiled", record("/x.aspx"), "compiled-leftover 1 low"},
		{"a page of a site", app("root") + "x.aspx.1234abcd.compiled", record("/shop/x.aspx"), none},
		{"a page of the product's own", app("ecp") + "x.aspx.1234abcd.compiled", record("/ecp/default.aspx"), none},
		{"global.asax", app("owa") + "app_global.asax.compiled", record("/owa/auth/global.asax"), none},
		{"not a record", app("owa") + "x.compiled", "<html>", none},
		{"a library of a shell", app("owa") + "App_Web_ab12cd34.dll", assembly("~/auth/x.aspx", "JScript"+"Evaluate"), "compiled-library 5 medium"},
		{"a library of an upload", app("root") + "App_Web_ab12cd34.dll", assembly("~/aspnet_client/x.aspx", "get_"+"Request", "get_"+"Files", "Save"+"As"), "compiled-library 5 medium"},
		{"a library of a page that nobody knows", app("owa") + "App_Web_ab12cd34.dll", assembly("~/auth/x.aspx"), "compiled-library 5 low"},
		{"a library of a stock page", app("owa") + "App_Web_ab12cd34.dll", assembly("~/auth/logon.aspx"), none},
		{"a library of a site", app("root") + "App_Web_ab12cd34.dll", assembly("~/shop/x.aspx", "JScript"+"Evaluate"), none},
	})
	f := lookAt(t, app("owa")+"x.aspx.1234abcd.compiled", record("/owa/auth/X.aspx"))[0]
	if f.Entities[postern.URL] != "/owa/auth/x.aspx" || !f.Time.Equal(written) || !f.HasTag(TagShellFile) {
		t.Errorf("address %q, time %v, tags %v", f.Entities[postern.URL], f.Time, f.Tags)
	}
}

func TestOtherNames(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"under the name of a style sheet", root + "x.css", evalPage, "renamed-page 1 low"},
		{"under the name of a picture", auth + "x.gif", "GIF89a" + evalPage, "renamed-page 1 low"},
		{"kept as a copy", auth + "x.aspx.bak", evalPage, "renamed-page 1 low"},
		{"before a second extension", site + "x.asp;.jpg", evalPage, "renamed-page 1 low"},
		{"templates of a script", site + "x.js", "var t = '<" + "%= name %" + ">'; ev" + "al(t);", none},
		{"a style sheet", site + "x.css", "a { color: red }", none},
		{"in a configuration", site + "web.config", "<?xml version=\"1.0\"?><configuration></configuration><!--" + evalPage + "-->", "config-code 4 medium"},
		{"harmless in a configuration", site + "web.config", "<configuration><!-- ‹= 1 › --></configuration>", "config-code 1 low"},
		{"a configuration", site + "web.config", "<?xml version=\"1.0\"?><configuration></configuration>", none},
	})
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	d := New(knowledge())
	broken := errors.New("broken")
	for _, open := range []func() (io.ReadCloser, error){
		func() (io.ReadCloser, error) { return nil, broken },
		func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("abc"), failing{broken})), nil
		},
	} {
		f := &detect.File{Path: "C/" + auth + "x.aspx", Server: auth + "x.aspx", Size: 10, Open: open}
		findings, _, err := d.Look(f)
		if !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		if got := summary(findings); got != "unexpected-page 1 low" {
			t.Errorf("findings %q", got)
		}
		if findings[0].Entities[postern.FileSHA256] != "" {
			t.Errorf("a hash of what could not be read")
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestLargeFiles(t *testing.T) {
	t.Parallel()
	pad := strings.Repeat(" \r\n", maxRead/3+1000)
	d := New(knowledge())
	for name, content := range map[string]string{"at the beginning": fixture(evalPage) + pad, "at the end": pad + fixture(evalPage)} {
		f := file(site+"x.aspx", content)
		findings, problems, err := d.Look(f)
		if err != nil || summary(findings) != high {
			t.Errorf("%s: %q, %v", name, summary(findings), err)
			continue
		}
		if len(problems) != 1 || problems[0].What != postern.Limit {
			t.Errorf("%s: problems %v, want one of the kind limit", name, problems)
		}
		at := findings[0].Evidence[0].Offset
		if !strings.HasPrefix(content[at:], fixture("«EVAL»")) {
			t.Errorf("%s: offset %d does not lead to the construct", name, at)
		}
		if findings[0].Entities[postern.FileSHA256] != hashOf(content) {
			t.Errorf("%s: hash is not that of the whole file", name)
		}
	}
}

// Every text that a finding can say exists in every language, with the arguments
// that it is given.
func TestTexts(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, r := range Rules() {
		keys = append(keys, r.Title.Key, r.Means.Key)
		if !strings.HasPrefix(r.ID, "files/") || !r.Level.Valid() || r.Confidence == postern.Unsaid {
			t.Errorf("rule %q is not complete", r.ID)
		}
	}
	for deed := range deeds {
		keys = append(keys, construct{deed: deed, flow: reaches}.say(1).Key, construct{deed: deed, flow: unclear}.say(1).Key)
	}
	for _, s := range signTexts() {
		if !s.IsZero() {
			keys = append(keys, s.Key)
		}
	}
	for _, lang := range catalogue.Languages {
		c, err := catalogue.Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if !c.Has(k) {
				t.Errorf("%s: no text for %s", lang, k)
			}
		}
	}
	ids := map[string]bool{}
	for _, r := range Rules() {
		if ids[r.ID] {
			t.Errorf("rule %s stands twice", r.ID)
		}
		ids[r.ID] = true
	}
}

// What findings say is the same in every run and at the same time.
func TestSameEveryTime(t *testing.T) {
	t.Parallel()
	d := New(knowledge())
	f := file(auth+"errorFF.aspx", fixture(evalPage))
	want := lookWith(t, d, f)
	done := make(chan []postern.Finding)
	for range 8 {
		go func() {
			got, _, _ := d.Look(f)
			done <- got
		}()
	}
	for range 8 {
		got := <-done
		if !slices.EqualFunc(got, want, func(a, b postern.Finding) bool {
			return a.ID == b.ID && a.Level == b.Level && slices.EqualFunc(a.Explain, b.Explain, func(x, y postern.Text) bool { return x.Key == y.Key })
		}) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

// Inputs that are made to cost the square of their length take no longer than
// honest ones of the same size.
func TestHostile(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, content := range map[string]string{
		"brackets":       "‹@ «PAGE» Language=\"C#\"›‹" + fill("f(") + "›",
		"other brackets": "‹@ «PAGE» Language=\"C#\"›‹" + fill("a[{(") + "›",
		"tags":           fill("<«SCRIPT» "),
		"quoted tags":    fill("<input x=\""),
		"regions":        fill("‹a›"),
		"joined":         "‹@ «PAGE» Language=\"C#\"›‹x=" + fill(`"a"+`) + "1›",
		"doubled":        "‹@ «PAGE» Language=\"C#\"›‹a0=\"xxxxxxxxxxxxxxxx\";" + doubled(40) + "›",
		"assignments":    "‹@ «PAGE» Language=\"C#\"›‹" + fill("a=") + "«REQ»[0];›",
		"calls":          "‹@ «PAGE» Language=\"C#\"›‹" + fill("«EVAL»(«REQ»[0]);") + "›",
		"names":          "‹@ «PAGE» Language=\"C#\"›‹a0=«REQ»[0];" + chain(15_000) + "›",
		"functions":      "‹@ «PAGE» Language=\"C#\"›<«SCRIPT» «RUNAT»>" + fill("void f(int a){") + "</«SCRIPT»>",
		"expressions":    fill("${"),
		"encoded":        "‹@ «PAGE» Language=\"C#\"›‹" + fill("#@~^") + "›",
		"escapes":        "‹@ «PAGE» Language=\"C#\"›‹" + fill(`\u0065`) + "›",
		"interpolated":   "‹@ «PAGE» Language=\"C#\"›‹$\"" + fill("{") + "\"›",
		"php strings":    "«PHP» \"" + fill("{$a") + "\";",
		"php braces":     "«PHP» \"" + fill("${") + "\";",
		"heredocs":       "«PHP» " + fill("<<<A\n"),
		"quotes":         "‹@ «PAGE» Language=\"VB\"›‹" + fill("\"") + "›",
		"dump":           "ExtendedProtectionTokenChecking : x\r\nInternalAuthenticationMethods : x\r\nExternalUrl : x\r\n" + fill(" y\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := site + "x.aspx"
			switch {
			case strings.HasPrefix(name, "php"), name == "heredocs":
				server = site + "x.php"
			case name == "expressions":
				server = site + "x.jsp"
			}
			start := time.Now()
			lookAt(t, server, fixture(content))
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("%v", took.Round(time.Millisecond))
			}
		})
	}
}

// doubled gives names of which each stands for the one before it twice.
func doubled(n int) string {
	var b strings.Builder
	for i := range n {
		p := string(rune('a'+i/10)) + string(rune('0'+i%10))
		q := string(rune('a'+(i+1)/10)) + string(rune('0'+(i+1)%10))
		b.WriteString(q + "=" + p + "+" + p + ";")
	}
	return b.String()
}

// chain gives names of which each takes the value of the one after it, so that
// every pass finds one.
func chain(n int) string {
	name := func(i int) string {
		s := "a"
		for ; i > 0; i /= 26 {
			s += string(rune('a' + i%26))
		}
		return s
	}
	var b strings.Builder
	for i := n; i > 0; i-- {
		b.WriteString(name(i) + "x=" + name(i-1) + "x;")
	}
	return b.String()
}

// TestCopiesOfStockPages looks at a page of the product that does what web shells do,
// where it lies and in other places, read and in memory.
func TestCopiesOfStockPages(t *testing.T) {
	t.Parallel()
	content := fixture(evalPage)
	k := knowledge()
	k.Stock = append(k.Stock, postern.StockFile{Place: "ecp/auth", Name: "tool.aspx", SHA256: hashOf(content)})
	d := New(k)
	for _, c := range []struct{ server, want string }{
		{"frontend/httpproxy/ecp/auth/tool.aspx", ""},
		{"inetpub/wwwroot/old/tool.aspx", ""},
		{"inetpub/wwwroot/x.aspx", "unverified-stock 0 low"},
		{auth + "x.aspx", "unverified-stock 0 low"},
	} {
		f := file(c.server, content)
		if got := summary(lookWith(t, d, f)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.server, got, c.want)
		}
		f.Whole = []byte(content)
		if got := summary(lookWith(t, d, f)); got != c.want {
			t.Errorf("%s in memory: got %q, want %q", c.server, got, c.want)
		}
		f = file(c.server, content+" ")
		if got := summary(lookWith(t, d, f)); got == c.want {
			t.Errorf("%s: a page that is no copy: got %q as well", c.server, got)
		}
	}
}

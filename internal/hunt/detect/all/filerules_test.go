package all

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"postern"
	"postern/internal/campaign"
	"postern/internal/exercise"
	"postern/internal/hunt/detect"
)

// Nothing here is a web shell, and nothing that is put together is one: words that
// scanners know are written with marks, and every stretch of code has a word in it
// that no compiler takes.
var pageMarks = strings.NewReplacer(
	"‹", "<"+"%", "›", " @@INERT@@ %"+">", "«EVAL»", "ev"+"al", "«EXEC»", "exec"+"ute", "«REQ»", "Req"+"uest",
	"«START»", "Process"+".Start", "«PSI»", "Process"+"StartInfo", "«PAGE»", "Pa"+"ge", "«JS»", "JScr"+"ipt", "«UNSAFE»", "uns"+"afe",
	"«SCRIPT»", "scr"+"ipt", "«RUNAT»", "run"+"at=\"server\"", "«LOAD»", "Assembly"+".Load", "«SHELL»", "WScr"+"ipt.Shell",
	"«SAVE»", "Save"+"As", "«PHP»", "<?"+"php @@INERT@@ ", "«POST»", "$_"+"POST", "«SYSTEM»", "sys"+"tem",
	"«RUNTIME»", "Run"+"time.getRuntime().ex"+"ec", "«PARAM»", "getPara"+"meter", "«CMD»", "cm"+"d.exe",
	"«LSA»", "lsas"+"rv.dll", "«DIT»", "ntd"+"s.dit", "«LSASS»", "ls"+"ass",
)

// packRules makes the detector of the file rules of all packs alone, and that of a hunt.
var packRules = sync.OnceValues(func() (rules, hunt []detect.FileDetector) {
	packs, err := campaign.BuiltIn()
	if err != nil {
		panic(err)
	}
	var k Knowledge
	for i, p := range packs {
		k.Indicators = append(k.Indicators, p.Indicators...)
		files := p.Files
		if i == 0 {
			files = append(slices.Clone(files), p.Facts.Files...)
			k.Stock = p.Facts.Stock
			for _, l := range p.Facts.Layout.Places {
				k.Layout.Places = append(k.Layout.Places, Place{Name: l.Name, Folder: l.Folder, URL: l.URL, Drop: l.Drop, Complete: l.Complete})
			}
			for _, s := range p.Facts.Layout.Staging {
				k.Layout.Staging = append(k.Layout.Staging, Staging(s))
			}
			k.Layout.Compiled = p.Facts.Layout.Compiled
		}
		for _, f := range files {
			k.FileRules = append(k.FileRules, detect.RuleFile{Text: f.Text, Where: f.File, Rules: f.Rules})
		}
	}
	if rules, err = FileRules(k); err != nil {
		panic(err)
	}
	if hunt, err = fileDetectors(k); err != nil {
		panic(err)
	}
	return rules, hunt
})

func lookAt(t testing.TB, detectors []detect.FileDetector, name string, content []byte) []postern.Finding {
	t.Helper()
	f := &detect.File{Path: "C/" + name, Server: strings.ToLower(name), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
	var all []postern.Finding
	for _, d := range detectors {
		if !d.Wants(f) {
			continue
		}
		found, _, err := d.Look(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, found...)
	}
	return all
}

// ranks is what a test compares of findings.
func ranks(findings []postern.Finding) string {
	var list []string
	for _, f := range findings {
		list = append(list, fmt.Sprintf("%s %d %s", path.Base(f.Rule), f.Level, f.Confidence))
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

const (
	someSite = "inetpub/wwwroot/shop/"
	owaAuth  = "Exchange/FrontEnd/HttpProxy/owa/auth/"
	clients  = "inetpub/wwwroot/aspnet_client/"
	compiled = "Windows/Microsoft.NET/Framework64/v4.0.30319/Temporary ASP.NET Files/owa/8e05b027/e164d61b/"
)

// directoryDump is what Exchange writes when a virtual directory is reset.
func directoryDump(external string) string {
	return "\r\nName                            : OAB (Default Web Site)\r\n" +
		"MetabasePath                    : IIS://ex01.example.test/W3SVC/1/ROOT/OAB\r\n" +
		"ExtendedProtectionTokenChecking : None\r\nAdminDisplayVersion             : Version 15.1 (Build 2106.2)\r\n" +
		"InternalUrl                     : https://ex01.example.test/OAB\r\nInternalAuthenticationMethods   : WindowsIntegrated\r\n" +
		"ExternalUrl                     : " + external + "\r\nObjectClass                     : top\r\n"
}

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// zipOf is the head of an archive that lists names and holds nothing.
func zipOf(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString("PK\x03\x04" + strings.Repeat("\x00", 22) + string(rune(len(n))) + "\x00\x00\x00" + n)
	}
	return b.String()
}

func cabOf(names ...string) string {
	return "MSCF" + strings.Repeat("\x00", 56) + strings.Join(names, "\x00"+strings.Repeat("\x01", 16)) + "\x00"
}

// fileSample is a file and the finding that must be among those about it, "" for none.
type fileSample struct{ name, path, content, want string }

func fileSamples() []fileSample {
	const shell = `<«SCRIPT» language="«JS»" «RUNAT»>function x(){«EVAL»(«REQ»["k"],"«UNSAFE»") @@INERT@@}</«SCRIPT»>`
	dump := func(s string) string { return directoryDump("http://f/" + s) }
	const none = ""
	return []fileSample{
		{"dump of a directory", owaAuth + "x.aspx", dump(shell), "dump-shell 4 high"},
		{"dump with a page in it", clients + "x.aspx", dump(`‹@ «PAGE» Language="C#"›`), "dump-shell 4 high"},
		{"dump in no language", owaAuth + "x.aspx", dump(`<«SCRIPT» language="x-inert" «RUNAT»>@@BODY@@</«SCRIPT»>`), "dump-shell 4 high"},
		{"dump, renamed", "cases/1/x.aspx_", dump(shell), "dump-shell 4 high"},
		{"dump in UTF-16", owaAuth + "x.aspx", "\xff\xfe" + utf16le(pageMarks.Replace(dump(shell))), "dump-shell 4 high"},
		{"dump of a healthy server", clients + "oab.txt", dump(""), none},
		{"dump of a healthy server as a page", clients + "oab.aspx", directoryDump("https://mail.example.test/OAB"), none},
		{"dump with markup, kept as text", clients + "oab.txt", dump(shell), none},

		{"mailbox", clients + "1.aspx", "!BDN" + strings.Repeat("\x00\x80\x7f", 300) + shell, "export-shell 4 high"},
		{"mailbox without code", clients + "1.aspx", "!BDN" + strings.Repeat("\x00\x80\x7f<%", 300), none},
		{"mailbox that is one", "users/bob/archive.pst", "!BDN" + strings.Repeat("\x00\x80\x7f", 300) + shell, none},
		{"certificate request", owaAuth + "c.aspx", "\x30\x82\x05\x10" + `‹@ «PAGE» Language="«JS»"›` + "\x02\x01", "page-certificate-request 4 high"},
		{"certificate", someSite + "c.cer", "\x30\x82\x03\x10\x30\x82\x02\x03<%\x81\x10" + strings.Repeat("\x10\x99", 300), none},

		{"one line", someSite + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ».Item["k"],"«UNSAFE»");›`, "page-evaluates-request 4 high"},
		{"one line, decoded", someSite + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹«EVAL»(System.Text.Encoding.GetEncoding(936).GetString(System.Convert.FromBase64String(«REQ».Item["k"])));›`, "page-evaluates-request 4 high"},
		{"one line in UTF-16", someSite + "a.aspx", utf16le(pageMarks.Replace(`‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ»["k"]);›`)), "page-evaluates-request 4 high"},
		{"classic, one line", someSite + "a.asp", `‹«EVAL» «REQ»("k")›`, "page-evaluates-request 4 high"},
		{"classic, executes", someSite + "a.cer", "‹\r\n«EXEC»Global «REQ»(\"k\")\r\n›", "page-evaluates-request 4 high"},
		{"by a name", someSite + "a.aspx", "‹@ «PAGE» Language=«JS»›‹var p = «REQ»[\"k\"];\n«EVAL»(p);›", "page-jscript 4 high"},
		{"backup of a page", someSite + "a.aspx.bak", "‹@ «PAGE» Language=«JS»›‹var p = «REQ»[\"k\"];\n«EVAL»(p);›", "page-jscript 4 high"},
		{"starts a program", someSite + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void L(){ var i = new «PSI»("«CMD»", "/c " + «REQ»["c"]); i.RedirectStandardOutput = true; Response.Write(«START»(i).StandardOutput.ReadToEnd()); @@INERT@@}</«SCRIPT»>`, "page-starts-program 4 medium"},
		{"writes", someSite + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.IO.File.WriteAllText(«REQ»["p"], «REQ»["f"]); ›`, "page-writes-files 4 medium"},
		{"uploads", someSite + "a.aspx", `‹@ «PAGE» Language="C#"›‹ «REQ».Files[0].«SAVE»(Server.MapPath(«REQ»["p"])); ›`, "page-writes-files 4 medium"},
		{"loads", someSite + "a.ashx", `‹@ WebHandler Language="C#" Class="H" ›class H { void P() { var b = new System.Security.Cryptography.RijndaelManaged().CreateDecryptor(k, k).TransformFinalBlock(c.«REQ».BinaryRead(9), 0, 9); System.Reflection.«LOAD»(b).CreateInstance("U") @@INERT@@; } }`, "page-loads-program 4 high"},
		{"tunnel", someSite + "t.aspx", `‹@ «PAGE» Language="C#"›‹ var c = «REQ».Headers["X-` + `CMD"]; var t = «REQ».Headers["X-` + `TARGET"]; Response.AddHeader("X-` + `STATUS", "OK"); ›`, "page-tunnel 4 high"},
		{"known cookie", someSite + "s.aspx", `‹@ «PAGE» Language="C#"›‹ var c = «REQ».Cookies["fq` + `rspt"]; ›`, "page-known-cookie 4 high"},
		{"style sheet", someSite + "x.aspx", `‹@ «PAGE» Language="C#"›‹ var d = new XmlDocument(); d.Load` + `Xml(«REQ»["x"]); var t = new XslCompiled` + `Transform(); t.Load(d, XsltSettings.Trusted` + `Xslt, null); ›`, "page-style-sheet 4 high"},
		{"looks for guards", someSite + "g.aspx", `‹@ «PAGE» Language="C#"›‹ if (File.Exists(@"C:\Program Files (x86)\FireEye\xa` + `gt\xa` + `gt.exe")) w("1"); if (File.Exists(@"C:\Windows\System32\drivers\cs` + `falcon.sys")) w("2"); ›`, "page-looks-for-guards 4 medium"},
		{"classic, runs", someSite + "a.asp", "‹Set w = Server.CreateObject(\"«SHELL»\")\nw.Run \"cm" + "d /c \" & «REQ»(\"c\"), 0›", "page-classic-shell 4 medium"},
		{"PHP", someSite + "a.php", `«PHP» @«EVAL»(«POST»['k']); ?>`, "page-php-runs-request 4 high"},
		{"PHP, decoded", someSite + "a.phtml", `«PHP» «SYSTEM»(base64_decode(«POST»["k"])); ?>`, "page-php-runs-request 4 high"},
		{"Java", someSite + "a.jsp", `‹ «RUNTIME»(request.«PARAM»("c")); ›`, "page-java-runs-request 4 high"},

		{"data binding", someSite + "l.aspx", `‹@ «PAGE» Language="C#" Inherits="Shop.List" ›<asp:Repeater «RUNAT»>‹# «EVAL»("Name") + «REQ»["q"] ›</asp:Repeater>`, none},
		{"manual page about shells", someSite + "help.aspx", `‹@ «PAGE» Language="C#" Inherits="Shop.Help" ›<p>A shell hands what it is asked to «EVAL»(«REQ»["k"]) in «JS».</p>‹= Title ›`, none},
		{"manual about shells", "users/bob/shells.md", "`‹«EVAL»(«REQ»[\"k\"])›` and `«PHP» «EVAL»(«POST»['k']);`", none},
		{"rules about shells", "users/bob/shells.yar", `$a = "‹«EVAL»(«REQ»" $b = "Language=\"«JS»\""`, none},
		{"style sheet of a site", someSite + "a.css", "a { content: '‹«EVAL»(«REQ»[\"k\"])›' }", none},
		{"upload with a folder of its own", someSite + "u.ashx", `‹@ WebHandler Language="C#" Class="U" ›class U { void P(HttpContext c) { c.«REQ».Files[0].«SAVE»(c.Server.MapPath("~/pictures/") + Guid.NewGuid()); } }`, none},
		{"process without a shell", someSite + "p.aspx", `‹@ «PAGE» Language="C#"›‹ «START»("iisreset.exe"); Response.Write(«REQ»["q"]); ›`, none},
		{"stock page", owaAuth + "logon.aspx", `‹@ «PAGE» language="c#" Inherits="Microsoft.Exchange.HttpProxy.Logon" ›<«SCRIPT» «RUNAT»>void X(){}</«SCRIPT»>`, none},
		{"configuration", someSite + "web.config", `<configuration><system.web><compilation defaultLanguage="c#"/></system.web></configuration>`, none},

		{"record of a page", compiled + "x.aspx.1.compiled", `<preserve resultType="3" virtualPath="/owa/auth/x.aspx" hash="1">`, "compiled-record 5 medium"},
		{"record of a stock page", compiled + "logon.aspx.1.compiled", `<preserve resultType="3" virtualPath="/owa/auth/logon.aspx" hash="1">`, none},
		{"record of a site's page", compiled + "default.aspx.1.compiled", `<preserve resultType="3" virtualPath="/shop/default.aspx" hash="1">`, none},
		{"assembly of a page", compiled + "App_Web_a1b2c3d4.dll", "MZ" + strings.Repeat("\x00", 90) + utf16le("~/auth/x.aspx"), "compiled-assembly 5 medium"},
		{"assembly of stock pages", compiled + "App_Web_a1b2c3d4.dll", "MZ" + strings.Repeat("\x00", 90) + utf16le("~/auth/logon.aspx\x00~/auth/errorFE.aspx"), none},

		{"memory of the logon service", "windows/temp/a.dmp", "MDMP" + strings.Repeat("\x00", 99) + utf16le(pageMarks.Replace(`C:\Windows\System32\«LSA»`)), "logon-service-dump 6 medium"},
		{"memory by its name", "windows/temp/«LSASS»_1.dmp", "MDMP" + strings.Repeat("\x00", 99), "logon-service-dump-name 6 low"},
		{"memory of another program", "windows/temp/a.dmp", "MDMP" + strings.Repeat("\x00", 99) + utf16le(`C:\Windows\System32\kernel32.dll`), none},
		{"archive of the directory", "programdata/a.zip", zipOf("Active Directory/«DIT»", "registry/SYSTEM"), "archive-of-secrets 6 medium"},
		{"archive of hives", "programdata/it.zip", zipOf("ip.txt", "system", "security"), "archive-of-secrets 6 medium"},
		{"archive of a program", "programdata/it.zip", zipOf("system/driver.inf", "security.dll", "sample"), none},
		{"archive of a dump", clients + "a.dmp.zip", zipOf("«LSASS».dmp"), "archive-of-secrets 6 medium"},
		{"cabinet of a survey", "windows/temp/a.cab", cabOf("ip.txt", "arp.txt", "system", "security"), "archive-of-secrets 6 medium"},
		{"cabinet of a driver", "programdata/Dell/a.cab", cabOf("system.dll", "driver.inf"), none},
		{"archive of a tool's sources", "users/bob/downloads/tool.zip", zipOf("tool/readme.md", "tool/secrets.py"), none},
		{"archive as a picture", clients + "iis.gif", zipOf("mail.txt"), "disguised-archive 6 medium"},
		{"picture", clients + "iis.gif", "GIF89a" + strings.Repeat("\x00", 99), none},
		{"program that reads passwords", "users/public/m.exe", "MZ" + strings.Repeat("\x00", 99) + utf16le("gentil"+"kiwi sekur"+"lsa"), "password-reader 6 high"},
		{"program with one of the words", "users/public/av.exe", "MZ" + strings.Repeat("\x00", 99) + utf16le("sekur"+"lsa"), none},
		{"script that calls home", "windows/temp/a.ps1", "$c = New-Object System.Net.Sockets.TCP" + "Client('x', 1); $s = $c.Get" + "Stream(); ie" + "x @@INERT@@", "script-calls-home 6 medium"},
		{"script that tests a port", "users/bob/port.ps1", "$c = New-Object System.Net.Sockets.TCP" + "Client('x', 1); $c.Connected", none},
		{"script that exports mail", "programdata/a.ps1", "Add-PS" + "Snapin Microsoft.Exchange.Management.PowerShell.E2010\r\nNew-Mailbox" + "ExportRequest -Mailbox x -FilePath '\\\\127.0.0.1\\c$\\inetpub\\wwwroot\\x @@INERT@@'", "script-exports-mail 6 medium"},
		{"script of an administrator", "users/admin/export.ps1", "Add-PS" + "Snapin Microsoft.Exchange.Management.PowerShell.E2010\r\nNew-Mailbox" + "ExportRequest -Mailbox x -FilePath '\\\\nas\\pst\\x.pst'", none},
		{"encrypted", "users/bob/letter.docx.CRYPT", "DEAR" + "CRY!" + strings.Repeat("\x00", 99), "encrypted-for-ransom 6 high"},
	}
}

func TestFileRules(t *testing.T) {
	t.Parallel()
	rules, _ := packRules()
	hit := make(map[string]bool)
	for _, s := range fileSamples() {
		findings := lookAt(t, rules, pageMarks.Replace(s.path), []byte(pageMarks.Replace(s.content)))
		if got := ranks(findings); s.want == "" && got != "" || !strings.Contains("; "+got+";", "; "+s.want+";") && s.want != "" {
			t.Errorf("%s (%s): got %q, want %q", s.name, s.path, got, s.want)
		}
		for _, f := range findings {
			hit[f.Rule] = true
		}
	}
	packs, err := campaign.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs {
		for _, file := range slices.Concat(p.Files, p.Facts.Files) {
			for name, r := range file.Rules {
				if !hit[r.ID] && r.Level > postern.NotSeen {
					t.Errorf("%s: no sample fires %s (%s)", file.File, name, r.ID)
				}
			}
		}
	}
}

// A file that the heuristic and rules of packs know is one finding, and as bad as the
// worst of them says.
func TestOneFindingAFile(t *testing.T) {
	t.Parallel()
	rules, hunt := packRules()
	experts := hunt[0].(joined).experts
	for _, s := range fileSamples() {
		content := []byte(pageMarks.Replace(s.content))
		all := lookAt(t, hunt, s.path, content)
		apart := lookAt(t, append(slices.Clone(rules), experts...), s.path, content)
		if len(apart) == 0 {
			if len(all) > 0 {
				t.Errorf("%s: got %s where neither finds anything", s.name, ranks(all))
			}
			continue
		}
		if s.want != "" && len(all) != 1 {
			t.Errorf("%s: got %d findings, want one: %s", s.name, len(all), ranks(all))
		}
		slices.SortFunc(apart, func(a, b postern.Finding) int { return postern.Severity(&a, &b) })
		if got := all[0]; got.Level != apart[0].Level || got.Confidence != apart[0].Confidence {
			t.Errorf("%s: got level %d %s, want %d %s as the worst alone", s.name, got.Level, got.Confidence, apart[0].Level, apart[0].Confidence)
		}
		for _, f := range apart {
			for name := range f.Entities {
				if _, kept := all[0].Entities[name]; !kept && s.want != "" {
					t.Errorf("%s: entity %s of %s was lost", s.name, name, f.Rule)
				}
			}
		}
	}
}

// Shells of exercises are found by the rules of packs alone and by the heuristic alone,
// so that each holds if the other is fooled. POSTERN_SEEDS asks more than one seed.
func TestExerciseShells(t *testing.T) {
	t.Parallel()
	rules, hunt := packRules()
	experts := hunt[0].(joined).experts
	kinds := make(map[string]int)
	seeds, _ := strconv.ParseUint(os.Getenv("POSTERN_SEEDS"), 10, 16)
	for seed := range max(1, seeds) {
		dir := t.TempDir()
		var stories []string
		for _, s := range exercise.Stories() {
			stories = append(stories, s.Name)
		}
		truth, err := exercise.Evidence(t.Context(), exercise.Options{Seed: seed + 900, Out: dir, Size: int64(len(stories)) << 20, Stories: stories, Variation: exercise.VaryAll})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range truth.Hosts {
			for _, f := range h.Files {
				if f.Level < postern.Implanted {
					continue
				}
				content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Path)))
				if err != nil {
					t.Fatal(err)
				}
				_, name, _ := strings.Cut(f.Path, "/")
				_, name, _ = strings.Cut(name, "/") // without host and drive
				for what, d := range map[string][]detect.FileDetector{"rules": rules, "experts": experts} {
					key := f.Kind + " by " + what
					if worst(lookAt(t, d, name, content)) >= postern.Implanted {
						kinds[key]++
					} else if _, known := kinds[key]; !known {
						kinds[key] = 0
					}
					if strings.HasPrefix(f.Kind, "shell") || strings.HasPrefix(f.Kind, "compiled") {
						if worst(lookAt(t, d, name, content)) < postern.Implanted {
							t.Errorf("seed %d: %s (%s) is not found by %s", seed+900, f.Path, f.Kind, what)
						}
					}
				}
			}
		}
	}
	t.Log(kinds)
}

func worst(findings []postern.Finding) postern.Level {
	level := postern.NotSeen
	for _, f := range findings {
		level = max(level, f.Level)
	}
	return level
}

// Rules hold however a page writes what it does: in any case, with blanks, wide.
func TestSpellingsOfPages(t *testing.T) {
	t.Parallel()
	rules, _ := packRules()
	random := rand.New(rand.NewPCG(1, 2))
	for _, s := range fileSamples() {
		if s.want == "" || !strings.HasSuffix(s.path, ".aspx") && !strings.HasSuffix(s.path, ".ashx") || s.content[0] != '<' && !strings.HasPrefix(s.content, "‹") {
			continue
		}
		for range 20 {
			text := []byte(pageMarks.Replace(s.content))
			for i, c := range text {
				if random.IntN(2) == 0 && 'a' <= c|0x20 && c|0x20 <= 'z' {
					text[i] = c ^ 0x20
				}
			}
			if random.IntN(3) == 0 && text[1] != 0 {
				text = []byte(utf16le(string(text)))
			}
			if worst(lookAt(t, rules, s.path, text)) < postern.Implanted {
				t.Fatalf("%s: not found as %q", s.name, text)
			}
		}
	}
}

// TestMeasureFileRules says how many pages of two collections the rules of packs find,
// the heuristic and both together. Neither collection is part of this repository.
//
//	POSTERN_SHELLS=DIR POSTERN_BENIGN=DIR go test -run TestMeasureFileRules -v ./internal/hunt/detect/all
//
// POSTERN_SHOW=high lists what rules call high.
func TestMeasureFileRules(t *testing.T) {
	shells, benign := os.Getenv("POSTERN_SHELLS"), os.Getenv("POSTERN_BENIGN")
	if shells == "" && benign == "" {
		t.Skip("POSTERN_SHELLS and POSTERN_BENIGN name no collections")
	}
	rules, hunt := packRules()
	experts := hunt[0].(joined).experts
	for _, c := range []struct{ name, dir string }{{"web shells", shells}, {"benign", benign}} {
		if c.dir == "" {
			continue
		}
		for _, place := range []string{someSite, owaAuth} {
			counts := make(map[string]map[string]int)
			seen := make(map[[32]byte]bool)
			err := filepath.WalkDir(c.dir, func(name string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				b, err := os.ReadFile(name)
				if h := sha256.Sum256(b); err != nil || seen[h] {
					return err
				} else {
					seen[h] = true
				}
				ext := strings.ToLower(filepath.Ext(name))
				if counts[ext] == nil {
					counts[ext] = make(map[string]int)
				}
				counts[ext]["files"]++
				for what, d := range map[string][]detect.FileDetector{"rules": rules, "experts": experts, "both": hunt} {
					f := lookAt(t, d, place+filepath.Base(name), b)
					slices.SortFunc(f, func(a, b postern.Finding) int { return postern.Severity(&a, &b) })
					if len(f) > 0 && f[0].Level >= postern.Implanted {
						counts[ext][what+" "+f[0].Confidence.String()]++
						if what == "rules" && os.Getenv("POSTERN_SHOW") == f[0].Confidence.String() {
							t.Log(name, ranks(f))
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for ext, n := range counts {
				if len(n) > 1 {
					t.Logf("%s as %s*%s: %v", c.name, place, ext, n)
				}
			}
		}
	}
}

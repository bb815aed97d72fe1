package webfile

import (
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// deed is what a construct can do for whoever sends a request.
type deed uint8

// The deeds, the worst first.
const (
	evaluates    deed = iota // runs text as a program
	starts                   // starts a process
	loads                    // loads a program from bytes or calls by name
	compiles                 // compiles text into a program
	deserialises             // makes objects of what it is sent
	transforms               // runs a style sheet with script in it
	includes                 // runs another file as a page
	writes                   // writes a file
	uploads                  // keeps an uploaded file
	connects                 // opens connections on behalf of the sender
	native                   // runs machine code
	keys                     // shows the secrets that sign sessions
	databases                // runs commands of the system through a database
	queries                  // runs the sender's statements in a database of the sender's choice
	browses                  // shows or removes files of the sender's choice
	plants                   // writes a page
	surveys                  // shows what the registry of the server holds
	listens                  // answers requests past the web server
	deeds                    // number of deeds
)

// langs is a set of languages.
type langs uint8

func only(list ...page.Lang) langs {
	var l langs
	for _, x := range list {
		l |= 1 << x
	}
	return l
}

func (l langs) has(x page.Lang) bool { return l&(1<<x) != 0 }

// The families. Code whose language is not known is taken for every one.
var (
	dotNet  = only(page.CSharp, page.VBNet, page.JScript, page.Unknown)
	scripts = only(page.VBScript, page.JScript, page.Unknown)
	com     = only(page.VBScript, page.JScript, page.VBNet, page.CSharp, page.Unknown)
	java    = only(page.Java)
	php     = only(page.PHP)
)

// sink is a construct that does something dangerous with what is put into it.
type sink struct {
	deed  deed
	langs langs
	// words are the names of the function, method or type, the last part of its path.
	words string
	// bare says that the name must not be a member of something.
	bare bool
	// after: one of these must be the part of the path before the name.
	after string
	// needs: one of these words must stand somewhere in the program.
	needs string
	// statement says that the language also takes arguments without brackets.
	statement bool
	// chosen says that honest pages do it too, with values of their own: only what
	// the request carries counts.
	chosen bool
}

// sinks are the constructs that are known. They are words, not patterns: folding
// and the lexer have taken away everything that could hide them.
var sinks = []sink{
	{deed: evaluates, langs: scripts | php, words: "eval", bare: true, statement: true},
	{deed: evaluates, langs: only(page.VBScript), words: "execute executeglobal", bare: true, statement: true},
	{deed: evaluates, langs: dotNet, words: "jscript" + "evaluate evaluatetointeger parsecontrol"},
	{deed: evaluates, langs: only(page.JScript), words: "function", after: "new"},
	{deed: evaluates, langs: com, words: "executestatement addcode", statement: true},
	{deed: evaluates, langs: com, words: "eval run", needs: "#scriptcontrol", statement: true},
	{deed: evaluates, langs: php, words: "assert create_function", bare: true},
	{deed: evaluates, langs: java, words: "eval", needs: "scriptenginemanager scriptengine nashornscriptenginefactory elprocessor groovyshell"},
	{deed: evaluates, langs: java, words: "createvalueexpression createmethodexpression parseexpression evaluateexpression"},

	{deed: starts, langs: dotNet, words: "start", needs: "process processstartinfo"},
	{deed: starts, langs: dotNet, words: "processstartinfo"},
	{deed: starts, langs: only(page.VBNet), words: "shell", bare: true, statement: true},
	{deed: starts, langs: dotNet, words: "shell", after: "interaction"},
	{deed: starts, langs: com, words: "exec run", needs: "#shell", statement: true},
	{deed: starts, langs: com, words: "shellexecute", statement: true},
	{deed: starts, langs: dotNet, words: "winexec createprocess createprocessasuser createprocesswithlogonw shellexecute system"},
	{deed: starts, langs: dotNet, words: "invokemethod", needs: "managementclass managementobject"},
	{deed: starts, langs: java, words: "exec", needs: "runtime getruntime"},
	{deed: starts, langs: java, words: "processbuilder"},
	{deed: starts, langs: java, words: "command", needs: "processbuilder"},
	{deed: starts, langs: php, words: "system exec shell_exec passthru popen proc_open pcntl_exec expect_popen", bare: true},
	{deed: starts, langs: php, words: "exec run shellexecute", needs: "#shell"},

	{deed: loads, langs: dotNet, words: "load", after: "assembly currentdomain appdomain"},
	{deed: loads, langs: dotNet, words: "loadfrom loadfile unsafeloadfrom", needs: "assembly reflection"},
	{deed: loads, langs: dotNet, words: "invoke", needs: "getmethod getmethods methodinfo"},
	{deed: loads, langs: dotNet, words: "invokemember"},
	{deed: loads, langs: com, words: "callbyname"},
	{deed: loads, langs: dotNet, words: "gettypefromprogid gettypefromclsid createinstancefrom", chosen: true},
	{deed: loads, langs: dotNet, words: "createdelegate", needs: "assembly reflection"},
	{deed: loads, langs: java, words: "defineclass defineanonymousclass"},
	{deed: loads, langs: java, words: "invoke", needs: "getmethod getdeclaredmethod getmethods"},
	{deed: loads, langs: java, words: "urlclassloader loadclass forname", needs: "urlclassloader classloader initialcontext bcel invoke newinstance"},
	{deed: loads, langs: php, words: "call_user_func call_user_func_array forward_static_call array_map array_filter array_walk array_reduce usort uasort uksort register_shutdown_function register_tick_function ob_start preg_replace_callback array_walk_recursive iterator_apply reflectionfunction array_diff_ukey array_diff_uassoc array_udiff array_udiff_assoc array_udiff_uassoc array_intersect_ukey array_intersect_uassoc array_uintersect array_uintersect_assoc array_uintersect_uassoc mb_ereg_replace_callback filter_var_array"},

	{deed: compiles, langs: dotNet, words: "compileassemblyfromsource compileassemblyfromfile compileassemblyfromdom compileassemblyfromsourcebatch"},
	{deed: compiles, langs: dotNet, words: "addscript invokescript addcommand addargument addparameter", needs: "powershell runspace runspacefactory pipeline"},
	{deed: compiles, langs: dotNet, words: "invoke", needs: "runspaceinvoke"},
	{deed: compiles, langs: dotNet, words: "evaluateasync runasync", needs: "csharpscript"},

	{deed: deserialises, langs: dotNet, words: "deserialize", needs: "binaryformatter losformatter objectstateformatter soapformatter netdatacontractserializer"},
	{deed: deserialises, langs: dotNet, words: "readobject", needs: "netdatacontractserializer"},
	{deed: deserialises, langs: dotNet, words: "deserialize deserializeobject", needs: "simpletyperesolver typenamehandling"},
	{deed: deserialises, langs: dotNet, words: "parse load", after: "xamlreader xamlservices"},
	{deed: deserialises, langs: dotNet, words: "xmlserializer", chosen: true},
	{deed: deserialises, langs: java, words: "objectinputstream xmldecoder"},
	{deed: deserialises, langs: php, words: "unserialize", bare: true},

	{deed: transforms, langs: dotNet, words: "load", needs: "xslcompiledtransform xsltransform"},

	{deed: includes, langs: dotNet, words: "registervirtualpathprovider createinstancefromvirtualpath"},
	{deed: includes, langs: php, words: "include include_once require require_once", bare: true, statement: true},

	{deed: writes, langs: dotNet, words: "writealltext writeallbytes writealllines appendalltext appendalllines create createtext appendtext openwrite", after: "file fileinfo"},
	{deed: writes, langs: dotNet, words: "createtext appendtext openwrite", needs: "fileinfo"},
	{deed: writes, langs: dotNet, words: "streamwriter filestream binarywriter"},
	{deed: writes, langs: com, words: "createtextfile opentextfile", statement: true},
	{deed: writes, langs: com, words: "savetofile", statement: true},
	{deed: writes, langs: dotNet, words: "downloadfile", needs: "webclient"},
	{deed: writes, langs: dotNet, words: "copy move", after: "file"},
	{deed: writes, langs: java, words: "fileoutputstream filewriter randomaccessfile"},
	{deed: writes, langs: java, words: "write newoutputstream newbufferedwriter", after: "files"},
	{deed: writes, langs: php, words: "file_put_contents fopen", bare: true},

	{deed: uploads, langs: dotNet, words: "saveas"},
	{deed: uploads, langs: php, words: "move_uploaded_file copy", bare: true},

	{deed: connects, langs: dotNet, words: "connect tcpclient beginconnect", needs: "socket tcpclient"},
	{deed: connects, langs: java, words: "socket socketchannel connect inetsocketaddress", needs: "socket socketchannel"},
	{deed: queries, langs: dotNet, words: "sqlcommand oledbcommand odbccommand sqldataadapter oledbdataadapter odbcdataadapter"},
	{deed: browses, langs: dotNet, words: "getfiles getdirectories getfilesystementries delete", after: "directory file"},
	{deed: browses, langs: dotNet, words: "writefile transmitfile", after: "response"},
	{deed: browses, langs: dotNet, words: "directoryinfo readalltext readallbytes"},
	{deed: browses, langs: dotNet, words: "setlastwritetime setcreationtime setattributes", after: "file"},
	{deed: surveys, langs: dotNet, words: "opensubkey", chosen: true},
	{deed: listens, langs: dotNet, words: "httplistener"},

	{deed: connects, langs: php, words: "fsockopen pfsockopen stream_socket_client socket_connect", bare: true},
}

// compiledSink is a sink with its words taken apart.
type compiledSink struct {
	sink
	afterSet map[string]bool
	needed   []uint16 // numbers of words
	ofClass  bool     // they stand for COM classes
}

// COM classes by which scripts start programs, evaluate text or write files, as
// program identifiers (without version) and class identifiers.
var comClasses = map[string]string{
	"wscript.shell":                        "#shell",
	"shell.application":                    "#shell",
	"wscript.network":                      "#network",
	"msscriptcontrol.scriptcontrol":        "#scriptcontrol",
	"scriptcontrol":                        "#scriptcontrol",
	"adodb.stream":                         "#stream",
	"scripting.filesystemobject":           "#files",
	"72c24dd5-d70a-438b-8a42-98424b88afb8": "#shell",
	"f935dc22-1cf0-11d0-adb9-00c04fd58a0b": "#shell",
	"13709620-c279-11ce-a49e-444553540000": "#shell",
	"0e59f1d5-1fbe-11d0-8ff2-00a0d10038bc": "#scriptcontrol",
	"0d43fe01-f093-11cf-8940-00a0c9054228": "#files",
	"00000566-0000-0010-8000-00aa006d2ea4": "#stream",
}

// What these identifiers begin with and how long the shortest is, since every string of a
// page is asked whether it is one.
const (
	comInitials = "WwSsMmAaCcFf710"
	minComClass = len("adodb.stream")
)

// comClass gives what a program or class identifier stands for.
func comClass(id string) string {
	if len(id) < minComClass || strings.IndexByte(comInitials+" {}", id[0]) < 0 {
		return ""
	}
	id = strings.ToLower(strings.Trim(id, " {}"))
	id = strings.TrimPrefix(id, "clsid:")
	if c := comClasses[id]; c != "" {
		return c
	}
	// a version behind it: "WScript.Shell.1"
	if i := strings.LastIndexByte(id, '.'); i > 0 {
		return comClasses[id[:i]]
	}
	return ""
}

// Pages that command a server, by what stands in them. Any campaign can leave them.
//
// A page is one by its name: texts that only speak of web shells are no pages, and a
// copy that was renamed on the way (x.aspx.bak) still is one. Within a page the words
// have to stand in code that the server runs. What needs more than words, such as a
// value that goes through several names before it is used, is for the heuristic.
//
// No string stands here as it does in what it finds: each has classes of one letter in
// it, so that nobody takes this file, or the program that carries it, for a web shell.

// What the names contain is asked first, which is quicker than the expressions.
private rule Server_Page {
  condition:
    (filename icontains ".as" or filename icontains ".soap" or filename icontains ".svc" or filename icontains ".master" or
    filename icontains ".ce" or filename icontains ".cd" or filename icontains ".htr") and
    filename matches /\.(aspx?|ashx|asmx|asax|ascx|master|soap|svc|cer|asa|cdx|htr)([._;~]|$)/i
}

private rule ASPNET_Page {
  condition:
    (filename icontains ".as" or filename icontains ".soap" or filename icontains ".svc" or filename icontains ".master") and
    filename matches /\.(aspx|ashx|asmx|asax|ascx|master|soap|svc)([._;~]|$)/i
}

private rule PHP_Page {
  condition:
    filename icontains ".ph" and filename matches /\.(php[3-8s]?|phtml|phar|pht)([._;~]|$)/i
}

private rule Java_Page {
  condition:
    filename icontains ".jsp" and filename matches /\.jsp[xfa]?([._;~]|$)/i
}

rule Evaluates_A_Request {
  meta:
    postern_id = "page-evaluates-request"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Web shell of one line"
    title_es = "Web shell de una línea"
    means_en = "The page hands a value of the request to the evaluator of its language. Whoever asks for the page runs what he likes; nothing else is done that way."
    means_es = "La página entrega un valor de la petición al evaluador de su lenguaje. Quien pide la página ejecuta lo que quiera; para nada más se hace así."
    author = "postern"
  strings:
    // Rarer than what the others begin with, so that few pages are searched for these.
    $request = /[r]equest/ ascii wide nocase private
    // Between the evaluator and the request stand only brackets and functions that decode.
    $block = /<%[^%]*\b[e](val|xecute(global|statement)?)[\s(]+([\w.]+[\s(]+([\w."-]*\)\s*\.)?){0,4}[r]equest\s*[.\[(]/ ascii wide nocase
    $element = /<[s]cript[^>]*[r]unat[^>]*>[^<]*\b[e](val|xecute(global|statement)?)[\s(]+([\w.]+[\s(]+([\w."-]*\)\s*\.)?){0,4}[r]equest\s*[.\[(]/ ascii wide nocase
  condition:
    filesize < 2MB and Server_Page and $request and any of ($block, $element)
}

rule JScript_Page_That_Evaluates {
  meta:
    postern_id = "page-jscript"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Page in JScript that evaluates what it is sent"
    title_es = "Página en JScript que evalúa lo que se le envía"
    means_en = "The server runs this page as JScript, it reads the request and it evaluates text. The product has no page in that language, and sites that evaluate have none left."
    means_es = "El servidor ejecuta esta página como JScript, y ella lee la petición y evalúa texto. El producto no tiene páginas en ese lenguaje, y ya no quedan sitios que evalúen así."
    author = "postern"
  strings:
    $language = /[j]script/ ascii wide nocase private
    $page = /<%\s*@\s*([p]age|webhandler|webservice|control|master)\b[^%>]*[l]anguage\s*=\s*["']?\s*[j]script/ ascii wide nocase
    $element = /<[s]cript[^>]*[l]anguage\s*=\s*\\?["']?\s*[j]script[^>]*[r]unat/ ascii wide nocase
    $reversed = /<[s]cript[^>]*[r]unat[^>]*[l]anguage\s*=\s*\\?["']?\s*[j]script/ ascii wide nocase
    $evaluates = /\b[e]val\s*(\/\*[^*]{0,60}\*\/)?\(/ ascii wide nocase
    $reads = /\b[r]equest\s*(\/\*[^*]{0,60}\*\/)?[.\[(]/ ascii wide nocase
  condition:
    // Classic pages in JScript are still about, and some of them evaluate what they configure.
    filesize < 100KB and ASPNET_Page and $language and any of ($page, $element, $reversed) and $evaluates and $reads
}

rule Starts_A_Program {
  meta:
    postern_id = "page-starts-program"
    postern_level = "implanted"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Page that hands commands to the system"
    title_es = "Página que entrega órdenes al sistema"
    means_en = "Code in the page starts the command interpreter and reads what the visitor sent. Web shells do that; a tool of an administrator may."
    means_es = "El código de la página inicia el intérprete de órdenes y lee lo que envió el visitante. Es lo que hacen los web shells; una herramienta de un administrador puede hacerlo."
    author = "postern"
  strings:
    $inline = /<%[^@#=$-]|<[s]cript[^>]*[r]unat/ ascii wide nocase
    $handler = /<%\s*@\s*[w]eb(handler|service)\b/ ascii wide nocase
    $process = /\b[P]rocess\s*\.\s*[S]tart\s*\(|\b[P]rocess[S]tartInfo\b/ ascii wide nocase
    $shell = /"\s*(c:\\{1,2}windows\\{1,2}system32\\{1,2})?([c]md|[p]owershell)(\.exe)?[\s"]/ ascii wide nocase
    $request = /\b[r]equest\s*[.\[(]/ ascii wide nocase
    $box = /\b\w{1,30}\.Text\b/ ascii wide
    $output = /\bStandardOutput\b/ ascii wide nocase
  condition:
    filesize < 200KB and Server_Page and ($inline or $handler) and $process and $shell and ($request or $box) and $output
}

rule Writes_What_It_Is_Sent {
  meta:
    postern_id = "page-writes-files"
    postern_level = "implanted"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Page that writes files where the visitor says"
    title_es = "Página que escribe archivos donde dice el visitante"
    means_en = "The name of the file that the page writes comes straight out of the request. Intruders put the next page on the server that way."
    means_es = "El nombre del archivo que escribe la página viene directamente de la petición. Así ponen los intrusos la siguiente página en el servidor."
    author = "postern"
  strings:
    $writer = /\b([S]treamWriter|[W]riteAll(Text|Bytes|Lines)|[A]ppendAllText|[C]reateText)\s*\(\s*(server\s*\.\s*mappath\s*\(\s*)?[r]equest\s*[.\[(]/ ascii wide nocase
    $upload = /\.\s*[S]ave[A]s\s*\(\s*(server\s*\.\s*mappath\s*\(\s*)?[r]equest\s*(\[|\(|\.\s*(item|form|query|headers|cookies|params))/ ascii wide nocase
  condition:
    filesize < 200KB and Server_Page and any of them
}

rule Loads_A_Program_It_Is_Sent {
  meta:
    postern_id = "page-loads-program"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Page that loads a program out of the request"
    title_es = "Página que carga un programa de la petición"
    means_en = "The page decodes or decrypts what it is sent, loads it as a program and makes an object of it. Tools with an interface work with such pages."
    means_es = "La página decodifica o descifra lo que se le envía, lo carga como programa y crea un objeto de él. Las herramientas con interfaz trabajan con páginas así."
    author = "postern"
  strings:
    $load = /\b[A]ssembly\s*\.\s*[L]oad\s*\(|[A]ssembly["']?\s*\)\s*\.\s*GetMethod\s*\(\s*["'][L]oad/ ascii wide nocase
    $read = /\b[r]equest\s*(\.\s*(binaryread|inputstream|form|item|headers|cookies|params)|[\[(])/ ascii wide nocase
    $make = /\b[C]reate[I]nstance\s*\(/ ascii wide nocase
    $decrypts = /\b([R]ijndaelManaged|CreateDecryptor|FromBase64String|TransformFinalBlock)\b/ ascii wide nocase
  condition:
    filesize < 100KB and Server_Page and all of them
}

rule Carries_A_Tunnel {
  meta:
    postern_id = "page-tunnel"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    postern_tags = "attack.t1090"
    title_en = "Page that carries connections into the network"
    title_es = "Página que lleva conexiones a la red interna"
    means_en = "The page opens connections that the visitor names and carries their data in headers of its own. Intruders reach other machines through it."
    means_es = "La página abre conexiones que nombra el visitante y lleva sus datos en cabeceras propias. A través de ella los intrusos alcanzan otras máquinas."
    author = "postern"
  strings:
    $command = /["'][X]-CMD["']/ ascii wide nocase
    $target = /["'][X]-TARGET["']/ ascii wide nocase
    $port = /["'][X]-PORT["']/ ascii wide nocase
    $status = /["'][X]-STATUS["']/ ascii wide nocase
    $error = /["'][X]-ERROR["']/ ascii wide nocase
    $greeting = /[G]eorg says, 'All seems fine'/ ascii wide nocase
  condition:
    filesize < 200KB and (Server_Page or PHP_Page or Java_Page) and ($greeting or 3 of ($command, $target, $port, $status, $error))
}

rule Has_A_Password_In_A_Cookie {
  meta:
    postern_id = "page-known-cookie"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Web shell that opens by a known cookie"
    title_es = "Web shell que se abre con una cookie conocida"
    means_en = "The page looks for the cookie by which one published back door of Exchange servers knows its owner."
    means_es = "La página busca la cookie por la que una puerta trasera publicada de servidores Exchange reconoce a su dueño."
    author = "postern"
    reference = "https://www.microsoft.com/en-us/security/blog/2021/03/02/hafnium-targeting-exchange-servers/"
  strings:
    $cookie = /["'][f]qrspt["']/ ascii wide nocase
    $request = /\b[r]equest\s*[.\[(]/ ascii wide nocase
  condition:
    filesize < 1MB and Server_Page and all of them
}

rule Runs_A_Style_Sheet {
  meta:
    postern_id = "page-style-sheet"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    postern_tags = "attack.t1220"
    title_en = "Page that runs a style sheet out of the request"
    title_es = "Página que ejecuta una hoja de transformación de la petición"
    means_en = "The page takes a style sheet with script from the visitor and applies it, which runs the script."
    means_es = "La página toma del visitante una hoja de transformación con código y la aplica, con lo que el código se ejecuta."
    author = "postern"
  strings:
    $transform = /\b[X]sl(Compiled)?[T]ransform\b/ ascii wide nocase
    $document = /\.\s*[L]oad[X]ml\s*\(\s*([\w.]+\s*\(\s*){0,3}[r]equest\s*[.\[(]/ ascii wide nocase
    $script = /\b([T]rustedXslt|[E]nableScript|XsltSettings\s*\(\s*(true|false)\s*,\s*true)/ ascii wide nocase
  condition:
    filesize < 200KB and Server_Page and $transform and $document and $script
}

rule Looks_For_Guards {
  meta:
    postern_id = "page-looks-for-guards"
    postern_level = "implanted"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1518.001"
    title_en = "Page that looks for security products"
    title_es = "Página que busca productos de seguridad"
    means_en = "The page tests which security products are installed. A page of a product has no reason to; intruders left such pages on Exchange servers."
    means_es = "La página comprueba qué productos de seguridad están instalados. Una página de un producto no tiene motivo para ello; los intrusos dejaron páginas así en servidores Exchange."
    author = "postern"
  strings:
    $exists = /\b(File|Directory)\s*\.\s*[E]xists\s*\(|\b[G]etProcesses(ByName)?\s*\(/ ascii wide nocase
    $one = /\b[x]agt(\.exe)?\b/ ascii wide nocase
    $two = /\b[c]sfalcon\w{0,12}(\.exe)?\b/ ascii wide nocase
    $three = /\b[c]arbon\s?black\b|\b[c]b(\.exe)\b/ ascii wide nocase
  condition:
    filesize < 100KB and Server_Page and $exists and 2 of ($one, $two, $three)
}

rule Classic_Page_With_A_Shell {
  meta:
    postern_id = "page-classic-shell"
    postern_level = "implanted"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Classic page that hands commands to the system"
    title_es = "Página clásica que entrega órdenes al sistema"
    means_en = "The page makes the object that starts programs, and what it starts comes from the request."
    means_es = "La página crea el objeto que inicia programas, y lo que inicia viene de la petición."
    author = "postern"
  strings:
    $object = /[W][S]cript\.[S]hell|[S]hell\.[A]pplication|72C24DD5-D70A-438B-8A42-98424B88AFB8/ ascii wide nocase
    $starts = /\.\s*([E]xec|[R]un|[S]hell[E]xecute)[\s(]+[^\r\n]{0,80}\b[r]equest\s*[.(]/ ascii wide nocase
  condition:
    filesize < 500KB and Server_Page and all of them
}

rule PHP_Runs_A_Request {
  meta:
    postern_id = "page-php-runs-request"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "PHP page that runs what it is sent"
    title_es = "Página PHP que ejecuta lo que se le envía"
    means_en = "The page hands a value of the request to the evaluator, or to a command of the system."
    means_es = "La página entrega un valor de la petición al evaluador o a una orden del sistema."
    author = "postern"
  strings:
    $runs = /\b([e]val|[a]ssert|[s]ystem|[p]assthru|[s]hell_exec|[e]xec|[p]open|[p]roc_open|[c]reate_function)\s*\(\s*@?((base64_decode|gzinflate|gzuncompress|str_rot13|stripslashes|urldecode|trim|str_replace)\s*\(\s*){0,4}["']?\$_(POST|GET|REQUEST|COOKIE|SERVER)\s*\[/ nocase
    $quotes = /`[^`\r\n]*\{?\$_(POST|GET|REQUEST|COOKIE)\s*\[[^`\r\n]*`/ nocase
    $begin = /<\?(php|=|\s)/ nocase
  condition:
    filesize < 1MB and PHP_Page and $begin and ($runs or $quotes)
}

rule Java_Page_Runs_A_Request {
  meta:
    postern_id = "page-java-runs-request"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Java page that runs what it is sent"
    title_es = "Página Java que ejecuta lo que se le envía"
    means_en = "The page hands a parameter of the request to the system as a command."
    means_es = "La página entrega un parámetro de la petición al sistema como orden."
    author = "postern"
  strings:
    $runs = /[g]etRuntime\s*\(\s*\)\s*\.\s*[e]xec\s*\(\s*(new\s+String\s*\[\s*\]\s*\{[^}]*)?[r]equest\s*\.\s*[g]et/ nocase
    $builds = /[P]rocessBuilder\s*\(\s*[^;]*[r]equest\s*\.\s*[g]et(Parameter|Header)/ nocase
  condition:
    filesize < 1MB and Java_Page and any of them
}

rule Certificate_Request_Page {
  meta:
    postern_id = "page-certificate-request"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Web shell in a certificate request"
    title_es = "Web shell en una solicitud de certificado"
    means_en = "A certificate request with server-side code in it has the name of a page. Intruders let Exchange write it so."
    means_es = "Una solicitud de certificado que contiene código de servidor tiene nombre de página. Los intrusos hacen que Exchange la escriba así."
    author = "postern"
  strings:
    $page = /<%\s*@?\s*[a-z]{4}/ nocase
    $element = /<[s]cript[\s>]/ nocase
  condition:
    filesize < 10KB and Server_Page and uint16be(0) == 0x3082 and any of them
}

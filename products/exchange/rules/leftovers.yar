// What pages, thieves and their tools leave beside pages. Any campaign can leave it.
//
// Programs are looked at only where nobody installs any (Loose_Place), or every library
// of Windows would have to be read. No string stands here as it does in what it finds.

private rule Loose_Place {
  condition:
    filepath icontains "\\programdata\\" or
    filepath icontains "\\users\\" or
    filepath icontains "\\perflogs\\" or
    filepath icontains "\\root\\" or
    filepath icontains "\\inetpub\\" or
    filepath icontains "\\temp\\" or
    filepath icontains "\\httpproxy\\" or
    filepath icontains "\\clientaccess\\" or
    filepath icontains "\\$recycle.bin\\" or
    filepath matches /^\\[^\\]+$/
}

// Folders whose files the web server hands out.
private rule Served_Place {
  condition:
    filepath icontains "\\wwwroot\\" or
    filepath icontains "\\httpproxy\\" or
    filepath icontains "\\clientaccess\\"
}

rule Record_Of_A_Compiled_Page {
  meta:
    postern_id = "compiled-record"
    postern_level = "used"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Record of a page that was run in a drop folder"
    title_es = "Registro de una página ejecutada en una carpeta de implantación"
    means_en = "ASP.NET compiled a page of a folder in which the product has a few pages of its own, and it is none of them. That happens when a page is asked for the first time, and what is left outlives it."
    means_es = "ASP.NET compiló una página de una carpeta en la que el producto tiene pocas páginas propias, y no es ninguna de ellas. Ocurre cuando se pide una página por primera vez, y lo que queda la sobrevive."
    author = "postern"
  strings:
    $preserve = "<preserve" ascii wide nocase
    $page = /\bvirtualPath="\/(owa\/auth|ecp\/auth|oab|aspnet_client)\/[^"]{1,160}\.(aspx|ashx|asmx|soap)"/ ascii wide nocase
    $stock = /\bvirtualPath="\/(owa\/auth\/(errorfe|expiredpassword|frowny|logoff|logon|outlookcn|redirsuiteserviceproxy|signout|svmfeedback)|ecp\/auth\/timeoutlogout)\.aspx"/ ascii wide nocase
  condition:
    filesize < 64KB and filename icontains ".compiled" and filename matches /\.compiled([._~]|$)/i and $preserve and $page and not $stock
}

rule Assembly_Of_A_Page {
  meta:
    postern_id = "compiled-assembly"
    postern_level = "used"
    postern_confidence = "medium"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Compiled form of a page in a drop folder"
    title_es = "Forma compilada de una página en una carpeta de implantación"
    means_en = "ASP.NET keeps this program of a page that is none of the product's. It is made when the page is asked for the first time, and outlives the page."
    means_es = "ASP.NET guarda este programa de una página que no es del producto. Se hace cuando se pide la página por primera vez y sobrevive a la página."
    author = "postern"
  strings:
    $page = /~\/(aspnet_client|auth)\/[ -~]{1,120}\.(aspx|ashx|asmx|soap)/ ascii wide nocase
    $stock = /~\/auth\/(errorfe|expiredpassword|frowny|logoff|logon|outlookcn|redirsuiteserviceproxy|signout|svmfeedback|timeoutlogout)\.aspx/ ascii wide nocase
  condition:
    filesize < 100KB and uint16(0) == 0x5A4D and filename icontains "app_web_" and filename matches /^app_web_[^\\]{1,80}\.dll([._~]|$)/i and #page > #stock
}

rule Memory_Of_The_Logon_Service {
  meta:
    postern_id = "logon-service-dump"
    postern_level = "post-exploitation"
    postern_confidence = "medium"
    postern_tags = "attack.t1003.001"
    title_en = "Copy of the memory of the logon service"
    title_es = "Copia de la memoria del servicio de inicio de sesión"
    means_en = "A minidump lists the modules of the process that holds the passwords of everybody who is logged on."
    means_es = "Un minivolcado enumera los módulos del proceso que guarda las contraseñas de quienes tienen sesión iniciada."
    author = "postern"
  strings:
    $module = /[l]sasrv\.dll/ wide nocase
  condition:
    // The list of modules stands before the memory, in which any name may stand. What is
    // larger is cut by the engine, and found by files/credential-dump.
    filesize < 32MB and uint32(0) == 0x504D444D and $module in (0..1MB)
}

rule Dump_Named_After_The_Logon_Service {
  meta:
    postern_id = "logon-service-dump-name"
    postern_level = "post-exploitation"
    postern_confidence = "low"
    postern_tags = "attack.t1003.001"
    title_en = "Memory of a process, named after the logon service"
    title_es = "Memoria de un proceso con el nombre del servicio de inicio de sesión"
    means_en = "A minidump has the name that tools give to the memory of the logon service. What is in it was not seen."
    means_es = "Un minivolcado lleva el nombre que las herramientas dan a la memoria del servicio de inicio de sesión. No se vio qué contiene."
    author = "postern"
  condition:
    filesize < 32MB and uint32(0) == 0x504D444D and filename icontains "lsa" and filename matches /[l]sass/i
}

rule Archive_Of_Secrets {
  meta:
    postern_id = "archive-of-secrets"
    postern_level = "post-exploitation"
    postern_confidence = "medium"
    postern_tags = "attack.t1560"
    postern_tags = "attack.t1003"
    title_en = "Archive that lists password databases"
    title_es = "Archivo comprimido que enumera bases de contraseñas"
    means_en = "The archive lists copies of what Windows keeps passwords in. Intruders put these together to take them away."
    means_es = "El archivo comprimido enumera copias de donde Windows guarda contraseñas. Los intrusos las reúnen para llevárselas."
    author = "postern"
  strings:
    $directory = /[n]tds\.dit/ nocase
    $memory = /[l]sass[\w-]{0,24}\.dmp/ nocase
    $address = "ip.txt" fullword nocase
    $neighbours = "arp.txt" fullword nocase
    $system = /[\x00\x20\\\/]system\x00/ nocase
    $security = /[\x00\x20\\\/]security\x00/ nocase
    $sam = /[\x00\x20\\\/]sam\x00/ nocase
    // Members of a ZIP by their exact names: the length stands before the name.
    $zip_system = /PK\x03\x04[\x00-\xff]{22}\x06\x00[\x00-\xff]{2}system/ nocase
    $zip_security = /PK\x03\x04[\x00-\xff]{22}\x08\x00[\x00-\xff]{2}security/ nocase
    $zip_sam = /PK\x03\x04[\x00-\xff]{22}\x03\x00[\x00-\xff]{2}sam/ nocase
  condition:
    filesize < 32MB and (Loose_Place or Served_Place) and (
      (uint32(0) == 0x04034B50 or uint32(0) == 0x4643534D) and ($directory or $memory) or
      uint32(0) == 0x04034B50 and 2 of ($zip_*) or
      uint32(0) == 0x4643534D and $system and ($security or $sam) and filesize < 10MB or
      uint32(0) == 0x4643534D and $address and $neighbours and filesize < 10MB)
}

rule Archive_Under_Another_Name {
  meta:
    postern_id = "disguised-archive"
    postern_level = "post-exploitation"
    postern_confidence = "medium"
    postern_tags = "attack.t1036.008"
    postern_tags = "attack.t1074.001"
    title_en = "Archive under the name of a picture or style sheet"
    title_es = "Archivo comprimido con nombre de imagen o de hoja de estilo"
    means_en = "By its first bytes the file is an archive, by its name a picture or a style sheet, and the web server hands it out. Stolen data left Exchange servers that way."
    means_es = "Por sus primeros bytes el archivo es un archivo comprimido, por su nombre una imagen o una hoja de estilo, y el servidor web lo entrega. Así salieron datos robados de servidores Exchange."
    author = "postern"
  condition:
    filesize < 32MB and Served_Place and (extension == ".gif" or extension == ".png" or extension == ".jpg" or extension == ".jpeg" or extension == ".ico" or extension == ".bmp" or extension == ".css" or extension == ".js") and
    (uint32(0) == 0x04034B50 or uint32(0) == 0x4643534D or uint32(0) == 0xAFBC7A37 or uint32(0) == 0x21726152)
}

rule Reads_Passwords_Out_Of_Memory {
  meta:
    postern_id = "password-reader"
    postern_level = "post-exploitation"
    postern_confidence = "high"
    postern_tags = "attack.t1003.001"
    title_en = "Program that reads passwords out of memory"
    title_es = "Programa que lee contraseñas de la memoria"
    means_en = "The program has the names of the commands by which a well-known tool reads the memory of the logon service."
    means_es = "El programa tiene los nombres de las órdenes con que una herramienta conocida lee la memoria del servicio de inicio de sesión."
    author = "postern"
  strings:
    $one = /[s]ekurlsa/ ascii wide nocase
    $two = /[g]entilkiwi/ ascii wide nocase
    $three = /[k]uhl_m_/ ascii wide nocase
    $four = /[l]sadump::/ ascii wide nocase
  condition:
    filesize < 8MB and Loose_Place and uint16(0) == 0x5A4D and 2 of them
}

rule Script_That_Calls_Home {
  meta:
    postern_id = "script-calls-home"
    postern_level = "post-exploitation"
    postern_confidence = "medium"
    postern_tags = "attack.t1059.001"
    title_en = "Script that takes commands from elsewhere"
    title_es = "Script que recibe órdenes de otro lugar"
    means_en = "A script of PowerShell opens a connection and evaluates what it reads from it, or has the names of published tools that do."
    means_es = "Un script de PowerShell abre una conexión y evalúa lo que lee de ella, o tiene los nombres de herramientas publicadas que lo hacen."
    author = "postern"
  strings:
    $client = /[N]et\.Sockets\.[T][C][P][C]lient\s*\(/ ascii wide nocase
    $stream = /\.\s*[G]etStream\s*\(/ ascii wide nocase
    $evaluates = /\b([i]ex|[I]nvoke-[E]xpression)\b/ ascii wide nocase
    $cat = /\bfunction\s+[p]owercat\b/ ascii wide nocase
    $known = /\bfunction\s+[I]nvoke-([M]imikatz|[P]owerShellTcp\w{0,20}|[P]owerDump|[K]erberoast)\b/ ascii wide nocase
  condition:
    filesize < 5MB and (extension == ".ps1" or extension == ".psm1" or extension == ".bat" or extension == ".cmd" or extension == ".txt" or extension == ".tmp" or extension == ".dat") and Loose_Place and
    ($cat or $known or $client and $stream and $evaluates)
}

rule Exports_Mail {
  meta:
    postern_id = "script-exports-mail"
    postern_level = "post-exploitation"
    postern_confidence = "medium"
    postern_tags = "attack.t1114.002"
    title_en = "Script that exports mailboxes to where the web server hands them out"
    title_es = "Script que exporta buzones a donde el servidor web los entrega"
    means_en = "The script loads the administration of Exchange and exports mailboxes into a folder of the web server or of programs' data."
    means_es = "El script carga la administración de Exchange y exporta buzones a una carpeta del servidor web o de datos de programas."
    author = "postern"
  strings:
    $load = /[A]dd-[P]SSnapin\s+[^\r\n]{0,40}Exchange/ ascii wide nocase
    $export = /[N]ew-[M]ailbox[E]xport[R]equest\b[^\r\n]{0,300}-FilePath\s+["']?[^\r\n]{0,120}(wwwroot|aspnet_client|httpproxy|programdata|\\perflogs)/ ascii wide nocase
  condition:
    filesize < 200KB and (extension == ".ps1" or extension == ".psm1" or extension == ".bat" or extension == ".cmd" or extension == ".vbs" or extension == ".txt") and all of them
}

rule Encrypted_For_Ransom {
  meta:
    postern_id = "encrypted-for-ransom"
    postern_level = "post-exploitation"
    postern_confidence = "high"
    postern_tags = "attack.t1486"
    title_en = "File that was encrypted for ransom"
    title_es = "Archivo cifrado para pedir un rescate"
    means_en = "The file begins with the mark of the first ransomware that came through Exchange servers in March 2021."
    means_es = "El archivo empieza con la marca del primer programa de rescate que entró por servidores Exchange en marzo de 2021."
    author = "postern"
  condition:
    uint32be(0) == 0x44454152 and uint32be(4) == 0x43525921 and extension == ".crypt"
}

rule Copies_Memory {
  meta:
    postern_id = "service-tool"
    postern_level = "not-seen"
    postern_confidence = "low"
    postern_tags = "attack.t1003.001"
    title_en = "Administration tool that intruders used as well"
    title_es = "Herramienta de administración que también usaron intrusos"
    means_en = "A tool that copies the memory of processes lies where nobody installs programs. Administrators use it too, so it is noted and proves nothing."
    means_es = "Una herramienta que copia la memoria de procesos está donde nadie instala programas. También la usan los administradores, así que se anota y no prueba nada."
    author = "postern"
  strings:
    $one = /[S]ysinternals [P]roc[D]ump/ ascii wide nocase
    $two = /[P]roc[D]ump[\x00\s]/ ascii wide
  condition:
    filesize < 4MB and Loose_Place and uint16(0) == 0x5A4D and all of them
}

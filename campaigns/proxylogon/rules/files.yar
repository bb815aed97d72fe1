// What the chain of March 2021 leaves in files and nothing else does. Shells that any
// campaign can leave are in products/exchange/rules.

rule Directory_Dump_With_Markup {
  meta:
    postern_id = "dump-shell"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Web shell in the properties of a virtual directory"
    title_es = "Web shell en las propiedades de un directorio virtual"
    means_en = "The properties of a virtual directory stand in a file that the server runs, with markup for the server in one of its addresses. Resetting the directory writes such a file."
    means_es = "Las propiedades de un directorio virtual están en un archivo que el servidor ejecuta, con código de servidor en una de sus direcciones. Restablecer el directorio escribe un archivo así."
    cve = "CVE-2021-27065"
    author = "postern"
    reference = "https://www.cisa.gov/news-events/analysis-reports/ar21-084a"
  strings:
    $checking = "ExtendedProtectionTokenChecking" ascii wide nocase
    $methods = "InternalAuthenticationMethods" ascii wide nocase
    $markup = /\b(ex|in)ternal[u]rl\s*:[^\r\n]{0,120}<\s*(%|\/?[s]cript|[o]bject|[i]frame)/ ascii wide nocase
  condition:
    filesize < 50KB and (filename icontains ".as" or filename icontains ".soap" or filename icontains ".svc" or filename icontains ".cer") and
    filename matches /\.(aspx?|ashx|asmx|asax|soap|svc|cer|asa)([._;~]|$)/i and all of them
}

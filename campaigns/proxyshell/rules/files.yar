// What the chain of August 2021 leaves in files. Shells that any campaign can leave are
// in products/exchange/rules.

rule Mailbox_Export_With_Markup {
  meta:
    postern_id = "export-shell"
    postern_level = "implanted"
    postern_confidence = "high"
    postern_tags = "shell-file"
    postern_tags = "attack.t1505.003"
    title_en = "Web shell in the export of a mailbox"
    title_es = "Web shell en la exportación de un buzón"
    means_en = "A mailbox was exported to a file that the server runs, and in it stands markup for the server: a draft whose encoded text becomes code when Exchange writes it out."
    means_es = "Se exportó un buzón a un archivo que el servidor ejecuta, y en él hay código de servidor: un borrador cuyo texto codificado se vuelve código cuando Exchange lo escribe."
    cve = "CVE-2021-31207"
    author = "postern"
  strings:
    $directive = /<%\s*@\s*[a-z]{4}/ nocase
    $element = /<[s]cript[^>]*[r]unat/ nocase
    $code = /<%[^%]*\b([r]equest|[r]esponse)\s*[.\[(]/ nocase
  condition:
    filesize < 16MB and uint32(0) == 0x4E444221 and (filename icontains ".as" or filename icontains ".soap" or filename icontains ".svc" or filename icontains ".cer") and
    filename matches /\.(aspx?|ashx|asmx|asax|soap|svc|cer|asa)([._;~]|$)/i and any of them
}

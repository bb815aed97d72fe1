package indicator

import (
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern"
)

// refanger undoes how addresses are written so that nobody opens them by mistake.
var refanger = strings.NewReplacer(
	"[.]", ".", "(.)", ".", "{.}", ".", "[dot]", ".", "(dot)", ".", "[.", ".", ".]", ".",
	"[:]", ":", "[://]", "://", "[/]", "/", "[at]", "@", "[@]", "@")

// Refang undoes it in a value that may be an address.
func Refang(s string) string {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "[({") {
		s = refanger.Replace(s)
	}
	if len(s) > 4 && strings.EqualFold(s[:2], "hx") && strings.EqualFold(s[2:4], "xp") {
		s = "http" + s[4:]
	}
	return s
}

var (
	hexOnly = regexp.MustCompile(`^[0-9A-Fa-f]+$`)
	drive   = regexp.MustCompile(`^([A-Za-z]:[\\/]|\\\\|%[A-Za-z()0-9]+%\\)`)
	agent   = regexp.MustCompile(`^(?i)(mozilla|opera|curl|wget|python-[a-z]+|java|go-http-client|okhttp|libwww-perl)/[^/]`)
)

// fileEndings are those of files that are published, where a domain could be meant:
// some of them are countries.
var fileEndings = map[string]bool{
	"aspx": true, "asp": true, "ashx": true, "asmx": true, "asax": true, "ascx": true, "php": true, "jsp": true, "jspx": true,
	"exe": true, "dll": true, "sys": true, "ps1": true, "psm1": true, "bat": true, "cmd": true, "vbs": true, "vbe": true, "js": true,
	"hta": true, "scr": true, "pif": true, "lnk": true, "msi": true, "cab": true, "zip": true, "rar": true, "7z": true, "iso": true,
	"dmp": true, "txt": true, "log": true, "tmp": true, "dat": true, "bin": true, "doc": true, "docx": true, "docm": true, "xls": true,
	"xlsx": true, "xlsm": true, "ppt": true, "pdf": true, "rtf": true, "jar": true, "py": true, "sh": true, "pl": true, "config": true,
	"tlb": true, "gif": true, "png": true, "jpg": true, "css": true, "htm": true, "html": true, "xml": true, "json": true, "ocx": true,
}

// privateEndings are those of names that are no public ones, and of examples.
var privateEndings = map[string]bool{
	"example": true, "test": true, "invalid": true, "local": true, "internal": true, "lan": true, "corp": true, "home": true, "intranet": true, "onion": true,
}

// Guess says what a value without a kind is, by its form alone. It says false of what
// could be anything.
func Guess(v string) (postern.IndicatorKind, bool) {
	switch {
	case v == "":
		return "", false
	case hexOnly.MatchString(v):
		switch len(v) {
		case 64:
			return postern.IndicatorSHA256, true
		case 40:
			return postern.IndicatorSHA1, true
		case 32:
			return postern.IndicatorMD5, true
		}
		return "", false
	case drive.MatchString(v):
		return postern.IndicatorPath, true
	case strings.Contains(v, "://"), v[0] == '/' && len(v) > 1 && !strings.ContainsAny(v, " \t"):
		return postern.IndicatorURL, true
	case agent.MatchString(v):
		return postern.IndicatorUserAgent, true
	}
	if _, ok := appendAddress(nil, v); ok {
		return postern.IndicatorAddress, true
	}
	if strings.ContainsAny(v, " \t") {
		if strings.Contains(v, `\`) {
			return postern.IndicatorPath, true
		}
		return "", false
	}
	if strings.Contains(v, `\`) {
		return postern.IndicatorPath, true
	}
	host, rest, isPath := strings.Cut(v, "/")
	dot := strings.LastIndexByte(host, '.')
	if dot < 0 {
		return "", false
	}
	ending := strings.ToLower(host[dot+1:])
	if !isPath && fileEndings[ending] && strings.Count(host, ".") == 1 {
		return postern.IndicatorFileName, true
	}
	if name := asked(strings.TrimSuffix(host, ".")); isDomain(name) {
		if _, known := publicsuffix.PublicSuffix(strings.ToLower(host)); known || privateEndings[ending] {
			if isPath && rest != "" {
				return postern.IndicatorURL, true
			}
			return postern.IndicatorDomain, true
		}
	}
	if !isPath && fileEndings[ending] {
		return postern.IndicatorFileName, true
	}
	return "", false
}

// kindWords are the names under which feeds know the kinds, in lower case without
// blanks, hyphens and underscores.
var kindWords = map[string]postern.IndicatorKind{
	"sha256": postern.IndicatorSHA256, "sha256hash": postern.IndicatorSHA256, "hashsha256": postern.IndicatorSHA256, "filehashsha256": postern.IndicatorSHA256, "filesha256": postern.IndicatorSHA256,
	"sha1": postern.IndicatorSHA1, "sha1hash": postern.IndicatorSHA1, "hashsha1": postern.IndicatorSHA1, "filehashsha1": postern.IndicatorSHA1, "filesha1": postern.IndicatorSHA1,
	"md5": postern.IndicatorMD5, "md5hash": postern.IndicatorMD5, "hashmd5": postern.IndicatorMD5, "filehashmd5": postern.IndicatorMD5, "filemd5": postern.IndicatorMD5, "md5sum": postern.IndicatorMD5,
	"filename": postern.IndicatorFileName, "name": "", "file": postern.IndicatorFileName,
	"path": postern.IndicatorPath, "filepath": postern.IndicatorPath, "fullpath": postern.IndicatorPath, "windowspath": postern.IndicatorPath,
	"url": postern.IndicatorURL, "uri": postern.IndicatorURL, "uripath": postern.IndicatorURL, "urlpath": postern.IndicatorURL,
	"address": postern.IndicatorAddress, "ip": postern.IndicatorAddress, "ipv4": postern.IndicatorAddress, "ipv6": postern.IndicatorAddress,
	"ipaddress": postern.IndicatorAddress, "ipv4address": postern.IndicatorAddress, "ipv6address": postern.IndicatorAddress,
	"ipv4addr": postern.IndicatorAddress, "ipv6addr": postern.IndicatorAddress, "ipaddr": postern.IndicatorAddress,
	"ipsrc": postern.IndicatorAddress, "ipdst": postern.IndicatorAddress, "cidr": postern.IndicatorAddress, "ip:port": postern.IndicatorAddress,
	"srcip": postern.IndicatorAddress, "dstip": postern.IndicatorAddress, "host": "", "network": postern.IndicatorAddress, "netblock": postern.IndicatorAddress,
	"domain": postern.IndicatorDomain, "domainname": postern.IndicatorDomain, "hostname": postern.IndicatorDomain, "fqdn": postern.IndicatorDomain,
	"useragent": postern.IndicatorUserAgent, "httpuseragent": postern.IndicatorUserAgent, "agent": postern.IndicatorUserAgent, "ua": postern.IndicatorUserAgent,
	"parameter": postern.IndicatorParameter, "requestparameter": postern.IndicatorParameter,
}

var wordCleaner = strings.NewReplacer(" ", "", "-", "", "_", "", ".", "")

// kindWord gives the kind that a feed calls by a name; "" where only the value tells.
func kindWord(name string) (k postern.IndicatorKind, known bool) {
	name = wordCleaner.Replace(strings.ToLower(strings.TrimSpace(name)))
	if k, known = kindWords[name]; known {
		return k, known
	}
	switch name {
	case "hash", "filehash", "indicator", "ioc", "observable", "":
		return "", true
	}
	return "", false
}

package iisconfig

import (
	"slices"
	"strings"

	"postern/internal/hunt/parse"
)

// variables are the environment variables of a server in paths, with the folder
// they stand for, without drive.
var variables = [...]struct{ name, folder string }{
	{"%systemdrive%", ""}, {"%homedrive%", ""},
	{"%systemroot%", "/windows"}, {"%windir%", "/windows"},
	{"%programdata%", "/programdata"}, {"%allusersprofile%", "/programdata"},
	{"%programfiles%", "/program files"}, {"%programw6432%", "/program files"},
	{"%programfiles(x86)%", "/program files (x86)"}, {"%commonprogramfiles%", "/program files/common files"},
	{"%public%", "/users/public"}, {"%userprofile%", "/users/%username%"},
	{"%appdata%", "/users/%username%/appdata/roaming"}, {"%localappdata%", "/users/%username%/appdata/local"},
	{"%temp%", "/users/%username%/appdata/local/temp"}, {"%tmp%", "/users/%username%/appdata/local/temp"},
}

// links are folders of Windows that lead to another one.
var links = [...]struct{ from, to string }{
	{"/users/all users", "/programdata"},
	{"/documents and settings/all users/application data", "/programdata"},
	{"/documents and settings/all users", "/programdata"},
	{"/documents and settings", "/users"},
	{"/windows/sysnative", "/windows/system32"},
}

// product stands for the install folder in canonical paths.
const product = "{product}"

// canonical gives one form to the many ways of writing a folder: lower case, '/',
// variables and links followed, dots and 8.3 names resolved, without drive. A
// folder of the product begins with [product] if its install folder (canonical
// itself) is known. "" is no path.
func canonical(p, install string) string {
	if strings.TrimSpace(p) == "" {
		return ""
	}
	p = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(p), `\`, "/"))
	share := strings.HasPrefix(p, "//")
	for _, v := range variables {
		if rest, ok := strings.CutPrefix(p, v.name); ok {
			p = v.folder + "/" + strings.TrimLeft(rest, "/")
			break
		}
	}
	p = parse.ServerPath(p)
	if share && strings.HasPrefix(p, "/") {
		return "//" + strings.Trim(p, "/") // another machine's
	}
	if len(p) >= 2 && p[1] == ':' && p[0] >= 'a' && p[0] <= 'z' {
		p = p[2:]
	} else if rest, ok := strings.CutPrefix(p, "c/windows/"); ok {
		p = "/windows/" + rest // Exchange setup itself writes "C\Windows\…"
	}
	p = strings.TrimRight(p, "/")
	if p == "" {
		return "/"
	}
	for _, l := range links {
		if under(p, l.from) {
			p = l.to + p[len(l.from):]
			break
		}
	}
	if install != "" && under(p, install) {
		p = product + p[len(install):]
	}
	return p
}

// systemFolders are the first folders of a Windows drive in layouts; what begins
// otherwise is below the product's install folder.
var systemFolders = []string{"inetpub", "windows", "program files", "program files (x86)", "programdata", "users", "perflogs"}

// layout gives the canonical form of a folder of a layout.
func layout(folder string) string {
	folder = strings.ToLower(strings.Trim(strings.ReplaceAll(folder, `\`, "/"), "/"))
	first, _, _ := strings.Cut(folder, "/")
	if slices.Contains(systemFolders, first) {
		return "/" + folder
	}
	return product + "/" + folder
}

// under says whether a folder is another one or below it.
func under(p, folder string) bool {
	rest, ok := strings.CutPrefix(p, folder)
	return ok && (rest == "" || rest[0] == '/')
}

// underAny gives the first of the folders that p is in, "" if it is in none.
func underAny(p string, folders []string) string {
	for _, f := range folders {
		if under(p, f) {
			return f
		}
	}
	return ""
}

// device gives the part of a canonical path that is the name of a device, with or
// without an extension, "" if there is none.
func (k *Knowledge) device(p string) string {
	for _, part := range strings.Split(p, "/") {
		name, _, _ := strings.Cut(part, ".")
		if name = strings.TrimRight(name, " "); name != "" && slices.Contains(k.DeviceNames, name) {
			return part
		}
	}
	return ""
}

// address joins the path of an application and of a virtual directory in it.
func address(application, directory string) string {
	a := "/" + strings.Trim(application, "/")
	if d := strings.Trim(directory, "/"); d != "" {
		a = strings.TrimRight(a, "/") + "/" + d
	}
	return a
}

// extension gives the extension that a handler's path asks for: ".jpg" of "*.jpg",
// "*" of a path that takes every name, ".config" of "web.config".
func extension(path string) string {
	path = strings.ToLower(strings.TrimSpace(path))
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		path = path[i+1:]
	}
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 || dot == len(path)-1 {
		return "*"
	}
	return path[dot:]
}

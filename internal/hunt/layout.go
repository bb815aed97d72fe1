package hunt

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// productRoots are folders below the product's install path by which a file's
// place on the server is known, whatever the drive and path above them.
var productRoots = []string{"frontend/httpproxy", "clientaccess", "logging", "transportroles"}

// systemRoots are the folders of a Windows drive that matter.
var systemRoots = []string{"inetpub", "program files", "program files (x86)", "windows", "programdata", "users", "perflogs", "root"}

// logRoots are folders that collections often begin with when they hold only logs.
var logRoots = regexp.MustCompile(`^(httpproxy|logfiles|w3svc\d+|oabgeneratorlog|oabgeneratorsimplelog|cmdletinfra|mapihttp|wwwroot|aspnet_client)$`)

// drive matches the names under which collectors store a drive.
var drive = regexp.MustCompile(`(?i)^([a-z](:|%3a|_|\$|-drive|_drive|drive)?|\\\\.\\[a-z]:|%5c%5c\.%5c[a-z]%3a|uploads|auto|ntfs|file|fs|filesystem|image|root_fs|mnt)$`)

// installFolder matches folders of the install path, which differ by host.
var installFolder = regexp.MustCompile(`^(v1[45]|exchange server|exchange|microsoft|exchsrvr|logging|frontend|clientaccess)$`)

// place splits a path in the evidence into the part that stands for a host, as
// the collector named it, and the place of the file on the server in the form of
// [detect.File]. Known says whether the split rests on a folder of the product
// or of Windows and not on a guess.
func place(p string) (prefix, server string, known bool) {
	parts := strings.Split(p, "/")
	lower := make([]string, len(parts))
	for i, part := range parts {
		if s, err := url.PathUnescape(part); err == nil {
			part = s
		}
		lower[i] = strings.ToLower(part)
	}
	at := rootAt(lower)
	if at < 0 {
		if len(parts) > 1 {
			return parts[0], strings.Join(lower[1:], "/"), false
		}
		return "", lower[0], false
	}
	end := at
	for i := range at {
		if drive.MatchString(parts[i]) || drive.MatchString(lower[i]) {
			end = i
			break
		}
	}
	if end == at { // no drive: what is above the product's folder is its install path
		for end > 0 && installFolder.MatchString(lower[end-1]) {
			end--
		}
	}
	return strings.Join(parts[:end], "/"), productPlace(lower[at:]), true
}

// rootAt gives the index of the first folder that is known, -1 if there is none.
// The last part is the file itself.
func rootAt(lower []string) int {
	for i := 0; i < len(lower)-1; i++ {
		for _, root := range systemRoots {
			if lower[i] == root && (root != "root" && root != "users" || i > 0 && drive.MatchString(lower[i-1])) {
				return i
			}
		}
		if logRoots.MatchString(lower[i]) {
			return i
		}
		for _, root := range productRoots {
			first, _, _ := strings.Cut(root, "/")
			if lower[i] == first {
				return i
			}
		}
	}
	return -1
}

// productPlace cuts what stands above the product's own folders, and puts back
// what a collection that begins in the middle of inetpub has lost.
func productPlace(lower []string) string {
	p := strings.Join(lower, "/")
	for _, root := range productRoots {
		if i := strings.Index("/"+p, "/"+root+"/"); i > 0 {
			return p[i:]
		}
	}
	switch lower[0] {
	case "wwwroot":
		return "inetpub/" + p
	case "aspnet_client":
		return "inetpub/wwwroot/" + p
	}
	return p
}

// hostName makes a name out of the part of a path that stands for a host:
// its last folder, without the ending of an archive.
func hostName(prefix string) string {
	name := path.Base(prefix)
	if name == "." || name == "/" {
		return ""
	}
	name = strings.TrimSuffix(name, "!")
	for _, ext := range []string{".zip", ".7z", ".tar", ".gz", ".zst", ".tgz", ".tzst", ".bz2", ".xz"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

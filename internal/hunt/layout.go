package hunt

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// productRoots are folders below the product's install path by which a file's
// place on the server is known, whatever the drive and path above them.
var productRoots = []string{"frontend/httpproxy", "clientaccess", "logging", "transportroles"}

// systemRoots are the folders of a Windows drive that matter.
var systemRoots = []string{"inetpub", "program files", "program files (x86)", "windows", "programdata", "users", "perflogs", "root"}

// programFiles begins the names of the folders in which products are installed.
const programFiles = "program files"

// logRoots are folders that collections often begin with when they hold only logs.
var logRoots = regexp.MustCompile(`^(httpproxy|logfiles|w3svc\d+|oabgeneratorlog|oabgeneratorsimplelog|cmdletinfra|mapihttp|wwwroot|aspnet_client)$`)

// Names that stand between a host and what lies on its drives.
const (
	letters    = `[a-z](:|%3a|_|\$|[-_ ]?drive)?|(drive|volume|vol)[-_ ]?[a-z]|\\\\[.?]\\.*`
	containers = `uploads|collections|f\.[0-9a-z]{8,}|auto|data\.zip!|t_?(dest|out)|targets?|kape([-_ ]?(out|output|targets?))?|(lazy_)?ntfs|file|fs|filesystem|image|root_fs|mnt|\[root\]|vss\d+`
	folders    = `v1[45]|exchange server|exchange|microsoft|exchsrvr|logging|frontend|clientaccess|iis|web|www|((iis|exchange|web|server)[-_ ]?)?logs?([-_ ]?files)?`
)

var (
	// driveLetter matches the names under which collectors store a drive.
	driveLetter = regexp.MustCompile(`^(` + letters + `)$`)
	// wrapper matches the folders that collectors put around drives.
	wrapper = regexp.MustCompile(`^(` + containers + `)$`)
	// noHost also matches folders of the install path, which differ by host, and
	// those into which people sort what they collect.
	noHost = regexp.MustCompile(`^(` + letters + `|` + containers + `|` + folders + `)$`)
)

// place splits a path in the evidence into the part that stands for a host, as
// the collector named it, and the place of the file on the server in the form of
// [detect.File]. Known says whether the split rests on a folder of the product
// or of Windows and not on a guess.
func place(p string) (prefix, server string, known bool) {
	parts := strings.Split(p, "/")
	lower := folded(parts)
	at := rootAt(lower)
	if at < 0 {
		if len(parts) > 1 {
			return parts[0], strings.Join(lower[1:], "/"), false
		}
		return "", lower[0], false
	}
	return strings.Join(parts[:hostEnd(lower, at)], "/"), productPlace(lower[at:]), true
}

// placeIn is [place] with the path of the input above it where that of the file
// alone does not tell what it is on the server: the folder of a live server, or of
// its web pages alone.
func placeIn(input, p string) (prefix, server string, known bool) {
	prefix, server, known = place(p)
	if known {
		return prefix, server, known
	}
	if input == "" {
		return prefix, server, known
	}
	above := strings.Split(strings.Trim(input, "/"), "/")
	lower := folded(append(above, strings.Split(p, "/")...))
	at := rootAt(lower)
	if at < 0 || at >= len(above) {
		return prefix, server, known
	}
	server = productPlace(lower[at:])
	// The names of the analyst's own folders say little; those of a web server much.
	if oneServer.MatchString("/" + strings.Join(lower[at:len(above)], "/") + "/") {
		return "", server, true
	}
	return prefix, server, known
}

// lastPlace is [placeIn] for one file after the other: those of a folder lie at the same
// place but for their names. The zero value is ready for use.
type lastPlace struct {
	set           bool
	input, folder string // what was asked last

	prefix, server string // server with its slash, but for the name
	known          bool
}

func (l *lastPlace) of(input, p string) (prefix, server string, known bool) {
	folder, name := p[:strings.LastIndexByte(p, '/')+1], p[strings.LastIndexByte(p, '/')+1:]
	if strings.IndexByte(name, '%') >= 0 || endsRoot(name) { // the name itself may say where it lies
		return placeIn(input, p)
	}
	if !l.set || l.input != input || l.folder != folder {
		l.set, l.input, l.folder = true, input, folder
		l.prefix, l.server, l.known = placeIn(input, folder+"x")
		l.server = strings.TrimSuffix(l.server, "x")
	}
	return l.prefix, l.server + strings.ToLower(name), l.known
}

// endsRoot says whether a name is the end of one of the product's own folders.
func endsRoot(name string) bool {
	return slices.ContainsFunc(productRoots, func(root string) bool {
		return strings.EqualFold(root[strings.LastIndexByte(root, '/')+1:], name)
	})
}

// oneServer matches folders that are inside of one server and not around several.
var oneServer = regexp.MustCompile(`/(inetpub|wwwroot|aspnet_client|httpproxy|clientaccess|w3svc\d+|programdata|temporary asp\.net files|inetsrv)/`)

// folded gives the parts of a path without the escapes of collectors, in lower case.
func folded(parts []string) []string {
	lower := make([]string, len(parts))
	for i, part := range parts {
		if s, err := url.PathUnescape(part); err == nil {
			part = s
		}
		lower[i] = strings.ToLower(part)
	}
	return lower
}

// hostEnd gives how many of the folders above a root stand for the host: those
// above its drive or, where no drive is named, above the install path.
func hostEnd(lower []string, at int) int {
	end, above := at, noHost
	for i := at - 1; i >= 0; i-- {
		if driveLetter.MatchString(lower[i]) {
			end, above = i, wrapper
			break
		}
	}
	for end > 0 && above.MatchString(lower[end-1]) {
		end--
	}
	return end
}

// rootAt gives the index of the first folder that is known, -1 if there is none.
// The last part is the file itself.
func rootAt(lower []string) int {
	for i := 0; i < len(lower)-1; i++ {
		for _, root := range systemRoots {
			if lower[i] == root && (root != "root" && root != "users" || i > 0 && (driveLetter.MatchString(lower[i-1]) || wrapper.MatchString(lower[i-1]))) {
				return i
			}
		}
		if logRoots.MatchString(lower[i]) {
			return i
		}
		for _, root := range productRoots {
			first, second, two := strings.Cut(root, "/")
			if lower[i] == first && (!two || lower[i+1] == second) {
				return i
			}
		}
	}
	return -1
}

// productPlace cuts what stands above the product's own folders, if they are
// below a folder for programs: anywhere else a folder of such a name is somebody's
// choice and moves nothing. It puts back what a collection that begins in the middle
// of inetpub has lost.
func productPlace(lower []string) string {
	p := strings.Join(lower, "/")
	switch {
	case lower[0] == "wwwroot":
		return "inetpub/" + p
	case lower[0] == "aspnet_client":
		return "inetpub/wwwroot/" + p
	case !strings.HasPrefix(p, programFiles):
		return p
	}
	first := 0
	for _, root := range productRoots {
		if i := strings.Index(p, "/"+root+"/"); i > 0 && (first == 0 || i+1 < first) {
			first = i + 1
		}
	}
	return p[first:]
}

// archiveEnds are the endings of archives that are no part of a host's name.
var archiveEnds = []string{"!", ".zip", ".7z", ".tar", ".gz", ".zst", ".tgz", ".tzst", ".bz2", ".xz"}

// collection matches the name that Velociraptor gives what it collected of a host.
var collection = regexp.MustCompile(`(?i)^collection-(.+)-\d{4}-\d\d-\d\dt\d\d[-_:]?\d\d[-_:]?\d\d[^/]*$`)

// kapeArchive matches the name that KAPE gives an archive: the time before what the
// user calls it, which is mostly the machine.
var kapeArchive = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d{6,}_(.+)$`)

// hostName makes a name out of the part of a path that stands for a host:
// its last folder, without the endings of an archive.
func hostName(prefix string) string {
	name := path.Base(prefix)
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	for cut := true; cut; {
		cut = false
		for _, end := range archiveEnds {
			if n := len(name) - len(end); n > 0 && strings.EqualFold(name[n:], end) {
				name, cut = name[:n], true
			}
		}
	}
	for _, made := range []*regexp.Regexp{collection, kapeArchive} {
		if m := made.FindStringSubmatch(name); m != nil {
			name = m[1]
		}
	}
	return name
}

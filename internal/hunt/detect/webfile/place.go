package webfile

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// places finds the place of a file.
type places struct {
	list []known // the longest folder first
	// parts say what a part of a path can belong to. Most have parts that belong to
	// nothing, and every file of a server is asked for its place.
	parts map[string]part
}

// known is a place with its folder as it stands in the middle of a path.
type known struct {
	Place
	inside string
}

// part says what the part of a path between two slashes can be.
type part uint8

const (
	partRoot  part = 1 << iota // a web root, or the last part of its name
	partPlace                  // the first part of the folder of a place
)

// location is what is known of where a file lies.
type location struct {
	folder   string // canonical folder of the file
	place    string // short name, "" outside of the places
	url      string // under which the file answers, "" where that is not known
	served   bool
	drop     bool
	complete bool
}

func newPlaces(list []Place) places {
	p := places{parts: map[string]part{}}
	for _, place := range list {
		p.list = append(p.list, known{place, "/" + place.Folder})
		first, _, _ := strings.Cut(place.Folder, "/")
		p.parts[first] |= partPlace
	}
	slices.SortStableFunc(p.list, func(a, b known) int { return cmp.Compare(len(b.Folder), len(a.Folder)) })
	for _, root := range webRoots {
		p.parts[path.Base(root)] |= partRoot
	}
	return p
}

// webRoots are folders of whose content a server serves something, whatever the product.
var webRoots = []string{"/wwwroot/", "/httpproxy/", "/clientaccess/", "/htdocs/", "/webapps/", "/public_html/", "/template/layouts/", "/web server extensions/"}

// where gives the location of a canonical path.
func (p places) where(server string) location {
	w := location{}
	name := server
	if i := strings.LastIndexByte(server, '/'); i >= 0 {
		w.folder, name = server[:i], server[i+1:]
	}
	var parts part
	for rest, more := w.folder, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		parts |= p.parts[name]
	}
	if parts&partRoot != 0 {
		w.served = slices.ContainsFunc(webRoots, func(root string) bool {
			return strings.HasPrefix(server, root[1:]) || strings.Contains(server, root)
		})
	}
	if parts&partPlace == 0 {
		return w
	}
	for _, place := range p.list {
		rest, ok := below(w.folder, place.inside)
		if !ok {
			continue
		}
		w.place = strings.Trim(place.Name+rest, "/")
		// Below the folder of a whole site others keep their pages too.
		w.drop = place.Drop && (place.Complete || rest == "")
		w.complete = place.Complete
		if place.URL != "" {
			w.served = true
			w.url = strings.TrimSuffix(place.URL, "/") + rest + "/" + name
		}
		break
	}
	return w
}

// below says whether a folder is another or lies below it, and gives the part
// below with its '/'. The other, with a slash before it, may stand in the middle of the
// first, for evidence whose folders could not be cut.
func below(folder, other string) (rest string, ok bool) {
	if other == "/" {
		return "", false
	}
	if rest, ok = strings.CutPrefix(folder, other[1:]); ok && (rest == "" || rest[0] == '/') {
		return rest, true
	}
	if strings.Contains(folder, other) { // which seldom is so, and is found out sooner than where
		i := strings.LastIndex(folder, other)
		if rest = folder[i+len(other):]; rest == "" || rest[0] == '/' {
			return rest, true
		}
	}
	return "", false
}

// in says whether a path lies in one of the folders.
func in(server string, folders []string) bool {
	for _, f := range folders {
		if rest, ok := below(server, "/"+f); ok && rest != "" {
			return true
		}
	}
	return false
}

// canonical completes the place of a file whose collection began below the
// folder of the site.
func canonical(server string) string {
	server = strings.TrimPrefix(server, "/")
	switch {
	case strings.HasPrefix(server, "wwwroot/"):
		return "inetpub/" + server
	case strings.HasPrefix(server, "aspnet_client/"):
		return "inetpub/wwwroot/" + server
	case strings.HasPrefix(server, "httpproxy/"):
		return "frontend/" + server
	}
	return server
}

// canonicalPath gives a published Windows path in the form of a place on a server.
func canonicalPath(p string) string {
	p = strings.ToLower(strings.ReplaceAll(p, `\`, "/"))
	if len(p) > 2 && p[1] == ':' {
		p = p[2:]
	}
	return p
}

package webfile

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"postern"
)

// hint is what a name adds: weight, and a sentence. A name decides nothing.
type hint struct {
	weight int
	text   postern.Text
}

// Shapes of names that kits give to what they write. Names of pages that people
// write have vowels and words.
var (
	digitsName = regexp.MustCompile(`^[0-9]{6,12}$`)
	mixedName  = regexp.MustCompile(`^[A-Za-z0-9]{8}$|^[A-Za-z0-9]{16}$`)
	doubleName = regexp.MustCompile(`(?i)\.(jpe?g|gif|png|css|js|txt|config|html?)$`)
)

// hints says what is odd about the name of a file in its place.
func (d *Detector) hints(l *look) []hint {
	var list []hint
	lower := strings.ToLower(l.name)
	if i := d.published(l.server, lower); i != nil {
		list = append(list, hint{10, postern.Say("webfile.name.published", "name", l.name, "source", i.Source)})
	}
	if home, ok := d.stock.elsewhere(l.server); ok && l.where.drop {
		if here, _ := d.stock.at(l.server); !here {
			list = append(list, hint{10, postern.Say("webfile.name.misplaced", "name", l.name, "home", home)})
		}
	}
	stem := strings.TrimSuffix(lower, path.Ext(lower))
	if like := d.lookAlike(l, lower, stem); like != "" {
		list = append(list, hint{10, postern.Say("webfile.name.like", "name", l.name, "stock", like)})
	}
	shape := strings.TrimSuffix(l.name, path.Ext(l.name))
	switch {
	case doubleName.MatchString(stem):
		list = append(list, hint{10, postern.Say("webfile.name.double", "name", l.name)})
	case !l.where.drop: // elsewhere people call their pages as they like
	case len(stem) == 1:
		list = append(list, hint{5, postern.Say("webfile.name.short", "name", l.name)})
	case digitsName.MatchString(shape), mixedName.MatchString(shape) && mixed(shape):
		list = append(list, hint{5, postern.Say("webfile.name.random", "name", l.name)})
	}
	return list
}

// mixed says whether letters of both cases, or letters and digits, stand in a
// name in an order that no word has.
func mixed(s string) bool {
	changes := 0
	for i := 1; i < len(s); i++ {
		if class(s[i]) != class(s[i-1]) && !(i == 1 && class(s[0]) == 'A' && class(s[1]) == 'a') {
			changes++
		}
	}
	return changes >= 3
}

func class(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return '0'
	case c >= 'A' && c <= 'Z':
		return 'A'
	}
	return 'a'
}

// published gives the indicator that names a file in its place, or its path.
func (d *Detector) published(server, name string) *postern.Indicator {
	for i := range d.names[name] {
		ind := &d.names[name][i]
		folder := strings.TrimSuffix(server, "/"+name)
		if ind.Place == "" || folder == d.places.folder(ind.Place) || strings.HasSuffix("/"+folder, "/"+ind.Place) {
			return ind
		}
	}
	for i := range d.paths {
		if d.paths[i].names(server) {
			return &d.paths[i].Indicator
		}
	}
	return nil
}

// publishedPath is an indicator that names a path.
type publishedPath struct {
	postern.Indicator
	path   string // canonical, without a slash before it
	folder bool   // it ends with one
	open   bool   // has no extension: the beginning of a name
	inner  string // the path as it stands in the middle of another, "" if it may not
}

func newPublishedPath(i postern.Indicator) publishedPath {
	value := canonicalPath(i.Value)
	if !strings.HasPrefix(value, "/") {
		value = "/" + value
	}
	i.Value = value
	p := publishedPath{Indicator: i, path: value[1:], folder: strings.HasSuffix(value, "/")}
	if p.open = !p.folder && path.Ext(value) == ""; p.open && strings.Count(value, "/") > 1 {
		p.inner = value
	}
	return p
}

// names says whether the path is that of a file: whole, as a folder if it ends with
// '/', or as the beginning of a name if it has no extension. One of more than one part
// may stand anywhere.
func (p *publishedPath) names(server string) bool {
	if server == p.path {
		return true
	}
	if p.folder {
		return strings.HasPrefix(server, p.path)
	}
	if !p.open {
		return false
	}
	if rest, ok := strings.CutPrefix(server, p.path); ok {
		return !strings.Contains(rest, "/")
	}
	if p.inner == "" {
		return false
	}
	i := strings.Index(server, p.inner)
	return i >= 0 && !strings.Contains(server[i+len(p.inner):], "/")
}

// leet are digits and letters that stand for letters of the same look.
var leet = strings.NewReplacer("0", "o", "1", "l", "3", "e", "4", "a", "5", "s", "7", "t", "q", "g", "i", "l", "vv", "w", "rn", "m")

// lookAlike gives the stock page of the same folder whose name a name imitates.
func (d *Detector) lookAlike(l *look, lower, stem string) string {
	if !l.where.drop {
		return ""
	}
	ext := path.Ext(lower)
	var best string
	for name, homes := range d.stock.homes {
		if name == lower || path.Ext(name) != ext || everywhere[name] || !l.anywhereNear(homes) {
			continue
		}
		s := strings.TrimSuffix(name, ext)
		if similar(stem, s) && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

// anywhereNear says whether one of the folders is that of the file, or any drop
// folder: intruders imitate the pages of owa/auth in aspnet_client too.
func (l *look) anywhereNear(folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return l.d.places.where(f + "/x").drop })
}

// similar says whether a name is meant to be taken for another: the same with
// letters exchanged for like ones, or with few letters changed.
func similar(name, stock string) bool {
	if len(name) < 4 || name == stock {
		return false
	}
	a, b := leet.Replace(name), leet.Replace(stock)
	if a == b {
		return true
	}
	// language and other endings of two letters: outlookcn, outlookjp
	if n := len(stock) - 2; n >= 5 && len(name) >= n && len(name) <= len(stock)+1 && name[:n] == stock[:n] {
		return true
	}
	return distance(a, b) <= max(1, len(stock)/6)
}

// distance is the number of letters to add, drop or change. Names are short.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

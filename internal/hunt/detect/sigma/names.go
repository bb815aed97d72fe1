package sigma

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
)

// Again is a rule whose id, or title where it has none, another rule had before it.
type Again struct {
	File string
	Line int
	Rule string // title
	// ID is the name of its own that it got. It is empty for the very same rule once
	// more, as collections hold them in several folders: that one counts once.
	ID        string
	First     string // file of the rule that had the id before
	FirstLine int
}

// ids gives the identifier that a rule gives itself, its title if it has none, and its
// name.
func (r *Loaded) ids() (id, name string) {
	if c := r.Correlation; c != nil {
		return first(c.ID, c.Name, c.Title), c.Name
	}
	return first(r.Rule.ID, r.Rule.Name, r.Rule.Title), r.Rule.Name
}

// ID gives the identifier by which a rule is known: its id, or else its name or title.
// Of different rules that share one, the first has it and each later one has its file
// behind it.
func (r *Loaded) ID() string { return r.id }

func (r *Loaded) title() string {
	if r.Correlation != nil {
		return r.Correlation.Title
	}
	return r.Rule.Title
}

// tell gives each rule an ID of its own and leaves out copies. A correlation is a copy
// only if it names the same rules, which a copy of a rule that it names may decide, so
// that it goes on until there are no more.
func (l *loader) tell() {
	for {
		known := len(l.rules)
		l.rules = l.uncopied(identify(l.rules))
		if len(l.rules) == known {
			return
		}
	}
}

// renamed reports the rules that got another name than they give themselves.
func (l *loader) renamed() {
	owner := make(map[string]*Loaded)
	for i := range l.rules {
		r := &l.rules[i]
		own, _ := r.ids()
		if had := owner[own]; had != nil && r.id != own {
			l.report.Again = append(l.report.Again, Again{File: r.File, Line: r.Line + 1, Rule: r.title(), ID: r.id, First: had.File, FirstLine: had.Line + 1})
		} else if had == nil {
			owner[own] = r
		}
	}
}

// identify gives each rule its ID, and says which of the identifiers that rules give
// themselves are there several times.
func identify(rules []Loaded) (several map[string]bool) {
	several = make(map[string]bool)
	taken := make(map[string]bool)
	for i := range rules {
		r := &rules[i]
		r.id, _ = r.ids()
		if taken[r.id] {
			several[r.id] = true
			own := r.id + "@" + r.File
			if r.id = own; taken[own] {
				r.id = fmt.Sprintf("%s:%d", own, r.Line+1)
			}
		}
		taken[r.id] = true
	}
	return several
}

// uncopied leaves out each rule that is there already, word for word.
func (l *loader) uncopied(several map[string]bool) []Loaded {
	if len(several) == 0 {
		return l.rules
	}
	n := namesOf(l.rules)
	var kept []Loaded
	seen := make(map[string]int) // its place in kept
	for i := range l.rules {
		r := &l.rules[i]
		if own, _ := r.ids(); several[own] {
			text := own + "\x00" + string(words(r.Src))
			if r.Correlation != nil {
				named := n.seenBy(r)
				for _, rule := range r.Correlation.Rules {
					text += "\x00" + named[rule]
				}
			}
			if at, copied := seen[text]; copied {
				had := &kept[at]
				had.Copies++
				had.also = append(append(had.also, r.File), r.also...)
				l.report.Again = append(l.report.Again, Again{File: r.File, Line: r.Line + 1, Rule: r.title(), First: had.File, FirstLine: had.Line + 1})
				continue
			}
			seen[text] = len(kept)
		}
		kept = append(kept, *r)
	}
	return kept
}

// words are what a document says, however its lines end and whatever it is parted by from
// the one before.
func words(src []byte) []byte {
	if line := marker.Find(src); line != nil {
		src = src[len(strings.TrimSpace(string(line))):]
	}
	return bytes.TrimSpace(bytes.ReplaceAll(src, []byte("\r"), nil))
}

// naming is the IDs that rules can be named by: first by what the file that names them
// says, then by the first file that has the name.
type naming struct {
	all map[string]string
	own map[string]map[string]string // by file
}

func namesOf(rules []Loaded) *naming {
	n := &naming{all: make(map[string]string), own: make(map[string]map[string]string)}
	for i := range rules {
		id, _ := rules[i].ids()
		n.add(&rules[i], rules[i].id)
		n.add(&rules[i], id)
	}
	for i := range rules { // what is an id is no name
		_, name := rules[i].ids()
		n.add(&rules[i], name)
	}
	return n
}

// add makes a rule known by a name, in its file and in those that hold copies of it.
func (n *naming) add(r *Loaded, called string) {
	if called == "" {
		return
	}
	if n.all[called] == "" {
		n.all[called] = r.id
	}
	for _, file := range append([]string{r.File}, r.also...) {
		if n.own[file] == nil {
			n.own[file] = make(map[string]string)
		}
		if n.own[file][called] == "" {
			n.own[file][called] = r.id
		}
	}
}

// seenBy gives the IDs by the names that a rule can use for others.
func (n *naming) seenBy(r *Loaded) map[string]string {
	own := n.own[r.File]
	var seen map[string]string
	for called, id := range own {
		if n.all[called] != id && id != r.id {
			if seen == nil {
				seen = maps.Clone(n.all)
			}
			seen[called] = id
		}
	}
	if seen == nil {
		return n.all
	}
	return seen
}

// Package parse is the stage of the hunt that turns bytes into events. Input: a
// log of unknown origin, as hostile as its author liked. Output: rows with named
// columns, UTC times and canonical derived fields, and an account of everything
// that could not be read. Its leaves (httpproxy, iis, ecp, oab, cmdletinfra …) are
// one [Format] each; parse/all lists them.
//
// A log is read in one pass by [Scan]. A [Gate] sees each raw line first and
// answers whether it is worth parsing, so that a line that no rule can be about
// costs a walk to its deciding columns and nothing else.
package parse

import (
	"strings"

	"postern"
)

// Format is one kind of text log: rows of named columns behind a header block.
type Format struct {
	// Name is the source of its events: "httpproxy".
	Name string
	// Delim separates columns: ',' (with RFC 4180 quoting) or ' ' (without).
	// 0 is a log of opaque lines; its events have the one field "Line".
	Delim byte
	// Time names the one or two columns that hold the time of a row, UTC.
	Time []string
	// Host names the column with the server's own name, "" if there is none.
	Host string
	// Columns are the ones of the newest known build, for a file that has lost its header.
	Columns []string
	// Recognise says by content and shape, never by drive or folder alone,
	// whether a file is of this format.
	Recognise func(Head) bool
	// Derive adds canonical fields to an event. Nil if there are none.
	Derive func(*postern.Event)
	// Deciding names for each derived field the columns that it is computed from,
	// so that a gate knows where to look for what a rule wants in it; nil for a
	// field whose value does not stand in the row at all.
	Deciding map[string][]string
	// Late are fields of findings and not of events: they are computed when a rule
	// has hit, so that no row pays for them, and no rule can ask for one.
	Late map[string]func(*postern.Event) string
	// Pairs names the column whose key=value pairs become derived fields, whatever
	// their keys. "" if there is none.
	Pairs string
	// VersionIsBuild says that "#Version:" is the build of the server that wrote
	// the file and not the constant of some other log.
	VersionIsBuild bool
	// Build names the four columns that hold the server's build. Nil if rows do not say.
	Build []string
	// Aliases name for each field of the standard Sigma taxonomy the field that
	// holds it here.
	Aliases map[string]string
}

// ColumnsOf gives the columns that decide a field: those that a derived field
// is computed from, those that an alias stands for, and any that has the field's own
// name. Nil is a field that no column decides. Names compare without case and blanks,
// as in rules.
func (f *Format) ColumnsOf(field string) []string {
	field = strings.ReplaceAll(field, " ", "")
	for alias, target := range f.Aliases {
		if strings.EqualFold(alias, field) {
			field = target
			break
		}
	}
	own := []string{field}
	for derived, columns := range f.Deciding {
		if strings.EqualFold(derived, field) {
			if columns == nil {
				return nil
			}
			return append(own, columns...)
		}
	}
	if f.Pairs != "" && !containsFold(f.Columns, field) {
		return append(own, f.Pairs)
	}
	return own
}

// Head is what the beginning of a file says about itself.
type Head struct {
	Path     string   // in the evidence
	Software string   // value of "#Software:"
	LogType  string   // value of "#Log-type:"
	Version  string   // value of "#Version:"
	Fields   []string // columns of "#Fields:" or of the bare header row
	Rows     []string // the first lines that are no header; one if it begins with a digit
	Sentence bool     // the sentence about a failed download stands in the beginning
	Text     bool     // false if the beginning does not look like text
}

// HasFields says whether all of the names are among the columns.
func (h Head) HasFields(names ...string) bool {
	for _, n := range names {
		if !containsFold(h.Fields, n) {
			return false
		}
	}
	return true
}

// PathHas says whether the path in the evidence has a folder or file name part,
// compared without case. Only for telling apart formats with the same columns.
func (h Head) PathHas(part string) bool {
	for i := range len(h.Path) - len(part) + 1 {
		if fold(h.Path[i]) == fold(part[0]) && equalPlaces(h.Path[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// equalPlaces compares parts of paths without case, whichever way their slashes lean.
func equalPlaces(a, b string) bool {
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

// fold gives the small letter of a letter, and a slash for one that leans backwards.
func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c | 0x20
	case c == '\\':
		return '/'
	}
	return c
}

func containsFold(list []string, s string) bool {
	for _, v := range list {
		if strings.EqualFold(v, s) {
			return true
		}
	}
	return false
}

// Find gives the first format that recognises the head, nil if none does.
func Find(formats []*Format, h Head) *Format {
	if !h.Text {
		return nil
	}
	for _, f := range formats {
		if f.Recognise(h) {
			return f
		}
	}
	return nil
}

package postern

import (
	"strings"
	"time"
)

// Instant is a moment in UTC; its zero value means unknown.
type Instant = time.Time

// Field is one named value of an event. A name may stand several times: a
// field with several values.
type Field struct {
	Name  string
	Value string
}

// Place is where something was read, so that a finding can be walked back to bytes.
type Place struct {
	Path   string // relative to the evidence root, with '/', archive members as outer.zip!/inner/path
	Line   int64  // 1-based; 0 where the format has no lines
	Record int64  // the format's own record number; 0 where it has none
	Offset int64  // byte offset of the line or record in the decoded file
}

// Event is one parsed row or record. Fields are the columns in their order and
// under their own names; Derived are canonical values that the parser computed
// from them: decoded, folded to lower case, slashes and dots resolved.
type Event struct {
	Source  string // "httpproxy", "iis", "ecp-server" …
	Time    Instant
	Host    string // server name as the row says it, "" if it does not
	Fields  []Field
	Derived []Field
	Place   Place
	Raw     string // the line as it was read, cut at a bound; for excerpts
}

// Get gives the first value of a field, derived ones first. Names compare
// without case, as the products themselves change it between versions.
func (e *Event) Get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

// Lookup is Get that also says whether the event has the field.
func (e *Event) Lookup(name string) (string, bool) {
	for _, list := range [2][]Field{e.Derived, e.Fields} {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				return list[i].Value, true
			}
		}
	}
	return "", false
}

// Values gives every value of a field: those derived under the name, or else
// those of the columns.
func (e *Event) Values(name string) []string {
	for _, list := range [2][]Field{e.Derived, e.Fields} {
		var values []string
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				values = append(values, list[i].Value)
			}
		}
		if values != nil {
			return values
		}
	}
	return nil
}

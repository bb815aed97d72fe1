package campaign

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern"
)

// maxErrors bounds what one load reports: a pack with more mistakes than that is
// mended in several rounds anyway, and a hostile one must not fill the memory.
const maxErrors = 100

// Error is one mistake in a pack or in the facts about a product.
type Error struct {
	File string       // as the reader can open it, with '/'
	Line int          // 1-based; 0 where the whole file or folder is meant
	What postern.Text // what is wrong and what to do
}

// Error is for developers; people are shown What in their language.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.place(), e.What.Key)
	for _, k := range slices.Sorted(maps.Keys(e.What.Args)) {
		fmt.Fprintf(&b, " %s=%q", k, e.What.Args[k])
	}
	return b.String()
}

func (e Error) place() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	return e.File
}

// Errors is everything that is wrong, by file and line.
type Errors []Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// checker collects the mistakes of one load.
type checker struct {
	prefix string // put before every file name
	errs   Errors
}

func (c *checker) bad(file string, line int, what postern.Text) {
	switch {
	case len(c.errs) < maxErrors:
		c.errs = append(c.errs, Error{File: c.prefix + file, Line: line, What: what})
	case len(c.errs) == maxErrors:
		c.errs = append(c.errs, Error{File: c.prefix + file, What: postern.Say("campaign.too-many", "max", maxErrors)})
	}
}

// err gives what was collected, nil if there is nothing.
func (c *checker) err() error {
	if len(c.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(c.errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	// Some parts are read twice, and say the same twice.
	return slices.CompactFunc(c.errs, func(a, b Error) bool { return a.Error() == b.Error() })
}

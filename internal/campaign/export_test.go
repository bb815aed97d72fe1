package campaign

import (
	"io/fs"
	"testing"
)

// LoadWithFacts is Load without reading the facts about the product each time, for
// the fuzzer.
func LoadWithFacts(t testing.TB, fsys fs.FS, name string) (*Pack, error) {
	t.Helper()
	l := newLoader()
	l.products["exchange"] = theProduct(t)
	return l.load(fsys, name, name+"/")
}

package pattern

import (
	"context"
	"errors"

	"github.com/VirusTotal/gyp/ast"
)

type source struct{}

// Set holds the strings of a run, ready to be looked for. Immutable.
type Set struct{ n int }

// Len gives the number of strings.
func (s *Set) Len() int { return s.n }

// Matches holds what one Scan found. The zero value is ready for use.
type Matches struct {
	found [][]Match
	cut   []ID
}

type program struct{}

var errTodo = errors.New("being written")

func (b *Builder) addText(value []byte, m Modifiers) (ID, error) { return 0, errTodo }
func (b *Builder) addHex(tokens ast.HexTokens) (ID, error)       { return 0, errTodo }
func (b *Builder) addRegexp(src string, noCase, dotAll bool, m Modifiers) (ID, error) {
	return 0, errTodo
}
func build(list []*source) *Set { return &Set{n: len(list)} }
func (s *Set) scan(ctx context.Context, data []byte, wanted Wanted, dst *Matches) error {
	return errTodo
}
func (m *Matches) of(id ID) []Match { return m.found[id] }
func compileAlone(src string, noCase, dotAll bool) (*Regexp, error) {
	return nil, errTodo
}
func (r *Regexp) match(data []byte) bool { return false }

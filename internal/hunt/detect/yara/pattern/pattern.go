// Package pattern finds the strings of YARA rules in bytes: text, hex and regular
// expressions of all rules of a run in one pass over each file.
//
// Input: the strings, one by one, into a Builder; then the bytes of a file. Output:
// for each string the places where it matches, as YARA 4.2 would list them: offset,
// length (both in bytes) and the key of an xor string. The meaning of strings is that
// of the YARA manual ("Writing YARA rules") and, where that is silent, of libyara
// 4.2.3, which is the oracle of the tests; matches that it loses by mistake are found.
//
// A file is searched for atoms, short runs of bytes of which every match of a string
// holds one (atom.go), in a few passes that need little more than a table in the
// processor's cache (set.go, scan.go). Where one is found, texts are compared, and
// expressions are followed from there in both directions by a machine that takes
// linear time (program.go, vm.go).
package pattern

import (
	"context"
	"errors"

	"github.com/VirusTotal/gyp/ast"
)

// ID names a string within its Builder and the Set made of it: 0, 1, 2 … Equal
// strings, by value and modifiers, have the same.
type ID int32

// Modifiers are what a rule says behind a string. The zero value is ASCII. The
// modifier "private" has no meaning here: such a string matches like any other.
type Modifiers struct {
	ASCII, Wide    bool
	NoCase         bool
	FullWord       bool
	XOR            bool
	XORMin, XORMax byte // both included; XORMin = XORMax = 0 is the plain text only
	Base64         bool
	Base64Wide     bool
	Alphabet       string // of base64, 64 different bytes; "" is the standard one
}

// Match is one place where a string matches.
type Match struct {
	Offset int
	Length int32
	XORKey byte // of a string with the modifier xor: key of this place
}

// ErrRefused is wrapped by every error of a Builder: the string is malformed, its
// modifiers contradict each other, or it would cost more than the bounds allow.
var ErrRefused = errors.New("string refused")

// Refusal is such an error.
type Refusal struct {
	// Reason is one of a closed list, for those who tell people. Of any string: empty, large,
	// nested, costly (by itself), all (with all others); modifiers, xor-range, alphabet. Of
	// hex strings: hex, hex-nothing, hex-end, hex-jump, hex-inside. Of expressions: unexpected,
	// branch, repeat, repeat-twice, interval, group, bracket, escape, backreference, range,
	// byte, greedy.
	Reason string
	text   string // for developers
}

func (r *Refusal) Error() string { return ErrRefused.Error() + ": " + r.text }

func (r *Refusal) Unwrap() error { return ErrRefused }

// ErrBudget is returned by Scan if a file cost more steps than the bounds allow.
// What was found before is in Matches; the rest of the file was not looked at.
var ErrBudget = errors.New("file costs more steps than allowed")

// Builder collects the strings of all rules of a run. Not for use by several
// goroutines at once.
type Builder struct {
	draft *draft
	ids   map[string]ID
}

// NewBuilder gives an empty Builder.
func NewBuilder() *Builder { return &Builder{draft: newDraft(), ids: make(map[string]ID)} }

// Text adds a text string: the bytes between the quotes, unescaped.
func (b *Builder) Text(value []byte, m Modifiers) (ID, error) { return b.addText(value, m) }

// Hex adds a hex string.
func (b *Builder) Hex(tokens ast.HexTokens) (ID, error) { return b.addHex(tokens) }

// Regexp adds a regular expression: the text between the slashes as it stands in
// the rule (a slash may be escaped), the flags i and s behind it, and the modifiers.
func (b *Builder) Regexp(src string, noCase, dotAll bool, m Modifiers) (ID, error) {
	return b.addRegexp(src, noCase, dotAll, m)
}

// OnlyFirst says that nobody asks how often a string matches, or where: one place is
// found and the rest are not looked for.
func (b *Builder) OnlyFirst(id ID) {
	d := b.draft
	if s := d.strings[id]; len(s.parts) == 0 {
		d.pieces[s.piece].onlyFirst = true
	}
}

// Build gives the Set of all strings so far. The Builder may be thrown away.
func (b *Builder) Build() *Set { return build(b.draft) }

// Wanted is a set of strings, for Scan.
type Wanted []uint64

// NewWanted gives an empty set for the strings of s.
func (s *Set) NewWanted() Wanted { return make(Wanted, (s.Len()+63)/64) }

// Add puts a string into the set.
func (w Wanted) Add(id ID) { w[id>>6] |= 1 << (id & 63) }

// Remove takes the strings of another set out of it.
func (w Wanted) Remove(o Wanted) {
	for i, word := range o {
		w[i] &^= word
	}
}

// Has says whether a string is in the set.
func (w Wanted) Has(id ID) bool { return w[id>>6]>>(id&63)&1 != 0 }

// Scan finds the strings of s in data. If wanted is not nil, only those in it are
// looked for. dst is emptied first and may be used again and again; it belongs to
// one goroutine, while s serves any number at once.
//
// The error is nil, ErrBudget, or that of ctx, which is asked now and then.
func (s *Set) Scan(ctx context.Context, data []byte, wanted Wanted, dst *Matches) error {
	dst.reset(s.all)
	return s.scan(ctx, data, wanted, dst)
}

// ScanMore looks for more strings in the same data and adds them to dst, which a Scan
// of s or of one of its parts has filled. None of them may have been looked for before.
func (s *Set) ScanMore(ctx context.Context, data []byte, wanted Wanted, dst *Matches) error {
	if dst.set != s.all {
		dst.reset(s.all)
	}
	return s.scan(ctx, data, wanted, dst)
}

// Of gives the matches of a string in the order of their offsets. They are valid
// until the next Scan into m.
func (m *Matches) Of(id ID) []Match { return m.of(id) }

// Cut gives the strings that matched more often than is kept.
func (m *Matches) Cut() []ID { return m.cut }

// Regexp is a regular expression for use alone, as by the operator "matches" and by
// the functions of modules. Safe for several goroutines.
type Regexp struct{ alone *alone }

// CompileRegexp compiles the text between the slashes with the flags behind them.
func CompileRegexp(src string, noCase, dotAll bool) (*Regexp, error) {
	return compileAlone(src, noCase, dotAll)
}

// Match says whether the expression matches anywhere in data.
func (r *Regexp) Match(data []byte) bool { return r.match(data) }

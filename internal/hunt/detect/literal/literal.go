// Package literal is the one fast pass over logs. Input: for each rule, what must
// stand in a row for the rule to be about it (clauses: one of these literals in
// one of these columns), and raw lines. Output: for each line, whether any rule
// can be about it; the rest is never parsed.
//
// The pass walks a line from column to column with the runtime's vectorised byte
// search, looks at the deciding columns only, and stops as soon as no rule is
// left. It never refuses a line that a rule would match: a literal is reduced to
// its longest run of characters that need no escape in a URL, and a column with
// an escaped form of such a character counts as if all literals stood in it.
package literal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// maxPart is how many rules, and how many different clauses, one walk decides: the
// bits of a word. More rules than that take another walk for each part.
const maxPart = 64

// maxClauses of one rule take part, the most telling first: a third column that
// must be walked to costs more than the few lines it would spare.
const maxClauses = 3

// Clause is one condition: at least one of the literals, lower case, stands in
// at least one of the columns. No columns means anywhere in the line.
type Clause struct {
	Columns  []string
	Literals []string
}

// Plan is what the rules of one kind of log need, before the columns are known.
type Plan struct {
	rules  [][]Clause
	refuse Refuse
	all    bool // a rule says nothing that can be looked for: every line passes
}

// Refuse looks closer at a value in which literals were found, as a page of the product
// itself has those of the rules about pages that are not. What it gives answers, for a
// rule by its place in the list, whether no line with that value in that column can be
// what the rule is about; nil if nothing can be said.
type Refuse func(column string, value []byte) func(rule int) bool

// New makes a plan. A rule is a list of clauses that must all hold; variants
// gives other spellings of a literal that mean the same to the parser, such as
// its 8.3 form. It and refuse may be nil.
func New(rules [][]Clause, variants func(string) []string, refuse Refuse) *Plan {
	p := &Plan{refuse: refuse}
	for _, clauses := range rules {
		kept := usable(clauses, variants)
		if len(kept) == 0 {
			p.all = true
		}
		p.rules = append(p.rules, kept)
	}
	return p
}

// usable reduces the literals of a rule's clauses and keeps the clauses that say
// most: those whose shortest literal is longest.
func usable(clauses []Clause, variants func(string) []string) []Clause {
	var kept []Clause
	keep := func(columns []string, literals []string) {
		slices.Sort(literals)
		literals = slices.Compact(literals)
		if len(literals) > 0 && literals[0] != "" {
			kept = append(kept, Clause{columns, literals})
		}
	}
	for _, c := range clauses {
		var spellings []string
		for _, l := range c.Literals {
			spellings = append(spellings, l)
			if variants != nil {
				spellings = append(spellings, variants(l)...)
			}
		}
		if len(spellings) == 1 { // all its parts have to be there, not only one
			for _, part := range parts(spellings[0]) {
				keep(c.Columns, []string{part})
			}
			continue
		}
		var literals []string
		for _, s := range spellings {
			literals = append(literals, best(parts(s)))
		}
		keep(c.Columns, literals)
	}
	slices.SortStableFunc(kept, func(a, b Clause) int { return shortest(b.Literals) - shortest(a.Literals) })
	return kept[:min(len(kept), maxClauses)]
}

func shortest(literals []string) int {
	n := len(literals[0])
	for _, l := range literals {
		n = min(n, len(l))
	}
	return n
}

// unreserved are the characters that RFC 3986 lets nobody need to escape.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// joints are characters that a canonical value can have where the row has none: it
// puts columns and parts of paths together with them.
const joints = " +?:"

// parts gives the pieces of a literal that read the same in every escaping: its
// runs of unreserved characters, lower case. A literal without one is stood for
// by its first character; none at all is a literal that says nothing.
func parts(l string) []string {
	l = lower(l)
	var runs []string
	for run := range strings.FieldsFuncSeq(l, func(r rune) bool { return r >= 0x80 || !unreserved(byte(r)) }) {
		if len(run) > 1 {
			runs = append(runs, run)
		}
	}
	if runs == nil && l != "" && !unreserved(l[0]) && l[0] > ' ' && l[0] < 0x7f && strings.IndexByte(joints, l[0]) < 0 {
		runs = []string{l[:1]}
	}
	return runs
}

// lower folds ASCII letters only: no other letter stands for one of them in a row.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = fold[b[i]]
	}
	return string(b)
}

// best gives the part that says most, "" if there is none: the longest, of equal ones
// that with the rarest pair.
func best(parts []string) string {
	chosen := ""
	for _, p := range parts {
		if len(p) > len(chosen) || len(p) == len(chosen) && rarity(p) > rarity(chosen) {
			chosen = p
		}
	}
	return chosen
}

// Gate gives the gate for the columns of one header. Delim parts the columns; 0
// is a log of opaque lines, where every clause is about the whole line.
func (p *Plan) Gate(delim byte, columns []string) *Gate {
	g := &Gate{delim: delim, all: p.all}
	var part *walk
	for i, rule := range p.rules {
		if len(rule) == 0 || !possible(rule, delim, columns) {
			continue
		}
		if part == nil || !part.fits(rule) {
			part = &walk{ids: make(map[string]int)}
			g.walks = append(g.walks, part)
		}
		part.add(i, rule, delim, columns)
	}
	for _, w := range g.walks {
		w.compile(g.stops)
		if p.refuse != nil && delim != 0 {
			w.closer(p.refuse, columns)
		}
		g.stops += len(w.stops)
	}
	return g
}

// possible says whether all clauses have a column in this file: a rule about a
// column that is not there cannot match.
func possible(rule []Clause, delim byte, columns []string) bool {
	for _, c := range rule {
		if len(c.Columns) > 0 && delim != 0 && len(positions(c.Columns, columns)) == 0 {
			return false
		}
	}
	return true
}

// positions gives where columns of these names stand; a name may stand twice.
// Names compare without case and blanks, as those in rules do.
func positions(names, columns []string) (at []int) {
	for i, c := range columns {
		c = strings.ReplaceAll(c, " ", "")
		for _, n := range names {
			if strings.EqualFold(strings.ReplaceAll(n, " ", ""), c) {
				at = append(at, i)
				break
			}
		}
	}
	return at
}

// Gate decides lines with one set of columns. It does not change once made.
type Gate struct {
	delim byte
	all   bool
	walks []*walk
	stops int // of all walks
}

// Start gives a gate's work on one log, which is one goroutine's.
func (g *Gate) Start() *Pass { return &Pass{gate: g} }

// Pass is a gate at work. It remembers what stood in columns of the lines before.
type Pass struct {
	gate  *Gate
	lines int
	memos []memo // one for each stop; nil until it is worth it
}

// Pass says whether a rule can be about the line.
func (p *Pass) Pass(line []byte) bool {
	g := p.gate
	if g.all {
		return true
	}
	if p.lines++; p.lines == memoAfter {
		p.memos = make([]memo, g.stops)
	}
	for _, w := range g.walks {
		if w.pass(line, g.delim, p.memos) {
			return true
		}
	}
	return false
}

// walk decides up to 64 rules with up to 64 different clauses in one walk over
// a line. Rules and clauses are bits.
type walk struct {
	rules   []int          // by their bits: their places in the plan
	ids     map[string]int // clause → bit
	stops   []stop         // in the order of their columns
	whole   *matcher       // clauses about the whole line; nil if there are none
	wholeOK decision
	first   *stop  // decides about all rules by itself; nil if none does
	alive   uint64 // all rules
}

// stop is one column that is looked at.
type stop struct {
	column  int
	memo    int                                 // number of its memo
	rules   uint64                              // that have a clause about it
	closer  func(value []byte) (refused uint64) // nil if there is nothing to see
	match   *matcher
	decides decision
	own     decision // by the clauses that are about no other column
}

// decision says which rules live on after the last column of some clauses.
type decision struct {
	ending uint64 // the clauses that are decided here
	free   uint64 // the rules that have none of them
	sets   []set  // for the others: what must have been found
}

type set struct{ clauses, rules uint64 }

func (w *walk) fits(rule []Clause) bool {
	return len(w.rules) < maxPart && len(w.ids)+len(rule) <= maxPart
}

// add gives a rule its bit and books what each of its clauses needs.
func (w *walk) add(place int, rule []Clause, delim byte, columns []string) {
	bit := uint64(1) << len(w.rules)
	w.rules = append(w.rules, place)
	w.alive |= bit
	needs := make(map[int]uint64) // column where it is decided (-1: the whole line) → clauses
	own := make(map[int]uint64)   // those that are about one column
	for _, c := range rule {
		var at []int
		if delim != 0 && len(c.Columns) > 0 {
			at = positions(c.Columns, columns)
		}
		key := strings.Join(c.Literals, "\x00")
		for _, i := range at {
			key += "\x01" + string(rune(i))
		}
		id, known := w.ids[key]
		if !known {
			id = len(w.ids)
			w.ids[key] = id
		}
		clause := uint64(1) << id
		last := -1
		for _, i := range at {
			s := w.stopAt(i)
			s.match.add(c.Literals, clause)
			s.rules |= bit
			last = i
		}
		if len(at) == 1 {
			own[last] |= clause
		}
		if at == nil {
			if w.whole == nil {
				w.whole = &matcher{}
			}
			w.whole.add(c.Literals, clause)
		}
		needs[last] |= clause
	}
	for column, clauses := range needs {
		d := &w.wholeOK
		if column >= 0 {
			d = &w.stopAt(column).decides
		}
		d.add(clauses, bit)
	}
	for column, clauses := range own {
		w.stopAt(column).own.add(clauses, bit)
	}
}

func (d *decision) add(clauses, rule uint64) {
	d.ending |= clauses
	d.sets = append(d.sets, set{clauses, rule})
}

func (w *walk) stopAt(column int) *stop {
	i, found := slices.BinarySearchFunc(w.stops, column, func(s stop, c int) int { return s.column - c })
	if !found {
		w.stops = slices.Insert(w.stops, i, stop{column: column, match: &matcher{}})
	}
	return &w.stops[i]
}

func (w *walk) compile(memo int) {
	for i := range w.stops {
		s := &w.stops[i]
		s.memo = memo + i
		s.match.compile()
		s.decides.compile(w.alive)
		if s.own.compile(w.alive); s.own.free == 0 && w.first == nil {
			w.first = s
		}
	}
	if w.whole != nil {
		w.whole.compile()
		w.wholeOK.compile(w.alive)
	}
}

// closer lets values be looked at closer in columns that stand there once: of two of a
// name it is open which one counts.
func (w *walk) closer(refuse Refuse, columns []string) {
	for i := range w.stops {
		s := &w.stops[i]
		name := columns[s.column]
		if len(positions([]string{name}, columns)) > 1 {
			continue
		}
		s.closer = func(value []byte) (refused uint64) {
			never := refuse(name, value)
			if never == nil {
				return 0
			}
			for rules := s.rules; rules != 0; rules &= rules - 1 {
				if bit := bits.TrailingZeros64(rules); never(w.rules[bit]) {
					refused |= 1 << bit
				}
			}
			return refused
		}
	}
}

// compile puts rules with the same needs together.
func (d *decision) compile(all uint64) {
	d.free = all
	var merged []set
	for _, s := range d.sets {
		d.free &^= s.rules
		i := slices.IndexFunc(merged, func(m set) bool { return m.clauses == s.clauses })
		if i < 0 {
			merged = append(merged, s)
			continue
		}
		merged[i].rules |= s.rules
	}
	d.sets = merged
}

// after gives the rules that live on.
func (d *decision) after(alive, hits uint64) uint64 {
	if d.ending == 0 || alive == 0 {
		return alive
	}
	live := d.free
	if hits&d.ending != 0 {
		for _, s := range d.sets {
			if hits&s.clauses == s.clauses {
				live |= s.rules
			}
		}
	}
	return alive & live
}

// pass is the hot loop.
func (w *walk) pass(line []byte, delim byte, memos []memo) bool {
	alive, hits := w.alive, uint64(0)
	if w.whole != nil {
		hits = w.whole.find(line)
		if alive = w.wholeOK.after(alive, hits); alive == 0 {
			return false
		}
	}
	if s := w.first; s != nil {
		pos := skip(line, 0, s.column, delim)
		if s.own.after(alive, s.find(line, pos, next(line, pos, delim), memos)) == 0 {
			return false
		}
	}
	pos, column := 0, 0
	for i := range w.stops {
		s := &w.stops[i]
		pos = skip(line, pos, s.column-column, delim)
		end := next(line, pos, delim)
		hits |= s.find(line, pos, end, memos)
		pos, column = end, s.column+1
		if alive = s.decides.after(alive, hits); alive == 0 {
			return false
		}
	}
	return memos == nil || w.stays(line, delim, alive, memos)
}

// stays says whether any of the rules that are left is so still when the values
// themselves are looked at.
func (w *walk) stays(line []byte, delim byte, alive uint64, memos []memo) bool {
	pos, column := 0, 0
	for i := range w.stops {
		s := &w.stops[i]
		pos = skip(line, pos, s.column-column, delim)
		end := next(line, pos, delim)
		if s.closer != nil && s.rules&alive != 0 && remembers(pos, end) {
			alive &^= memos[s.memo].refused(line[pos:end-1], s)
		}
		pos, column = end, s.column+1
	}
	return alive != 0
}

// find gives the clauses whose literals stand in the column between pos and end-1,
// none if the line has no such column.
func (s *stop) find(line []byte, pos, end int, memos []memo) uint64 {
	if end-1 <= pos {
		return 0
	}
	v := line[pos : end-1]
	if memos == nil || !remembers(pos, end) {
		return s.match.find(v)
	}
	return memos[s.memo].find(v, s.match).hits
}

// remembers says whether the value between pos and end-1 is one that is remembered.
func remembers(pos, end int) bool { return end-1-pos >= memoLeast && end-1-pos <= memoMost }

// skip gives where the nth column after the one at pos begins, or what next gives
// where there is none. It counts the delimiters of eight bytes at a time, as long
// as no column is quoted.
func skip(line []byte, pos, n int, delim byte) int {
	const quotes = ones * '"'
	from, pattern := pos, ones*uint64(delim)
	begins := uint64(0x80) // marks the bytes with which a column begins: the first
	for n > 1 && pos+8 <= len(line) {
		x := binary.LittleEndian.Uint64(line[pos:])
		y := x ^ pattern
		found := ^((y&^highs + ^highs) | y) & highs // the top bit of each byte that is delim
		after := found >> 56
		begins |= found << 8
		if delim == ' ' {
			found &^= begins // several blanks part columns as one does
		} else if zeros(x^quotes)&begins != 0 { // maybe a quoted column
			break
		}
		c := int(found >> 7 * ones >> 56)
		if c >= n {
			for ; n > 1; n-- {
				found &= found - 1
			}
			return pos + bits.TrailingZeros64(found)>>3 + 1
		}
		n -= c
		begins = after
		pos += 8
	}
	// The rest column by column, from the beginning of the last.
	if pos > from {
		pos = from + bytes.LastIndexByte(line[from:pos], delim) + 1
	}
	for ; n > 0 && pos <= len(line); n-- {
		pos = next(line, pos, delim)
	}
	return pos
}

// next gives where the column after the one at pos begins; one past the end of
// the line plus one where there is none. Columns are mostly shorter than what a
// vectorised search needs to get going: eight bytes at a time are faster. Several
// blanks part columns as one does.
func next(line []byte, pos int, delim byte) int {
	if pos < len(line) && line[pos] <= '"' {
		switch {
		case delim == ',' && line[pos] == '"':
			return nextQuoted(line, pos)
		case delim == ' ':
			for pos < len(line) && line[pos] == ' ' {
				pos++
			}
		}
	}
	for pattern := ones * uint64(delim); pos+8 <= len(line); pos += 8 {
		if zero := zeros(binary.LittleEndian.Uint64(line[pos:]) ^ pattern); zero != 0 {
			return pos + bits.TrailingZeros64(zero)>>3 + 1
		}
	}
	for ; pos < len(line); pos++ {
		if line[pos] == delim {
			return pos + 1
		}
	}
	return len(line) + 1
}

const ones, highs uint64 = 0x0101010101010101, 0x8080808080808080

// zeros marks the first byte that is 0 with its top bit; what stands above it may be
// marked as well and mean nothing.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// nextQuoted is next for a column that begins with a quote, where a comma is
// only one after the quote that is not doubled.
func nextQuoted(line []byte, pos int) int {
	for i := pos + 1; i < len(line); i++ {
		q := bytes.IndexByte(line[i:], '"')
		if q < 0 {
			return len(line) + 1
		}
		i += q
		if i+1 < len(line) && line[i+1] == '"' {
			i++
			continue
		}
		comma := bytes.IndexByte(line[i:], ',')
		if comma < 0 {
			return len(line) + 1
		}
		return i + comma + 1
	}
	return len(line) + 1
}

package sigma

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Need is one thing without which a rule cannot match: at least one of the
// literals, which are ASCII in lower case, stands in at least one value of the
// field when case is left aside. Without a field it stands anywhere in the event:
// in a value of any field or in the raw line.
type Need struct {
	Field    string // as the rule spells it; compare without case and blanks
	Literals []string
	Exact    bool // a value is the literal, not only contains it; without a field, that of any
}

// Needs gives conditions that every event that matches the rule fulfils, all of
// them; the first is the most telling. None means that nothing can be said: the
// rule has to see every event.
//
// The values meant are those that [Rule.Match] sees. Whoever looks for the
// literals in bytes from which the values are yet to be decoded has to allow for
// the decoding.
func (r *Rule) Needs() []Need {
	var needs []Need
	for _, c := range r.clauses(r.root, false) {
		if n, ok := r.need(c); ok && !slices.ContainsFunc(needs, func(o Need) bool {
			return o.Field == n.Field && o.Exact == n.Exact && slices.Equal(o.Literals, n.Literals)
		}) {
			needs = append(needs, n)
		}
	}
	return needs
}

// need puts a clause in the form for others: one field, plain ASCII.
func (r *Rule) need(c clause) (Need, bool) {
	n := Need{Exact: true}
	field := c[0].field
	for _, a := range c {
		if a.field != field {
			field = keyword
		}
		lit := longestASCII(a.text)
		if lit == "" {
			return n, false
		}
		n.Exact = n.Exact && a.field != keyword && a.start && a.end && lit == a.text
		n.Literals = append(n.Literals, lit)
	}
	if field != keyword {
		n.Field = r.own.names[field]
	}
	slices.Sort(n.Literals)
	n.Literals = slices.Compact(n.Literals)
	if !n.Exact {
		n.Literals = withoutLonger(n.Literals)
	}
	return n, true
}

// longestASCII gives the longest part that every encoding that logs use writes
// with the same bytes.
func longestASCII(s string) string {
	best, from := "", 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] < utf8.RuneSelf {
			continue
		}
		if i-from > len(best) {
			best = s[from:i]
		}
		from = i + 1
	}
	return best
}

// withoutLonger drops literals that hold another one: they add nothing.
func withoutLonger(literals []string) []string {
	var kept []string
	literals = slices.Clone(literals)
	slices.SortFunc(literals, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, l := range literals {
		if !slices.ContainsFunc(kept, func(k string) bool { return strings.Contains(l, k) }) {
			kept = append(kept, l)
		}
	}
	return kept
}

// clause is atoms of which at least one holds for every event that matches.
type clause []atom

// atom is a literal in a value of a field, or anywhere for a keyword.
type atom struct {
	field int32
	literal
}

// Bounds of what is remembered of one rule: two or three clauses are ever used,
// and one with very many atoms announces nothing.
const (
	maxClauses = 16
	maxAtoms   = 10_000
)

// clauses derives what must hold if a node holds, or if it does not (negated).
// The best clause comes first.
func (r *Rule) clauses(n *node, negated bool) []clause {
	switch {
	case n.op == opNot:
		return r.clauses(n.kids[0], !negated)
	case n.op == opItem:
		if negated {
			return nil // an absence needs no literal
		}
		return bestFirst(r.items[n.item].clauses())
	case (n.op == opAnd) != negated: // not (a or b) is not a and not b
		var all []clause
		for _, kid := range n.kids {
			all = append(all, r.clauses(kid, negated)...)
		}
		return bestFirst(all)
	}
	kids := make([][]clause, len(n.kids))
	for i, kid := range n.kids {
		if kids[i] = r.clauses(kid, negated); len(kids[i]) == 0 {
			return nil
		}
	}
	return bestFirst(union(kids))
}

// union gives clauses that hold if one of the alternatives does: the best of
// each put together, and for each field on which every alternative has a say the
// best on that field.
func union(kids [][]clause) []clause {
	var all []clause
	add := func(c clause) {
		if len(c) > 0 && len(c) <= maxAtoms {
			all = append(all, c)
		}
	}
	var bests clause
	for _, clauses := range kids {
		bests = append(bests, clauses[0]...)
	}
	add(bests)
	for _, c := range kids[0] {
		field, ok := c.field()
		if !ok || field == keyword {
			continue
		}
		var joined clause
		for _, clauses := range kids {
			i := slices.IndexFunc(clauses, func(c clause) bool { f, ok := c.field(); return ok && f == field })
			if i < 0 {
				joined = nil
				break
			}
			joined = append(joined, clauses[i]...)
		}
		add(joined)
	}
	return all
}

// field gives the one field of a clause.
func (c clause) field() (int32, bool) {
	for _, a := range c {
		if a.field != c[0].field {
			return 0, false
		}
	}
	return c[0].field, true
}

// score says how telling a clause is: by its shortest literal, as that is the
// one that hits.
func (c clause) score() int {
	const anchored, enough = 1, 12
	worst := enough + 2*anchored
	for _, a := range c {
		s := min(len(a.text), enough)
		if a.start {
			s += anchored
		}
		if a.end {
			s += anchored
		}
		worst = min(worst, s)
	}
	return worst
}

func bestFirst(clauses []clause) []clause {
	slices.SortStableFunc(clauses, func(a, b clause) int {
		if s := b.score() - a.score(); s != 0 {
			return s
		}
		return len(a) - len(b)
	})
	return clauses[:min(len(clauses), maxClauses)]
}

func (it *item) clauses() []clause {
	if it.null || it.mode != anyTest && it.mode != allTests {
		return nil
	}
	var all []clause
	for _, t := range it.tests {
		literals := t.literals()
		if literals == nil && it.mode == anyTest {
			return nil
		}
		var c clause
		for _, l := range literals {
			c = append(c, atom{it.field, l})
		}
		switch {
		case c == nil:
		case it.mode == allTests || all == nil:
			all = append(all, c)
		default:
			all[0] = append(all[0], c...)
		}
	}
	return all
}

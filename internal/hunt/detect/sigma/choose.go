package sigma

import (
	"math"
	"math/bits"
	"slices"
)

// chooser chooses the clauses by which rules are found: rare in events, then telling,
// and not shared by many rules. What many rules share, such as an event id or
// powershell.exe, is what the events are full of.
type chooser struct {
	entries []string       // of the rates, by slot
	same    []bool         // by slot: all events of the group have the same value
	shared  map[atom]int   // rules that could be found by an atom
	rates   map[atom]uint8 // class of an atom
	chances map[*node]float64
}

// identities are what events of one source have in common.
var identities = []string{"channel", "eventid", "provider_name", "computer"}

func newChooser(t *table, clauses [][]clause) *chooser {
	c := &chooser{shared: make(map[atom]int), rates: make(map[atom]uint8), chances: make(map[*node]float64)}
	for slot, name := range t.names {
		c.entries = append(c.entries, t.rates(int32(slot)))
		c.same = append(c.same, slices.Contains(identities, string(appendName(nil, name))))
	}
	for _, of := range clauses {
		for _, clause := range of {
			for _, a := range clause {
				c.shared[a]++
			}
		}
	}
	return c
}

// often is a share of events, as a power of ½: a clause that holds in more of them is no
// second one.
const often = 1

// two gives the clauses by which a rule is found; nil for one that there is not. What is
// seldom where the rates were counted has a second one all the same: rundll32 and cmd are
// rare on a quiet server, and not on one that is attacked.
func (ch *chooser) two(clauses []clause) [2]clause {
	type rated struct {
		clause
		class  float64
		common bool // one of its literals is in nearly every event
		score  int
	}
	var all []rated
	for _, c := range clauses {
		sum, most, common := 0.0, 0, false
		for _, a := range c {
			sum += math.Exp2(-float64(ch.class(a)))
			most = max(most, ch.shared[a])
			common = common || ch.class(a) == 0
		}
		all = append(all, rated{c, math.Round(-math.Log2(min(sum, 1))), common, 2*c.score() - 3*bits.Len(uint(most)) - bits.Len(uint(len(c)))})
	}
	slices.SortStableFunc(all, func(a, b rated) int {
		if a.class != b.class {
			return int(b.class - a.class)
		}
		return b.score - a.score
	})
	var chosen [2]clause
	if len(all) == 0 || all[0].common {
		return chosen // to find it would cost more than to evaluate it
	}
	chosen[0] = all[0].clause
	for _, c := range all[1:] {
		apart := !slices.ContainsFunc(c.clause, func(a atom) bool { return slices.Contains(chosen[0], a) })
		if !c.common && c.class >= often && apart {
			chosen[1] = c.clause
			break
		}
	}
	return chosen
}

func (ch *chooser) class(a atom) uint8 {
	class, known := ch.rates[a]
	if !known {
		switch {
		case a.field == keyword:
			class = uint8(a.literal.class(""))
		case !ch.same[a.field]:
			class = uint8(a.literal.class(ch.entries[a.field]))
		}
		ch.rates[a] = class
	}
	return class
}

// rates gives the entries of the rates for a field.
func (t *table) rates(slot int32) string {
	return rates()[string(appendName(nil, t.names[slot]))]
}

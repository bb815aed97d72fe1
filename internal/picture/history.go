package picture

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"
)

// State is what a sighting says of a host and the CVE.
type State uint8

// The states, in the order in which they win at one and the same moment: a service
// is as weak as its weakest member.
const (
	Gone   State = iota // hidden or silent: says nothing, least of all that it was fixed
	Exempt              // not affected: no part of the count, unless it was open before and is thereby closed
	Closed              // fixed
	Unsure              // the build cannot be told, or does not decide
	Open                // unfixed, perhaps mitigated, or without a fix for its line
)

// Sighting is one look at one host.
type Sighting struct {
	// Keys are the names by which the host is known again; one that was seen before
	// is enough. At least one.
	Keys  []string
	Time  time.Time
	State State
	// Line is the CU line, in the words that Options.Available knows; "" if unknown.
	Line string
	// Cluster is who runs the host: hosts of one operator are patched together and
	// count less than as many of different ones. "" is an operator of its own.
	Cluster string
	// Group is what the caller divides the population by; "" if it does not, or not known.
	Group string
	// Scope is the label of the scan's scope.
	Scope string
}

// Bounds of the store: 12 bytes a sighting and about 60 a host. Ten million
// sightings of a million hosts take some 250 MB with what the estimate needs.
const (
	maxLines = 1 << 12
	chunk    = 1 << 16 // sightings in one block, so that growing copies nothing
)

// sighted is one packed sighting: time in seconds (32 bits), state (3), line (12).
type sighted uint64

func pack(sec uint32, s State, line int) sighted {
	return sighted(sec)<<32 | sighted(s)<<12 | sighted(line)
}

func (s sighted) sec() uint32  { return uint32(s >> 32) }
func (s sighted) state() State { return State(s >> 12 & 7) }
func (s sighted) line() int    { return int(s & (maxLines - 1)) }

// host is what is kept of one host beside its sightings.
type host struct {
	parent  uint32 // itself, or the host that it turned out to be
	cluster uint32
	group   uint32
	at      uint32 // second at which cluster and group were said last
}

// names gives small numbers to words, and the words back.
type names struct {
	index map[string]uint32
	words []string
}

func (n *names) number(s string) uint32 {
	if i, ok := n.index[s]; ok {
		return i
	}
	if n.index == nil {
		n.index = map[string]uint32{}
	}
	i := uint32(len(n.words))
	n.index[s] = i
	n.words = append(n.words, s)
	return i
}

// ErrScope is a series of another scope than the ones before. Shares of different
// populations are not one curve.
var ErrScope = errors.New("series of different scope")

// store gathers sightings in any order.
type store struct {
	seed     maphash.Seed
	byKey    map[uint64]uint32 // hash of a key → host; keys themselves are not kept
	hosts    []host
	lines    names
	clusters names
	groups   names
	scopes   []string
	who      [][]uint32 // host of each sighting, in blocks
	what     [][]sighted
	n        int
}

func newStore() *store {
	st := &store{seed: maphash.MakeSeed(), byKey: map[uint64]uint32{}}
	st.lines.number("")
	st.clusters.number("")
	st.groups.number("")
	return st
}

// add keeps one sighting.
func (st *store) add(s *Sighting, mixScopes bool) error {
	sec := s.Time.Unix()
	switch {
	case len(s.Keys) == 0 || s.Keys[0] == "":
		return errors.New("sighting without a host")
	case sec <= 0 || sec > math.MaxUint32:
		return fmt.Errorf("time %s is out of the range of 1970 to 2106", s.Time.Format(time.RFC3339))
	case s.State > Open:
		return fmt.Errorf("state %d is not in the list", s.State)
	}
	if len(st.scopes) == 0 || st.scopes[len(st.scopes)-1] != s.Scope && !slices.Contains(st.scopes, s.Scope) {
		if len(st.scopes) > 0 && !mixScopes {
			return fmt.Errorf("%w: %q after %q", ErrScope, s.Scope, st.scopes[0])
		}
		st.scopes = append(st.scopes, s.Scope)
	}
	line := st.lines.number(s.Line)
	if line >= maxLines {
		line = 0 // a table has some hundred lines; what is beyond counts as unknown
	}
	h := st.host(s.Keys)
	st.describe(h, uint32(sec), s)
	if st.n%chunk == 0 {
		st.who = append(st.who, make([]uint32, 0, chunk))
		st.what = append(st.what, make([]sighted, 0, chunk))
	}
	last := len(st.who) - 1
	st.who[last] = append(st.who[last], h)
	st.what[last] = append(st.what[last], pack(uint32(sec), s.State, int(line)))
	st.n++
	return nil
}

// host finds the host with one of these keys and joins those that turn out to be
// one and the same.
func (st *store) host(keys []string) uint32 {
	if len(keys) == 1 {
		h := maphash.String(st.seed, keys[0])
		i, ok := st.byKey[h]
		if ok {
			return st.root(i)
		}
		i = uint32(len(st.hosts))
		st.hosts = append(st.hosts, host{parent: i})
		st.byKey[h] = i
		return i
	}
	found := uint32(math.MaxUint32)
	for _, k := range keys {
		h := maphash.String(st.seed, k)
		i, ok := st.byKey[h]
		if ok {
			i = st.root(i)
		}
		switch {
		case ok && found == math.MaxUint32:
			found = i
		case ok && i != found:
			st.join(found, i)
		}
	}
	if found == math.MaxUint32 {
		found = uint32(len(st.hosts))
		st.hosts = append(st.hosts, host{parent: found})
	}
	for _, k := range keys {
		st.byKey[maphash.String(st.seed, k)] = found
	}
	return found
}

// join makes b the same host as a.
func (st *store) join(a, b uint32) {
	st.hosts[b].parent = a
	if st.hosts[b].at > st.hosts[a].at {
		parent := st.hosts[a].parent
		st.hosts[a] = st.hosts[b]
		st.hosts[a].parent = parent
	}
}

// root gives the host that i turned out to be.
func (st *store) root(i uint32) uint32 {
	for st.hosts[i].parent != i {
		st.hosts[i].parent = st.hosts[st.hosts[i].parent].parent
		i = st.hosts[i].parent
	}
	return i
}

// describe keeps who runs the host and where it belongs, as said last; of two
// words at one moment the one that sorts first, so that the order of reading does
// not matter.
func (st *store) describe(i, sec uint32, s *Sighting) {
	h := &st.hosts[i]
	if s.Cluster == "" && s.Group == "" || sec < h.at {
		return
	}
	if sec == h.at {
		if c := cmp.Or(cmp.Compare(s.Cluster, st.clusters.words[h.cluster]), cmp.Compare(s.Group, st.groups.words[h.group])); c >= 0 {
			return
		}
	}
	h.at, h.cluster, h.group = sec, st.clusters.number(s.Cluster), st.groups.number(s.Group)
}

// each gives the sightings of every host in time order, the weaker state last at
// one moment, and empties the store. The slice is valid until the next host.
func (st *store) each(yield func(h *host, list []sighted)) {
	start := make([]uint32, len(st.hosts)+1)
	for _, block := range st.who {
		for i, h := range block {
			h = st.root(h)
			block[i] = h
			start[h+1]++
		}
	}
	for i := range st.hosts {
		start[i+1] += start[i]
	}
	all := make([]sighted, st.n)
	next := slices.Clone(start)
	for b, block := range st.who {
		for i, h := range block {
			all[next[h]] = st.what[b][i]
			next[h]++
		}
	}
	st.who, st.what = nil, nil
	for i := range st.hosts {
		list := all[start[i]:start[i+1]]
		if len(list) > 0 {
			slices.Sort(list)
			yield(&st.hosts[i], list)
		}
	}
}

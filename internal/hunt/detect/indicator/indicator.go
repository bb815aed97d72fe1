// Package indicator compares evidence with published signs of intrusions: hashes,
// names and paths of files, addresses, domains, agents, URLs and parameters of
// requests. Input: feeds as they are exchanged (CSV, STIX 2, MISP JSON, OpenIOC 1.0
// and 1.1, plain lists) and those of the campaign packs, then files and rows. Output:
// findings that name the sign, who published it and when it ceased to be valid, and an
// account of every indicator of a feed that was not used.
//
// A hash of a file's content decides by itself. Everything else is weak: servers
// are rented for days, names collide, agents are those of common libraries. A
// weak sign is a finding of level 1 at most that belongs to no campaign, so that it
// never makes a verdict, and a sentence at what a rule finds in the same row.
//
// Times are UTC. Sources of the formats: STIX 2.1 (OASIS, 10 June 2021), the core
// format of MISP (draft-dulaunoy-misp-core-format), the OpenIOC 1.0 and 1.1 schemas;
// docs/formats/indicators.md says what is read of each.
package indicator

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"postern"
)

// Bounds of a set.
const (
	// maxIndicators of all feeds together: five times the largest public export,
	// 0.5 GB of memory.
	maxIndicators = 5_000_000
	// maxArena bounds the text of all indicators.
	maxArena = 2 << 30
	// maxValue is the longest value: no address of a page and no path is longer.
	maxValue = 8 << 10
	// maxNote is kept of what a feed says about an indicator.
	maxNote = 512
)

// kind is a [postern.IndicatorKind] as a small number, with kinds of the engine's own.
type kind uint8

const (
	kindSHA256 kind = iota
	kindSHA1
	kindMD5
	kindName
	kindPath
	kindURL
	kindAddress
	kindAgent
	kindParameter
	kindDomain
	kindSize // only beside another one
	kindStem // the path of a URL, for the look at a column
	kinds
)

var kindNames = [kinds]postern.IndicatorKind{
	postern.IndicatorSHA256, postern.IndicatorSHA1, postern.IndicatorMD5, postern.IndicatorFileName, postern.IndicatorPath,
	postern.IndicatorURL, postern.IndicatorAddress, postern.IndicatorUserAgent, postern.IndicatorParameter, postern.IndicatorDomain,
	"size", "stem",
}

func kindOf(k postern.IndicatorKind) (kind, bool) {
	i := slices.Index(kindNames[:kindSize], k)
	return kind(i), i >= 0
}

// TLP says who may be told of an indicator: the Traffic Light Protocol 2.0 of FIRST.
type TLP uint8

// The markings, from the freest. What is not marked is [Unmarked].
const (
	Unmarked TLP = iota
	Clear
	Green
	Amber
	AmberStrict
	Red
)

var tlpNames = [...]string{"", "clear", "green", "amber", "amber+strict", "red"}

func (t TLP) String() string { return tlpNames[t] }

// ParseTLP reads a marking as it stands in feeds: with or without "TLP:" in front,
// in any case. A marking that nobody knows is [Red] and not ok: who cannot tell
// keeps it to himself.
func ParseTLP(s string) (t TLP, ok bool) {
	s = trimTLP(string(appendLower(nil, s)))
	switch s {
	case "":
		return Unmarked, true
	case "white":
		return Clear, true
	case "amber-strict", "amber_strict", "amber strict":
		return AmberStrict, true
	}
	if i := slices.Index(tlpNames[:], s); i > 0 {
		return TLP(i), true
	}
	return Red, false
}

// About is what is said of an indicator beside its value.
type About struct {
	Source   string // who published it
	Note     string
	ID       string // in the feed
	Campaign string // of the pack that it is from
	TLP      TLP
	// Until is the time from which it is not valid any more; zero for ever.
	Until     time.Time
	FirstSeen time.Time
}

// Entry is one indicator as a feed has it.
type Entry struct {
	Kind  postern.IndicatorKind
	Value string
	Place string // for names: the folder, lower case with '/', "" anywhere
	Size  int64  // of the file that a hash is of; 0 if nobody says
	// And must hold as well, of the same file or row.
	And []Condition
	// Scan is set where nothing of a file can be looked up, so that every file is asked.
	Scan bool
	About
}

// Condition is one of several that must hold together.
type Condition struct {
	Kind  postern.IndicatorKind
	Value string
	Size  int64 // instead of kind and value: the size of the file

	folder bool  // the value is that of the folder that a file lies in
	test   *test // asked of values instead, nil if the value is equal to this one
}

// Set is a set of indicators. It does not change once made and may be used by
// several goroutines. An entry costs some 50 bytes and its text, and one look
// costs the same however many there are.
type Set struct {
	seed    maphash.Seed
	arena   []byte
	entries []entry
	table   []uint32 // open addressing: number of the first entry of a key, plus one
	origins []origin
	and     [][]condition
	scans   []uint32 // entries that every file is asked about
	count   [kinds]int
	asked   [kinds]int // of them those of feeds, for which rows are looked at that no rule is about
	nets    [2]nets    // of IPv4 and IPv6
	sizes   map[int64]bool
	algos   [kindMD5 + 1]bool // hashes that something is compared with
}

// entry is an indicator; its text lies in the arena: key, note, ID.
type entry struct {
	at          uint32
	key         uint16
	note        uint16
	noteAt      uint32
	id          uint16
	kind        kind
	place       bool
	scan        bool
	origin      uint32
	and         uint32 // plus one, in Set.and
	next        uint32 // with the same key, plus one
	until, seen int64  // seconds since 1970, 0 unknown
}

// origin is what the indicators of one feed share.
type origin struct {
	source, campaign, place string
	tlp                     TLP
	feed                    bool // and not a pack
}

type condition struct {
	kind kind
	key  string
	size int64
	test *test
}

// nets are networks by their length.
type nets struct {
	known map[netip.Prefix]uint32 // number of the first entry, plus one
	bits  []int                   // lengths that there are, the longest first
}

// Builder makes a [Set].
type Builder struct {
	set     *Set
	origins map[origin]uint32
	last    struct { // the note before, which is often the next one's too
		note string
		at   uint32
	}
	nets []uint32
	full bool
}

// NewBuilder gives an empty builder.
func NewBuilder() *Builder {
	return &Builder{
		set:     &Set{seed: maphash.MakeSeed(), sizes: make(map[int64]bool)},
		origins: make(map[origin]uint32),
	}
}

// verdict on an indicator that is added.
type added uint8

const (
	addedOK added = iota
	addedBad
	addedFull
	addedMany // comparisons that every file is asked
)

// Pack adds an indicator of a campaign pack. It says whether the value can be one of
// its kind.
func (b *Builder) Pack(i postern.Indicator) bool {
	return b.add(Entry{Kind: i.Kind, Value: i.Value, Place: i.Place,
		About: About{Source: i.Source, Note: i.Note, Campaign: i.Campaign, FirstSeen: i.FirstSeen}}, false) == addedOK
}

// Add adds an indicator of a feed.
func (b *Builder) Add(e Entry) bool { return b.add(e, true) == addedOK }

func (b *Builder) add(e Entry, feed bool) added {
	k, ok := kindOf(e.Kind)
	if !ok || len(e.Value) > maxValue {
		return addedBad
	}
	s := b.set
	if len(s.entries) >= maxIndicators || len(s.arena)+len(e.Value)+maxNote+256 > maxArena {
		b.full = true
		return addedFull
	}
	if e.Scan && len(s.scans) >= maxScans {
		return addedMany
	}
	at := len(s.arena)
	arena, ok := append(s.arena, e.Value...), true
	if !e.Scan {
		arena, ok = appendKey(s.arena, k, e.Value)
	}
	if !ok || len(arena) == at {
		return addedBad
	}
	var and []condition
	for _, c := range e.And {
		if c.Size > 0 {
			and = append(and, condition{kind: kindSize, size: c.Size})
			continue
		}
		ck, ok := kindOf(c.Kind)
		if ok && c.test != nil && c.test.op != equals {
			and = append(and, condition{kind: ck, test: c.test})
			continue
		}
		key, sound := appendKey(nil, ck, c.Value)
		if !ok || !sound {
			return addedBad
		}
		if ck <= kindMD5 {
			s.algos[ck] = true
		}
		if c.test != nil { // another one than this
			c.test.text = string(key)
			and = append(and, condition{kind: ck, test: c.test})
			continue
		}
		and = append(and, condition{kind: ck, key: string(key)})
	}
	s.arena = arena
	en := entry{at: uint32(at), key: uint16(len(arena) - at), kind: k, place: e.Place != "", scan: e.Scan,
		origin: b.origin(&e, feed), until: unix(e.Until), seen: unix(e.FirstSeen)}
	id := cut(e.ID, 255)
	s.arena = append(s.arena, id...)
	en.id = uint16(len(id))
	en.noteAt, en.note = b.note(cut(e.Note, maxNote))
	if and != nil {
		s.and = append(s.and, and)
		en.and = uint32(len(s.and))
	}
	if k <= kindMD5 {
		s.algos[k] = true
		if e.Size > 0 {
			s.sizes[e.Size] = true
		}
	}
	s.count[k]++
	if feed && !e.Scan {
		s.asked[k]++
	}
	s.entries = append(s.entries, en)
	if e.Scan {
		s.scans = append(s.scans, uint32(len(s.entries)))
	}
	if k == kindAddress && isNetwork(s.keyOf(&en)) {
		b.nets = append(b.nets, uint32(len(s.entries)))
	}
	return addedOK
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// cut shortens a text to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

func (b *Builder) origin(e *Entry, feed bool) uint32 {
	o := origin{source: cut(e.Source, maxNote), campaign: e.Campaign, place: e.Place, tlp: e.TLP, feed: feed}
	n, ok := b.origins[o]
	if !ok {
		n = uint32(len(b.set.origins))
		b.set.origins = append(b.set.origins, o)
		b.origins[o] = n
	}
	return n
}

func (b *Builder) note(s string) (at uint32, n uint16) {
	if s != b.last.note {
		b.last.note, b.last.at = s, uint32(len(b.set.arena))
		b.set.arena = append(b.set.arena, s...)
	}
	return b.last.at, uint16(len(s))
}

// Set gives the set. The builder cannot be used after.
func (b *Builder) Set() *Set {
	s := b.set
	b.set = nil
	extra := 0
	if s.count[kindURL] > 0 {
		extra = s.count[kindURL]
	}
	s.table = make([]uint32, max(16, 1<<bits.Len(uint(2*(len(s.entries)+extra)))))
	for i := range s.entries {
		e := &s.entries[i]
		key := s.keyOf(e)
		if e.kind == kindAddress && isNetwork(key) || e.scan {
			continue
		}
		s.insert(uint32(i), e.kind, key)
	}
	for _, n := range b.nets {
		e := &s.entries[n-1]
		s.nets[family(s.keyOf(e))].add(network(s.keyOf(e)), n, s.entries)
	}
	for i := range s.nets {
		s.nets[i].finish()
	}
	s.addStems()
	return s
}

// addStems adds the path of each URL of a feed, by which a column of a log is looked at.
func (s *Set) addStems() {
	if s.asked[kindURL] == 0 {
		return
	}
	for i, n := 0, len(s.entries); i < n; i++ {
		e := &s.entries[i]
		if e.kind != kindURL || !s.origins[e.origin].feed {
			continue
		}
		key := s.keyOf(e)
		slash := bytes.IndexByte(key, '/')
		stem, _, _ := bytes.Cut(key[max(slash, 0):], []byte{'?'})
		if slash < 0 || s.find(kindStem, stem) != 0 {
			continue
		}
		s.entries = append(s.entries, entry{at: e.at + uint32(slash), key: uint16(len(stem)), kind: kindStem, origin: s.entries[i].origin})
		s.insert(uint32(len(s.entries)-1), kindStem, stem)
	}
}

func (s *Set) hash(k kind, key []byte) uint64 {
	return maphash.Bytes(s.seed, key) ^ uint64(k+1)*0x9E3779B97F4A7C15
}

// insert puts an entry into the table; one with a key that is there comes behind
// the first.
func (s *Set) insert(i uint32, k kind, key []byte) {
	mask := uint64(len(s.table) - 1)
	for at := s.hash(k, key) & mask; ; at = (at + 1) & mask {
		first := s.table[at]
		if first == 0 {
			s.table[at] = i + 1
			return
		}
		if e := &s.entries[first-1]; e.kind == k && bytes.Equal(s.keyOf(e), key) {
			s.entries[i].next, e.next = e.next, i+1
			return
		}
	}
}

// find gives the number of the first entry with a key, plus one; 0 if there is none.
func (s *Set) find(k kind, key []byte) uint32 {
	if len(s.table) == 0 {
		return 0
	}
	mask := uint64(len(s.table) - 1)
	for at := s.hash(k, key) & mask; ; at = (at + 1) & mask {
		first := s.table[at]
		if first == 0 {
			return 0
		}
		if e := &s.entries[first-1]; e.kind == k && bytes.Equal(s.keyOf(e), key) {
			return first
		}
	}
}

// findAddress is find for an address, which may be listed itself or in a network. The
// smallest network comes first.
func (s *Set) findAddress(addr netip.Addr) (single uint32, nets []uint32) {
	var buf [16]byte
	key := appendAddr(buf[:0], addr)
	single = s.find(kindAddress, key)
	n := &s.nets[family(key)]
	for _, length := range n.bits {
		if p, err := addr.Prefix(length); err == nil {
			if first := n.known[p]; first != 0 {
				nets = append(nets, first)
			}
		}
	}
	return single, nets
}

func (n *nets) add(p netip.Prefix, number uint32, entries []entry) {
	if n.known == nil {
		n.known = make(map[netip.Prefix]uint32)
	}
	entries[number-1].next = n.known[p]
	n.known[p] = number
	n.bits = append(n.bits, p.Bits())
}

func (n *nets) finish() {
	slices.Sort(n.bits)
	n.bits = slices.Compact(n.bits)
	slices.Reverse(n.bits)
}

func (s *Set) keyOf(e *entry) []byte { return s.arena[e.at : e.at+uint32(e.key)] }

// about gives what is said of an entry.
func (s *Set) about(e *entry) About {
	o := &s.origins[e.origin]
	a := About{Source: o.source, Campaign: o.campaign, TLP: o.tlp,
		Note: string(s.arena[e.noteAt : e.noteAt+uint32(e.note)]),
		ID:   string(s.arena[e.at+uint32(e.key) : e.at+uint32(e.key)+uint32(e.id)])}
	if e.until != 0 {
		a.Until = time.Unix(e.until, 0).UTC()
	}
	if e.seen != 0 {
		a.FirstSeen = time.Unix(e.seen, 0).UTC()
	}
	return a
}

// Len is how many indicators there are.
func (s *Set) Len() (n int) {
	for _, c := range s.count {
		n += c
	}
	return n
}

// Count is how many there are of a kind.
func (s *Set) Count(k postern.IndicatorKind) int {
	i, ok := kindOf(k)
	if !ok {
		return 0
	}
	return s.count[i]
}

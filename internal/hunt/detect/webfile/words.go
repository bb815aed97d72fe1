package webfile

import (
	"slices"
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// trait says what a word can mean to the analysis.
type trait uint16

// The traits.
const (
	sinkWord     trait = 1 << iota // a sink has it
	otherWord                      // may be one of the constructs that are no calls of a known name
	originWord                     // may be where something comes in from outside
	harmlessWord                   // may make something harmless of what goes into it
	changeWord                     // fills or drains the object that it belongs to
	serviceWord                    // offers a method to the world
	inputWord
	decoderWord
	readerWord
	fetcherWord
	machineWord // of native, as the next
	sectionWord
)

// lexicon holds the words that the analysis knows, numbered from 1. A page has thousands
// of words, most of them its own: each is looked up once, and what follows compares
// numbers.
type lexicon struct {
	words  []string
	traits []trait
	sinks  [][]*compiledSink
	// sinkWords are the numbers of the words of sinks, connecting those of what says which
	// database is opened and asked, patterns those of patternFunctions.
	sinkWords, connecting, patterns []uint16
	// first is the number of the first word in each slot, 0 if there is none, and next
	// that of the next in the same slot as a word.
	first [slots]uint16
	next  []uint16
}

// slots is how many places there are for words. The lexicon fills a tenth of them, so
// that most words of a page are known to be none of its own by the first look.
const slots = 1 << 12

// slotOf gives the place of a word.
func slotOf(s string) uint16 {
	n := len(s)
	if n == 0 {
		return 0
	}
	h := uint32(s[0])<<24 | uint32(s[n/3])<<16 | uint32(s[n/2])<<8 | uint32(s[n-1])
	return uint16((h ^ uint32(n)) * 0x9E3779B1 >> 20)
}

// asked are words that the analysis asks for one by one.
const asked = `getlogicaldrives driveinfo getdrives assembly createdecryptor transformfinalblock getextension pathinfo
	getextensionname registry getsubkeynames standardoutput md5 sha1 computehash hashpasswordforstoringinconfigfile
	new write writeline processstartinfo process postedfile startinfo arguments filename`

// newLexicon makes the lexicon.
func newLexicon() *lexicon {
	x := &lexicon{words: []string{""}, traits: []trait{0}, sinks: [][]*compiledSink{nil}, next: []uint16{0}}
	for _, w := range strings.Fields(asked) {
		x.learn(w, 0)
	}
	for _, class := range comClasses {
		x.learn(class, 0)
	}
	for t, words := range map[trait]map[string]bool{
		decoderWord: decoders, readerWord: readers, fetcherWord: fetchers, inputWord: inputTypes, machineWord: nativeWords,
		sectionWord: sectionWords, serviceWord: serviceWords, otherWord: otherWords, originWord: originWords,
	} {
		x.learnAll(words, t)
	}
	x.learnAll(databaseConnections, otherWord)
	for w := range databaseConnections {
		x.connecting = append(x.connecting, x.learn(w, 0))
	}
	x.connecting = append(x.connecting, x.learn("commandtext", 0), x.learn("connectionstring", 0))
	for w := range patternFunctions {
		x.patterns = append(x.patterns, x.learn(w, otherWord))
	}
	x.learnAll(phpSources, otherWord|originWord)
	x.learnAll(harmlessCalls, harmlessWord)
	x.learnAll(parseCalls, harmlessWord)
	x.learnAll(fills, changeWord)
	x.learnAll(drains, changeWord)
	for _, s := range sinks {
		c := &compiledSink{sink: s, afterSet: set(s.after), ofClass: strings.HasPrefix(s.needs, "#")}
		for _, w := range strings.Fields(s.needs) {
			c.needed = append(c.needed, x.learn(w, 0))
		}
		for _, w := range strings.Fields(s.words) {
			n := x.learn(w, sinkWord)
			if x.sinks[n] == nil {
				x.sinkWords = append(x.sinkWords, n)
			}
			x.sinks[n] = append(x.sinks[n], c)
		}
	}
	return x
}

func (x *lexicon) learnAll(words map[string]bool, t trait) {
	for w := range words {
		x.learn(w, t)
	}
}

// learn gives a word a number, if it has none, and a trait.
func (x *lexicon) learn(w string, t trait) uint16 {
	n := x.number(w, slotOf(w))
	if n == 0 {
		n = uint16(len(x.words))
		slot := slotOf(w)
		x.words, x.traits, x.sinks = append(x.words, w), append(x.traits, 0), append(x.sinks, nil)
		x.next = append(x.next, x.first[slot])
		x.first[slot] = n
	}
	x.traits[n] |= t
	return n
}

// number gives the number of a word that has its place in a slot, 0 if it is unknown.
func (x *lexicon) number(w string, slot uint16) uint16 {
	n := x.first[slot]
	for n != 0 && x.words[n] != w {
		n = x.next[n]
	}
	return n
}

// vocabulary is what one program says.
type vocabulary struct {
	*lexicon
	// slot and known are the place and the number of the word at each token.
	slot, known []uint16
	said        []bool  // by number
	traits      trait   // of all words
	strings     []int32 // the positions of the strings
	// reads says that one of them is what reads a request in PHP, hides that it is the name
	// of a variable that does.
	reads, hides bool
}

// vocabularyOf looks every word of a program up. It takes the space of an old vocabulary.
func (x *lexicon) vocabularyOf(toks []page.Token, old vocabulary) vocabulary {
	v := vocabulary{lexicon: x, slot: cleared(old.slot, len(toks)), known: cleared(old.known, len(toks)), said: cleared(old.said, len(x.words)), strings: old.strings[:0]}
	for i := range toks {
		switch t := &toks[i]; t.Kind {
		case page.Ident:
			slot := slotOf(t.Text)
			v.slot[i] = slot
			if n := x.number(t.Text, slot); n != 0 {
				v.known[i] = n
				v.said[n] = true
				v.traits |= x.traits[n]
			}
		case page.String:
			v.strings = append(v.strings, int32(i))
			if t.Lang == page.PHP {
				hidden, ok := phpString(t)
				v.hides, v.reads = v.hides || hidden, v.reads || ok
			}
		}
	}
	return v
}

// cleared gives n zero values in the space of a slice.
func cleared[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// is says whether the word at i has one of the traits.
func (v *vocabulary) is(i int, t trait) bool { return v.lexicon.traits[v.known[i]]&t != 0 }

// any says whether the program has a word with the trait.
func (v *vocabulary) any(t trait) bool { return v.traits&t != 0 }

// says answers whether a word stands in the program. It must be one of the lexicon.
func (v *vocabulary) says(word string) bool { return v.said[v.number(word, slotOf(word))] }

// saysOne says whether one of the numbered words does.
func (v *vocabulary) saysOne(words []uint16) bool {
	for _, n := range words {
		if v.said[n] {
			return true
		}
	}
	return false
}

// note adds a word that stands in no token.
func (v *vocabulary) note(word string) { v.said[v.number(word, slotOf(word))] = true }

// filter says of most words at once that they are not among those that were added.
type filter [slots / 64]uint64

func (f *filter) add(word string) {
	slot := slotOf(word)
	f[slot/64] |= 1 << (slot % 64)
}

func (f *filter) may(slot uint16) bool { return f[slot/64]&(1<<(slot%64)) != 0 }

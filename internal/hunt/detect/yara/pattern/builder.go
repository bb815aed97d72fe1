package pattern

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/VirusTotal/gyp/ast"
)

// Bounds on one string and on all of a run.
const (
	maxText     = 1 << 20 // bytes of a text string
	maxAllInsts = 1 << 23 // instructions of all expressions, 24 bytes each
	maxAllAtoms = 1 << 23 // values of all atoms, 8 bytes each
)

// piece is what is searched for: a text, or an expression. Most strings are one
// piece; one with large jumps is a chain of several.
type piece struct {
	texts      [][]byte // of a text string; of base64, all its forms
	wide       bool     // expression: also, or only, with characters of two bytes
	ascii      bool
	noCase     bool
	fullWord   bool
	greedy     bool // the match found last at a place counts, not the first
	shortest   bool // the shortest match from an atom counts, not the preferred one
	xor        bool
	min, max   byte // keys of xor
	onlyFirst  bool // one match is enough
	expression bool
	// A place may be found from several of the expression's atoms, or with several
	// lengths, so that the order in which they are found matters.
	ordered bool
	after   int32 // of a later link of a chain: the piece before it, else 0
	owner   ID
}

// probe says what to do where an atom is.
type probe struct {
	piece int32
	text  int32 // of a text: which one
	back  int32 // bytes of the text before the atom; of an expression, of its character
	wide  bool  // of a text: the variant with characters of two bytes
	// Of an expression: where the atom is, its characters cannot be of two bytes.
	narrow bool
	// In passRare: which byte, and where in the atom.
	rareByte byte
	rare     int8
	// The bytes of the atom that can be of one value only, which known says. In its
	// keys they are folded.
	exact [maxAtom]byte
	known uint8
	// Of an expression without an atom: set of the bytes that it may begin with, and
	// whether only at the start of the data.
	first    int32
	anchored bool

	next int32 // of an expression: where to go on forwards
	prev int32 // and backwards; 0 if the atom is where it begins
}

// entry is one value of an atom.
type entry struct {
	key   uint32
	probe int32
}

// atoms are those of one pass, by their length. Those of length 0 are the probes of
// expressions that have none.
type atoms [maxAtom + 1][]entry

// places says where the matches of a string are: with its piece or, if it is cut at
// its large jumps, to be put together from those of parts.
type places struct {
	piece int32
	parts []chainPart
}

type chainPart struct {
	piece    int32
	min, max int // distance from the end of the part before
}

// draft is a Set that is being made.
type draft struct {
	asm     assembler
	strings []places
	pieces  []piece
	probes  []probe
	passes  [passes]atoms
	passOf  []pass    // by string
	rate    []float64 // the same
	rates   *rates
	atoms   int
}

func newDraft() *draft {
	return &draft{
		asm:   assembler{setIDs: make(map[charset]int32), code: []inst{{op: opMatch}}, maxStates: 1},
		rates: newRates(),
	}
}

// part is a string, or one link of its chain, on its way into the draft.
type part struct {
	piece    piece
	tree     *node // of an expression
	min, max int   // of a later link of a chain

	at    int32 // index of the piece
	core  *core
	start int32 // of the forward program
}

// put compiles a string. If it is refused, the draft is as before.
func (b *Builder) put(key string, parts []part) (ID, error) {
	d := b.draft
	code, probes, atomCount := len(d.asm.code), len(d.probes), d.atoms
	fail := func(err error) (ID, error) {
		d.asm.code, d.probes, d.atoms = d.asm.code[:code], d.probes[:probes], atomCount
		return 0, err
	}
	first := int32(len(d.pieces)) // of a chain: the piece of the result
	result := places{piece: first}
	for i := range parts {
		p := &parts[i]
		p.at = first
		if len(parts) > 1 {
			p.at += int32(i) + 1
			result.parts = append(result.parts, chainPart{piece: p.at, min: p.min, max: p.max})
			if i > 0 {
				p.piece.after = p.at - 1
			}
		}
		if err := d.compile(p); err != nil {
			return fail(err)
		}
	}
	// All parts of a chain are in one pass, so that they are found in their order.
	var found atoms
	var way pass
	rate := 0.0 // of all its atoms
	for way = range pass(passes) {
		found, rate = atoms{}, 0
		// The parts of a chain are found in order, which a search byte by byte is not.
		ok := way != passRare || len(parts) == 1
		for i := range parts {
			if !ok {
				break
			}
			var r float64
			if r, ok = d.place(&parts[i], way, &found); !ok {
				break
			}
			rate += r
		}
		if ok {
			break
		}
		d.probes = d.probes[:probes]
	}
	for _, list := range found {
		d.atoms += len(list)
	}
	if d.atoms > maxAllAtoms || len(d.asm.code) > maxAllInsts {
		return fail(refuse("all", "all strings together need more than %d atoms or %d steps", maxAllAtoms, maxAllInsts))
	}
	for n := range found {
		d.passes[way][n] = append(d.passes[way][n], found[n]...)
	}
	id := ID(len(d.strings))
	if len(parts) > 1 {
		d.pieces = append(d.pieces, piece{owner: id})
	}
	for _, p := range parts {
		p.piece.owner = id
		d.pieces = append(d.pieces, p.piece)
	}
	d.strings = append(d.strings, result)
	d.passOf = append(d.passOf, way)
	d.rate = append(d.rate, rate)
	b.ids[key] = id
	return id, nil
}

// compile writes the programs of a part.
func (d *draft) compile(p *part) (err error) {
	if !p.piece.expression {
		return nil
	}
	x := expander{}
	if p.core, err = x.expand(p.tree); err != nil {
		return err
	}
	if p.start, err = d.asm.program(p.core, false); err != nil {
		return err
	}
	_, err = d.asm.program(p.core, true)
	return err
}

// place chooses the atoms of a part for a pass and adds its probes; ok is false if
// they are not good enough for it. Every part is for the last.
func (d *draft) place(p *part, way pass, found *atoms) (rate float64, ok bool) {
	for _, wide := range []bool{false, true} {
		if wide && !p.piece.wide || !wide && !p.piece.ascii {
			continue
		}
		var r float64
		if p.piece.expression {
			r, ok = d.placeExpression(p, wide, way, found)
		} else {
			r, ok = d.placeTexts(p, wide, way, found)
		}
		if !ok {
			return 0, false
		}
		rate += r
	}
	return rate, true
}

func (d *draft) placeExpression(p *part, wide bool, way pass, found *atoms) (rate float64, ok bool) {
	ch := chooser{rates: d.rates, wide: wide, both: p.piece.ascii && p.piece.wide, pass: way}
	best := ch.expression(p.core)
	if way < passRest && (len(best.windows) == 0 || best.cost > way.worst()) {
		return 0, false
	}
	if len(best.windows) == 0 {
		first := d.asm.setID(d.asm.firstBytes(p.start))
		d.add(probe{piece: p.at, next: p.start, first: first, anchored: d.asm.code[p.start].op == opStart}, []uint32{0}, 0, found)
		return 1, true
	}
	if way == passRare {
		// Places have to be found in order, so all with the same byte.
		for i := range best.windows {
			if best.windows[i].byte() != best.windows[0].byte() {
				return 0, false
			}
		}
	}
	p.piece.ordered = p.piece.ordered || ch.some != nil
	for _, w := range best.windows {
		prev := w.first.pc[1]
		if d.asm.code[prev].op == opMatch {
			prev = 0
		}
		p.piece.ordered = p.piece.ordered || !d.asm.fixed(prev)
		pr := probe{piece: p.at, back: int32(w.back), next: w.first.pc[0], prev: prev}
		if way == passRare {
			pr.setRare(&w)
		}
		pr.setExact(&w)
		// The byte behind the first character is none that could be taken for zero.
		pr.narrow = !wide && len(w.sets) > 1 && !w.sets[1].has(0) && !w.sets[1].has(foldBit)
		d.add(pr, w.keys(0), len(w.sets), found)
	}
	return best.cost, true
}

func (d *draft) placeTexts(p *part, wide bool, way pass, found *atoms) (rate float64, ok bool) {
	if way == passRare && p.piece.xor {
		return 0, false // any byte may be any other
	}
	for i, text := range p.piece.texts {
		if wide {
			text = widen(text)
		}
		sets := make([]charset, len(text))
		for j, b := range text {
			if sets[j] = oneByte(b); p.piece.noCase {
				sets[j] = sets[j].bothCases()
			}
		}
		spot := d.rates.rarest(sets, func(int) bool { return true }, way)
		if way < passRest && (spot.n == 0 || spot.cost > way.worst()) {
			return 0, false
		}
		for at := spot.at; at < spot.at+way.windows(); at++ {
			w := window{sets: sets[at : at+spot.n], rare: spot.rare}
			pr := probe{piece: p.at, text: int32(i), back: int32(at), wide: wide}
			if way == passRare {
				pr.setRare(&w)
			}
			if !p.piece.xor {
				pr.setExact(&w)
			}
			d.add(pr, p.piece.keys(&w), spot.n, found)
		}
		rate += spot.cost
	}
	return rate, true
}

func (p *probe) setRare(w *window) {
	p.rare, p.rareByte = int8(w.rare), w.byte()
}

func (p *probe) setExact(w *window) {
	for i := range w.sets {
		if b, ok := w.sets[i].single(); ok {
			p.exact[i], p.known = b, p.known|1<<i
		}
	}
}

// byte gives the rare one.
func (w *window) byte() byte {
	b, _ := w.sets[w.rare].single()
	return b
}

// keys gives the values of an atom under every key of an xor string.
func (p *piece) keys(w *window) []uint32 {
	keys := w.keys(p.min)
	if p.min == p.max {
		return keys
	}
	for mask := int(p.min) + 1; mask <= int(p.max); mask++ {
		keys = append(keys, w.keys(byte(mask))...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (d *draft) add(p probe, keys []uint32, length int, found *atoms) {
	id := int32(len(d.probes))
	d.probes = append(d.probes, p)
	for _, k := range keys {
		found[length] = append(found[length], entry{key: k, probe: id})
	}
}

// fixed says whether a program has only one way through it, of one length.
func (a *assembler) fixed(pc int32) bool {
	for ; ; pc++ {
		switch a.code[pc].op {
		case opRep, opSplit, opJump:
			return false
		case opMatch:
			return true
		}
	}
}

// firstBytes gives the bytes that a non-empty match of a program may begin with.
func (a *assembler) firstBytes(pc int32) charset {
	var set charset
	seen := map[int32]bool{}
	stack := []int32{pc}
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch in := a.code[pc]; in.op {
		case opByte:
			set.add(in.b)
		case opSet:
			set.union(a.sets[in.set])
		case opRep:
			set.union(a.sets[in.set])
			if in.x == 0 {
				stack = append(stack, pc+1)
			}
		case opSplit:
			stack = append(stack, in.x, in.y)
		case opJump:
			stack = append(stack, in.x)
		case opMatch:
		default:
			stack = append(stack, pc+1)
		}
	}
	return set
}

func (b *Builder) addText(value []byte, m Modifiers) (ID, error) {
	base64 := m.Base64 || m.Base64Wide
	switch {
	case len(value) == 0:
		return 0, refuse("empty", "an empty string")
	case len(value) > maxText:
		return 0, refuse("large", "a string of %d bytes, above the bound of %d", len(value), maxText)
	case m.XOR && m.NoCase:
		return 0, refuse("modifiers", "the modifiers xor and nocase contradict each other")
	case base64 && m.NoCase:
		return 0, refuse("modifiers", "the modifiers base64 and nocase contradict each other")
	case base64 && m.FullWord:
		return 0, refuse("modifiers", "the modifiers base64 and fullword contradict each other")
	case base64 && m.XOR:
		return 0, refuse("modifiers", "the modifiers base64 and xor contradict each other")
	case m.XOR && m.XORMin > m.XORMax:
		return 0, refuse("xor-range", "xor range %d-%d", m.XORMin, m.XORMax)
	case base64 && m.Alphabet != "" && len(m.Alphabet) != len(standardAlphabet):
		return 0, refuse("alphabet", "a base64 alphabet of %d bytes instead of %d", len(m.Alphabet), len(standardAlphabet))
	}
	if m.Alphabet == "" || !base64 {
		m.Alphabet = standardAlphabet
	}
	if !m.Wide {
		m.ASCII = true
	}
	if !m.XOR {
		m.XORMin, m.XORMax = 0, 0
	}
	key := textKey(value, m)
	if id, ok := b.ids[key]; ok {
		return id, nil
	}
	p := piece{
		noCase: m.NoCase, fullWord: m.FullWord,
		ascii: m.ASCII, wide: m.Wide,
		xor: m.XOR, min: m.XORMin, max: m.XORMax,
	}
	if !base64 {
		p.texts = [][]byte{append([]byte(nil), value...)}
		return b.put(key, []part{{piece: p}})
	}
	p.ascii, p.wide = true, false
	var plain [][]byte
	if m.Wide {
		plain = append(plain, widen(value))
	}
	if m.ASCII {
		plain = append(plain, value)
	}
	for _, v := range plain {
		forms := base64Forms(v, m.Alphabet)
		if m.Base64 {
			p.texts = append(p.texts, forms...)
		}
		if m.Base64Wide {
			for _, f := range forms {
				p.texts = append(p.texts, widen(f))
			}
		}
	}
	return b.put(key, []part{{piece: p}})
}

func textKey(value []byte, m Modifiers) string {
	var flags uint16
	for i, f := range []bool{m.ASCII, m.Wide, m.NoCase, m.FullWord, m.XOR, m.Base64, m.Base64Wide} {
		if f {
			flags |= 1 << i
		}
	}
	key := binary.BigEndian.AppendUint16([]byte{'t'}, flags)
	key = append(key, m.XORMin, m.XORMax)
	key = append(key, m.Alphabet...)
	return string(append(key, value...))
}

func (b *Builder) addHex(tokens ast.HexTokens) (ID, error) {
	tree, alternatives, err := hexTree(tokens)
	if err != nil {
		return 0, err
	}
	var source strings.Builder
	source.WriteByte('h')
	if err := tokens.WriteSource(&source); err != nil {
		return 0, refuse("hex", "hex string: %v", err)
	}
	if id, ok := b.ids[source.String()]; ok {
		return id, nil
	}
	return b.put(source.String(), expressions(tree, piece{ascii: true, shortest: !alternatives}))
}

// expressions cuts a tree into the parts of its chain.
func expressions(tree *node, p piece) []part {
	var parts []part
	for _, l := range splitChain(tree) {
		p := p
		if text, ok := literalOf(l.tree); ok {
			p.texts = [][]byte{text}
		} else {
			p.expression = true
		}
		parts = append(parts, part{piece: p, tree: l.tree, min: l.min, max: l.max})
	}
	return parts
}

func (b *Builder) addRegexp(src string, noCase, dotAll bool, m Modifiers) (ID, error) {
	if m.XOR || m.Base64 || m.Base64Wide {
		return 0, refuse("modifiers", "xor and base64 do not go with regular expressions")
	}
	m.NoCase = m.NoCase || noCase
	if !m.Wide {
		m.ASCII = true
	}
	tree, p, err := parseRegexp(src, m.NoCase, dotAll)
	if err != nil {
		return 0, err
	}
	if p.greedy && p.lazy {
		return 0, refuse("greedy", "greedy and ungreedy quantifiers in one regular expression")
	}
	if splits(tree) > maxSplits {
		return 0, refuse("costly", "a regular expression with more than %d branches", maxSplits)
	}
	key := textKey([]byte(src), m)
	key = string(map[bool]byte{false: 'r', true: 's'}[dotAll]) + key[1:]
	if id, ok := b.ids[key]; ok {
		return id, nil
	}
	return b.put(key, expressions(tree, piece{
		ascii: m.ASCII, wide: m.Wide, noCase: m.NoCase, fullWord: m.FullWord, greedy: p.greedy,
	}))
}

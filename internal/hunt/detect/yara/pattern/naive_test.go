package pattern

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/VirusTotal/gyp/ast"
)

// naive is the second oracle: it follows the tree of an expression in the most
// straightforward way and tries everything. It knows nothing of atoms or programs.
type naive struct {
	data  []byte
	wide  bool
	steps int
}

// maxNaive bounds an oracle that takes exponential time.
const maxNaive = 2_000_000

// ends gives all places where n can end if it begins at one of some places.
func (v *naive) ends(n *node, at map[int]bool) map[int]bool {
	out := make(map[int]bool)
	v.steps += 1 + len(at)
	if v.steps > maxNaive {
		return out
	}
	size := 1
	if v.wide {
		size = 2
	}
	switch n.kind {
	case nodeSet:
		for i := range at {
			if i+size <= len(v.data) && n.set.has(v.data[i]) && (!v.wide || v.data[i+1] == 0) {
				out[i+size] = true
			}
		}
	case nodeConcat:
		out = at
		for _, k := range n.kids {
			out = v.ends(k, out)
		}
	case nodeAlt:
		for _, k := range n.kids {
			for e := range v.ends(k, at) {
				out[e] = true
			}
		}
	case nodeRepeat:
		now := at
		for i := 0; ; i++ {
			if i >= n.min {
				for e := range now {
					out[e] = true
				}
			}
			// More rounds than bytes change nothing if they are not asked for.
			if i == n.max || len(now) == 0 || i > n.min+len(v.data) || v.steps > maxNaive {
				break
			}
			now = v.ends(n.kids[0], now)
		}
	case nodeEmpty:
		return at
	default:
		for i := range at {
			word := func(j int) bool { return j >= 0 && j < len(v.data) && isWord(v.data[j]) }
			edge := i == 0 || i == len(v.data)
			var ok bool
			switch n.kind {
			case nodeStart:
				ok = i == 0
			case nodeEnd:
				ok = i == len(v.data)
			case nodeWord:
				ok = edge || word(i) != word(i-1)
			case nodeNotWord:
				ok = !edge && word(i) == word(i-1)
			}
			if ok {
				out[i] = true
			}
		}
	}
	return out
}

// starts gives the places where an expression matches; ok is false if it can match
// nothing at all, of which the meaning is libyara's own, or is too much.
func (v *naive) starts(n *node) (places []int, ok bool) {
	for i := range v.data {
		ends := v.ends(n, map[int]bool{i: true})
		if ends[i] || v.steps > maxNaive {
			return nil, false
		}
		if len(ends) > 0 {
			places = append(places, i)
		}
	}
	return places, true
}

func asserts(n *node) bool {
	return n.kind == nodeWord || n.kind == nodeNotWord || slices.ContainsFunc(n.kids, asserts)
}

func found(t *testing.T, s *Set, id ID, data []byte) []int {
	t.Helper()
	var m Matches
	if err := s.Scan(context.Background(), data, nil, &m); err != nil {
		t.Fatal(err)
	}
	var places []int
	for _, match := range m.Of(id) {
		if match.Offset < 0 || match.Length <= 0 || match.Offset+int(match.Length) > len(data) {
			t.Errorf("match %+v is not in %d bytes", match, len(data))
		}
		places = append(places, match.Offset)
	}
	// A search for one string alone goes another way to the same.
	only := s.NewWanted()
	only.Add(id)
	var alone Matches
	if err := s.Part(only).Scan(context.Background(), data, nil, &alone); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(alone.Of(id), m.Of(id)) {
		t.Errorf("in %q: got %v alone, want %v", data, alone.Of(id), m.Of(id))
	}
	if !slices.IsSorted(places) || len(slices.Compact(slices.Clone(places))) != len(places) {
		t.Errorf("places %v are not in order, or twice", places)
	}
	return places
}

// checkRegexp compares an expression with the naive oracle.
func checkRegexp(t *testing.T, src string, noCase, dotAll, wide bool, data []byte) {
	t.Helper()
	b := NewBuilder()
	id, err := b.Regexp(src, noCase, dotAll, Modifiers{Wide: wide})
	if err != nil {
		return
	}
	// Others beside it must not change what is found.
	if _, err := b.Text([]byte("ab"), Modifiers{}); err != nil {
		t.Fatal(err)
	}
	got := found(t, b.Build(), id, data)
	tree, _, err := parseRegexp(src, noCase, dotAll)
	if err != nil {
		t.Fatal(err)
	}
	if wide && asserts(tree) || len(splitChain(tree)) > 1 {
		return
	}
	v := naive{data: data, wide: wide}
	want, ok := v.starts(tree)
	if ok && !slices.Equal(got, want) {
		t.Errorf("/%s/ nocase %v dotall %v wide %v in %q:\n got %v\nwant %v", src, noCase, dotAll, wide, data, got, want)
	}
	alone, err := CompileRegexp(src, noCase, dotAll)
	if err != nil {
		t.Fatal(err)
	}
	if wide || !ok || len(data) == 0 {
		return
	}
	if got := alone.Match(data); got != (len(want) > 0) {
		t.Errorf("/%s/ alone in %q: got %v, want %v", src, data, got, !got)
	}
}

func checkHex(t *testing.T, tokens ast.HexTokens, data []byte) {
	t.Helper()
	b := NewBuilder()
	id, err := b.Hex(tokens)
	if err != nil {
		return
	}
	got := found(t, b.Build(), id, data)
	tree, _, err := hexTree(tokens)
	if err != nil {
		t.Fatal(err)
	}
	v := naive{data: data}
	want, ok := v.starts(tree)
	if !ok {
		return
	}
	if len(splitChain(tree)) > 1 {
		// Of the parts of a chain only the preferred length counts.
		want = slices.DeleteFunc(want, func(i int) bool { return !slices.Contains(got, i) })
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v in %q:\n got %v\nwant %v", tokens, data, got, want)
	}
}

// text looks for a text at every place, as its modifiers say.
func naiveText(data, text []byte, m Modifiers) []int {
	same := func(i int, text []byte) bool {
		if i+len(text) > len(data) {
			return false
		}
		if m.NoCase {
			for j, b := range text {
				if lower(b) != lower(data[i+j]) {
					return false
				}
			}
			return true
		}
		return bytes.Equal(data[i:i+len(text)], text)
	}
	variants := [][]byte{}
	if m.ASCII || !m.Wide {
		variants = append(variants, text)
	}
	if m.Wide {
		variants = append(variants, widen(text))
	}
	var places []int
	for i := range data {
		for _, v := range variants {
			for key := int(m.XORMin); key <= int(m.XORMax); key++ {
				w := slices.Clone(v)
				for j := range w {
					w[j] ^= byte(key)
				}
				if same(i, w) {
					places = append(places, i)
				}
			}
		}
	}
	return slices.Compact(places)
}

func checkText(t *testing.T, text []byte, m Modifiers, data []byte) {
	t.Helper()
	b := NewBuilder()
	if !m.XOR {
		m.XORMin, m.XORMax = 0, 0
	}
	id, err := b.Text(text, m)
	if err != nil {
		return
	}
	if m.Base64 || m.Base64Wide || m.FullWord {
		found(t, b.Build(), id, data)
		return
	}
	if got, want := found(t, b.Build(), id, data), naiveText(data, text, m); !slices.Equal(got, want) {
		t.Errorf("%q %+v in %q:\n got %v\nwant %v", text, m, data, got, want)
	}
}

// TestAgainstNaive asks the second oracle about many generated strings.
func TestAgainstNaive(t *testing.T) {
	t.Parallel()
	for round := range 500 {
		g := generator{rand.New(rand.NewPCG(11, uint64(round)))}
		data := g.data()
		data = data[:min(len(data), 80)]
		declaredRegexp := g.regexp()
		src := declaredRegexp[1:strings.LastIndexByte(declaredRegexp, '/')]
		checkRegexp(t, src, g.IntN(2) == 0, g.IntN(2) == 0, g.IntN(4) == 0, data)
		if s, err := declared(g.hex()); err == nil {
			checkHex(t, s.(*ast.HexString).Tokens, data)
		}
		text := data[:min(len(data), 1+g.IntN(9))]
		if len(data) > 20 {
			from := g.IntN(10)
			text = data[from : from+1+g.IntN(9)]
		}
		m := Modifiers{ASCII: g.IntN(2) == 0, Wide: g.IntN(2) == 0, NoCase: g.IntN(3) == 0}
		if !m.NoCase && g.IntN(2) == 0 {
			m.XOR, m.XORMin, m.XORMax = true, 0, byte(g.IntN(256))
		}
		checkText(t, text, m, data)
		if t.Failed() {
			return
		}
	}
}

// FuzzStrings asks whether a string of any form, however odd, is refused with an
// error or found exactly where the naive oracle finds it.
func FuzzStrings(f *testing.F) {
	f.Add(byte(0), `ab(c|d+)?[^\w]{2,}x`, []byte("abc --x abd..x"))
	f.Add(byte(1), `(a|b*)+c{,3}$`, []byte("aabbccc"))
	f.Add(byte(2), `\bfoo.{1,3}bar`, []byte("foo\nbar foo-bar"))
	f.Add(byte(5), `a.c`, []byte("a\x00b\x00c\x00"))
	f.Add(byte(8), `61 ?2 [1-3] (63|64 65) ~66`, []byte("ab.ceg"))
	f.Add(byte(8), `61 [300] 62 [-] 63`, bytes.Repeat([]byte("ab c"), 100))
	f.Add(byte(16), `abc`, []byte("xabcABCa\x00b\x00c\x00"))
	f.Add(byte(16|3), `Hello`, []byte("SGVsbG8"))
	f.Fuzz(func(t *testing.T, kind byte, src string, data []byte) {
		if len(src) > 200 || len(data) > 200 {
			return
		}
		switch {
		case kind&8 != 0:
			if strings.ContainsAny(src, "/\"") {
				return // comments, and the end of the rule
			}
			if s, err := declared("{ " + src + " }"); err == nil {
				if h, ok := s.(*ast.HexString); ok {
					checkHex(t, h.Tokens, data)
				}
			}
		case kind&16 != 0:
			checkText(t, []byte(src), Modifiers{
				ASCII: kind&1 != 0, Wide: kind&2 != 0, NoCase: kind&4 != 0,
				XOR: kind&32 != 0, XORMin: kind & 3, XORMax: kind >> 5 * 31, Base64: kind&64 != 0, FullWord: kind&128 != 0,
			}, data)
		default:
			checkRegexp(t, src, kind&1 != 0, kind&2 != 0, kind&4 != 0, data)
		}
	})
}

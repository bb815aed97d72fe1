package pattern

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	alphabet := strings.Repeat("a", 63)
	for _, c := range []struct {
		name string
		add  func(b *Builder) (ID, error)
		want string
	}{
		{"empty", func(b *Builder) (ID, error) { return b.Text(nil, Modifiers{}) }, "empty string"},
		{"xor nocase", func(b *Builder) (ID, error) { return b.Text([]byte("a"), Modifiers{XOR: true, NoCase: true}) }, "xor and nocase"},
		{"base64 nocase", func(b *Builder) (ID, error) { return b.Text([]byte("abc"), Modifiers{Base64: true, NoCase: true}) }, "base64 and nocase"},
		{"base64 fullword", func(b *Builder) (ID, error) {
			return b.Text([]byte("abc"), Modifiers{Base64Wide: true, FullWord: true})
		}, "base64 and fullword"},
		{"base64 xor", func(b *Builder) (ID, error) { return b.Text([]byte("abc"), Modifiers{Base64: true, XOR: true}) }, "base64 and xor"},
		{"alphabet", func(b *Builder) (ID, error) {
			return b.Text([]byte("abc"), Modifiers{Base64: true, Alphabet: alphabet})
		}, "63 bytes instead of 64"},
		{"long", func(b *Builder) (ID, error) { return b.Text(make([]byte, maxText+1), Modifiers{}) }, "above the bound"},
		{"xor regexp", func(b *Builder) (ID, error) { return b.Regexp("abc", false, false, Modifiers{XOR: true}) }, "do not go with"},
		{"hex", func(b *Builder) (ID, error) { return b.Hex(nil) }, "empty hex string"},
	} {
		_, err := c.add(NewBuilder())
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got the error %v, want %q", c.name, err, c.want)
		}
	}
	for src, want := range map[string]string{
		"":                        "empty",
		"a**":                     "quantifier behind",
		"*a":                      "nothing to repeat",
		"a|*":                     "nothing to repeat",
		"^+":                      "nothing to repeat",
		"{2}a":                    "nothing to repeat",
		"(":                       "nothing to match",
		"(a":                      "missing )",
		"a)":                      "unexpected",
		"|a":                      "nothing to match",
		"[a":                      "missing ]",
		"[b-a]":                   "bad range",
		"[\x80]":                  "printable ASCII",
		`\x4`:                     "two hex digits",
		`\`:                       "illegal escape",
		`(a)\1`:                   "back references",
		"(?i)a":                   "do not exist",
		"a{3,2}":                  "bad repeat",
		"a{0}":                    "bad repeat",
		"a{40000}":                "too large",
		"a+b+?":                   "greedy and ungreedy",
		strings.Repeat("a", 9000): "above the bound",
		strings.Repeat("(", 300) + "a" + strings.Repeat(")", 300): "nested deeper",
	} {
		_, err := NewBuilder().Regexp(src, false, false, Modifiers{})
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("/%.40s/: got the error %v, want %q", src, err, want)
		}
	}
}

// A bomb is refused before it costs anything, or costs little.
func TestBombs(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	for _, src := range []string{
		"(((a{1,99}b){1,99}c){1,99}d){1,99}",
		"(((((((((a+)+)+)+)+)+)+)+)+)+b",
		"((a|b|c|d){1,1000}){1,1000}",
		"(x+x+)+y",
		strings.Repeat("(a|b)", 200),
		strings.Repeat("a?", 100) + strings.Repeat("a", 100),
		"([a-z]{1,4000}){1,4000}",
		strings.Repeat("(", 200) + "a" + strings.Repeat("{1,2})", 200),
		"a{32767}b{32767}c{32767}",
		strings.Repeat(".{0,30000}", 400),
	} {
		if _, err := b.Regexp(src, false, false, Modifiers{}); err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("/%.60s/: %v", src, err)
		}
	}
	if n := b.Build().Stats().Instructions; n > 200_000 {
		t.Errorf("got %d instructions", n)
	}
}

func TestEqualStringsShareAnID(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	var ids []ID
	for _, m := range []Modifiers{{}, {ASCII: true}, {XORMax: 7}, {Wide: true}} {
		id, err := b.Text([]byte("same"), m)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, dotAll := range []bool{false, true, false} {
		id, err := b.Regexp("same", false, dotAll, Modifiers{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if want := []ID{0, 0, 0, 1, 2, 3, 2}; !slices.Equal(ids, want) {
		t.Errorf("got the IDs %v, want %v", ids, want)
	}
}

// many gives a Set of generated strings.
func many(tb testing.TB, seed uint64, n int) *Set {
	tb.Helper()
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	b := NewBuilder()
	for range n {
		for _, text := range []string{g.text(), g.hex(), g.regexp()} {
			if s, err := declared(text); err == nil {
				_, _ = add(b, s) // some are refused, as they should be
			}
		}
	}
	return b.Build()
}

// However a search is parted, it finds the same.
func TestPartsFindTheSame(t *testing.T) {
	t.Parallel()
	s := many(t, 3, 300)
	r := rand.New(rand.NewPCG(5, 5))
	g := generator{r}
	var whole, parted, chosen Matches
	for round := range 60 {
		share := 2 + round%3*20 // half of the strings, or a few
		data := g.data()
		if err := s.Scan(context.Background(), data, nil, &whole); err != nil {
			t.Fatal(err)
		}
		some, rest := s.NewWanted(), s.NewWanted()
		for id := range ID(s.Len()) {
			if r.IntN(share) == 0 {
				some.Add(id)
			} else {
				rest.Add(id)
			}
		}
		if err := s.Part(some).Scan(context.Background(), data, nil, &parted); err != nil {
			t.Fatal(err)
		}
		if err := s.ScanMore(context.Background(), data, rest, &parted); err != nil {
			t.Fatal(err)
		}
		if err := s.Scan(context.Background(), data, some, &chosen); err != nil {
			t.Fatal(err)
		}
		// A part has no more than its own strings, whatever is wanted of it.
		if err := s.Part(some).Scan(context.Background(), data, rest, &chosen); err != nil {
			t.Fatal(err)
		}
		for id := range ID(s.Len()) {
			if got := chosen.Of(id); len(got) > 0 {
				t.Errorf("string %d in %q: got %v from a part without it", id, data, got)
			}
		}
		if err := s.Scan(context.Background(), data, some, &chosen); err != nil {
			t.Fatal(err)
		}
		for id := range ID(s.Len()) {
			want := whole.Of(id)
			if got := parted.Of(id); !slices.Equal(got, want) {
				t.Errorf("string %d in %q: got %v in parts, want %v", id, data, got, want)
			}
			if !some.Has(id) {
				want = nil
			}
			if got := chosen.Of(id); !slices.Equal(got, want) {
				t.Errorf("string %d in %q: got %v if wanted is %v, want %v", id, data, got, some.Has(id), want)
			}
		}
	}
}

// What is around a string in a file, and where it stands, does not change whether it
// is found: passes look at some places only.
func TestEveryPlaceIsSeen(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	var texts []string
	for n := 1; n <= 12; n++ {
		texts = append(texts, "Zq7?wK5xVj9Q"[:n], "XVKQZJWYHGFB"[:n])
	}
	for _, text := range texts {
		if _, err := b.Text([]byte(text), Modifiers{}); err != nil {
			t.Fatal(err)
		}
	}
	whole := b.Build()
	all, longer := whole.NewWanted(), whole.NewWanted()
	for i, text := range texts {
		if all.Add(ID(i)); len(text) > 1 {
			longer.Add(ID(i))
		}
	}
	sifted := whole.Part(longer)
	if e := sifted.engines[passRest]; e == nil || e.sieve == nil {
		t.Error("a part with few strings has no sieve")
	}
	for name, set := range map[string]struct {
		*Set
		has Wanted
	}{"whole": {whole, all}, "part": {whole.Part(all), all}, "sieve": {sifted, longer}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyPlace(t, set.Set, texts, set.has)
		})
	}
}

func everyPlace(t *testing.T, s *Set, texts []string, has Wanted) {
	var m Matches
	for i, text := range texts {
		for before := range 70 {
			for after := range 20 {
				data := slices.Concat(bytes.Repeat([]byte{'.'}, before), []byte(text), bytes.Repeat([]byte{'.'}, after))
				if err := s.Scan(context.Background(), data, nil, &m); err != nil {
					t.Fatal(err)
				}
				if got := m.Of(ID(i)); has.Has(ID(i)) && (len(got) != 1 || got[0].Offset != before) {
					t.Fatalf("%q behind %d bytes and before %d: got %v", text, before, after, got)
				}
			}
		}
	}
	// And across the border of two blocks.
	for at := block - 20; at < block+4; at++ {
		data := bytes.Repeat([]byte{'.'}, block+64)
		copy(data[at:], texts[len(texts)-1])
		if err := s.Scan(context.Background(), data, nil, &m); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(texts); i += 2 {
			if got := m.Of(ID(i)); has.Has(ID(i)) && (len(got) != 1 || got[0].Offset != at) {
				t.Fatalf("%q at %d: got %v", texts[i], at, got)
			}
		}
	}
}

func TestOnlyFirst(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	one, _ := b.Text([]byte("one"), Modifiers{})
	all, _ := b.Text([]byte("all"), Modifiers{})
	b.OnlyFirst(one)
	var m Matches
	if err := b.Build().Scan(context.Background(), []byte("one all one all"), nil, &m); err != nil {
		t.Fatal(err)
	}
	if got := m.Of(one); len(got) != 1 || got[0].Offset != 0 {
		t.Errorf("got %v of which one is enough", got)
	}
	if got := m.Of(all); len(got) != 2 {
		t.Errorf("got %v of which all are wanted", got)
	}
}

func TestXORKey(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	id, _ := b.Text([]byte("secret"), Modifiers{XOR: true, XORMin: 1, XORMax: 0x20})
	s := b.Build()
	var m Matches
	for _, key := range []byte{0, 1, 0x20, 0x21} {
		data := []byte("..secret..")
		for i := range data {
			data[i] ^= key
		}
		if err := s.Scan(context.Background(), data, nil, &m); err != nil {
			t.Fatal(err)
		}
		got := m.Of(id)
		if in := key >= 1 && key <= 0x20; in != (len(got) == 1) || in && got[0].XORKey != key {
			t.Errorf("key %d: got %v", key, got)
		}
	}
}

func TestTooManyMatchesAreCut(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	text, _ := b.Text([]byte("a"), Modifiers{})
	expression, _ := b.Regexp("a.?", false, false, Modifiers{})
	few, _ := b.Text([]byte("the end"), Modifiers{})
	data := append(bytes.Repeat([]byte("a"), maxMatches+5), "the end"...)
	var m Matches
	if err := b.Build().Scan(context.Background(), data, nil, &m); err != nil {
		t.Fatal(err)
	}
	for _, id := range []ID{text, expression} {
		if got := len(m.Of(id)); got != maxMatches {
			t.Errorf("string %d: got %d matches, want %d", id, got, maxMatches)
		}
	}
	if got := m.Cut(); len(got) != 2 || slices.Contains(got, few) {
		t.Errorf("got the cut strings %v", got)
	}
	if got := len(m.Of(few)); got != 1 {
		t.Errorf("got %d matches of the string at the end", got)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := NewBuilder()
	id, err := b.Regexp("x([a-z]{1,500} ?){1,20}[!?]", false, false, Modifiers{})
	if err != nil {
		t.Fatal(err)
	}
	m := Matches{}
	s := b.Build()
	m.reset(s.all)
	m.most = 10_000_000
	data := append([]byte("xa! "), bytes.Repeat([]byte("xy"), 1<<16)...)
	if err := s.Scan(context.Background(), data, nil, &m); !errors.Is(err, ErrBudget) {
		t.Errorf("got the error %v, want %v", err, ErrBudget)
	}
	if got := m.Of(id); len(got) != 1 {
		t.Errorf("got %v, want what was found before the budget was spent", got)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var m Matches
	if err := many(t, 1, 3).Scan(ctx, []byte("abc"), nil, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("got the error %v", err)
	}
}

// A Matches that has grown once costs nothing more.
func TestScanDoesNotAllocate(t *testing.T) {
	b := NewBuilder()
	for _, text := range []string{"needle", "ab", "<%", "Hello, world", "?>"} {
		if _, err := b.Text([]byte(text), Modifiers{NoCase: true, Wide: true, ASCII: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range []string{`needle\s+in\s[a-z]{1,40}stack`, `(a|b)+c`, `[0-9]{3}-`} {
		if _, err := b.Regexp(src, true, false, Modifiers{}); err != nil {
			t.Fatal(err)
		}
	}
	s := b.Build()
	data := bytes.Repeat([]byte("a needle in the haystack, <% 123-abc %> abab "), 50)
	var m Matches
	if got := testing.AllocsPerRun(10, func() {
		if err := s.Scan(context.Background(), data, nil, &m); err != nil {
			t.Fatal(err)
		}
	}); got > 0 {
		t.Errorf("got %v allocations a scan", got)
	}
}

func TestRegexpAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		src            string
		noCase, dotAll bool
		data           string
		want           bool
	}{
		{"b.d", false, false, "abcde", true},
		{"^b", false, false, "abc", false},
		{"c$", false, false, "abc", true},
		{"ABC", true, false, "xxabc", true},
		{"a.c", false, false, "a\nc", false},
		{"a.c", false, true, "a\nc", true},
		{"a+?b*", false, true, "xa", true}, // may be mixed here
		{"x*", false, false, "abc", true},
		{"x*", false, false, "", false},
		{"end", false, false, strings.Repeat(".", scanLimit-3) + "end", true},
		{"end", false, false, strings.Repeat(".", scanLimit-2) + "end", false}, // as libyara
	} {
		r, err := CompileRegexp(c.src, c.noCase, c.dotAll)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Match([]byte(c.data)); got != c.want {
			t.Errorf("/%s/ in %.20q: got %v, want %v", c.src, c.data, got, c.want)
		}
	}
}

// text makes something like source code: words of which some are strings.
func sourceText(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"function", "var", "return", "this", "document", "if", "(", ")", "{", "}", ";", "=", "\"text\"", "element", "length", "<div>", "for", "null", "+", "index"}
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
		if r.IntN(12) == 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// BenchmarkScan measures each pass with some hundred strings that are not there.
func BenchmarkScan(b *testing.B) {
	data := sourceText(1 << 20)
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name   string
		length int
		rare   string
	}{{"fourth", 9, ""}, {"rare", 3, "~"}, {"second", 5, ""}, {"every", 4, ""}, {"rest", 3, ""}} {
		builder := NewBuilder()
		for range 300 {
			text := c.rare
			for len(text) < c.length {
				text += string(rune('A' + r.IntN(26)))
			}
			if _, err := builder.Text([]byte(text), Modifiers{}); err != nil {
				b.Fatal(err)
			}
		}
		s := builder.Build()
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			var m Matches
			for b.Loop() {
				if err := s.Scan(context.Background(), data, nil, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPart measures what it costs to look for a few of many strings for the
// first time.
func BenchmarkPart(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	builder := NewBuilder()
	for range 20_000 {
		text := make([]byte, 4+r.IntN(20))
		for i := range text {
			text[i] = byte(32 + r.IntN(95))
		}
		if _, err := builder.Text(text, Modifiers{}); err != nil {
			b.Fatal(err)
		}
	}
	s := builder.Build()
	wanted := s.NewWanted()
	for range fewWanted {
		wanted.Add(ID(r.IntN(s.Len())))
	}
	for b.Loop() {
		s.Part(wanted)
	}
}

// BenchmarkExpression measures an expression on candidates that nearly match.
func BenchmarkExpression(b *testing.B) {
	for _, src := range []string{`eval\s*\([^)]{1,50}\)`, `eval.{0,200}request`, `eval[a-z0-9]{5,100}=`, `(eval|exec)(\s|\()+[$]`} {
		builder := NewBuilder()
		if _, err := builder.Regexp(src, true, false, Modifiers{}); err != nil {
			b.Fatal(err)
		}
		s := builder.Build()
		data := []byte(strings.Repeat(strings.Repeat("x ", 100)+"ev"+"al (some thing) ", 2000))
		b.Run(fmt.Sprintf("%.12s", src), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			var m Matches
			for b.Loop() {
				if err := s.Scan(context.Background(), data, nil, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One Set serves many goroutines, also while it makes parts for what they want.
func TestSharedByGoroutines(t *testing.T) {
	t.Parallel()
	s := many(t, 9, 200)
	g := generator{rand.New(rand.NewPCG(8, 8))}
	var files [][]byte
	for range 20 {
		files = append(files, g.data())
	}
	scan := func(m *Matches, seed uint64) (found []int) {
		r := rand.New(rand.NewPCG(seed, 0))
		for range 3 {
			for _, data := range files {
				wanted := s.NewWanted()
				for range 1 + r.IntN(8) {
					wanted.Add(ID(r.IntN(40)))
				}
				if err := s.Scan(context.Background(), data, wanted, m); err != nil {
					t.Error(err)
				}
				for id := range ID(40) {
					found = append(found, len(m.Of(id)))
				}
			}
		}
		return found
	}
	var want [4][]int
	for i := range want {
		want[i] = scan(new(Matches), uint64(i))
	}
	var workers sync.WaitGroup
	for i := range want {
		workers.Go(func() {
			if got := scan(new(Matches), uint64(i)); !slices.Equal(got, want[i]) {
				t.Errorf("goroutine %d found something else among others than alone", i)
			}
		})
	}
	workers.Wait()
}

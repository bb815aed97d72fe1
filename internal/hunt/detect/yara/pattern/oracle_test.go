package pattern

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/VirusTotal/gyp"
	"github.com/VirusTotal/gyp/ast"
)

var rounds = flag.Int("rounds", 2, "rounds of the comparison with yara")

// add gives a string of a parsed rule to a Builder, as a compiler of rules does.
func add(b *Builder, s ast.String) (ID, error) {
	switch s := s.(type) {
	case *ast.TextString:
		return b.Text([]byte(s.UnescapedValue()), Modifiers{
			ASCII: s.ASCII, Wide: s.Wide, NoCase: s.Nocase, FullWord: s.Fullword,
			XOR: s.Xor, XORMin: byte(s.XorMin), XORMax: byte(s.XorMax),
			Base64: s.Base64, Base64Wide: s.Base64Wide, Alphabet: s.Base64Alphabet,
		})
	case *ast.HexString:
		return b.Hex(s.Tokens)
	case *ast.RegexpString:
		return b.Regexp(s.Regexp.Value, s.Regexp.Modifiers&ast.RegexpCaseInsensitive != 0, s.Regexp.Modifiers&ast.RegexpDotAll != 0,
			Modifiers{ASCII: s.ASCII, Wide: s.Wide, NoCase: s.Nocase, FullWord: s.Fullword})
	}
	return 0, fmt.Errorf("a %T", s)
}

// declared reads one string as it stands in a rule.
func declared(text string) (ast.String, error) {
	rules, err := gyp.ParseString("rule r { strings: $a = " + text + " condition: #a >= 0 }")
	if err != nil {
		return nil, err
	}
	return rules.Rules[0].Strings[0], nil
}

// generator makes strings of rules and data in which they have a chance.
type generator struct{ *rand.Rand }

func (g generator) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g generator) modifiers(list ...string) string {
	s := ""
	for _, m := range list {
		if g.IntN(3) == 0 {
			s += " " + m
		}
	}
	return s
}

func (g generator) text() string {
	s := ""
	for range 1 + g.IntN(7) {
		s += g.pick("a", "b", "c", "A", "B", "1", "_", " ", "%", "~", `\x00`, `\"`, "ab", "abc", "abc~%")
	}
	s = `"` + s + `"`
	switch g.IntN(5) {
	case 0:
		return s + g.pick(" xor", " xor(0-1)", " xor(1-32)", " xor(255)") + g.modifiers("wide", "ascii", "fullword")
	case 1:
		return s + g.pick(" base64", " base64wide", " base64 base64wide") + g.modifiers("wide", "ascii")
	}
	return s + g.modifiers("wide", "ascii", "fullword", "nocase")
}

func (g generator) hex() string {
	var sequence func(depth int) string
	sequence = func(depth int) string {
		s := g.hexByte()
		for range g.IntN(6) {
			switch {
			case g.IntN(5) == 0:
				s += g.pick("[1]", "[2]", "[0-2]", "[1-3]", "[0-7]", "[3-5]")
			case depth == 0 && g.IntN(9) == 0:
				s += g.pick("[-]", "[2-]", "[0-300]", "[201]", "[10-220]")
			case depth < 2 && g.IntN(7) == 0:
				s += "(" + sequence(depth+1)
				for range g.IntN(3) {
					s += "|" + sequence(depth+1)
				}
				s += ")"
			}
			s += g.hexByte()
		}
		return s
	}
	return "{ " + sequence(0) + " }"
}

func (g generator) hexByte() string {
	return g.pick("61 ", "62 ", "63 ", "41 ", "31 ", "20 ", "6? ", "?1 ", "?? ", "00 ", "25 ", "7e 25 ", "61 62 ", "62 63 61 ")
}

// regexp makes an expression whose quantifiers are all greedy, or all lazy.
//
// It keeps away from what libyara 4.2.3 is known to get wrong: an optional part at
// the beginning of an expression without an atom is taken to be needed, and a
// repeated group that may be empty loses matches.
func (g generator) regexp() string {
	lazy := g.pick("", "", "?")
	var sequence func(depth int) string
	sequence = func(depth int) string {
		s := g.pick("a", "b", "ab", "abc", "1", ".", `\w`, "[ab]", `\x61`, "%", "~b", "a~%")
		for range g.IntN(5) {
			atom := g.pick("a", "b", "c", "ab", "abc", "B", "1", "_", " ", "%", "~", "a%~b", ".", `\w`, `\W`, `\s`, `\S`, `\d`, `\D`,
				"[ab]", "[^a]", "[a-c1]", `[\w-]`, `\x61`, `\x00`, `\b`, `\B`)
			if depth < 2 && g.IntN(5) == 0 {
				atom = "(" + sequence(depth+1)
				for range g.IntN(3) {
					atom += "|" + sequence(depth+1)
				}
				if g.IntN(4) == 0 {
					s += atom + "|)"
					continue
				}
				atom += ")"
			}
			if atom != `\b` && atom != `\B` {
				atom += g.pick("", "", "", "", "", "*"+lazy, "+"+lazy, "?"+lazy, "{2}"+lazy, "{1,3}"+lazy, "{2,}"+lazy, "{,2}"+lazy, "{3,5}"+lazy)
			}
			s += atom
		}
		return s
	}
	s := sequence(0)
	if g.IntN(8) == 0 {
		s = "^" + s
	}
	if g.IntN(8) == 0 {
		s += "$"
	}
	modifiers := []string{"wide", "ascii", "nocase"}
	if !strings.Contains(s, "|") {
		modifiers = append(modifiers, "fullword") // see compare
	}
	return "/" + s + "/" + g.pick("", "", "i", "s", "is") + g.modifiers(modifiers...)
}

func (g generator) data() []byte {
	var d []byte
	for range g.IntN(120) {
		word := g.pick("a", "b", "c", "A", "B", "C", "1", "_", " ", "%", "~", "~%", "abc~%", "a%~b", "\n", "\x00", "ab", "abc", "Abc", "a\x00b\x00", "a\x00b\x00c\x00", "1\x00", " \x00", "`ca", "bcab", "YWJj", "FiY", "hYm", "Y\x00W\x00J\x00j\x00")
		d = append(d, word...)
		if g.IntN(60) == 0 {
			d = append(d, bytes.Repeat([]byte{'.'}, g.IntN(250))...)
		}
	}
	return d
}

// asked gives the strings that yara takes, and those that it refuses with its words.
func asked(t *testing.T, dir string, list []string) (taken []string, refused map[string]string) {
	t.Helper()
	refused = make(map[string]string)
	file := filepath.Join(dir, "rules.yar")
	complaint := regexp.MustCompile(`rules\.yar\((\d+)\):(?: error:)? (.*)`)
	for len(list) > 0 {
		var rules strings.Builder
		for i, s := range list {
			fmt.Fprintf(&rules, "rule r%d { strings: $a = %s condition: #a >= 0 }\n", i, s)
		}
		write(t, file, []byte(rules.String()))
		out, _ := exec.Command("yara", "-w", file, os.DevNull).CombinedOutput()
		bad := make(map[int]string)
		for _, m := range complaint.FindAllStringSubmatch(string(out), -1) {
			n, _ := strconv.Atoi(m[1])
			bad[n-1] = m[2]
		}
		if len(bad) == 0 {
			return list, refused
		}
		var rest []string
		for i, s := range list {
			if why, ok := bad[i]; ok {
				refused[s] = why
			} else {
				rest = append(rest, s)
			}
		}
		list = rest
	}
	return nil, refused
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// printedBytes is how much of a match yara prints, and so the longest length.
const printedBytes = 512

// gaveUp is what yara says when an expression is too much for its machine; it then
// says nothing else about the file.
var gaveUp = regexp.MustCompile(`error scanning .*: string "\$a" in rule "r(\d+)"`)

var printed = regexp.MustCompile(`^0x([0-9a-f]+):(\d+):\$a: `)

// yaras gives what yara finds: string → file → matches as text. Strings that are too
// much for it are left out of found.
func yaras(t *testing.T, dir, data string, list []string) map[string]map[string][]string {
	t.Helper()
	var rules strings.Builder
	for i, s := range list {
		if s != "" {
			fmt.Fprintf(&rules, "rule r%d { strings: $a = %s condition: #a >= 0 }\n", i, s)
		}
	}
	taken := filepath.Join(dir, "taken.yar")
	write(t, taken, []byte(rules.String()))
	var complaints bytes.Buffer
	cmd := exec.Command("yara", "-w", "-s", "-L", "-r", taken, data)
	cmd.Stderr = &complaints
	out, _ := cmd.Output()
	found := make(map[string]map[string][]string)
	var rule, file string
	for line := range strings.Lines(string(out)) {
		if m := printed.FindStringSubmatch(line); m != nil {
			at, _ := strconv.ParseInt(m[1], 16, 64)
			found[rule][file] = append(found[rule][file], fmt.Sprintf("%d+%s", at, m[2]))
			continue
		}
		rule, file, _ = strings.Cut(strings.TrimSpace(line), " ")
		file = filepath.Base(file)
		if found[rule] == nil {
			found[rule] = make(map[string][]string)
		}
	}
	if bad := gaveUp.FindAllStringSubmatch(complaints.String(), -1); bad != nil {
		rest := slices.Clone(list)
		for _, m := range bad {
			n, _ := strconv.Atoi(m[1])
			rest[n] = ""
		}
		return yaras(t, dir, data, rest)
	}
	return found
}

func places2text(list []Match) []string {
	var s []string
	for _, m := range list {
		s = append(s, fmt.Sprintf("%d+%d", m.Offset, min(m.Length, printedBytes)))
	}
	return s
}

// TestAgainstYara compares with the real yara: which strings load, and where they
// match for how long.
func TestAgainstYara(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("yara"); err != nil {
		t.Skip("the program yara, which is the oracle, is not installed")
	}
	for round := range *rounds {
		g := generator{rand.New(rand.NewPCG(9, uint64(round)))}
		var list []string
		for range 120 {
			list = append(list, g.text(), g.hex(), g.regexp(), g.regexp())
		}
		slices.Sort(list)
		contents := make(map[string][]byte)
		for i := range 25 {
			contents[fmt.Sprintf("f%d", i)] = g.data()
		}
		compare(t, slices.Compact(list), contents)
	}
}

// TestPublicStrings does the same with the strings of the rules in POSTERN_YARA_RULES
// and some of the files below POSTERN_YARA_TREE.
func TestPublicStrings(t *testing.T) {
	t.Parallel()
	dir, tree := os.Getenv("POSTERN_YARA_RULES"), os.Getenv("POSTERN_YARA_TREE")
	if _, err := exec.LookPath("yara"); err != nil || dir == "" || tree == "" {
		t.Skip("needs the program yara, and POSTERN_YARA_RULES and POSTERN_YARA_TREE to name folders")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yar*"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := gyp.ParseString(string(src))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules.Rules {
			for _, s := range r.Strings {
				var source strings.Builder
				if err := s.(interface{ WriteSource(io.Writer) error }).WriteSource(&source); err != nil {
					t.Fatal(err)
				}
				_, text, _ := strings.Cut(source.String(), " = ")
				list = append(list, text)
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	contents := make(map[string][]byte)
	var names []string
	err = filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const some, largest = 400, 1 << 19
	for i := 0; i < len(names); i += 1 + len(names)/some {
		if data, err := os.ReadFile(names[i]); err == nil && len(data) <= largest {
			contents[fmt.Sprintf("f%d", i)] = data
		}
	}
	compare(t, list, contents)
}

func offsets(list []string) []string {
	var o []string
	for _, m := range list {
		at, _, _ := strings.Cut(m, "+")
		o = append(o, at)
	}
	return o
}

// severalJumps is a hex string with more than one jump.
var severalJumps = regexp.MustCompile(`^\{.*\[\d*-?\d*\].*\[\d*-?\d*\].*\}$`)

func compare(t *testing.T, list []string, contents map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	list, refused := asked(t, dir, list)
	b := NewBuilder()
	ids := make(map[string]ID)
	for _, s := range list {
		parsed, err := declared(s)
		if err != nil {
			t.Errorf("%s: parser: %v", s, err)
			continue
		}
		if ids[s], err = add(b, parsed); err != nil {
			t.Errorf("%s: yara takes it, but we refuse: %v", s, err)
			delete(ids, s)
		}
	}
	for s, why := range refused {
		if parsed, err := declared(s); err == nil {
			if _, err := add(NewBuilder(), parsed); err == nil {
				t.Errorf("%s: we take it, but yara refuses: %s", s, why)
			}
		}
	}
	set := b.Build()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range contents {
		write(t, filepath.Join(data, name), c)
	}
	want := yaras(t, dir, data, list)
	var m Matches
	total, otherwise := 0, 0
	for name, c := range contents {
		if err := set.Scan(context.Background(), c, nil, &m); err != nil {
			t.Fatal(err)
		}
		for i, s := range list {
			id, ok := ids[s]
			if !ok || want[fmt.Sprintf("r%d", i)] == nil {
				continue
			}
			got, want := places2text(m.Of(id)), want[fmt.Sprintf("r%d", i)][name]
			total += len(want)
			if severalJumps.MatchString(s) {
				// Yara loses matches of these where two ways lead to the same byte, and
				// where the part behind a large jump is found in several lengths.
				got, want = offsets(got), offsets(want)
				got = slices.DeleteFunc(got, func(m string) bool { return !slices.Contains(want, m) })
			}
			if s[0] == '/' && strings.Contains(s, "|") {
				// Which of several ways through alternatives gives the length depends
				// on the order in which atoms are found.
				if lengths := !slices.Equal(got, want); lengths {
					otherwise++
				}
				got, want = offsets(got), offsets(want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s in %s %.400q:\n got %v\nwant %v", s, name, c, got, want)
			}
		}
	}
	t.Logf("%d strings, %d refused, %d files, %d matches; %d files with other lengths of alternatives", len(list), len(refused), len(contents), total, otherwise)
}

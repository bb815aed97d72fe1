package module

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

// call is a function with its arguments, as a rule would have it.
type call struct {
	path string // pe.rich_signature.version
	args []any
}

// pattern is a regexp as an argument.
type pattern string

func (p pattern) MatchLen(b []byte) int {
	end := -1
	for _, loc := range regexp.MustCompile(string(p)).FindAllIndex(b, -1) {
		if loc[0] < len(b) {
			end = loc[1]
		}
	}
	return end
}

// String writes the call as rule text.
func (c call) String() string {
	var args []string
	for _, a := range c.args {
		switch a := a.(type) {
		case string:
			var s strings.Builder
			for i := range len(a) {
				fmt.Fprintf(&s, `\x%02x`, a[i])
			}
			args = append(args, `"`+s.String()+`"`)
		case pattern:
			args = append(args, "/"+string(a)+"/")
		case float64:
			args = append(args, strconv.FormatFloat(a, 'f', 6, 64))
		default:
			args = append(args, fmt.Sprint(a))
		}
	}
	return c.path + "(" + strings.Join(args, ", ") + ")"
}

// answer calls the function of this package; "" is undefined.
func (c call) answer(t *testing.T, f *File) string {
	t.Helper()
	name, rest, _ := strings.Cut(c.path, ".")
	m, ok := Lookup(name)
	if !ok {
		t.Fatalf("no module for %s", c)
	}
	v, d := m.Load(f), m.Decl()
	for part := range strings.SplitSeq(rest, ".") {
		part, indexed := strings.CutSuffix(part, "[0]")
		v = v.Field(part)
		if d, ok = d.Field(part); !ok {
			t.Fatalf("%s is not declared: %s", part, c)
		}
		if indexed {
			v, d = v.Index(0), d.Elem
		}
	}
	var types []Type
	var args []Value
	for _, a := range c.args {
		switch a := a.(type) {
		case int:
			types, args = append(types, Int), append(args, IntValue(int64(a)))
		case float64:
			types, args = append(types, Float), append(args, FloatValue(a))
		case string:
			types, args = append(types, String), append(args, StringValue(a))
		case bool:
			types, args = append(types, Bool), append(args, BoolValue(a))
		case pattern:
			types, args = append(types, Regexp), append(args, RegexpValue(a))
		}
	}
	overload, ok := d.Overload(types)
	if !ok {
		t.Fatalf("%s does not compile", c)
	}
	result := v.Call(overload, args...)
	if result.Defined() && result.Type() != d.Overloads[overload].Result {
		t.Errorf("%s gives a value of type %s, declared is %s", c, result.Type(), d.Overloads[overload].Result)
	}
	switch result.Type() {
	case Int:
		return strconv.FormatInt(result.Int(), 10)
	case Float:
		return fmt.Sprintf("%f", result.Float())
	case String:
		return printable(result)
	}
	return ""
}

var line = regexp.MustCompile(`rule\.yar\((\d+)\):`)

// answers asks yara for the same by way of its module console. Calls that this yara
// does not know are not in the answer.
func (e engine) answers(t *testing.T, calls []call, file string) map[string]string {
	t.Helper()
	known := make([]bool, len(calls))
	for i := range known {
		known[i] = true
	}
	rules := filepath.Join(t.TempDir(), "rule.yar")
	for {
		var text bytes.Buffer
		used := make(map[string]bool)
		for i, c := range calls {
			if module, _, _ := strings.Cut(c.path, "."); known[i] && !used[module] {
				used[module] = true
				fmt.Fprintf(&text, "import %q ", module)
			}
		}
		fmt.Fprintln(&text, `import "console"`)
		for i, c := range calls {
			if known[i] {
				fmt.Fprintf(&text, "rule r%d { condition: console.log(\"%d=\", %s) }", i, i, c)
			}
			fmt.Fprintln(&text)
		}
		if err := os.WriteFile(rules, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		cmd := exec.Command(e.path, rules, file)
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err == nil {
			answers := make(map[string]string)
			for i, c := range calls {
				if known[i] {
					answers[c.String()] = ""
				}
			}
			for l := range strings.Lines(string(out)) {
				number, value, ok := strings.Cut(strings.TrimRight(l, "\n"), "=")
				if i, err := strconv.Atoi(number); ok && err == nil {
					answers[calls[i].String()] = value
				}
			}
			return answers
		}
		bad := line.FindAllStringSubmatch(complaints.String(), -1)
		if len(bad) == 0 {
			t.Fatalf("yara: %v\n%s", err, complaints.String())
		}
		for _, m := range bad {
			n, _ := strconv.Atoi(m[1])
			if n < 2 { // a module that it does not have
				for i, c := range calls {
					known[i] = known[i] && !strings.HasPrefix(c.path, "string.")
				}
				continue
			}
			known[n-2] = false
		}
	}
}

func calls(path string, forms ...[]any) []call {
	var list []call
	for _, args := range forms {
		list = append(list, call{path, args})
	}
	return list
}

func a(args ...any) []any { return args }

// ofAnyFile are calls that make sense for each file.
func ofAnyFile() []call {
	ranges := [][]any{a(0, 100), a(5, 1000000), a(3, 0), a(0, -1), a(-1, 5), a(1000000000, 1), a(0, 6)}
	texts := [][]any{a(""), a("a"), a("AABB"), a("\x00\xff\x80\x7f\xfe mixed"), a(strings.Repeat("0123456789abcdef", 20)), a("\x01\x02\x03\x04\x05\x06\x07")}
	var list []call
	for _, f := range []string{"entropy", "mean", "serial_correlation", "monte_carlo_pi"} {
		list = append(list, calls("math."+f, slices.Concat(ranges, texts)...)...)
	}
	for _, f := range []string{"md5", "sha1", "sha256", "checksum32", "crc32"} {
		list = append(list, calls("hash."+f, slices.Concat(ranges, texts)...)...)
	}
	for _, r := range slices.Concat(ranges, texts) {
		list = append(list, call{"math.deviation", append(slices.Clone(r), 64.5)})
	}
	for _, r := range ranges {
		list = append(list, call{"math.count", append(a(0), r...)}, call{"math.percentage", append(a(0x41), r...)}, call{"math.mode", r})
	}
	return slices.Concat(list,
		calls("math.mode", a()),
		calls("math.count", a(0), a(255), a(256), a(-1)),
		calls("math.percentage", a(0), a(65), a(256)),
		calls("math.in_range", a(1.5, 1.0, 2.0), a(1.0, 1.0, 1.0), a(0.5, 1.0, 2.0), a(2.5, 1.0, 2.0)),
		calls("math.min", a(1, 2), a(-1, 2), a(-5, -2)), calls("math.max", a(1, 2), a(-1, 2), a(-5, -2)),
		calls("math.abs", a(5), a(-5), a(0)),
		calls("math.to_number", a(true), a(false)),
		calls("math.to_string", a(-12), a(-12, 10), a(255, 16), a(-1, 16), a(8, 8), a(1, 2)),
		calls("string.to_int", a("1234"), a("-0x1F"), a("010"), a("09"), a(""), a(" 7"), a("7 "), a("7\x008"), a("zz", 36), a("12", 3), a("9", 8), a("0x1f", 16),
			a("99999999999999999999"), a("1", 1), a("1", 0), a("-9223372036854775808"), a("0x"), a("+5")),
		calls("string.length", a("abc"), a(""), a("a\x00b")),
		calls("elf.telfhash", a()), calls("elf.import_md5", a()),
		calls("pe.imphash", a()), calls("pe.is_dll", a()), calls("pe.is_32bit", a()), calls("pe.is_64bit", a()), calls("pe.calculate_checksum", a()),
		calls("pe.section_index", a(".text"), a("/4"), a(".TEXT"), a(""), a(0x400), a(0x5ff), a(0x600), a(-1), a(1000000)),
		calls("pe.exports", a("alpha"), a("Alph"), a("GAMMA_FUNCTION"), a(pattern("^Alpha$")), a(pattern("amma")), a(pattern("^$")), a(5), a(4), a(1), a(0), a(-1)),
		calls("pe.exports_index", a("alpha"), a("Gamma_Function"), a("none"), a(pattern("G")), a(pattern("x")), a(5), a(1), a(0)),
		calls("pe.imports", a("kernel32.dll", "createfilew"), a("KERNEL32.DLL", "CreateFile"), a("ws2_32.dll", "WSAStartup"), a("ws2_32.dll", 115), a("ws2_32.dll", 116),
			a("kernel32.dll"), a("none.dll"), a("ole32.dll"), a(pattern("KERNEL"), pattern("File")), a(pattern("KERNEL32"), pattern("x*")), a(pattern("KERNEL32"), pattern("^x*")), a(pattern("KERNEL32"), pattern("x*$")), a(pattern("^"), pattern("F")), a(pattern("$"), pattern("F")), a(pattern("(^|2)"), pattern("F")),
			a(1, "kernel32.dll", "WriteFile"), a(2, "kernel32.dll", "WriteFile"), a(2, "ole32.dll", "CoCreateGuid"), a(3, "OLE32.dll", "cocreateguid"), a(2, "ole32.dll", 4),
			a(1, "ole32.dll", 4), a(3, "ole32.dll"), a(3, "ws2_32.dll"), a(3, pattern("ole32|WS2"), pattern("ord|socket"))),
		calls("pe.import_rva", a("kernel32.dll", "WriteFile"), a("ws2_32.dll", 23), a("ws2_32.dll", 1), a("none.dll", "x")),
		calls("pe.delayed_import_rva", a("ole32.dll", "CoCreateGuid"), a("ole32.dll", 4), a("kernel32.dll", "WriteFile")),
		calls("pe.locale", a(0x409), a(0x407), a(9)), calls("pe.language", a(9), a(7), a(0x409)),
		calls("pe.rva_to_offset", a(0x1000), a(0x2010), a(0), a(0x900000), a(-1)),
		calls("pe.rich_signature.version", a(0x7a1b), a(0x7a1c), a(1), a(0x7a1b, 0xff), a(0x7a1b, 0x102)),
		calls("pe.rich_signature.toolid", a(0xff), a(0x102), a(5), a(0xff, 0x7a1b), a(0xff, 0x7a1c)),
		calls("pe.signatures[0].valid_on", a(1650000000), a(1600000000), a(1700000000), a(1700000001), a(0)),
	)
}

// What the functions answer, for machines without yara; each was compared with it.
func TestAnswers(t *testing.T) {
	t.Parallel()
	made := programs(t)
	var got bytes.Buffer
	for _, c := range ofAnyFile() {
		data := []byte(sampleText)
		module, _, _ := strings.Cut(c.path, ".")
		switch module {
		case "pe":
			data = made["pe-64"]
		case "elf":
			data = made["elf-64"]
		}
		fmt.Fprintf(&got, "%s = %s\n", c, c.answer(t, &File{Data: data}))
	}
	golden(t, "answers", got.Bytes())
}

// sampleText is a file that is no program.
const sampleText = "The quick brown fox jumps over the lazy dog. \x00\x80\xff AAABAAABAAABAAAB"

// changedCalls are calls that older versions got wrong.
var changedCalls = regexp.MustCompile(`^math\.(serial_correlation|(count|percentage)\((256|-1)\))`)

func TestYaraAnswersTheSame(t *testing.T) {
	t.Parallel()
	e := oracle(t)
	files := programs(t)
	signed, err := programtest.Signed(programtest.Windows(true), true)
	if err != nil {
		t.Fatal(err)
	}
	files["signed"] = signed
	files["text"] = []byte(sampleText)
	files["short"] = []byte("abc")
	asked := 0
	for name, data := range files {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := &File{Data: data}
		list := ofAnyFile()
		want := e.answers(t, list, path)
		for _, c := range list {
			w, known := want[c.String()]
			if !known {
				continue
			}
			if e.old && changedCalls.MatchString(c.String()) {
				continue
			}
			asked++
			if got := c.answer(t, f); got != w {
				t.Errorf("%s: %s = %q, yara says %q", name, c, got, w)
			}
		}
	}
	t.Logf("%d answers compared", asked)
}

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
)

// yara finds the oracle. Without it these tests say nothing and are skipped.
func yara(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("no yara on this machine to compare with")
	}
	return path
}

// dump is what a module says about a file: the path of each defined value, such as
// sections[0].name, and the value as yara prints it.
type dump map[string]string

// oracle asks yara what a module says about files, with one process for all.
func oracle(t testing.TB, yara, module string, files []string) []dump {
	t.Helper()
	dir := t.TempDir()
	rule, list := filepath.Join(dir, "rule.yar"), filepath.Join(dir, "list")
	if err := os.WriteFile(rule, fmt.Appendf(nil, "import %q rule r { condition: false }", module), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte(strings.Join(files, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(yara, "-p", "1", "-D", "--scan-list", rule, list).Output()
	if err != nil {
		t.Skipf("yara cannot say what its module %s makes of these files: %v", module, err)
	}
	var dumps []dump
	for i, one := range bytes.Split(append([]byte("\n"), out...), []byte("\n"+module+"\n")) {
		if i > 0 {
			dumps = append(dumps, parseDump(append([]byte(module+"\n"), one...)))
		}
	}
	if len(dumps) != len(files) {
		t.Fatalf("yara says something about %d files of %d", len(dumps), len(files))
	}
	return dumps
}

var dumped = regexp.MustCompile(`^(\t*)(\S.*?)(?: = (.*))?$`)

// parseDump reads the indented tree that yara -D prints.
func parseDump(out []byte) dump {
	d := make(dump)
	var path []string
	for line := range bytes.Lines(out) {
		m := dumped.FindSubmatch(bytes.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		depth, name, value := len(m[1]), string(m[2]), string(m[3])
		path = append(path[:min(depth, len(path))], name)
		if value != "" && value != "YR_UNDEFINED" {
			d[strings.ReplaceAll(strings.Join(path[1:], "."), ".[", "[")] = value
		}
	}
	return d
}

// ours gives the same of this package.
func ours(m *Module, data []byte) dump {
	d := make(dump)
	dumpValue(d, "", m.Decl(), m.Load(&File{Data: data}))
	return d
}

func dumpValue(d dump, path string, decl *Decl, v Value) {
	switch v.Type() {
	case Int:
		d[path] = strconv.FormatInt(v.Int(), 10)
	case Float:
		d[path] = fmt.Sprintf("%f", v.Float())
	case String:
		var s strings.Builder
		for i := range len(v.Text()) {
			if c := v.Text()[i]; c >= ' ' && c <= '~' {
				s.WriteByte(c)
			} else {
				fmt.Fprintf(&s, `\x%02x`, c)
			}
		}
		d[path] = `"` + s.String() + `"`
	case Struct:
		for _, f := range decl.Fields {
			to := f.Name
			if path != "" {
				to = path + "." + f.Name
			}
			dumpValue(d, to, f, v.Field(f.Name))
		}
	case Array:
		for i := range v.Len() {
			dumpValue(d, fmt.Sprintf("%s[%d]", path, i), decl.Elem, v.Index(int64(i)))
		}
	case Dict:
		for i := range v.Len() {
			key, value := v.Entry(i)
			dumpValue(d, path+"."+key, decl.Elem, value)
		}
	}
}

// differences compares two dumps, but for paths that one of them cannot have.
func differences(got, want dump, skip func(path string) bool) []string {
	var list []string
	for path, w := range want {
		if g, ok := got[path]; !ok && !skip(path) {
			list = append(list, fmt.Sprintf("%s: undefined, want %s", path, w))
		} else if ok && g != w && !skip(path) {
			list = append(list, fmt.Sprintf("%s: %s, want %s", path, g, w))
		}
	}
	for path, g := range got {
		if _, ok := want[path]; !ok && !skip(path) {
			list = append(list, fmt.Sprintf("%s: %s, want undefined", path, g))
		}
	}
	slices.Sort(list)
	return list
}

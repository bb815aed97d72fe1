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

// engine is the yara that this package is compared with.
type engine struct {
	path string
	old  bool // before 4.5, whose answers this package follows where they differ
}

// oracle finds yara: the installed one, or another named by POSTERN_YARA. Without one
// these tests say nothing and are skipped.
func oracle(t testing.TB) engine {
	t.Helper()
	path := os.Getenv("POSTERN_YARA")
	if path == "" {
		var err error
		if path, err = exec.LookPath("yara"); err != nil {
			t.Skip("no yara on this machine to compare with")
		}
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Skipf("%s does not run: %v", path, err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(version), "%d.%d", &major, &minor); err != nil {
		t.Skipf("%s has no version: %q", path, version)
	}
	return engine{path, major < 4 || major == 4 && minor < 5}
}

// changed is what older versions say differently, by module, and this package as 4.5.
var changed = map[string]*regexp.Regexp{
	// Functions were counted on from library to library. Names of functions were not
	// checked, and an empty path was none.
	"pe": regexp.MustCompile(`^(delayed_)?import_details\[\d+\]\.(functions|number_of_functions)|^number_of_imported_functions$|^pdb_path$`),
	// The last byte of blobs was cut; resources of other files did not count.
	"dotnet": regexp.MustCompile(`^constants|public_key_or_token$|^(number_of_)?resources`),
	"elf":    regexp.MustCompile(`^$`),
}

// unverified is what is not declared here, since nothing here verifies a signature.
var unverified = regexp.MustCompile(`^is_signed$|\.verified$|countersignatures|chain`)

// dump is what a module says about a file: the path of each defined value, such as
// sections[0].name, and the value as yara prints it.
type dump map[string]string

// said is a dump of yara, and which fields it declares: sections[].name.
type said struct {
	dump
	declared map[string]bool
}

var index = regexp.MustCompile(`\[\d+\]`)

// declares says whether a yara has a field. Of elements that are not in the file it
// prints no fields; then it is thought to have them.
func (s said) declares(path string) bool {
	for path = index.ReplaceAllString(path, "[]"); !s.declared[path]; {
		around, array := strings.CutSuffix(path, "[]")
		if !array {
			around = path[:max(strings.LastIndexByte(path, '.'), 0)]
		}
		if around == "" {
			return false
		}
		if s.declared[around] {
			return array || around == "version_info"
		}
		path = around
	}
	return true
}

// dumps asks yara what a module says about files, with one process for all.
func (e engine) dumps(t testing.TB, module string, files []string) []said {
	t.Helper()
	dir := t.TempDir()
	rule, list := filepath.Join(dir, "rule.yar"), filepath.Join(dir, "list")
	if err := os.WriteFile(rule, fmt.Appendf(nil, "import %q rule r { condition: false }", module), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte(strings.Join(files, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(e.path, "-p", "1", "-D", "--scan-list", rule, list).Output()
	if err != nil {
		t.Skipf("yara cannot say what its module %s makes of these files: %v", module, err)
	}
	var all []said
	for i, one := range bytes.Split(append([]byte("\n"), out...), []byte("\n"+module+"\n")) {
		if i > 0 {
			all = append(all, parseDump(append([]byte(module+"\n"), one...)))
		}
	}
	if len(all) != len(files) {
		t.Fatalf("yara says something about %d files of %d", len(all), len(files))
	}
	return all
}

var dumped = regexp.MustCompile(`^(\t*)(\S.*?)(?: = (.*))?$`)

// parseDump reads the indented tree that yara -D prints.
func parseDump(out []byte) said {
	d := said{make(dump), make(map[string]bool)}
	var path []string
	for line := range bytes.Lines(out) {
		m := dumped.FindSubmatch(bytes.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		depth, name, value := len(m[1]), string(m[2]), string(m[3])
		path = append(path[:min(depth, len(path))], name)
		full := strings.ReplaceAll(strings.Join(path[1:], "."), ".[", "[")
		d.declared[index.ReplaceAllString(full, "[]")] = true
		if value != "" && value != "YR_UNDEFINED" {
			d.dump[full] = normal(full, value)
		}
	}
	return d
}

// normal takes out what the OpenSSL that a yara was built with puts in: since version
// 3 there is a backslash before some characters of names.
func normal(path, value string) string {
	if strings.HasSuffix(path, "issuer") || strings.HasSuffix(path, "subject") {
		return strings.NewReplacer(`\/`, `/`, `\+`, `+`).Replace(value)
	}
	return value
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
		d[path] = `"` + printable(v) + `"`
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

// compare asks yara and this package about the same files, and gives how many have
// how many differences.
func compare(t *testing.T, e engine, m *Module, files []string) {
	t.Helper()
	wrong := 0
	for i, want := range e.dumps(t, m.Name(), files) {
		data, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		got := ours(m, data)
		odd := false // keys that the dump of yara does not show on one line
		for path := range got {
			key, isKey := strings.CutPrefix(path, "version_info.")
			odd = odd || isKey && (key == "" || strings.ContainsAny(key, "\n\t") || strings.TrimSpace(key) != key)
		}
		skip := func(path string) bool {
			return unverified.MatchString(path) || odd && strings.HasPrefix(path, "version_info.") || !want.declares(path) ||
				e.old && changed[m.Name()].MatchString(path)
		}
		if d := differences(got, want.dump, skip); len(d) > 0 {
			wrong++
			t.Errorf("%s of %s: %d differences\n%s", m.Name(), files[i], len(d), strings.Join(d[:min(len(d), 8)], "\n"))
		}
	}
	t.Logf("%s: %d files, %d with differences", m.Name(), len(files), wrong)
}

// differences compares two dumps.
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

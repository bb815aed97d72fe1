package module_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/yara"
	"postern/internal/hunt/detect/yara/module/programtest"
)

// conditions are what rules say with the modules; each is true for some program made
// here and false for others.
var conditions = []string{
	`for any s in pe.sections : (s.name == ".text")`,
	`for all s in pe.sections : (s.raw_data_size > 0)`,
	`for any k, v in pe.version_info : (k == "CompanyName" and v == "Again")`,
	`pe.version_info["OriginalFilename"] contains "program"`,
	`pe.version_info["Nope"] == ""`,
	`not defined pe.version_info["Nope"]`,
	`defined pe.imphash()`,
	`pe.imports("kernel32.dll", "CreateFileW")`,
	`pe.imports("kernel32.dll") == 3`,
	`pe.imports(/kernel/i, /file/i) >= 2`,
	`pe.exports("Alpha") and pe.exports(/Gam/)`,
	`pe.exports(5)`,
	`pe.characteristics & pe.DLL`,
	`pe.is_dll()`,
	`pe.is_dll() == 1`,
	`pe.machine == pe.MACHINE_AMD64`,
	`pe.machine == pe.MACHINE_I386`,
	`pe.sections[pe.section_index(".text")].raw_data_offset == 1024`,
	`pe.sections[5].name == "x"`,
	`not pe.sections[5].name == "x"`,
	`pe.entry_point == 1028`,
	`uint8(pe.entry_point) > 0`,
	`for any i in (0..pe.number_of_signatures) : (pe.signatures[i].subject contains "Signer")`,
	`for any i in (0..pe.number_of_signatures - 1) : (pe.signatures[i].serial == "00:fe:dc:ba:98")`,
	`pe.signatures[0].valid_on(1650000000)`,
	`pe.number_of_signatures > 1`,
	`pe.rich_signature.version(31259) > 0`,
	`hash.md5(pe.rich_signature.raw_data) != "x"`,
	`for any r in pe.resources : (r.type == pe.RESOURCE_TYPE_ICON)`,
	`for any r in pe.resources : (r.type_string == "N\x00A\x00M\x00E\x00")`,
	`pe.overlay.size > 0`,
	`pe.pdb_path matches /program\.pdb$/i`,
	`pe.pdb_path icontains "PROGRAM"`,
	`pe.language(9) and pe.locale(0x409)`,
	`pe.checksum != pe.calculate_checksum()`,
	`pe.data_directories[pe.IMAGE_DIRECTORY_ENTRY_IMPORT].virtual_address != 0`,
	`pe.import_details[0].functions[0].name == "CreateFileW"`,
	`for any d in pe.import_details : (d.library_name icontains "kernel" and for any f in d.functions : (f.name == "WriteFile"))`,
	`defined pe.section_index("none")`,
	`pe.imports(pe.IMPORT_DELAYED, "ole32.dll", 4)`,
	`pe.export_details[2].forward_name == "OTHER.Function"`,
	`math.entropy(0, filesize) > 2.0`,
	`math.in_range(math.mean(0, filesize), 10.0, 200.0)`,
	`math.deviation(0, filesize, math.MEAN_BYTES) > 60.0`,
	`math.max(1, 5) == 5`,
	`math.to_number(pe.is_pe == 1) == 1`,
	`math.mean(10, 0) > 0.0`,
	`not math.mean(10, 0) > 0.0`,
	`math.count(0x00) > 100`,
	`math.monte_carlo_pi(0, filesize) < 0.9`,
	`hash.sha256(0, filesize) != hash.sha256(0, 10)`,
	`hash.crc32("abc") == 0x352441c2`,
	`elf.type == elf.ET_EXEC`,
	`for any s in elf.symtab : (s.name == "local_function")`,
	`for any s in elf.dynsym : (s.bind == elf.STB_GLOBAL)`,
	`elf.sections[1].name == ".text" and elf.number_of_segments == 2 and elf.entry_point > 0`,
	`dotnet.version == "v4.0.30319"`,
	`for any s in dotnet.user_strings : (s == "x\x00")`,
	`dotnet.typelib == "01234567-89ab-cdef-0123-456789abcdef"`,
	`dotnet.assembly.version.major == 1 and dotnet.assembly.name == "assembly"`,
	`for any r in dotnet.assembly_refs : (r.name == "mscorlib")`,
	`time.now() > 1600000000`,
	`console.log("said") and true`,
	`console.hex(5)`,
}

// Rules that use the modules, evaluated as a hunt does and by yara.
func TestYaraMatchesTheSame(t *testing.T) {
	t.Parallel()
	bin, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("no yara on this machine to compare with")
	}
	dir := t.TempDir()
	var text bytes.Buffer
	for _, m := range []string{"pe", "elf", "dotnet", "math", "hash", "time", "console"} {
		fmt.Fprintf(&text, "import %q\n", m)
	}
	for i, c := range conditions {
		fmt.Fprintf(&text, "rule r%d { condition: %s }\n", i, c)
	}
	name := filepath.Join(dir, "rules.yar")
	if err := os.WriteFile(name, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	source, file, err := yara.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rules, report := yara.Load([]yara.Source{source})
	for _, u := range report.Unsupported {
		t.Errorf("%s is not loaded: %v", u.Rule, u.Why)
	}
	detector := yara.New(rules, yara.Options{})

	signed, err := programtest.Signed(programtest.Windows(true), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"pe-32": programtest.Windows(false), "pe-64": programtest.Windows(true), "signed": signed, "dotnet": programtest.DotNet(),
		"elf": programtest.ELF(true, false, true), "elf-be": programtest.ELF(false, true, false), "text": []byte("hello hello hello"),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(bin, filepath.Join(dir, "rules.yar"), path).Output()
		if err != nil {
			t.Fatalf("yara: %v", err)
		}
		want := numbersOf(regexp.MustCompile(`(?m)^r(\d+) `), string(out))
		findings, _, err := detector.Look(&detect.File{Path: name, Size: int64(len(data)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
		if err != nil {
			t.Fatal(err)
		}
		var found strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&found, f.Rule)
		}
		got := numbersOf(regexp.MustCompile(`(?m)^yara/r(\d+)$`), found.String())
		for i, c := range conditions {
			if g, w := slices.Contains(got, i), slices.Contains(want, i); g != w {
				t.Errorf("%s: %s is %v, yara says %v", name, c, g, w)
			}
		}
	}
}

func numbersOf(r *regexp.Regexp, text string) []int {
	var list []int
	for _, m := range r.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		list = append(list, n)
	}
	return list
}

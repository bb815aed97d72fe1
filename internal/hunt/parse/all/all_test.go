package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/autodiscover"
	"postern/internal/hunt/parse/cmdletinfra"
	"postern/internal/hunt/parse/ecp"
	"postern/internal/hunt/parse/ews"
	"postern/internal/hunt/parse/httpproxy"
	"postern/internal/hunt/parse/iis"
	"postern/internal/hunt/parse/mapihttp"
	"postern/internal/hunt/parse/oab"
)

// formats says which formats each leaf of the stage brings.
var formats = map[string][]string{
	"autodiscover": {autodiscover.Name},
	"cmdletinfra":  {cmdletinfra.Cmdlet, cmdletinfra.HTTP},
	"ecp":          {ecp.Server, ecp.Activity},
	"ews":          {ews.Name},
	"httpproxy":    {httpproxy.Name},
	"iis":          {iis.Name},
	"mapihttp":     {mapihttp.Name},
	"oab":          {oab.Name},
}

// elsewhere are the folders that bring none, with the reason.
var elsewhere = map[string]string{
	"all":       "the list itself",
	"inventory": "any file as a whole, not rows: printed by the events command",
	"iisconfig": "XML files as a whole, not rows: read by detect/iisconfig",
	"msert":     "blocks of lines that belong together, not rows: read by detect/msert",
	"parsetest": "helps tests",
	"webfile":   "pages and what is compiled of them, not rows: read by detect/webfile",
}

// Every folder of the stage is in the list or named as one that is not.
func TestEveryLeaf(t *testing.T) {
	t.Parallel()
	listed := make(map[string]*parse.Format)
	for _, f := range Formats() {
		if listed[f.Name] != nil {
			t.Errorf("the format %s is in the list twice", f.Name)
		}
		listed[f.Name] = f
	}
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range folders {
		if !d.IsDir() || elsewhere[d.Name()] != "" {
			continue
		}
		if formats[d.Name()] == nil {
			t.Errorf("the folder parse/%s is neither in the list of formats nor named here with the reason why not", d.Name())
		}
		if !fuzzed(t, d.Name()) {
			t.Errorf("the folder parse/%s has no fuzz target", d.Name())
		}
		for _, name := range formats[d.Name()] {
			if listed[name] == nil {
				t.Errorf("the format %s of parse/%s is missing from Formats", name, d.Name())
			}
			delete(listed, name)
		}
	}
	for name := range listed {
		t.Errorf("the format %s is of no folder that this test knows", name)
	}
}

func fuzzed(t *testing.T, folder string) bool {
	tests, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), "\nfunc Fuzz") {
			return true
		}
	}
	return false
}

// What a format says of itself holds together.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		column := func(name string) bool {
			for _, c := range f.Columns {
				if strings.EqualFold(c, name) {
					return true
				}
			}
			return false
		}
		if f.Name == "" || f.Recognise == nil {
			t.Errorf("format %q has no name or recognises nothing", f.Name)
		}
		if f.Columns != nil && f.Delim != 0 {
			for _, name := range f.Time {
				if !column(name) {
					t.Errorf("%s: the time column %s is not among its columns", f.Name, name)
				}
			}
			for _, name := range f.Build {
				if !column(name) {
					t.Errorf("%s: the build column %s is not among its columns", f.Name, name)
				}
			}
		}
		for alias, target := range f.Aliases {
			if _, derived := f.Deciding[target]; !derived && !column(target) && !strings.HasPrefix(target, "cs(") {
				t.Errorf("%s: the alias %s stands for %s, which is no field", f.Name, alias, target)
			}
		}
		if strings.Contains(f.Name, ",") || f.Pairs != "" && !column(f.Pairs) {
			t.Errorf("%s: its pairs are in %s, which is no column", f.Name, f.Pairs)
		}
	}
}

// Each format's own header is recognised as its own and as no other's.
func TestOneFormatEach(t *testing.T) {
	t.Parallel()
	heads := map[string]string{
		httpproxy.Name:     "#Log-type: HttpProxy Logs\r\n",
		ecp.Server:         "#Log-type: ECP Server Log\r\n",
		ecp.Activity:       "#Log-type: ECP Activity Context Log\r\n",
		autodiscover.Name:  "#Log-type: Autodiscover Logs\r\n",
		oab.Name:           "#Log-type: OABGenerator Log\r\n",
		mapihttp.Name:      "",
		ews.Name:           "",
		iis.Name:           "#Software: Microsoft Internet Information Services 10.0\r\n",
		cmdletinfra.Cmdlet: "",
		cmdletinfra.HTTP:   "",
	}
	for _, f := range Formats() {
		head, known := heads[f.Name]
		if !known {
			t.Errorf("no header of %s here", f.Name)
			continue
		}
		delim := string(f.Delim)
		if f.Delim != 0 && f.Columns != nil {
			head += "#Fields: " + strings.Join(f.Columns, delim) + "\r\n"
		}
		if got, _ := parse.Recognise([]byte(head), "x.log", Formats(), nil); got == nil || got.Name != f.Name {
			t.Errorf("the header of %s is recognised as %+v", f.Name, got)
		}
	}
}

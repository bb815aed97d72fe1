package all

import (
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

// Each format of each leaf is in the list, once, and its own header is recognised
// as its own and as no other's.
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
	listed := make(map[string]bool)
	for _, f := range Formats() {
		head, known := heads[f.Name]
		if !known || listed[f.Name] {
			t.Errorf("no header of %s here, or it is in the list twice", f.Name)
			continue
		}
		listed[f.Name] = true
		delim := string(f.Delim)
		if f.Delim != 0 && f.Columns != nil {
			head += "#Fields: " + strings.Join(f.Columns, delim) + "\r\n"
		}
		if got, _ := parse.Recognise([]byte(head), "x.log", Formats(), nil); got == nil || got.Name != f.Name {
			t.Errorf("the header of %s is recognised as %+v", f.Name, got)
		}
	}
	for name := range heads {
		if !listed[name] {
			t.Errorf("the format %s is not in the list", name)
		}
	}
}

package dotnet_test

import (
	"strings"
	"testing"

	"postern/internal/hunt/detect/yara/module/dotnet"
	"postern/internal/hunt/detect/yara/module/pe"
	"postern/internal/hunt/detect/yara/module/programtest"
)

func FuzzParse(f *testing.F) {
	f.Add(programtest.DotNet())
	f.Add(programtest.Windows(true))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := pe.Parse(data)
		if !ok {
			return
		}
		a, ok := dotnet.Parse(p)
		if !ok {
			return
		}
		// Names are not made up: each stands in the file as it is.
		file := string(data)
		written := func(what, s string) {
			if !strings.Contains(file, s) {
				t.Errorf("%s %q is not in the file", what, s)
			}
		}
		written("the version", a.Version.Value)
		written("the module's name", a.Module.Value)
		written("the assembly's name", a.Own.Name.Value)
		for _, r := range a.References {
			written("a reference", r.Name.Value)
			written("a key", r.Key.Value)
		}
		for _, list := range [][]string{a.UserStrings, a.Constants, a.ModuleRefs} {
			for _, s := range list {
				written("a string", s)
			}
		}
		methods := 0
		for _, c := range a.Classes {
			written("a class", c.Name)
			methods += len(c.Methods)
			for _, m := range c.Methods {
				written("a method", m.Name)
				for _, p := range m.Parameters {
					if len(p.Type) > 1<<13 {
						t.Errorf("the name of a type has %d bytes", len(p.Type))
					}
				}
			}
		}
		if methods > 1<<16 || len(a.Classes) > 15000 || len(a.GUIDs) > 16 {
			t.Errorf("there are %d methods of %d classes, %d GUIDs", methods, len(a.Classes), len(a.GUIDs))
		}
		for _, r := range a.Resources {
			if r.Inside && (r.Offset < 0 || r.Offset > int64(len(data))) {
				t.Errorf("a resource is at %d in a file of %d bytes", r.Offset, len(data))
			}
		}
	})
}

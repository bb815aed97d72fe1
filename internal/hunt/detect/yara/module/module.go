// Package module holds the modules that a YARA rule can import: pe, dotnet, elf,
// math, hash, time, string and console. Input: the bytes of one file. Output:
// typed values, computed when a rule asks for them. What is declared, and what
// each value means, is as in libyara 4.5 (its own source and documentation at
// https://yara.readthedocs.io are the only description of it); what libyara
// declares and this package does not is undeclared, so that a rule that needs it
// cannot load instead of being silently false.
//
// A compiler asks Lookup for a module and checks names, types and overloads against
// its Decl. At run time Module.Load gives the module's value for a file, from which
// Field, Index, Key and Call lead on. A table of a file is read when it is first
// asked for, and once. Files come from an intruder: no value of a damaged file is an
// error, it is undefined, as in libyara.
//
// Known differences from libyara 4.5: lists that it reads without end are bounded (see
// the packages pe, dotnet and elf); signatures that OpenSSL finds damaged are read as
// far as they go; "+" in the names of certificates has no backslash before it, as rules
// have it and OpenSSL before version 3 wrote it.
package module

import (
	"slices"

	"postern"
)

// Module is one importable module.
type Module struct {
	decl *Decl
	load func(*File) any // what the getters of the module's struct are given
}

// modules is the explicit list of what can be imported.
func modules() []*Module {
	return []*Module{consoleModule, dotnetModule, elfModule, hashModule, mathModule, peModule, stringModule, timeModule}
}

// Lookup gives the module of that name.
func Lookup(name string) (*Module, bool) {
	all := modules()
	i := slices.IndexFunc(all, func(m *Module) bool { return m.decl.Name == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// Refused says why a module that other engines have is not here; false for a name
// that nobody knows.
func Refused(name string) (why postern.Text, known bool) {
	switch name {
	case "cuckoo":
		return postern.Say("yara.module.cuckoo"), true
	case "vt":
		return postern.Say("yara.module.vt"), true
	case "magic":
		return postern.Say("yara.module.magic"), true
	case "androguard", "dex", "macho", "lnk":
		return postern.Say("yara.module.other-files", "module", name), true
	}
	return postern.Text{}, false
}

// Missing says why a field that libyara has is not declared here; false for a name
// that nobody knows.
func (d *Decl) Missing(field string) (why postern.Text, known bool) {
	verified := map[string][]string{
		"pe":          {"is_signed"},
		"signatures":  {"verified", "number_of_countersignatures", "countersignatures"},
		"signer_info": {"length_of_chain", "chain"},
	}
	if slices.Contains(verified[d.Name], field) {
		return postern.Say("yara.module.unverified", "field", field), true
	}
	return postern.Text{}, false
}

// Name is what stands after import.
func (m *Module) Name() string { return m.decl.Name }

// Decl is the module's struct: all that a rule can name below it.
func (m *Module) Decl() *Decl { return m.decl }

// Load gives the module's struct for a file. What it takes from the file is kept
// there, so that asking again costs next to nothing.
func (m *Module) Load(f *File) Value { return structOf(m.decl, f.loaded(m)) }

package module

import (
	"postern/internal/hunt/detect/yara/module/dotnet"
	"postern/internal/hunt/detect/yara/module/pe"
)

// The module dotnet. What it reads is in the package dotnet.

var dotnetModule = &Module{
	decl: &Decl{Name: "dotnet", Type: Struct, Fields: dotnetFields},
	load: func(f *File) any {
		p, ok := f.loaded(peModule).(image)
		if !ok || p == nil {
			return &assembly{Assembly: &dotnet.Assembly{}}
		}
		a, ok := dotnet.Parse(p)
		if !ok {
			a = &dotnet.Assembly{}
		}
		return &assembly{a, p, ok}
	},
}

// assembly is empty for a program that is none, and has no image for a file that is
// no program.
type assembly struct {
	*dotnet.Assembly
	image *pe.Image
	is    bool
}

// textIn declares a text that may be missing.
func textIn[T any](name string, get func(T) dotnet.Text) *Decl {
	return text(name, func(of T) (string, bool) { t := get(of); return t.Value, t.Has })
}

// number of elements of a list, undefined if the file has no such list.
func lengthIf(name string, get func(*assembly) (n int, has bool)) *Decl {
	return integer(name, func(a *assembly) (int64, bool) { n, has := get(a); return int64(n), has })
}

func identity[T any](name string, of func(T) (dotnet.Identity, bool)) *Decl {
	part := func(name string, get func(dotnet.Identity) uint16) *Decl {
		return integer(name, func(t T) (int64, bool) { i, has := of(t); return int64(get(i)), has })
	}
	return structure(name, func(t T) T { return t },
		part("major", func(i dotnet.Identity) uint16 { return i.Major }),
		part("minor", func(i dotnet.Identity) uint16 { return i.Minor }),
		part("build_number", func(i dotnet.Identity) uint16 { return i.Build }),
		part("revision_number", func(i dotnet.Identity) uint16 { return i.Revision }))
}

func yesNo[T any](name string, get func(T) bool) *Decl {
	return intOf(name, func(of T) int64 { return truth(get(of)).Int() })
}

var dotnetFields = []*Decl{
	integer("is_dotnet", func(a *assembly) (int64, bool) { return truth(a.is).Int(), a.image != nil }),
	textIn("version", func(a *assembly) dotnet.Text { return a.Version }),
	textIn("module_name", func(a *assembly) dotnet.Text { return a.Module }),
	structures("streams", func(a *assembly) []dotnet.Stream { return a.Streams },
		textOf("name", func(s *dotnet.Stream) string { return s.Name }),
		intOf("offset", func(s *dotnet.Stream) int64 { return s.Offset }),
		intOf("size", func(s *dotnet.Stream) int64 { return s.Size })),
	lengthIf("number_of_streams", func(a *assembly) (int, bool) { return len(a.Streams), a.HasStreams }),
	texts("guids", func(a *assembly) []string { return a.GUIDs }),
	lengthIf("number_of_guids", func(a *assembly) (int, bool) { return len(a.GUIDs), a.HasGUIDs }),
	structures("resources", func(a *assembly) []dotnet.Resource { return a.Resources },
		integer("offset", func(r *dotnet.Resource) (int64, bool) { return r.Offset, r.Inside }),
		integer("length", func(r *dotnet.Resource) (int64, bool) { return r.Length, r.Inside }),
		textIn("name", func(r *dotnet.Resource) dotnet.Text { return r.Name })),
	lengthIf("number_of_resources", func(a *assembly) (int, bool) { return len(a.Resources), a.HasResources }),
	structures("classes", func(a *assembly) []dotnet.Class { return a.Classes },
		textIn("fullname", func(c *dotnet.Class) dotnet.Text { return c.FullName }),
		textOf("name", func(c *dotnet.Class) string { return c.Name }),
		textIn("namespace", func(c *dotnet.Class) dotnet.Text { return c.Namespace }),
		textOf("visibility", func(c *dotnet.Class) string { return c.Visibility }),
		textOf("type", func(c *dotnet.Class) string { return c.Kind }),
		yesNo("abstract", func(c *dotnet.Class) bool { return c.Abstract }),
		yesNo("sealed", func(c *dotnet.Class) bool { return c.Sealed }),
		intOf("number_of_generic_parameters", func(c *dotnet.Class) int64 { return int64(len(c.Generics)) }),
		texts("generic_parameters", func(c *dotnet.Class) []string { return c.Generics }),
		intOf("number_of_base_types", func(c *dotnet.Class) int64 { return int64(len(c.Bases)) }),
		texts("base_types", func(c *dotnet.Class) []string { return c.Bases }),
		integer("number_of_methods", func(c *dotnet.Class) (int64, bool) { return int64(len(c.Methods)), c.HasMethods }),
		structures("methods", func(c *dotnet.Class) []dotnet.Method { return c.Methods },
			texts("generic_parameters", func(m *dotnet.Method) []string { return m.Generics }),
			intOf("number_of_generic_parameters", func(m *dotnet.Method) int64 { return int64(len(m.Generics)) }),
			structures("parameters", func(m *dotnet.Method) []dotnet.Parameter { return m.Parameters },
				textIn("name", func(p *dotnet.Parameter) dotnet.Text { return p.Name }),
				textOf("type", func(p *dotnet.Parameter) string { return p.Type })),
			integer("number_of_parameters", func(m *dotnet.Method) (int64, bool) { return int64(len(m.Parameters)), m.HasParams }),
			textIn("return_type", func(m *dotnet.Method) dotnet.Text { return m.Return }),
			yesNo("abstract", func(m *dotnet.Method) bool { return m.Abstract }),
			yesNo("final", func(m *dotnet.Method) bool { return m.Final }),
			yesNo("virtual", func(m *dotnet.Method) bool { return m.Virtual }),
			yesNo("static", func(m *dotnet.Method) bool { return m.Static }),
			textOf("visibility", func(m *dotnet.Method) string { return m.Visibility }),
			textOf("name", func(m *dotnet.Method) string { return m.Name }))),
	lengthIf("number_of_classes", func(a *assembly) (int, bool) { return len(a.Classes), a.HasClasses }),
	structures("assembly_refs", func(a *assembly) []dotnet.Reference { return a.References },
		identity("version", func(r *dotnet.Reference) (dotnet.Identity, bool) { return r.Identity, true }),
		textIn("public_key_or_token", func(r *dotnet.Reference) dotnet.Text { return r.Key }),
		textIn("name", func(r *dotnet.Reference) dotnet.Text { return r.Name })),
	lengthIf("number_of_assembly_refs", func(a *assembly) (int, bool) { return len(a.References), a.HasReferences }),
	structure("assembly", func(a *assembly) *assembly { return a },
		identity("version", func(a *assembly) (dotnet.Identity, bool) { return a.Own, a.HasOwn }),
		textIn("name", func(a *assembly) dotnet.Text { return a.Own.Name }),
		textIn("culture", func(a *assembly) dotnet.Text { return a.Culture })),
	texts("modulerefs", func(a *assembly) []string { return a.ModuleRefs }),
	lengthIf("number_of_modulerefs", func(a *assembly) (int, bool) { return len(a.ModuleRefs), a.HasModuleRefs }),
	texts("user_strings", func(a *assembly) []string { return a.UserStrings }),
	lengthIf("number_of_user_strings", func(a *assembly) (int, bool) { return len(a.UserStrings), a.HasUser }),
	textIn("typelib", func(a *assembly) dotnet.Text { return a.TypeLib }),
	texts("constants", func(a *assembly) []string { return a.Constants }),
	lengthIf("number_of_constants", func(a *assembly) (int, bool) { return len(a.Constants), a.HasConstants }),
	integers("field_offsets", func(a *assembly) []int64 { return a.FieldOffsets }),
	lengthIf("number_of_field_offsets", func(a *assembly) (int, bool) { return len(a.FieldOffsets), a.HasFields }),
}

package module

import (
	"testing"
	"time"

	"postern/internal/hunt/detect/yara/module/programtest"
)

func TestNamesTypesAndCalls(t *testing.T) {
	t.Parallel()
	m, ok := Lookup("string")
	if !ok {
		t.Fatal("Lookup(string) found nothing")
	}
	d, ok := m.Decl().Field("to_int")
	if !ok || d.Type != Func {
		t.Fatalf("string.to_int is declared as %v, %v; want a function", d, ok)
	}
	if _, ok := d.Overload([]Type{Int}); ok {
		t.Error("to_int(integer) compiles")
	}
	form, ok := d.Overload([]Type{String, Int})
	if !ok {
		t.Fatal("to_int(string, integer) does not compile")
	}
	got := m.Load(&File{}).Field("to_int").Call(form, StringValue("-7f"), IntValue(16))
	if got.Type() != Int || got.Int() != -0x7f {
		t.Errorf(`to_int("-7f", 16) = %v %d, want %d`, got.Type(), got.Int(), -0x7f)
	}
	if v := m.Load(&File{}).Field("to_int").Call(form, StringValue("1"), Value{}); v.Defined() {
		t.Errorf("a call with an undefined argument gives %v", v)
	}
	if v := m.Load(&File{}).Field("nothing"); v.Defined() {
		t.Errorf("a name that is not declared gives %v", v)
	}
}

func TestToInt(t *testing.T) {
	t.Parallel()
	undefined := Value{}
	for _, c := range []struct {
		s    string
		base int64
		want Value
	}{
		{"1234", 0, IntValue(1234)}, {" \t+12", 0, IntValue(12)}, {"-0x10", 0, IntValue(-16)}, {"010", 0, IntValue(8)},
		{"0", 0, IntValue(0)}, {"08", 0, undefined}, {"0x10", 16, IntValue(16)}, {"z", 36, IntValue(35)}, {"12a", 10, undefined},
		{"", 0, undefined}, {"0x", 0, undefined}, {"1_0", 0, undefined}, {"--1", 0, undefined}, {"1", 1, undefined}, {"1", 37, undefined}, {"1", -1, undefined},
		{"9223372036854775807", 0, IntValue(1<<63 - 1)}, {"9223372036854775808", 0, undefined}, {"-9223372036854775808", 0, IntValue(-1 << 63)},
	} {
		if got := toInt(c.s, c.base); got.Defined() != c.want.Defined() || got.Int() != c.want.Int() {
			t.Errorf("toInt(%q, %d) = %v %d, want %v %d", c.s, c.base, got.Type(), got.Int(), c.want.Type(), c.want.Int())
		}
	}
}

func TestTimeAndConsole(t *testing.T) {
	t.Parallel()
	var said []string
	f := &File{Now: time.Unix(1614754800, 0), Log: func(s string) { said = append(said, s) }}
	now, _ := Lookup("time")
	if got := now.Load(f).Field("now").Call(0); got.Int() != 1614754800 {
		t.Errorf("time.now() = %d", got.Int())
	}
	console, _ := Lookup("console")
	hex, _ := console.Decl().Field("hex")
	form, _ := hex.Overload([]Type{String, Int})
	if got := console.Load(f).Field("hex").Call(form, StringValue("at\n"), IntValue(255)); got.Int() != 1 {
		t.Errorf("console.hex gives %d, want 1", got.Int())
	}
	if len(said) != 1 || said[0] != `at\x0a0xff` {
		t.Errorf("said %q", said)
	}
}

// What other engines have and this one has not is refused by name, so that a rule's
// author reads why.
func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cuckoo", "vt", "magic", "androguard", "macho"} {
		if _, ok := Lookup(name); ok {
			t.Errorf("there is a module %s", name)
		}
		if _, known := Refused(name); !known {
			t.Errorf("the module %s is refused without a reason", name)
		}
	}
	if _, known := Refused("nothing"); known {
		t.Error("a module that nobody has is refused with a reason")
	}
	pe, _ := Lookup("pe")
	signatures, _ := pe.Decl().Field("signatures")
	for d, field := range map[*Decl]string{pe.Decl(): "is_signed", signatures.Elem: "verified"} {
		if _, ok := d.Field(field); ok {
			t.Errorf("%s is declared, and nothing verifies signatures", field)
		}
		if _, known := d.Missing(field); !known {
			t.Errorf("%s is missing without a reason", field)
		}
	}
	if _, known := pe.Decl().Missing("machine_type"); known {
		t.Error("a field that nobody has is missing with a reason")
	}
}

func TestProgramsAndOtherFiles(t *testing.T) {
	t.Parallel()
	pe, _ := Lookup("pe")
	program := pe.Load(&File{Data: programtest.Windows(true)})
	info := program.Field("version_info")
	if got := info.Key("CompanyName").Text(); got != "Again" {
		t.Errorf("version_info[CompanyName] = %q, want the last of two", got)
	}
	if info.Len() != 3 || info.Key("none").Defined() || info.Index(0).Defined() {
		t.Errorf("version_info has %d keys; another key gives %v", info.Len(), info.Key("none"))
	}
	sections := program.Field("sections")
	if sections.Len() != 2 || sections.Index(2).Defined() || sections.Index(-1).Defined() || sections.Index(1).Field("name").Text() != "/4" {
		t.Errorf("there are %d sections, the second is %q", sections.Len(), sections.Index(1).Field("name").Text())
	}

	text := pe.Load(&File{Data: []byte("no program")})
	for _, d := range pe.Decl().Fields {
		v := text.Get(d)
		switch {
		case d.Name == "is_pe":
			if v.Int() != 0 || !v.Defined() {
				t.Errorf("is_pe = %v", v)
			}
		case d.Type == Func:
			if len(d.Overloads[0].Args) == 0 && v.Call(0).Defined() {
				t.Errorf("%s() is defined for a text", d.Name)
			}
		case d.Type == Struct:
			if w := v.Get(d.Fields[0]); w.Defined() {
				t.Errorf("%s.%s is defined for a text", d.Name, d.Fields[0].Name)
			}
		case d.Const.Defined() != v.Defined() && v.Len() != 0 || d.Type == Int && !d.Const.Defined() && v.Defined():
			t.Errorf("%s is defined for a text", d.Name)
		}
	}
}

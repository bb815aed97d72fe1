package module

// Type is the static type of an expression.
type Type uint8

// Types of declarations and values. Undefined is the type of a value that is not
// there; no declaration has it.
const (
	Undefined Type = iota
	Bool           // only as an argument: math.to_number
	Int            // 64 bits, signed
	Float
	String // bytes
	Regexp // only as an argument
	Struct
	Array
	Dict
	Func
)

// String names the type in messages.
func (t Type) String() string {
	return [...]string{"undefined", "boolean", "integer", "float", "string", "regexp", "structure", "array", "dictionary", "function"}[t]
}

// Decl declares what one name stands for.
type Decl struct {
	Name string
	Type Type
	// Const is the value of a name that is the same for every file, such as
	// pe.MACHINE_AMD64; otherwise undefined.
	Const Value
	// Fields of a structure, in order.
	Fields []*Decl
	// Elem is what an array or a dictionary holds.
	Elem *Decl
	// Overloads of a function; their index goes to Value.Call.
	Overloads []Overload

	// Exactly one of these computes the value; all are nil for constants and for
	// elements, which come from the array around them.
	get  func(of any) Value                             // a field of a structure
	call func(of any, overload int, args []Value) Value // a function of a structure
}

// Overload is one form of a function.
type Overload struct {
	Args   []Type
	Result Type
}

// Field gives the declaration of a structure's field.
func (d *Decl) Field(name string) (*Decl, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Overload gives the index of the form that takes exactly these types. There are no
// conversions, as in libyara: math.in_range(1, 2, 3) does not compile.
func (d *Decl) Overload(args []Type) (int, bool) {
next:
	for i, o := range d.Overloads {
		if len(o.Args) != len(args) {
			continue
		}
		for j := range args {
			if o.Args[j] != args[j] {
				continue next
			}
		}
		return i, true
	}
	return 0, false
}

// Declarations of fields, each with what computes it. T is what the structure was
// made of; a getter that says false leaves the field undefined.

func constant(name string, value int64) *Decl {
	return &Decl{Name: name, Type: Int, Const: IntValue(value)}
}

func integer[T any](name string, get func(T) (int64, bool)) *Decl {
	return &Decl{Name: name, Type: Int, get: func(of any) Value {
		if n, ok := get(of.(T)); ok {
			return IntValue(n)
		}
		return Value{}
	}}
}

func text[T any](name string, get func(T) (string, bool)) *Decl {
	return &Decl{Name: name, Type: String, get: func(of any) Value {
		if s, ok := get(of.(T)); ok {
			return StringValue(s)
		}
		return Value{}
	}}
}

// structure declares a struct inside a struct; from gives what its fields are
// computed from.
func structure[T, U any](name string, from func(T) U, fields ...*Decl) *Decl {
	d := &Decl{Name: name, Type: Struct, Fields: fields}
	d.get = func(of any) Value { return structOf(d, from(of.(T))) }
	return d
}

// structures declares an array of structs, one for each element of the list; their
// fields are computed from a *U. The list is asked for at each access, so it must be
// kept by T.
func structures[T, U any](name string, list func(T) []U, fields ...*Decl) *Decl {
	elem := &Decl{Name: name, Type: Struct, Fields: fields}
	return &Decl{Name: name, Type: Array, Elem: elem, get: func(of any) Value {
		all := list(of.(T))
		return arrayOf(len(all), func(i int) Value { return structOf(elem, &all[i]) })
	}}
}

// entries is structures for a list that is read from the file one by one.
func entries[T, U any](name string, count func(T) int, at func(of T, i int) U, fields ...*Decl) *Decl {
	elem := &Decl{Name: name, Type: Struct, Fields: fields}
	return &Decl{Name: name, Type: Array, Elem: elem, get: func(of any) Value {
		t := of.(T)
		return arrayOf(count(t), func(i int) Value { return structOf(elem, at(t, i)) })
	}}
}

// texts declares an array of strings.
func texts[T any](name string, list func(T) []string) *Decl {
	return &Decl{Name: name, Type: Array, Elem: &Decl{Name: name, Type: String}, get: func(of any) Value {
		all := list(of.(T))
		return arrayOf(len(all), func(i int) Value { return StringValue(all[i]) })
	}}
}

// integers declares an array of integers.
func integers[T any](name string, list func(T) []int64) *Decl {
	return &Decl{Name: name, Type: Array, Elem: &Decl{Name: name, Type: Int}, get: func(of any) Value {
		all := list(of.(T))
		return arrayOf(len(all), func(i int) Value { return IntValue(all[i]) })
	}}
}

// dictionary declares a dictionary of strings, whose list has each key once. The list
// is asked for at each access, so it must be kept by T.
func dictionary[T, U any](name string, list func(T) []U, entry func(*U) (key, value string)) *Decl {
	return &Decl{Name: name, Type: Dict, Elem: &Decl{Name: name, Type: String}, get: func(of any) Value {
		all := list(of.(T))
		return Value{kind: Dict, of: &dict{len(all), func(i int) (string, string) { return entry(&all[i]) }}}
	}}
}

// form is one overload with what computes it.
type form[T any] struct {
	overload Overload
	call     func(of T, args []Value) Value
}

// takes makes a form. Types are written as in libyara's own declarations: b boolean,
// i integer, f float, s string, r regexp.
func takes[T any](args, result string, call func(of T, args []Value) Value) form[T] {
	letters := map[byte]Type{'b': Bool, 'i': Int, 'f': Float, 's': String, 'r': Regexp}
	o := Overload{Args: make([]Type, 0, len(args)), Result: letters[result[0]]}
	for i := range len(args) {
		o.Args = append(o.Args, letters[args[i]])
	}
	return form[T]{o, call}
}

func function[T any](name string, forms ...form[T]) *Decl {
	d := &Decl{Name: name, Type: Func}
	for _, f := range forms {
		d.Overloads = append(d.Overloads, f.overload)
	}
	d.call = func(of any, overload int, args []Value) Value { return forms[overload].call(of.(T), args) }
	return d
}

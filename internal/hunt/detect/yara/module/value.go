package module

import "math"

// Value is what an expression gives: a number, a string, something with parts, or
// nothing. The zero Value is undefined. Values are small and passed by copy.
type Value struct {
	kind Type
	num  uint64 // Bool, Int, and the bits of a Float
	str  string
	decl *Decl // Struct: its declaration; Func: the function's
	of   any   // Struct, Func: what the getters are given; Array: *array; Dict: *dict; Regexp: Matcher
}

// array is a list whose elements are made when asked for.
type array struct {
	n  int
	at func(int) Value
}

// dict is a list of keys and values, likewise.
type dict struct {
	n  int
	at func(int) (key, value string)
}

// Matcher is a regexp that a rule gives to a function.
type Matcher interface {
	// MatchLen is negative if nothing in the text matches, else the offset at which the
	// last match ends: 0 only for a match of nothing at the beginning, which pe.imports
	// does not count. A match of nothing at the end is none, as in libyara.
	MatchLen(text []byte) int
}

// IntValue makes an integer.
func IntValue(n int64) Value { return Value{kind: Int, num: uint64(n)} }

// FloatValue makes a float. What is no number is undefined, as in libyara.
func FloatValue(f float64) Value {
	if math.IsNaN(f) {
		return Value{}
	}
	return Value{kind: Float, num: math.Float64bits(f)}
}

// StringValue makes a string.
func StringValue(s string) Value { return Value{kind: String, str: s} }

// BoolValue makes a boolean, for an argument.
func BoolValue(b bool) Value {
	v := Value{kind: Bool}
	if b {
		v.num = 1
	}
	return v
}

// RegexpValue makes a regexp, for an argument.
func RegexpValue(m Matcher) Value { return Value{kind: Regexp, of: m} }

func regexpOf(v Value) Matcher { return v.of.(Matcher) }

func arrayOf(n int, at func(int) Value) Value { return Value{kind: Array, of: &array{n, at}} }

func structOf(d *Decl, of any) Value { return Value{kind: Struct, decl: d, of: of} }

// Type is Undefined for a value that is not there.
func (v Value) Type() Type { return v.kind }

// Defined says whether there is a value.
func (v Value) Defined() bool { return v.kind != Undefined }

// Int gives the number of an Int, 0 or 1 of a Bool.
func (v Value) Int() int64 { return int64(v.num) }

// Bool gives the truth of a Bool.
func (v Value) Bool() bool { return v.num != 0 }

// Float gives the number of a Float.
func (v Value) Float() float64 { return math.Float64frombits(v.num) }

// Text gives the bytes of a String.
func (v Value) Text() string { return v.str }

// Field gives a field of a Struct, or the constant of that name. A field that is
// not declared, and any field of what is not a Struct, is undefined.
func (v Value) Field(name string) Value {
	if v.kind != Struct {
		return Value{}
	}
	d, ok := v.decl.Field(name)
	if !ok {
		return Value{}
	}
	return v.Get(d)
}

// Get is Field for a declaration that is known already, for what is asked often: d
// must be one of the fields of the structure's own declaration.
func (v Value) Get(d *Decl) Value {
	switch {
	case v.kind != Struct:
		return Value{}
	case d.call != nil:
		return Value{kind: Func, decl: d, of: v.of}
	case d.get != nil:
		return d.get(v.of)
	}
	return d.Const
}

// Len is the number of elements of an Array or entries of a Dict, else 0.
func (v Value) Len() int {
	switch v.kind {
	case Array:
		return v.of.(*array).n
	case Dict:
		return v.of.(*dict).n
	}
	return 0
}

// Index gives an element of an Array; undefined beyond its ends.
func (v Value) Index(i int64) Value {
	if i < 0 || i >= int64(v.Len()) || v.kind != Array {
		return Value{}
	}
	return v.of.(*array).at(int(i))
}

// Key gives the value of a Dict for a key; undefined if it has none.
func (v Value) Key(key string) Value {
	if v.kind != Dict {
		return Value{}
	}
	d := v.of.(*dict)
	for i := range d.n {
		if k, value := d.at(i); k == key {
			return StringValue(value)
		}
	}
	return Value{}
}

// Entry gives the i-th entry of a Dict, 0 ≤ i < Len, for loops over it.
func (v Value) Entry(i int) (key string, value Value) {
	key, s := v.of.(*dict).at(i)
	return key, StringValue(s)
}

// Call calls a Func with the form that Decl.Overload chose. An undefined argument
// makes the result undefined, as in libyara.
func (v Value) Call(overload int, args ...Value) Value {
	if v.kind != Func {
		return Value{}
	}
	for _, a := range args {
		if !a.Defined() {
			return Value{}
		}
	}
	return v.decl.call(v.of, overload, args)
}

package bundle

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Proofs show a file to whoever has it, and to nobody else: another path, content or
// bundle gives another proof.
func TestProofs(t *testing.T) {
	t.Parallel()
	sum := func(s string) string { return Hash([]byte(s)) }
	proofs := func(files ...[2]string) string {
		var b []byte
		for _, f := range files {
			p := Proof("id", f[0], sum(f[1]))
			b = append(b, p[:]...)
		}
		return string(b)
	}
	raw := file([2]string{HeaderPart, "{}"},
		[2]string{DataPart(1), "d"}, [2]string{ListPart(1), "l"}, [2]string{ProofPart(1), proofs([2]string{"a/b.aspx", "one"}, [2]string{"c", "two"})},
		[2]string{DataPart(2), "d"}, [2]string{ListPart(2), "l"}, [2]string{ProofPart(2), ""},
		[2]string{DataPart(3), "d"}, [2]string{ListPart(3), "l"}, [2]string{ProofPart(3), proofs([2]string{"d", "one"})})
	b, err := Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || !b.Proves() {
		t.Fatalf("%v, proves %v", err, b.Proves())
	}
	for _, tc := range []struct {
		id    string
		files map[string]string
		want  []string
	}{
		{"id", nil, nil},
		{"id", map[string]string{"a/b.aspx": sum("one"), "c": sum("two"), "d": strings.ToUpper(sum("one"))}, nil},
		{"id", map[string]string{"a/b.aspx": sum("two"), "c": sum("two"), "A/B.aspx": sum("one"), "b.aspx": sum("one")}, []string{"A/B.aspx", "a/b.aspx", "b.aspx"}},
		{"another", map[string]string{"c": sum("two")}, []string{"c"}},
	} {
		got, err := b.Lacking(tc.id, tc.files)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s %v: lacks %v, %v; want %v", tc.id, tc.files, got, err, tc.want)
		}
	}
	if ServerProof("id", "EX01") != ServerProof("id", "ex01") || ServerProof("id", "EX01") == ServerProof("id", "EX02") || ServerProof("id", "EX01") == ServerProof("i", "EX01") {
		t.Error("names of servers are not told apart by their letters and the bundle alone")
	}
	// Bundles of earlier versions, and such with a segment whose proofs are gone.
	for _, parts := range [][][2]string{
		{{HeaderPart, "{}"}, {DataPart(1), "d"}, {ListPart(1), "l"}},
		{{HeaderPart, "{}"}, {DataPart(1), "d"}, {ListPart(1), "l"}, {DataPart(2), "d"}, {ListPart(2), "l"}, {ProofPart(2), ""}},
	} {
		raw := file(parts...)
		b, err := Open(bytes.NewReader(raw), int64(len(raw)))
		if err != nil || b.Proves() {
			t.Errorf("%d parts: %v, proves %v", len(parts), err, b.Proves())
		}
	}
	// One that was cut proves what is whole.
	cut := file([2]string{HeaderPart, "{}"}, [2]string{DataPart(1), "d"}, [2]string{ListPart(1), "l"}, [2]string{ProofPart(1), proofs([2]string{"c", "two"}) + "half"})
	b, err = Open(bytes.NewReader(cut), int64(len(cut)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lacking("id", map[string]string{"c": sum("two")}); err == nil {
		t.Error("half a proof is no error")
	}
}

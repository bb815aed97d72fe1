package pattern

import (
	"fmt"
	"github.com/VirusTotal/gyp"
	"github.com/VirusTotal/gyp/ast"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"
)

func loadDir(t testing.TB, dir string) *Set {
	files, _ := filepath.Glob(dir + "/*.yar*")
	var rs []*ast.Rule
	t0 := time.Now()
	for _, f := range files {
		b, _ := os.ReadFile(f)
		r, err := gyp.ParseString(string(b))
		if err != nil {
			t.Log(f, err)
			continue
		}
		rs = append(rs, r.Rules...)
	}
	t1 := time.Now()
	b := NewBuilder()
	n, bad := 0, 0
	for _, r := range rs {
		for _, s := range r.Strings {
			n++
			if _, err := add(b, s); err != nil {
				bad++
				if bad < 30 {
					t.Log(r.Identifier, s.GetIdentifier(), err)
				}
			}
		}
	}
	t2 := time.Now()
	s := b.Build()
	t3 := time.Now()
	b = nil
	rs = nil
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	t.Logf("%d strings, %d refused; parse %v add %v build %v; heap %d MB; %+v", n, bad, t1.Sub(t0), t2.Sub(t1), t3.Sub(t2), ms.HeapAlloc>>20, s.Stats())
	for i, e := range s.engines {
		if e != nil {
			var l []string
			for i, tb := range e.tables {
				if tb != nil {
					l = append(l, fmt.Sprintf("%d:%d/%d", i, len(tb.entries), len(tb.filter)*64))
				}
			}
			sort.Strings(l)
			t.Log(i, strings.Join(l, " "), len(e.always))
		}
	}
	runtime.KeepAlive(s)
	return s
}
func TestLoad(t *testing.T) { loadDir(t, os.Getenv("RULES")) }

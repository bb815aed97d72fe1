package pattern

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

func TestTree(t *testing.T) {
	s := loadDir(t, os.Getenv("RULES"))
	var all [][]byte
	n := 0
	filepath.WalkDir(os.Getenv("TREE"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(p)
			all = append(all, b)
			n += len(b)
		}
		return nil
	})
	var m Matches
	cpu := func() time.Duration {
		var r syscall.Rusage
		syscall.Getrusage(0, &r)
		return time.Duration(r.Utime.Nano())
	}
	for name, w := range map[string]Wanted{"all": nil, "0": s.ids[0], "1": s.ids[1], "2": s.ids[2], "3": s.ids[3], "4": s.ids[4]} {
		if p := os.Getenv("PROF"); p != "" {
			f, _ := os.Create(p + "." + name)
			pprof.StartCPUProfile(f)
		}
		c0 := cpu()
		hits, steps := 0, int64(0)
		for _, b := range all {
			if err := s.Scan(context.Background(), b, w, &m); err != nil {
				t.Log(err)
			}
			hits += m.all
			steps += m.steps + m.vm.steps
		}
		c := cpu() - c0
		pprof.StopCPUProfile()
		t.Logf("%s: %d files %d bytes: %v, %.2f ns/byte, %d matches, %d steps", name, len(all), n, c, float64(c)/float64(n), hits, steps)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"postern/internal/exercise"
)

// found is what is needed of a hunt's document.
type found struct {
	Hosts []struct {
		Host    string
		Verdict struct {
			Level      int
			Conclusive bool
		}
		Findings []struct {
			Level    int
			Evidence []struct {
				Path         string
				Line, Record int64
			}
		}
	}
}

// detection hunts exercise evidence of every story, every planted row in an
// unusual spelling, and counts what was missed and what was wrongly found.
func (b *bench) detection() error {
	var names []string
	for _, s := range exercise.Stories() {
		names = append(names, s.Name)
	}
	planted, missed, misses, wrong, hosts, verdicts := 0, 0, 0, 0, 0, 0
	for seed := range b.seeds {
		dir := filepath.Join(b.dir, fmt.Sprintf("seed%d", seed))
		os.RemoveAll(dir)
		truth, err := exercise.Evidence(context.Background(), exercise.Options{Seed: uint64(seed) + 100, Out: dir,
			Size: int64(len(names)) * 8e6, Stories: names, Variation: exercise.VaryAll})
		if err != nil {
			return err
		}
		var out bytes.Buffer
		c := exec.Command(b.postern, "hunt", "--format", "json", dir)
		c.Stdout = &out
		if _, err := run(c); err != nil {
			return err
		}
		var doc found
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			return err
		}
		type place struct {
			path         string
			line, record int64
		}
		at := make(map[place]int)
		level := make(map[string]int)
		for _, h := range doc.Hosts {
			level[h.Host] = h.Verdict.Level
			for _, f := range h.Findings {
				for _, e := range f.Evidence {
					p := place{e.Path, e.Line, e.Record}
					if p.record > 0 {
						p.line = 0
					}
					at[p] = max(at[p], f.Level)
				}
			}
		}
		for _, h := range truth.Hosts {
			hosts++
			if level[h.Host] == int(h.Expect.Level) {
				verdicts++
			} else {
				fmt.Printf("  seed %d %s %s: level %d, want %d\n", seed+100, h.Host, h.Story, level[h.Host], h.Expect.Level)
			}
			for _, p := range h.Planted {
				if p.Level == 0 {
					continue
				}
				planted++
				if at[place{p.Path, p.Line, p.Record}] == 0 {
					missed++
					fmt.Printf("  seed %d missed %s %s:%d\n", seed+100, p.Kind, p.Path, p.Line+p.Record)
				}
			}
			for _, n := range h.NearMisses {
				misses++
				if at[place{n.Path, n.Line, n.Record}] > 0 {
					wrong++
					fmt.Printf("  seed %d wrongly found %s:%d (%s)\n", seed+100, n.Path, n.Line+n.Record, n.Why)
				}
			}
		}
		os.RemoveAll(dir)
	}
	fmt.Printf("planted rows found: %d of %d; near misses found: %d of %d; verdicts right: %d of %d (%d seeds)\n",
		planted-missed, planted, wrong, misses, verdicts, hosts, b.seeds)
	return nil
}

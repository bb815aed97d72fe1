package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sealing measures "postern respond preserve" against tar, zstd and age.
type sealing struct {
	*bench
	size float64 // of the evidence, GB
}

// pipe is what a careful person would type: the same forms without lists, hashes,
// signature and custody.
const pipe = `tar -cf - "$1" | zstd -3 -q | age -r "$2" >"$3"`

// gbADay is what a busy server writes.
const gbADay = 0.5

func (s *sealing) run() error {
	for _, peer := range []string{"tar", "zstd", "age"} {
		if _, err := exec.LookPath(peer); err != nil {
			return fmt.Errorf("%s is needed as a peer: %w", peer, err)
		}
	}
	dir, err := s.evidence("preserve", int64(s.size*1e9), max(2, int(s.size/gbADay)))
	if err != nil {
		return err
	}
	key, err := exec.Command(s.postern, "respond", "custody", "key", filepath.Join(s.dir, fmt.Sprintf("%d.key", time.Now().UnixNano()))).Output()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	recipient, sealed := strings.TrimSpace(string(key)), filepath.Join(s.dir, "sealed")
	ours := func() *exec.Cmd {
		return exec.Command(s.postern, "respond", "preserve", dir, "--all", "--out", sealed, "--recipient", recipient)
	}
	theirs := func() *exec.Cmd { return exec.Command("sh", "-c", pipe, "sh", dir, recipient, sealed) }
	var cpu, wall [2][]float64
	var rss float64
	var bytes [2]int64
	for range s.pairs {
		for i, c := range []func() *exec.Cmd{ours, theirs} {
			// Evidence is cold, and what the run before has written must not wait for this one.
			if err := evict(dir); err != nil {
				return err
			}
			cmd := c()
			u, err := run(cmd)
			if err != nil {
				return err
			}
			if i == 0 {
				rss = max(rss, u.rss)
			}
			cpu[i], wall[i] = append(cpu[i], u.cpu), append(wall[i], u.wall)
			info, err := os.Stat(sealed)
			if err != nil {
				return err
			}
			bytes[i] = info.Size()
			if err := os.Remove(sealed); err != nil {
				return err
			}
			fmt.Printf("  %s: CPU %.1f s, wall %.1f s, RSS %.1f MiB\n", filepath.Base(cmd.Path), u.cpu, u.wall, u.rss)
		}
	}
	fmt.Printf("%.1f GB of evidence, cold, %d pairs: preserve / tar|zstd -3|age\n", s.size, s.pairs)
	// Speed is what the goal speaks of: the peer's time through ours.
	fastness := func(what string, t [2][]float64) {
		verdict := "reached"
		speed := median(t[1]) / median(t[0])
		if speed < 0.6 {
			verdict = "NOT reached"
		}
		fmt.Printf("speed by %s: %.1f s / %.1f s, %.2f × theirs (goal ≥ 0.60, %s)\n", what, median(t[0]), median(t[1]), speed, verdict)
	}
	fastness("wall time", wall)
	fastness("CPU", cpu)
	fmt.Printf("size: %.1f MB / %.1f MB; peak RSS %.1f MiB (goal 95)\n", float64(bytes[0])/1e6, float64(bytes[1])/1e6, rss)
	return nil
}

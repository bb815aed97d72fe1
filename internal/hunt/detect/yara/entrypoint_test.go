package yara

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/hunt/detect/yara/module/programtest"
)

// entrypointRules tell the value of entrypoint bit by bit.
func entrypointRules() []string {
	lines := []string{"rule defined_ { condition: defined entrypoint }"}
	for bit := range 64 {
		lines = append(lines, fmt.Sprintf("rule bit%d { condition: (entrypoint >> %d) & 1 == 1 }", bit, bit))
	}
	return lines
}

// startsOfPrograms are files with the offset at which entrypoint has them begin, -1 for none.
func startsOfPrograms() map[string]struct {
	data []byte
	want int64
} {
	patched := func(b []byte, at int, bytes ...byte) []byte {
		copy(b[at:], bytes)
		return b
	}
	windows := func() []byte { return programtest.Windows(true) }
	nt := int(binary.LittleEndian.Uint32(windows()[60:]))
	object := func(class64 bool) []byte { // no start, and the sections of an object lie at 0
		b := programtest.ELF(class64, false, false)
		if class64 {
			copy(b[16:], []byte{1, 0})
			clear(b[24:32])
			clear(b[binary.LittleEndian.Uint64(b[40:])+64+16:][:8])
			return b
		}
		copy(b[16:], []byte{1, 0})
		clear(b[24:28])
		clear(b[binary.LittleEndian.Uint32(b[32:])+40+12:][:4])
		return b
	}
	return map[string]struct {
		data []byte
		want int64
	}{
		"text":               {[]byte("no program at all, but a text of more than sixty-four bytes, so that it could be one"), -1},
		"windows of x64":     {windows(), 0x404},
		"windows of x86":     {programtest.Windows(false), 0x404},
		"windows of ARM64":   {patched(windows(), nt+4, 0x64, 0xaa), -1},
		"object of 64 bits":  {object(true), 64 + 2*56},
		"object of 32 bits":  {object(false), 52 + 2*32},
		"program of 64 bits": {programtest.ELF(true, false, true), 64 + 2*56 + 8},
		"high bytes first":   {programtest.ELF(true, true, true), 0},
	}
}

func TestEntrypoint(t *testing.T) {
	t.Parallel()
	rules, _ := compiled(t, map[string]string{"rules.yar": strings.Join(entrypointRules(), "\n")})
	for name, c := range startsOfPrograms() {
		got := int64(-1)
		for _, m := range matched(t, rules, string(c.data)) {
			if m == "defined_" {
				got++
			}
			var bit int
			if _, err := fmt.Sscanf(m, "bit%d", &bit); err == nil {
				got += 1 << bit
			}
		}
		if got != c.want {
			t.Errorf("%s: got %#x, want %#x", name, got, c.want)
		}
	}
}

// TestEntrypointAsYara compares with Debian's yara, on whole programs and on such with
// bytes of their headers and tables changed.
func TestEntrypointAsYara(t *testing.T) {
	t.Parallel()
	yara, err := exec.LookPath("yara")
	if err != nil {
		t.Skip("yara is not installed (Debian: yara)")
	}
	r := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	var data [][]byte
	programs := startsOfPrograms()
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		c := programs[name]
		data = append(data, c.data)
		for range 25 {
			b := append([]byte(nil), c.data...)
			for range 1 + r.IntN(4) {
				switch r.IntN(3) {
				case 0:
					b[r.IntN(64)] = byte(r.IntN(256))
				case 1:
					b[r.IntN(min(len(b), 512))] ^= 1 << r.IntN(8)
				default:
					b[r.IntN(len(b))] = byte(r.IntN(4))
				}
			}
			data = append(data, b[:len(b)-r.IntN(3)*r.IntN(len(b))/4])
		}
	}
	rules, report := compiled(t, map[string]string{"rules.yar": strings.Join(entrypointRules(), "\n")})
	if len(report.Unsupported) > 0 {
		t.Fatal(report.Unsupported)
	}
	// One by one: yara 4.2 keeps the place of the first program for the files that follow.
	matches := 0
	for i, b := range data {
		name := filepath.Join(dir, fmt.Sprintf("f%d", i))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		want, _ := oracle(t, yara, entrypointRules(), name)
		got := make(map[string]bool)
		for _, m := range matched(t, rules, string(b)) {
			got[m+" "+filepath.Base(name)] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, yara says %v", filepath.Base(name), slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		matches += len(got)
	}
	t.Logf("%d files, %d matches", len(data), matches)
}

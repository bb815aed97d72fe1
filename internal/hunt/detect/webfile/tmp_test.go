package webfile

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	page "postern/internal/hunt/parse/webfile"
	"sort"
	"strings"
	"testing"
)

func TestTmp(t *testing.T) {
	dir := os.Getenv("D")
	exts := os.Getenv("E")
	show := os.Getenv("S")
	d := &Detector{sinks: indexSinks()}
	seen := map[[32]byte]bool{}
	n := map[string]int{}
	var lines []string
	all := 0
	hi := 0
	me := 0
	we := 0
	filepath.Walk(dir, func(p string, i os.FileInfo, err error) error {
		if err != nil || i.IsDir() {
			return nil
		}
		e := strings.ToLower(filepath.Ext(p))
		if !strings.Contains(exts, e+",") || e == "" {
			return nil
		}
		b, _ := os.ReadFile(p)
		h := sha256.Sum256(b)
		if seen[h] {
			return nil
		}
		seen[h] = true
		pg := page.Split(page.Decode(b), p)
		a := d.analyse(pg)
		all++
		c := "none"
		switch {
		case a.score >= scoreHigh:
			hi++
			c = "high"
		case a.score >= scoreMedium:
			me++
			c = "medium"
		case a.score >= scoreWeak:
			we++
			c = "weak"
		}
		n[e+" "+c]++
		cs := ""
		for _, x := range a.constructs {
			cs += fmt.Sprintf(" %d/%d@%d w%d", x.deed, x.flow, pg.Text.Line(x.off), a.weight(x))
		}
		if strings.Contains(show, c) {
			lines = append(lines, fmt.Sprintf("%-6s %4d tok%-5d code=%v signs=%v %s %s", c, a.score, a.tokens, pg.Code(), a.signs, cs, strings.TrimPrefix(p, dir)))
		}
		return nil
	})
	sort.Strings(lines)
	for _, l := range lines {
		fmt.Println(l)
	}
	var ks []string
	for k := range n {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	for _, k := range ks {
		fmt.Println(k, n[k])
	}
	fmt.Println("all", all, "high", hi, "medium", me, "weak", we)
}

package sigma

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/eventjson"
)

var update = flag.Bool("update", false, "write rates.txt")

// Bounds of the table: what is rarer than one in 2^rarestKept hardly costs, and a field
// with few values says little.
const (
	rarestKept    = 5
	fewestValues  = 300
	mostOfOneFile = 1000
)

// unprintable says of a byte of a text whether rates.txt cannot hold it.
func unprintable(r rune) bool { return r < ' ' || r > '~' }

// TestFigureRates counts, in the events below POSTERN_EVENTS as lines of JSON, in how many
// values of a field three characters stand together.
func TestFigureRates(t *testing.T) {
	dir := os.Getenv("POSTERN_EVENTS")
	if dir == "" || !*update {
		t.Skip("needs POSTERN_EVENTS, a folder of event logs as JSON, and -update")
	}
	type tally struct {
		values int
		grams  map[string]int
	}
	fields := make(map[string]*tally)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.EqualFold(filepath.Ext(name), ".json") {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		here := make(map[string]int) // values of each field, of this file
		_, err = eventjson.Scan(context.Background(), bufio.NewReader(f), name, parse.RecordOptions{Yield: func(ev *postern.Event) {
			for _, field := range ev.Fields {
				key := string(appendName(nil, field.Name))
				if here[key]++; here[key] > mostOfOneFile {
					continue
				}
				c := fields[key]
				if c == nil {
					c = &tally{grams: make(map[string]int)}
					fields[key] = c
				}
				c.values++
				text := fold(field.Value)
				seen := make(map[string]bool)
				for i := 0; i+gramSize <= len(text); i++ {
					if gram := text[i : i+gramSize]; !seen[gram] && counted(gram) && !strings.ContainsFunc(gram, unprintable) {
						seen[gram] = true
						c.grams[gram]++
					}
				}
			}
		}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		c := fields[name]
		if c.values < fewestValues {
			continue
		}
		var line strings.Builder
		for _, gram := range slices.Sorted(maps.Keys(c.grams)) {
			n := int(math.Round(-math.Log2(float64(c.grams[gram]) / float64(c.values))))
			if n > rarestKept {
				continue
			}
			fmt.Fprintf(&line, "%s%d", gram, n)
		}
		if line.Len() > 0 {
			fmt.Fprintf(&b, "%s\t%s\n", name, line.String())
		}
	}
	if err := os.WriteFile("rates.txt", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

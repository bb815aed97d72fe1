package sigma

import (
	_ "embed"
	"sort"
	"strings"
	"sync"
)

// ratesText says how often three characters stand together in values of a field, in
// public logs of events. A line is the name of a field, as [appendName] has it, a tab,
// and, sorted, every three characters that stand in one value of 45 or more, each with
// a digit n: they stand in about one of 2ⁿ. It is made by
//
//	POSTERN_EVENTS=DIR go test -run FigureRates -update ./internal/hunt/detect/sigma
//
// where DIR holds the Windows logs of OTRF/Security-Datasets, unpacked. It decides how
// fast rules are found, never whether.
//
//go:embed rates.txt
var ratesText string

// Bounds of the rates. A class is the n of what is in about one of 2ⁿ values.
const (
	gramSize = 3
	// rarestClass is of what the table does not have of a field that it has, and of long
	// literals of which it says nothing.
	rarestClass = 9
	// exactBonus is what it says of a short value that all of it is meant.
	exactBonus = 2
)

// rates gives the entries of each field: three characters and a digit.
var rates = sync.OnceValue(func() map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(ratesText) {
		name, entries, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok {
			fields[name] = entries
		}
	}
	return fields
})

// counted says whether characters are in the table where they are common. Those of
// numbers are not: any is as rare as others.
func counted(text string) bool { return strings.Trim(text, "0123456789abcdef{}-") != "" }

// gramClass gives the class of three characters by the entries of a field.
func gramClass(entries, gram string) int {
	const entry = gramSize + 1
	n := len(entries) / entry
	i := sort.Search(n, func(i int) bool { return entries[i*entry:i*entry+gramSize] >= gram })
	if i < n && entries[i*entry:i*entry+gramSize] == gram {
		return int(entries[i*entry+gramSize] - '0')
	}
	return rarestClass
}

// partClass gives the class of one or two characters by what they are a part of.
func partClass(entries, part string) int {
	const entry = gramSize + 1
	class := rarestClass
	for i := 0; i+entry <= len(entries); i += entry {
		if strings.Contains(entries[i:i+gramSize], part) {
			class = min(class, int(entries[i+gramSize]-'0'))
		}
	}
	return class
}

// class says how rare a literal is in values of the field with these entries, by its
// rarest three characters, or else by its length.
func (l literal) class(entries string) int {
	if n := len(l.text); entries != "" && 0 < n && n < gramSize && counted(l.text) {
		return partClass(entries, l.text)
	}
	class, known := 0, false
	for i := 0; entries != "" && i+gramSize <= len(l.text); i++ {
		if gram := l.text[i : i+gramSize]; counted(gram) {
			class, known = max(class, gramClass(entries, gram)), true
		}
	}
	if known {
		return class
	}
	if class = len(l.text) / 2; l.start && l.end {
		class += exactBonus
	}
	return min(class, rarestClass)
}

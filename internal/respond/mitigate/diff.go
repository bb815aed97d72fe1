package mitigate

import (
	"fmt"
	"regexp"
	"strings"
)

// secrets are attributes whose values a diff does not show.
var secrets = regexp.MustCompile(`(?i)\b(password|validationKey|decryptionKey|sessionKey|connectionString)(\s*=\s*)("[^"]*"?|'[^']*'?)`)

// maxLines bounds the comparison of two files that are not our own edit of one another:
// it costs the product of what lies between their common beginning and end.
const maxLines = 2000

// Diff shows what changes between two contents of a file, as a unified diff of their
// text; what was not UTF-8 is shown in it. A carriage return is shown, as \r, only
// where it is what differs, and keys and passwords are not.
func Diff(from, to string, before, after []byte) string {
	a, b := lines(before), lines(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head == len(a) && head == len(b) {
		return ""
	}
	// One line less or more is said for each; ' ' lines are in both.
	type op struct {
		kind byte
		text string
	}
	var ops []op
	for _, s := range a[:head] {
		ops = append(ops, op{' ', s})
	}
	midA, midB := a[head:len(a)-tail], b[head:len(b)-tail]
	common := lengths(midA, midB)
	for i, j := 0, 0; i < len(midA) || j < len(midB); {
		switch {
		case i < len(midA) && j < len(midB) && midA[i] == midB[j] && common != nil:
			ops = append(ops, op{' ', midA[i]})
			i, j = i+1, j+1
		case i < len(midA) && (j == len(midB) || common == nil || common[i+1][j] >= common[i][j+1]):
			ops = append(ops, op{'-', midA[i]})
			i++
		default:
			ops = append(ops, op{'+', midB[j]})
			j++
		}
	}
	for _, s := range a[len(a)-tail:] {
		ops = append(ops, op{' ', s})
	}

	ends := onlyEnds(midA, midB)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	const context = 3
	lineA, lineB := 1, 1
	for i := 0; i < len(ops); {
		if ops[i].kind == ' ' {
			i, lineA, lineB = i+1, lineA+1, lineB+1
			continue
		}
		start := max(0, i-context)
		end := i // behind the last change that belongs to the hunk
		for k := i; k < len(ops) && k-end <= 2*context; k++ {
			if ops[k].kind != ' ' {
				end = k + 1
			}
		}
		stop := min(len(ops), end+context)
		var body strings.Builder
		countA, countB := 0, 0
		for _, o := range ops[start:stop] {
			if o.kind != '+' {
				countA++
			}
			if o.kind != '-' {
				countB++
			}
			text := strings.TrimSuffix(o.text, "\n")
			if o.kind == ' ' || !ends {
				text = strings.TrimSuffix(text, "\r")
			}
			fmt.Fprintf(&body, "%c%s\n", o.kind, secrets.ReplaceAllString(text, `$1$2"(hidden)"`))
		}
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n%s", lineA-(i-start), countA, lineB-(i-start), countB, body.String())
		for ; i < stop; i++ {
			if ops[i].kind != '+' {
				lineA++
			}
			if ops[i].kind != '-' {
				lineB++
			}
		}
	}
	return out.String()
}

// onlyEnds says whether two parts differ in the ends of their lines alone.
func onlyEnds(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if strings.TrimRight(a[i], "\r\n") != strings.TrimRight(b[i], "\r\n") {
			return false
		}
	}
	return true
}

// lengths gives the lengths of the longest common sequences of what begins at two
// lines, nil if that is too much work.
func lengths(a, b []string) [][]int32 {
	if len(a) > maxLines || len(b) > maxLines {
		return nil
	}
	table := make([][]int32, len(a)+1)
	for i := range table {
		table[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}

// lines gives the text of a file in lines with their ends.
func lines(raw []byte) []string {
	code, bom, text, why := decode(raw)
	s := string(raw)
	if why == nil {
		d := &document{raw: raw, code: code, bom: bom, text: text}
		s = d.str(0, len(text))
	}
	return strings.SplitAfter(strings.TrimSuffix(s, "\n"), "\n")
}

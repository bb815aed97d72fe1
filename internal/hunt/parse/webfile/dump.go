package webfile

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"postern"
)

// Bounds of a dump.
const (
	// maxDump is how far a dump is read. Real ones have 2 KB, 50 KB with the
	// largest markup seen.
	maxDump = 256 << 10
	// maxValue is how long a value may grow over several lines.
	maxValue = 16 << 10
	// maxFields is how many properties are kept; a virtual directory has under 60.
	maxFields = 256
)

// Dump is the list of properties of a virtual directory as Exchange writes it to
// a file when it is told to reset the directory: one "Name : value" a line. Whoever
// puts server-side markup into one of its URLs and lets it be written under the
// name of a page has a page.
type Dump struct {
	fields map[string]Field
	order  []string
}

// Field is one property.
type Field struct {
	Name, Value string
	Start       int // of the value, in the text
}

// ParseDump reads a text as a dump. ok is false for everything else: the three
// properties that only a virtual directory has must be there.
func ParseDump(t Text) (d *Dump, ok bool) {
	b := t.Bytes[:min(len(t.Bytes), maxDump)]
	if !containsFold(b, "ExtendedProtectionTokenChecking") {
		return nil, false
	}
	d = &Dump{fields: map[string]Field{}}
	last := ""
	for at := 0; at < len(b) && len(d.order) < maxFields; {
		end := lineEnd(b, at, len(b))
		last = d.line(bytes.TrimRight(b[at:end], "\r"), at, last)
		at = end + 1
	}
	url := d.Get("externalurl") != "" || d.Get("internalurl") != "" || d.has("externalurl") || d.has("internalurl")
	return d, url && d.has("internalauthenticationmethods") && d.has("extendedprotectiontokenchecking")
}

// line reads one line and gives the property that a next, indented line would go on.
func (d *Dump) line(line []byte, at int, last string) string {
	name, value, start := property(line)
	if name == "" {
		rest := bytes.TrimLeft(line, " \t")
		if len(rest) < len(line) && len(rest) > 0 && last != "" {
			if f := d.fields[last]; len(f.Value) < maxValue {
				f.Value += string(rest)
				d.fields[last] = f
			}
			return last
		}
		return ""
	}
	key := strings.ToLower(name)
	if _, twice := d.fields[key]; !twice {
		d.fields[key] = Field{Name: name, Value: value, Start: at + start}
		d.order = append(d.order, key)
	}
	return key
}

// property takes "Name   : value" apart.
func property(line []byte) (name, value string, start int) {
	i := 0
	for i < len(line) && i < 64 && (isLetter(line[i]) || line[i] >= '0' && line[i] <= '9') {
		i++
	}
	if i == 0 {
		return "", "", 0
	}
	j := i
	for j < len(line) && (line[j] == ' ' || line[j] == '\t') {
		j++
	}
	if j >= len(line) || line[j] != ':' {
		return "", "", 0
	}
	k := j + 1
	for k < len(line) && line[k] == ' ' {
		k++
	}
	return string(line[:i]), string(bytes.TrimRight(line[k:], " \t")), k
}

func (d *Dump) has(name string) bool { _, ok := d.fields[name]; return ok }

// Get gives the value of a property, its name in lower case.
func (d *Dump) Get(name string) string { return d.fields[name].Value }

// Field gives a property, its name in lower case.
func (d *Dump) Field(name string) Field { return d.fields[name] }

// Markup gives the first property whose value holds markup that a server would run.
func (d *Dump) Markup() (Field, bool) {
	for _, key := range d.order {
		v := strings.ToLower(d.fields[key].Value)
		for _, mark := range [...]string{"<%", "<script", "runat", "/script", "<?php", "<object"} {
			if strings.Contains(v, mark) {
				return d.fields[key], true
			}
		}
	}
	return Field{}, false
}

// Build gives the build of the server that wrote the dump, from
// "Version 15.1 (Build 2106.2)"; zero if the dump does not say.
func (d *Dump) Build() postern.Build {
	v := d.Get("admindisplayversion")
	line, rest, ok := strings.Cut(strings.TrimPrefix(v, "Version "), " (Build ")
	if !ok {
		return postern.Build{}
	}
	b, err := postern.ParseBuild(line + "." + strings.TrimSuffix(strings.TrimSpace(rest), ")"))
	if err != nil {
		return postern.Build{}
	}
	return b
}

// Changed gives the time at which the directory was last changed, which is when
// the dump was made, in UTC. The form of a date is that of the server's language;
// where day and month could be exchanged, the reading nearer to near is taken, and
// without near the one with the month first. Zero if there is no date.
func (d *Dump) Changed(near time.Time) time.Time {
	return parseLocal(d.Get("whenchangedutc"), near)
}

// parseLocal reads the dates that .NET writes in the languages of Exchange: three
// numbers with the same separator, then hours, minutes, seconds, then AM or PM or
// a word for them that is not read.
func parseLocal(s string, near time.Time) time.Time {
	numbers, dayFirst := numbersOf(s)
	if len(numbers) < 5 {
		return time.Time{}
	}
	var sec int
	if len(numbers) > 5 {
		sec = numbers[5]
	}
	hour := numbers[3]
	switch upper := strings.ToUpper(s); {
	case strings.HasSuffix(upper, "PM") && hour < 12:
		hour += 12
	case strings.HasSuffix(upper, "AM") && hour == 12:
		hour = 0
	}
	date := func(y, m, d int) time.Time {
		if y < 100 {
			y += 2000
		}
		t := time.Date(y, time.Month(m), d, hour, numbers[4], sec, 0, time.UTC)
		if m < 1 || m > 12 || t.Day() != d || t.Hour() != hour || t.Minute() != numbers[4] || y < 2000 || y > 2100 {
			return time.Time{}
		}
		return t
	}
	if numbers[0] > 99 {
		return date(numbers[0], numbers[1], numbers[2])
	}
	month, day := date(numbers[2], numbers[0], numbers[1]), date(numbers[2], numbers[1], numbers[0])
	switch {
	case month.IsZero() || dayFirst && !day.IsZero():
		return day
	case day.IsZero() || near.IsZero():
		return month
	case near.Sub(day).Abs() < near.Sub(month).Abs():
		return day
	}
	return month
}

// numbersOf gives the numbers of a date in their order. Where dots separate them,
// the day stands first in every language.
func numbersOf(s string) (numbers []int, dayFirst bool) {
	s = s[:min(len(s), 64)]
	for i := 0; i < len(s) && len(numbers) < 7; {
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		if j == i {
			i++
			continue
		}
		n, err := strconv.Atoi(s[i:j])
		if err != nil {
			return nil, false
		}
		if len(numbers) == 0 && j < len(s) && s[j] == '.' {
			dayFirst = true
		}
		numbers = append(numbers, n)
		i = j
	}
	return numbers, dayFirst
}

// containsFold is bytes.Contains without regard to case, for Latin letters. It looks at
// the byte on which s would end and leaps as far as that byte allows: every page is asked
// for the one long word of a dump.
func containsFold(b []byte, s string) bool {
	var leaps [256]int
	for i := range leaps {
		leaps[i] = len(s)
	}
	last := len(s) - 1
	for i := range last {
		for _, c := range [...]byte{s[i] | 0x20, s[i] &^ 0x20} {
			leaps[c] = last - i
		}
	}
	for end := last; end < len(b); end += leaps[b[end]] {
		if b[end]|0x20 == s[last]|0x20 && hasFold(b[end-last:], s) {
			return true
		}
	}
	return false
}

// IndexFold is bytes.Index without regard to case, for Latin letters.
func IndexFold(b []byte, s string) int {
	first := s[0] | 0x20
	for i := 0; i+len(s) <= len(b); i++ {
		if b[i]|0x20 == first && hasFold(b[i:], s) {
			return i
		}
	}
	return -1
}

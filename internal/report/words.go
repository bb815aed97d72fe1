package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Number writes a count as the language groups it: 48,211 or 48.211. Spanish
// leaves numbers of four digits together.
func (w Words) Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	mark := ","
	if w.Lang() == "es" {
		mark = "."
		if len(s) == 4 {
			return sign + s
		}
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + mark + s[i:]
	}
	return sign + s
}

// Credit says whose rule a finding is by, "" for those of the packs and where the rule
// does not say it. A rule that a user brings is named after its language.
func (w Words) Credit(f *Finding) string {
	author, reference := f.Entities["rule_author"], f.Entities["rule_reference"]
	switch {
	case !strings.HasPrefix(f.Rule, "sigma/") && !strings.HasPrefix(f.Rule, "yara/"), author == "" && reference == "":
		return ""
	case reference == "":
		return w.T("report.credit-author", "author", author)
	case author == "":
		return w.T("report.credit-reference", "reference", reference)
	}
	return w.T("report.credit", "author", author, "reference", reference)
}

func (w Words) decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	if w.Lang() == "es" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// Bytes writes a size in units of 1000, as disks are sold.
func (w Words) Bytes(n int64) string {
	f := float64(n)
	for _, unit := range [...]string{"B", "kB", "MB", "GB", "TB", "PB"} {
		if f < 1000 && f > -1000 || unit == "PB" {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return w.decimal(f) + " " + unit
		}
		f /= 1000
	}
	return ""
}

// Seconds writes how long a run took.
func (w Words) Seconds(s float64) string {
	switch {
	case s < 0 || s > 1e9: // no run; a hostile file
		return strconv.FormatFloat(s, 'g', 3, 64) + " s"
	case s < 60:
		return w.decimal(s) + " s"
	}
	d := time.Duration(s) * time.Second
	if d < time.Hour {
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}

// Percent writes a share. It never rounds up to all, nor down to nothing.
func (w Words) Percent(share float64) string {
	switch {
	case share <= 0:
		return "0%"
	case share < 0.01:
		return "<1%"
	}
	return fmt.Sprintf("%d%%", int(share*100+1e-6))
}

// Moment writes a time for people, to the second; the page says once that it is UTC.
func (w Words) Moment(t Time) string {
	if t.IsZero() {
		return w.T("report.no-time")
	}
	return t.Format("2006-01-02 15:04:05")
}

// Day writes a date.
func (w Words) Day(t Time) string {
	if t.IsZero() {
		return w.T("report.no-time")
	}
	return t.Format(time.DateOnly)
}

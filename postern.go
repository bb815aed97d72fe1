// Package postern holds the nouns that every room of the house shares: levels,
// events, findings, incidents, coverage and verdicts, builds and assessments.
// It decides nothing and reads nothing; the rivers under internal/ do.
//
// Text that a person reads is never a string in these types but a [Text], a key
// of the message catalogues with its arguments, so that one result can be shown
// in any language.
package postern

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Level says how far an intrusion got. The order is the ladder: a higher level
// includes that the lower ones were possible, never that they were seen.
type Level int

// The ladder. Level 0 is also the level of context: true, worth a line, harmless.
const (
	NotSeen          Level = iota // nothing found within the covered time
	Probed                        // somebody tried or tested; nothing shows that it worked
	Exploited                     // the flaw worked
	Privileged                    // the intruder acted as an administrator
	Implanted                     // a back door was written
	Used                          // a back door was used to come back in
	PostExploitation              // credentials, persistence, exfiltration, ransom
)

var levelNames = [...]string{
	"not-seen", "probed", "exploited", "privileged", "implanted", "used", "post-exploitation",
}

// String gives the neutral name that stands in machine-readable output.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("level-%d", int(l))
	}
	return levelNames[l]
}

// Valid says whether l is a rung of the ladder.
func (l Level) Valid() bool { return l >= NotSeen && l <= PostExploitation }

// ParseLevel reads a rung of the ladder by its number or its neutral name.
func ParseLevel(s string) (Level, error) {
	for l := NotSeen; l.Valid(); l++ {
		if s == l.String() || s == strconv.Itoa(int(l)) {
			return l, nil
		}
	}
	return NotSeen, fmt.Errorf("level %q: want 0 to 6 or a name such as implanted", s)
}

// Confidence says how sure a finding or a verdict is.
type Confidence int

// The three confidences; the zero value means that nobody has said.
const (
	Unsaid Confidence = iota
	Low
	Medium
	High
)

var confidenceNames = [...]string{"", "low", "medium", "high"}

func (c Confidence) String() string {
	if c < 0 || int(c) >= len(confidenceNames) {
		return ""
	}
	return confidenceNames[c]
}

// ParseConfidence reads low, medium or high.
func ParseConfidence(s string) (Confidence, error) {
	i := slices.Index(confidenceNames[:], s)
	if i <= 0 {
		return Unsaid, fmt.Errorf("confidence %q: want low, medium or high", s)
	}
	return Confidence(i), nil
}

// MarshalText and UnmarshalText keep the word, not the number, in files.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Confidence) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*c = Unsaid
		return nil
	}
	*c, err = ParseConfidence(string(b))
	return err
}

// Text is a sentence that has not yet been put into a language: a key of the
// message catalogues and its arguments by name. Arguments are raw: whoever
// renders a Text escapes them for the medium.
type Text struct {
	Key  string            `json:"key"`
	Args map[string]string `json:"args,omitempty"`
}

// Say makes a Text from a key and pairs of argument name and value. Values are
// put into words with fmt.Sprint.
func Say(key string, pairs ...any) Text {
	t := Text{Key: key}
	if len(pairs) > 0 {
		t.Args = make(map[string]string, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			t.Args[fmt.Sprint(pairs[i])] = fmt.Sprint(pairs[i+1])
		}
	}
	return t
}

// Verbatim is a Text that is the same in every language, such as the title of a
// rule that its author wrote in one language only.
func Verbatim(s string) Text { return Text{Key: VerbatimKey, Args: map[string]string{"text": s}} }

// VerbatimKey is the key that catalogues answer with the argument "text" itself.
const VerbatimKey = "verbatim"

// IsZero says whether nothing is said.
func (t Text) IsZero() bool { return t.Key == "" }

// Localizer puts a Text into the reader's language.
type Localizer interface {
	Say(Text) string
}

// Campaign is what the rest of the house needs to know of one mass exploitation.
// The pack under campaigns/ says it; internal/campaign reads it.
type Campaign struct {
	Name    string // "proxylogon"
	Version int    // raised when a pack's rules change what they report
	Title   Text
	Product string // "exchange"
	CVEs    []string
	// FirstKnownUse is the day from which the flaw is known to have been used by a few,
	// before the window of mass exploitation; zero if nobody said.
	FirstKnownUse Instant
	Window        Window
	// Levels title the rungs of the ladder for this campaign.
	Levels [PostExploitation + 1]Text
	// Sources name the logs without which the window is not covered, most telling first.
	Sources []Source
}

// Window is the critical time of a campaign: from the first known use to the day by which nearly
// everybody had patched or been found.
type Window struct {
	From, To             Instant
	FromReason, ToReason Text
}

// Source is one kind of log that a campaign wants to see.
type Source struct {
	Name     string // log source, such as "httpproxy"
	Required bool   // a verdict of not-seen is worth nothing without it
	// Lifetime says how fast it disappears, in days; 0 means that it stays.
	LifetimeDays int
	// QuietHours is the longest silence that is normal for it; a longer one is a gap.
	QuietHours int
	Collect    Text // where to find it and how to take it
}

// Rule is the part of a finding that is always true: what was looked for and
// what it means. It is data of a pack; the list of all rules prints without a hunt.
type Rule struct {
	ID         string // "proxylogon/ssrf-mapi"
	Campaign   string
	Title      Text
	Means      Text
	Level      Level
	Confidence Confidence
	CVE        []string
	Tags       []string // ATT&CK and the pack's own
	References []string
	// Author and Licence are carried for rules that others wrote.
	Author, Licence string
}

// Severity compares findings: the worse first, then the surer.
func Severity(a, b *Finding) int {
	return cmp.Or(-cmp.Compare(a.Level, b.Level), -cmp.Compare(a.Confidence, b.Confidence))
}

package report

import (
	"testing"

	"postern"
)

// spanish knows a few messages, and shows a text by its key.
type spanish map[string]bool

func (s spanish) Lang() string              { return "es" }
func (s spanish) Has(key string) bool       { return s[key] }
func (s spanish) Say(t postern.Text) string { return "dicho: " + t.Key }

// A saved run may be of a campaign pack that is not at hand where it is read.
func TestWhatCannotBeSaidAgainStays(t *testing.T) {
	t.Parallel()
	loc := spanish{"summary": true, "known.title": true}
	for name, c := range map[string]struct {
		text postern.Text
		want string
	}{
		"known":                    {postern.Say("summary", "host", "EX01"), "dicho: summary"},
		"unknown":                  {postern.Say("other"), "as saved"},
		"the same in any language": {postern.Text{}, "as saved"},
		"known inside":             {postern.Say("summary", "campaign@", "known.title"), "dicho: summary"},
		"unknown inside":           {postern.Say("summary", "campaign@", "own.title"), "as saved"},
	} {
		said := "as saved"
		I18n{"summary": {c.text}}.againOne(loc, "summary", &said)
		if said != c.want {
			t.Errorf("%s: got %q, want %q", name, said, c.want)
		}
	}
}

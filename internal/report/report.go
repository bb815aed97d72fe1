// Package report turns what a hunt says into something that a person or another
// program can read. Input: the nouns of the root package, fed as the hunt goes
// through a [Feed], or a saved document or stream through [Replay]. Output: calls
// of one small interface, [Handler], that every renderer (text, json, jsonl, csv,
// html) satisfies; report/all lists them.
//
// In between stands the contract: the types of document.go are the JSON schema
// postern.hunt/1, described in docs/formats/hunt-json.md. Renderers see nothing
// else, so a saved file renders exactly as the hunt itself did.
//
// All strings of the contract may come from an intruder. They are raw here;
// each renderer makes them safe for its medium with [Visible] and [Defang].
// Times are UTC with milliseconds.
package report

import "postern"

// Localizer puts text into one language and knows what it can say.
type Localizer interface {
	postern.Localizer
	Lang() string        // "en", "es"
	Has(key string) bool // whether Say knows the key
}

// Handler is fed one run. Start comes first and End last, each once; Problem and
// Host come in between in any order. What a handler is handed is its own
// to keep. After an error it is not called again.
type Handler interface {
	Start(*Run) error
	Problem(*Problem) error
	Host(*Host) error
	End(*End) error
}

// Options are what a person can choose about the form of a report.
type Options struct {
	Color bool // colours of a terminal; text only
	Width int  // columns of a terminal, 0 for 80; text only
	ASCII bool // nothing beyond ASCII, for terminals without UTF-8; text only
}

// Feed puts the nouns of a hunt into words and hands them to a handler.
type Feed struct {
	handler Handler
	loc     Localizer
}

// NewFeed makes a feed for one run.
func NewFeed(h Handler, loc Localizer) *Feed { return &Feed{handler: h, loc: loc} }

// Start opens the run: the version of the tool, when the run began (zero if
// that must not be said), what it was told to read, and the campaigns hunted for.
func (f *Feed) Start(version string, started postern.Instant, inputs []string, campaigns []postern.Campaign) error {
	return f.handler.Start(newRun(version, started, inputs, campaigns, f.loc))
}

// Problem says what was not looked at.
func (f *Feed) Problem(p postern.Problem) error {
	return f.handler.Problem(newProblem(p, f.loc))
}

// Host says all about one server.
func (f *Feed) Host(h postern.Host) error { return f.handler.Host(newHost(h, f.loc)) }

// End closes the run.
func (f *Feed) End(status postern.Status, stats postern.Stats) error {
	return f.handler.End(newEnd(status, stats))
}

// Words is a localizer with a shorter way to say something.
type Words struct{ Localizer }

// T says a key with pairs of argument name and value.
func (w Words) T(key string, pairs ...any) string { return w.Say(postern.Say(key, pairs...)) }

// Of says key+word for a word of a closed list, such as a problem's kind; a
// word that the list does not have, as a saved file may, stands for itself.
func (w Words) Of(key, word string) string {
	if w.Has(key + word) {
		return w.T(key + word)
	}
	return word
}

// FindingOf puts one finding into words, for those who hand it on by itself.
func FindingOf(f *postern.Finding, loc Localizer) Finding { return newFinding(f, loc) }

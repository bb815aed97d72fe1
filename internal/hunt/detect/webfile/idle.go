package webfile

import (
	"strings"

	page "postern/internal/hunt/parse/webfile"
)

// idle says that a page does nothing that would count, by the words and strings of its
// program alone: none of its constructs can weigh anything, and no string of it can be a
// program. Most pages are idle, and need neither brackets paired nor values followed. It
// errs on the other side only. The program is folded, so that its words are what it says
// and its strings what it would make of them.
func (v *vocabulary) idle(toks []page.Token, p *page.Page) bool {
	if !silent(p) || v.any(machineWord|sectionWord) || v.says("registry") && v.says("getsubkeynames") {
		return false
	}
	var spoken langs
	for i := range p.Regions {
		spoken |= only(p.Regions[i].Lang)
	}
	if spoken.has(page.JScript) {
		return false // whose evaluators have no names of their own
	}
	q := quest{takes: v.takes(p)}
	return !v.hides && !v.sinksCount(spoken, &q) && !v.othersCount(toks, spoken, q.takes) && !v.stringsCount(toks, p, q)
}

// silent says that nothing counts of a page but its program.
func silent(p *page.Page) bool { return !p.Encoded && p.XSLScript < 0 }

// quest is what there is to look for in the strings of a program.
type quest struct {
	takes     bool // something may come in from outside
	dangerous bool // there may be constructs, if only such as weigh nothing
	classes   bool // a COM class would make a construct of a word
	callbacks bool // so would the name of a function of PHP
}

// takes says whether anything can come in from outside.
func (v *vocabulary) takes(p *page.Page) bool {
	return v.reads || len(p.Inputs) > 0 || len(p.Uploads) > 0 || v.any(originWord|serviceWord|inputWord) || v.says("postedfile")
}

// sinksCount says whether a sink that is named may weigh something, and notes what would
// have to stand in a string for others to.
func (v *vocabulary) sinksCount(spoken langs, q *quest) bool {
	if !v.any(sinkWord) {
		return false
	}
	for _, n := range v.sinkWords {
		if !v.said[n] {
			continue
		}
		for _, s := range v.sinks[n] {
			switch {
			case s.langs&spoken == 0:
			case s.ofClass:
				q.classes = true
			case len(s.needed) > 0 && !v.saysOne(s.needed):
			case q.takes, !s.fed():
				return true
			default:
				q.dangerous = true
				q.callbacks = q.callbacks || s.deed == loads && s.langs == php
			}
		}
	}
	return false
}

// fed says whether a sink weighs nothing unless what the request carries goes into it. The
// functions of PHP that call others also count if a string names the other.
func (s *sink) fed() bool {
	switch s.deed {
	case queries, browses:
		return true
	case includes, loads:
		return s.chosen || s.langs == php
	}
	return s.chosen
}

// othersCount says whether one of the constructs that are no calls of a known name may
// weigh something.
func (v *vocabulary) othersCount(toks []page.Token, spoken langs, takes bool) bool {
	follows := takes && spoken.has(page.PHP) // a name or an element is called
	if !follows && !v.any(otherWord) {
		return false
	}
	if takes && v.any(otherWord) && v.saysOne(v.connecting) ||
		(v.says("arguments") || v.says("filename")) && (v.says("processstartinfo") || v.says("startinfo") || v.says("process")) {
		return true
	}
	patterns := v.saysOne(v.patterns)
	if !follows && !patterns {
		return false
	}
	for i := 0; i+2 < len(toks); i++ {
		if t := &toks[i]; t.Lang != page.PHP || !toks[i+1].Is("(") {
			continue
		} else if t.Is("]") || t.Kind == page.Ident && (strings.HasPrefix(t.Text, "$") || patternFunctions[t.Text] && evalModifier(toks[i+2:i+3])) {
			return true
		}
	}
	return false
}

// stringsCount says whether a string makes a construct of something, or may be a program
// itself.
func (v *vocabulary) stringsCount(toks []page.Token, p *page.Page, q quest) bool {
	if q.classes {
		for _, id := range p.Objects {
			if comClass(id) != "" {
				return true
			}
		}
	}
	for _, at := range v.strings {
		t := &toks[at]
		if q.classes && comClass(t.Text) != "" || q.callbacks && dangerousPHP[strings.ToLower(t.Text)] ||
			mayNameCommand(t.Text) && namesCommand(strings.ToLower(t.Text)) {
			return true
		}
		if plain, coded := opened(toks, int(at), q.dangerous); coded || plain && (strings.HasPrefix(t.Text, gzipped) || looksLikeCode(t.Text)) {
			return true
		}
	}
	return false
}

package mitigate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern"
)

// Outcome is what a plan does about one mitigation.
type Outcome string

// The closed list of outcomes.
const (
	InForce  Outcome = "in-force"  // it works already, nothing is to be done
	Planned  Outcome = "planned"   // the changes put it in force
	Scripted Outcome = "scripted"  // no file decides it: a script does
	NotDone  Outcome = "cannot-be" // nothing is changed for it; the answer says why
)

// Item is what a plan says of one mitigation.
type Item struct {
	*Mitigation
	Outcome Outcome
	Before  Answer
	After   Answer // after the changes; where Outcome is NotDone, why not
	Files   []string
}

// Change is one file with its new bytes.
type Change struct {
	File          string
	Before, After []byte
	For           []string // keys of mitigations
}

// Plan is all changes to one server.
type Plan struct {
	Server  string
	Sites   []Site
	Apart   []string // see [Judgement]
	Items   []Item
	Changes []Change // in the order of their files
}

// Make plans. Files are all configuration files of the server that are in force, by
// their paths; they are not changed. Unread are those that [Find] could not read: a site
// whose web.config may be among them is left alone. The error is one of the judge.
func Make(mitigations []Mitigation, files map[string][]byte, unread []postern.Problem, judge Judge) (*Plan, error) {
	first, err := judge(files)
	if err != nil {
		return nil, err
	}
	p := &planner{judge: judge, unread: unread, files: maps.Clone(files), now: first, names: make(map[string]bool)}
	for _, b := range files {
		for _, name := range ruleNames(b) {
			p.names[strings.ToLower(name)] = true
		}
	}
	plan := &Plan{Server: first.Server, Sites: first.Sites, Apart: first.Apart}
	reasons := make(map[string][]string) // file → keys
	for i := range mitigations {
		m := &mitigations[i]
		item := Item{Mitigation: m, Before: first.Answers[m.Key()]}
		switch {
		case !m.edits():
			item.Outcome, item.After = Scripted, item.Before
			if item.Before.State == postern.Yes {
				item.Outcome = InForce
			}
		case p.now.Answers[m.Key()].State == postern.Yes:
			item.Outcome, item.After = InForce, p.now.Answers[m.Key()]
		default:
			item.Files, item.After, err = p.try(m)
			if err != nil {
				return nil, err
			}
			item.Outcome = NotDone
			if len(item.Files) > 0 {
				item.Outcome = Planned
			}
			for _, f := range item.Files {
				reasons[f] = append(reasons[f], m.Key())
			}
		}
		plan.Items = append(plan.Items, item)
	}
	for _, f := range slices.Sorted(maps.Keys(reasons)) {
		plan.Changes = append(plan.Changes, Change{f, files[f], p.files[f], reasons[f]})
	}
	return plan, nil
}

// planner keeps the files as the plan so far would leave them.
type planner struct {
	judge  Judge
	files  map[string][]byte
	now    Judgement
	unread []postern.Problem
	names  map[string]bool // of rules that are there, in lower case
}

// way gives all files as they would be, and the names that the rules got.
type way func() (map[string][]byte, map[int]string, *Refusal)

// ways are those to put a mitigation in force, the published one first: rules go into
// the web.config of each site, or else into applicationHost.config.
func (p *planner) ways(m *Mitigation) []way {
	if len(m.Modules) > 0 {
		return []way{func() (map[string][]byte, map[int]string, *Refusal) { return p.takeOut(m) }}
	}
	return []way{
		func() (map[string][]byte, map[int]string, *Refusal) { return p.write(m, false) },
		func() (map[string][]byte, map[int]string, *Refusal) { return p.write(m, true) },
	}
}

// try puts a mitigation in force. It gives the files that this changes, none if no way
// works; the answer then says why.
func (p *planner) try(m *Mitigation) ([]string, Answer, error) {
	was := p.now.Answers[m.Key()]
	// Where each rule works and they do not help, something else is in the way.
	lacking := len(m.Modules) > 0 || slices.ContainsFunc(p.now.Sites, func(s Site) bool { return len(s.Open[m.Key()]) > 0 })
	if why := p.unsound(); why != nil {
		return nil, Answer{postern.Unknown, why.Why, nil}, nil
	}
	if p.now.Server == "" || !lacking {
		if was.Why.IsZero() {
			was.Why = postern.Say("mitigate.no.server")
		}
		return nil, was, nil
	}
	var failure Answer
	for _, way := range p.ways(m) {
		files, names, why := way()
		if why != nil {
			if failure.Why.IsZero() {
				failure = Answer{postern.Unknown, why.Why, nil}
			}
			if why.Why.Key == "mitigate.no.two-lists" {
				break // IIS does not read the file, so nothing in another one helps
			}
			continue
		}
		then, err := p.judge(files)
		if err != nil {
			return nil, was, err
		}
		answer := then.Answers[m.Key()]
		if answer.State != postern.Yes {
			failure = answer // the judge knows best what is in the way
			continue
		}
		if key := worse(p.now, then); key != "" {
			failure = Answer{postern.Unknown, postern.Say("mitigate.no.harm", "other", key), nil}
			continue
		}
		var changed []string
		for f, b := range files {
			if string(b) != string(p.files[f]) {
				changed = append(changed, f)
			}
		}
		slices.Sort(changed)
		p.files, p.now = files, then
		for _, name := range names {
			p.names[strings.ToLower(name)] = true
		}
		return changed, answer, nil
	}
	return nil, failure, nil
}

// unsound refuses a file that decides what is in force and cannot be read: the judge
// only says that it is broken, this says where.
func (p *planner) unsound() *Refusal {
	names := []string{p.now.Server}
	for _, s := range p.now.Sites {
		names = append(names, s.File)
	}
	for _, name := range names {
		b, ok := p.files[name]
		if !ok {
			continue
		}
		var why *Refusal
		if _, err := open(b); errors.As(err, &why) {
			return why.of(name)
		}
	}
	return nil
}

// worse gives a mitigation that was in force and is no longer.
func worse(before, after Judgement) string {
	for _, key := range slices.Sorted(maps.Keys(before.Answers)) {
		if before.Answers[key].State == postern.Yes && after.Answers[key].State != postern.Yes {
			return key
		}
	}
	return ""
}

// takeOut gives all files with the modules of a mitigation taken out of the
// configuration of the server.
func (p *planner) takeOut(m *Mitigation) (map[string][]byte, map[int]string, *Refusal) {
	out, err := withoutModules(p.files[p.now.Server], m.Modules)
	var why *Refusal
	if errors.As(err, &why) {
		return nil, nil, why.of(p.now.Server)
	}
	if err != nil {
		return nil, nil, refuse("parse").of(p.now.Server)
	}
	files := maps.Clone(p.files)
	files[p.now.Server] = out
	return files, nil, nil
}

// write gives all files with the rules of a mitigation in them, wherever a site
// lacks one, and the names that the rules got.
func (p *planner) write(m *Mitigation, inServer bool) (map[string][]byte, map[int]string, *Refusal) {
	files := maps.Clone(p.files)
	names := make(map[int]string)    // one for each rule: sites do not inherit from one another
	written := make(map[string]bool) // a file that serves several sites gets the rules once
	for _, s := range p.now.Sites {
		lacks := s.Open[m.Key()]
		if len(lacks) == 0 {
			continue
		}
		if s.File == "" && len(p.unread) > 0 {
			return nil, nil, refuse("unread").of(p.unread[0].Path)
		}
		if len(s.Others) > 0 {
			return nil, nil, refuse("ambiguous", "site", s.Name, "others", strings.Join(s.Others, ", ")).of(s.File)
		}
		declared, free := section(p.files[p.now.Server], s.Name)
		if !declared {
			return nil, nil, refuse("section").of(p.now.Server)
		}
		file, location := s.File, ""
		if inServer || file == "" || !free {
			file, location = p.now.Server, s.Name
		} else if written[file] {
			continue
		}
		written[file] = true
		var rules []Rule
		for _, i := range lacks {
			r := m.Rules[i]
			if names[i] == "" {
				names[i] = p.free(r.Name, names)
			}
			r.Name = names[i]
			rules = append(rules, r)
		}
		b, ok := files[file]
		if !ok {
			return nil, nil, refuse("gone").of(file)
		}
		out, err := insert(b, location, rules)
		var why *Refusal
		if errors.As(err, &why) {
			return nil, nil, why.of(file)
		}
		if err != nil {
			return nil, nil, refuse("parse").of(file)
		}
		files[file] = out
	}
	return files, names, nil
}

// free gives a name that no rule has anywhere on the server. IIS refuses a whole
// site if two rules that it inherits and has are called the same.
func (p *planner) free(name string, also map[int]string) string {
	used := func(s string) bool {
		if p.names[strings.ToLower(s)] {
			return true
		}
		for _, a := range also {
			if strings.EqualFold(a, s) {
				return true
			}
		}
		return false
	}
	for n := 1; ; n++ {
		candidate := name
		if n > 1 {
			candidate = fmt.Sprintf("%s (postern %d)", name, n)
		}
		if !used(candidate) {
			return candidate
		}
	}
}

// Hash is the SHA-256 of bytes in lower-case hex.
func Hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Package plan orders what is to be done about one server, from what is known of
// it: the verdict of a hunt, its findings, its build and what can be installed on
// it. Input: a Book, which is the steps of a product as data (plan.yaml and the
// scripts beside it, under products/NAME), and a Server. Output: a Plan, the steps
// that hold for this server in the order in which to take them, and its forms
// for readers. Durations are minutes, times are UTC.
//
// The code chooses and orders; what a step says, and when it holds, is data. Nothing
// is run here: commands and scripts are text for a person, with the names of this
// server quoted for the shell that they are for.
package plan

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"postern"
)

// Stages are the parts of the night, in their order. To collect comes first where too
// little was seen to know what night it is.
var Stages = []string{"collect", "preserve", "contain", "mitigate", "patch", "widen", "eradicate", "mailboxes", "verify", "monitor"}

// Patch says what there is to install.
type Patch string

// The answers to "what can be installed?".
const (
	PatchUnknown Patch = "unknown" // the build is not known or in no table, or what was hunted is in none
	PatchNone    Patch = "none"    // the vendor never fixed it for this edition
	PatchLine    Patch = "line"    // a newer line has to be installed first
	PatchUpdate  Patch = "update"  // an update of the line that runs
	PatchNewer   Patch = "newer"   // the flaws are closed, and there is something newer
	PatchNewest  Patch = "newest"  // nothing newer is known
)

// Missing is a source of evidence without which nothing can be ruled out.
type Missing struct {
	Campaign, Source string
	Collect          string // where to find it and how to take it
}

// Server is what is known of one server.
type Server struct {
	Host      string
	Build     postern.Build
	Verdict   postern.Verdict
	Patched   postern.Fact
	Mitigated postern.Fact
	Findings  []postern.Finding
	Missing   []Missing

	Patch Patch
	// What to install, in words: the edition and line that run, the build to reach, its
	// update and the vendor's number for it; sentences, one a flaw or a note.
	Edition, Line, Target, TargetTitle, KB string
	Installs                               []postern.Text

	Root    string // the drive or folder on which commands are to act: C:\
	Hunt    string // the saved hunt that commands are to read
	Unsaved bool   // the hunt is not saved yet, so that the plan has to begin with that
	Bundle  string // the file that evidence is to be kept in
}

// Plan is what is to be done about one server.
type Plan struct {
	Server *Server
	Steps  []Step
}

// Step is one thing to do. Its sentences hold text from evidence: whoever renders them
// makes them safe for the medium.
type Step struct {
	Number    int
	ID, Stage string
	Title     postern.Text
	Why       postern.Text
	Effect    postern.Text
	How       []Action
	Verify    []Action
	Undo      []Action
	// From and To are how long it takes; both zero where it goes on.
	From, To time.Duration
}

// Action is a sentence, or a command, or a script, of which exactly one is there.
type Action struct {
	Say     postern.Text
	Shell   string // "powershell", "sh" or "exchange" (the Exchange Management Shell)
	Command string // one line, quoted for the shell
	Script  *Script
}

// Script is a reviewed text that a person reads and runs.
type Script struct {
	Name, Shell, Body string
}

// maxEach bounds how often one action is repeated: a list of a thousand files is no
// plan, and the saved hunt has it.
const maxEach = 12

// Make chooses and orders the steps that hold for a server.
func (b *Book) Make(s *Server) *Plan {
	p := &Plan{Server: s}
	signs := b.seen(s)
	facts := b.facts(s, signs)
	for _, d := range b.steps {
		if !slices.ContainsFunc(d.When, func(w when) bool { return w.holds(s, signs) }) {
			continue
		}
		key := b.key(d.ID)
		step := Step{ID: d.ID, Stage: d.Stage, From: time.Duration(d.Minutes[0]) * time.Minute, To: time.Duration(d.Minutes[1]) * time.Minute,
			Title: say(key+".title", facts), Why: say(key+".why", facts), Effect: say(key+".effect", facts)}
		step.How = b.actions(s, key+".how", d.How, signs, facts)
		step.Verify = b.actions(s, key+".verify", d.Verify, signs, facts)
		step.Undo = b.actions(s, key+".undo", d.Undo, signs, facts)
		p.Steps = append(p.Steps, step)
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int {
		return cmp.Compare(slices.Index(Stages, a.Stage), slices.Index(Stages, b.Stage))
	})
	for i := range p.Steps {
		p.Steps[i].Number = i + 1
	}
	return p
}

// seen gives the findings of each sign, worst first.
func (b *Book) seen(s *Server) map[string][]*postern.Finding {
	all := make(map[string][]*postern.Finding)
	for name, sign := range b.signs {
		for i := range s.Findings {
			if sign.fits(&s.Findings[i]) {
				all[name] = append(all[name], &s.Findings[i])
			}
		}
		slices.SortStableFunc(all[name], postern.Severity)
	}
	return all
}

func (g sign) fits(f *postern.Finding) bool {
	if f.Level < postern.Level(g.Level) {
		return false
	}
	return slices.ContainsFunc(g.Rules, func(p string) bool { return glob(p, f.Rule) }) ||
		slices.ContainsFunc(g.Tags, func(p string) bool {
			return slices.ContainsFunc(f.Tags, func(t string) bool { return glob(p, strings.ToLower(t)) })
		})
}

// glob compares with a pattern that may end with a star.
func glob(pattern, s string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(s, prefix)
	}
	return pattern == s
}

// holds says whether all of a condition is so.
func (w when) holds(s *Server, signs map[string][]*postern.Finding) bool {
	level := int(s.Verdict.Level)
	seen := func(name string) bool { return len(signs[name]) > 0 }
	switch {
	case len(w.Level) == 2 && (level < w.Level[0] || level > w.Level[1]),
		w.Conclusive != nil && *w.Conclusive != s.Verdict.Conclusive,
		w.Missing != nil && *w.Missing != (len(s.Missing) > 0),
		w.Unsaved != nil && *w.Unsaved != s.Unsaved,
		len(w.Patched) > 0 && !slices.Contains(w.Patched, string(s.Patched.State)),
		len(w.Mitigated) > 0 && !slices.Contains(w.Mitigated, string(s.Mitigated.State)),
		len(w.Patch) > 0 && !slices.Contains(w.Patch, string(s.Patch)),
		len(w.Signs) > 0 && !slices.ContainsFunc(w.Signs, seen),
		slices.ContainsFunc(w.Without, seen):
		return false
	}
	return true
}

// say makes a text with all facts as its arguments.
func say(key string, facts map[string]string) postern.Text {
	return postern.Text{Key: key, Args: facts}
}

// maxNames bounds how many things a sentence names.
const maxNames = 5

// facts gives the values of the placeholders.
func (b *Book) facts(s *Server, signs map[string][]*postern.Finding) map[string]string {
	f := map[string]string{
		"host": s.Host, "build": s.Build.String(), "root": s.Root, "hunt": s.Hunt, "bundle": s.Bundle,
		"edition": s.Edition, "line": s.Line, "target": s.Target, "target-title": s.TargetTitle, "kb": s.KB,
	}
	var first, last postern.Instant
	var accounts, clients []string
	for i := range s.Findings {
		x := &s.Findings[i]
		if x.Level < postern.Exploited {
			continue
		}
		if !x.Time.IsZero() && !x.HasTag("file-time") {
			if first.IsZero() || x.Time.Before(first) {
				first = x.Time
			}
			if x.Time.After(last) {
				last = x.Time
			}
		}
		accounts, clients = append(accounts, x.Entities[postern.Account]), append(clients, x.Entities[postern.ClientIP])
	}
	moment(f, "first", first)
	moment(f, "last", last)
	f["accounts"], f["clients"] = names(accounts), names(clients)
	f["shells"] = fileNames(signs["shell-file"])
	return f
}

// moment adds a time to the facts; if it is unknown, the word for that.
func moment(facts map[string]string, name string, t postern.Instant) {
	if t.IsZero() {
		facts[name+"@"] = "respond.plan.state.unknown"
		return
	}
	facts[name] = t.UTC().Format("2006-01-02 15:04") + " UTC"
}

// names gives the first few different names, "–" if there is none.
func names(all []string) string {
	all = slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "" || s == "-" })
	slices.Sort(all)
	all = slices.Compact(all)
	switch {
	case len(all) == 0:
		return "–"
	case len(all) > maxNames:
		all = append(all[:maxNames:maxNames], "…")
	}
	return strings.Join(all, ", ")
}

func fileNames(findings []*postern.Finding) string {
	var all []string
	for _, f := range findings {
		all = append(all, path.Base(strings.ReplaceAll(f.Entities[postern.File], `\`, "/")))
	}
	return names(all)
}

// actions makes what a person does of the data, one for each thing that is repeated.
func (b *Book) actions(s *Server, key string, list []action, signs map[string][]*postern.Finding, facts map[string]string) []Action {
	var out []Action
	for i, a := range list {
		if a.When != nil && !a.When.holds(s, signs) {
			continue
		}
		items := []item{{}}
		if a.Each != "" {
			items = slices.DeleteFunc(b.items(s, a.Each, signs), func(it item) bool { return !complete(a, it.facts) })
		}
		for n, it := range items {
			if n == maxEach {
				out = append(out, Action{Say: postern.Say("respond.plan.more", "count", len(items)-n, "hunt", s.Hunt)})
				break
			}
			if !it.text.IsZero() { // a whole sentence of its own
				out = append(out, Action{Say: it.text})
				continue
			}
			all := maps.Clone(facts)
			maps.Copy(all, it.facts)
			out = append(out, b.action(s, actionKey(key, i), a, all))
		}
	}
	return out
}

func (b *Book) action(s *Server, key string, a action, facts map[string]string) Action {
	switch {
	case a.Postern != "":
		return Action{Shell: shellOf(s.Root), Command: fill(a.Postern, facts, quoterOf(shellOf(s.Root)))}
	case a.PowerShell != "":
		return Action{Shell: "powershell", Command: fill(a.PowerShell, facts, QuotePowerShell)}
	case a.Exchange != "":
		return Action{Shell: "exchange", Command: fill(a.Exchange, facts, QuotePowerShell)}
	case a.Script != "":
		return Action{Script: &Script{Name: a.Script, Shell: "powershell", Body: fill(b.scripts[a.Script], facts, literal)}}
	}
	return Action{Say: say(key, facts)}
}

// The lists besides signs that an action can be repeated for.
const (
	eachMissing = "missing"
	eachInstall = "install"
)

// item is one thing that an action is repeated for: facts, or a sentence.
type item struct {
	facts map[string]string
	text  postern.Text
}

func (b *Book) items(s *Server, each string, signs map[string][]*postern.Finding) []item {
	var out []item
	switch each {
	case eachMissing:
		for _, m := range s.Missing {
			out = append(out, item{facts: map[string]string{"campaign": m.Campaign, "source": m.Source, "collect": m.Collect}})
		}
		return out
	case eachInstall:
		for _, t := range s.Installs {
			out = append(out, item{text: t})
		}
		return out
	}
	seen := make(map[string]bool)
	for _, f := range signs[each] {
		i := map[string]string{"title": f.Title.Args["text"], "sha256": f.Entities[postern.FileSHA256],
			"account": f.Entities[postern.Account], "client": f.Entities[postern.ClientIP], "rule": f.Rule}
		moment(i, "time", f.Time)
		if len(f.Evidence) > 0 {
			i["at"] = f.Evidence[0].Path
		}
		i["path"] = WindowsPath(f)
		same := i["path"] + "\x00" + i["at"] + "\x00" + i["title"]
		if seen[same] {
			continue
		}
		seen[same] = true
		out = append(out, item{facts: i})
	}
	return out
}

// complete says whether an item has a value for every placeholder of its own that the
// action asks for: a command with a hole in it is worse than none.
func complete(a action, facts map[string]string) bool {
	for _, name := range placeholders(a.line()) {
		if v, ok := facts[name]; ok && v == "" {
			return false
		}
	}
	return true
}

// WindowsPath gives the full path that the file of a finding has on the server, "" if
// the evidence does not say on which drive it lay.
func WindowsPath(f *postern.Finding) string {
	file := f.Entities[postern.File]
	if hasDrive(file) {
		return file
	}
	if file == "" || f.Entities[postern.FileSHA256] == "" || len(f.Evidence) == 0 {
		return ""
	}
	at := f.Evidence[0].Path
	if i := strings.LastIndex(at, "!/"); i >= 0 {
		at = at[i+2:]
	}
	// The evidence keeps upper and lower case, which the name of the file does not.
	parts := strings.Split(at, "/")
	for i, part := range parts[:len(parts)-1] {
		part = strings.TrimSuffix(strings.TrimSuffix(part, "%3A"), ":")
		if len(part) == 1 && letter(part[0]) {
			return strings.ToUpper(part) + `:\` + strings.Join(parts[i+1:], `\`)
		}
	}
	return ""
}

func hasDrive(s string) bool {
	return len(s) >= 3 && letter(s[0]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/') || strings.HasPrefix(s, `\\`)
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

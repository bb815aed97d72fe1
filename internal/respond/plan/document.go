package plan

import (
	"slices"
	"strings"
	"time"

	"postern"
)

// Schema names the contract of the JSON form and its version. Keys may be added to a
// version; any other change is a new one.
const Schema = "postern.plan/1"

// Document is plans in the words of one language: the JSON form, and what the other
// forms are made of. Its strings may come from an intruder and are raw.
type Document struct {
	Schema string `json:"schema"`
	Tool   Tool   `json:"tool"`
	Lang   string `json:"lang"`
	Source string `json:"source"` // the saved hunt or the path that was hunted
	Hunted string `json:"hunted"` // when that began, RFC 3339, "" if unknown
	Status string `json:"status"` // of the hunt: complete, partial or failed
	Hosts  []Host `json:"hosts"`
}

// Tool is who made the document.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Host is the plan of one server.
type Host struct {
	Host      string       `json:"host"`
	Build     string       `json:"build"`
	Verdict   Verdict      `json:"verdict"`
	Patched   Fact         `json:"patched"`
	Mitigated Fact         `json:"mitigated"`
	Patch     Patch        `json:"patch"`
	Root      string       `json:"root"`
	Steps     []HostStep   `json:"steps"`
	Scripts   []HostScript `json:"scripts"`
}

// Verdict is that of the hunt.
type Verdict struct {
	Level      postern.Level      `json:"level"`
	Name       string             `json:"name"`
	Title      string             `json:"title"`
	Confidence postern.Confidence `json:"confidence"`
	Conclusive bool               `json:"conclusive"`
	Summary    string             `json:"summary"`
}

// Fact is one of the separate facts about a server.
type Fact struct {
	State postern.State `json:"state"`
	Why   string        `json:"why"`
}

// HostStep is one thing to do.
type HostStep struct {
	Number  int          `json:"number"`
	ID      string       `json:"id"`
	Stage   string       `json:"stage"`
	Part    string       `json:"part"` // the stage in words
	Title   string       `json:"title"`
	Why     string       `json:"why"`
	Effect  string       `json:"effect"`
	Minutes [2]int       `json:"minutes"` // from, to; 0, 0 goes on
	How     []HostAction `json:"how"`
	Verify  []HostAction `json:"verify"`
	Undo    []HostAction `json:"undo"`
}

// HostAction is one of: a sentence, a command in a shell, a script of the host's list.
type HostAction struct {
	Say     string `json:"say,omitempty"`
	Shell   string `json:"shell,omitempty"` // powershell, exchange or sh
	Command string `json:"command,omitempty"`
	Script  string `json:"script,omitempty"`
}

// HostScript is a script to read and then to run.
type HostScript struct {
	Name  string `json:"name"`
	Shell string `json:"shell"`
	Body  string `json:"body"`
}

// Describe puts a plan into words.
//
// catalogue: respond.plan.stage.*
func (p *Plan) Describe(loc postern.Localizer) Host {
	s := p.Server
	h := Host{Host: s.Host, Build: s.Build.String(), Patch: s.Patch, Root: s.Root, Steps: []HostStep{}, Scripts: []HostScript{},
		Verdict: Verdict{Level: s.Verdict.Level, Name: s.Verdict.Level.String(), Title: loc.Say(s.Verdict.Title),
			Confidence: s.Verdict.Confidence, Conclusive: s.Verdict.Conclusive, Summary: loc.Say(s.Verdict.Summary)},
		Patched:   Fact{s.Patched.State, loc.Say(s.Patched.Why)},
		Mitigated: Fact{s.Mitigated.State, loc.Say(s.Mitigated.Why)}}
	describe := func(list []Action) []HostAction {
		out := []HostAction{}
		for _, a := range list {
			if a.Script == nil {
				out = append(out, HostAction{Say: loc.Say(a.Say), Shell: a.Shell, Command: a.Command})
				continue
			}
			out = append(out, HostAction{Script: a.Script.Name, Shell: a.Script.Shell})
			if !slices.ContainsFunc(h.Scripts, func(o HostScript) bool { return o.Name == a.Script.Name }) {
				h.Scripts = append(h.Scripts, HostScript(*a.Script))
			}
		}
		return out
	}
	for _, step := range p.Steps {
		h.Steps = append(h.Steps, HostStep{Number: step.Number, ID: step.ID, Stage: step.Stage,
			Part:  loc.Say(postern.Say("respond.plan.stage." + step.Stage)),
			Title: loc.Say(step.Title), Why: loc.Say(step.Why), Effect: loc.Say(step.Effect),
			Minutes: [2]int{int(step.From / time.Minute), int(step.To / time.Minute)},
			How:     describe(step.How), Verify: describe(step.Verify), Undo: describe(step.Undo)})
	}
	return h
}

// Safe is what makes text from evidence harmless for a reader: Visible shows what
// acts or hides, and makes it one line; Defang also takes the teeth out of links and
// addresses. Numbers in keep stay as they are.
type Safe struct {
	Visible func(string) string
	Defang  func(s string, keep ...string) string
}

// keep are the numbers with dots that are builds and no addresses.
func (h *Host) keep() []string {
	keep := []string{h.Build}
	for _, s := range h.Steps {
		for _, w := range strings.FieldsFunc(s.Title, func(r rune) bool { return r == '(' || r == ')' || r == ' ' }) {
			if _, err := postern.ParseBuild(w); err == nil && strings.HasPrefix(s.ID, "patch-") {
				keep = append(keep, w)
			}
		}
	}
	return keep
}

// words says sentences of the document's own.
type words struct{ loc postern.Localizer }

func (w words) T(key string, pairs ...any) string { return w.loc.Say(postern.Say(key, pairs...)) }

// Takes says how long a step takes.
func (w words) Takes(m [2]int) string {
	const hours = 90 // from here on, minutes are no measure
	switch {
	case m[1] == 0:
		return w.T("respond.plan.goes-on")
	case m[0] >= 60 && m[1] >= hours:
		return w.T("respond.plan.hours", "from", m[0]/60, "to", (m[1]+59)/60)
	}
	return w.T("respond.plan.minutes", "from", m[0], "to", m[1])
}

// State puts an answer into a word.
//
// catalogue: respond.plan.state.*
func (w words) State(s postern.State) string {
	if s == "" {
		s = postern.Unknown
	}
	return w.loc.Say(postern.Say("respond.plan.state." + string(s)))
}

// Head is what is known, in one line each.
func (w words) head(h *Host) []string {
	sure := "respond.plan.conclusive"
	if !h.Verdict.Conclusive {
		sure = "respond.plan.open"
	}
	build := h.Build
	if build == "" {
		build = w.T("respond.plan.state.unknown")
	}
	return []string{
		w.T("respond.plan.verdict", "level", int(h.Verdict.Level), "title", h.Verdict.Title, "sure@", sure),
		h.Verdict.Summary,
		w.T("respond.plan.build", "build", build),
		w.T("respond.plan.patched", "state", w.State(h.Patched.State), "why", h.Patched.Why),
		w.T("respond.plan.mitigated", "state", w.State(h.Mitigated.State), "why", h.Mitigated.Why),
	}
}

// prompt is what stands before a command in the forms without colour.
func prompt(shell string) string {
	switch shell {
	case "exchange":
		return "[EMS] "
	case "powershell":
		return "PS> "
	}
	return "$ "
}

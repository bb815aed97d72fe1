// Package mitigate writes published mitigations into the configuration of IIS and
// takes them out again.
//
// Input: the mitigations of the campaigns as plain values ([Mitigation]), the
// configuration files of one server as bytes, and a [Judge] that says of any such
// files whether a mitigation is in force; the caller makes it of the detector that
// judges the same data in a hunt. Output: a [Plan], which is the new bytes of each
// file with the judge's word on them; [Keeper.Apply] and [Keeper.Rollback], which
// replace files, and PowerShell text for what no file decides ([Scripts]).
//
// A rule is inserted as text at a place that a tokenizer with offsets has found, and a
// module is taken out as a piece of text; all other bytes of a file stay as they are.
// Rules that are already there are never touched, even those that do not help: the new
// one goes before them. What the judge does not call in force after the change is not
// planned.
//
// The format is that of IIS: rules of the URL Rewrite module, in
// system.webServer/rewrite/rules of the web.config of a site or of its <location>
// in applicationHost.config (rewrite_schema.xml, which Microsoft ships with the
// module), and system.webServer/globalModules of applicationHost.config. Sizes are bytes. docs/formats/mitigate-backup.md describes the backup.
package mitigate

import "postern"

// Rule is a rewrite rule that ends requests whose input matches the pattern.
type Rule struct{ Name, Input, Pattern string }

// Mitigation is one published way to make a flaw unusable before the patch. It has
// either rules, which go into files, or modules, which are taken out of one, or pools
// or services, which get scripts.
type Mitigation struct {
	ID, Campaign  string // the product's name where it is of no campaign
	Title, Limits postern.Text
	CVE           []string
	Rules         []Rule
	Modules       []string // native modules that IIS must not load
	Pools         []string // application pools to be stopped
	Services      []string // Windows services to be disabled
	// RestartedBy are services that would start pools and services again, and are
	// off as long as the mitigation is in force.
	RestartedBy []string
}

// edits says whether files decide it.
func (m *Mitigation) edits() bool { return len(m.Rules)+len(m.Modules) > 0 }

// Scripted says whether it is PowerShell that does it, see [Scripts].
func (m *Mitigation) Scripted() bool { return !m.edits() }

// Key names a mitigation among those of all campaigns.
func (m *Mitigation) Key() string { return m.Campaign + "/" + m.ID }

// Answer is what the judge says of a mitigation.
type Answer struct {
	State    postern.State
	Why      postern.Text
	Evidence []postern.Evidence
}

// Site is one web site that clients talk to.
type Site struct {
	Name string
	File string // its web.config, "" if it has none
	// Others are files that could be its web.config as well. Where there are any, none is
	// written into.
	Others []string
	// Open are, for each mitigation by its key, the indices of the rules that do not
	// work there.
	Open map[string][]int
}

// Judgement is what the configuration of a server amounts to.
type Judgement struct {
	Server  string // the applicationHost.config in force, "" if there is none
	Sites   []Site
	Apart   []string          // names of the other sites, at which clients do not talk to the product
	Answers map[string]Answer // by [Mitigation.Key]
}

// Judge judges the configuration files of one server, by their paths. It is asked
// again for every change that is thought of.
type Judge func(files map[string][]byte) (Judgement, error)

// Refusal is an error that a person can act on: why a file is left alone.
type Refusal struct {
	File string
	Why  postern.Text
}

// Error names the message; the text is for whoever has a catalogue.
func (r *Refusal) Error() string { return r.File + ": " + r.Why.Key }

func refuse(key string, pairs ...any) *Refusal {
	// catalogue: mitigate.no.*
	return &Refusal{Why: postern.Say("mitigate.no."+key, pairs...)}
}

// of gives the refusal the name of its file.
func (r *Refusal) of(file string) *Refusal {
	r.File = file
	if r.Why.Args == nil {
		r.Why.Args = make(map[string]string)
	}
	r.Why.Args["file"] = file
	return r
}

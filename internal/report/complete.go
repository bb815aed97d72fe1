package report

import (
	"fmt"
	"maps"
	"strings"

	"postern"
)

// This file makes what was decoded, or built by hand, what the contract
// promises: arrays are never null, levels stand on the ladder. And it says
// saved sentences again in another language.

func list[T any](p *[]T) {
	if *p == nil {
		*p = []T{}
	}
}

// complete fills in what may be missing and refuses what renderers could not
// understand.
func (r *Run) complete() error {
	if r.Schema != Schema {
		return fmt.Errorf("schema %q: this program reads %s", cutBytes(r.Schema, 40), Schema)
	}
	list(&r.Tool.Campaigns)
	list(&r.Inputs)
	list(&r.Campaigns)
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		list(&c.CVE)
		list(&c.Levels)
		list(&c.Sources)
		tidy(&c.I18n)
		tidy(&c.Window.I18n)
		for j := range c.Sources {
			tidy(&c.Sources[j].I18n)
		}
	}
	return nil
}

func (r *Run) translate(loc Localizer) {
	r.Lang = loc.Lang()
	for i := range r.Campaigns {
		c := &r.Campaigns[i]
		c.I18n.againOne(loc, "title", &c.Title)
		c.I18n.again(loc, "levels", c.Levels)
		c.Window.I18n.againOne(loc, "from_reason", &c.Window.FromReason)
		c.Window.I18n.againOne(loc, "to_reason", &c.Window.ToReason)
		for j := range c.Sources {
			c.Sources[j].I18n.againOne(loc, "collect", &c.Sources[j].Collect)
		}
	}
}

func (h *Head) complete() error {
	h.Patched.complete()
	h.Mitigated.complete()
	return h.Verdict.complete()
}

func (h *Host) complete() error {
	list(&h.Campaigns)
	list(&h.Findings)
	list(&h.Incidents)
	list(&h.Coverage)
	list(&h.Inputs)
	return h.Head.complete()
}

func (h *Host) translate(loc Localizer) {
	h.Head.translate(loc)
	for i := range h.Campaigns {
		h.Campaigns[i].Verdict.translate(loc)
	}
	for i := range h.Findings {
		h.Findings[i].translate(loc)
	}
	for i := range h.Incidents {
		h.Incidents[i].translate(loc)
	}
}

func (h *Head) translate(loc Localizer) {
	h.Patched.I18n.againOne(loc, "why", &h.Patched.Why)
	h.Mitigated.I18n.againOne(loc, "why", &h.Mitigated.Why)
	h.Verdict.translate(loc)
}

func (f *Fact) complete() {
	if f.State == "" {
		f.State = postern.Unknown
	}
	tidy(&f.I18n)
}

func (v *Verdict) complete() error {
	list(&v.Next)
	tidy(&v.I18n)
	v.Confidence = said(v.Confidence)
	if v.Name == "" && v.Title == "" && v.Summary == "" {
		return fmt.Errorf("no verdict")
	}
	if err := onLadder(v.Level); err != nil {
		return fmt.Errorf("verdict: %w", err)
	}
	v.Name = v.Level.String()
	return nil
}

func (v *Verdict) translate(loc Localizer) {
	v.I18n.againOne(loc, "title", &v.Title)
	v.I18n.againOne(loc, "summary", &v.Summary)
	v.I18n.again(loc, "next", v.Next)
}

func (c *HostCampaign) complete() error {
	list(&c.Coverage)
	for i := range c.Coverage {
		if err := c.Coverage[i].complete(); err != nil {
			return err
		}
	}
	return c.Verdict.complete()
}

func (f *Finding) complete() error {
	list(&f.CVE)
	list(&f.Evidence)
	list(&f.Tags)
	tidy(&f.I18n)
	f.Confidence = said(f.Confidence)
	maps.DeleteFunc(f.Entities, func(_, v string) bool { return v == "" })
	if len(f.Entities) == 0 {
		f.Entities = nil
	}
	if f.Rule == "" {
		return fmt.Errorf("finding without a rule")
	}
	return onLadder(f.Level)
}

func (f *Finding) translate(loc Localizer) {
	f.I18n.againOne(loc, "title", &f.Title)
	if f.I18n["explain"] != nil {
		sentences := strings.Split(f.Explain, "\n")
		f.I18n.again(loc, "explain", sentences)
		f.Explain = lines(sentences)
	}
}

func (in *Incident) complete() error {
	list(&in.Findings)
	list(&in.Story)
	tidy(&in.I18n)
	return onLadder(in.Level)
}

func (in *Incident) translate(loc Localizer) { in.I18n.again(loc, "story", in.Story) }

func (c *Coverage) complete() error {
	list(&c.Gaps)
	if c.Source == "" {
		return fmt.Errorf("coverage without a source")
	}
	return nil
}

func (p *Problem) complete() error {
	tidy(&p.I18n)
	if p.What == "" {
		return fmt.Errorf("problem that does not say what")
	}
	return nil
}

func (p *Problem) translate(loc Localizer) { p.I18n.againOne(loc, "detail", &p.Detail) }

func (e *End) complete() error {
	switch e.Status {
	case postern.Complete, postern.PartialStatus, postern.Failed:
		return nil
	}
	return fmt.Errorf("status %q: want complete, partial or failed", cutBytes(string(e.Status), 40))
}

func onLadder(l postern.Level) error {
	if !l.Valid() {
		return fmt.Errorf("level %d is not on the ladder of 0 to 6", int(l))
	}
	return nil
}

// tidy drops what says nothing, so that what was read is what would be written.
func tidy(i *I18n) {
	maps.DeleteFunc(*i, func(_ string, texts []postern.Text) bool { return len(texts) == 0 })
	for _, texts := range *i {
		for n := range texts {
			if len(texts[n].Args) == 0 {
				texts[n].Args = nil
			}
		}
	}
	if len(*i) == 0 {
		*i = nil
	}
}

func (f *HashedFile) complete() error { return nil }

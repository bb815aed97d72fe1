package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/eventlog"
	"postern/internal/hunt/detect/yara"
	"postern/internal/hunt/parse"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/report"
)

// knowledge is what the chosen campaign packs and their products teach.
type knowledge struct {
	packs   []*campaign.Pack
	formats []*parse.Format
	words   *catalogue.Catalogue // with the packs' texts
	user    *userRules           // nil without
	left    []postern.Problem    // what of the user's rules is not used
}

// learn loads the packs that are named, all built-in ones if none is.
func (a *app) learn(names []string) (*knowledge, error) {
	packs, err := loadPacks(names)
	if err != nil {
		return nil, a.packError(err)
	}
	k := &knowledge{packs: packs, formats: parseall.Formats(), words: a.words}
	for _, p := range packs {
		k.words = k.words.With(p.Messages(a.words.Lang()))
	}
	a.words = k.words
	return k, nil
}

func loadPacks(names []string) ([]*campaign.Pack, error) {
	if len(names) == 0 {
		return campaign.BuiltIn()
	}
	var packs []*campaign.Pack
	from := make(map[string]string)
	for _, name := range names {
		p, err := campaign.Find(name)
		if err != nil {
			return nil, err
		}
		if first, twice := from[p.Name]; twice {
			return nil, usage("cmd.pack-twice", "name", p.Name, "first", first, "second", name)
		}
		from[p.Name] = name
		packs = append(packs, p)
	}
	return packs, nil
}

// packError tells what is wrong with a pack, a line each.
func (a *app) packError(err error) error {
	var said *problem
	var errs campaign.Errors
	switch {
	case errors.As(err, &said):
		return err
	case !errors.As(err, &errs) || len(errs) == 0:
		return failed(err, "cmd.pack")
	}
	for _, e := range errs {
		where := e.File
		if e.Line > 0 {
			where = fmt.Sprintf("%s:%d", e.File, e.Line)
		}
		fmt.Fprintln(a.err, report.Visible(strings.TrimPrefix(where+": "+a.words.Say(e.What), ": ")))
	}
	return &problem{code: exitFailed, what: postern.Say("cmd.pack-errors", "count", len(errs)), hint: postern.Say("cmd.pack-errors.hint")}
}

// campaigns gives the campaigns in the form of the root.
func (k *knowledge) campaigns() []postern.Campaign {
	if k.user != nil && k.user.only {
		return []postern.Campaign{k.user.campaign()}
	}
	var all []postern.Campaign
	for _, p := range k.packs {
		all = append(all, p.Campaign)
	}
	return all
}

// documents gives the rules over rows, and the correlations, of all packs and of their
// products.
func (k *knowledge) documents() (rules []campaign.RuleDoc, sequences []campaign.Sequence) {
	products := make(map[string]bool)
	for _, p := range k.packs {
		rules, sequences = append(rules, p.Rules...), append(sequences, p.Sequences...)
		if !products[p.Product] { // several packs share one
			products[p.Product] = true
			rules, sequences = append(rules, p.Facts.Rules...), append(sequences, p.Facts.Sequences...)
		}
	}
	return rules, sequences
}

// rules compiles the rules over rows of all packs, of their products and of the user.
func (k *knowledge) rules() (*detectall.Rows, error) {
	var rules []detect.RowRule
	var sequences []detect.Sequence
	if k.user == nil || !k.user.only {
		docs, order := k.documents()
		for _, r := range docs {
			rule := detect.RowRule{Rule: r.Rule, Sigma: r.Sigma, Entities: r.Entities, Where: r.Where.String()}
			for _, d := range r.Downgrade {
				rule.Downgrade = append(rule.Downgrade, detect.Downgrade(d))
			}
			rules = append(rules, rule)
		}
		for _, s := range order {
			sequences = append(sequences, detect.Sequence{Rule: s.Rule, Sigma: s.Sigma, Rules: s.Rules, Where: s.Where.String()})
		}
	}
	if k.user != nil {
		rules, sequences = append(rules, k.user.sigma.Rules...), append(sequences, k.user.sigma.Sequences...)
	}
	return detectall.NewRows(rules, sequences, k.formats, k.sourcesOf)
}

// sourcesOf gives the event sources of a Sigma log source: those that the
// products of the packs say it means.
func (k *knowledge) sourcesOf(category, product, service string) []string {
	var all []string
	for _, p := range k.packs {
		all = append(all, p.Facts.SourcesOf(campaign.SigmaSource{Category: category, Product: product, Service: service})...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// product answers for the builds of all packs' products.
func (k *knowledge) product() *campaign.Product {
	if len(k.packs) == 0 {
		return nil
	}
	return k.packs[0].Facts
}

func (k *knowledge) guidance(name string, level postern.Level) []postern.Text {
	for _, p := range k.packs {
		if p.Name == name && level.Valid() {
			return p.Guidance[level]
		}
	}
	return nil
}

// detectors makes the detectors of files and hosts.
func (k *knowledge) detectors() ([]detect.FileDetector, []detect.HostDetector, error) {
	known := detectall.Knowledge{Languages: catalogue.Languages}
	if p := k.product(); p != nil {
		known.Layout = layoutOf(p.Layout)
	}
	if k.user != nil {
		known.UserRules = k.user.yara
		k.left = k.user.problems()
		known.Unsupported = func(u yara.Unsupported) {
			k.left = append(k.left, ofRule(postern.Unsupported, u.File, u.Line, u.Rule, u.Why))
		}
		known.Remark = func(u yara.Unsupported) {
			k.left = append(k.left, ofRule(postern.Malformed, u.File, u.Line, u.Rule, u.Why))
		}
		if k.user.only {
			rules, err := detectall.FileRules(known)
			return append(rules, eventlog.New()), nil, err // a log that cannot be read is one that no rule was asked about
		}
	}
	products := make(map[string]bool)
	for _, p := range k.packs {
		known.Indicators = append(known.Indicators, p.Indicators...)
		known.FileRules = append(known.FileRules, fileRules(p.Files)...)
		if !products[p.Product] {
			products[p.Product] = true
			known.FileRules = append(known.FileRules, fileRules(p.Facts.Files)...)
		}
	}
	known.Mitigations = k.mitigations()
	if p := k.product(); p != nil {
		known.Stock = p.Stock
	}
	files, hosts, messages, err := detectall.Detectors(known)
	if err == nil {
		k.words = k.words.With(messages[k.words.Lang()])
	}
	return files, hosts, err
}

// mitigations gives those of all packs, and of their products.
func (k *knowledge) mitigations() []detectall.Mitigations {
	var all []detectall.Mitigations
	add := func(name string, product bool, data []byte) {
		seen := func(m detectall.Mitigations) bool { return m.Product && product && m.Campaign == name }
		if len(data) > 0 && !slices.ContainsFunc(all, seen) {
			all = append(all, detectall.Mitigations{Campaign: name, File: path.Join(name, "mitigations.yaml"), Product: product, Data: data})
		}
	}
	for _, p := range k.packs {
		add(p.Name, false, p.Mitigations)
	}
	for _, p := range k.packs { // several packs share one
		add(p.Product, true, p.Facts.Mitigations)
	}
	return all
}

func fileRules(files []campaign.FileRules) []detect.RuleFile {
	var all []detect.RuleFile
	for _, f := range files {
		all = append(all, detect.RuleFile{Text: f.Text, Where: f.File, Rules: f.Rules})
	}
	return all
}

// options puts together what a hunt needs of the packs.
func (k *knowledge) options() (hunt.Options, error) {
	// A hunt of little evidence waits for this: rules over rows are made ready beside
	// those over files.
	var rules *detectall.Rows
	var bad error
	var beside sync.WaitGroup
	beside.Go(func() { rules, bad = k.rules() })
	files, hosts, err := k.detectors()
	beside.Wait()
	if bad != nil {
		err = bad
	}
	if err != nil {
		return hunt.Options{}, failed(err, "cmd.rules")
	}
	if never := rules.Unplaced(); k.user != nil && len(never) > 0 {
		k.left = append(k.left, postern.Problem{Path: never[0], What: postern.Unsupported, Detail: postern.Say("cmd.rules.never-asked", "count", len(never))})
	}
	return hunt.Options{
		Campaigns: k.campaigns(),
		Formats:   k.formats,
		Records:   parseall.Records(),
		Rules:     rules,
		Files:     files,
		Hosts:     hosts,
		Product:   k.product(),
		Guidance:  k.guidance,
	}, nil
}

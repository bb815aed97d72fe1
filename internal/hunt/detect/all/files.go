package all

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/eventlog"
	"postern/internal/hunt/detect/msert"
	"postern/internal/hunt/detect/rank"
	"postern/internal/hunt/detect/staging"
	"postern/internal/hunt/detect/testproxylogon"
	"postern/internal/hunt/detect/webfile"
	"postern/internal/hunt/detect/yara"
)

// fileDetectors lists the detectors of single files.
func fileDetectors(k Knowledge) ([]detect.FileDetector, error) {
	scanners, err := msert.Microsoft()
	if err != nil {
		return nil, err
	}
	pages := webfile.Knowledge{Stock: k.Stock, Indicators: k.Indicators, Compiled: k.Layout.Compiled}
	stolen := staging.Knowledge{Indicators: k.Indicators}
	for _, p := range k.Layout.Places {
		pages.Places = append(pages.Places, webfile.Place(p))
		if p.URL != "" {
			stolen.Served = append(stolen.Served, p.Folder)
		}
	}
	for _, s := range k.Layout.Staging {
		pages.Staging = append(pages.Staging, s.Folder)
		stolen.Folders = append(stolen.Folders, staging.Folder(s))
	}
	experts := []detect.FileDetector{webfile.New(pages), staging.New(stolen)}
	rules, err := FileRules(k)
	if len(rules) > 0 {
		experts = []detect.FileDetector{joined{experts: experts, rules: rules[0]}}
	}
	return append(experts, msert.New(msert.Knowledge{Families: scanners}), testproxylogon.New(), eventlog.New()), err
}

// FileRules compiles the YARA rules of packs and of a user into one detector, if there
// are any, so that a file is read once for all. A pack whose rules cannot all be used
// is an error: none of them is left out in silence.
func FileRules(k Knowledge) ([]detect.FileDetector, error) {
	if len(k.FileRules)+len(k.UserRules) == 0 {
		return nil, nil
	}
	table, err := rank.New()
	if err != nil {
		return nil, err
	}
	sources := slices.Clone(k.UserRules)
	packs := make(map[string]bool)
	for _, f := range k.FileRules {
		packs[f.Where] = true
		sources = append(sources, yara.Pack(f))
	}
	rules, report := yara.Load(sources)
	var errs []error
	for _, u := range report.Unsupported {
		if packs[u.File] {
			errs = append(errs, fmt.Errorf("%s:%d: rule %s: %s %v", u.File, u.Line, u.Rule, u.Why.Key, u.Why.Args))
		} else if k.Unsupported != nil {
			k.Unsupported(u)
		}
	}
	for _, u := range report.Remarks {
		if k.Remark != nil {
			k.Remark(u)
		}
	}
	var served []string
	for _, p := range k.Layout.Places {
		if p.URL != "" {
			served = append(served, p.Folder)
		}
	}
	return []detect.FileDetector{yara.New(rules, yara.Options{Level: worth(table, served), Logs: len(k.UserRules) > 0})}, errors.Join(errs...)
}

// worth ranks the matches of a user's YARA rules. Folders are those that the web
// server serves.
func worth(table *rank.Table, folders []string) func(yara.Meta, *detect.File) (postern.Level, postern.Confidence) {
	return func(m yara.Meta, f *detect.File) (postern.Level, postern.Confidence) {
		score, scored := m.Score()
		served := slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(f.Server, folder+"/") })
		return table.YARA(m.Rule, m.Tags, score, scored, served)
	}
}

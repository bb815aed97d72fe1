package all

import (
	"errors"
	"fmt"

	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/msert"
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
	detectors := []detect.FileDetector{
		webfile.New(pages),
		staging.New(stolen),
		msert.New(msert.Knowledge{Families: scanners}),
		testproxylogon.New(),
	}
	if len(k.FileRules) > 0 {
		rules, err := fileRules(k.FileRules)
		if err != nil {
			return nil, err
		}
		detectors = append(detectors, yara.New(rules, yara.Options{}))
	}
	return detectors, nil
}

// fileRules compiles the YARA rules of packs. A pack whose rules cannot all be used
// is refused: none of them is left out in silence.
func fileRules(files []detect.RuleFile) (*yara.Rules, error) {
	sources := make([]yara.Source, len(files))
	for i, f := range files {
		sources[i] = yara.Pack(f)
	}
	rules, report := yara.Load(sources)
	var errs []error
	for _, u := range report.Unsupported {
		errs = append(errs, fmt.Errorf("%s:%d: rule %s: %s %v", u.File, u.Line, u.Rule, u.Why.Key, u.Why.Args))
	}
	return rules, errors.Join(errs...)
}

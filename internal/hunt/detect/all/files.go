package all

import (
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/msert"
	"postern/internal/hunt/detect/staging"
	"postern/internal/hunt/detect/testproxylogon"
	"postern/internal/hunt/detect/webfile"
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
	return []detect.FileDetector{
		webfile.New(pages),
		staging.New(stolen),
		msert.New(msert.Knowledge{Families: scanners}),
		testproxylogon.New(),
	}, nil
}

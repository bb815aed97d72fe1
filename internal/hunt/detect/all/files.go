package all

import (
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/msert"
)

// fileDetectors lists the detectors of single files.
func fileDetectors(k Knowledge) ([]detect.FileDetector, error) {
	scanners, err := msert.Microsoft()
	if err != nil {
		return nil, err
	}
	return []detect.FileDetector{msert.New(msert.Knowledge{Families: scanners})}, nil
}

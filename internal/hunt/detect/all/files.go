package all

import "postern/internal/hunt/detect"

// fileDetectors lists the detectors of single files.
func fileDetectors(k Knowledge) []detect.FileDetector {
	return nil
}

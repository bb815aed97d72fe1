package exposure

import (
	"encoding/json"
	"errors"
)

// maxRecord is the longest record in which evidence may stand. The assessments of a
// long list of CVEs may add to it; nothing that a host says can.
const maxRecord = 4 << 10

// AppendLine appends the record as one line. What a host said so much of that the
// record would be too long is left out from the end: first members' names, then
// evidence.
func AppendLine(b []byte, o *Observation) ([]byte, error) {
	if o.Outcome == "" {
		return b, errors.New("a record without outcome")
	}
	for {
		line, err := json.Marshal(o)
		if err != nil {
			return b, err
		}
		if len(line) < maxRecord || len(o.Evidence) <= minEvidence {
			return append(append(b, line...), '\n'), nil
		}
		o.Evidence = o.Evidence[:len(o.Evidence)-1]
	}
}

// minEvidence is kept whatever else fills a record.
const minEvidence = 2

package exposure

import (
	"encoding/json"
	"errors"
	"slices"

	"postern"
)

// maxSaid is the longest that a record may be without its assessments, which are
// ours: those of one campaign keep it below 4 KB, those of all CVEs take what they
// take. Nothing that a host says can make a record longer, and no list of CVEs can
// take away what they rest on.
const maxSaid = 3 << 10

// minEvidence is kept whatever else fills a record.
const minEvidence = 2

// AppendLine appends the record as one line. Of evidence that would make the record
// too long the end is left out.
func AppendLine(b []byte, o *Observation) ([]byte, error) {
	if o.Outcome == "" {
		return b, errors.New("a record without outcome")
	}
	for {
		line, err := json.Marshal(o.plain())
		if err != nil {
			return b, err
		}
		if len(line) > maxSaid && len(o.Evidence) > minEvidence {
			said, err := o.said()
			if err != nil {
				return b, err
			}
			if said > maxSaid {
				o.Evidence = o.Evidence[:len(o.Evidence)-1]
				continue
			}
		}
		return append(append(b, line...), '\n'), nil
	}
}

// said gives how long the record is without assessments.
func (o *Observation) said() (int, error) {
	bare := *o
	bare.Assessed, bare.Explain, bare.Members = nil, nil, slices.Clone(o.Members)
	for i := range bare.Members {
		bare.Members[i].Assessed = nil
	}
	line, err := json.Marshal(bare.plain())
	return len(line), err
}

// plain is the record as encoding/json writes it by itself, with empty lists as []
// and {}, never null.
func (o *Observation) plain() any {
	type plain Observation // without the method that calls this
	p := plain(*o)
	if p.Assessed == nil {
		p.Assessed = map[string]postern.Assessment{}
	}
	if p.Flags == nil {
		p.Flags = []Flag{}
	}
	if p.Evidence == nil {
		p.Evidence = []Evidence{}
	}
	return &p
}

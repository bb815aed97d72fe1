package assess

import (
	"context"
	"errors"
	"io"

	"postern"
	"postern/internal/exposure"
)

// maxNamed is how many bad lines a report names one by one; the rest it counts.
const maxNamed = 20

// Replayer concludes again from the evidence of a stored record.
type Replayer interface {
	Replay(o *exposure.Observation)
}

// Report says what a pass over stored records read and what it could not.
type Report struct {
	Records  int64
	Bad      int64             // lines that are no records
	Problems []postern.Problem // the first of them by name
	Changed  int64             // records with a build or an assessment other than stored
}

// Note adds a bad line to the report.
func (r *Report) Note(bad *exposure.BadLine) {
	r.Bad++
	if len(r.Problems) < maxNamed {
		r.Problems = append(r.Problems, postern.Problem{Path: bad.Path, What: bad.What,
			Detail: postern.Say("exposure.problem.line", "line", bad.Line, "detail", bad.Err)})
	}
}

// Redecide reads stored records and gives each with the build and the assessments
// that today's tables say, without a packet. Bad lines are counted and named in
// the report, which is added to, and the reading goes on. An error of the reader, of each, or a cancelled
// context ends it.
func (a *Assessor) Redecide(ctx context.Context, r io.Reader, path string, with Replayer, cves []string, report *Report, each func(*exposure.Observation) error) error {
	for o, err := range exposure.Read(r, path) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var bad *exposure.BadLine
		if errors.As(err, &bad) {
			report.Note(bad)
			continue
		}
		if err != nil {
			return err
		}
		before, build := o.Assessed, o.Build
		with.Replay(&o)
		a.Apply(&o, cves)
		report.Records++
		if build != o.Build || differ(before, o.Assessed) {
			report.Changed++
		}
		if err := each(&o); err != nil {
			return err
		}
	}
	return nil
}

// differ says whether a CVE that both know is assessed otherwise.
func differ(before, after map[string]postern.Assessment) bool {
	for cve, b := range before {
		if a, ok := after[cve]; ok && a != b {
			return true
		}
	}
	return false
}

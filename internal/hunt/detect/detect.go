// Package detect is the stage of the hunt that looks at parsed evidence and says
// what it means. Its leaves are the detectors: literal (the one fast pass over
// logs), sigma (rules over events), webfile, iisconfig and others that keep
// state. Each takes what it knows as plain values and gives findings.
package detect

import (
	"io"
	"time"

	"postern"
)

// File is one file of the evidence as a detector sees it.
type File struct {
	// Path is the place in the evidence, as it stands in findings.
	Path string
	// Server is the best guess at the place on the server: lower case, '/' for
	// '\', without drive or folders above the product's or system's layout, such as
	// "inetpub/wwwroot/aspnet_client/x.aspx" or "frontend/httpproxy/owa/auth/x.aspx".
	Server  string
	Size    int64
	ModTime time.Time // zero if unknown
	// Open gives a fresh reader from the first byte; the caller closes it.
	Open func() (io.ReadCloser, error)
	// Log says that the file is a log by its name as well as its content: its rows are
	// read, and only a [LogDetector] is asked about it.
	Log bool
	// Whole is the content where it lies in memory already, nil where it does not. It
	// is not changed, and not kept after Look or Read.
	Whole []byte
}

// FileDetector looks at single files. It is used by several goroutines at once.
type FileDetector interface {
	// Wants answers by name and size alone whether Look is worth opening the file.
	Wants(f *File) bool
	// Look reads the file within its own bounds. An error is a file that could not
	// be read; what was read before it still counts.
	Look(f *File) ([]postern.Finding, []postern.Problem, error)
}

// LogDetector is what a FileDetector can be besides: one that may look at logs too.
type LogDetector interface{ WantsLogs() bool }

// WantsLogs says whether a detector looks at logs as at any other file.
func WantsLogs(d FileDetector) bool {
	l, ok := d.(LogDetector)
	return ok && l.WantsLogs()
}

// RowRule is a rule over events: Sigma text with what its pack adds to it.
type RowRule struct {
	postern.Rule
	Sigma     []byte            // the rule's document
	Downgrade []Downgrade       // the first whose condition holds applies
	Entities  map[string]string // entity of the finding → field of the event
	Says      map[string]string // entities that are the same in every finding
	Where     string            // file and line, for messages about the rule
	// Compiled is what has been made of Sigma already, by who read it; nil if nobody has.
	Compiled any
}

// Downgrade says when a match of a rule is worth less than the rule's level, and
// why, so that no finding is lowered without a reason.
type Downgrade struct {
	When       string // Sigma condition over the rule's selections
	Level      postern.Level
	Confidence postern.Confidence
	Title      postern.Text // zero for the rule's own
	Because    postern.Text
}

// Sequence is a Sigma correlation over findings of row rules.
type Sequence struct {
	postern.Rule
	Sigma []byte
	// Rules are the IDs of the rules, in the order in which the document names them;
	// also of sequences that stand before this one.
	Rules []string
	// Only says that the rules are there for this sequence only: what they find by
	// themselves is not reported, unless another sequence says otherwise.
	Only  bool
	Where string
}

// RuleFile is a file of YARA rules of a pack with what the pack says of each.
type RuleFile struct {
	Text  []byte
	Where string // the file, for messages about its rules
	// Rules by the identifier that they have in the file. Private rules, which find
	// nothing by themselves, are not among them.
	Rules map[string]postern.Rule
}

// HostDetector reads files one by one and judges a host by all of them together,
// as where a setting in one file undoes what another says.
type HostDetector interface {
	// Name says which kind of evidence its files are: "config".
	Name() string
	Wants(f *File) bool
	// Read takes from one file what Judge needs. Part is nil if that is nothing.
	Read(f *File) (part any, problems []postern.Problem, err error)
	// Judge is given the parts of all files of one host.
	Judge(parts []any) Judgement
}

// Judgement is what a HostDetector says of a host.
type Judgement struct {
	Findings []postern.Finding
	// Mitigated answers for each campaign whether a mitigation is in force.
	Mitigated map[string]postern.Fact
	// Builds are those that files say are installed, without a time.
	Builds []postern.Build
}

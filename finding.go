package postern

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Evidence is one place that a finding rests on.
type Evidence struct {
	Path    string
	Line    int64
	Record  int64
	Offset  int64
	SHA256  string // of the whole input, as it was read
	Excerpt string // hostile text: escape it for the medium
}

// Names of the entities that findings carry. Exporters and correlation know
// them; a finding may carry others.
const (
	ClientIP       = "client_ip"
	UserAgent      = "user_agent"
	URL            = "url"
	File           = "file"        // path on the server, as the evidence says it
	FileSHA256     = "file_sha256" // lower-case hex
	Account        = "account"
	ShellParameter = "shell_parameter"
	HTTPStatus     = "status"
	RequestID      = "request_id" // HttpProxy RequestId, IIS cafeReqId
	Canary         = "canary"     // msExchEcpCanary of a minted session
	VDir           = "virtual_directory"
	Method         = "method"
	Count          = "count" // how many events of the same kind stand behind the finding, if more than one
)

// Finding is one thing that a rule says about an event, a file or a host. The
// always-true part is the [Rule]; this is what is true here.
type Finding struct {
	ID         string
	Rule       string
	Campaign   string // "" for findings that belong to no campaign
	Level      Level
	Title      Text
	Time       Instant // zero if the evidence has no time that can be trusted
	CVE        []string
	Confidence Confidence
	Explain    []Text // why this level and not another; each downgrade adds one
	Evidence   []Evidence
	Entities   map[string]string
	Tags       []string
}

// FindingID gives a short, stable name: the same rule at the same place of the
// same evidence has the same ID in every run.
func FindingID(rule string, at Evidence) string {
	var room [256]byte
	b := append(append(room[:0], rule...), 0)
	b = append(append(b, at.Path...), 0)
	for _, n := range [...]int64{at.Line, at.Record, at.Offset} {
		b = append(strconv.AppendInt(b, n, 10), 0)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Lower takes a finding down to a level and says why. It never raises one.
func (f *Finding) Lower(to Level, why Text) {
	if f.Level > to {
		f.Level = to
		f.Explain = append(f.Explain, why)
	}
}

// Set adds an entity if the value is not empty.
func (f *Finding) Set(name, value string) {
	if value == "" {
		return
	}
	if f.Entities == nil {
		f.Entities = make(map[string]string)
	}
	f.Entities[name] = value
}

// HasTag says whether the finding carries a tag.
func (f *Finding) HasTag(tag string) bool {
	for _, t := range f.Tags {
		if t == tag {
			return true
		}
	}
	return false
}

// Incident is findings that belong together: one intrusion story, in time order.
type Incident struct {
	ID          string
	Level       Level
	First, Last Instant
	Findings    []string // IDs, in time order
	Story       []Text
}

// CoverageStatus says how far a source covers a window.
type CoverageStatus string

// The closed list of coverage statuses.
const (
	Covered       CoverageStatus = "covered"
	Partial       CoverageStatus = "partial"
	Absent        CoverageStatus = "absent"
	NotApplicable CoverageStatus = "not-applicable"
)

// Span is a time from and to, both UTC.
type Span struct{ From, To Instant }

// Coverage is what one source can have seen of a window; not seen is only worth
// what it covers. It is computed from the times of rows, never of files.
type Coverage struct {
	Source  string
	Status  CoverageStatus
	From    Instant // first and last row, zero if there is none
	To      Instant
	Records int64
	Gaps    []Span // hours of the window without a row, merged
}

// Verdict is what one host is told.
type Verdict struct {
	Level      Level
	Title      Text
	Confidence Confidence
	// Conclusive is true for a level of 2 and above with sound evidence, and for
	// not-seen only when the required sources cover the window.
	Conclusive bool
	Summary    Text
	Next       []Text
}

// CampaignVerdict is a host's verdict for one campaign.
type CampaignVerdict struct {
	Name     string
	Verdict  Verdict
	Coverage []Coverage
}

// State is one of the three separate facts about a host that nobody may mix up.
type State string

// The answers to "patched?" and "mitigated?".
const (
	Yes         State = "yes"
	No          State = "no"
	Unknown     State = "unknown"
	Ineffective State = "ineffective" // there, but it does not help
)

// Fact is a dated answer with its reason.
type Fact struct {
	State State
	Since Instant
	Why   Text
}

// Host is everything said about one server.
type Host struct {
	Host      string
	Build     Build
	Patched   Fact
	Mitigated Fact
	Verdict   Verdict
	Campaigns []CampaignVerdict
	Findings  []Finding
	Incidents []Incident
	Coverage  []Coverage
	Inputs    []HashedFile // those whose hash was taken
}

// HashedFile is a file of the evidence with the hash of its bytes.
type HashedFile struct {
	Path   string
	Size   int64
	SHA256 string
}

// ProblemKind is the closed list of what can go wrong with a piece of evidence.
type ProblemKind string

// What was not looked at, or not wholly.
const (
	Truncated   ProblemKind = "truncated"
	Unreadable  ProblemKind = "unreadable"
	Unsupported ProblemKind = "unsupported"
	Limit       ProblemKind = "limit"
	Malformed   ProblemKind = "malformed"
	Encoding    ProblemKind = "encoding"
)

// Problem is a piece of evidence that was not looked at, or not wholly. It is
// in every report.
type Problem struct {
	Path   string
	What   ProblemKind
	Detail Text
}

// Status says whether a run looked at all that it was given.
type Status string

// How a run ended.
const (
	Complete      Status = "complete"
	PartialStatus Status = "partial"
	Failed        Status = "failed"
)

// Stats counts the work of a run.
type Stats struct {
	Files          int64
	Bytes          int64
	Records        int64
	ElapsedSeconds float64
}

// Package msert reads the logs of Microsoft's on-demand scanners: the Safety
// Scanner (%SystemRoot%\debug\msert.log, and the msert.old.log into which Microsoft's
// mitigation script moves it) and its monthly sibling, the Malicious Software
// Removal Tool (mrt.log), which has the same form.
//
// Input: text of unknown origin, usually UTF-16LE with byte order mark. Output: a
// [Log] of scans with what each found, every entry with its line and its offset in the
// decoded text. Times are the server's local time without a zone: the log says none.
// Lines that are not known are passed over; bounds are named problems.
//
// Microsoft has not published the format. What is known comes from logs that
// people have shown; docs/formats/msert.md lists it with its sources.
package msert

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postern"
)

// Bounds of the reader.
const (
	// MaxBytes is read of one log. A scan writes a few KB; ten years of monthly scans
	// stay under 1 MB.
	MaxBytes = 64 << 20
	// MaxLine is looked at of one line. The longest real ones hold a path, at most
	// 32,767 characters, and mostly under 300.
	MaxLine = 64 << 10
	// MaxScans and MaxResources bound the memory of a log that somebody made up.
	MaxScans     = 5_000
	MaxResources = 50_000
	// maxRaw is kept of a line for reports.
	maxRaw = 1 << 10
)

// Source is the name of the events.
const Source = "msert"

// Place is where a line stands.
type Place struct {
	Line   int64  // 1-based
	Offset int64  // of the line in the decoded text, without byte order mark
	Raw    string // the line, cut
}

// Log is one log file: one scan after the other.
type Log struct {
	Size     int64
	SHA256   string // of the bytes as read; "" if not all of them were
	Scans    []Scan
	Problems []postern.Problem
}

// Scan is one run of a scanner.
type Scan struct {
	Place
	Tool, Version, Build string
	// Started and Finished are wall times of the server in no zone (their location
	// is UTC, which they are not); zero where the log does not say.
	Started, Finished  time.Time
	Engine, Signatures string
	RunMode            string
	Kinds              []string // "quick", "full", "extended" …, as the result headings say
	Threats            []Threat
	NothingFound       bool // the log says so in words
	Errors             int  // resources that could not be scanned
	ReturnCode         int
	HasReturnCode      bool
	headless           bool // the log has lost the beginning
}

// Outcome is what became of a threat.
type Outcome string

// The outcomes that a log tells.
const (
	Removed       Outcome = "removed"
	PartlyRemoved Outcome = "partly-removed"
	Left          Outcome = "left" // found and not touched
	Unsaid        Outcome = "unknown"
)

// Threat is one detection of a scan.
type Threat struct {
	Place
	Name      string // Backdoor:ASP/Name.A
	Outcome   Outcome
	Action    string // Remove, Quarantine, NoAction …
	Result    string // 0x00000000 is success
	Resources []Resource
	words     string // what stands after the name
}

// Resource is one thing in which a threat was found.
type Resource struct {
	Place
	Kind string // file, containerfile, process, regkey …
	Path string // of the outer file
	// Inside is the way from the outer file to the part of it, with "->".
	Inside string
}

var (
	header   = regexp.MustCompile(`^(Microsoft [A-Za-z ]{3,60}?) v([0-9][0-9.]{0,40}),? ?(?:\(build ([^)]{0,60})\))?`)
	results  = regexp.MustCompile(`(?i)^([a-z]{1,20}) scan results:`)
	detected = regexp.MustCompile(`(?i)^threat detected: *([^\s,]{1,200})(.*)`)
	action   = regexp.MustCompile(`(?i)^action: *([^,]{0,80})(?:, *result: *(\S{0,40}))?`)
	found    = regexp.MustCompile(`(?i)^found ([^\s,]{1,200}:[^\s,]{1,200})(.*)`)
	resource = regexp.MustCompile(`^([a-zA-Z]{2,30})://(.*)`)
	returned = regexp.MustCompile(`(?i)^return code: *(-?[0-9]{1,10})`)
)

// Recognise says by its first bytes, some hundred are enough, whether a file is
// such a log: the name of the tool stands at its beginning.
func Recognise(head []byte) bool {
	l, _ := Read(bytes.NewReader(head[:min(len(head), 4<<10)]), "")
	return len(l.Scans) > 0 && l.Scans[0].Tool != ""
}

// line takes one line of the log.
func (r *reader) line(at Place, s string) {
	if m := header.FindStringSubmatch(s); m != nil {
		r.begin(Scan{Place: at, Tool: m[1], Version: m[2], Build: m[3]})
		return
	}
	name, value, _ := strings.Cut(s, ":")
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(s, "Started On "):
		// A second beginning without a heading is a scan of its own.
		if sc := r.scan(at); !sc.Started.IsZero() {
			r.begin(Scan{Place: at, headless: true})
		}
		r.scan(at).Started = wall(strings.TrimPrefix(s, "Started On "))
	case strings.Contains(s, " Finished On "):
		_, when, _ := strings.Cut(s, " Finished On ")
		r.scan(at).Finished = wall(when)
	case strings.Contains(s, "Scan ERROR"):
		r.scan(at).Errors++
	case name == "Results Summary":
		r.open = false
	case name == "Engine":
		r.scan(at).Engine = value
	case name == "Signatures":
		r.scan(at).Signatures = value
	case name == "Run Mode":
		r.scan(at).RunMode = value
	case strings.EqualFold(strings.TrimRight(s, "."), "No infection found"):
		r.scan(at).NothingFound = true
	default:
		r.entry(at, s)
	}
}

// entry takes the lines of results.
func (r *reader) entry(at Place, s string) {
	if m := results.FindStringSubmatch(s); m != nil {
		sc := r.scan(at)
		sc.Kinds = append(sc.Kinds, strings.ToLower(m[1]))
	} else if m := detected.FindStringSubmatch(s); m != nil {
		r.threat(at, m[1], m[2])
	} else if m := found.FindStringSubmatch(s); m != nil {
		r.summary(at, m[1], m[2])
	} else if m := returned.FindStringSubmatch(s); m != nil {
		sc := r.scan(at)
		sc.ReturnCode, _ = strconv.Atoi(m[1])
		sc.HasReturnCode = true
	} else if m := action.FindStringSubmatch(s); m != nil {
		if t := r.current(); t != nil {
			t.Action, t.Result = strings.TrimSpace(m[1]), m[2]
			t.Outcome = outcome(t.words, t.Action, t.Result)
		}
	} else if m := resource.FindStringSubmatch(s); m != nil {
		r.resource(at, strings.ToLower(m[1]), m[2])
	}
}

func (r *reader) begin(s Scan) {
	if len(r.log.Scans) >= MaxScans {
		r.overflow = true
		return
	}
	r.log.Scans = append(r.log.Scans, s)
	r.open = false
}

// scan gives the scan that a line belongs to; a log that has lost its beginning
// gets one without a heading.
func (r *reader) scan(at Place) *Scan {
	if len(r.log.Scans) == 0 {
		r.log.Scans = append(r.log.Scans, Scan{Place: at, headless: true})
	}
	return &r.log.Scans[len(r.log.Scans)-1]
}

func (r *reader) threat(at Place, name, words string) {
	sc := r.scan(at)
	if !r.room() {
		return
	}
	sc.Threats = append(sc.Threats, Threat{Place: at, Name: name, words: words, Outcome: outcome(words, "", "")})
	r.open = true
}

// current gives the threat whose details the lines are.
func (r *reader) current() *Threat {
	if !r.open || len(r.log.Scans) == 0 {
		return nil
	}
	sc := &r.log.Scans[len(r.log.Scans)-1]
	if len(sc.Threats) == 0 {
		return nil
	}
	return &sc.Threats[len(sc.Threats)-1]
}

func (r *reader) resource(at Place, kind, path string) {
	t := r.current()
	if t == nil || !r.room() {
		return
	}
	outer, inside, _ := strings.Cut(path, "->")
	t.Resources = append(t.Resources, Resource{Place: at, Kind: kind, Path: outer, Inside: inside})
}

// room counts what is kept and says whether there is room for one more.
func (r *reader) room() bool {
	if r.kept++; r.kept > MaxResources {
		r.overflow = true
	}
	return !r.overflow
}

// summary takes a line of the summary: it tells the outcome of a threat that was
// listed, or is all that the log says of it.
func (r *reader) summary(at Place, name, words string) {
	r.open = false
	sc := r.scan(at)
	listed := false
	for i := range sc.Threats {
		if t := &sc.Threats[i]; strings.EqualFold(t.Name, name) {
			listed = true
			if t.Outcome == Unsaid {
				t.Outcome = outcome(words, "", "")
			}
		}
	}
	if !listed && r.room() {
		sc.Threats = append(sc.Threats, Threat{Place: at, Name: name, words: words, Outcome: outcome(words, "", "")})
	}
}

// outcome reads what became of a threat from the words after its name and, where
// they say nothing, from the action.
func outcome(words, action, result string) Outcome {
	w := strings.ToLower(words)
	switch {
	case strings.Contains(w, "not removed"), strings.Contains(w, "not remove"):
		return Left
	case strings.Contains(w, "partially"):
		return PartlyRemoved
	case strings.Contains(w, "removed"):
		return Removed
	}
	switch a := strings.ToLower(action); {
	case a == "noaction":
		return Left
	case a == "remove" || a == "quarantine" || a == "clean":
		if v, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(result), "0x"), 16, 64); err == nil && v == 0 {
			return Removed
		}
	}
	return Unsaid
}

// wall reads the time of C's asctime, whose day may be padded in any way.
func wall(s string) time.Time {
	t, err := time.Parse("Mon Jan 2 15:04:05 2006", strings.Join(strings.Fields(s), " "))
	if err != nil {
		return time.Time{}
	}
	return t
}

// In gives a wall time of the log as an instant, zero if it or the zone is unknown.
func In(wall time.Time, zone *time.Location) postern.Instant {
	if wall.IsZero() || zone == nil {
		return postern.Instant{}
	}
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone).UTC()
}

// Events gives one event a scan and one a resource of a threat. They have a time
// only if the zone of the server is known.
func (l *Log) Events(path string, zone *time.Location) []postern.Event {
	var events []postern.Event
	for i := range l.Scans {
		s := &l.Scans[i]
		event := func(at Place, kind string, fields ...string) {
			e := postern.Event{Source: Source, Time: In(s.Started, zone), Raw: at.Raw,
				Place: postern.Place{Path: path, Line: at.Line, Offset: at.Offset}}
			fields = append([]string{"Event", kind, "StartedLocal", local(s.Started)}, fields...)
			for j := 0; j+1 < len(fields); j += 2 {
				if fields[j+1] != "" {
					e.Fields = append(e.Fields, postern.Field{Name: fields[j], Value: fields[j+1]})
				}
			}
			events = append(events, e)
		}
		code := ""
		if s.HasReturnCode {
			code = strconv.Itoa(s.ReturnCode)
		}
		event(s.Place, "Scan", "FinishedLocal", local(s.Finished), "Tool", s.Tool, "Version", s.Version, "Build", s.Build,
			"Engine", s.Engine, "Signatures", s.Signatures, "RunMode", s.RunMode, "ScanKind", strings.Join(s.Kinds, ","),
			"Threats", strconv.Itoa(len(s.Threats)), "Errors", strconv.Itoa(s.Errors), "ReturnCode", code)
		for _, t := range s.Threats {
			if len(t.Resources) == 0 {
				event(t.Place, "Threat", "ThreatName", t.Name, "Outcome", string(t.Outcome), "Action", t.Action, "Result", t.Result)
			}
			for _, r := range t.Resources {
				event(r.Place, "Threat", "ThreatName", t.Name, "Outcome", string(t.Outcome), "Action", t.Action, "Result", t.Result,
					"ResourceKind", r.Kind, "Path", r.Path, "Inside", r.Inside)
			}
		}
	}
	return events
}

func local(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04:05")
}

package exercise

import (
	"bytes"
	"encoding/json"
	"os"
	"time"

	"postern"
)

// Schema names the version of truth.json; docs/formats/exercise.md describes it.
const Schema = "postern.exercise/1"

// truthFile is the name of the truth beside the hosts' folders.
const truthFile = "truth.json"

// Truth says what was laid out. Paths are below the output folder, with '/'.
type Truth struct {
	Schema string      `json:"schema"`
	Seed   uint64      `json:"seed"`
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Window Span        `json:"window"` // what Expect.Conclusive was decided for
	Hosts  []HostTruth `json:"hosts"`
}

// HostTruth is what is true of one server.
type HostTruth struct {
	Host       string     `json:"host"`
	Folder     string     `json:"folder"`
	Story      string     `json:"story"`
	From       time.Time  `json:"from"` // of the logs; stories of later campaigns have their own time
	To         time.Time  `json:"to"`
	Expect     Expect     `json:"expect"`
	Build      string     `json:"build"`       // when the logs begin
	BuildAfter string     `json:"build_after"` // when they end
	Patched    *time.Time `json:"patched"`     // null if it was not
	Mitigated  *time.Time `json:"mitigated"`   // null if it was not
	Install    string     `json:"install_path"`
	Zone       int        `json:"zone_hours"` // local time minus UTC
	Actors     []Actor    `json:"actors"`
	// Planted rows and files are what the story left. Those of level 0 belong to
	// it but prove nothing alone; finding them is neither needed nor wrong.
	Planted []Row         `json:"planted"`
	Files   []PlantedFile `json:"files"`
	// NearMisses look like it and are not: a finding above level 0 that rests on one is false.
	NearMisses []NearMiss `json:"near_misses"`
	// Lost are rows of the story that were no longer there when the evidence was taken.
	Lost     int        `json:"lost"`
	Coverage []Coverage `json:"coverage"`
	Damage   []Damage   `json:"damage"`
	NFiles   int64      `json:"files_written"`
	NBytes   int64      `json:"bytes_written"`
}

// Expect is the verdict that a right hunt gives.
type Expect struct {
	Level      postern.Level `json:"level"`
	Name       string        `json:"name"`
	Conclusive bool          `json:"conclusive"`
}

// Actor is somebody whose rows were planted.
type Actor struct {
	Role       string   `json:"role"` // intruder, scanner, third-party, load-balancer, administrator
	Addresses  []string `json:"addresses"`
	UserAgents []string `json:"user_agents,omitempty"`
}

// Place is where a row stands, or the record of an event log.
type Place struct {
	Path   string `json:"path"`
	Record int64  `json:"record,omitempty"` // of an event log, which has no lines
	Line   int64  `json:"line"`             // from 1, as the file has them, header lines included
	Offset int64  `json:"offset"`           // of the line's first byte in the file; of UTF-16, in its text as UTF-8
	Stored int64  `json:"stored"`           // of the line's first byte in the file, UTF-16 too
}

// Row is a planted row.
type Row struct {
	Place
	Time  time.Time     `json:"time"`
	Kind  string        `json:"kind"`
	Level postern.Level `json:"level"` // what the row shows if the time of the patch is known
	Rule  string        `json:"rule,omitempty"`
	Vary  []string      `json:"variation,omitempty"` // in what way it is written unusually
}

// PlantedFile is a file that the story left.
type PlantedFile struct {
	Path   string        `json:"path"`
	Kind   string        `json:"kind"`
	Level  postern.Level `json:"level"` // what the file shows by itself and its place
	SHA256 string        `json:"sha256"`
	Time   time.Time     `json:"time"`
}

// NearMiss is a harmless row, record or file. Line and Record are 0 for a file.
type NearMiss struct {
	Place
	Why string `json:"why"`
}

// Span is a time from and to, both UTC.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Coverage is what one source of logs covers, told by the times of its rows.
type Coverage struct {
	Source  string    `json:"source"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Records int64     `json:"records"`
	Gaps    []Span    `json:"gaps,omitempty"` // hours of the range without a row, merged
}

// Damage is a log that is not as it was written: truncated, nul-padding or utf-16.
type Damage struct {
	Path string `json:"path"`
	What string `json:"what"`
}

// worst is the highest level of what was planted and is still there.
func (h *HostTruth) worst() postern.Level {
	level := postern.NotSeen
	for i := range h.Planted {
		level = max(level, h.Planted[i].Level)
	}
	for i := range h.Files {
		level = max(level, h.Files[i].Level)
	}
	return level
}

// write puts the truth beside the hosts' folders.
func (t *Truth) write(root *os.Root) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(t); err != nil {
		return err
	}
	return root.WriteFile(truthFile, b.Bytes(), 0o644)
}

// ReadTruth reads the truth.json of a folder that [Evidence] laid out.
func ReadTruth(path string) (Truth, error) {
	var t Truth
	b, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(b, &t)
}

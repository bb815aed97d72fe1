// Package clean is the part of the response that puts confirmed malicious files
// away and brings them back. Nothing is ever deleted.
//
// Input: the root folder of a server as an [os.Root], what a hunt named in it, a
// folder for the quarantine, an Ed25519 key. Output: a [Plan] of what would be moved
// and what is left to a person, and after [Keeper.Apply] a signed [Manifest] beside
// the files that were moved. docs/formats/quarantine.md has the form.
//
// A file is moved only if its bytes have, at that moment, the SHA-256 that the hunt
// saw. The manifest says what is about to happen before it happens, so that a run
// that is killed leaves each file in one of two places and [Keeper.Settle] can say
// in which. Names are relative to the root, with '/'; sizes are bytes, times UTC.
package clean

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"postern"
	"postern/internal/respond"
)

// Bounds.
const (
	// maxNamed bounds the files of one run: a mass upload left some hundreds.
	maxNamed = 10_000
	// maxRecord is what is read of a note that ASP.NET writes of a compiled page: 1 KB.
	maxRecord = 64 << 10
	// maxFolder bounds the names of a folder of compiled pages that are looked at.
	maxFolder = 50_000
)

// Refusal says why nothing was changed, or why one file was not.
type Refusal struct {
	Why   postern.Text
	cause error
}

func (r *Refusal) Error() string {
	if r.cause != nil {
		return fmt.Sprintf("%s: %v", r.Why.Key, r.cause)
	}
	return r.Why.Key
}
func (r *Refusal) Unwrap() error { return r.cause }

// halt ends a run: the manifest cannot be written, or something is where only
// [Keeper.Settle] finds it. It never means that a file simply stays where it is.
type halt struct{ error }

func (h *halt) Unwrap() error { return h.error }

func refuse(cause error, why postern.Text) error { return &Refusal{Why: why, cause: cause} }

// Kind says what a named thing is.
type Kind string

// The kinds.
const (
	Page     Kind = "page"     // a file that is malicious by itself
	Compiled Kind = "compiled" // what ASP.NET made of such a page
	Setting  Kind = "setting"  // an entry of a configuration file
	Stock    Kind = "stock"    // a file of the product whose content was replaced
	Unsure   Kind = "unsure"   // a file that may be malicious
)

// Named is one thing that a hunt named, as evidence of level 4 or above and high
// confidence, or the compiled form of a page.
type Named struct {
	Kind    Kind
	Finding string // ID
	Rule    string
	Level   postern.Level
	Path    string // in the evidence of the hunt
	SHA256  string // lower-case hex; "" for settings
	Server  string // the file's place on the server
	Page    string // of a compiled form: the place of its page
	Line    int64  // of a setting
	Excerpt string // of a setting: the line as it stands
}

// Move is a file that can be moved.
type Move struct {
	Kind     Kind
	Path     string
	SHA256   string
	Size     int64
	Rules    []string
	Findings []string
	Level    postern.Level
	Server   string
}

// Left is something that stays where it is, and why.
type Left struct {
	Path string       `json:"path"`
	Kind Kind         `json:"kind"`
	Why  postern.Text `json:"why"`
	// Line and Excerpt say what to take out of a configuration file.
	Line    int64  `json:"line,omitempty"`
	Excerpt string `json:"excerpt,omitempty"`
}

// Plan is what would be done.
type Plan struct {
	Moves []Move
	Left  []Left
	Gone  []string // named files that are not there any more
}

// Make looks at what is named and decides about each; nothing is changed. Confirm is
// asked about files that pass all other tests, with their paths below the root: it
// gives those that whoever asks would name again today.
func Make(root *os.Root, named []Named, confirm func([]Move) (map[string]bool, error)) (*Plan, error) {
	if len(named) > maxNamed {
		return nil, refuse(nil, postern.Say("clean.no.many", "count", len(named), "bound", maxNamed))
	}
	p := &Plan{}
	pages := p.pages(root, named)
	confirmed, err := confirm(pages)
	if err != nil {
		return nil, err
	}
	servers := make(map[string]bool) // places of the pages that are moved
	var sure []Move
	for _, m := range pages {
		if !confirmed[m.Path] {
			p.leave(Page, m.Path, postern.Say("clean.left.unconfirmed"))
			continue
		}
		servers[m.Server] = true
		sure = append(sure, m)
	}
	p.compiled(root, named, servers)
	// The pages come last: as long as one is there a run that was killed can be taken up
	// with all that belongs to it.
	p.Moves = append(p.Moves, sure...)
	slices.SortFunc(p.Left, func(a, b Left) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(p.Gone)
	p.Gone = slices.Compact(p.Gone)
	return p, nil
}

func (p *Plan) leave(kind Kind, path string, why postern.Text) {
	p.Left = append(p.Left, Left{Path: path, Kind: kind, Why: why})
}

// pages finds the named files that are there as they were, and says of the others why not.
func (p *Plan) pages(root *os.Root, named []Named) []Move {
	var moves []Move
	at := make(map[string]int)
	for _, n := range named {
		switch n.Kind {
		case Compiled:
			continue
		case Setting:
			p.Left = append(p.Left, Left{Path: n.Path, Kind: Setting, Why: postern.Say("clean.left.setting"), Line: n.Line, Excerpt: n.Excerpt})
			continue
		case Stock:
			p.leave(Stock, n.Path, postern.Say("clean.left.stock"))
			continue
		case Unsure:
			if _, err := find(root, n); !errors.Is(err, fs.ErrNotExist) {
				p.leave(Unsure, n.Path, postern.Say("clean.left.unsure"))
			}
			continue
		}
		if why := kept(n.Path); why != "" {
			p.leave(Page, n.Path, postern.Say("clean.left.kind", "kind", why))
			continue
		}
		m, err := find(root, n)
		if err != nil {
			p.note(n, err)
			continue
		}
		if i, twice := at[m.Path]; twice {
			moves[i].Rules = appendNew(moves[i].Rules, n.Rule)
			moves[i].Findings = appendNew(moves[i].Findings, n.Finding)
			moves[i].Level = max(moves[i].Level, n.Level)
			continue
		}
		at[m.Path] = len(moves)
		moves = append(moves, m)
	}
	return moves
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// note keeps why a named file cannot be moved.
func (p *Plan) note(n Named, err error) {
	var why *Refusal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Gone = append(p.Gone, n.Path)
	case errors.As(err, &why):
		p.leave(n.Kind, n.Path, why.Why)
	case errors.As(fileError(err), &why):
		p.leave(n.Kind, n.Path, why.Why)
	}
}

// kept names the kinds of files that are evidence, data or settings, and never moved
// whatever a rule says of them.
func kept(name string) string {
	lower := "/" + strings.ToLower(name)
	switch ext := path.Ext(lower); ext {
	case ".config", ".log", ".evtx", ".edb", ".etl", ".bak", ".sys":
		return ext
	}
	if strings.Contains(lower, "/system32/config/") {
		return "system32/config"
	}
	return ""
}

// find looks for a named file below the root: the hunt may have read a folder above
// it or an archive of it, so that leading folders of its path count only as far as
// they are there.
func find(root *os.Root, n Named) (Move, error) {
	name := n.Path
	if i := strings.LastIndex(name, "!/"); i >= 0 {
		name = name[i+2:]
	}
	if !fs.ValidPath(name) {
		return Move{}, refuse(nil, postern.Say("clean.left.path"))
	}
	if err := speakable(name); err != nil {
		return Move{}, err
	}
	var other error
	for candidate, more := name, true; more; _, candidate, more = strings.Cut(candidate, "/") {
		info, err := lookAt(root, candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			continue
		}
		var sum string
		if err == nil {
			sum, err = hashOf(root, candidate)
		}
		if err == nil && sum == n.SHA256 {
			return Move{Kind: n.Kind, Path: candidate, SHA256: sum, Size: info.Size(), Rules: []string{n.Rule},
				Findings: []string{n.Finding}, Level: n.Level, Server: n.Server}, nil
		}
		if other == nil {
			if other = err; err == nil {
				other = refuse(nil, postern.Say("clean.left.changed", "was", n.SHA256, "is", sum))
			}
		}
	}
	if other != nil {
		return Move{}, other
	}
	return Move{}, fs.ErrNotExist
}

// speakable refuses names that Windows takes for others: what is asked of such a file
// would be done to another. Elsewhere they are names like any.
func speakable(name string) error {
	if part := respond.OddName(name); part != "" && runtime.GOOS == "windows" {
		return refuse(nil, postern.Say("clean.left.odd", "part", part))
	}
	return nil
}

// lookAt is Lstat that follows no link on the way either: a junction planted in a web
// folder must not lead to somebody else's files.
func lookAt(root *os.Root, name string) (fs.FileInfo, error) {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := root.Lstat(name[:i])
		if err != nil {
			if errors.Is(err, syscall.ENOTDIR) {
				err = fs.ErrNotExist
			}
			return nil, err
		}
		// Junctions and other reparse points are irregular to Go.
		if info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
			return nil, refuse(nil, postern.Say("clean.left.link", "link", name[:i]))
		}
		if i == len(name) {
			return info, nil
		}
	}
	return nil, fs.ErrNotExist
}

// hashOf reads a file that is not a link.
func hashOf(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// innermost is what happened, without who saw it.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// Package proctree finds what was started below a process that serves requests
// from outside: the web server's worker, the worker of Unified Messaging. Input:
// the events of processes that start, Security 4688 and Sysmon 1, of one host, those
// of a file in their order. Output: one finding for each tree, with the start of a
// process that two channels saw counted once.
//
// Parents are found by their numbers, which Windows uses again: a process that
// starts ends what is known of an older one with its number. Only processes below a
// worker are remembered, so that memory does not grow with the logs. A tree that
// begins in one file and goes on in another is found by its parts that name the worker.
package proctree

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"postern"
)

// Bounds of what is remembered of one host.
const (
	// maxFiles bounds the files with processes; a host has two, and their archives.
	maxFiles = 4096
	// maxNodes bounds the processes of all trees: an intruder types hundreds, a
	// web page that starts a program for each call many.
	maxNodes = 20_000
	// reserved is the part of them, one in so many, that only tools may use: a server that
	// compiles pages all day must not keep out what somebody types at last.
	reserved = 4
	// maxText is kept of a command line.
	maxText = 2048
	// maxEvidence bounds the places that a finding names, the earliest.
	maxEvidence = 16
	// maxNamed bounds the images that its explanation names.
	maxNamed = 6
)

const (
	// sameStart is how far the times of two channels about one start may be apart.
	sameStart = 2 * time.Second
	// sameWorker is how long a worker may be silent and still be the same: Windows
	// gives its number to another some time, and a web server recycles its workers daily.
	sameWorker = 24 * time.Hour
)

//go:embed trees.yaml
var treesYAML []byte

// Detector knows the images. It does not change once made.
type Detector struct {
	workers map[string][]string // image → CVEs
	quiet   map[string]bool
	tools   map[string]bool
}

// New reads the images that the program carries.
func New() (*Detector, error) {
	var doc struct {
		Workers []struct {
			Image string
			CVEs  []string `yaml:"cves"`
		}
		Quiet, Tools []string
	}
	dec := yaml.NewDecoder(bytes.NewReader(treesYAML))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("trees.yaml: %w", err)
	}
	d := &Detector{workers: make(map[string][]string), quiet: make(map[string]bool), tools: make(map[string]bool)}
	for _, w := range doc.Workers {
		d.workers[w.Image] = w.CVEs
	}
	for _, image := range doc.Quiet {
		d.quiet[image] = true
	}
	for _, image := range doc.Tools {
		d.tools[image] = true
	}
	return d, nil
}

// Wants says whether the events of a channel with an id are starts of processes.
func Wants(channel string, id uint32) bool {
	return id == 4688 && strings.EqualFold(channel, "Security") ||
		id == 1 && strings.EqualFold(channel, "Microsoft-Windows-Sysmon/Operational")
}

// Host remembers the trees of one host. It is used by several goroutines, each of
// which gives the events of a file in their order.
type Host struct {
	d     *Detector
	mu    sync.Mutex
	files map[string]map[uint64]*process // alive below a worker, by number, of each file
	trees map[worker][]*process
	nodes int
	lost  int // starts below a worker that were only counted
}

// worker is the process at the root of a tree.
type worker struct {
	image string
	pid   uint64
}

// process is one that was started below a worker, or a worker that is known to
// have started, which has no image of its own here.
type process struct {
	root                 worker
	image, command, user string
	pool                 string // application pool of the worker above, "" if the event does not say
	guid                 string
	pid                  uint64
	at                   time.Time
	source               string
	place                postern.Place
	also                 []postern.Evidence // of the same start in another channel
}

// NewHost gives an empty memory.
func (d *Detector) NewHost() *Host {
	return &Host{d: d, files: make(map[string]map[uint64]*process), trees: make(map[worker][]*process)}
}

// start is what an event says of a process that starts.
type start struct {
	pid, parent        uint64
	image, parentImage string // without folder, lower case
	guid, parentGUID   string
}

// read takes the start out of an event; the channels have names of their own for
// the same things.
func read(ev *postern.Event) start {
	s := start{guid: ev.Get("ProcessGuid"), parentGUID: ev.Get("ParentProcessGuid")}
	if full, ok := ev.Lookup("NewProcessName"); ok {
		s.image, s.parentImage = base(full), base(ev.Get("ParentProcessName"))
		s.pid, s.parent = number(ev.Get("NewProcessId")), number(ev.Get("ProcessId"))
		return s
	}
	s.image, s.parentImage = base(ev.Get("Image")), base(ev.Get("ParentImage"))
	s.pid, s.parent = number(ev.Get("ProcessId")), number(ev.Get("ParentProcessId"))
	return s
}

// base gives the name of an image without its folder, lower case.
func base(path string) string {
	return strings.ToLower(path[strings.LastIndexAny(path, `\/`)+1:])
}

// number reads a process id, decimal or hexadecimal as Security has it.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 0, 64)
	return n
}

// See is told of each start of a process.
func (h *Host) See(ev *postern.Event) {
	s := read(ev)
	h.mu.Lock()
	defer h.mu.Unlock()
	alive := h.files[ev.Place.Path]
	if alive == nil {
		alive = make(map[uint64]*process) // beyond the bound it forgets at once: what a worker starts itself is seen still
		if len(h.files) < maxFiles {
			h.files[strings.Clone(ev.Place.Path)] = alive
		}
	}
	parent := alive[s.parent]
	if parent != nil && !parent.is(s) {
		parent = nil
	}
	delete(alive, s.pid)
	var root worker
	switch _, serves := h.d.workers[s.parentImage]; {
	case parent != nil:
		root = parent.root
	case serves:
		root = worker{s.parentImage, s.parent}
	default:
		if _, worksItself := h.d.workers[s.image]; worksItself && len(alive) < maxNodes { // older systems do not name the parent of what it starts
			alive[s.pid] = &process{root: worker{strings.Clone(s.image), s.pid}, image: strings.Clone(s.image), guid: strings.Clone(s.guid)}
		}
		return
	}
	room := maxNodes
	if !h.d.tools[s.image] {
		room -= maxNodes / reserved
	}
	if h.nodes >= room {
		h.lost++
		return
	}
	h.nodes++
	p := &process{root: worker{strings.Clone(root.image), root.pid}, image: strings.Clone(s.image), guid: strings.Clone(s.guid), pid: s.pid, at: ev.Time,
		command: clip(ev.Get("CommandLine")), user: user(ev), pool: cmp.Or(poolOf(ev.Get("ParentCommandLine")), poolAbove(parent)), source: ev.Source, place: ev.Place}
	alive[s.pid] = p
	h.trees[p.root] = append(h.trees[p.root], p)
}

// is says whether a process that is known by its number can be the parent of one
// that starts.
func (p *process) is(s start) bool {
	if p.guid != "" && s.parentGUID != "" {
		return strings.EqualFold(p.guid, s.parentGUID)
	}
	return s.parentImage == "" || s.parentImage == p.image
}

func clip(s string) string { return strings.Clone(s[:min(len(s), maxText)]) }

// user gives who started it, with the domain where the event says it apart.
func user(ev *postern.Event) string {
	if u := ev.Get("User"); u != "" {
		return clip(u)
	}
	name, domain := ev.Get("SubjectUserName"), ev.Get("SubjectDomainName")
	if domain == "" || domain == "-" {
		return clip(name)
	}
	return clip(domain + `\` + name)
}

// poolOf gives the application pool that the command line of a web server's worker
// names: w3wp.exe -ap "NAME".
func poolOf(command string) string {
	_, rest, ok := strings.Cut(command, `-ap "`)
	name, _, whole := strings.Cut(rest, `"`)
	if !ok || !whole {
		return ""
	}
	return clip(name)
}

// poolAbove gives that of the process that started another.
func poolAbove(parent *process) string {
	if parent == nil {
		return ""
	}
	return parent.pool
}

// Findings gives a finding for each tree in which something was started that has
// no place there, the earliest first.
func (h *Host) Findings() []postern.Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []postern.Finding
	roots := slices.SortedFunc(maps.Keys(h.trees), func(a, b worker) int {
		return cmp.Or(strings.Compare(a.image, b.image), cmp.Compare(a.pid, b.pid))
	})
	for _, root := range roots {
		for _, tree := range apart(once(h.trees[root])) {
			if f, ok := h.d.finding(root, tree); ok {
				all = append(all, f)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b postern.Finding) int { return a.Time.Compare(b.Time) })
	if h.lost > 0 && len(all) > 0 {
		last := &all[len(all)-1]
		last.Explain = append(last.Explain, postern.Say("proctree.lost", "count", h.lost, "bound", maxNodes))
	}
	return all
}

// once gives the processes in the order of their starts, each once.
func once(found []*process) []*process {
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b *process) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.place.Path, b.place.Path), cmp.Compare(a.place.Record, b.place.Record))
	})
	var kept []*process
next:
	for _, p := range found {
		for i := len(kept) - 1; i >= 0 && p.at.Sub(kept[i].at) <= sameStart; i-- {
			k := kept[i]
			if k.pid != p.pid || k.image != p.image {
				continue
			}
			switch {
			case k.source == p.source && k.place.Record == p.place.Record: // the same log, collected twice
			case k.source == p.source:
				continue
			default:
				k.also = append(k.also, p.evidence())
				k.command, k.user = cmp.Or(k.command, p.command), cmp.Or(k.user, p.user)
			}
			continue next
		}
		c := *p
		kept = append(kept, &c)
	}
	return kept
}

// apart parts the processes of one number of a worker where it must have been
// another worker's.
func apart(found []*process) [][]*process {
	var trees [][]*process
	from := 0
	for i := range found {
		if i > 0 && found[i].at.Sub(found[i-1].at) > sameWorker {
			trees = append(trees, found[from:i])
			from = i
		}
	}
	return append(trees, found[from:])
}

func (p *process) evidence() postern.Evidence {
	return postern.Evidence{Path: p.place.Path, Record: p.place.Record, Offset: p.place.Offset, Excerpt: cmp.Or(p.command, p.image)}
}

// rule is the name of what this detector says.
const rule = "process/below-web-server"

// finding judges a tree. An interpreter below a worker is how a back door is used;
// of a program that nobody knows it is only odd.
func (d *Detector) finding(root worker, tree []*process) (postern.Finding, bool) {
	f := postern.Finding{Rule: rule, Level: postern.Used, Confidence: postern.Low,
		Title: postern.Say("proctree.title", "worker", root.image), CVE: d.workers[root.image], Tags: []string{"process", "attack.t1505.003"}}
	var first *process // of the tools, or else of all
	var images []string
	odd := 0
	for _, p := range tree {
		f.Set("application_pool", p.pool)
		if _, serves := d.workers[p.image]; d.quiet[p.image] || serves {
			continue
		}
		if odd++; odd == 1 {
			f.Time = p.at
		}
		if !slices.Contains(images, p.image) {
			images = append(images, p.image)
		}
		if d.tools[p.image] && f.Confidence < postern.High {
			f.Confidence, first = postern.High, p
		}
		if first == nil {
			first = p
		}
		for _, e := range append([]postern.Evidence{p.evidence()}, p.also...) {
			if len(f.Evidence) < maxEvidence {
				f.Evidence = append(f.Evidence, e)
			}
		}
	}
	if odd == 0 {
		return f, false
	}
	named := strings.Join(images[:min(len(images), maxNamed)], ", ")
	if len(images) > maxNamed {
		named += ", …"
	}
	why := postern.Say("proctree.tool", "worker", root.image, "count", odd, "images", named)
	if f.Confidence < postern.High {
		why = postern.Say("proctree.unknown", "worker", root.image, "count", odd, "images", named)
	}
	f.Explain = []postern.Text{why}
	f.ID = postern.FindingID(rule, f.Evidence[0])
	f.Set("command", cmp.Or(first.command, first.image))
	f.Set("process", first.image)
	f.Set("parent_process", root.image)
	f.Set(postern.Account, first.user)
	if odd > 1 {
		f.Set(postern.Count, strconv.Itoa(odd))
	}
	return f, true
}

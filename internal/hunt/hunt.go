// Package hunt is the river from evidence to verdict. Input: opened evidence, the
// detectors with what the campaign packs taught them, and what is known of the
// organisation. Output: one [postern.Host] for each server in the evidence, and a
// [postern.Problem] for everything that was not looked at.
//
//	evidence ─▶ source ─▶ parse ─▶ detect ─▶ correlate ─▶ verdict
//
// Memory is bounded by the findings of the servers in the evidence, which are
// bounded by rule, and never by the size of logs.
package hunt

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"postern"
	"postern/internal/hunt/correlate"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/source"
)

// Evidence is what is hunted: [source.Evidence].
type Evidence interface {
	Walk(ctx context.Context, visit func(source.File) error) error
	Close() error
}

// Input is one piece of evidence that the user named.
type Input struct {
	Name string // as the user wrote it
	// Path is where it lies on this machine, with '/': a live server's folder says by
	// it what its files are.
	Path string
	// Open opens it; tell is told about everything that cannot be looked at.
	Open func(ctx context.Context, tell func(postern.Problem)) (Evidence, error)
}

// Rules judge rows. They are shared by all hosts.
type Rules interface {
	// Host gives what judges the rows of one host.
	Host() HostRules
}

// HostRules judge the rows and records of one host. Gate, Look, Channel and
// LookAtRecord are used by several goroutines; Learn is called while nobody else is.
type HostRules interface {
	// Gate gives the gate for the columns of a header; see [parse.Options].
	Gate(f *parse.Format, columns []string) parse.Gate
	Look(ev *postern.Event) []postern.Finding
	// Channel says what is asked of the records of a channel; see [parse.RecordOptions].
	Channel(name string) *parse.Channel
	// LookAtRecord judges one of them.
	LookAtRecord(ev *postern.Event) []postern.Finding
	// Learn is told what was found before the web server's logs are read: requests
	// to a page that is known from elsewhere are evidence too.
	Learn(findings []postern.Finding)
	// Sequences gives the findings that rest on the order of others.
	Sequences(findings []postern.Finding) []postern.Finding
	// Once gives the findings with those made one that two logs have of the same act.
	Once(findings []postern.Finding) []postern.Finding
}

// Options is everything that a hunt is told beside the evidence.
type Options struct {
	Campaigns []postern.Campaign
	Formats   []*parse.Format
	Records   []*parse.Records
	Rules     Rules
	Files     []detect.FileDetector
	Hosts     []detect.HostDetector
	Product   correlate.Product
	Guidance  func(campaign string, level postern.Level) []postern.Text

	Host      string // the one name of the host, "" to tell hosts apart
	PatchedAt postern.Instant
	Own       []netip.Prefix
	Hash      Hashing
	Threads   int // 0: one a processor

	Progress *Progress // may be nil
}

// Hashing says of which inputs the SHA-256 is taken.
type Hashing string

// The choices; the zero value is those that findings rest on.
const (
	HashFound Hashing = "found"
	HashAll   Hashing = "all"
	HashNone  Hashing = "none"
)

// Progress counts work while it is done.
type Progress struct {
	Files, Bytes, TotalBytes, Records atomic.Int64
}

// Sink is told what the hunt finds, by one goroutine at a time.
type Sink interface {
	Problem(postern.Problem) error
	Host(postern.Host) error
	End(postern.Status, postern.Stats) error
}

// Run hunts. The error is that of the context or of the sink: whatever is wrong
// with evidence is a problem in the report and not an error.
func Run(ctx context.Context, inputs []Input, opt Options, sink Sink) error {
	start := time.Now()
	h := newHunt(opt, sink)
	defer h.close()
	for i, in := range inputs {
		e, err := h.open(ctx, i, in)
		if err != nil {
			return err
		}
		if err := h.walk(ctx, i, e); err != nil {
			return err
		}
	}
	for _, s := range h.servers(inputs) {
		rules := opt.Rules.Host()
		c := newCollector(s)
		early, late := inOrder(s.logs)
		if err := h.scan(ctx, early, rules, c); err != nil {
			return err
		}
		rules.Learn(c.findings())
		if err := h.scan(ctx, late, rules, c); err != nil {
			return err
		}
		mitigated := h.judge(s, c)
		c.add(rules.Sequences(c.findings())...)
		host := correlate.Host(h.correlation(s, c, rules.Once(c.findings()), mitigated))
		h.hash(ctx, &host, s)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := h.report(c.dropped(s.name), host); err != nil {
			return err
		}
	}
	return h.end(time.Since(start))
}

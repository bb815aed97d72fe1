package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/alert"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/source"
	"postern/internal/hunt/watch"
	"postern/internal/report"
)

// watchSchema names the form of an alert; docs/formats/watch.md describes it.
const watchSchema = "postern.watch/1"

// watchOptions are the flags of "postern watch".
type watchOptions struct {
	hunt  huntOptions
	to    []string
	state string
	from  string
	key   string
	ca    string
	queue string
	level int
	once  bool
	drain time.Duration
}

func (a *app) watchCommand() *cobra.Command {
	t := a.words.T
	o := watchOptions{hunt: huntOptions{hash: "found", indicatorsTLP: "amber+strict"}}
	c := &cobra.Command{
		Use:     "watch " + t("cmd.watch.args"),
		Short:   t("cmd.watch.short"),
		Long:    t("cmd.watch.long"),
		Example: t("cmd.watch.example"),
		RunE:    func(c *cobra.Command, args []string) error { return a.watch(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.to, "to", nil, t("cmd.flag.watch.to"))
	f.StringVar(&o.state, "state", "", t("cmd.flag.watch.state"))
	f.StringVar(&o.from, "from", "now", t("cmd.flag.watch.from"))
	f.BoolVar(&o.once, "once", false, t("cmd.flag.watch.once"))
	f.IntVar(&o.level, "level", 1, t("cmd.flag.watch.level"))
	f.StringVar(&o.key, "key", "", t("cmd.flag.watch.key"))
	f.StringVar(&o.ca, "ca", "", t("cmd.flag.watch.ca"))
	f.StringVar(&o.queue, "queue", "64MB", t("cmd.flag.watch.queue"))
	f.DurationVar(&o.drain, "drain", 10*time.Second, t("cmd.flag.watch.drain"))
	f.StringVar(&o.hunt.host, "host", "", t("cmd.flag.host"))
	f.StringVar(&o.hunt.patchedAt, "patched-at", "", t("cmd.flag.patched-at"))
	f.StringVar(&o.hunt.ownScanners, "own-scanners", "", t("cmd.flag.own-scanners"))
	f.StringSliceVar(&o.hunt.campaigns, "campaign", nil, t("cmd.flag.campaign"))
	o.hunt.rules.add(c, t)
	return c
}

// watch is the command: folders to alerts, until it is interrupted.
func (a *app) watch(ctx context.Context, o watchOptions, roots []string) error {
	if err := o.check(); err != nil {
		return err
	}
	roots, err := watched(roots)
	if err != nil {
		return err
	}
	loaded := a.boundMemory()
	opt, left, err := a.setUp(o.hunt, time.Now())
	loaded()
	defer a.smallMemory()()
	if err != nil {
		return err
	}
	for _, p := range left {
		a.say(a.err, p.Detail)
	}
	sink, err := a.receivers(o)
	if err != nil {
		return err
	}
	w, err := watch.New(watch.Options{
		Roots: roots, Campaigns: opt.Campaigns, Formats: opt.Formats, Rules: opt.Rules, Files: opt.Files,
		// Settings are judged again when they change. The registry changes all the time, and the
		// build is in the logs.
		Hosts:   slices.DeleteFunc(opt.Hosts, func(d detect.HostDetector) bool { return d.Name() != "config" }),
		Product: opt.Product, Host: opt.Host, PatchedAt: opt.PatchedAt, Own: opt.Own,
		Level: postern.Level(o.level), Start: o.from == "start", State: o.state,
	}, sink)
	if err != nil {
		sink.to.Close(0)
		if errors.Is(err, watch.ErrLocked) {
			return failed(err, "watch.locked", "folder", o.state)
		}
		var at *fs.PathError
		if errors.As(err, &at) {
			return failed(err, "watch.open-at", "file", at.Path)
		}
		return failed(err, "watch.open")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	if o.once {
		err = w.Once(ctx)
	} else {
		a.say(a.err, postern.Say("watch.started", "count", len(roots)))
		err = w.Run(ctx)
	}
	stats := w.Stats()
	waiting, closing := sink.to.Close(o.drain)
	if err = errors.Join(err, w.Close(), closing); err != nil {
		return failed(err, "watch.failed")
	}
	if waiting > 0 {
		a.say(a.err, postern.Say("watch.waiting", "count", waiting, "folder", o.state))
	}
	switch {
	case !o.once:
	case stats.Found >= postern.Exploited:
		a.code = exitFound
	case stats.Problems > 0 || waiting > 0:
		a.code = exitOpen
	}
	return nil
}

// check says which flags do not go together.
func (o *watchOptions) check() error {
	switch {
	case o.from != "now" && o.from != "start":
		return usage("watch.bad-from", "value", o.from)
	case o.level < int(postern.Probed) || o.level > int(postern.PostExploitation):
		return usage("cmd.bad-value", "flag", "--level", "value", o.level)
	case o.drain < 0:
		return usage("cmd.bad-value", "flag", "--drain", "value", o.drain)
	case o.once && o.state == "" && o.from == "now":
		return usage("watch.once-alone")
	}
	return nil
}

// watched gives the folders to watch: those that are named, or else those of this machine.
func watched(roots []string) ([]string, error) {
	if len(roots) > 0 {
		for _, r := range roots {
			if info, err := os.Stat(r); err != nil {
				return nil, failed(err, "cmd.open", "file", r)
			} else if !info.IsDir() {
				return nil, usage("watch.no-folder", "name", r)
			}
		}
		return roots, nil
	}
	local, err := source.Local()
	if err != nil || len(local) == 0 {
		return nil, usage("watch.no-path")
	}
	for _, l := range local {
		if info, err := os.Stat(l.Path); err == nil && info.IsDir() {
			roots = append(roots, l.Path)
		}
	}
	return roots, nil
}

// receivers opens all that alerts go to.
func (a *app) receivers(o watchOptions) (*watchSink, error) {
	if len(o.to) == 0 {
		o.to = []string{"-"}
	}
	roots, err := o.roots()
	if err != nil {
		return nil, err
	}
	queue, err := parseSize(o.queue)
	if err != nil || queue < 1e6 || queue > 10e9 {
		return nil, usage("cmd.bad-size", "value", o.queue)
	}
	s := &watchSink{app: a}
	var sinks []alert.Sink
	for _, to := range o.to {
		one, err := a.receiver(o, to, roots, queue, s)
		if err != nil {
			alert.All(sinks...).Close(0)
			return nil, err
		}
		sinks = append(sinks, one)
	}
	s.to = alert.All(sinks...)
	return s, nil
}

// receiver opens one.
func (a *app) receiver(o watchOptions, to string, roots *x509.CertPool, queue int64, s *watchSink) (alert.Sink, error) {
	if to == "-" {
		s.lines = true
		return alert.NewLines(a.out), nil
	}
	const eventLog = "eventlog"
	u, err := url.Parse(to)
	if to != eventLog && (err != nil || u.Host == "") {
		return nil, usage("watch.bad-to", "value", to)
	}
	if o.state == "" {
		return nil, usage("watch.no-state", "value", to)
	}
	if err := os.MkdirAll(o.state, 0o700); err != nil {
		return nil, failed(err, "cmd.create", "file", o.state)
	}
	opt := alert.Options{Dir: o.state, Queue: queue, Tell: func(t postern.Text) { s.tell(t) }, Dropped: s.dropped}
	var sink alert.Sink
	if to == eventLog {
		opt.Name, opt.To = to, to
		if sink, err = alert.NewEventLog(opt); err != nil {
			return nil, failed(err, "watch.eventlog")
		}
		return sink, nil
	}
	sum := sha256.Sum256([]byte(to))
	opt.Name, opt.To = u.Scheme+"-"+hex.EncodeToString(sum[:4]), u.Scheme+"://"+u.Host
	switch u.Scheme {
	case "http", "https":
		key, keyErr := o.secret()
		if keyErr != nil {
			return nil, keyErr
		}
		if u.Scheme == "http" {
			s.tell(postern.Say("watch.plain", "to", opt.To))
		}
		sink, err = alert.NewWebhook(to, key, roots, opt)
	case "syslog+udp", "syslog+tcp", "syslog+tls":
		target, bad := syslogOf(u, roots)
		if bad != nil {
			return nil, bad
		}
		sink, err = alert.NewSyslog(target, opt)
	default:
		return nil, usage("watch.bad-to", "value", to)
	}
	if err != nil {
		return nil, failed(err, "watch.receiver", "to", opt.To)
	}
	return sink, nil
}

// syslogOf reads syslog+tcp://host:601?facility=local4.
func syslogOf(u *url.URL, roots *x509.CertPool) (alert.Syslog, error) {
	s := alert.Syslog{Network: strings.TrimPrefix(u.Scheme, "syslog+"), Address: u.Host, Facility: 16, Roots: roots}
	if u.Port() == "" {
		ports := map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}
		s.Address = net.JoinHostPort(u.Hostname(), ports[s.Network])
	}
	if name := u.Query().Get("facility"); name != "" {
		if s.Facility = slices.Index(alert.Facilities(), name); s.Facility < 0 {
			return s, usage("watch.bad-facility", "value", name, "known", strings.Join(alert.Facilities(), ", "))
		}
	}
	return s, nil
}

// maxKey bounds what is read of the file with the key.
const maxKey = 4096

// secret reads the key that signs requests.
func (o *watchOptions) secret() ([]byte, error) {
	if o.key == "" {
		return nil, usage("watch.no-key")
	}
	f, err := os.Open(o.key)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", o.key)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, failed(err, "cmd.open", "file", o.key)
	}
	if b = []byte(strings.TrimSpace(string(b))); len(b) < alert.MinKey {
		return nil, usage("watch.short-key", "file", o.key, "least", alert.MinKey)
	}
	return b, nil
}

// roots reads the certificates that vouch for receivers; nil are those of the system.
func (o *watchOptions) roots() (*x509.CertPool, error) {
	if o.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", o.ca)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usage("watch.bad-ca", "file", o.ca)
	}
	return pool, nil
}

// watchSink puts alerts into words and hands them on.
type watchSink struct {
	app   *app
	to    alert.Sink
	lines bool // one of the receivers is standard output
	mu    sync.Mutex
}

// tell says something to the person who looks on.
func (s *watchSink) tell(t postern.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.app.say(s.app.err, t)
}

// alertLine is the form of an alert: one of the parts at its end is there.
type alertLine struct {
	Schema string `json:"schema"`
	Type   string `json:"type"`
	ID     string `json:"id"`
	Raised string `json:"raised"`
	Host   string `json:"host"`
	Root   string `json:"root,omitempty"`

	Finding  *report.Finding `json:"finding,omitempty"`
	Repeated *repeatedPart   `json:"repeated,omitempty"`
	Problem  *problemPart    `json:"problem,omitempty"`
	Dropped  *droppedPart    `json:"dropped,omitempty"`
	Alive    *alivePart      `json:"alive,omitempty"`
}

type (
	repeatedPart struct {
		Rule     string `json:"rule"`
		Campaign string `json:"campaign"`
		Level    int    `json:"level"`
		Title    string `json:"title"`
		Who      string `json:"who"`
		Count    int64  `json:"count"`
		Others   int64  `json:"others"`
		First    string `json:"first"`
		Last     string `json:"last"`
	}
	problemPart struct {
		Path   string `json:"path"`
		What   string `json:"what"`
		Detail string `json:"detail"`
	}
	droppedPart struct {
		Levels  map[string]int64 `json:"levels"`
		Refused int64            `json:"refused"`
		Damaged int64            `json:"damaged"`
		First   string           `json:"first"`
		Last    string           `json:"last"`
	}
	alivePart struct {
		Files    int64 `json:"files"`
		Logs     int64 `json:"logs"`
		Bytes    int64 `json:"bytes"`
		Rows     int64 `json:"rows"`
		Findings int64 `json:"findings"`
		Alerts   int64 `json:"alerts"`
		Problems int64 `json:"problems"`
		Every    int64 `json:"every_seconds"`
	}
)

// Raise puts an alert into words.
func (s *watchSink) Raise(al watch.Alert) error {
	l := alertLine{Schema: watchSchema, Type: string(al.Kind), ID: al.ID, Raised: stamp(al.Raised), Host: al.Host, Root: al.Root}
	m := alert.Message{ID: al.ID, Kind: l.Type, Host: al.Host, Time: al.Raised}
	words := s.app.words
	switch al.Kind {
	case watch.Found:
		f := report.FindingOf(al.Finding, words)
		f.I18n = nil // an alert is read where it arrives
		l.Finding, m.Level = &f, f.Level
	case watch.Repeated:
		r := al.Repeat
		l.Repeated = &repeatedPart{Rule: r.Rule, Campaign: r.Campaign, Level: int(r.Level), Title: words.Say(r.Title), Who: r.Who,
			Count: r.Count, Others: r.Others, First: stamp(r.First), Last: stamp(r.Last)}
		m.Level = r.Level
	case watch.Trouble:
		p := al.Problem
		l.Problem = &problemPart{Path: p.Path, What: string(p.What), Detail: words.Say(p.Detail)}
		if !s.lines {
			s.tell(postern.Say("watch.problem", "path", p.Path, "detail", l.Problem.Detail))
		}
	case watch.Alive:
		n := al.Stats
		l.Alive = &alivePart{n.Files, n.Logs, n.Bytes, n.Rows, n.Findings, n.Alerts, n.Problems, int64(n.QuickEvery.Seconds())}
	}
	return s.send(l, m)
}

func (s *watchSink) send(l alertLine, m alert.Message) (err error) {
	if m.Body, err = report.Marshal(l); err != nil {
		return err
	}
	return s.to.Send(m)
}

// Commit waits until nothing can be lost.
func (s *watchSink) Commit() error { return s.to.Commit() }

// dropped makes the message that tells a receiver what it did not get.
func (s *watchSink) dropped(d alert.Drops) alert.Message {
	now := time.Now().UTC()
	sum := sha256.Sum256(fmt.Append(nil, d, now.UnixNano()))
	p := &droppedPart{Levels: make(map[string]int64), Refused: d.Refused, Damaged: d.Damaged, First: stamp(d.First), Last: stamp(d.Last)}
	for level, n := range d.Full {
		if n > 0 {
			p.Levels[strconv.Itoa(level)] = n
		}
	}
	l := alertLine{Schema: watchSchema, Type: "dropped", ID: hex.EncodeToString(sum[:12]), Raised: stamp(now), Dropped: p}
	m := alert.Message{ID: l.ID, Kind: l.Type, Time: now}
	m.Body, _ = report.Marshal(l) // of plain values
	return m
}

// stamp writes a time as all output does, "" for one that is not known.
func stamp(t time.Time) string { return report.At(t).String() }

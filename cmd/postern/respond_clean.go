package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/bundle"
	"postern/internal/hunt"
	"postern/internal/hunt/detect/webfile"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/hunt/source"
	"postern/internal/report"
	"postern/internal/respond"
	"postern/internal/respond/clean"
	"postern/internal/respond/custody"
	"postern/internal/respond/mitigate"
)

// quarantineFolder is where files are put unless the user says otherwise: in the root
// of the drive, which no site of IIS serves.
const quarantineFolder = "postern-quarantine"

// cleanOptions are the flags of "postern respond clean" and "restore".
type cleanOptions struct {
	hunt       huntOptions // what is known today about files
	from       string
	apply, yes bool
	preserved  string
	signer     string
	without    string
	quarantine string
	key        string
	who        string
}

func (a *app) respondCleanCommand() *cobra.Command {
	t := a.words.T
	o := cleanOptions{hunt: huntOptions{hash: "found", indicatorsTLP: "amber+strict"}}
	c := &cobra.Command{
		Use:     "clean " + t("cmd.clean.args"),
		Short:   t("cmd.clean.short"),
		Long:    t("cmd.clean.long"),
		Example: t("cmd.clean.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.clean(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", t("cmd.flag.clean.from"))
	f.BoolVar(&o.apply, "apply", false, t("cmd.flag.clean.apply"))
	f.BoolVar(&o.yes, "yes", false, t("cmd.flag.clean.yes"))
	f.StringVar(&o.preserved, "preserved", "", t("cmd.flag.clean.preserved"))
	f.StringVar(&o.signer, "signer", "", t("cmd.flag.clean.signer"))
	f.StringVar(&o.without, "without-preserving", "", t("cmd.flag.clean.without"))
	f.StringVar(&o.quarantine, "quarantine", "", t("cmd.flag.clean.quarantine"))
	f.StringVar(&o.key, "key", "", t("cmd.flag.clean.key"))
	f.StringVar(&o.who, "who", "", t("cmd.flag.clean.who"))
	f.StringVar(&o.hunt.host, "host", "", t("cmd.flag.clean.host"))
	f.StringSliceVar(&o.hunt.campaigns, "campaign", nil, t("cmd.flag.campaign"))
	f.StringArrayVar(&o.hunt.indicators, "indicators", nil, t("cmd.flag.indicators"))
	o.hunt.rules.add(c, t)
	return c
}

func (a *app) respondRestoreCommand() *cobra.Command {
	t := a.words.T
	var o cleanOptions
	c := &cobra.Command{
		Use:     "restore " + t("cmd.restore.args"),
		Short:   t("cmd.restore.short"),
		Long:    t("cmd.restore.long"),
		Example: t("cmd.restore.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.restore(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.BoolVar(&o.yes, "yes", false, t("cmd.flag.clean.yes"))
	f.StringVar(&o.quarantine, "quarantine", "", t("cmd.flag.clean.quarantine"))
	f.StringVar(&o.key, "key", "", t("cmd.flag.clean.key"))
	return c
}

// clean is the command: a saved hunt to a plan, and with --apply to a quarantine.
func (a *app) clean(ctx context.Context, o cleanOptions, dir string) error {
	switch {
	case o.from == "":
		return usage("clean.no-from")
	case o.apply && o.preserved == "" && strings.TrimSpace(o.without) == "":
		return usage("clean.not-preserved")
	case o.preserved != "" && o.without != "":
		return usage("clean.both")
	case o.apply && !o.yes && !isTerminal(a.in):
		return usage("clean.no-terminal", "flag", "--apply")
	}
	defer a.boundMemory()()
	opt, left, err := a.setUp(o.hunt, time.Now())
	if err != nil {
		return err
	}
	for _, p := range left {
		a.say(a.err, p.Detail)
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	saved, err := a.savedHunt(o.from)
	if err != nil {
		return err
	}
	host, err := a.sameServer(ctx, o, saved, dir)
	if err != nil {
		return err
	}
	named, err := a.named(o.hunt.campaigns, host)
	if err != nil {
		return err
	}
	plan, err := clean.Make(root, named, func(moves []clean.Move) (map[string]bool, error) {
		return a.judgedAgain(ctx, o.hunt, opt, dir, moves)
	})
	if err != nil {
		return cleanRefused(err)
	}
	a.printCleanPlan(host, plan, o.apply)
	if len(plan.Left) > 0 || saved.lost {
		a.code = exitOpen
	}
	if len(plan.Moves) == 0 {
		return nil
	}
	if !o.apply {
		a.code = exitFound
		return nil
	}
	facts := clean.Facts{Host: host.Host, Root: absolute(dir), Hunt: saved.sha256, Tool: "postern", Version: version(), Who: who(o.who)}
	facts.Machine, _ = os.Hostname()
	if facts.Preserved, err = a.preservedBy(ctx, o, dir, plan.Moves); err != nil {
		return err
	}
	if err := a.confirm(ctx, o.yes, postern.Say("clean.ask", "count", len(plan.Moves))); err != nil {
		return err
	}
	return a.quarantine(ctx, o, root, dir, plan, facts)
}

// quarantine moves what the plan says.
func (a *app) quarantine(ctx context.Context, o cleanOptions, root *os.Root, dir string, plan *clean.Plan, facts clean.Facts) error {
	k, release, err := a.cleanKeeper(ctx, o, root, dir, true)
	if err != nil {
		return err
	}
	defer release()
	m, err := k.Apply(plan, facts)
	if m != nil {
		for _, i := range m.Items {
			switch i.State {
			case clean.Moved:
				a.sayLine("clean.moved", "path", i.Path, "stored", path.Join(filepath.ToSlash(k.Folder.Name()), m.Run, i.Stored), "sha256", i.SHA256)
			case clean.Kept:
				a.code = exitOpen
				a.sayLine("clean.kept", "path", i.Path, "why", a.words.Say(whyKept(m, i)))
			}
		}
		a.sayLine("clean.applied", "count", m.Count(clean.Moved), "folder", filepath.ToSlash(k.Folder.Name()), "run", m.Run)
		a.sayLine("clean.signed", "key", respond.PublicKey(k.Key))
	}
	if err != nil {
		return cleanRefused(err)
	}
	a.sayLine("clean.after")
	return nil
}

func whyKept(m *clean.Manifest, i *clean.Item) postern.Text {
	for _, l := range m.Left {
		if l.Path == i.Path && l.Why.Key == i.Why {
			return l.Why
		}
	}
	return postern.Text{Key: i.Why}
}

// savedRun is a hunt document with the hash of its bytes.
type savedRun struct {
	*report.Document
	name, sha256 string
	lost         bool // a part of it could not be read
}

func (a *app) savedHunt(name string) (savedRun, error) {
	f, err := os.Open(name)
	if err != nil {
		return savedRun{}, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	h := sha256.New()
	doc, err := report.Decode(name, io.TeeReader(f, h), a.words)
	if err == nil {
		_, err = io.Copy(h, f) // what stands behind the document
	}
	if err != nil {
		return savedRun{}, failed(err, "cmd.saved", "file", name)
	}
	if doc.End.Status == postern.Failed || len(doc.Hosts) == 0 {
		return savedRun{}, &problem{code: exitFailed, what: postern.Say("clean.no-hosts", "file", name), hint: postern.Say("clean.no-hosts.hint")}
	}
	saved := savedRun{Document: doc, name: name, sha256: hex.EncodeToString(h.Sum(nil))}
	for _, p := range doc.Problems {
		if p.OfReport {
			saved.lost = true
			a.say(a.err, postern.Say("clean.saved-lost", "file", name, "detail", p.Detail))
		}
	}
	return saved, nil
}

// sameServer gives the host of a saved hunt that the folder is of.
func (a *app) sameServer(ctx context.Context, o cleanOptions, saved savedRun, dir string) (*report.Host, error) {
	var of []string
	for _, h := range saved.Hosts {
		of = append(of, h.Host)
	}
	names := []string{o.hunt.host}
	if o.hunt.host == "" {
		var err error
		if names, err = a.serverNames(ctx, o.hunt, dir); err != nil {
			return nil, err
		}
	}
	var same []*report.Host
	for i := range saved.Hosts {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, saved.Hosts[i].Host) }) {
			same = append(same, &saved.Hosts[i])
		}
	}
	pairs := []any{"file", saved.name, "hunted", strings.Join(of, ", "), "root", dir, "is", strings.Join(names, ", ")}
	switch {
	case len(same) == 0:
		return nil, &problem{code: exitFailed, what: postern.Say("clean.other-server", pairs...), hint: postern.Say("clean.other-server.hint")}
	case len(same) > 1:
		return nil, &problem{code: exitFailed, what: postern.Say("clean.several-servers", pairs...), hint: postern.Say("clean.several-servers.hint")}
	}
	return same[0], nil
}

// serverNames gives what the servers in a folder are called by their own files.
func (a *app) serverNames(ctx context.Context, o huntOptions, dir string) ([]string, error) {
	inputs, err := a.inputs(o, []string{dir})
	if err != nil {
		return nil, err
	}
	names, err := hunt.Names(ctx, inputs, hunt.Options{Formats: parseall.Formats(), Records: parseall.Records()})
	if err != nil {
		return nil, failed(err, "cmd.open", "file", dir)
	}
	return names, nil
}

// named takes from a hunt what can be cleaned. A document whose findings do not fit
// together was changed by somebody, and then nothing in it is believed.
func (a *app) named(campaigns []string, h *report.Host) ([]clean.Named, error) {
	k, err := a.learn(campaigns)
	if err != nil {
		return nil, err
	}
	var stock []postern.StockFile
	if p := k.product(); p != nil {
		stock = p.Stock
	}
	var all []clean.Named
	for i := range h.Findings {
		f := &h.Findings[i]
		page, isLeftover := f.Entities["page"]
		sure := f.Confidence == postern.High
		if f.Level < postern.Implanted && !isLeftover || len(f.Evidence) == 0 {
			continue
		}
		n := clean.Named{Kind: clean.Page, Finding: f.ID, Rule: f.Rule, Level: f.Level, SHA256: f.Entities[postern.FileSHA256],
			Server: f.Entities[postern.File], Path: f.Evidence[0].Path, Line: f.Evidence[0].Line, Excerpt: f.Evidence[0].Excerpt}
		if n.SHA256 == "" {
			if sure && strings.EqualFold(path.Ext(n.Path), ".config") {
				n.Kind = clean.Setting
				all = append(all, n)
			}
			continue // rows of logs: what they speak of is found as a file if it is there
		}
		own := strings.EqualFold(path.Base(n.Path), path.Base(n.Server)) // the evidence is the file itself, and not a row about it
		other := f.Evidence[0].SHA256 != "" && f.Evidence[0].SHA256 != n.SHA256
		if other && !own {
			continue
		}
		if other || !genuine(f) {
			return nil, &problem{code: exitFailed, what: postern.Say("clean.tampered", "finding", f.ID, "path", n.Path), hint: postern.Say("clean.tampered.hint")}
		}
		switch {
		case isLeftover:
			n.Kind, n.Page = clean.Compiled, page
		case !sure:
			n.Kind = clean.Unsure
		case strings.EqualFold(path.Ext(n.Path), ".config"):
			n.Kind = clean.Setting
		case f.Rule == webfile.RuleOverwritten || isStock(stock, n.Server):
			n.Kind = clean.Stock
		}
		all = append(all, n)
	}
	return all, nil
}

// genuine says whether a finding has the number that its rule and its place give.
func genuine(f *report.Finding) bool {
	e := f.Evidence[0]
	at := postern.Evidence{Path: e.Path, Line: e.Line, Record: e.Record, Offset: e.Offset}
	if f.ID == postern.FindingID(f.Rule, at) || strings.Contains(e.Path, `\x`) { // a name that JSON cannot carry
		return true
	}
	const twins = 100 // findings of one rule at one place are numbered
	for n := range twins {
		if f.ID == postern.FindingID(fmt.Sprintf("%s#%d", f.Rule, n), at) {
			return true
		}
	}
	return false
}

// isStock says whether the product installs a file of that name there. A folder of
// the same name elsewhere counts too: rather a file too many is left to a person.
func isStock(stock []postern.StockFile, server string) bool {
	return slices.ContainsFunc(stock, func(s postern.StockFile) bool {
		return s.Place != "" && strings.HasSuffix("/"+server, "/"+s.Place+"/"+s.Name)
	})
}

// judgedAgain hunts the named files alone and gives those that are named again: a
// document says where to look, and what is known here and now decides.
func (a *app) judgedAgain(ctx context.Context, o huntOptions, opt hunt.Options, dir string, moves []clean.Move) (map[string]bool, error) {
	if len(moves) == 0 {
		return nil, nil
	}
	wanted := make(map[string]string, len(moves))
	for _, m := range moves {
		wanted[m.Path] = m.SHA256
	}
	inputs, err := a.inputs(o, []string{dir})
	if err != nil {
		return nil, err
	}
	open := inputs[0].Open
	inputs[0].Open = func(ctx context.Context, tell func(postern.Problem)) (hunt.Evidence, error) {
		e, err := open(ctx, tell)
		return only{e, func(p string) bool { _, ok := wanted[p]; return ok }}, err
	}
	opt.Formats, opt.Records = nil, nil
	sink := &hostSink{}
	if err := hunt.Run(ctx, inputs, opt, sink); err != nil {
		return nil, failed(err, "cmd.open", "file", dir)
	}
	again, never := make(map[string]bool), make(map[string]bool)
	for _, h := range sink.hosts {
		for i := range h.Findings {
			f := &h.Findings[i]
			if len(f.Evidence) == 0 || f.Entities[postern.FileSHA256] == "" || f.Entities[postern.FileSHA256] != wanted[f.Evidence[0].Path] {
				continue
			}
			if f.Rule == webfile.RuleOverwritten {
				never[f.Evidence[0].Path] = true
			}
			if f.Level >= postern.Implanted && f.Confidence == postern.High {
				again[f.Evidence[0].Path] = true
			}
		}
	}
	for p := range never {
		delete(again, p)
	}
	return again, nil
}

// only is evidence of which some files are not seen.
type only struct {
	hunt.Evidence
	seen func(path string) bool
}

func (o only) Walk(ctx context.Context, visit func(source.File) error) error {
	return o.Evidence.Walk(ctx, func(f source.File) error {
		if !o.seen(f.Path) {
			return nil
		}
		return visit(f)
	})
}

// hostSink keeps what a hunt finds.
type hostSink struct {
	hosts    []postern.Host
	problems []postern.Problem
	status   postern.Status
}

func (s *hostSink) Problem(p postern.Problem) error { s.problems = append(s.problems, p); return nil }
func (s *hostSink) Host(h postern.Host) error       { s.hosts = append(s.hosts, h); return nil }
func (s *hostSink) End(status postern.Status, _ postern.Stats) error {
	s.status = status
	return nil
}

// preservedBy proves the bundle that is to hold the evidence: that it is sound, of this
// server, and that each file lies in it as it is to be moved.
func (a *app) preservedBy(ctx context.Context, o cleanOptions, dir string, moves []clean.Move) (clean.Preserved, error) {
	if o.preserved == "" {
		return clean.Preserved{Refused: strings.TrimSpace(o.without)}, nil
	}
	var none clean.Preserved
	f, err := os.Open(o.preserved)
	if err != nil {
		return none, failed(err, "cmd.open", "file", o.preserved)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return none, failed(err, "cmd.open", "file", o.preserved)
	}
	opt := custody.Options{Signer: strings.TrimSpace(o.signer), Stamp: func(token []byte, digest [sha256.Size]byte) (custody.Stamp, error) {
		return custody.CheckStamp(token, digest, nil)
	}}
	r, err := custody.Verify(ctx, f, info.Size(), opt)
	switch {
	case errors.Is(err, context.Canceled):
		return none, err
	case errors.Is(err, bundle.ErrNotBundle):
		return none, failed(err, "custody.not-bundle", "file", o.preserved)
	case err != nil:
		return none, failed(err, "cmd.open", "file", o.preserved)
	case !r.Sound() || r.Seal == nil || r.Signature == nil:
		return none, &problem{code: exitFailed, what: postern.Say("clean.bundle", "file", o.preserved), hint: postern.Say("clean.bundle.hint", "file", o.preserved)}
	}
	if err := a.holds(ctx, o, dir, f, info.Size(), r.Header, moves); err != nil {
		return none, err
	}
	return clean.Preserved{Bundle: r.Seal.Bundle, Seal: r.Signature.Seal, Signer: r.Signature.PublicKey, File: filepath.Base(o.preserved)}, nil
}

// maxLackingShown bounds the files that a refusal names.
const maxLackingShown = 5

// holds refuses a bundle that is of another server or lacks a file that is to be moved.
// It needs no key: a bundle proves its content to whoever has the same.
func (a *app) holds(ctx context.Context, o cleanOptions, dir string, f io.ReaderAt, size int64, h *bundle.Header, moves []clean.Move) error {
	no := func(key string, pairs ...any) error {
		// catalogue: clean.bundle-*
		pairs = append(pairs, "file", o.preserved, "root", dir, "hunt", o.from)
		return &problem{code: exitFailed, what: postern.Say("clean.bundle-"+key, pairs...), hint: postern.Say("clean.bundle-"+key+".hint", pairs...)}
	}
	b, err := bundle.Open(f, size)
	if err != nil {
		return failed(err, "cmd.open", "file", o.preserved)
	}
	if h == nil || !b.Proves() {
		return no("silent")
	}
	names, err := a.serverNames(ctx, o.hunt, dir)
	if err != nil {
		return err
	}
	known := func(name string) bool { return slices.Contains(h.Servers, bundle.ServerProof(h.ID, name)) }
	if len(h.Servers) > 0 && !slices.ContainsFunc(names, known) {
		return no("other", "is", strings.Join(names, ", "))
	}
	files := make(map[string]string, len(moves))
	for _, m := range moves {
		files[m.Path] = m.SHA256
	}
	lacking, err := b.Lacking(h.ID, files)
	switch {
	case err != nil:
		return failed(err, "cmd.open", "file", o.preserved)
	case len(lacking) > maxLackingShown:
		return no("lacks", "count", len(lacking), "paths", strings.Join(lacking[:maxLackingShown], ", ")+", …")
	case len(lacking) > 0:
		return no("lacks", "count", len(lacking), "paths", strings.Join(lacking, ", "))
	}
	return nil
}

// cleanKeeper opens the quarantine, locks it and settles what a killed run left.
func (a *app) cleanKeeper(ctx context.Context, o cleanOptions, root *os.Root, dir string, create bool) (*clean.Keeper, func(), error) {
	name := cmp.Or(o.quarantine, filepath.Join(dir, quarantineFolder))
	if create {
		by, ok := servedBy(ctx, root, dir, name)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if ok {
			return nil, nil, &problem{code: exitFailed, what: postern.Say("clean.served", "folder", name, "site", by), hint: postern.Say("clean.served.hint")}
		}
		if err := os.MkdirAll(name, 0o700); err != nil {
			return nil, nil, failed(err, "clean.folder", "folder", name)
		}
	}
	folder, err := os.OpenRoot(name)
	if err != nil {
		return nil, nil, failed(err, "clean.folder", "folder", name)
	}
	k := &clean.Keeper{Root: root, Folder: folder, Now: time.Now}
	keyFile := cmp.Or(o.key, filepath.Clean(name)+".key")
	if _, err := os.Stat(keyFile); !create && errors.Is(err, fs.ErrNotExist) {
		folder.Close()
		return nil, nil, failed(err, "clean.no-key", "file", keyFile)
	}
	key, made, err := signingKey(keyFile)
	if err != nil {
		folder.Close()
		return nil, nil, failed(err, "preserve.key", "file", keyFile)
	}
	if made {
		a.say(a.err, postern.Say("clean.key-made", "file", keyFile))
	}
	k.Key = key
	unlock, err := k.Lock()
	if err != nil {
		folder.Close()
		return nil, nil, cleanRefused(err)
	}
	release := func() { unlock(); folder.Close() }
	if err := a.settle(k); err != nil {
		release()
		return nil, nil, err
	}
	return k, release, nil
}

// settle finishes what a killed run had begun.
func (a *app) settle(k *clean.Keeper) error {
	runs, err := clean.Runs(k.Folder)
	if err != nil {
		return failed(err, "clean.folder", "folder", k.Folder.Name())
	}
	for _, run := range runs {
		m, err := k.Load(run)
		if err != nil {
			return cleanRefused(err)
		}
		if !m.Pending() {
			continue
		}
		if err := k.Settle(m); err != nil {
			return cleanRefused(err)
		}
		a.say(a.err, postern.Say("clean.settled", "run", run))
	}
	return nil
}

var physicalPath = regexp.MustCompile(`(?i)\bphysicalPath\s*=\s*"([^"<]{1,1000})"`)

// servedBy says which folder that IIS serves a folder would lie in.
func servedBy(ctx context.Context, root *os.Root, dir, name string) (string, bool) {
	lower := func(s string) string {
		return "/" + strings.Trim(strings.ToLower(strings.ReplaceAll(filepath.ToSlash(s), `\`, "/")), "/") + "/"
	}
	at := lower(absolute(name))
	for _, site := range []string{"/wwwroot/", "/frontend/httpproxy/", "/clientaccess/", "/aspnet_client/"} {
		if strings.Contains(at, site) {
			return strings.Trim(site, "/"), true
		}
	}
	above := lower(absolute(dir))
	if !strings.HasPrefix(at, above) {
		return "", false // on another drive, of which this configuration says nothing
	}
	files, _, err := mitigate.Find(ctx, root)
	if err != nil {
		return "", false
	}
	for file, content := range files {
		if !strings.EqualFold(path.Base(file), "applicationHost.config") {
			continue
		}
		for _, m := range physicalPath.FindAllSubmatch(content, -1) {
			site := strings.ToLower(string(m[1]))
			site = strings.TrimPrefix(site, "%systemdrive%")
			if len(site) > 1 && site[1] == ':' {
				site = site[2:]
			}
			if site = lower(site); site != "//" && strings.Contains(at, site) {
				return string(m[1]), true
			}
		}
	}
	return "", false
}

func absolute(name string) string {
	if full, err := filepath.Abs(name); err == nil {
		return full
	}
	return name
}

// who names the person for manifests and attestations.
func who(said string) string {
	u, err := user.Current()
	switch {
	case err != nil:
		return said
	case said == "":
		return u.Username
	}
	return said + " (" + u.Username + ")"
}

// restore is the command: a quarantine back to where its files were.
func (a *app) restore(ctx context.Context, o cleanOptions, dir string) error {
	if !o.yes && !isTerminal(a.in) {
		return usage("clean.no-terminal", "flag", "restore")
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	k, release, err := a.cleanKeeper(ctx, o, root, dir, false)
	if err != nil {
		return err
	}
	defer release()
	runs, err := clean.Runs(k.Folder)
	if err != nil {
		return failed(err, "clean.folder", "folder", k.Folder.Name())
	}
	var open []*clean.Manifest
	count := 0
	for _, run := range slices.Backward(runs) {
		m, err := k.Load(run)
		if err == nil {
			err = k.CheckRestore(m)
		}
		if err != nil {
			return cleanRefused(err)
		}
		if n := m.Count(clean.Moved); n > 0 {
			open, count = append(open, m), count+n
		}
	}
	if count == 0 {
		a.sayLine("restore.nothing", "folder", k.Folder.Name())
		return nil
	}
	for _, m := range open {
		for _, i := range m.Items {
			if i.State == clean.Moved {
				a.sayLine("restore.would", "path", i.Path, "sha256", i.SHA256)
			}
		}
	}
	if err := a.confirm(ctx, o.yes, postern.Say("restore.ask", "count", count)); err != nil {
		return err
	}
	if err := k.Restore(open...); err != nil {
		return cleanRefused(err)
	}
	a.sayLine("restore.done", "count", count)
	return nil
}

// printCleanPlan says what would be moved and what a person has to do.
//
// catalogue: clean.kind.*
func (a *app) printCleanPlan(host *report.Host, p *clean.Plan, applying bool) {
	out := bufio.NewWriter(a.out)
	defer out.Flush()
	line := func(indent int, text string) {
		pad := strings.Repeat(" ", indent)
		fmt.Fprintln(out, pad+wrap(report.Visible(text), 80-indent, pad))
	}
	// Paths stay on one line, so that they can be copied.
	whole := func(text string) { fmt.Fprintln(out, report.Visible(text)) }
	t := a.words.T
	line(0, t("clean.server", "host", host.Host))
	for _, m := range p.Moves {
		whole(t("clean.move", "path", m.Path, "kind", t("clean.kind."+string(m.Kind))))
		line(2, t("clean.move.why", "level", int(m.Level), "rules", strings.Join(m.Rules, ", "), "sha256", m.SHA256))
	}
	for _, l := range p.Left {
		whole(t("clean.left", "path", l.Path, "kind", t("clean.kind."+string(l.Kind))))
		line(2, t("clean.left.why", "why", a.words.Say(l.Why)))
		if l.Excerpt != "" {
			line(2, t("clean.left.line", "line", l.Line, "excerpt", l.Excerpt))
		}
	}
	for _, g := range p.Gone {
		whole(t("clean.gone", "path", g))
	}
	switch {
	case len(p.Moves) == 0 && host.Verdict.Level >= postern.Exploited:
		line(0, t("clean.nothing-of", "level", int(host.Verdict.Level)))
	case len(p.Moves) == 0:
		line(0, t("clean.nothing"))
	case !applying:
		line(0, t("clean.dry", "count", len(p.Moves)))
	}
}

// cleanRefused puts a refusal into words.
func cleanRefused(err error) error {
	var said *problem
	var why *clean.Refusal
	switch {
	case errors.As(err, &said):
		return err
	case errors.As(err, &why):
		return &problem{code: exitFailed, what: why.Why, hint: postern.Say("clean.refused.hint"), cause: err}
	}
	return failed(err, "cmd.failed")
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
	"postern/internal/hunt"
	"postern/internal/report"
	"postern/internal/respond/plan"
	"postern/products"
)

// planOptions are the flags of "postern respond plan".
type planOptions struct {
	campaigns []string
	format    string
	output    string
	host      string
	root      string
	bundle    string
	scripts   string
}

// planFormats are the forms of a plan.
var planFormats = []string{"text", "markdown", "html", "json"}

func (a *app) respondPlanCommand() *cobra.Command {
	t := a.words.T
	var o planOptions
	c := &cobra.Command{
		Use:     "plan " + t("cmd.respond.plan.args"),
		Short:   t("cmd.respond.plan.short"),
		Long:    t("cmd.respond.plan.long"),
		Example: t("cmd.respond.plan.example"),
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.respondPlan(c.Context(), o, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.campaigns, "campaign", nil, t("cmd.flag.campaign"))
	f.StringVar(&o.format, "format", "text", t("cmd.flag.plan.format"))
	f.StringVarP(&o.output, "output", "o", "", t("cmd.flag.output"))
	f.StringVar(&o.host, "host", "", t("cmd.flag.plan.host"))
	f.StringVar(&o.root, "root", "", t("cmd.flag.plan.root"))
	f.StringVar(&o.bundle, "bundle", "", t("cmd.flag.plan.bundle"))
	f.StringVar(&o.scripts, "scripts", "", t("cmd.flag.plan.scripts"))
	return c
}

// respondPlan is the command: a verdict to what is to be done. The exit code is that
// of the hunt.
func (a *app) respondPlan(ctx context.Context, o planOptions, args []string) error {
	if !slices.Contains(planFormats, o.format) {
		return usage("cmd.bad-format", "value", o.format, "known", strings.Join(planFormats, ", "))
	}
	doc, from, err := a.planHunt(ctx, o, args)
	if err != nil {
		return err
	}
	known, err := a.learn(o.campaigns)
	if err != nil {
		return err
	}
	product := known.product()
	if product == nil {
		return usage("respond.plan.no-product")
	}
	book, err := plan.Read(products.FS, product.Name, catalogue.Languages)
	if err != nil {
		return failed(err, "cmd.failed")
	}
	a.words = a.words.With(book.Messages(a.words.Lang()))

	out := &plan.Document{Schema: plan.Schema, Tool: plan.Tool{Name: "postern", Version: version()}, Lang: a.words.Lang(),
		Source: from.name, Hunted: doc.Run.Started.String(), Status: string(doc.End.Status), Hosts: []plan.Host{}}
	seen := huntSink{status: doc.End.Status}
	slices.SortStableFunc(doc.Hosts, func(x, y report.Host) int { return int(y.Verdict.Level) - int(x.Verdict.Level) })
	for i := range doc.Hosts {
		h := &doc.Hosts[i]
		if o.host != "" && !strings.EqualFold(h.Host, o.host) {
			continue
		}
		seen.worst = max(seen.worst, h.Verdict.Level)
		seen.open = seen.open || !h.Verdict.Conclusive
		s := planServer(doc, h, product)
		s.Root, s.Hunt, s.Unsaved, s.Bundle = from.root, from.hunt, from.unsaved, argument(o.bundle)
		if s.Bundle == "" {
			s.Bundle = fileName(h.Host) + ".bundle"
		}
		out.Hosts = append(out.Hosts, book.Make(s).Describe(a.words))
	}
	switch {
	case len(out.Hosts) == 0 && o.host != "":
		return usage("respond.plan.unknown-host", "host", o.host, "known", hostNames(doc))
	case len(out.Hosts) == 0:
		return &problem{code: exitOpen, what: postern.Say("respond.plan.no-host"), hint: postern.Say("respond.plan.no-host.hint")}
	}
	if err := a.writePlan(o, out); err != nil {
		return err
	}
	if o.scripts != "" {
		if err := a.writePlanScripts(o.scripts, out); err != nil {
			return err
		}
	}
	a.code = seen.exitCode()
	return nil
}

// planSource is where a plan's facts are from, and what its commands are to name.
type planSource struct {
	name, root, hunt string
	unsaved          bool
}

// planHunt reads the saved hunt, or hunts.
func (a *app) planHunt(ctx context.Context, o planOptions, args []string) (*report.Document, planSource, error) {
	const live = `C:\` // where Windows is on a server, whatever machine the plan is made on
	from := planSource{root: live, hunt: "hunt.json"}
	saved := len(args) == 1 && (args[0] == "-" || isSavedHunt(args[0]))
	if !saved {
		from.unsaved = true
		if len(args) == 1 {
			from.name = args[0]
			if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
				from.root = args[0]
			}
		}
		if o.root != "" {
			from.root = o.root
		}
		from.root = argument(from.root)
		doc, err := a.huntForPlan(ctx, o, args)
		return doc, from, err
	}
	from.name = args[0]
	if args[0] != "-" {
		from.hunt = args[0]
	} else {
		from.unsaved = true
	}
	if o.root != "" {
		from.root = o.root
	}
	from.root, from.hunt = argument(from.root), argument(from.hunt)
	known, err := a.learn(o.campaigns)
	if err != nil {
		return nil, from, err
	}
	if _, _, err := known.detectors(); err != nil { // for the words that they bring
		return nil, from, failed(err, "cmd.rules")
	}
	a.words = known.words
	var in io.Reader = &input{ctx: ctx, r: a.in}
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, from, failed(err, "cmd.open", "file", args[0])
		}
		defer f.Close()
		in = f
	}
	doc, err := report.Decode(args[0], in, a.words)
	if err != nil {
		return nil, from, failed(err, "cmd.saved", "file", args[0])
	}
	return doc, from, nil
}

// argument makes a path one that a command takes for a path: no flag, and without a
// backslash at its end, which Windows would read as a part of the quote behind it.
func argument(name string) string {
	const drive = len(`C:\`)
	if len(name) > drive {
		name = strings.TrimRight(name, `\`)
	}
	if strings.HasPrefix(name, "-") {
		return "./" + name
	}
	return name
}

// isSavedHunt says whether a file is a saved hunt, by what it says of itself; anything
// else is evidence.
func isSavedHunt(name string) bool {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	const head = 4096 // the name of the schema stands first
	b, err := io.ReadAll(io.LimitReader(f, head))
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\uFEFF")))
	return err == nil && bytes.HasPrefix(b, []byte("{")) && bytes.Contains(b, []byte(`"postern.hunt/`))
}

// huntForPlan runs the hunt that "postern hunt" runs, into memory.
func (a *app) huntForPlan(ctx context.Context, o planOptions, args []string) (*report.Document, error) {
	defer a.boundMemory()()
	ho := huntOptions{campaigns: o.campaigns, hash: "found", indicatorsTLP: "amber+strict"}
	now := time.Now()
	opt, left, err := a.setUp(ho, now)
	if err != nil {
		return nil, err
	}
	inputs, err := a.inputs(ho, args)
	if err != nil {
		return nil, err
	}
	doc := &report.Document{}
	sink := &huntSink{feed: report.NewFeed(doc.Collect(), a.words)}
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	if err := sink.feed.Start(version(), now, names, opt.Campaigns); err != nil {
		return nil, err
	}
	for _, p := range left {
		if err := sink.Problem(p); err != nil {
			return nil, err
		}
	}
	opt.Progress = &hunt.Progress{}
	stop := a.showProgress(opt.Progress)
	err = hunt.Run(ctx, inputs, opt, sink)
	stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return doc, err
}

// planServer gives what the hunt and the facts about the product say of a server.
func planServer(doc *report.Document, h *report.Host, product *campaign.Product) *plan.Server {
	s := &plan.Server{Host: h.Host,
		Verdict: postern.Verdict{Level: min(max(h.Verdict.Level, postern.NotSeen), postern.PostExploitation), Title: postern.Verbatim(h.Verdict.Title), Confidence: h.Verdict.Confidence,
			Conclusive: h.Verdict.Conclusive, Summary: postern.Verbatim(h.Verdict.Summary)},
		Patched:   postern.Fact{State: h.Patched.State, Since: h.Patched.Since.Time, Why: postern.Verbatim(h.Patched.Why)},
		Mitigated: postern.Fact{State: h.Mitigated.State, Since: h.Mitigated.Since.Time, Why: postern.Verbatim(h.Mitigated.Why)}}
	if b, err := postern.ParseBuild(h.Build); err == nil {
		s.Build = b
	}
	// What a plan has no word for is unknown, not a reason to leave a step out.
	for _, f := range []*postern.Fact{&s.Patched, &s.Mitigated} {
		if !slices.Contains([]postern.State{postern.Yes, postern.No, postern.Ineffective}, f.State) {
			f.State = postern.Unknown
		}
	}
	for _, x := range h.Findings {
		f := postern.Finding{ID: x.ID, Rule: x.Rule, Campaign: x.Campaign, Level: x.Level, Title: postern.Verbatim(x.Title),
			Time: x.Time.Time, CVE: x.CVE, Confidence: x.Confidence, Entities: x.Entities, Tags: x.Tags}
		for _, e := range x.Evidence {
			f.Evidence = append(f.Evidence, postern.Evidence(e))
		}
		s.Findings = append(s.Findings, f)
	}
	var urgent, later []string
	for _, c := range doc.Run.Campaigns {
		missing, judged := missingOf(&c, h)
		s.Missing = append(s.Missing, missing...)
		if judged {
			urgent = append(urgent, c.CVE...)
		} else {
			later = append(later, c.CVE...)
		}
	}
	if len(urgent) == 0 {
		urgent, later = later, nil
	}
	planPatch(s, product, urgent, later)
	return s
}

// missingOf gives the sources that a campaign needs and that do not cover its window;
// judged is false where the evidence is of another time than the campaign.
func missingOf(c *report.Campaign, h *report.Host) (missing []plan.Missing, judged bool) {
	for _, hc := range h.Campaigns {
		if hc.Name != c.Name {
			continue
		}
		judged = hc.Verdict.Level > postern.NotSeen
		for _, v := range hc.Coverage {
			if v.Status == postern.NotApplicable {
				continue
			}
			judged = true
			i := slices.IndexFunc(c.Sources, func(s report.Source) bool { return s.Name == v.Source })
			if i >= 0 && c.Sources[i].Required && v.Status != postern.Covered && !hc.Verdict.Conclusive {
				missing = append(missing, plan.Missing{Campaign: c.Title, Source: v.Source, Collect: c.Sources[i].Collect})
			}
		}
	}
	return missing, judged
}

// planPatch says what to install: against what is being hunted first, then the rest.
func planPatch(s *plan.Server, product *campaign.Product, urgent, later []string) {
	s.Patch, s.KB = plan.PatchUnknown, "–"
	line, ok := product.LineOf(s.Build)
	if s.Build.IsZero() || !ok {
		return
	}
	s.Edition, s.Line = product.EditionTitle(line.Edition), product.LineTitle(line)
	newest := line
	for _, l := range product.Lines {
		if l.Edition == line.Edition && l.Newest.Compare(newest.Newest) > 0 {
			newest = l
		}
	}
	target, open, silent := line, false, false
	s.Patch = plan.PatchNewest
	for _, cve := range urgent {
		switch assessed, _ := product.Assess(cve, s.Build); assessed {
		case postern.Fixed, postern.NotAffected:
			continue
		case postern.NotAssessed: // nobody says that it is closed
			silent = true
			continue
		}
		open = true
		fix, ok := product.FixFor(cve, s.Build)
		switch {
		case !ok && s.Patch != plan.PatchLine && s.Patch != plan.PatchUpdate:
			s.Patch = plan.PatchNone
		case ok && !fix.Here:
			s.Patch = plan.PatchLine
			if fix.Line.Newest.Compare(target.Newest) > 0 {
				target = fix.Line
			}
		case ok && s.Patch != plan.PatchLine:
			s.Patch = plan.PatchUpdate
		}
		if ok {
			s.Installs = addText(s.Installs, fix.Steps(product))
		}
		for _, note := range product.Notes(cve, s.Build) {
			if !strings.Contains(note.Key, ".note.mitigation-") {
				s.Installs = addText(s.Installs, note)
			}
		}
	}
	if !open && silent {
		s.Patch = plan.PatchUnknown
		return
	}
	if !open {
		for _, cve := range later {
			if fix, ok := product.FixFor(cve, s.Build); ok && (!fix.Here || fix.Update.Build.Compare(s.Build) > 0) {
				s.Installs = addText(s.Installs, fix.Steps(product))
			}
		}
		if newest.Newest.Compare(s.Build) > 0 {
			s.Patch, target = plan.PatchNewer, newest
		}
	} else if newest.Name != target.Name && s.Patch != plan.PatchNone {
		s.Installs = addText(s.Installs, postern.Say("respond.plan.later", "line", product.LineTitle(newest), "build", newest.Newest))
	}
	release, _ := product.Release(target.Newest)
	s.Target, s.TargetTitle = target.Newest.String(), strings.TrimSpace(product.LineTitle(target)+" "+release.Update)
	if release.KB != "" {
		s.KB = release.KB
	}
}

// addText adds a sentence that is not there yet.
func addText(all []postern.Text, t postern.Text) []postern.Text {
	if slices.ContainsFunc(all, func(o postern.Text) bool { return o.Key == t.Key && fmt.Sprint(o.Args) == fmt.Sprint(t.Args) }) {
		return all
	}
	return append(all, t)
}

func hostNames(doc *report.Document) string {
	const most = 20 // of names in a message
	var all []string
	for _, h := range doc.Hosts {
		if len(all) == most {
			all = append(all, "…")
			break
		}
		all = append(all, h.Host)
	}
	return strings.Join(all, ", ")
}

// fileName makes a harmless name of a file from a server's name, which the evidence says.
func fileName(host string) string {
	const longest = 64 // names of Windows servers have 15
	var b strings.Builder
	for _, r := range host {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '.' && b.Len() > 0 {
			b.WriteRune(r)
		}
		if b.Len() == longest {
			break
		}
	}
	if b.Len() == 0 {
		return "server"
	}
	return b.String()
}

// writePlan writes the document in the form that was asked for.
func (a *app) writePlan(o planOptions, d *plan.Document) error {
	out := &lazyFile{path: o.output, std: a.out}
	safe := plan.Safe{Visible: report.Visible, Defang: report.Defang}
	var err error
	switch o.format {
	case "markdown":
		err = plan.WriteMarkdown(out, d, a.words, safe)
	case "html":
		err = plan.WriteHTML(out, d, a.words, safe)
	case "json":
		var b []byte
		if b, err = report.Marshal(d); err == nil {
			var pretty bytes.Buffer
			if err = json.Indent(&pretty, b, "", "  "); err == nil {
				_, err = fmt.Fprintln(out, strings.TrimSpace(pretty.String()))
			}
		}
	default:
		err = plan.WriteText(out, d, a.words, safe)
	}
	if err = out.finish(err); err != nil {
		return failed(err, "cmd.write")
	}
	return nil
}

// writePlanScripts puts the scripts into a folder, one for each server if there are
// several.
func (a *app) writePlanScripts(dir string, d *plan.Document) error {
	for i, h := range d.Hosts {
		to := dir
		if len(d.Hosts) > 1 {
			to = filepath.Join(dir, fmt.Sprintf("%d-%s", i+1, fileName(h.Host)))
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return failed(err, "cmd.create", "file", to)
		}
		for _, s := range h.Scripts {
			name, err := writeScript(to, s.Name, s.Body)
			if err != nil {
				return err
			}
			a.say(a.err, postern.Say("respond.plan.written", "file", name))
		}
	}
	return nil
}

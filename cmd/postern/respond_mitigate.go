package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/iisconfig"
	"postern/internal/report"
	"postern/internal/respond/mitigate"
)

// mitigateOptions are the flags of "postern respond mitigate" and of "rollback".
type mitigateOptions struct {
	campaigns        []string
	with             []string // mitigations of the product, by "exchange/ID"
	plan, apply, yes bool
	backup           string
	scripts          string
}

// backupFolder stands beside applicationHost.config, in a folder that Windows itself
// keeps ordinary users out of.
const backupFolder = "postern-backup"

func (a *app) respondMitigateCommand() *cobra.Command {
	t := a.words.T
	var o mitigateOptions
	c := &cobra.Command{
		Use:     "mitigate " + t("cmd.respond.mitigate.args"),
		Short:   t("cmd.respond.mitigate.short"),
		Long:    t("cmd.respond.mitigate.long"),
		Example: t("cmd.respond.mitigate.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.respondMitigate(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.campaigns, "campaign", nil, t("cmd.flag.mitigate.campaign"))
	f.StringSliceVar(&o.with, "with", nil, t("cmd.flag.mitigate.with"))
	f.BoolVar(&o.plan, "plan", false, t("cmd.flag.mitigate.plan"))
	f.BoolVar(&o.apply, "apply", false, t("cmd.flag.mitigate.apply"))
	f.BoolVar(&o.yes, "yes", false, t("cmd.flag.mitigate.yes"))
	f.StringVar(&o.backup, "backup", "", t("cmd.flag.mitigate.backup"))
	f.StringVar(&o.scripts, "scripts", "", t("cmd.flag.mitigate.scripts"))
	return c
}

func (a *app) respondRollbackCommand() *cobra.Command {
	t := a.words.T
	var o mitigateOptions
	c := &cobra.Command{
		Use:     "rollback " + t("cmd.respond.rollback.args"),
		Short:   t("cmd.respond.rollback.short"),
		Long:    t("cmd.respond.rollback.long"),
		Example: t("cmd.respond.rollback.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.respondRollback(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.BoolVar(&o.yes, "yes", false, t("cmd.flag.mitigate.yes"))
	f.StringVar(&o.backup, "backup", "", t("cmd.flag.mitigate.backup"))
	return c
}

func (a *app) respondMitigate(ctx context.Context, o mitigateOptions, dir string) error {
	switch {
	case o.plan && o.apply:
		return usage("respond.mitigate.plan-apply")
	case o.apply && !o.yes && !isTerminal(a.in):
		return usage("respond.mitigate.no-terminal", "flag", "--apply")
	}
	s, err := a.server(ctx, o.campaigns, dir)
	if err != nil {
		return err
	}
	defer s.root.Close()
	if err := s.take(o.with); err != nil {
		return err
	}
	plan, err := mitigate.Make(s.mitigations, s.files, s.problems, s.judge)
	if err != nil {
		return err
	}
	if err := a.showPlan(s, plan, o.apply); err != nil {
		return err
	}
	if o.scripts != "" {
		if err := a.writeScripts(o.scripts, plan); err != nil {
			return err
		}
	}
	for _, i := range plan.Items {
		if i.Outcome == mitigate.NotDone {
			a.code = exitOpen
		}
	}
	if len(s.problems) > 0 {
		a.code = exitOpen
	}
	if !o.apply || len(plan.Changes) == 0 {
		return nil
	}
	if err := a.confirm(ctx, o.yes, postern.Say("respond.mitigate.ask", "count", len(plan.Changes))); err != nil {
		return err
	}
	k, err := a.keeper(s.root, o.backup, plan.Server, true)
	if err != nil {
		return err
	}
	defer k.Backup.Close()
	run, err := k.Apply(plan.Changes)
	if err != nil {
		return a.refused(err)
	}
	for _, f := range run.Files {
		a.sayLine("respond.mitigate.changed", "file", f.File, "before", f.Before, "after", f.After)
	}
	a.sayLine("respond.mitigate.applied", "backup", k.Backup.Name(), "run", run.Number)
	return nil
}

// sayLine prints a message as one line in which nothing acts on a terminal.
func (a *app) sayLine(key string, pairs ...any) {
	a.say(a.out, postern.Say(key, pairs...))
}

// sentence makes a refusal, which is a part of what an error says, a sentence of its own.
// What a judge says is one already.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// confirm asks before something is changed. An interrupt is no answer, and what is typed
// after it is none any more.
func (a *app) confirm(ctx context.Context, yes bool, question postern.Text) error {
	if yes {
		return nil
	}
	fmt.Fprint(a.err, report.Visible(a.words.Say(question))+" ")
	const longest = 100
	line, err := bufio.NewReader(io.LimitReader(&input{ctx: ctx, r: a.in}, longest)).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(a.err)
		return ctx.Err()
	case err != nil && !errors.Is(err, io.EOF):
		return failed(err, "respond.mitigate.declined")
	}
	// Not every keyboard at night has every letter.
	yesses := []string{a.words.T("respond.mitigate.ask.yes"), a.words.T("respond.mitigate.ask.yes-plain"), "yes"}
	if !slices.ContainsFunc(yesses, func(word string) bool { return strings.EqualFold(strings.TrimSpace(line), word) }) {
		return &problem{code: exitFailed, what: postern.Say("respond.mitigate.declined"), hint: postern.Say("respond.mitigate.declined.hint")}
	}
	return nil
}

// refused puts a refusal of the respond river into words.
func (a *app) refused(err error) error {
	var why *mitigate.Refusal
	if errors.As(err, &why) {
		return &problem{code: exitFailed, what: why.Why, hint: postern.Say("respond.mitigate.refused.hint"), cause: err}
	}
	return failed(err, "cmd.failed")
}

// iisServer is the configuration of one server and what judges it.
type iisServer struct {
	root        *os.Root
	files       map[string][]byte
	problems    []postern.Problem
	detector    *iisconfig.Detector
	mitigations []mitigate.Mitigation
	offered     []mitigate.Mitigation // of the product, for whoever names them
	judge       mitigate.Judge
	silent      []string // titles of campaigns without any mitigation
}

// take moves what is named from the offered mitigations to those that are done.
func (s *iisServer) take(names []string) error {
	for _, name := range names {
		is := func(m mitigate.Mitigation) bool { return m.Key() == name }
		if slices.ContainsFunc(s.mitigations, is) {
			continue
		}
		i := slices.IndexFunc(s.offered, is)
		if i < 0 {
			var known []string
			for j := range s.offered {
				known = append(known, s.offered[j].Key())
			}
			return usage("respond.mitigate.with", "name", name, "known", strings.Join(known, ", "))
		}
		s.mitigations, s.offered = append(s.mitigations, s.offered[i]), slices.Delete(s.offered, i, i+1)
	}
	return nil
}

// server opens the root folder of a server and learns what can be done about it.
func (a *app) server(ctx context.Context, campaigns []string, dir string) (*iisServer, error) {
	k, err := a.learn(campaigns)
	if err != nil {
		return nil, err
	}
	s := &iisServer{}
	known := detectall.Knowledge{Languages: catalogue.Languages}
	if p := k.product(); p != nil {
		known.Layout = layoutOf(p.Layout)
	}
	for _, p := range k.packs {
		if len(p.Mitigations) == 0 {
			s.silent = append(s.silent, a.words.Say(p.Title))
		}
	}
	known.Mitigations = k.mitigations()
	detector, mitigations, messages, err := detectall.Configurations(known)
	if err != nil {
		return nil, failed(err, "cmd.rules")
	}
	a.words = a.words.With(messages[a.words.Lang()])
	s.detector = detector
	for i := range mitigations {
		list := &s.mitigations
		if mitigations[i].Product {
			list = &s.offered
		}
		*list = append(*list, mitigationOf(&mitigations[i]))
	}
	if s.root, err = openRoot(dir); err != nil {
		return nil, err
	}
	if s.files, s.problems, err = mitigate.Find(ctx, s.root); err == nil {
		err = oneServer(s.files, dir)
	}
	s.judge = judgeWith(detector, s.problems)
	if err != nil {
		s.root.Close()
		return nil, failed(err, "cmd.open", "file", dir)
	}
	return s, nil
}

// openRoot opens the root folder of a server.
func openRoot(dir string) (*os.Root, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, failed(syscall.ENOTDIR, "preserve.root", "root", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", dir)
	}
	return root, nil
}

// mitigationOf is what is written of what is judged: the data of the pack drives both.
func mitigationOf(m *iisconfig.Mitigation) mitigate.Mitigation {
	out := mitigate.Mitigation{ID: m.ID, Campaign: m.Campaign, Title: m.Title, Limits: m.Limits, CVE: m.CVE,
		Modules: m.Modules, Pools: m.Pools, Services: m.Services, RestartedBy: m.RestartedBy}
	for _, r := range m.Rules {
		out.Rules = append(out.Rules, mitigate.Rule{Name: r.Name, Input: r.Input, Pattern: r.Patterns[0]})
	}
	return out
}

// oneServer refuses a folder in which several servers lie: nobody could say which of
// their files belong together.
func oneServer(files map[string][]byte, dir string) error {
	var found []string
	for name := range files {
		if _, place := hunt.Place(name); strings.HasSuffix("/"+place, "/inetsrv/config/applicationhost.config") {
			found = append(found, name)
		}
	}
	if len(found) > 1 {
		slices.Sort(found)
		return &problem{code: exitFailed, what: postern.Say("respond.mitigate.servers", "dir", dir, "files", strings.Join(found, ", ")),
			hint: postern.Say("respond.mitigate.servers.hint")}
	}
	return nil
}

// judgeWith makes a judge of the detector of IIS configuration. Of files that could not be
// read, or lie in folders that could not, it is told that they are there.
func judgeWith(d *iisconfig.Detector, problems []postern.Problem) mitigate.Judge {
	var unread []*iisconfig.Config
	for _, p := range problems {
		name := p.Path
		if !d.Wants(&detect.File{Path: name}) {
			name = path.Join(name, "web.config")
			_, place := hunt.Place(name)
			unread = append(unread, iisconfig.Lost(&detect.File{Path: p.Path, Server: path.Dir(place)}))
		}
		_, place := hunt.Place(name)
		unread = append(unread, iisconfig.Unread(&detect.File{Path: name, Server: place}))
	}
	return func(files map[string][]byte) (mitigate.Judgement, error) {
		configs := slices.Clone(unread)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			_, place := hunt.Place(name)
			f := &detect.File{Path: name, Server: place, Size: int64(len(files[name])),
				Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files[name])), nil }}
			c, _, err := d.Read(f)
			if err != nil {
				return mitigate.Judgement{}, err
			}
			configs = append(configs, c)
		}
		j := mitigate.Judgement{Answers: make(map[string]mitigate.Answer)}
		for _, s := range d.Mitigations(configs...) {
			j.Answers[s.Campaign+"/"+s.ID] = mitigate.Answer{State: s.State, Why: s.Why, Evidence: s.Evidence}
		}
		server, fronts := d.Fronts(configs...)
		if server == nil {
			return j, nil
		}
		j.Server = server.Path
		for _, s := range server.Sites {
			if !slices.ContainsFunc(fronts, func(f iisconfig.Front) bool { return f.Site == s.Name }) {
				j.Apart = append(j.Apart, s.Name)
			}
		}
		for _, f := range fronts {
			site := mitigate.Site{Name: f.Site, Open: f.Open}
			if f.Web != nil && files[f.Web.Path] != nil {
				site.File = f.Web.Path
			}
			for _, c := range f.Others {
				site.Others = append(site.Others, c.Path)
			}
			j.Sites = append(j.Sites, site)
		}
		return j, nil
	}
}

// showPlan prints what is, what would be changed and what the judge says of that.
func (a *app) showPlan(s *iisServer, p *mitigate.Plan, applying bool) error {
	out := bufio.NewWriter(a.out)
	t := a.words
	line := func(indent int, text string) {
		pad := strings.Repeat(" ", indent)
		fmt.Fprintln(out, pad+wrap(report.Visible(text), 80-indent, pad))
	}
	if p.Server != "" {
		line(0, t.T("respond.mitigate.server", "file", p.Server))
	}
	for _, site := range p.Sites {
		if site.File == "" {
			line(0, t.T("respond.mitigate.site.none", "site", site.Name))
		} else {
			line(0, t.T("respond.mitigate.site", "site", site.Name, "file", site.File))
		}
	}
	if len(p.Apart) > 0 {
		line(0, t.T("respond.mitigate.apart", "sites", strings.Join(p.Apart, ", ")))
	}
	for _, i := range p.Items {
		fmt.Fprintln(out)
		line(0, fmt.Sprintf("%s  [%s]  %s", t.Say(i.Title), i.Key(), strings.Join(i.CVE, " ")))
		line(2, t.T("respond.mitigate.before", "state", t.T("respond.mitigate.state."+string(i.Before.State)), "why", sentence(t.Say(i.Before.Why))))
		switch i.Outcome {
		case mitigate.InForce:
			line(2, t.T("respond.mitigate.in-force"))
		case mitigate.Planned:
			line(2, t.T("respond.mitigate.planned", "files", strings.Join(i.Files, ", "), "why", sentence(t.Say(i.After.Why))))
		case mitigate.Scripted:
			line(2, t.T("respond.mitigate.scripted"))
		default:
			line(2, t.T("respond.mitigate.not-done", "why", sentence(t.Say(i.After.Why))))
		}
		if !i.Limits.IsZero() {
			line(2, t.Say(i.Limits))
		}
	}
	if len(s.offered) > 0 {
		now, err := s.judge(s.files)
		if err != nil {
			return err
		}
		fmt.Fprintln(out)
		line(0, t.T("respond.mitigate.offered"))
		for _, m := range s.offered {
			is := now.Answers[m.Key()]
			line(2, fmt.Sprintf("%s  [%s]  %s", t.Say(m.Title), m.Key(), strings.Join(m.CVE, " ")))
			line(4, t.T("respond.mitigate.before", "state", t.T("respond.mitigate.state."+string(is.State)), "why", sentence(t.Say(is.Why))))
			if is.State != postern.Yes {
				line(4, t.T("respond.mitigate.offer", "id", m.Key()))
			}
		}
	}
	if len(s.silent) > 0 {
		fmt.Fprintln(out)
		line(0, t.T("respond.mitigate.silent", "campaigns", strings.Join(s.silent, ", ")))
	}
	for _, x := range s.problems {
		line(0, t.T("respond.mitigate.problem", "file", x.Path, "why", t.Say(x.Detail)))
	}
	for _, c := range p.Changes {
		fmt.Fprintln(out)
		writeDiff(out, mitigate.Diff(c.File, c.File, c.Before, c.After))
	}
	fmt.Fprintln(out)
	switch {
	case len(p.Changes) == 0:
		line(0, t.T("respond.mitigate.nothing"))
	case !applying:
		line(0, t.T("respond.mitigate.dry", "count", len(p.Changes)))
	}
	line(0, t.T("respond.mitigate.patch"))
	return out.Flush()
}

// writeDiff prints a diff of a file that strangers wrote.
func writeDiff(w io.Writer, diff string) {
	for l := range strings.Lines(diff) {
		l = strings.TrimSuffix(l, "\n")
		fmt.Fprintln(w, strings.ReplaceAll(report.Visible(strings.ReplaceAll(l, "\t", "\x00")), `\u0000`, "\t"))
	}
}

// writeScripts puts the scripts of the plan into a folder.
func (a *app) writeScripts(dir string, p *mitigate.Plan) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err, "cmd.create", "file", dir)
	}
	for _, i := range p.Items {
		if !i.Scripted() {
			continue
		}
		scripts, err := mitigate.Scripts(i.Mitigation)
		if err != nil {
			return failed(err, "cmd.failed")
		}
		for _, s := range scripts {
			head := ""
			for _, text := range []postern.Text{i.Title, s.What, i.Limits} {
				if !text.IsZero() {
					head += "# " + wrap(report.Visible(a.words.Say(text)), 90, "# ") + "\n"
				}
			}
			name, err := writeScript(dir, s.Name, head+s.Body)
			if err != nil {
				return err
			}
			a.sayLine("respond.mitigate.script", "file", name)
		}
	}
	return nil
}

// keeper opens the backup folder, that of the flag or the one beside the server's
// configuration.
func (a *app) keeper(root *os.Root, backup, server string, create bool) (*mitigate.Keeper, error) {
	k := &mitigate.Keeper{Files: root, Now: time.Now, Tool: "postern " + version()}
	var err error
	if backup != "" {
		if create {
			err = os.MkdirAll(backup, 0o700)
		}
		if err == nil {
			k.Backup, err = os.OpenRoot(backup)
		}
	} else {
		dir := path.Join(path.Dir(server), backupFolder)
		if create {
			if err = root.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
				err = nil
			}
		}
		if err == nil {
			k.Backup, err = root.OpenRoot(dir)
		}
	}
	if err != nil {
		return nil, failed(err, "respond.mitigate.backup")
	}
	return k, nil
}

func (a *app) respondRollback(ctx context.Context, o mitigateOptions, dir string) error {
	if !o.yes && !isTerminal(a.in) {
		return usage("respond.mitigate.no-terminal", "flag", "rollback")
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	server := ""
	if o.backup == "" {
		files, _, err := mitigate.Find(ctx, root)
		if err == nil {
			err = oneServer(files, dir)
		}
		if err != nil {
			return failed(err, "cmd.open", "file", dir)
		}
		for name := range files {
			if _, place := hunt.Place(name); strings.HasSuffix("/"+place, "/inetsrv/config/applicationhost.config") {
				server = name
			}
		}
	}
	k, err := a.keeper(root, o.backup, server, false)
	if errors.Is(err, os.ErrNotExist) && o.backup == "" {
		a.sayLine("respond.rollback.nothing")
		return nil
	}
	if err != nil {
		return err
	}
	defer k.Backup.Close()
	runs, err := k.Runs()
	if err != nil {
		return a.refused(err)
	}
	runs = slices.DeleteFunc(runs, mitigate.Run.IsUndone)
	if len(runs) == 0 {
		a.sayLine("respond.rollback.nothing")
		return nil
	}
	for _, r := range slices.Backward(runs) {
		for _, f := range r.Files {
			a.sayLine("respond.rollback.file", "file", f.File, "time", r.Time.Format(time.RFC3339), "before", f.Before)
		}
	}
	if err := a.confirm(ctx, o.yes, postern.Say("respond.rollback.ask", "count", len(runs))); err != nil {
		return err
	}
	done, err := k.Rollback()
	for _, r := range done {
		a.sayLine("respond.rollback.done", "run", r.Number, "count", len(r.Files))
	}
	var changed *mitigate.Changed
	if errors.As(err, &changed) {
		if changed.Is != nil {
			diff := mitigate.Diff(changed.File, changed.File, changed.Was, changed.Is)
			if diff == "" {
				diff = a.words.T("respond.rollback.invisible") + "\n"
			}
			writeDiff(a.out, diff)
		}
		return &problem{code: exitFailed, what: postern.Say("respond.rollback.changed", "file", changed.File), hint: postern.Say("respond.rollback.changed.hint")}
	}
	if err != nil {
		return a.refused(err)
	}
	return nil
}

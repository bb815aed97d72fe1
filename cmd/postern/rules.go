package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/hunt"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/rank"
	"postern/internal/hunt/detect/sigma"
	"postern/internal/hunt/detect/yara"
	"postern/internal/report"
)

// ruleFlags name the rules that a user brings.
type ruleFlags struct {
	yara, sigma []string
}

func (r *ruleFlags) add(c *cobra.Command, t func(string, ...any) string) {
	c.Flags().StringArrayVar(&r.yara, "yara", nil, t("cmd.flag.yara"))
	c.Flags().StringArrayVar(&r.sigma, "sigma", nil, t("cmd.flag.sigma"))
}

// userRules are the rules that a user brings.
type userRules struct {
	only  bool // the packs' own are left out
	yara  []yara.Source
	sigma detectall.Brought
	files []io.Closer
}

func (u *userRules) close() {
	for _, f := range u.files {
		f.Close()
	}
}

// open opens the files and folders and loads the Sigma rules; those of YARA are loaded
// with those of the packs.
func (r ruleFlags) open() (*userRules, error) {
	u := &userRules{}
	table, err := rank.New()
	if err != nil {
		return nil, failed(err, "cmd.rules")
	}
	for _, name := range r.yara {
		source, file, err := yara.Open(name)
		if err != nil {
			u.close()
			return nil, failed(err, "cmd.open", "file", name)
		}
		u.yara, u.files = append(u.yara, source), append(u.files, file)
		if source.Empty() {
			u.close()
			return nil, usage("cmd.rules.no-yara", "file", name)
		}
	}
	var sources []sigma.Source
	for _, name := range r.sigma {
		info, err := os.Stat(name)
		if err != nil {
			u.close()
			return nil, failed(err, "cmd.open", "file", name)
		}
		dir, file := name, "."
		if !info.IsDir() {
			dir, file = filepath.Dir(name), filepath.Base(name)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			u.close()
			return nil, failed(err, "cmd.open", "file", name)
		}
		u.files = append(u.files, root)
		source := sigma.Source{FS: root.FS(), Path: file, Name: filepath.ToSlash(dir)}
		if source.Empty() {
			u.close()
			return nil, usage("cmd.rules.no-sigma", "file", name)
		}
		sources = append(sources, source)
	}
	u.sigma = detectall.BringSigma(sources, table)
	return u, nil
}

// problems says which of the user's Sigma rules are not in a hunt, and what of the others
// is not understood.
func (u *userRules) problems() []postern.Problem {
	var all []postern.Problem
	for _, x := range u.sigma.Report.Unsupported {
		all = append(all, ofRule(postern.Unsupported, x.File, x.Line, x.Rule, x.Why))
	}
	for _, x := range u.sigma.Report.Remarks {
		all = append(all, ofRule(postern.Malformed, x.File, x.Line, x.Rule, x.Why))
	}
	return all
}

// ofRule is what is wrong with a rule that a user named.
func ofRule(what postern.ProblemKind, file string, line int, rule string, why postern.Text) postern.Problem {
	if file = place(file, line); rule != "" {
		file += " " + rule
	}
	return postern.Problem{Path: file, What: what, Detail: why}
}

// place is a file, with the line where there is one.
func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// campaign stands for rules that are hunted with alone: it has a verdict but no window.
func (u *userRules) campaign() postern.Campaign {
	c := postern.Campaign{Name: "rules", Version: 1, Title: postern.Say("cmd.rules.campaign")}
	for l := range c.Levels {
		// catalogue: level.*
		c.Levels[l] = postern.Say(fmt.Sprintf("level.%d", l))
	}
	return c
}

func (a *app) rulesCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{Use: "rules", Short: t("cmd.rules.short"), Long: t("cmd.rules.long"), Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var format string
	var checked, listed ruleFlags
	check := &cobra.Command{Use: "check", Short: t("cmd.rules.check.short"), Long: t("cmd.rules.check.long"), Example: t("cmd.rules.check.example"), Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.rulesCheck(checked, format) }}
	checked.add(check, t)
	check.Flags().StringVar(&format, "format", "table", t("cmd.flag.rules-format"))
	var campaigns []string
	list := &cobra.Command{Use: "list", Short: t("cmd.rules.list.short"), Long: t("cmd.rules.list.long"), Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.rulesList(listed, campaigns) }}
	listed.add(list, t)
	list.Flags().StringSliceVar(&campaigns, "campaign", nil, t("cmd.flag.campaign"))
	test := &cobra.Command{Use: "test " + t("cmd.rules.test.args"), Short: t("cmd.rules.test.short"), Long: t("cmd.rules.test.long"), Example: t("cmd.rules.test.example"),
		RunE: func(c *cobra.Command, args []string) error { return a.rulesTest(c.Context(), args) }}
	c.AddCommand(check, list, test)
	return c
}

// loadReport is what "rules check" says of one language.
type loadReport struct {
	Files       int           `json:"files"`
	Rules       int           `json:"rules"`
	Loaded      int           `json:"loaded"`
	Unsupported []unsupported `json:"unsupported"`
	Remarks     []unsupported `json:"remarks"` // what is not understood of rules that are loaded
	Again       []again       `json:"again"`
	Passed      []string      `json:"passed_over"` // files in the folders that are no rules by their names
}

// again is a rule that is there before, or another one of its name.
type again struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Rule  string `json:"rule"`
	First string `json:"first"`          // file and line of the rule that was before
	Name  string `json:"name,omitempty"` // of its findings; a copy has none of its own
}

type unsupported struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Rule string `json:"rule"`
	Why  string `json:"why"`
}

// without leaves out of the files that one language passed over those that the other reads:
// a folder may hold rules of both.
func without(passed, read []string) []string {
	known := make(map[string]bool, len(read))
	for _, name := range read {
		known[path.Clean(name)] = true
	}
	left := []string{}
	for _, name := range passed {
		if !known[path.Clean(name)] {
			left = append(left, name)
		}
	}
	return left
}

// called is what the findings of a rule with an ID of its own are called.
func called(language, id string) string {
	if id == "" {
		return ""
	}
	return language + id
}

// rulesCheck loads rules and says what loaded, what not and why.
func (a *app) rulesCheck(flags ruleFlags, format string) error {
	if !slices.Contains([]string{"table", "json"}, format) {
		return usage("cmd.bad-rules-format", "value", format)
	}
	if len(flags.yara)+len(flags.sigma) == 0 {
		return usage("cmd.no-rules")
	}
	u, err := flags.open()
	if err != nil {
		return err
	}
	defer u.close()
	_, fromYARA := yara.Load(u.yara)
	y := loadReport{Files: fromYARA.Files, Rules: fromYARA.Rules, Loaded: fromYARA.Loaded, Unsupported: []unsupported{}, Remarks: []unsupported{}, Again: []again{}, Passed: without(fromYARA.Passed, u.sigma.Report.Read)}
	for _, x := range fromYARA.Unsupported {
		y.Unsupported = append(y.Unsupported, unsupported{x.File, x.Line, x.Rule, a.words.Say(x.Why)})
	}
	for _, x := range fromYARA.Remarks {
		y.Remarks = append(y.Remarks, unsupported{x.File, x.Line, x.Rule, a.words.Say(x.Why)})
	}
	for _, x := range fromYARA.Again {
		y.Again = append(y.Again, again{x.File, x.Line, x.Rule, place(x.First, x.FirstLine), called("yara/", x.ID)})
	}
	r := u.sigma.Report
	s := loadReport{Files: r.Files, Rules: r.Rules, Loaded: r.Loaded, Unsupported: []unsupported{}, Remarks: []unsupported{}, Again: []again{}, Passed: without(r.Passed, fromYARA.Read)}
	for _, x := range r.Unsupported {
		s.Unsupported = append(s.Unsupported, unsupported{x.File, x.Line, x.Rule, a.words.Say(x.Why)})
	}
	for _, x := range r.Remarks {
		s.Remarks = append(s.Remarks, unsupported{x.File, x.Line, x.Rule, a.words.Say(x.Why)})
	}
	for _, x := range r.Again {
		s.Again = append(s.Again, again{x.File, x.Line, x.Rule, place(x.First, x.FirstLine), called("sigma/", x.ID)})
	}
	if len(y.Unsupported)+len(s.Unsupported)+len(y.Remarks)+len(s.Remarks) > 0 {
		a.code = exitOpen
	}
	if format == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", " ")
		e.SetEscapeHTML(false)
		if err := e.Encode(struct {
			YARA  loadReport `json:"yara"`
			Sigma loadReport `json:"sigma"`
		}{y, s}); err != nil {
			return failed(err, "cmd.write")
		}
		return nil
	}
	if _, err := io.WriteString(a.out, a.loadTable(y, s, a.columns())); err != nil {
		return failed(err, "cmd.write")
	}
	return nil
}

// loadTable lays out what "rules check" says, in so many columns.
func (a *app) loadTable(y, s loadReport, columns int) string {
	t := a.words.T
	var b strings.Builder
	about := func(file string, line int, rule, why string) {
		b.WriteString(row(columns, "  ", place(file, line), rule))
		b.WriteString(fold(columns, "      ", why))
	}
	for _, part := range []struct {
		name string
		loadReport
	}{{"YARA", y}, {"Sigma", s}} {
		if part.Files == 0 && len(part.Unsupported) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n", t("cmd.rules.loaded", "language", part.name, "loaded", part.Loaded, "count", part.Rules, "files", part.Files))
		for _, x := range slices.Concat(part.Unsupported, part.Remarks) {
			about(x.File, x.Line, x.Rule, x.Why)
		}
		copies, example := 0, again{}
		for _, x := range part.Again {
			if x.Name != "" {
				about(x.File, x.Line, x.Rule, t("cmd.rules.name-taken", "first", x.First, "name", x.Name))
			} else if copies++; copies == 1 {
				example = x
			}
		}
		if len(part.Passed) > 0 {
			b.WriteString(fold(columns, "  ", t("cmd.rules.passed", "count", len(part.Passed), "file", part.Passed[0])))
		}
		if copies > 0 {
			b.WriteString(fold(columns, "  ", t("cmd.rules.copies", "count", copies, "copy", place(example.File, example.Line), "first", example.First)))
		}
	}
	return b.String()
}

// fold gives text behind an indent, in lines of so many columns.
func fold(columns int, indent, text string) string {
	text = report.Visible(text)
	if columns > 0 {
		text = wrap(text, columns-len(indent), indent)
	}
	return indent + text + "\n"
}

// row gives two cells on a line, or on lines of their own where it is too short for both.
func row(columns int, begin, first, second string) string {
	first, second = report.Visible(first), report.Visible(second)
	line := strings.TrimRight(begin+first+"  "+second, " ")
	if columns == 0 || utf8.RuneCountInString(line) <= columns {
		return line + "\n"
	}
	return begin + first + "\n" + fold(columns, strings.Repeat(" ", len(begin)+2), second)
}

// rulesList prints the rules that a hunt would use, a line each.
func (a *app) rulesList(flags ruleFlags, campaigns []string) error {
	known, err := a.learn(campaigns)
	if err != nil {
		return err
	}
	u, err := flags.open()
	if err != nil {
		return err
	}
	defer u.close()
	var b strings.Builder
	columns := a.columns()
	line := func(level, id, title string) { b.WriteString(row(columns, level+"  ", id, title)) }
	rule := func(level postern.Level, id, title string) { line(strconv.Itoa(int(level)), id, title) }
	docs, order := known.documents()
	for _, r := range docs {
		rule(r.Level, r.ID, a.words.Say(r.Title))
	}
	for _, s := range order {
		rule(s.Level, s.ID, a.words.Say(s.Title))
	}
	for _, r := range u.sigma.Rules {
		rule(r.Level, r.ID, a.words.Say(r.Title))
	}
	for _, s := range u.sigma.Sequences {
		rule(s.Level, s.ID, a.words.Say(s.Title))
	}
	rules, _ := yara.Load(u.yara)
	for _, m := range rules.Metas() {
		line("-", "yara/"+m.ID, m.Get("description"))
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return failed(err, "cmd.write")
	}
	return nil
}

// rulesTest hunts a sample with one file of rules and says what matched where.
func (a *app) rulesTest(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return usage("cmd.rules.test.two")
	}
	o := huntOptions{format: "json", hash: "none", color: "never", indicatorsTLP: "amber+strict", rulesOnly: true}
	switch strings.ToLower(filepath.Ext(args[0])) {
	case ".yml", ".yaml":
		o.rules.sigma = args[:1]
	default:
		o.rules.yara = args[:1]
	}
	u, err := o.rules.open()
	if err != nil {
		return err
	}
	_, loaded := yara.Load(u.yara)
	u.close()
	if len(loaded.Unsupported)+len(u.sigma.Report.Unsupported) > 0 || loaded.Loaded+u.sigma.Report.Loaded == 0 {
		if err := a.rulesCheck(o.rules, "table"); err != nil {
			return err
		}
		a.code = exitFailed
		return nil
	}
	opt, left, err := a.setUp(o, time.Now())
	if err != nil {
		return err
	}
	inputs, err := a.inputs(o, args[1:])
	if err != nil {
		return err
	}
	found := &matches{}
	for _, p := range left {
		if p.What == postern.Malformed {
			found.remarks = append(found.remarks, p)
		} else {
			found.problems = append(found.problems, p)
		}
	}
	if err := hunt.Run(ctx, inputs, opt, found); err != nil {
		return err
	}
	return a.matches(found)
}

// matches gathers what a test finds.
type matches struct {
	remarks  []postern.Problem // what is not understood of rules, which are asked all the same
	findings []postern.Finding
	problems []postern.Problem
	status   postern.Status
}

func (m *matches) Problem(p postern.Problem) error { m.problems = append(m.problems, p); return nil }

func (m *matches) Host(h postern.Host) error {
	m.findings = append(m.findings, h.Findings...)
	return nil
}

func (m *matches) End(status postern.Status, _ postern.Stats) error {
	m.status = status
	return nil
}

// maxExcerpt is what is shown of a place.
const maxExcerpt = 200

// matches prints what a test found: the rule, and each place.
func (a *app) matches(m *matches) error {
	var b strings.Builder
	for _, f := range m.findings {
		fmt.Fprintf(&b, "%s  [%d] %s\n", report.Visible(f.Rule), f.Level, report.Visible(a.words.Say(f.Title)))
		for _, e := range f.Evidence {
			at := e.Path
			switch {
			case e.Line > 0:
				at = fmt.Sprintf("%s:%d", at, e.Line)
			case e.Record > 0:
				at = fmt.Sprintf("%s #%d", at, e.Record)
			}
			fmt.Fprintf(&b, "    %s  %s\n", report.Visible(at), report.Visible(report.Cut(e.Excerpt, maxExcerpt)))
		}
	}
	for _, p := range slices.Concat(m.remarks, m.problems) {
		fmt.Fprintf(&b, "%s: %s\n", report.Visible(p.Path), report.Visible(a.words.Say(p.Detail)))
	}
	fmt.Fprintln(&b, a.words.T("cmd.rules.matches", "count", len(m.findings)))
	switch {
	case len(m.findings) > 0:
		a.code = exitFound
	case m.status != postern.Complete || len(m.problems) > 0:
		a.code = exitOpen // what could not be read, or was not asked, may match
	}
	if _, err := io.WriteString(a.out, b.String()); err != nil {
		return failed(err, "cmd.write")
	}
	return nil
}

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/campaign"
	"postern/internal/catalogue"
	detectall "postern/internal/hunt/detect/all"
)

func (a *app) campaignCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "campaign",
		Short: t("cmd.campaign.short"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{Use: "list", Short: t("cmd.campaign.list.short"), Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return a.campaignList() }},
		&cobra.Command{Use: "show " + t("cmd.campaign.show.args"), Short: t("cmd.campaign.show.short"), Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.campaignShow(args[0]) }},
		&cobra.Command{Use: "check " + t("cmd.campaign.check.args"), Short: t("cmd.campaign.check.short"), Long: t("cmd.campaign.check.long"), Args: cobra.MinimumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return a.campaignCheck(args) }},
	)
	return c
}

func (a *app) campaignList() error {
	k, err := a.learn(nil)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, p := range k.packs {
		fmt.Fprintf(w, "%s@%d\t%s\t%s\t%s – %s\n", p.Name, p.Version, k.words.Say(p.Title), p.Product,
			p.Window.From.Format("2006-01-02"), p.Window.To.Format("2006-01-02"))
	}
	return w.Flush()
}

func (a *app) campaignShow(name string) error {
	k, err := a.learn([]string{name})
	if err != nil {
		return err
	}
	p, t := k.packs[0], k.words.T
	fmt.Fprintf(a.out, "%s  %s@%d\n%s\n\n", k.words.Say(p.Title), p.Name, p.Version, wrap(k.words.Say(p.About), 78, ""))
	fmt.Fprintln(a.out, wrap(strings.Join(p.CVEs, " "), 78, ""))
	fmt.Fprintf(a.out, "\n%s\n", t("cmd.campaign.window"))
	fmt.Fprintf(a.out, "  %s  %s\n", p.Window.From.Format("2006-01-02 15:04"), wrap(k.words.Say(p.Window.FromReason), 58, strings.Repeat(" ", 20)))
	fmt.Fprintf(a.out, "  %s  %s\n", p.Window.To.Format("2006-01-02 15:04"), wrap(k.words.Say(p.Window.ToReason), 58, strings.Repeat(" ", 20)))
	fmt.Fprintf(a.out, "\n%s\n", t("cmd.campaign.levels"))
	for level, title := range p.Levels {
		fmt.Fprintf(a.out, "  %d  %-18s %s\n", level, postern.Level(level), k.words.Say(title))
	}
	fmt.Fprintf(a.out, "\n%s\n", t("cmd.campaign.rules"))
	for _, r := range p.Rules {
		fmt.Fprintf(a.out, "  %d  %-30s %s\n", r.Level, strings.TrimPrefix(r.ID, p.Name+"/"), wrap(k.words.Say(r.Title), 44, strings.Repeat(" ", 36)))
	}
	for _, s := range p.Sequences {
		fmt.Fprintf(a.out, "  %d  %-30s %s\n", s.Level, strings.TrimPrefix(s.ID, p.Name+"/"), wrap(k.words.Say(s.Title), 44, strings.Repeat(" ", 36)))
	}
	return nil
}

// campaignCheck checks packs. One that is wrong does not keep the others from
// being checked.
func (a *app) campaignCheck(names []string) error {
	for _, name := range names {
		if err := a.checkPack(name); err != nil {
			a.code = a.fail(a.packError(err))
		}
	}
	return nil
}

// checkPack loads a pack and compiles its rules.
func (a *app) checkPack(name string) error {
	p, err := campaign.Find(name)
	if err != nil {
		return err
	}
	if err := campaign.Check(p, detectall.CheckRule); err != nil {
		return err
	}
	if len(p.Mitigations) > 0 {
		if err := detectall.CheckMitigations(p.Name, p.Mitigations, catalogue.Languages); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out, a.words.T("cmd.campaign.good", "name", p.Name, "version", p.Version,
		"rules", len(p.Rules)+len(p.Sequences), "indicators", len(p.Indicators)))
	return nil
}

// wrap breaks text into lines of a width; lines after the first begin with indent.
func wrap(s string, width int, indent string) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(s) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case line+1+n > width:
			b.WriteString("\n" + indent)
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += n
	}
	return b.String()
}

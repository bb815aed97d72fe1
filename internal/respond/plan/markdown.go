package plan

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"postern"
)

// WriteMarkdown writes plans as a task list, for a wiki or a ticket.
func WriteMarkdown(w io.Writer, d *Document, loc postern.Localizer, safe Safe) error {
	out := bufio.NewWriter(w)
	t := words{loc}
	for i := range d.Hosts {
		h := &d.Hosts[i]
		say := func(s string) string { return markdown(safe.Defang(safe.Visible(s), h.keep()...)) }
		if i > 0 {
			fmt.Fprint(out, "\n---\n\n")
		}
		fmt.Fprintf(out, "# %s\n\n", say(t.T("respond.plan.title", "host", h.Host)))
		for _, line := range t.head(h) {
			if line != "" {
				fmt.Fprintf(out, "- %s\n", say(line))
			}
		}
		fmt.Fprintf(out, "\n%s\n", say(t.T("respond.plan.note")))
		actions := func(key string, list []HostAction) {
			fmt.Fprintf(out, "\n  **%s**\n\n", say(t.T(key)))
			for _, a := range list {
				switch {
				case a.Script != "":
					fmt.Fprintf(out, "  - %s\n", say(t.T("respond.plan.script-below", "script", a.Script)))
				case a.Command != "":
					fmt.Fprintf(out, "  - %s:\n\n%s", say(t.shell(a.Shell)), fenced("    ", shellName(a.Shell), safe.Visible(a.Command)))
				default:
					fmt.Fprintf(out, "  - %s\n", say(a.Say))
				}
			}
		}
		stage := ""
		for _, s := range h.Steps {
			if s.Stage != stage {
				stage = s.Stage
				fmt.Fprintf(out, "\n## %s\n", say(s.Part))
			}
			fmt.Fprintf(out, "\n- [ ] **%d. %s** (%s)\n\n  %s\n", s.Number, say(s.Title), say(t.Takes(s.Minutes)), say(s.Why))
			actions("respond.plan.how", s.How)
			fmt.Fprintf(out, "\n  **%s** %s\n", say(t.T("respond.plan.effect")), say(s.Effect))
			actions("respond.plan.verify", s.Verify)
			actions("respond.plan.undo", s.Undo)
		}
		if len(h.Scripts) > 0 {
			fmt.Fprintf(out, "\n## %s\n", say(t.T("respond.plan.scripts")))
		}
		for _, s := range h.Scripts {
			fmt.Fprintf(out, "\n### %s\n\n%s", say(s.Name), fenced("", "powershell", s.Body))
		}
	}
	return out.Flush()
}

// markdown takes the meaning from every character that has one somewhere.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#|!&~$^=", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	out := b.String()
	// At the beginning of a line these make lists and headings.
	if strings.HasPrefix(out, "- ") || strings.HasPrefix(out, "+ ") {
		out = `\` + out
	}
	return out
}

// fenced makes a block of code whose fence is longer than any in it.
func fenced(indent, language, body string) string {
	fence := "```"
	for strings.Contains(body, fence) {
		fence += "`"
	}
	var b strings.Builder
	b.WriteString(indent + fence + language + "\n")
	for line := range strings.Lines(strings.TrimSuffix(body, "\n")) {
		b.WriteString(indent + strings.TrimSuffix(line, "\n") + "\n")
	}
	b.WriteString(indent + fence + "\n")
	return b.String()
}

func shellName(shell string) string {
	if shell == "sh" {
		return "sh"
	}
	return "powershell"
}

// shell names a shell for people.
func (w words) shell(shell string) string {
	switch shell {
	case "exchange":
		return w.T("respond.plan.shell.exchange")
	case "powershell":
		return w.T("respond.plan.shell.powershell")
	}
	return w.T("respond.plan.shell.sh")
}

package plan

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"postern"
)

// textWidth is that of a terminal and of a mail. Commands are never broken: one that
// is copied in pieces is another command.
const textWidth = 80

// WriteText writes plans for a terminal.
func WriteText(w io.Writer, d *Document, loc postern.Localizer, safe Safe) error {
	out := bufio.NewWriter(w)
	t := words{loc}
	for i := range d.Hosts {
		h := &d.Hosts[i]
		say := func(s string) string { return safe.Defang(safe.Visible(s), h.keep()...) }
		para := func(first, next, text string) { fmt.Fprintln(out, wrapText(first, next, text)) }
		if i > 0 {
			fmt.Fprintln(out)
			fmt.Fprintln(out, strings.Repeat("=", textWidth))
			fmt.Fprintln(out)
		}
		para("", "", t.T("respond.plan.title", "host", say(h.Host)))
		fmt.Fprintln(out)
		for _, line := range t.head(h) {
			if line != "" {
				para("  ", "  ", say(line))
			}
		}
		fmt.Fprintln(out)
		para("  ", "  ", t.T("respond.plan.note"))
		stage := ""
		actions := func(key string, list []HostAction) {
			para("    ", "    ", t.T(key))
			for _, a := range list {
				switch {
				case a.Script != "":
					para("      - ", "        ", t.T("respond.plan.script", "script", a.Script))
				case a.Command != "":
					fmt.Fprintln(out, "        "+prompt(a.Shell)+safe.Visible(a.Command))
				default:
					para("      - ", "        ", say(a.Say))
				}
			}
		}
		for _, s := range h.Steps {
			fmt.Fprintln(out)
			if s.Stage != stage {
				stage = s.Stage
				part := strings.ToUpper(s.Part)
				fmt.Fprintln(out, part+" "+strings.Repeat("-", max(3, textWidth-1-utf8.RuneCountInString(part))))
				fmt.Fprintln(out)
			}
			para(fmt.Sprintf("[ ] %d. ", s.Number), "    ", say(s.Title))
			para("    ", "    ", t.Takes(s.Minutes))
			para("    ", "    ", say(s.Why))
			actions("respond.plan.how", s.How)
			para("    ", "      ", t.T("respond.plan.effect")+" "+say(s.Effect))
			actions("respond.plan.verify", s.Verify)
			actions("respond.plan.undo", s.Undo)
		}
	}
	return out.Flush()
}

// wrapText breaks a paragraph at spaces. A word that is too long stays whole.
func wrapText(first, next, text string) string {
	var b strings.Builder
	line, width := first, utf8.RuneCountInString(first)
	empty := true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && width+1+n > textWidth {
			b.WriteString(line + "\n")
			line, width, empty = next, utf8.RuneCountInString(next), true
		}
		if !empty {
			line, width = line+" ", width+1
		}
		line, width, empty = line+word, width+n, false
	}
	b.WriteString(line)
	return b.String()
}

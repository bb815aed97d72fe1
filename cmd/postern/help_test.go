package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postern/internal/catalogue"
)

// commandTree gives every command in a language, by its full name.
func commandTree(t *testing.T, lang string) map[string]*cobra.Command {
	t.Helper()
	a := newApp(strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer), func(string) (string, bool) { return "", false })
	var err error
	if a.words, err = catalogue.Load(lang); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*cobra.Command)
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		all[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	add(a.root())
	return all
}

// Nothing of cobra's own English is left in a help, every flag says what its value
// is, and every help ends with the exit codes.
func TestEveryHelpIsInItsLanguage(t *testing.T) {
	t.Parallel()
	ofCobra := regexp.MustCompile(`\b(string|strings|int|uint|uint64|int64|float|duration|intSlice)\b  `)
	english := regexp.MustCompile(`\b(default|Usage|Flags|Commands|Examples|FILE|DIR)\b|\[flags\]`)
	en := commandTree(t, "en")
	for name, es := range commandTree(t, "es") {
		c := en[name]
		for lang, c := range map[string]*cobra.Command{"en": c, "es": es} {
			usage := c.UsageString()
			if m := ofCobra.FindString(usage); m != "" {
				t.Errorf("%s, %s: a flag has the value %q: write a name between backquotes in its text", name, lang, strings.TrimSpace(m))
			}
			if !strings.Contains(usage, "130  ") {
				t.Errorf("%s, %s: the help does not end with the exit codes", name, lang)
			}
			if c.Short == "" {
				t.Errorf("%s, %s: nothing says what the command is for", name, lang)
			}
		}
		if m := english.FindString(es.UsageString()); m != "" {
			t.Errorf("%s: %q in the Spanish help", name, m)
		}
		if c.Short == es.Short {
			t.Errorf("%s: the Spanish help says %q", name, es.Short)
		}
		es.Flags().VisitAll(func(f *pflag.Flag) {
			if of := c.Flags().Lookup(f.Name); of != nil && of.Usage == f.Usage {
				t.Errorf("%s: --%s says %q in both languages", name, f.Name, f.Usage)
			}
		})
	}
}

// The terminal of whoever works on a server that burns is 80 columns wide.
func TestHelpIsNarrow(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		for name, c := range commandTree(t, lang) {
			for line := range strings.Lines(c.Long) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 90 {
					t.Errorf("%s, %s: a line of %d characters: %q", name, lang, n, line)
				}
			}
		}
	}
}

// A command that fails says one line of what and one of what to do, in either
// language, and nothing where results go.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"hunt", "--format", "x"}, {"hunt", "--nope"}, {"nope"}, {"report"}, {"report", "no-such-file"},
		{"campaign", "show", "no-such-pack"}, {"exercise", "evidence"}, {"hunt", "no-such-folder"},
	} {
		for _, lang := range catalogue.Languages {
			var out, err bytes.Buffer
			a := newApp(strings.NewReader(""), &out, &err, func(string) (string, bool) { return "", false })
			code := a.main(context.Background(), append([]string{"--lang", lang}, args...))
			if code != exitUsage && code != exitFailed {
				t.Errorf("%s %v: exit code %d", lang, args, code)
			}
			if out.Len() > 0 {
				t.Errorf("%s %v: prints %q where results go", lang, args, out.String())
			}
			hint := map[string]string{"en": "\nhint: ", "es": "\nsugerencia: "}[lang]
			if s := "\n" + err.String(); !strings.Contains(s, "\nerror: ") || !strings.Contains(s, hint) {
				t.Errorf("%s %v: says %q", lang, args, err.String())
			}
		}
	}
}

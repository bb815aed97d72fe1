package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/report"
	"postern/internal/respond/preserve"
)

// Exit codes of every command; docs/exit-codes.md is their page.
const (
	exitDone       = 0 // done, nothing at level 2 or above
	exitFailed     = 1
	exitUsage      = 2 // the command line is wrong
	exitFound      = 3 // done, level 2 or above found
	exitOpen       = 4 // done but inconclusive or partial, and nothing found
	exitInterrupts = 130
)

// app is what every command is given: streams, environment, language.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	words    *catalogue.Catalogue
	code     int // what main exits with when no error says otherwise
}

func newApp(in io.Reader, out, err io.Writer, env func(string) (string, bool)) *app {
	return &app{in: in, out: out, err: err, env: env}
}

// main runs a command line and gives the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	lang, err := a.language(args)
	if err == nil {
		a.words, err = catalogue.Load(lang)
	}
	if err != nil {
		a.words, _ = catalogue.Load(catalogue.Languages[0])
		return a.fail(err)
	}
	out := &output{Writer: a.out}
	a.out = out
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	if err := root.ExecuteContext(ctx); err != nil {
		return a.fail(err)
	}
	if out.failed != nil {
		return a.fail(failed(out.failed, "cmd.write"))
	}
	return a.code
}

// output is standard output that remembers when something could not be written: half an
// answer must not end as a whole one, whoever wrote the line that is missing.
type output struct {
	io.Writer
	failed error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.failed == nil {
		o.failed = err
	}
	return n, err
}

// input is standard input that an interrupt ends. A terminal and a pipe cannot be woken
// while they are read, so that the read is left behind, with its buffer.
type input struct {
	ctx context.Context
	r   io.Reader
	buf []byte
}

func (i *input) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, i.ctx.Err()
	}
	if i.buf == nil {
		const enough = 64 << 10 // as a pipe holds
		i.buf = make([]byte, enough)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	into := i.buf[:min(len(p), len(i.buf))]
	go func() {
		n, err := i.r.Read(into)
		done <- result{n, err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	case got := <-done:
		return copy(p, into[:got.n]), got.err
	}
}

// language takes --lang out of the command line before cobra is made, as the help
// texts need it; without it the environment decides.
func (a *app) language(args []string) (string, error) {
	for i, arg := range args {
		value, ok := strings.CutPrefix(arg, "--lang=")
		if arg == "--lang" && i+1 < len(args) {
			value, ok = args[i+1], true
		}
		if arg == "--" {
			break
		}
		if ok {
			if _, err := catalogue.Load(value); err != nil {
				return "", usage("cmd.bad-lang", "lang", value, "known", strings.Join(catalogue.Languages, ", "))
			}
			return value, nil
		}
	}
	var wanted []string
	for _, name := range []string{"POSTERN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"} {
		if v, ok := a.env(name); ok && v != "" {
			wanted = append(wanted, v)
			break
		}
	}
	return catalogue.Choose(wanted...), nil
}

// problem is an error in the words of the person who reads it: what happened, to
// what, and what to do next.
type problem struct {
	code  int
	what  postern.Text
	hint  postern.Text
	cause error
}

func (p *problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%s: %v", p.what.Key, p.cause)
	}
	return p.what.Key
}
func (p *problem) Unwrap() error { return p.cause }

// usage is a command line that is wrong. The key's hint is key.hint.
func usage(key string, pairs ...any) error {
	return &problem{code: exitUsage, what: postern.Say(key, pairs...), hint: postern.Say(key+".hint", pairs...)}
}

// failed is a command that could not do its work. A cause that is in words already stays
// as it is.
func failed(cause error, key string, pairs ...any) error {
	var said *problem
	if errors.As(cause, &said) {
		return said
	}
	if why := knownReason(cause); why != "" {
		pairs = append(pairs, "reason@", why)
	} else {
		pairs = append(pairs, "reason", reason(cause))
	}
	return &problem{code: exitFailed, what: postern.Say(key, pairs...), hint: postern.Say(key+".hint", pairs...), cause: cause}
}

// knownReason gives the key of what happens most often, which the system and Go say in
// their own language, "" for anything else.
//
// catalogue: cmd.reason.*
func knownReason(err error) string {
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "cmd.reason.missing"
	case errors.Is(err, fs.ErrPermission):
		return "cmd.reason.permission"
	case errors.Is(err, fs.ErrExist):
		return "cmd.reason.exists"
	case preserve.Full(err):
		return "cmd.reason.full"
	case errors.Is(err, syscall.EISDIR):
		return "cmd.reason.folder"
	case errors.Is(err, syscall.ENOTDIR):
		return "cmd.reason.no-folder"
	case errors.Is(err, syscall.EROFS):
		return "cmd.reason.read-only"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cmd.reason.cut"
	case errors.As(err, &syntax):
		return "cmd.reason.no-json"
	}
	return ""
}

// reason is the innermost error: people need what happened, not who saw it. Of several
// that were joined the first is what happened, and the others came of it.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
			inner = joined.Unwrap()[0]
		}
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// fail prints an error and gives the exit code for it.
func (a *app) fail(err error) int {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err, a.words.T("cmd.interrupted"))
		return exitInterrupts
	}
	var p *problem
	if !errors.As(err, &p) { // what a command returns is a problem already, so this is cobra's word on the command line
		p = &problem{code: exitUsage, what: postern.Say("cmd.usage", "error", err.Error()), hint: postern.Say("cmd.usage.hint")}
	}
	// Names of files and causes come from outside: nothing in them may reach a terminal.
	fmt.Fprintln(a.err, report.Visible(a.words.T("cmd.error", "text", a.words.Say(p.what))))
	if a.words.Has(p.hint.Key) {
		fmt.Fprintln(a.err, report.Visible(a.words.T("cmd.hint", "text", a.words.Say(p.hint))))
	}
	return p.code
}

// root makes the tree of commands in the language of the catalogue.
func (a *app) root() *cobra.Command {
	t := a.words.T
	root := &cobra.Command{
		Use:           "postern",
		Short:         t("cmd.root.short"),
		Long:          t("cmd.root.long"),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().String("lang", "", t("cmd.flag.lang"))
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpTemplate("{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}\n\n{{end}}{{.UsageString}}")
	root.SetUsageTemplate(a.usageTemplate())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.AddCommand(a.huntCommand(), a.reportCommand(), a.eventsCommand(), a.campaignCommand(), a.rulesCommand(), a.exposureCommand(), a.respondCommand(), a.watchCommand(), a.exerciseCommand(), a.versionCommand())
	help := &cobra.Command{Use: "help", Short: t("cmd.help.short"), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(c, rest)
			}
			return c.Help()
		}}
	root.SetHelpCommand(help)
	a.finish(root)
	a.finish(help)
	return root
}

// usageTemplate is cobra's, with words from the catalogue and the exit codes.
func (a *app) usageTemplate() string {
	t := a.words.T
	return t("cmd.usage.usage") + `{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} ` + t("cmd.usage.command") + `{{end}}{{if .HasExample}}

` + t("cmd.usage.examples") + `
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

` + t("cmd.usage.commands") + `{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

` + t("cmd.usage.flags") + `
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

` + t("cmd.usage.global") + `
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}

` + t("cmd.usage.exit") + `
`
}

// isTerminal says whether a stream is a terminal that a person looks at.
func isTerminal(w any) bool {
	f, ok := fileOf(w)
	return ok && term.IsTerminal(int(f.Fd()))
}

// fileOf gives the file that a stream is, if it is one.
func fileOf(w any) (f *os.File, ok bool) {
	if o, is := w.(*output); is {
		w = o.Writer
	}
	f, ok = w.(*os.File)
	return f, ok
}

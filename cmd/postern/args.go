package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// finish does for a command and those below it what must be the same for all:
// what cobra says in English of its own accord is said from the catalogues, and an
// error of the work itself is not taken for one of the command line.
func (a *app) finish(c *cobra.Command) {
	c.Flags().BoolP("help", "h", false, a.words.T("cmd.flag.help"))
	c.DisableFlagsInUseLine = true // the uses say where flags stand
	c.SuggestionsMinimumDistance = 2
	c.LocalFlags().VisitAll(a.sayDefault)
	fits := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		switch {
		case c.HasAvailableSubCommands() && len(args) > 0:
			return unknownCommand(c, args)
		case fits != nil && fits(c, args) != nil:
			return usage("cmd.arguments", "command", c.CommandPath(), "use", c.UseLine())
		}
		return nil
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			err := run(c, args)
			var p *problem
			if err == nil || errors.As(err, &p) || errors.Is(err, context.Canceled) {
				return err
			}
			return failed(err, "cmd.failed")
		}
	}
	for _, sub := range c.Commands() {
		a.finish(sub)
	}
}

// sayDefault puts the default of a flag into its text, unless that speaks of one
// already; cobra would add it in English.
func (a *app) sayDefault(f *pflag.Flag) {
	none := "0"
	switch f.Value.Type() {
	case "string":
		none = ""
	case "bool":
		none = "false"
	case "duration":
		none = "0s"
	case "stringSlice", "stringArray", "intSlice":
		none = "[]"
	}
	if f.DefValue != none && !strings.Contains(f.Usage, a.words.T("cmd.flag.default.word")) {
		value := f.DefValue
		if f.Value.Type() == "bool" { // the only bool with a default is one that is on
			value = "--" + f.Name + "=true"
		}
		f.Usage += " " + a.words.T("cmd.flag.default", "value", value)
	}
	f.DefValue = none
}

func unknownCommand(c *cobra.Command, args []string) error {
	name := strings.Join(args, " ")
	if len(args) > 0 {
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return usage("cmd.unknown-command.near", "name", name, "command", c.CommandPath(), "near", strings.Join(near, ", "))
		}
	}
	return usage("cmd.unknown-command", "name", name, "command", c.CommandPath())
}

// flagError puts an error of the flag parser into words.
func flagError(err error) error {
	var missing *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &missing):
		name := "--" + missing.GetSpecifiedName()
		if missing.GetSpecifiedShortnames() != "" {
			name = "-" + missing.GetSpecifiedName()
		}
		return usage("cmd.unknown-flag", "flag", name)
	case errors.As(err, &empty):
		return usage("cmd.flag-needs-value", "flag", "--"+empty.GetFlag().Name)
	case errors.As(err, &wrong):
		return usage("cmd.bad-value", "flag", "--"+wrong.GetFlag().Name, "value", wrong.GetValue())
	}
	return err
}

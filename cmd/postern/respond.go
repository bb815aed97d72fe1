package main

import "github.com/spf13/cobra"

// respondCommand is the group of commands that change something, or help to.
func (a *app) respondCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "respond",
		Short: t("cmd.respond.short"),
		Long:  t("cmd.respond.long"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	// One line a part, in the order in which the night goes.
	c.AddCommand(a.respondPlanCommand())
	c.AddCommand(a.respondPreserveCommand())
	c.AddCommand(a.respondCustodyCommand())
	c.AddCommand(a.respondMitigateCommand())
	c.AddCommand(a.respondRollbackCommand())
	c.AddCommand(a.respondCleanCommand())
	c.AddCommand(a.respondRestoreCommand())
	c.AddCommand(a.respondVerifyCommand())
	c.AddCommand(a.respondAttestationCommand())
	return c
}

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"postern/internal/campaign"
)

// release is set by the linker for a released build.
var release string

// version gives the release, or for other builds the revision they were built from.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "0-" + s.Value[:12]
			}
		}
	}
	return "0-devel"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: a.words.T("cmd.version.short"),
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintf(a.out, "postern %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
			packs, err := campaign.BuiltIn()
			if err != nil {
				return a.packError(err)
			}
			for _, p := range packs {
				fmt.Fprintf(a.out, "%s@%d\n", p.Name, p.Version)
			}
			return nil
		},
	}
}

package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/wording"
)

func configCommand(a *app) *cobra.Command {
	var file string
	g := cli.Group("config", "Print and check the settings", configPrint(a, &file), configValidate(a, &file),
		configSchema(a))
	g.PersistentFlags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	return g
}

func configPrint(a *app, file *string) *cobra.Command {
	return &cobra.Command{
		Use: "print", Short: "Print every setting and where it comes from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := node.ReadSettings(*file, nil)
			if err != nil {
				return err
			}
			all := c.Settings()
			return a.Done(map[string]any{"settings": all}, func(w io.Writer) {
				for _, s := range all {
					fmt.Fprintf(w, "%-28s %-44s %s\n", s.Path, s.Value, s.Origin)
				}
			})
		},
	}
}

func configValidate(a *app, file *string) *cobra.Command {
	return &cobra.Command{
		Use: "validate", Short: "Check the settings and everything that they name", Args: cobra.NoArgs,
		Long: "Finds whatever in the settings, and in the files that they name, keeps writ serve from starting. It listens " +
			"nowhere and asks no chain;\nwrit doctor does.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cli.ReadSettings(cmd.Context(), *file, nil)
			if err != nil {
				return err
			}
			if err := cli.Rehearse(cmd.Context(), c); err != nil {
				return err
			}
			if err := noteSkipped(a, c); err != nil {
				return err
			}
			if note := cli.RoutesNote(c); note != "" {
				a.Note("%s", note)
			}
			if len(c.Chain.RPC) == 0 {
				a.Note("no chain is set: give writ serve --chain URL, or set chain.rpc")
			}
			return a.Done(map[string]any{"file": cmp.Or(*file, config.DefaultFile)}, func(w io.Writer) {
				fmt.Fprintf(w, "the settings are in order: agents %s, policies %s\n", strings.Join(c.Agents, ", "), c.Policies)
			})
		},
	}
}

// noteSkipped names the documents that are left out, which keeps no server from starting.
func noteSkipped(a *app, c *config.Config) error {
	if len(c.Documents) == 0 {
		return nil
	}
	_, skipped, err := node.ReadDocuments(c.Documents)
	for _, x := range skipped {
		a.Note("%s/%s is left out, and nobody finds it: %s", x.Source, wording.Reveal(x.Name), x.Why)
	}
	return err
}

func configSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(config.Schema())
			return err
		},
	}
}

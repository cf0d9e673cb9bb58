package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	var file string
	print := &cobra.Command{
		Use: "print", Short: "Print every setting and where it comes from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := loadConfig(file, nil)
			if err != nil {
				return err
			}
			all := c.Settings()
			return a.done(map[string]any{"settings": all}, func(w io.Writer) {
				for _, s := range all {
					fmt.Fprintf(w, "%-28s %-44s %s\n", s.Path, s.Value, s.Origin)
				}
			})
		},
	}
	validate := &cobra.Command{
		Use: "validate", Short: "Check the settings and everything that they name", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := loadConfig(file, nil)
			if err != nil {
				return err
			}
			for _, name := range c.Agents {
				if _, err := definition(name); err != nil {
					return err
				}
			}
			if _, err := rulesOf(c.Policies, c.Dapps); err != nil {
				return err
			}
			return a.done(map[string]any{"file": or(file, config.DefaultFile)}, func(w io.Writer) {
				fmt.Fprintf(w, "the settings are in order: agents %s, policies %s\n", strings.Join(c.Agents, ", "), c.Policies)
			})
		},
	}
	schema := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(config.Schema())
			return err
		},
	}
	g := group("config", "Print and check the settings", print, validate, schema)
	g.PersistentFlags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	return g
}

// Package compute looks at WebAssembly modules that are to be tools, and computes with them.
package compute

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/module"
)

// An outcome is what the command prints as JSON.
type outcome struct {
	Module string `json:"module"`
	Bytes  int    `json:"bytes"`
	Result string `json:"result,omitempty"`
}

// Command is writ tools module.
func Command(sh *cli.Shell) *cobra.Command {
	fuel, most := int64(0), module.DefaultTime
	c := &cobra.Command{
		Use: "module FILE [INPUT]", Short: "Check a WebAssembly module that is to be a tool, and compute with it",
		Long: `Reads a module as a server would, says what is wrong with it or by which CID it is known, and computes the result
of INPUT, a JSON object, if one is given. The configuration names a module under tools, as wasm; docs/tools.md says
what a module is to export.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := node.ReadModule(args[0])
			if err != nil {
				return cli.Usage("%s", err)
			}
			m, err := module.Read(c.Context(), data, fuel)
			if err != nil {
				return cli.Usage("%s: %s", args[0], err)
			}
			o := outcome{Module: m.CID(), Bytes: len(data)}
			if len(args) == 2 {
				if o.Result, err = compute(c.Context(), m, args[1], most); err != nil {
					return err
				}
			}
			return sh.Done(o, func(w io.Writer) {
				if o.Result != "" {
					fmt.Fprintln(w, cli.Plain(o.Result))
					return
				}
				fmt.Fprintf(w, "%s\nit can be a tool: %d bytes, and it gets nothing but its arguments\n", o.Module, o.Bytes)
			})
		},
	}
	c.Flags().Int64Var(&fuel, "fuel", 0, "`instructions` that it may take; 100000000 if 0")
	c.Flags().DurationVar(&most, "timeout", module.DefaultTime, "how long it may take")
	return c
}

func compute(ctx context.Context, m *module.Module, input string, most time.Duration) (string, error) {
	args, err := tools.CanonicalJSON([]byte(input))
	if err != nil {
		return "", cli.Usage("the input is no JSON: %s", err)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	out, err := m.Run(ctx, args)
	if err != nil {
		return "", cli.Failf(cli.ExitInternal, "module", "%s", err)
	}
	return string(out), nil
}

package workshop

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/policies/workshop"
)

// formatOptions are the flags of writ policy fmt.
type formatOptions struct {
	check bool
}

func (sh *commands) fmtCommand() *cobra.Command {
	var o formatOptions
	c := &cobra.Command{
		Use: "fmt FILE...", Short: "Bring policy sets into their canonical form",
		Long: `Rewrites each file in the canonical form, and prints the names of those that changed: keys in the order of the
manual, blank lines between rules, one blank around operators. Comments stay. A file that cannot be formatted without
losing something stays as it is. The CID of a set is that of its bytes: a set that wallets have signed becomes another
version.

With - it reads from standard input and writes to standard output. With --check nothing is written, and a file that is
not in the form fails the command (exit code 64).`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.format(sh, c, args) },
	}
	c.Flags().BoolVar(&o.check, "check", false, "write nothing; fail if a file is not in the form")
	return c
}

func (o *formatOptions) format(sh *commands, c *cobra.Command, args []string) error {
	changed := []string{}
	for _, name := range args {
		src, out, err := formatSource(name, c.InOrStdin())
		if err != nil {
			return err
		}
		if name == "-" {
			if _, err := sh.Out.Write(out); err != nil {
				return err
			}
			continue
		}
		if bytes.Equal(src, out) {
			continue
		}
		changed = append(changed, name)
		if !o.check {
			if err := replaceFile(name, out); err != nil {
				return err
			}
		}
	}
	var fail *cli.Failure
	if o.check && len(changed) > 0 {
		fail = cli.Failf(cli.ExitUsage, "policy_fmt", "%s not in the canonical form; run writ policy fmt",
			countAre(len(changed), "file"))
	} else if len(args) == 1 && args[0] == "-" {
		return nil
	}
	return sh.report(map[string]any{"changed": changed}, func(w io.Writer) {
		for _, name := range changed {
			fmt.Fprintln(w, name)
		}
	}, fail)
}

// formatSource reads a file, or what comes in if its name is -, and returns it with its canonical form.
func formatSource(name string, in io.Reader) (src, out []byte, err error) {
	if name == "-" {
		src, err = io.ReadAll(io.LimitReader(in, node.MaxSource))
	} else {
		src, err = node.ReadSource(name)
	}
	if err != nil {
		return nil, nil, err
	}
	if out, err = workshop.Format(src); err != nil {
		if f := badPolicy(name, err); f != err {
			return nil, nil, f
		}
		return nil, nil, cli.Failf(cli.ExitUsage, "policy", "%s: %s", name, cli.Plain(err.Error()))
	}
	return src, out, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".writ-fmt-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func countAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

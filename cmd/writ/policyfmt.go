package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/policies"
)

func (a *app) policyFmt() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: "fmt FILE...", Short: "Bring policy sets into their canonical form",
		Long: `Rewrites each file in the canonical form, and prints the names of those that changed: keys in the order of the manual,
blank lines between rules, one blank around operators. Comments stay. A file that cannot be formatted without losing
something stays as it is. The CID of a set is that of its bytes: a set that wallets have signed becomes another version.

With - it reads from standard input and writes to standard output. With --check nothing is written, and a file that is
not in the form fails the command (exit code 64).`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			changed := []string{}
			for _, name := range args {
				var src []byte
				var err error
				if name == "-" {
					src, err = io.ReadAll(io.LimitReader(c.InOrStdin(), maxSource))
				} else {
					src, err = readSource(name)
				}
				if err != nil {
					return err
				}
				out, err := policies.Format(src)
				if err != nil {
					if f := badPolicy(name, err); f != err {
						return f
					}
					return failf(exitUsage, "policy", "%s: %s", name, plain(err.Error()))
				}
				if name == "-" {
					if _, err := a.out.Write(out); err != nil {
						return err
					}
					continue
				}
				if bytes.Equal(src, out) {
					continue
				}
				changed = append(changed, name)
				if !check {
					if err := replace(name, out); err != nil {
						return err
					}
				}
			}
			v := map[string]any{"changed": changed}
			text := func(w io.Writer) {
				for _, name := range changed {
					fmt.Fprintln(w, name)
				}
			}
			if !check || len(changed) == 0 {
				if len(args) == 1 && args[0] == "-" {
					return nil
				}
				return a.done(v, text)
			}
			if !a.json {
				text(a.out)
			}
			f := failf(exitUsage, "policy_fmt", "%s not in the canonical form; run writ policy fmt", are(len(changed), "file"))
			f.result = v
			return f
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; fail if a file is not in the form")
	return c
}

// replace writes a file whole or not at all.
func replace(path string, data []byte) error {
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

func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

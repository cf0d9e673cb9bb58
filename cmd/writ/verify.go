package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/provenance"
)

func (a *app) verifyCommand() *cobra.Command {
	var keys, identity, operator string
	var log logFlags
	var rpc []string
	c := &cobra.Command{
		Use: "verify FILE.car", Short: "Check a run's record as a stranger, without any server",
		Long: `Judges the record in a CAR file and trusts nothing in it: hashes, spelling and links of every block, the wallet's and
the operator's signatures, that the permission covers every effect, and every policy decision computed again. The last
line is the verdict:

  VERIFIED               every check passed
  VERIFIED WITH GAPS     nothing is wrong, but not all could be checked; the lines above say what (exit code 4)
  FAILED code at CID     something is wrong (exit code 2, 3 or 4; see writ help exit-codes)

--operator-key is the key that you got from the operator by another way than this file; without it the head cannot be
checked. --keys opens sealed payloads, of which permission and decisions are made.

What shows that nothing was left out comes by other ways, too: the log's key, a receipt that you kept, the witnesses that
you trust, a checkpoint from elsewhere, or an anchor on a chain. --rpc asks a chain again whether a contract wallet
accepted what it signed. Each endpoint is one of your choice, and nothing is asked unless you name one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := provenance.Options{}
			var err error
			if operator != "" {
				if b, err := os.ReadFile(operator); err == nil {
					operator = strings.TrimSpace(string(b))
				}
				if o.OperatorKey, err = audit.OperatorKey(operator); err != nil {
					return usage("--operator-key: %s", err)
				}
			}
			if o.Keys, err = openKeys(keys, identity); err != nil {
				return err
			}
			if o.Log, err = log.options(c.Context()); err != nil {
				return err
			}
			chains, err := ethcall.DialAll(rpc)
			if err != nil {
				return usage("--rpc: %s", err)
			}
			var rep *provenance.Report
			src, f, err := openCAR(args[0])
			if _, bad := errors.AsType[*provenance.Fault](err); bad {
				rep = provenance.FailedReport(err)
			} else if err != nil {
				return err
			} else {
				defer f.Close()
				if len(chains) > 0 {
					rep = audit.VerifyOn(c.Context(), src, o, chains)
				} else {
					rep = audit.Verify(src, o)
				}
			}
			exit := audit.Exit(rep)
			if exit == exitOK {
				return a.done(rep, func(w io.Writer) { audit.Text(w, rep, a.color(w)) })
			}
			if !a.json {
				if err := audit.Text(a.out, rep, a.color(a.out)); err != nil {
					return err
				}
				return &failure{exit: exit, code: "verdict"}
			}
			fail := failf(exit, string(rep.Code), "%s", rep.Detail)
			if rep.Verdict == provenance.Gaps {
				fail.code, fail.message = "gaps", "nothing is wrong with what could be checked, but not all could; see checks"
			}
			fail.result = rep
			return fail
		},
	}
	c.Flags().StringVar(&keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	log.define(c.Flags())
	c.Flags().StringArrayVar(&rpc, "rpc", nil, "`endpoint` that is asked again about contract wallets; may be given several times")
	c.Flags().StringVar(&operator, "operator-key", "", "the operator's public `key`: 64 hex digits, or a file that holds them")
	return c
}

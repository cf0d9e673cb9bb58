package showrecord

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/provenance"
)

// verifyOptions are the flags of writ verify.
type verifyOptions struct {
	keys, identity string
	v              verifier.Verifier
}

// Verify returns writ verify.
func Verify(a *cli.Shell) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use: "verify FILE.car", Short: "Check a run's record as a stranger, without any server",
		Long: `Judges the record in a CAR file and trusts nothing in it: hashes, spelling and links of every block, the wallet's and
the operator's signatures, that the permission covers every effect, and every policy decision computed again. The last
line is the verdict:

  VERIFIED                    every check passed
  VERIFIED WITH GAPS          nothing is wrong, but not all could be checked; the lines above say what (exit code 20)
  CONSISTENT, NOT ATTRIBUTED  nothing is wrong, and nothing shows who made it: anybody could have (exit code 20)
  INCOMPLETE                  nothing is wrong, but --require-complete is given and nothing shows completeness (exit code 4)
  FAILED code at CID          something is wrong (exit code 2 or 3, or 4 if a part is missing)
  NOT READ code               not a form that is read here; its contents were not judged (exit code 21)

--operator-key is the key that you got from the operator by another way than this file; without it, or --operator-wallet,
the head cannot be checked. --keys opens sealed payloads, of which permission and decisions are made. --wallet says whose
permission it must be: without it, any wallet's is good.

What shows that nothing was left out comes by other ways, too: the log's key, a receipt that you kept, the witnesses that
you trust, a checkpoint from elsewhere, or an anchor on a chain. --rpc asks a chain again whether a contract wallet
accepted what it signed. Each endpoint is one of your choice, and nothing is asked unless you name one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.verify(c.Context(), a, args) },
	}
	c.Flags().StringVar(&o.keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&o.identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	o.v.Define(c.Flags())
	c.Flags().VisitAll(func(x *pflag.Flag) {
		x.Value = &verifier.Given[pflag.Value]{Of: x.Value, Many: x.Value.Type() == "func"}
	})
	return c
}

func (o *verifyOptions) verify(ctx context.Context, a *cli.Shell, args []string) error {
	known, err := evidence.OpenKeysBy(o.keys, o.identity, o.v.NoteKeys)
	if err != nil {
		return err
	}
	rep, err := o.v.Judge(ctx, args[0], known, func() (*provenance.CAR, io.Closer, error) {
		return evidence.OpenCAR(args[0])
	})
	if err != nil {
		return err
	}
	exit := audit.Exit(rep)
	if exit == cli.ExitOK {
		return a.Done(rep, func(w io.Writer) { audit.WriteText(w, rep, a.Color(w)) })
	}
	if !a.JSON {
		if err := audit.WriteText(a.Out, rep, a.Color(a.Out)); err != nil {
			return err
		}
		return &cli.Failure{Exit: exit, Code: "verdict"}
	}
	code, message := audit.Refusal(rep)
	fail := cli.Failf(exit, code, "%s", message)
	fail.Result = rep
	return fail
}

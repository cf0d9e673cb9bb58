// Package settling is writ runs settle: the operator's wallet says what came of a call in doubt.
package settling

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A settler performs writ runs settle; its fields are the command's flags.
type settler struct {
	*cli.Shell
	data, as, tx, reason, wallet, signature, at string
	rpc                                         []string
	show                                        bool
}

// Command is writ runs settle.
func Command(sh *cli.Shell) *cobra.Command {
	s := &settler{Shell: sh}
	c := &cobra.Command{
		Use:   "settle RUN SEQ --as done|failed --data DIR",
		Short: "Say what came of a call in doubt, signed by the operator's wallet",
		Long: `A run whose call may have happened, and nobody knows, ends in doubt, and what the call was for counts as spent.
Look in the world; then say here what came of it. The operator's wallet, the one that writ key bind has bound, signs it:
which call, done or failed, by which transaction, why and when. It becomes a record that the run's new head names, and
auditors list it as said by the operator, and not as shown. What the budgets count follows: done stays spent, and what
failed is free again.

SEQ is the step that writ attention names; SEQ.PLACE names one of several calls of a step. It cannot be undone, and not
be said twice.

The wallet signs here (--wallet file:PATH, env:NAME or keystore:PATH), or elsewhere: --at TIME --print shows the typed
data for eth_signTypedData_v4, and the same call with --signature takes what came of it. If it is a contract, such as a
Safe, give --rpc URL of its chain.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return s.settle(c.Context(), args[0], args[1]) },
	}
	f := c.Flags()
	f.StringVar(&s.data, "data", "", "data `folder` of the server")
	f.StringVar(&s.as, "as", "", "done or failed")
	f.StringVar(&s.tx, "tx", "", "`hash` of the transaction that shows it")
	f.StringVar(&s.reason, "reason", "", "why you say so, in clear, at most 200 characters")
	f.StringVar(&s.wallet, "wallet", "", "the operator's wallet: file:PATH, env:NAME or keystore:PATH")
	f.StringVar(&s.at, "at", "", "`time` of the statement, as 2026-01-31T00:00:00Z (default: now)")
	f.StringVar(&s.signature, "signature", "", "what the wallet has signed elsewhere, in `hex`")
	f.BoolVar(&s.show, "print", false, "show the typed data, and sign nothing")
	f.StringArrayVar(&s.rpc, "rpc", nil, "endpoint of a contract wallet's chain, a `URL`; may be repeated")
	return c
}

func (s *settler) settle(ctx context.Context, run, place string) error {
	rec, index, err := s.readAssertion(run, place)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.data, "operator.key")); err != nil {
		return cli.Usage("%s has no operator.key, which signs the run's new head; this is a copy, settle at the server",
			s.data)
	}
	bound, err := readBinding(s.data)
	if err != nil {
		return err
	}
	db, err := evidence.OpenData(ctx, s.data)
	if err != nil {
		return err
	}
	defer db.Close()
	info, err := db.Run(ctx, rec.Run)
	if err != nil {
		return s.failureOf(err, rec)
	}
	doubt, err := archive.FindDoubt(ctx, db, info, rec.Of.Seq, index)
	if err != nil {
		return s.failureOf(err, rec)
	}
	rec.Of, rec.Step, rec.By, rec.Chain, rec.Method = doubt.Of, doubt.Step, bound.Operator, bound.Chain, auth.MethodEOA
	signed := audit.AssertedBy(rec)
	if s.show {
		typed, err := signed.TypedData()
		if err != nil {
			return cli.Usage("%s", err)
		}
		_, err = fmt.Fprintf(s.Out, "%s\n", typed)
		return err
	}
	if err := s.sign(ctx, rec, signed); err != nil {
		return err
	}
	key, err := datadir.OperatorKey(s.data)
	if err != nil {
		return err
	}
	head, err := archive.Assert(ctx, db, key, rec, time.Now)
	if err != nil {
		return s.failureOf(err, rec)
	}
	return s.tell(rec, head)
}

// readAssertion reads what is said; index is nil if the call's place in its step is left to be found.
func (s *settler) readAssertion(run, place string) (rec *provenance.Assertion, index *uint64, err error) {
	rec = &provenance.Assertion{As: s.as, Why: s.reason}
	if rec.Run, err = cid.Decode(run); err != nil {
		return nil, nil, cli.Usage("%q is not a CID; writ attention names the run", run)
	}
	seq, idx, one := strings.Cut(place, ".")
	if rec.Of.Seq, err = strconv.ParseUint(seq, 10, 62); err == nil && one {
		rec.Of.Index, err = strconv.ParseUint(idx, 10, 62)
		index = &rec.Of.Index
	}
	if err != nil {
		return nil, nil, cli.Usage("%q is no step; write its number, as writ attention says it, or NUMBER.PLACE", place)
	}
	if s.as != provenance.AssertedDone && s.as != provenance.AssertedFailed {
		return nil, nil, cli.Usage("say what came of it: --as done or --as failed")
	}
	if s.data == "" {
		return nil, nil, cli.Usage("say where the run is: --data DIR; settling is the operator's, on the machine itself")
	}
	if s.tx != "" {
		tx, err := hex.DecodeString(strings.TrimPrefix(s.tx, "0x"))
		if err != nil || len(tx) != len(rec.Tx) || common.Hash(tx) == (common.Hash{}) {
			return nil, nil, cli.Usage("--tx: a transaction's hash is 0x and 64 hex digits")
		}
		rec.Tx = [32]byte(tx)
	}
	at := time.Now().UTC().Truncate(time.Second)
	if s.at != "" {
		if at, err = time.Parse(time.RFC3339, s.at); err != nil {
			return nil, nil, cli.Usage("--at: write a time as 2026-01-31T00:00:00Z")
		}
	} else if s.signature != "" || s.show {
		return nil, nil, cli.Usage("give --at TIME as well, so that what is shown and what is signed are the same")
	}
	if at.After(time.Now().Add(auth.Skew)) {
		return nil, nil, cli.Usage("--at: this time is still to come")
	}
	rec.At = at.UnixMilli()
	return rec, index, nil
}

// readBinding reads which wallet is the operator's.
func readBinding(data string) (*provenance.KeyBinding, error) {
	raw, err := os.ReadFile(filepath.Join(data, datadir.BindingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usage("no wallet is known as the operator's: bind it with writ key bind --data %s --wallet REF", data)
	}
	b := new(provenance.KeyBinding)
	if err == nil {
		err = provenance.Decode(raw, b)
	}
	if err != nil {
		return nil, cli.Failf(cli.ExitIntegrity, "binding", "%s cannot be read: %s; writ key bind makes another",
			datadir.BindingFile, err)
	}
	return b, nil
}

// sign has the operator's wallet sign, or takes what it has signed elsewhere.
func (s *settler) sign(ctx context.Context, rec *provenance.Assertion, signed auth.Assertion) error {
	var sig []byte
	switch {
	case s.wallet != "":
		w, err := s.OpenWallet(ctx, s.wallet)
		if err != nil {
			return err
		}
		if w.Address() != signed.Operator {
			return cli.Failf(cli.ExitSignature, "asserter", "the wallet %s has bound the server's key, and this is %s",
				signed.Operator.Hex(), w.Address().Hex())
		}
		if sig, err = w.SignTyped(signed); err != nil {
			return cli.Usage("%s", err)
		}
	case s.signature != "":
		var err error
		if sig, err = auth.ParseContractSig(s.signature); err != nil {
			return cli.Usage("--signature: %s", err)
		}
	default:
		return cli.Usage("give --wallet REF, or --signature; --print shows what is to be signed")
	}
	q, err := signed.Question(sig)
	if err != nil {
		return cli.Usage("%s", err)
	}
	rec.Sig, rec.Method, rec.Asked, err = CheckSignature(ctx, q, s.rpc, "assertion")
	return err
}

func (s *settler) tell(rec *provenance.Assertion, head provenance.Link) error {
	r := struct {
		Run      string `json:"run"`
		Step     uint64 `json:"step"`
		Place    uint64 `json:"place"`
		As       string `json:"as"`
		Operator string `json:"operator"`
		Head     string `json:"head"`
	}{rec.Run.String(), rec.Of.Seq, rec.Of.Index, rec.As, common.Address(rec.By).Hex(), head.String()}
	return s.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s says that the call of step %d was %s; the run's head is now %s\n", r.Operator, r.Step,
			SaidAs(r.As), r.Head)
		if r.As == provenance.AssertedFailed {
			fmt.Fprintln(w, "what the budgets counted for it is free again")
		}
	})
}

// SaidAs returns in words what is said of a call.
func SaidAs(as string) string {
	if as == provenance.AssertedFailed {
		return "not done"
	}
	return as
}

// failureOf says why nothing was settled, and what can be done.
func (s *settler) failureOf(err error, rec *provenance.Assertion) error {
	switch {
	case errors.Is(err, journal.ErrNotFound):
		return cli.Failf(cli.ExitIncomplete, "not_found",
			"the data folder %s has no run %s; writ attention --data %s names those in doubt",
			s.data, rec.Run, s.data)
	case errors.Is(err, archive.ErrAsserted):
		return cli.Failf(cli.ExitDenied, "settled",
			"it is said already what came of this call, and it cannot be said twice")
	case errors.Is(err, archive.ErrNoDoubt):
		return cli.Failf(cli.ExitDenied, "no_doubt",
			"of step %d of run %s: %s; writ attention --data %s names those in doubt",
			rec.Of.Seq, rec.Run, err, s.data)
	case errors.Is(err, journal.ErrShared):
		return cli.Failf(cli.ExitDenied, "open",
			"the run whose agent called this one goes on, and counts what it spent; settle once that has ended")
	case errors.Is(err, journal.ErrConflict):
		return cli.Failf(cli.ExitIncomplete, "open",
			"the run has not ended, or has just got another head; wait, and try again")
	}
	return err
}

// CheckSignature checks what the operator's wallet has signed, a binding or an assertion: by its key, or as its
// contract says. It returns the signature in its canonical form, how it is verified, and where a contract was asked.
func CheckSignature(ctx context.Context, q auth.Question, rpc []string, what string) (
	sig []byte, method string, asked *provenance.AskedAt, err error,
) {
	var contracts auth.Contracts
	if len(rpc) > 0 {
		chains, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: q.Chain, URLs: rpc,
			Quorum: min(eth.Quorum, len(rpc))}}})
		if err != nil {
			return nil, "", nil, cli.Usage("--rpc: %s", err)
		}
		defer chains.Close()
		contracts = chains
	}
	sig, v, err := auth.Check(ctx, contracts, q)
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return nil, "", nil, err
	case err != nil && contracts == nil:
		return nil, "", nil, cli.Failf(cli.ExitSignature, what,
			"the signature is not one of this %s by %s: %s; of a contract wallet give --rpc URL", what, q.Account.Hex(), err)
	case err != nil:
		return nil, "", nil, cli.Failf(cli.ExitSignature, what, "the signature is not one of this %s by %s: %s", what,
			q.Account.Hex(), err)
	case v != nil:
		return sig, q.Method(), &provenance.AskedAt{Number: v.Number, Block: v.Block}, nil
	}
	return sig, auth.MethodEOA, nil, nil
}

package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/backup"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/settling"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/provenance"
)

// A binder performs writ key bind; its fields are the command's flags.
type binder struct {
	*app
	data, wallet, operator, signature, origin, build, from string
	chain                                                  uint64
	days                                                   int
	rpc                                                    []string
	show                                                   bool
}

func keyCommand(a *app) *cobra.Command {
	b := &binder{app: a}
	bind := &cobra.Command{
		Use: "bind", Short: "Have the operator's wallet bind the key that signs heads",
		Long: `The server signs what it records with a key of its own, operator.key in its data folder. With a binding the
operator's wallet says, in a message that it shows, that this key signs for it: from when until when, for which build
of writ, in which log. Auditors then need to know nothing but the wallet's address.

The wallet signs here (--wallet file:PATH, env:NAME or keystore:PATH), or elsewhere: --print shows the typed data for
eth_signTypedData_v4, and the same call with --signature takes what came of it. The server logs the binding at its next
start, before it signs anything under it. Bind again for each build that is deployed.

The operator's wallet may be a contract, such as a Safe: give --rpc URL of its chain, best of two that must agree. The
binding then names the block at which the contract accepted the signature, and auditors ask again there.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return b.bindKey(c.Context()) },
	}
	f := bind.Flags()
	f.StringVar(&b.data, "data", "", "the server's data `folder`")
	f.StringVar(&b.wallet, "wallet", "", "the operator's wallet: file:PATH, env:NAME or keystore:PATH")
	f.StringVar(&b.operator, "operator", "", "its `address`, if it signs elsewhere")
	f.StringVar(&b.signature, "signature", "", "what it signed, in `hex`")
	f.BoolVar(&b.show, "print", false, "show the typed data, and sign nothing")
	f.StringVar(&b.from, "from", "", "`time` from which the key signs, as 2026-01-31T00:00:00Z (default: now)")
	f.IntVar(&b.days, "days", 365, "how many days it signs")
	f.StringVar(&b.build, "build", build(), "the `build` that may sign with it: writ version says it")
	f.StringVar(&b.origin, "origin", "", "the log's name, as transparency.origin sets it")
	f.StringArrayVar(&b.rpc, "rpc", nil,
		"endpoint of that chain, a `URL`, to ask about a contract wallet; may be repeated")
	f.Uint64Var(&b.chain, "chain", 1, "EIP-155 `id` that the wallet signs for")
	return cli.Group("key", "API keys of programs, and the operator's key and its wallet", newKeyCommand(a),
		keysCommand(a), bind)
}

// bindKey shows the binding, or has it signed and writes its record.
func (b *binder) bindKey(ctx context.Context) error {
	binding, err := b.makeBinding(ctx)
	if err != nil {
		return err
	}
	var signer *auth.Wallet
	switch {
	case b.wallet != "":
		if signer, err = b.OpenWallet(ctx, b.wallet); err != nil {
			return err
		}
		binding.Operator = signer.Address()
	case common.IsHexAddress(b.operator):
		binding.Operator = common.HexToAddress(b.operator)
	default:
		return cli.Usage("say which wallet: --wallet REF to sign here, or --operator 0x... with --print or --signature")
	}
	if b.show {
		typed, err := binding.TypedData()
		if err != nil {
			return cli.Usage("%s", err)
		}
		_, err = fmt.Fprintf(b.Out, "%s\n", typed)
		return err
	}
	sig, err := b.findSignature(signer, binding)
	if err != nil {
		return err
	}
	rec := &provenance.KeyBinding{
		Key: binding.Key[:], From: binding.From.UnixMilli(), Until: binding.Until.UnixMilli(), Build: binding.Build,
		Log: binding.Log, Operator: binding.Operator, Chain: binding.Chain, Method: auth.MethodEOA,
	}
	if err := signBinding(ctx, rec, binding, sig, b.rpc); err != nil {
		return err
	}
	return b.writeBinding(rec, binding)
}

// makeBinding makes the binding out of the flags and the folder's key; its operator is not set yet.
func (b *binder) makeBinding(ctx context.Context) (out auth.KeyBinding, err error) {
	if b.data == "" {
		return out, cli.Usage("say which data folder: --data DIR")
	}
	key, err := datadir.OperatorKey(b.data)
	if err != nil {
		return out, err
	}
	begin := time.Now().UTC().Truncate(time.Second)
	if b.from != "" {
		if begin, err = time.Parse(time.RFC3339, b.from); err != nil {
			return out, cli.Usage("--from: write a time as 2026-01-31T00:00:00Z")
		}
	} else if b.signature != "" || b.show {
		return out, cli.Usage("give --from TIME as well, so that what is shown and what is signed are the same")
	}
	if b.days < 1 || b.days > 3660 {
		return out, cli.Usage("--days: from 1 to 3660")
	}
	secret, err := datadir.LogKey(key)
	if err != nil {
		return out, err
	}
	origin, err := backup.LogOrigin(ctx, b.data, cmp.Or(b.origin, datadir.LogOrigin(key)))
	if err != nil {
		return out, err
	}
	vkey, err := note.NewEd25519VerifierKey(origin, secret.Public().(ed25519.PublicKey))
	if err != nil {
		return out, cli.Usage("--origin: %s", err)
	}
	return auth.KeyBinding{
		Chain: b.chain, Key: [32]byte(key.Public().(ed25519.PublicKey)), From: begin.UTC(),
		Until: begin.UTC().AddDate(0, 0, b.days), Build: b.build, Log: vkey,
	}, nil
}

// findSignature has the wallet sign, or takes what it has signed elsewhere.
func (b *binder) findSignature(signer *auth.Wallet, binding auth.KeyBinding) ([]byte, error) {
	if signer != nil {
		sig, err := signer.SignTyped(binding)
		if err != nil {
			return nil, cli.Usage("%s", err)
		}
		return sig, nil
	}
	if b.signature == "" {
		return nil, cli.Usage("give --signature, or --print to see what is to be signed")
	}
	sig, err := auth.ParseContractSig(b.signature)
	if err != nil {
		return nil, cli.Usage("--signature: %s", err)
	}
	return sig, nil
}

// writeBinding writes the record beside the key, where the server finds it.
func (b *binder) writeBinding(rec *provenance.KeyBinding, binding auth.KeyBinding) error {
	block, err := provenance.Encode(rec)
	if err != nil {
		return err
	}
	path := filepath.Join(b.data, datadir.BindingFile)
	if err := datadir.WriteSecret(path, block.Data); err != nil {
		return err
	}
	r := struct {
		Binding  string `json:"binding"`
		CID      string `json:"cid"`
		Operator string `json:"operator"`
		Key      string `json:"key"`
		Log      string `json:"log"`
		Build    string `json:"build"`
		From     string `json:"from"`
		Until    string `json:"until"`
	}{
		path, block.CID.String(), binding.Operator.Hex(), hex.EncodeToString(binding.Key[:]), binding.Log, binding.Build,
		binding.From.Format(time.RFC3339), binding.Until.Format(time.RFC3339),
	}
	return b.Done(r, func(w io.Writer) {
		fmt.Fprintf(w,
			"%s bound the key %s\n  from %s until %s, for build %s\n  log %s\nThe server logs it at its next start.\n",
			r.Operator, r.Key, r.From, r.Until, r.Build, r.Log)
	})
}

// signBinding completes the record of a binding with its signature, if the operator's wallet made it: by its key, or as
// its contract says.
func signBinding(ctx context.Context, rec *provenance.KeyBinding, b auth.KeyBinding, sig []byte, rpc []string) error {
	q, err := b.Question(sig)
	if err != nil {
		return cli.Usage("%s", err)
	}
	rec.Sig, rec.Method, rec.Asked, err = settling.CheckSignature(ctx, q, rpc, "binding")
	return err
}

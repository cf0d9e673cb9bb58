package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/provenance"
)

func (a *app) keyCommand() *cobra.Command {
	var data, wallet, operator, signature, origin, program, from string
	var chain uint64
	var days int
	var rpc []string
	var print bool
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
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return usage("say which data folder: --data DIR")
			}
			key, err := operatorKey(data)
			if err != nil {
				return err
			}
			begin := time.Now().UTC().Truncate(time.Second)
			if from != "" {
				if begin, err = time.Parse(time.RFC3339, from); err != nil {
					return usage("--from: write a time as 2026-01-31T00:00:00Z")
				}
			} else if signature != "" || print {
				return usage("give --from TIME as well, so that what is shown and what is signed are the same")
			}
			if days < 1 || days > 3660 {
				return usage("--days: from 1 to 3660")
			}
			secret, err := logKey(key)
			if err != nil {
				return err
			}
			if origin == "" {
				origin = logOrigin(key)
			}
			vkey, err := note.NewEd25519VerifierKey(origin, secret.Public().(ed25519.PublicKey))
			if err != nil {
				return usage("--origin: %s", err)
			}
			b := auth.KeyBinding{
				Chain: chain, Key: [32]byte(key.Public().(ed25519.PublicKey)), From: begin.UTC(),
				Until: begin.UTC().AddDate(0, 0, days), Build: program, Log: vkey,
			}
			var signer *auth.Wallet
			switch {
			case wallet != "":
				if signer, err = a.wallet(c.Context(), wallet); err != nil {
					return err
				}
				b.Operator = signer.Address()
			case common.IsHexAddress(operator):
				b.Operator = common.HexToAddress(operator)
			default:
				return usage("say which wallet: --wallet REF to sign here, or --operator 0x... with --print or --signature")
			}
			if print {
				typed, err := b.TypedData()
				if err != nil {
					return usage("%s", err)
				}
				_, err = fmt.Fprintf(a.out, "%s\n", typed)
				return err
			}
			var sig []byte
			switch {
			case signer != nil:
				if sig, err = signer.SignTyped(b); err != nil {
					return usage("%s", err)
				}
			case signature != "":
				if sig, err = auth.ParseContractSig(signature); err != nil {
					return usage("--signature: %s", err)
				}
			default:
				return usage("give --signature, or --print to see what is to be signed")
			}
			rec := &provenance.KeyBinding{
				Key: b.Key[:], From: b.From.UnixMilli(), Until: b.Until.UnixMilli(), Build: b.Build, Log: b.Log,
				Operator: b.Operator, Chain: b.Chain, Method: auth.MethodEOA,
			}
			if err := signBinding(c.Context(), rec, b, sig, rpc); err != nil {
				return err
			}
			block, err := provenance.Encode(rec)
			if err != nil {
				return err
			}
			path := filepath.Join(data, bindingFile)
			if err := writeSecret(path, block.Data); err != nil {
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
			}{path, block.CID.String(), b.Operator.Hex(), hex.EncodeToString(b.Key[:]), b.Log, b.Build,
				b.From.Format(time.RFC3339), b.Until.Format(time.RFC3339)}
			return a.done(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s bound the key %s\n  from %s until %s, for build %s\n  log %s\nThe server logs it at its next start.\n",
					r.Operator, r.Key, r.From, r.Until, r.Build, r.Log)
			})
		},
	}
	f := bind.Flags()
	f.StringVar(&data, "data", "", "the server's data `folder`")
	f.StringVar(&wallet, "wallet", "", "the operator's wallet: file:PATH, env:NAME or keystore:PATH")
	f.StringVar(&operator, "operator", "", "its `address`, if it signs elsewhere")
	f.StringVar(&signature, "signature", "", "what it signed, in `hex`")
	f.BoolVar(&print, "print", false, "show the typed data, and sign nothing")
	f.StringVar(&from, "from", "", "`time` from which the key signs, as 2026-01-31T00:00:00Z (default: now)")
	f.IntVar(&days, "days", 365, "how many days it signs")
	f.StringVar(&program, "build", build(), "the `build` that may sign with it: writ version says it")
	f.StringVar(&origin, "origin", "", "the log's name, as transparency.origin sets it")
	f.StringArrayVar(&rpc, "rpc", nil, "endpoint of that chain, a `URL`, to ask about a contract wallet; may be repeated")
	f.Uint64Var(&chain, "chain", 1, "EIP-155 `id` that the wallet signs for")
	return group("key", "The operator's key and its wallet", bind)
}

// signBinding completes the record of a binding with its signature, if the operator's wallet made it: by its key, or as its
// contract says.
func signBinding(ctx context.Context, rec *provenance.KeyBinding, b auth.KeyBinding, sig []byte, rpc []string) error {
	q, err := b.Question(sig)
	if err != nil {
		return usage("%s", err)
	}
	var contracts auth.Contracts
	if len(rpc) > 0 {
		chains, err := ethcall.New(ethcall.Config{Chains: []ethcall.Chain{{Chain: b.Chain, URLs: rpc, Quorum: min(ethcall.Quorum, len(rpc))}}})
		if err != nil {
			return usage("--rpc: %s", err)
		}
		defer chains.Close()
		contracts = chains
	}
	canonical, v, err := auth.Check(ctx, contracts, q)
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return err
	case err != nil && contracts == nil:
		return failf(exitSignature, "binding", "the signature is not one of this binding by %s: %s; of a contract wallet give --rpc URL", b.Operator.Hex(), err)
	case err != nil:
		return failf(exitSignature, "binding", "the signature is not one of this binding by %s: %s", b.Operator.Hex(), err)
	}
	if rec.Sig = canonical; v != nil {
		rec.Method, rec.Asked = q.Method(), &provenance.AskedAt{Number: v.Number, Block: v.Block}
	}
	return nil
}

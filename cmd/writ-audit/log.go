package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/internal/logreader"
	"github.com/writ-run/writ/provenance"
)

// logFlags are what verify is told of the operator's wallet and of the log.
type logFlags struct {
	wallet, key, policy, checkpoint string
	at                              string // where the log is
	receipts                        []string
	anchorRPC, anchorContract       string
	anchorFrom                      uint64
}

func (l *logFlags) define(f *flag.FlagSet) {
	f.StringVar(&l.wallet, "operator-wallet", "", "")
	f.StringVar(&l.key, "log-key", "", "")
	f.StringVar(&l.policy, "witness-policy", "", "")
	f.StringVar(&l.checkpoint, "checkpoint", "", "")
	f.StringVar(&l.at, "log", "", "")
	f.StringVar(&l.anchorRPC, "anchor-rpc", "", "")
	f.StringVar(&l.anchorContract, "anchor-contract", "", "")
	f.Uint64Var(&l.anchorFrom, "anchor-from", 0, "")
	f.Func("receipt", "", func(s string) error { l.receipts = append(l.receipts, s); return nil })
}

// options reads the files that the flags name.
func (l *logFlags) options(ctx context.Context) (o provenance.LogOptions, err error) {
	var policy []byte
	if l.policy != "" {
		if policy, err = readText("--witness-policy", l.policy); err != nil {
			return o, err
		}
	}
	key := l.key
	if key != "" && strings.Count(key, "+") < 2 { // a file that holds it
		b, err := readText("--log-key", key)
		if err != nil {
			return o, err
		}
		key = strings.TrimSpace(string(b))
	}
	if o, err = audit.ParseLog(l.wallet, key, policy); err != nil {
		return o, usage("%w", err)
	}
	for _, name := range l.receipts {
		b, err := readText("--receipt", name)
		if err != nil {
			return o, err
		}
		o.Receipts = append(o.Receipts, b)
	}
	if l.checkpoint != "" {
		if o.Checkpoint, err = readText("--checkpoint", l.checkpoint); err != nil {
			return o, err
		}
	}
	if o.Anchors, err = l.anchors(ctx); err != nil || l.at == "" {
		return o, err
	}
	log, err := logreader.Open(l.at)
	if err != nil {
		return o, usage("--log: %w", err)
	}
	o.Consistency = func(old, new provenance.Checkpoint) ([][32]byte, error) { return log.Consistency(ctx, old, new) }
	return o, nil
}

// anchors asks a chain for what is anchored there, if one is named.
func (l *logFlags) anchors(ctx context.Context) (*provenance.Anchors, error) {
	if l.anchorRPC == "" && l.anchorContract == "" {
		return nil, nil
	}
	chain, contract, err := ethcall.ParseContract(l.anchorContract)
	if err != nil || l.anchorRPC == "" {
		return nil, usage("--anchor-rpc, an endpoint of your choice, and --anchor-contract, 0x... or eip155:8453:0x..., belong together")
	}
	client, err := ethcall.Dial(l.anchorRPC)
	if err != nil {
		return nil, usage("--anchor-rpc: %w", err)
	}
	defer client.Close()
	a, err := client.Anchors(ctx, contract, l.anchorFrom)
	if err != nil {
		return nil, networkError{fmt.Errorf("the anchors: %w; ask another endpoint, or begin later, with --anchor-from BLOCK", err)}
	}
	a.Want = chain
	return a, nil
}

// readText reads a file of at most 64 KiB.
func readText(flag, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("%s: %w", flag, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, provenance.MaxProof+1))
	switch {
	case err != nil:
		return nil, usage("%s: %w", flag, err)
	case len(b) > provenance.MaxProof:
		return nil, usage("%s: %s is longer than %d bytes", flag, name, provenance.MaxProof)
	}
	return b, nil
}

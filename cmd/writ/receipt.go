package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/ethcall"
	"github.com/writ-run/writ/internal/logreader"
	"github.com/writ-run/writ/provenance"
)

// receiptWait bounds how long a command stays for a receipt: the log publishes a checkpoint a second, or more often.
const receiptWait = 3 * time.Second

// keepReceipt stores the receipt of a run's newest head, and returns where; "" if the server has no log, or the log has
// not published the head in time. A receipt is what later shows that the operator took a step away.
func (a *app) keepReceipt(ctx context.Context, cl *client.Client, run string) string {
	text, err := cl.Receipt(ctx, run, receiptWait)
	if err != nil || text == "" {
		if err != nil {
			a.note("no receipt: %s", err)
		}
		return ""
	}
	dir, err := a.home()
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "receipts"), 0o700)
	}
	path := filepath.Join(dir, "receipts", run+".tlog-proof")
	if err == nil {
		err = writeSecret(path, []byte(text))
	}
	if err != nil {
		a.note("the receipt was not kept: %s", err)
		return ""
	}
	return path
}

// logFlags are what a verifier is told of the operator's wallet and of the log.
type logFlags struct {
	wallet, key, policy, checkpoint, at string
	receipts                            []string
	anchorRPC, anchorContract           string
	anchorFrom                          uint64
}

func (l *logFlags) define(f *pflag.FlagSet) {
	f.StringVar(&l.wallet, "operator-wallet", "", "the operator's wallet, an `address`: it bound the operator's key")
	f.StringVar(&l.key, "log-key", "", "the log's `key`: origin+hash+key, or a file that holds it")
	f.StringVar(&l.policy, "witness-policy", "", "policy `file` of the witnesses that must have cosigned")
	f.StringArrayVar(&l.receipts, "receipt", nil, "receipt `file` that you kept; may be given several times")
	f.StringVar(&l.checkpoint, "checkpoint", "", "checkpoint `file` from elsewhere, with which the file's log must be one")
	f.StringVar(&l.at, "log", "", "`URL or folder` of the log, from which the proof of that comes")
	f.StringVar(&l.anchorRPC, "anchor-rpc", "", "`endpoint` of the chain that the log is anchored on")
	f.StringVar(&l.anchorContract, "anchor-contract", "", "`address` of the anchors' contract there, 0x... or eip155:N:0x...")
	f.Uint64Var(&l.anchorFrom, "anchor-from", 0, "first `block` that is asked for anchors")
}

// options reads what the flags name, and asks the chain for its anchors.
func (l *logFlags) options(ctx context.Context) (o provenance.LogOptions, err error) {
	var text []byte
	if l.policy != "" {
		if text, err = readSource(l.policy); err != nil {
			return o, err
		}
	}
	key := l.key
	if key != "" && strings.Count(key, "+") < 2 { // a file that holds it
		b, err := readSource(key)
		if err != nil {
			return o, err
		}
		key = strings.TrimSpace(string(b))
	}
	if o, err = audit.ParseLog(l.wallet, key, text); err != nil {
		return o, usage("%s", err)
	}
	for _, name := range l.receipts {
		b, err := readSource(name)
		if err != nil {
			return o, err
		}
		o.Receipts = append(o.Receipts, b)
	}
	if l.checkpoint != "" {
		if o.Checkpoint, err = readSource(l.checkpoint); err != nil {
			return o, err
		}
	}
	if l.at != "" {
		log, err := logreader.Open(l.at)
		if err != nil {
			return o, usage("--log: %s", err)
		}
		o.Consistency = func(old, new provenance.Checkpoint) ([][32]byte, error) { return log.Consistency(ctx, old, new) }
	}
	if l.anchorRPC == "" && l.anchorContract == "" {
		return o, nil
	}
	chain, contract, err := ethcall.ParseContract(l.anchorContract)
	if err != nil || l.anchorRPC == "" {
		return o, usage("--anchor-rpc, an endpoint of your choice, and --anchor-contract, 0x... or eip155:8453:0x..., belong together")
	}
	client, err := ethcall.Dial(l.anchorRPC)
	if err != nil {
		return o, usage("--anchor-rpc: %s", err)
	}
	defer client.Close()
	if o.Anchors, err = client.Anchors(ctx, contract, l.anchorFrom); err != nil {
		return o, failf(exitNetwork, "network", "the anchors: %s; ask another endpoint, or begin later, with --anchor-from BLOCK", err)
	}
	o.Anchors.Want = chain
	return o, nil
}

// Package verifier judges a run's file with what a reader has got by other ways than that file. It is the verify
// command of both programs, `writ verify` and `writ-audit verify`: each adds how it opens files and how it prints the
// report.
package verifier

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/reader"
)

// A UsageError says that what was given is wrong, and a NetworkError that others could not be asked, or did not answer
// as they should.
type (
	UsageError   struct{ error }
	NetworkError struct{ error }
)

func (e UsageError) Unwrap() error   { return e.error }
func (e NetworkError) Unwrap() error { return e.error }

// Usagef makes a [UsageError].
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Unreachable makes a [NetworkError].
func Unreachable(err error) error { return NetworkError{err} }

// Networkf makes a [NetworkError].
func Networkf(format string, args ...any) error { return NetworkError{fmt.Errorf(format, args...)} }

// A FlagSet is one of the standard library or of pflag.
type FlagSet interface {
	StringVar(p *string, name, value, usage string)
	BoolVar(p *bool, name string, value bool, usage string)
	Uint64Var(p *uint64, name string, value uint64, usage string)
	Func(name, usage string, fn func(string) error)
}

// A Log is what a reader has of the operator's wallet and of the transparency log.
type Log struct {
	At string // the log itself, a URL or folder

	wallet, key, policy, checkpoint string
	receipts, epochs                []string
	anchorRPC, anchorContract       string
	anchorFrom                      uint64
	inputs                          []provenance.Input // that were read
}

// Define defines the flags.
func (l *Log) Define(f FlagSet) {
	f.StringVar(&l.wallet, "operator-wallet", "", "the operator's wallet, an `address`: it bound the operator's key")
	f.StringVar(&l.key, "log-key", "", "the log's `key`: origin+hash+key, or a file that holds it")
	f.StringVar(&l.policy, "witness-policy", "", "policy `file` of the witnesses that must have cosigned")
	f.Func("receipt", "receipt `file` that you kept; may be given several times", appendTo(&l.receipts))
	f.Func("log-epoch", "statement `file` by which that log ended and another goes on, as /log/epoch/2 serves it; "+
		"may be given several times", appendTo(&l.epochs))
	f.StringVar(&l.checkpoint, "checkpoint", "", "checkpoint `file` from elsewhere, with which the file's log must be one")
	f.StringVar(&l.At, "log", "", "`URL or folder` of the log, from which the proof of that comes")
	f.StringVar(&l.anchorRPC, "anchor-rpc", "", "`endpoint` of the chain that the log is anchored on")
	f.StringVar(&l.anchorContract, "anchor-contract", "",
		"`address` of the anchors' contract there, 0x... or eip155:N:0x...")
	f.Uint64Var(&l.anchorFrom, "anchor-from", 0, "first `block` that is asked for anchors")
}

func appendTo(list *[]string) func(string) error {
	return func(s string) error {
		*list = append(*list, s)
		return nil
	}
}

// Options reads the files that the flags name, and asks the chain for the log's anchors.
func (l *Log) Options(ctx context.Context) (o audit.LogOptions, err error) {
	var policy []byte
	if l.policy != "" {
		if policy, err = l.readInput("--witness-policy", l.policy); err != nil {
			return o, err
		}
	}
	key := l.key
	if key != "" && strings.Count(key, "+") < 2 { // a file that holds it
		b, err := l.readInput("--log-key", key)
		if errors.Is(err, fs.ErrNotExist) {
			return o, Usagef("--log-key %s is neither a log's key, which is origin+hash+key, nor a file that holds one", key)
		}
		if err != nil {
			return o, err
		}
		key = strings.TrimSpace(string(b))
	}
	if o, err = audit.ParseLogOptions(l.wallet, key, policy); err != nil {
		return o, Usagef("%w", err)
	}
	for _, name := range l.receipts {
		b, err := l.readInput("--receipt", name)
		if err != nil {
			return o, err
		}
		o.Receipts = append(o.Receipts, b)
	}
	for _, name := range l.epochs {
		b, err := l.readInput("--log-epoch", name)
		if err != nil {
			return o, err
		}
		o.Epochs = append(o.Epochs, b)
	}
	if l.checkpoint != "" {
		if o.Checkpoint, err = l.readInput("--checkpoint", l.checkpoint); err != nil {
			return o, err
		}
	}
	if err = l.checkUse(o); err != nil {
		return o, err
	}
	if o.Anchors, err = l.askAnchors(ctx); err != nil || l.At == "" {
		return o, err
	}
	log, err := reader.Open(l.At)
	if err != nil {
		return o, Usagef("--log: %w", err)
	}
	o.Consistency = func(old, new logproof.Checkpoint) ([][32]byte, error) { return log.Consistency(ctx, old, new) }
	return o, nil
}

// checkUse refuses what was given and would not be looked at: a verdict would be read as one about it.
func (l *Log) checkUse(o audit.LogOptions) error {
	if len(o.Policy.Logs) == 0 && o.Wallet == (common.Address{}) {
		flag := ""
		switch {
		case l.checkpoint != "":
			flag = "--checkpoint"
		case len(l.epochs) > 0:
			flag = "--log-epoch"
		case l.policy != "":
			flag = "--witness-policy"
		}
		if flag != "" {
			return Usagef("%s: nothing says which log's word counts; give --log-key, which you have from the operator by "+
				"another way, or --operator-wallet", flag)
		}
	}
	if l.anchorFrom > 0 && l.anchorRPC == "" && l.anchorContract == "" {
		return Usagef("--anchor-from says where to begin: name the anchors by --anchor-rpc and --anchor-contract")
	}
	return nil
}

// checkProofs refuses --log where nothing is given that the log could prove.
func (l *Log) checkProofs() error {
	if l.At != "" && l.checkpoint == "" && len(l.epochs) == 0 && l.anchorRPC == "" {
		return Usagef("--log is asked to prove that the file's log is one with what you have of it: give that by " +
			"--checkpoint, --log-epoch or --anchor-rpc; writ-audit log looks at the log itself")
	}
	return nil
}

// askAnchors asks a chain for what is anchored there, if one is named.
func (l *Log) askAnchors(ctx context.Context) (*logproof.Anchors, error) {
	if l.anchorRPC == "" && l.anchorContract == "" {
		return nil, nil
	}
	chain, contract, err := eth.ParseContract(l.anchorContract)
	if err != nil || l.anchorRPC == "" {
		return nil, Usagef("--anchor-rpc, an endpoint of your choice, and --anchor-contract, 0x... or eip155:8453:0x..., " +
			"belong together")
	}
	client, err := eth.Dial(l.anchorRPC)
	if err != nil {
		return nil, Usagef("--anchor-rpc: %w", err)
	}
	defer client.Close()
	a, err := client.Anchors(ctx, contract, l.anchorFrom)
	if err != nil {
		return nil, Networkf("the anchors: %w; ask another endpoint, or begin later, with --anchor-from BLOCK", err)
	}
	a.Want = chain
	return a, nil
}

// readInput is [ReadText] of what the report names as an input.
func (l *Log) readInput(flag, name string) ([]byte, error) {
	b, err := ReadText(flag, name)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		return nil, Usagef("%s: %s is empty; get it again, since nothing would be judged by it", flag, name)
	}
	if err == nil {
		l.inputs = append(l.inputs, inputOf(flag, b))
	}
	return b, err
}

// ReadText reads a file of at most 64 KiB that a flag names: a receipt, a checkpoint, a policy of witnesses.
func ReadText(flag, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Usagef("%s: %w", flag, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, logproof.MaxProof+1))
	switch {
	case err != nil:
		return nil, Usagef("%s: %w", flag, err)
	case len(b) > logproof.MaxProof:
		return nil, Usagef("%s: %s is longer than %d bytes", flag, name, logproof.MaxProof)
	}
	return b, nil
}

// OperatorKey reads the operator's public key from its digits, or from a file that holds them.
func OperatorKey(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	key, err := audit.OperatorKey(text)
	if err == nil {
		return key, nil
	}
	if _, missing := os.Stat(text); missing != nil {
		return nil, Usagef("--operator-key: %w", err)
	}
	b, err := ReadText("--operator-key", text)
	if err != nil {
		return nil, err
	}
	if key, err = audit.OperatorKey(strings.TrimSpace(string(b))); err != nil {
		return nil, Usagef("--operator-key %s: %w", text, err)
	}
	return key, nil
}

// ParseAccount reads a wallet's address, alone or with its chain as CAIP-10 has it. What is mistyped is no address:
// mixed letters must have the checksum of ERC-55.
func ParseAccount(text string) (audit.Account, error) {
	var a audit.Account
	digits := text
	if rest, ok := strings.CutPrefix(text, "eip155:"); ok {
		chain, after, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(chain, 10, 64)
		if err != nil || n == 0 {
			return a, Usagef("%q names no chain: write eip155:1:0x...", text)
		}
		a.Chain, digits = n, after
	}
	if !strings.HasPrefix(digits, "0x") || !common.IsHexAddress(digits) {
		return a, Usagef("%q is not an Ethereum address: 0x and 40 hex digits", text)
	}
	if a.Address = common.HexToAddress(digits); digits != strings.ToLower(digits) && digits != a.Address.Hex() {
		return a, Usagef("address %s has a wrong checksum; copy it again from its source", digits)
	}
	return a, nil
}

// A Verifier is what one verify command was given.
type Verifier struct {
	Log Log

	operator  string
	account   string // whose permission it must be
	complete  bool   // completeness must be shown
	prices    string // the file of a price table
	endpoints []string
	snapshots []string // files
	modules   []string // files of modules whose results are computed again
	keys      *noted   // the file of keys; nil without one
}

// Define defines the flags that both programs have.
func (v *Verifier) Define(f FlagSet) {
	v.Log.Define(f)
	f.StringVar(&v.operator, "operator-key", "", "the operator's public `key`: 64 hex digits, or a file that holds them")
	f.StringVar(&v.account, "wallet", "", "whose permission it must be, an `address`; another's is a failure")
	f.BoolVar(&v.complete, "require-complete", false, "a history that is not shown to be complete is not verified")
	f.StringVar(&v.prices, "prices", "", "price table `file`, of writ prices import: what each call of a model cost is "+
		"computed again by it")
	f.Func("rpc", "`endpoint` that is asked again about contract wallets and for what was mined; may be repeated",
		appendTo(&v.endpoints))
	f.Func("snapshot", "CAR `file` of writ docs snapshot -o, from which searches are made again; "+
		"may be given several times", appendTo(&v.snapshots))
	f.Func("module", "`file` of a WebAssembly module whose results are computed again; may be given several times",
		appendTo(&v.modules))
}

// readSnapshots reads the files that searches are made again from. A damaged one is a verdict, a [*provenance.Fault].
func (v *Verifier) readSnapshots() (list []*search.Snapshot, err error) {
	for _, name := range v.snapshots {
		s, err := v.readSnapshot(name)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (v *Verifier) readSnapshot(name string) (*search.Snapshot, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Usagef("--snapshot: %w", err)
	}
	defer f.Close()
	in := newNoted(f)
	s, err := search.ReadSnapshot(in)
	if err != nil {
		return nil, provenance.Faultf(audit.CodeRetrievalSnapshot, "the snapshot's file: %v", err)
	}
	v.Log.inputs = append(v.Log.inputs, in.input("snapshot"))
	return s, nil
}

// readPrices reads the table of prices, if one is named.
func (v *Verifier) readPrices() (*audit.PriceTable, error) {
	if v.prices == "" {
		return nil, nil
	}
	f, err := os.Open(v.prices)
	if err != nil {
		return nil, Usagef("--prices: %w", err)
	}
	defer f.Close()
	b, err := prices.Read(f)
	if err != nil {
		return nil, Usagef("--prices %s: %w", v.prices, err)
	}
	table, err := prices.Parse(b)
	if err != nil {
		return nil, Usagef("--prices %s: %w", v.prices, err)
	}
	id, err := table.CID()
	if err != nil {
		return nil, Usagef("--prices %s: %w", v.prices, err)
	}
	v.Log.inputs = append(v.Log.inputs, inputOf("--prices", b))
	return &audit.PriceTable{CID: id.String(), Reprice: table.Reprice}, nil
}

// Judge judges the file at path, which open opens and the caller's keys open further. What is wrong with the file is
// its verdict; an error is a [UsageError], a [NetworkError], or one of open.
func (v *Verifier) Judge(ctx context.Context, path string, keys map[provenance.Link]provenance.LeafKey,
	open func() (*provenance.CAR, io.Closer, error)) (*provenance.Report, error) {
	o := audit.Options{Keys: keys, RequireComplete: v.complete}
	var err error
	if v.account != "" {
		account, err := ParseAccount(v.account)
		if err != nil {
			return nil, err
		}
		o.Account = &account
	}
	if o.OperatorKey, err = OperatorKey(v.operator); err != nil {
		return nil, err
	}
	if o.Prices, err = v.readPrices(); err != nil {
		return nil, err
	}
	chains, err := eth.DialAll(v.endpoints)
	if err != nil {
		return nil, Usagef("--rpc: %w", err)
	}
	if err = v.Log.checkProofs(); err != nil {
		return nil, err
	}
	if o.Log, err = v.Log.Options(ctx); err != nil {
		return nil, err
	}
	if o.Compute, err = v.readModules(ctx); err != nil {
		return nil, err
	}
	o.Snapshots, err = v.readSnapshots()
	if _, bad := errors.AsType[*provenance.Fault](err); bad {
		return v.identify(provenance.FailedReport(err), path, nil)
	} else if err != nil {
		return nil, err
	}
	car, file, err := open()
	if _, bad := errors.AsType[*provenance.Fault](err); bad {
		return v.identify(provenance.FailedReport(err), path, nil)
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	if len(chains) > 0 {
		return v.identify(audit.VerifyOn(ctx, car, o, chains), path, file)
	}
	return v.identify(audit.Verify(car, o), path, file)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/provenance"
)

// Bounds on what a node is asked, and on what it answers.
const (
	maxNonces = 100_000 // of one account that are listed
	maxAnswer = 16 << 20
	nodeTime  = 30 * time.Second
)

// What a nonce of the account can be.
const (
	nonceExplained = "explained"   // a step had this transaction signed and broadcast
	nonceSigned    = "signed"      // a step had it signed, and no step says that it was broadcast
	nonceUnknown   = "unexplained" // it is on the chain, and in no run
	nonceReplaced  = "replaced"    // a step broadcast another transaction with this nonce
	nonceTwice     = "twice"       // two steps claim it
	nonceWaiting   = "waiting"     // a step broadcast it, and the chain has not taken it
)

// A nonceView is one nonce of the account, and what explains it.
type nonceView struct {
	Nonce  uint64      `json:"nonce"`
	Status string      `json:"status"`
	Tx     string      `json:"tx,omitempty"`    // on the chain, if the node can still say so
	Block  uint64      `json:"block,omitempty"` // of it
	Steps  []stepClaim `json:"steps,omitempty"`
}

// A stepClaim is a step that claims a nonce.
type stepClaim struct {
	File string `json:"file"`
	Run  string `json:"run"`
	Step string `json:"step"`
	Seq  uint64 `json:"seq"`
	Tx   string `json:"tx"`

	Cancels bool `json:"cancels,omitempty"` // it moves nothing, and is there so that no other of the nonce is mined
}

// A fileView is what came of verifying one run's file.
type fileView struct {
	File    string          `json:"file"`
	Verdict string          `json:"verdict"`
	Code    provenance.Code `json:"code,omitempty"`
	Detail  string          `json:"detail,omitempty"`
}

type noncesView struct {
	Account  string      `json:"account"` // CAIP-10
	Block    uint64      `json:"block"`   // at which the account was looked at
	Count    uint64      `json:"count"`   // transactions that it has sent by then
	Findings int         `json:"findings"`
	Nonces   []nonceView `json:"nonces"`
	Files    []fileView  `json:"files"`
}

// runNonces lists every transaction of the agent's account and the step that explains it.
func (c *command) runNonces(args []string) (int, error) {
	of, err := verifier.ParseAccount(args[0])
	if err != nil {
		return 0, err
	}
	account := of.Address
	if c.rpc == "" {
		return 0, usage("nonces wants --rpc, the address of an Ethereum node of yours")
	}
	operator, err := verifier.OperatorKey(c.operator)
	if err != nil {
		return 0, err
	}
	node, err := dialNode(c.rpc)
	if err != nil {
		return 0, err
	}
	defer node.Close()
	v := noncesView{Nonces: []nonceView{}, Files: []fileView{}}
	if err := v.readCount(c.ctx, node, of); err != nil {
		return 0, err
	}
	if v.Count > c.from && v.Count-c.from > maxNonces {
		return 0, usage("the account has sent %d transactions; list at most %d at once, with --from", v.Count, maxNonces)
	}
	claims, err := c.collectClaims(&v, args[1:], audit.Options{OperatorKey: operator})
	if err != nil {
		return 0, err
	}
	if err := v.explainNonces(c.ctx, node, account, c.from, claims); err != nil {
		return 0, err
	}
	exit := audit.ExitVerified
	if v.Findings > 0 {
		exit = audit.ExitIntegrity
	}
	if c.json {
		return exit, c.printObject(v.Findings == 0, v)
	}
	return exit, v.writeText(c.out)
}

// readCount reads which chain the node is of, and how many transactions the account has sent by its newest block.
func (v *noncesView) readCount(ctx context.Context, node *node, of audit.Account) error {
	account := of.Address
	chain, err := node.readUint(ctx, "eth_chainId")
	if err != nil {
		return err
	}
	if of.Chain != 0 && of.Chain != chain {
		return usage("the node is of chain %d, and the account is on %d", chain, of.Chain)
	}
	if v.Block, err = node.readUint(ctx, "eth_blockNumber"); err != nil {
		return err
	}
	v.Account = fmt.Sprintf("eip155:%d:%s", chain, account.Hex())
	v.Count, err = node.readUint(ctx, "eth_getTransactionCount", account, fmt.Sprintf("0x%x", v.Block))
	return err
}

// A claim is a step's claim of a nonce.
type claim struct {
	stepClaim
	broadcast bool
	call      provenance.Ref // of its run, that it is for
}

// isOfOne says whether two claims are of one call: transactions of which one is to be mined, and any may be.
func (c claim) isOfOne(other claim) bool { return c.Run == other.Run && c.call == other.call }

// collectClaims verifies every run in the files and folders, and returns which step claims which nonce of the account.
// A run that fails explains nothing.
func (c *command) collectClaims(v *noncesView, paths []string, o audit.Options) (map[uint64][]claim, error) {
	files, err := carsIn(paths)
	if err != nil {
		return nil, err
	}
	common, err := readKeys(c.keys)
	if err != nil {
		return nil, err
	}
	claims := map[uint64][]claim{}
	for _, file := range files {
		if o.Keys, err = addKeysBeside(file, common); err != nil {
			return nil, err
		}
		rep, here, err := readTransfers(file, v.Account, o)
		if err != nil {
			return nil, err
		}
		v.Files = append(v.Files, fileView{file, rep.Verdict, rep.Code, rep.Detail})
		if rep.Refused() {
			v.Findings++
			continue
		}
		for _, s := range here {
			claims[s.Tx.Nonce] = append(claims[s.Tx.Nonce], claim{
				stepClaim{file, s.Run.String(), s.Step.String(), s.Seq, s.Tx.Hash.Hex(), s.Cancels}, s.Broadcast, s.Call,
			})
		}
	}
	return claims, nil
}

// addKeysBeside returns the common keys and those of the file beside a CAR file, if there is one.
func addKeysBeside(
	file string, common map[provenance.Link]provenance.LeafKey,
) (map[provenance.Link]provenance.LeafKey, error) {
	beside := strings.TrimSuffix(file, ".car") + ".keys.json"
	if beside == file {
		return maps.Clone(common), nil
	}
	keys, err := readKeys(beside)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if common == nil {
		return keys, nil
	}
	all := maps.Clone(common)
	maps.Copy(all, keys)
	return all, nil
}

// readTransfers verifies a file, and returns what it says of transactions of the account.
func readTransfers(file, account string, o audit.Options) (*provenance.Report, []audit.Sent, error) {
	car, f, err := openCAR(file)
	if fault, bad := errors.AsType[*provenance.Fault](err); bad {
		return provenance.FailedReport(fault), nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var sent []audit.Sent
	rep := audit.Transfers(car, o, func(s audit.Sent) {
		if strings.EqualFold(s.Account, account) {
			sent = append(sent, s)
		}
	})
	return rep, sent, nil
}

// carsIn returns the files, and the CAR files of the folders, in order.
func carsIn(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, usage("%w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(path, "*.car"))
		if err != nil {
			return nil, usage("%w", err)
		}
		files = append(files, inside...)
	}
	return files, nil
}

// explainNonces says of every nonce from one on what it is.
func (v *noncesView) explainNonces(
	ctx context.Context, node *node, account common.Address, from uint64, claims map[uint64][]claim,
) error {
	all := slices.Collect(maps.Keys(claims))
	for n := from; n < v.Count; n++ {
		if _, claimed := claims[n]; !claimed {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	for _, n := range all {
		if n < from {
			continue
		}
		w, err := v.explainNonce(ctx, node, account, n, claims[n])
		if err != nil {
			return err
		}
		if w.Status == "" { // signed, and left alone
			continue
		}
		if w.Tx == "" && n < v.Count {
			w.Tx, w.Block = node.findTransaction(ctx, account, n, v.Block)
		}
		if w.Status != nonceExplained && w.Status != nonceWaiting {
			v.Findings++
		}
		v.Nonces = append(v.Nonces, w)
	}
	return nil
}

// explainNonce says of one nonce which steps claim it, and which of them the chain bears out. The status is empty if
// what was signed was left alone.
func (v *noncesView) explainNonce(
	ctx context.Context, node *node, account common.Address, n uint64, claims []claim,
) (nonceView, error) {
	w := nonceView{Nonce: n}
	var mined *claim // that the chain bears out
	sent := 0
	for i, cl := range claims {
		w.Steps = append(w.Steps, cl.stepClaim)
		if cl.broadcast && !slices.ContainsFunc(claims[:i], cl.isOfOne) {
			sent++
		}
		tx, err := node.readTransaction(ctx, cl.Tx)
		if err != nil {
			return w, err
		}
		if tx != nil && tx.Block != nil && uint64(*tx.Block) <= v.Block && tx.From == account && uint64(tx.Nonce) == n {
			mined, w.Tx, w.Block = &claims[i], cl.Tx, uint64(*tx.Block)
		}
	}
	switch used := n < v.Count; {
	case sent > 1:
		w.Status = nonceTwice
	case mined != nil && mined.broadcast:
		w.Status = nonceExplained
	case mined != nil:
		w.Status = nonceSigned
	case used && sent > 0:
		w.Status = nonceReplaced
	case used:
		w.Status = nonceUnknown
	case sent > 0:
		w.Status = nonceWaiting
	}
	return w, nil
}

func (v *noncesView) writeText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "account %s, %d transactions by block %d\n", v.Account, v.Count, v.Block)
	for _, f := range v.Files {
		fmt.Fprintf(&b, "run     %s: %s", audit.Printable(f.File), f.Verdict)
		if f.Code != "" {
			fmt.Fprintf(&b, ", %s: %s; it explains nothing", f.Code, audit.Printable(f.Detail))
		}
		b.WriteString("\n")
	}
	for _, n := range v.Nonces {
		tx := n.Tx
		if tx == "" {
			tx = "(the node cannot say which transaction)"
		}
		fmt.Fprintf(&b, "%7d  %-11s %s", n.Nonce, n.Status, tx)
		if n.Block > 0 {
			fmt.Fprintf(&b, " in block %d", n.Block)
		}
		b.WriteString("\n")
		for _, s := range n.Steps {
			fmt.Fprintf(&b, "         step %d of run %s", s.Seq, s.Run)
			if s.Tx != n.Tx {
				fmt.Fprintf(&b, " signed %s", s.Tx)
			}
			if s.Cancels {
				b.WriteString(", which moves nothing")
			}
			b.WriteString("\n")
		}
	}
	if v.Findings == 0 {
		fmt.Fprintf(&b, "EXPLAINED every transaction of the account has its step\n")
	} else {
		fmt.Fprintf(&b, "FOUND %d that are not as the runs say: an unexplained one is an act without a record\n", v.Findings)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

// A node is an Ethereum node of the caller's choice.
type node struct{ *eth.Client }

func dialNode(address string) (*node, error) {
	c, err := eth.Dial(address)
	if err != nil {
		return nil, usage("--rpc: not an address such as http://127.0.0.1:8545")
	}
	return &node{c}, nil
}

// callMethod asks one thing.
func (n *node) callMethod(ctx context.Context, out any, method string, params ...any) error {
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	if err := n.Call(ctx, maxAnswer, out, method, params...); err != nil {
		return verifier.Unreachable(err)
	}
	return nil
}

// A quantity is a number as JSON-RPC writes it: "0x2a".
type quantity uint64

func (q *quantity) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil || !strings.HasPrefix(s, "0x") {
		return errors.New("not a quantity")
	}
	n, err := strconv.ParseUint(s[2:], 16, 64)
	*q = quantity(n)
	return err
}

func (n *node) readUint(ctx context.Context, method string, params ...any) (uint64, error) {
	var q quantity
	err := n.callMethod(ctx, &q, method, params...)
	return uint64(q), err
}

// A transaction is what is wanted of one on the chain.
type transaction struct {
	Hash  string         `json:"hash"`
	From  common.Address `json:"from"`
	Nonce quantity       `json:"nonce"`
	Block *quantity      `json:"blockNumber"` // nil while it waits
}

// readTransaction returns a transaction, or nil if the node does not know it.
func (n *node) readTransaction(ctx context.Context, hash string) (tx *transaction, err error) {
	err = n.callMethod(ctx, &tx, "eth_getTransactionByHash", hash)
	return tx, err
}

// findTransaction finds the transaction that used a nonce, by the account's count at earlier blocks. Nodes that have
// thrown those away cannot tell; then it returns nothing.
func (n *node) findTransaction(
	ctx context.Context, account common.Address, nonce, latest uint64,
) (hash string, number uint64) {
	low, high := uint64(0), latest // the count is above nonce at high
	for low < high {
		mid := low + (high-low)/2
		count, err := n.readUint(ctx, "eth_getTransactionCount", account, fmt.Sprintf("0x%x", mid))
		if err != nil {
			return "", 0
		}
		if count > nonce {
			high = mid
		} else {
			low = mid + 1
		}
	}
	var block struct {
		Transactions []transaction `json:"transactions"`
	}
	if n.callMethod(ctx, &block, "eth_getBlockByNumber", fmt.Sprintf("0x%x", high), true) != nil {
		return "", 0
	}
	for _, tx := range block.Transactions {
		if tx.From == account && uint64(tx.Nonce) == nonce {
			return tx.Hash, high
		}
	}
	return "", 0
}

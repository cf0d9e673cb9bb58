// Package anchor puts the transparency log on a chain: one transaction an interval, whose event says the size and root
// of the log's newest checkpoint, the root of the runs that are closed in it, and up to when every head is in it.
//
// The journal says what is to be done. A [Keeper] signs a transaction and stores it before it is first sent, sends the
// same bytes until they are mined, and begins the next one only in a later interval: a restart neither repeats nor
// skips one. A transaction that waits for so long that the contract would refuse it is replaced under its own nonce, so
// that one of the two at most is mined. A chain that is away stops nothing: it is asked again.
package anchor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/writ-run/writ/provenance"
)

// Times. The contract refuses what is more than window old.
const (
	window  = 15 * time.Minute
	stale   = window - 2*time.Minute // a transaction that has waited for so long is replaced
	behind  = window - 5*time.Minute // a checkpoint that lags by so much is not anchored
	soon    = 2 * time.Second        // between looks for a transaction that was sent
	later   = 5 * time.Minute        // at most, between attempts
	lag     = time.Minute            // a chain's newest block may be older than that only because nothing happens on it
	gas     = 300_000                // of a transaction; it takes about 27,000, on some chains more for its bytes
	maxTake = 256                    // entries that are read at once
)

// ErrFee says that nothing is begun, since the chain asks a higher fee than is allowed.
var ErrFee = errors.New("the chain asks more than the highest fee")

// A Client is the chain. A chain.Pool is one. What the chain itself answers against a transaction is an rpc.Error.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CodeAt(ctx context.Context, account common.Address, number *big.Int) ([]byte, error)
	NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error)
	SuggestGasTipCap(ctx context.Context) (*big.Int, error)
	SendTransaction(ctx context.Context, tx *types.Transaction) error
	TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
}

// A Store has the log's entries, their blocks, and what was anchored.
type Store interface {
	journal.EntryReader
	journal.BlockReader
	journal.Anchors
}

// Config says what a [Keeper] is made of. All of it is required but Interval, MaxFee, Now and Log.
type Config struct {
	Client   Client
	Store    Store
	Key      *ecdsa.PrivateKey // of an account that does nothing else, or its nonces would be taken
	Contract common.Address
	VKey     string        // the log's
	Newest   func() []byte // the log's newest checkpoint, nil if there is none
	Interval time.Duration // 1 h if 0
	MaxFee   *big.Int      // wei for a unit of gas at most, 100 gwei if nil; while a chain asks more nothing is begun
	Now      func() time.Time
	Log      *slog.Logger
}

// A Keeper anchors one log. One goroutine uses it.
type Keeper struct {
	cfg     Config
	account common.Address
	checked bool              // the contract is the one
	gone    map[[32]byte]bool // transactions whose nonce is used and that no node had
	closed  compactor         // of the heads that close runs
	trouble string            // what was said last to be wrong
}

// New returns a Keeper. Nothing is asked yet.
func New(cfg Config) (*Keeper, error) {
	if cfg.Client == nil || cfg.Store == nil || cfg.Key == nil || cfg.Newest == nil || cfg.VKey == "" ||
		cfg.Contract == (common.Address{}) {
		return nil, errors.New("anchor: a chain, a store, a key, a contract and a log are needed")
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Hour
	}
	if cfg.Interval < time.Minute {
		return nil, fmt.Errorf("anchor: every %s is too often; 1m is the least", cfg.Interval)
	}
	if cfg.MaxFee == nil {
		cfg.MaxFee = big.NewInt(100e9)
	}
	if cfg.MaxFee.Sign() <= 0 {
		return nil, errors.New("anchor: the highest fee is not above 0")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{cfg: cfg, account: crypto.PubkeyToAddress(cfg.Key.PublicKey), gone: map[[32]byte]bool{},
		closed: newCompactor()}, nil
}

// Run anchors until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	pause := soon
	for {
		wait, err := k.Step(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if k.trouble != err.Error() { // said once, not each time
				k.trouble = err.Error()
				k.cfg.Log.WarnContext(ctx, "the log is not anchored; trying again", "err", err)
			}
			wait = pause
			pause = min(2*pause, later)
		} else {
			pause, k.trouble = soon, ""
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Step does what is due: it settles what was sent, sends again, or begins the next anchor. It returns after how long
// there is more to do.
func (k *Keeper) Step(ctx context.Context) (time.Duration, error) {
	if err := k.checkContract(ctx); err != nil {
		return 0, err
	}
	known, err := k.cfg.Store.Anchorings(ctx, 64)
	if err != nil {
		return 0, err
	}
	waiting, err := k.noteOutcomes(ctx, known)
	if err != nil {
		return 0, err
	}
	if waiting != nil {
		if k.cfg.Now().Sub(time.Unix(waiting.Made, 0)) < stale {
			return soon, k.sendStored(ctx, waiting.Tx)
		}
		return soon, k.beginAnchor(ctx, waiting.Slot, waiting)
	}
	slot := k.cfg.Now().UnixNano() / int64(k.cfg.Interval)
	if known, err = k.cfg.Store.Anchorings(ctx, 1); err != nil {
		return 0, err
	}
	if n := len(known); n > 0 {
		last := &known[n-1]
		if last.Slot >= slot && !last.Failed {
			next := time.Unix(0, (slot+1)*int64(k.cfg.Interval))
			return min(max(next.Sub(k.cfg.Now()), time.Second), k.cfg.Interval), nil
		}
		// What is refused costs gas each time.
		if rest := later - k.cfg.Now().Sub(time.Unix(last.Made, 0)); last.Failed && last.Block > 0 && rest > 0 {
			return min(rest, later), nil
		}
	}
	return soon, k.beginAnchor(ctx, slot, nil)
}

// checkContract makes sure, once, that the contract is the one of this log and this account.
func (k *Keeper) checkContract(ctx context.Context) error {
	if k.checked {
		return nil
	}
	code, err := k.cfg.Client.CodeAt(ctx, k.cfg.Contract, nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(code, logproof.AnchorRuntime(k.cfg.VKey, k.account)) {
		return fmt.Errorf("the contract %s is not one that takes anchors of this log from %s; make one with: writ "+
			"anchor deploy", k.cfg.Contract, k.account)
	}
	k.checked = true
	return nil
}

// noteOutcomes notes what came of transactions, and returns the newest one that the chain may still take in.
func (k *Keeper) noteOutcomes(ctx context.Context, known []journal.Anchoring) (waiting *journal.Anchoring, err error) {
	mined := map[uint64]bool{} // nonces
	for i := range known {
		if a := &known[i]; a.Open() {
			if err := k.noteReceipt(ctx, a); err != nil {
				return nil, err
			}
			mined[a.Nonce] = mined[a.Nonce] || !a.Open()
		}
	}
	used, err := k.cfg.Client.NonceAt(ctx, k.account, nil)
	if err != nil {
		return nil, err
	}
	for i := range known {
		a := &known[i]
		if !a.Open() {
			continue
		}
		over := mined[a.Nonce] // another one with its nonce was mined
		if !over && a.Nonce < used {
			// Its nonce is used, and no node has it. One node may be ahead of another: look twice.
			over = k.gone[a.Hash]
			k.gone[a.Hash] = true
		}
		if over {
			if err := k.cfg.Store.FinishAnchoring(ctx, a.Hash, 0, 0, true); err != nil {
				return nil, err
			}
			delete(k.gone, a.Hash)
			continue
		}
		waiting = a
	}
	return waiting, nil
}

// noteReceipt notes what came of one transaction, if it is mined.
func (k *Keeper) noteReceipt(ctx context.Context, a *journal.Anchoring) error {
	r, err := k.cfg.Client.TransactionReceipt(ctx, a.Hash)
	if errors.Is(err, ethereum.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h, err := k.cfg.Client.HeaderByNumber(ctx, r.BlockNumber)
	if err != nil {
		return err
	}
	failed := r.Status != types.ReceiptStatusSuccessful
	if err := k.cfg.Store.FinishAnchoring(ctx, a.Hash, r.BlockNumber.Uint64(), int64(h.Time), failed); err != nil {
		return err
	}
	a.Block, a.Failed = r.BlockNumber.Uint64(), failed
	tx := common.Hash(a.Hash).Hex()
	if failed {
		k.cfg.Log.WarnContext(ctx, "an anchor was refused by its contract, and is made anew", "tx", tx)
	} else {
		k.cfg.Log.InfoContext(ctx, "log anchored", "size", a.Size, "block", a.Block, "tx", tx)
	}
	return nil
}

// beginAnchor makes, stores and sends the anchor of a slot; instead of an older one under its nonce, if there is one.
func (k *Keeper) beginAnchor(ctx context.Context, slot int64, instead *journal.Anchoring) error {
	// First the time and then the checkpoint: what is not in it was made after that time.
	head, err := k.cfg.Client.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	a := journal.Anchoring{Slot: slot}
	if a.Anchor, err = k.makeAnchor(ctx, time.Unix(int64(head.Time), 0)); err != nil {
		return err
	}
	err = k.signTransaction(ctx, &a, head.BaseFee, instead)
	if errors.Is(err, ErrFee) {
		return k.sendAgain(ctx, instead, err)
	}
	if err != nil {
		return err
	}
	if err := k.cfg.Store.PutAnchoring(ctx, a); err != nil {
		return err
	}
	return k.sendStored(ctx, a.Tx)
}

// makeAnchor says what is anchored: the newest checkpoint, as of made or earlier.
func (k *Keeper) makeAnchor(ctx context.Context, made time.Time) (a logproof.Anchor, err error) {
	if now := k.cfg.Now(); now.Sub(made) > lag { // no block comes while nothing happens, as on a dev chain
		made = now.Add(-lag)
	}
	raw := k.cfg.Newest()
	if raw == nil {
		return a, errors.New("the log has published no checkpoint yet")
	}
	c, err := logproof.ParseCheckpoint(raw)
	if err != nil {
		return a, err
	}
	if c.Size == 0 {
		return a, errors.New("the log has no entry yet")
	}
	first, err := k.firstHeadAfter(ctx, c.Size)
	if err != nil {
		return a, err
	}
	if !first.IsZero() && first.Before(made) {
		if made.Sub(first) > behind {
			return a, fmt.Errorf("the log's checkpoint lacks a head of %s ago", made.Sub(first).Round(time.Second))
		}
		made = first
	}
	a = logproof.Anchor{Size: c.Size, Root: c.Root, Made: made.Unix()}
	a.Closed, err = k.closed.rootOfClosings(ctx, k.cfg.Store, c.Size)
	return a, err
}

// signTransaction gives an anchor its nonce and its signed transaction. ErrFee says that the chain asks too much.
func (k *Keeper) signTransaction(
	ctx context.Context, a *journal.Anchoring, base *big.Int, instead *journal.Anchoring,
) error {
	id, err := k.cfg.Client.ChainID(ctx)
	if err != nil {
		return err
	}
	tip, price, err := k.chooseFees(ctx, base, instead)
	if err != nil {
		return err
	}
	if instead != nil {
		a.Nonce = instead.Nonce
	} else if a.Nonce, err = k.cfg.Client.NonceAt(ctx, k.account, nil); err != nil {
		return err
	}
	tx, err := types.SignNewTx(k.cfg.Key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: a.Nonce, To: &k.cfg.Contract, Data: a.Call(), Gas: gas, GasTipCap: tip, GasFeeCap: price,
	})
	if err != nil {
		return err
	}
	a.Hash = tx.Hash()
	a.Tx, err = tx.MarshalBinary()
	return err
}

// chooseFees returns what is paid for a unit of gas: the tip, and the highest price, which is enough to replace
// instead. base is the newest block's base fee, nil if it has none.
func (k *Keeper) chooseFees(
	ctx context.Context, base *big.Int, instead *journal.Anchoring,
) (tip, price *big.Int, err error) {
	if tip, err = k.cfg.Client.SuggestGasTipCap(ctx); err != nil {
		return nil, nil, err
	}
	if base == nil {
		base = new(big.Int)
	}
	dear := fmt.Errorf("%w of %s wei for a unit of gas; it waits until fees fall, or raise anchor.max_fee_gwei",
		ErrFee, k.cfg.MaxFee)
	if new(big.Int).Add(tip, base).Cmp(k.cfg.MaxFee) > 0 {
		return nil, nil, dear
	}
	price = new(big.Int).Add(tip, new(big.Int).Lsh(base, 1))
	if price.Cmp(k.cfg.MaxFee) > 0 { // room for blocks to become dearer, but not above it
		price = k.cfg.MaxFee
	}
	if instead == nil {
		return tip, price, nil
	}
	// Nodes take a replacement only for at least a tenth more, of both.
	old := new(types.Transaction)
	if err := old.UnmarshalBinary(instead.Tx); err != nil {
		return nil, nil, err
	}
	tip, price = raiseFee(tip, old.GasTipCap()), raiseFee(price, old.GasFeeCap())
	if price.Cmp(k.cfg.MaxFee) > 0 {
		return nil, nil, dear
	}
	return tip, price, nil
}

// sendAgain sends a transaction that is too dear to replace once more, if there is one: should all nodes have dropped
// it, its nonce would never be used. The contract will refuse it, and the next one follows. The error says why.
func (k *Keeper) sendAgain(ctx context.Context, old *journal.Anchoring, why error) error {
	if old == nil {
		return why
	}
	return errors.Join(why, k.sendStored(ctx, old.Tx))
}

// raiseFee returns the larger of a fee and an eighth more than an old one.
func raiseFee(fee, old *big.Int) *big.Int {
	more := new(big.Int).Add(old, new(big.Int).Rsh(old, 3))
	if more.Add(more, common.Big1).Cmp(fee) > 0 {
		return more
	}
	return fee
}

// sendStored sends a stored transaction. What the chain says against it is told by its receipt, or by there being none;
// only that nobody was reached is an error.
func (k *Keeper) sendStored(ctx context.Context, raw []byte) error {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return err
	}
	err := k.cfg.Client.SendTransaction(ctx, tx)
	if _, said := errors.AsType[rpc.Error](err); !said {
		return err
	}
	k.cfg.Log.DebugContext(ctx, "anchor sent again", "err", err) // as when it is known already
	return nil
}

// firstHeadAfter returns when the first head was made that is not among the first size entries; zero if all are.
func (k *Keeper) firstHeadAfter(ctx context.Context, size uint64) (time.Time, error) {
	more, err := k.cfg.Store.Entries(ctx, size, maxTake)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range more {
		h, err := readHead(ctx, k.cfg.Store, e)
		if err != nil {
			return time.Time{}, err
		}
		if h != nil {
			return time.UnixMilli(h.At).Truncate(time.Second), nil
		}
	}
	return time.Time{}, nil
}

// readHead returns an entry's head, or nil if it is none, or is there no more.
func readHead(ctx context.Context, s Store, e journal.Entry) (*provenance.Head, error) {
	data, err := s.Block(ctx, e.CID)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := provenance.DecodeAny(data)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	h, _ := rec.(*provenance.Head)
	return h, nil
}

// A compactor keeps the tree of the heads that close runs, up to a place in the log.
type compactor struct {
	tree *compact.Range
	upTo uint64
}

func newCompactor() compactor {
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return compactor{tree: f.NewEmptyRange(0)}
}

// rootOfClosings returns the root (RFC 6962, section 2.1) of the CIDs of the heads among the first size entries that
// name a step which closes its run, and no erasure, in their order.
func (c *compactor) rootOfClosings(ctx context.Context, s Store, size uint64) ([32]byte, error) {
	if size < c.upTo {
		*c = newCompactor()
	}
	for c.upTo < size {
		entries, err := s.Entries(ctx, c.upTo, int(min(maxTake, size-c.upTo)))
		if err != nil {
			return [32]byte{}, err
		}
		if len(entries) == 0 {
			return [32]byte{}, fmt.Errorf("the journal has %d entries of the %d that are published", c.upTo, size)
		}
		for _, e := range entries {
			closes, err := isClosing(ctx, s, e)
			if err == nil && closes {
				err = c.tree.Append(rfc6962.DefaultHasher.HashLeaf(e.CID.Bytes()), nil)
			}
			if err != nil {
				return [32]byte{}, err
			}
			c.upTo = e.Index + 1
		}
	}
	if c.tree.End() == 0 {
		return [32]byte(rfc6962.DefaultHasher.EmptyRoot()), nil
	}
	root, err := c.tree.GetRootHash(nil)
	if err != nil {
		return [32]byte{}, err
	}
	return [32]byte(root), nil
}

func isClosing(ctx context.Context, s Store, e journal.Entry) (bool, error) {
	h, err := readHead(ctx, s, e)
	if err != nil || h == nil || len(h.Erased) > 0 {
		return false, err
	}
	data, err := s.Block(ctx, h.Step)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	var step provenance.Step
	if err == nil {
		err = provenance.Decode(data, &step)
	}
	if err != nil {
		return false, fmt.Errorf("step of entry %d: %w", e.Index, err)
	}
	for _, does := range step.Does {
		if _, ok := does.(*provenance.Close); ok {
			return true, nil
		}
	}
	return false, nil
}

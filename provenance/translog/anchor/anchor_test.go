package anchor

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/provenance/logproof"

	"github.com/writ-run/writ/internal/journal"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ipfs/go-cid"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

const vkey = "example.com/log+cd9a8a5e+AVNBqCh9Qm6sx3wmZ3lCqw0bg3X0E3x8lV1Fuc9Zl9Yb"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func link(text string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(text)) }

// A rig is a real chain with a contract on it, a real store with heads in it, and a clock that stands.
type rig struct {
	t        *testing.T
	ctx      context.Context
	eth      *ethclient.Client
	asked    *eth.Client
	client   *unreliable
	db       *store.DB
	contract common.Address
	key      *ecdsa.PrivateKey
	now      time.Time
	session  journal.Session
	n        int
}

// An unreliable chain fails on demand.
type unreliable struct {
	Client
	away    bool // nobody answers
	lost    bool // what is sent does not arrive, and nobody knows
	unclear bool // what is sent arrives, and nobody knows
	sent    map[common.Hash]int
}

func (u *unreliable) HeaderByNumber(ctx context.Context, n *big.Int) (*types.Header, error) {
	if u.away {
		return nil, pool.ErrUnavailable
	}
	return u.Client.HeaderByNumber(ctx, n)
}

func (u *unreliable) NonceAt(ctx context.Context, a common.Address, n *big.Int) (uint64, error) {
	if u.away {
		return 0, pool.ErrUnavailable
	}
	return u.Client.NonceAt(ctx, a, n)
}

func (u *unreliable) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	if u.away || u.lost {
		return pool.ErrUnavailable
	}
	u.sent[tx.Hash()]++
	err := u.Client.SendTransaction(ctx, tx)
	if u.unclear {
		return pool.ErrUnavailable
	}
	return err
}

func newRig(t *testing.T) *rig {
	dev := must(devchain.Start(t.Context(), devchain.Config{}))
	t.Cleanup(func() { dev.Close() })
	pool := must(pool.New(pool.Config{URLs: []string{dev.URL()}, Chain: devchain.ID}))
	t.Cleanup(pool.Close)
	r := &rig{
		t: t, ctx: t.Context(), eth: must(ethclient.Dial(dev.URL())), asked: must(eth.Dial(dev.URL())),
		client: &unreliable{Client: pool, sent: map[common.Hash]int{}},
		key:    devchain.Accounts()["mallory"].Key, now: time.Now().Add(-100 * time.Hour),
		db:      must(store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(t.TempDir(), "writ.db"))})),
		session: journal.Session{ID: link("session"), Expires: 1 << 60},
	}
	t.Cleanup(func() { r.db.Close(); r.eth.Close(); r.asked.Close() })
	if err := r.db.PutSession(t.Context(), r.session); err != nil {
		t.Fatal(err)
	}
	receipt := r.transact(r.key, nil, logproof.AnchorCreation(vkey), nil)
	if receipt.Status != 1 {
		t.Fatal("the contract is not made")
	}
	r.contract = receipt.ContractAddress
	return r
}

// transact sends a transaction and returns its receipt.
func (r *rig) transact(key *ecdsa.PrivateKey, to *common.Address, data []byte, value *big.Int) *types.Receipt {
	r.t.Helper()
	from := crypto.PubkeyToAddress(key.PublicKey)
	tx := must(types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: must(r.eth.PendingNonceAt(r.ctx, from)), To: to, Data: data,
		Value: value, Gas: 1_000_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(2e10),
	}))
	if err := r.eth.SendTransaction(r.ctx, tx); err != nil {
		r.t.Fatal(err)
	}
	return r.receipt(tx.Hash())
}

func (r *rig) receipt(hash common.Hash) *types.Receipt {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if receipt, err := r.eth.TransactionReceipt(r.ctx, hash); err == nil {
			return receipt
		}
		time.Sleep(5 * time.Millisecond) // the chain mines in its own time
	}
	r.t.Fatal("not mined")
	return nil
}

// head opens a run; with closing it closes at once.
func (r *rig) head(closing bool) provenance.Link {
	r.t.Helper()
	r.n++
	run := link(fmt.Sprint("run ", r.n))
	step := &provenance.Step{Run: run, At: r.now.UnixMilli(), Event: &provenance.Lapse{Why: provenance.LapseCancelled}}
	if closing {
		step.Does = []provenance.Effect{&provenance.Close{Reason: provenance.CloseAnswered}}
	}
	block := must(provenance.Encode(step))
	h := &provenance.Head{Run: run, Step: block.CID, At: r.now.UnixMilli()}
	sum := sha256.Sum256([]byte("operator"))
	if err := h.Sign(ed25519.NewKeyFromSeed(sum[:])); err != nil {
		r.t.Fatal(err)
	}
	hb := must(provenance.Encode(h))
	status := "running"
	err := r.db.Commit(r.ctx, journal.Commit{Run: run, Step: block, Head: &hb, Status: status,
		Open: &journal.Opening{Session: r.session.ID, Owner: "test"}})
	if err != nil {
		r.t.Fatal(err)
	}
	return hb.CID
}

func rootOf(list []provenance.Link) [32]byte {
	if len(list) == 0 {
		return [32]byte(rfc6962.DefaultHasher.EmptyRoot())
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := f.NewEmptyRange(0)
	for _, l := range list {
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(l.Bytes()), nil); err != nil {
			panic(err)
		}
	}
	return [32]byte(must(tree.GetRootHash(nil)))
}

// newest is the checkpoint of all that is in the store.
func (r *rig) newest() []byte {
	var all []provenance.Link
	for _, e := range must(r.db.Entries(r.ctx, 0, 1000)) {
		all = append(all, e.CID)
	}
	root := rootOf(all)
	return fmt.Appendf(nil, "example.com/log\n%d\n%s\n\n— example.com/log AAAA\n", len(all),
		base64.StdEncoding.EncodeToString(root[:]))
}

func (r *rig) keeper() *Keeper {
	return must(New(Config{Client: r.client, Store: r.db, Key: r.key, Contract: r.contract, VKey: vkey,
		Newest: r.newest, Now: func() time.Time {
			return r.now
		}}))
}

// step steps until nothing is due in this interval, and returns how many steps that took.
func (r *rig) step(k *Keeper) (n int) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); n++ {
		wait, err := k.Step(r.ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if wait > soon {
			return n
		}
		time.Sleep(5 * time.Millisecond) // the chain mines in its own time
	}
	r.t.Fatal("it is never done")
	return n
}

func (r *rig) anchors() []logproof.Anchor {
	r.t.Helper()
	a := must(r.asked.Anchors(r.ctx, r.contract, 0))
	if err := a.Check([]string{"example.com/other+x+y", vkey}); err != nil {
		r.t.Fatal(err)
	}
	return a.List
}

// TestOneAnchorAnInterval: what is anchored is the log, the runs that are closed, and the time; once each interval,
// whatever stops and starts.
func TestOneAnchorAnInterval(t *testing.T) {
	r := newRig(t)
	r.head(false)
	closed := []provenance.Link{r.head(true)}
	k := r.keeper()
	r.step(k)
	r.head(false)
	r.step(k)          // nothing: the interval has its anchor
	r.step(r.keeper()) // nor after a restart
	r.now = r.now.Add(time.Hour)
	closed = append(closed, r.head(true))
	r.step(k)
	r.now = r.now.Add(time.Hour)
	k = r.keeper()
	r.step(k) // nothing has happened: the time is anchored all the same
	list := r.anchors()
	if len(list) != 3 || list[0].Size != 2 || list[1].Size != 4 || list[2].Size != 4 {
		t.Fatalf("anchors: %+v", list)
	}
	for i, x := range list {
		if x.Closed != rootOf(closed[:min(i+1, 2)]) {
			t.Errorf("anchor %d: another root of closed runs", i)
		}
		if d := x.Time - x.Made; d < 0 || d > 120 {
			t.Errorf("anchor %d: made %d s before its block", i, d)
		}
	}
	if list[1].Root == list[0].Root || list[1].Root != list[2].Root {
		t.Error("roots")
	}
	rows := must(r.db.Anchorings(r.ctx, 10))
	if len(rows) != 3 || rows[2].Block != list[2].Block || rows[2].Time != list[2].Time || rows[0].Failed {
		t.Errorf("journal: %+v", rows)
	}
}

// TestACrashRepeatsAndSkipsNothing: the process dies between all that it does, and the chain is away at each step.
func TestACrashRepeatsAndSkipsNothing(t *testing.T) {
	r := newRig(t)
	r.head(true)
	for _, tc := range []struct {
		name  string
		wrong func(*unreliable)
	}{
		{"nobody answers", func(u *unreliable) { u.away = true }},
		{"what is sent is lost", func(u *unreliable) { u.lost = true }},
		{"what is sent arrives, and nobody says so", func(u *unreliable) { u.unclear = true }},
	} {
		before := len(r.anchors())
		tc.wrong(r.client)
		for range 3 {
			if _, err := r.keeper().Step(r.ctx); err != nil && !errors.Is(err, pool.ErrUnavailable) {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		r.client.away, r.client.lost, r.client.unclear = false, false, false
		r.step(r.keeper())
		r.step(r.keeper())
		if got := len(r.anchors()); got != before+1 {
			t.Errorf("%s: %d anchors in one interval", tc.name, got-before)
		}
		r.now = r.now.Add(time.Hour)
	}
	for _, a := range must(r.db.Anchorings(r.ctx, 100)) {
		if a.Open() || a.Failed {
			t.Errorf("left over: %+v", a)
		}
	}
}

// TestFeesHaveACeiling: while the chain asks more nothing is signed; below it no fee is above it, of a replacement
// neither.
func TestFeesHaveACeiling(t *testing.T) {
	r := newRig(t)
	r.head(true)
	tip := must(r.client.SuggestGasTipCap(r.ctx))
	base := must(r.client.HeaderByNumber(r.ctx, nil)).BaseFee
	asks := new(big.Int).Add(tip, base)
	k := r.keeper()
	k.cfg.MaxFee = new(big.Int).Sub(asks, common.Big1)
	if _, err := k.Step(r.ctx); !errors.Is(err, ErrFee) {
		t.Errorf("above the ceiling: %v", err)
	}
	if rows := must(r.db.Anchorings(r.ctx, 10)); len(rows) != 0 || len(r.client.sent) != 0 {
		t.Errorf("above the ceiling %d were signed and %d sent", len(rows), len(r.client.sent))
	}

	// One that waits for too long, and is at the ceiling already, is not replaced; it is sent again and takes its
	// nonce.
	r.now = time.Now()
	a := r.old(time.Hour)
	k.cfg.MaxFee = big.NewInt(2e10)
	if _, err := k.Step(r.ctx); !errors.Is(err, ErrFee) {
		t.Errorf("a replacement above the ceiling: %v", err)
	}
	if rows := must(r.db.Anchorings(r.ctx, 10)); len(rows) != 1 || r.client.sent[a.Hash] != 1 {
		t.Errorf("a replacement above the ceiling: %d signed, the old one sent %d times", len(rows),
			r.client.sent[a.Hash])
	}
	if receipt := r.receipt(a.Hash); receipt.Status != 0 {
		t.Error("the contract takes what is an hour old")
	}

	// It goes on as soon as it may, and pays no more than that.
	r.step(k)
	rows := must(r.db.Anchorings(r.ctx, 10))
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(rows[len(rows)-1].Tx); err != nil {
		t.Fatal(err)
	}
	if len(r.anchors()) != 1 || tx.GasFeeCap().Cmp(k.cfg.MaxFee) > 0 {
		t.Errorf("%d anchors, the last for at most %s; want one for at most %s", len(r.anchors()), tx.GasFeeCap(),
			k.cfg.MaxFee)
	}
}

// old stores a transaction that has waited for too long, and does not send it.
func (r *rig) old(ago time.Duration) journal.Anchoring {
	r.t.Helper()
	from := crypto.PubkeyToAddress(r.key.PublicKey)
	a := journal.Anchoring{Slot: r.now.UnixNano() / int64(time.Hour), Nonce: must(r.eth.NonceAt(r.ctx, from, nil)),
		Anchor: logproof.Anchor{Size: 1, Made: time.Now().Add(-ago).Unix()}}
	tx := must(types.SignNewTx(r.key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: a.Nonce, To: &r.contract, Data: a.Call(), Gas: gas,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(2e10)}))
	a.Tx, a.Hash = must(tx.MarshalBinary()), tx.Hash()
	if err := r.db.PutAnchoring(r.ctx, a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// TestWhatWaitsTooLongIsReplaced: under its own nonce, so that one of the two at most is mined.
func TestWhatWaitsTooLongIsReplaced(t *testing.T) {
	r := newRig(t)
	r.now = time.Now()
	r.head(true)
	waits := r.old(20 * time.Minute)
	k := r.keeper()
	r.step(k)
	rows := must(r.db.Anchorings(r.ctx, 10))
	if len(rows) != 2 || !rows[0].Failed || rows[1].Block == 0 || rows[1].Nonce != waits.Nonce ||
		len(r.anchors()) != 1 {
		t.Fatalf("journal: %+v", rows)
	}

	// One that was sent and came too late is refused by the contract; the next is made after a pause.
	r.now = r.now.Add(time.Hour)
	late := r.old(20 * time.Minute)
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(late.Tx); err != nil {
		t.Fatal(err)
	}
	if err := r.eth.SendTransaction(r.ctx, tx); err != nil {
		t.Fatal(err)
	}
	if r.receipt(tx.Hash()).Status != 0 {
		t.Fatal("the contract takes what is 20 minutes old")
	}
	r.now = time.Unix(late.Made, 0).Add(2 * time.Minute)
	if wait, err := r.keeper().Step(r.ctx); err != nil || wait <= soon {
		t.Errorf("after a refusal: %s, %v", wait, err)
	}
	r.now = time.Now()
	r.step(r.keeper())
	if rows = must(r.db.Anchorings(r.ctx, 10)); len(rows) != 4 || !rows[2].Failed || rows[2].Block == 0 ||
		rows[3].Failed || len(r.anchors()) != 2 {
		t.Errorf("journal: %+v", rows)
	}
}

// TestAnotherUseOfTheAccount: what was signed can be mined no more, since its nonce was used elsewhere; the anchor is
// made anew, under the next one.
func TestAnotherUseOfTheAccount(t *testing.T) {
	r := newRig(t)
	r.now = time.Now()
	r.head(true)
	first, second := r.old(2*time.Minute), r.old(time.Minute) // two under one nonce, and neither was sent
	bob := devchain.Accounts()["bob"].Address
	r.transact(r.key, &bob, nil, big.NewInt(1))
	r.client.lost = true // nor is it now
	k := r.keeper()
	for range 3 {
		if _, err := k.Step(r.ctx); err != nil && !errors.Is(err, pool.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	r.client.lost = false
	r.step(k)
	rows := must(r.db.Anchorings(r.ctx, 10))
	if len(rows) != 3 || rows[0].Hash != first.Hash || !rows[0].Failed || rows[1].Hash != second.Hash ||
		!rows[1].Failed || rows[2].Nonce != first.Nonce+1 || len(r.anchors()) != 1 {
		t.Errorf("journal: %+v", rows)
	}
}

// TestACheckpointThatLagsIsNotAnchored: made never claims more than the checkpoint has.
func TestACheckpointThatLagsIsNotAnchored(t *testing.T) {
	r := newRig(t)
	r.now = time.Now()
	r.head(true)
	first := r.newest()
	r.now = time.Now().Add(-3 * time.Minute)
	r.head(false) // three minutes ago, and not in the checkpoint
	missed := r.now
	r.now = time.Now()
	k := r.keeper()
	k.cfg.Newest = func() []byte { return first }
	r.step(k)
	if list := r.anchors(); len(list) != 1 || list[0].Made > missed.Unix() {
		t.Errorf("anchors: %+v, though a head of %d is not in it", list, missed.Unix())
	}
	r.now = time.Now().Add(-20 * time.Minute)
	r2 := r.n
	r.head(false)
	if r.n != r2+1 {
		t.Fatal("no head")
	}
	r.now = time.Now().Add(time.Hour)
	k.cfg.Newest = func() []byte { return nil }
	if _, err := k.Step(r.ctx); err == nil {
		t.Error("anchored without a checkpoint")
	}
}

// TestTheContract: on a real chain, who may call it and with what.
func TestTheContract(t *testing.T) {
	r := newRig(t)
	operator := crypto.PubkeyToAddress(r.key.PublicKey)
	if code := must(r.eth.CodeAt(r.ctx, r.contract, nil)); string(code) != string(logproof.AnchorRuntime(vkey,
		operator)) {
		t.Fatalf("code: %x", code)
	}
	now := time.Now().Unix()
	call := func(made int64) []byte {
		return logproof.Anchor{Size: 7, Root: [32]byte{1}, Closed: [32]byte{2}, Made: made}.Call()
	}
	stranger := devchain.Accounts()["bob"].Key
	for _, tc := range []struct {
		name  string
		key   *ecdsa.PrivateKey
		data  []byte
		value int64
		ok    bool
	}{
		{"its operator", r.key, call(now - 5), 0, true},
		{"a stranger", stranger, call(now - 5), 0, false},
		{"with value", r.key, call(now - 5), 1, false},
		{"too short", r.key, call(now - 5)[:127], 0, false},
		{"too long", r.key, append(call(now-5), 0), 0, false},
		{"nothing", r.key, nil, 0, false},
		{"a time to come", r.key, call(now + 3600), 0, false},
		{"a time long gone", r.key, call(now - 1000), 0, false},
		{"14 minutes ago", r.key, call(now - 840), 0, true},
	} {
		receipt := r.transact(tc.key, &r.contract, tc.data, big.NewInt(tc.value))
		if ok := receipt.Status == 1; ok != tc.ok || ok && (len(receipt.Logs) != 1 || receipt.GasUsed > 40_000) {
			t.Errorf("%s: status %d, %d events, %d gas", tc.name, receipt.Status, len(receipt.Logs), receipt.GasUsed)
		}
	}
	list := r.anchors()
	if len(list) != 2 || list[0].Size != 7 || list[0].Root != [32]byte{1} || list[0].Closed != [32]byte{2} ||
		list[0].Made != now-5 {
		t.Errorf("anchors: %+v", list)
	}
	// A contract for another log, or of another account, is not ours.
	k := must(New(Config{Client: r.client, Store: r.db, Key: stranger, Contract: r.contract, VKey: vkey,
		Newest: r.newest}))
	if _, err := k.Step(r.ctx); err == nil {
		t.Error("somebody else's contract is used")
	}
	if msg, err := r.eth.CallContract(r.ctx, ethereum.CallMsg{From: operator, To: &r.contract, Data: call(now)},
		nil); err == nil && len(msg) > 0 {
		t.Errorf("it answers %x", msg)
	}
}

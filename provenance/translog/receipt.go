package translog

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"

	"github.com/ipfs/go-cid"
	"github.com/transparency-dev/tessera/client"

	"github.com/writ-run/writ/provenance"
)

// A Receipt is what a client keeps.
type Receipt = journal.Receipt

// A binding is the key binding that receipts carry, once it is in the log.
type binding struct {
	cid   provenance.Link
	key   string // the Ed25519 key that it is for
	index uint64 // of its entry
	proof provenance.Block
}

// Bind says which key binding receipts shall carry. It must be the store's entry already; heads that come after it get
// it. The zero Link ends that. Call it before there are new heads.
func (l *Log) Bind(ctx context.Context, c provenance.Link) error {
	if !c.Defined() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.binding = binding{}
		return nil
	}
	e, err := l.cfg.Store.Entry(ctx, c)
	if err != nil {
		return fmt.Errorf("bind the key: %w", err)
	}
	data, err := l.cfg.Store.Block(ctx, c)
	if err != nil {
		return fmt.Errorf("bind the key: %w", err)
	}
	var rec provenance.KeyBinding
	if err := provenance.Decode(data, &rec); err != nil {
		return fmt.Errorf("bind the key: %w", err)
	}
	if rec.Log != l.vkey {
		return fmt.Errorf("bind the key: the binding is for the log %.200q, this is %q; bind again", rec.Log, l.vkey)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.binding = binding{cid: c, key: string(rec.Key), index: e.Index}
	l.Added()
	return nil
}

// makeReceipts makes the receipts of the entries from next up to a checkpoint's size, and returns where it got to.
func (l *Log) makeReceipts(ctx context.Context, raw []byte, c logproof.Checkpoint, next uint64) (uint64, error) {
	if next >= c.Size {
		return next, nil
	}
	proofs, err := l.newProofBuilder(ctx, c.Size)
	if err != nil {
		return next, err
	}
	for next < c.Size {
		entries, err := l.cfg.Store.Entries(ctx, next, int(min(batch, c.Size-next)))
		if err != nil {
			return next, err
		}
		if len(entries) == 0 {
			return next, fmt.Errorf("entry %d is in the tree and not in the store: %w", next, ErrBehind)
		}
		var blocks []provenance.Block
		var made []Receipt
		for i := range entries {
			r, more, err := l.makeReceipt(ctx, proofs, raw, &entries[i])
			if err != nil {
				return next, fmt.Errorf("entry %d: %w", entries[i].Index, err)
			}
			if blocks = append(blocks, more...); r != nil {
				made = append(made, *r)
			}
		}
		if err := l.cfg.Store.PutReceipts(ctx, entries, blocks, raw); err != nil {
			return next, err
		}
		next += uint64(len(entries))
		for _, r := range made {
			l.notifyWaiting(r)
		}
	}
	return next, nil
}

// makeReceipt makes the receipt of one entry, if it is a head.
func (l *Log) makeReceipt(ctx context.Context, proofs *client.ProofBuilder, raw []byte, e *journal.Entry) (*Receipt,
	[]provenance.Block, error) {
	data, err := l.cfg.Store.Block(ctx, e.CID)
	if err != nil {
		return nil, nil, err
	}
	if e.CID.Prefix().Codec == cid.Raw { // the statement that began an epoch
		return nil, nil, nil
	}
	rec, err := provenance.DecodeAny(data)
	if err != nil {
		return nil, nil, err
	}
	head, ok := rec.(*provenance.Head)
	if !ok {
		return nil, nil, nil
	}
	if e.Logged != provenance.NewLogEntry(head.Run, head.Seq, e.CID) {
		return nil, nil, fmt.Errorf("what is to stand in the log is not the entry of the head %s: %w", e.CID, ErrForked)
	}
	p, err := l.proveEntry(ctx, proofs, raw, *e)
	if err != nil {
		return nil, nil, err
	}
	proof := provenance.NewRaw(p.Format())
	blocks := []provenance.Block{proof}
	r := &provenance.Receipt{Head: e.CID, Proof: proof.CID}
	b, err := l.proveBinding(ctx, proofs, raw, *e)
	if err != nil {
		return nil, nil, err
	}
	if b.cid.Defined() && b.key == string(head.Key) {
		r.Binding, r.Bound = b.cid, b.proof.CID
		blocks = append(blocks, b.proof)
	}
	block, err := provenance.Encode(r)
	if err != nil {
		return nil, nil, err
	}
	e.Receipt = block.CID
	p.Extra = data
	return &Receipt{Run: head.Run, Head: e.CID, Seq: head.Seq, CID: block.CID, Text: p.Format()},
		append(blocks, block), nil
}

// proveBinding returns the binding that heads at e carry, with the proof of its own entry; an undefined one if there is
// none.
func (l *Log) proveBinding(ctx context.Context, proofs *client.ProofBuilder, raw []byte, e journal.Entry) (binding,
	error) {
	l.mu.Lock()
	b := l.binding
	l.mu.Unlock()
	if !b.cid.Defined() || b.index >= e.Index {
		return binding{}, nil
	}
	if b.proof.CID.Defined() {
		return b, nil
	}
	p, err := l.proveEntry(ctx, proofs, raw, journal.Entry{Index: b.index, CID: b.cid,
		Logged: provenance.NewLogEntry(b.cid, 0, b.cid)})
	if err != nil {
		return b, fmt.Errorf("the key binding: %w", err)
	}
	b.proof = provenance.NewRaw(p.Format())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.binding.cid == b.cid {
		l.binding = b
	}
	return b, nil
}

// proveEntry makes the proof of an entry and checks it: a damaged tile must not become a receipt.
func (l *Log) proveEntry(ctx context.Context, proofs *client.ProofBuilder, raw []byte,
	e journal.Entry) (*logproof.Proof, error) {
	hashes, err := proofs.InclusionProof(ctx, e.Index)
	if err != nil {
		return nil, err
	}
	p := &logproof.Proof{Index: e.Index, Checkpoint: raw}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, [32]byte(h))
	}
	if _, err := p.Verify(e.Logged, l.policy); err != nil {
		return nil, err
	}
	return p, nil
}

// Receipt returns the receipt of a run's newest head. It is journal.ErrNotFound while the log has not published it.
func (l *Log) Receipt(ctx context.Context, run provenance.Link) (Receipt, error) {
	info, err := l.cfg.Store.Run(ctx, run)
	if err != nil {
		return Receipt{}, err
	}
	fail := func(err error) (Receipt, error) { return Receipt{}, fmt.Errorf("receipt of run %s: %w", run, err) }
	if !info.Head.Defined() {
		return fail(journal.ErrNotFound)
	}
	e, err := l.cfg.Store.Entry(ctx, info.Head)
	if err != nil {
		return fail(err)
	}
	if !e.Receipt.Defined() {
		return fail(journal.ErrNotFound)
	}
	var rec provenance.Receipt
	var head provenance.Head
	if _, err := l.readRecord(ctx, e.Receipt, &rec); err != nil {
		return fail(err)
	}
	text, err := l.cfg.Store.Block(ctx, rec.Proof)
	if err != nil {
		return fail(err)
	}
	block, err := l.readRecord(ctx, info.Head, &head)
	if err != nil {
		return fail(err)
	}
	p, err := logproof.ParseProof(text)
	if err != nil {
		return fail(err)
	}
	p.Extra = block
	return Receipt{Run: run, Head: info.Head, Seq: head.Seq, CID: e.Receipt, Text: p.Format()}, nil
}

// readRecord reads a record of the store and returns its bytes.
func (l *Log) readRecord(ctx context.Context, c provenance.Link, r provenance.Record) ([]byte, error) {
	data, err := l.cfg.Store.Block(ctx, c)
	if err == nil {
		err = provenance.Decode(data, r)
	}
	return data, err
}

// watched bounds the receipts that wait for one watcher; when there are more, the oldest go.
const watched = 8

// Watch returns a channel that gets each new receipt of a run. stop ends it.
func (l *Log) Watch(run provenance.Link) (receipts <-chan Receipt, stop func()) {
	c := make(chan Receipt, watched)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers[run] == nil {
		l.watchers[run] = map[chan Receipt]struct{}{}
	}
	l.watchers[run][c] = struct{}{}
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if delete(l.watchers[run], c); len(l.watchers[run]) == 0 {
			delete(l.watchers, run)
		}
	}
}

func (l *Log) notifyWaiting(r Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.watchers[r.Run] {
		for sent := false; !sent; {
			select {
			case c <- r:
				sent = true
			default:
				select { // nobody else puts anything in: mu is held
				case <-c:
				default:
				}
			}
		}
	}
}

// Await returns the receipt of a run's newest head as soon as it is there, or journal.ErrNotFound when ctx ends.
func (l *Log) Await(ctx context.Context, run provenance.Link) (Receipt, error) {
	news, stop := l.Watch(run) // first, or one could come between
	defer stop()
	for {
		r, err := l.Receipt(ctx, run)
		if err == nil || !errors.Is(err, journal.ErrNotFound) && ctx.Err() == nil {
			return r, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Receipt{}, fmt.Errorf("receipt of run %s: %w", run, journal.ErrNotFound)
		}
	}
}

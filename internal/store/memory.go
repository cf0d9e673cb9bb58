package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Memory is a store that lasts as long as its process. It is a [DB] in everything but durability.
type Memory struct {
	// Now is the clock of leases. Set it before first use.
	Now func() time.Time

	epoch string

	mu       sync.RWMutex // guards all below
	blocks   map[provenance.Link][]byte
	leaves   map[provenance.Link]provenance.LeafKey
	fleeting map[provenance.Link]fleeting
	ended    map[provenance.Link]ending // delegations
	sessions map[provenance.Link]*memorySession
	runs     map[provenance.Link]*memoryRun
	ledgers  map[string]agent.Ledger
	nonces   map[string]memoryNonce
	used     map[agent.TxNonce]bool
	log      memoryLog
	next     map[string]uint64
}

type memorySession struct {
	agent.Session
	n    int // in order of storing
	keys map[string]*memoryRun
}

type memoryRun struct {
	agent.RunInfo
	n     int  // in order of opening
	over  bool // it has had a close
	steps []provenance.Link
	holds map[holdKey]money.Amount
	hash  [32]byte
	owner string
	until int64
	fence uint64
}

type memoryNonce struct {
	data    []byte
	expires int64
}

// NewMemory returns an empty store. Its clock is time.Now.
func NewMemory() *Memory {
	return &Memory{
		Now:      time.Now,
		epoch:    newEpoch(),
		blocks:   map[provenance.Link][]byte{},
		leaves:   map[provenance.Link]provenance.LeafKey{},
		fleeting: map[provenance.Link]fleeting{}, ended: map[provenance.Link]ending{},
		sessions: map[provenance.Link]*memorySession{},
		runs:     map[provenance.Link]*memoryRun{},
		ledgers:  map[string]agent.Ledger{},
		nonces:   map[string]memoryNonce{},
		used:     map[agent.TxNonce]bool{},
		next:     map[string]uint64{},
	}
}

// Close does nothing. A Memory has it so that it can stand for a [DB].
func (m *Memory) Close() error { return nil }

// Epoch implements agent.Store.
func (m *Memory) Epoch(context.Context) (string, error) { return m.epoch, nil }

// PutBlocks implements agent.Store. The bytes are kept, not copied.
func (m *Memory) PutBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error {
	if err := cmp.Or(context.Cause(ctx), checkBlocks(blocks, leaves), checkLasting(leaves)); err != nil {
		return fmt.Errorf("put blocks: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(blocks, leaves)
	return nil
}

func (m *Memory) put(blocks []provenance.Block, leaves []provenance.Leaf) {
	for _, b := range blocks {
		if _, there := m.blocks[b.CID]; !there {
			m.blocks[b.CID] = b.Data
		}
	}
	for _, l := range leaves {
		if _, there := m.leaves[l.CID]; !there {
			m.leaves[l.CID] = l.Key
		}
	}
}

// Block implements agent.Store. The bytes must not be changed: the next read would find them corrupt.
func (m *Memory) Block(_ context.Context, c provenance.Link) ([]byte, error) {
	m.mu.RLock()
	data, there := m.blocks[c]
	held := m.fleeting[c].held
	m.mu.RUnlock()
	if !there && held {
		return nil, fmt.Errorf("block %s: %w", c, provenance.ErrWithheld)
	}
	if !there {
		return nil, fmt.Errorf("block %s: %w", c, errAbsent)
	}
	if err := checkRead(c, data); err != nil {
		return nil, err
	}
	return data, nil
}

// LeafKey implements agent.Store.
func (m *Memory) LeafKey(_ context.Context, c provenance.Link) (provenance.LeafKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, there := m.leaves[c]
	if !there {
		return k, fmt.Errorf("key of leaf %s: %w", c, agent.ErrNotFound)
	}
	return k, nil
}

// A fleeting leaf ends with its run.
type fleeting struct {
	run  provenance.Link
	held bool
	data []byte // of a leaf that is held; nil once its run has closed
}

// fleet notes the leaves of a commit that end with their run, and ends them if it closes the run.
func (m *Memory) fleet(c *agent.Commit) {
	for _, l := range c.Leaves {
		if _, there := m.fleeting[l.CID]; l.Ends && !there {
			m.fleeting[l.CID] = fleeting{c.Run, l.Held != nil, l.Held}
		}
	}
	if !closed(c.Status) {
		return
	}
	for cid, f := range m.fleeting {
		if f.run != c.Run {
			continue
		}
		delete(m.leaves, cid)
		if f.data = nil; f.held {
			m.fleeting[cid] = f
		} else {
			delete(m.fleeting, cid)
		}
	}
}

// Held implements agent.Store.
func (m *Memory) Held(_ context.Context, c provenance.Link) ([]byte, error) {
	m.mu.RLock()
	data := m.fleeting[c].data
	m.mu.RUnlock()
	if data == nil {
		return nil, fmt.Errorf("leaf %s: %w", c, agent.ErrNotFound)
	}
	return data, checkRead(c, data)
}

// EraseLeaf deletes the key of a sealed leaf. Erasing one that is not there changes nothing.
func (m *Memory) EraseLeaf(_ context.Context, c provenance.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leaves, c)
	return nil
}

// PutSession implements agent.Store.
func (m *Memory) PutSession(ctx context.Context, s agent.Session) error {
	err := cmp.Or(context.Cause(ctx), checkSession(s))
	if err == nil {
		err = m.putSession(s)
	}
	if err != nil {
		return fmt.Errorf("put session %s: %w", s.ID, err)
	}
	return nil
}

func (m *Memory) putSession(s agent.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.sessions[s.ID]
	if old == nil {
		s.Message, s.Sig, s.Used = bytes.Clone(s.Message), bytes.Clone(s.Sig), m.Now().UnixMilli()
		m.sessions[s.ID] = &memorySession{Session: s, n: len(m.sessions), keys: map[string]*memoryRun{}}
		return nil
	}
	same := old.Account == s.Account && old.Chain == s.Chain && old.Key == s.Key && old.Agent == s.Agent &&
		old.Opened == s.Opened && old.Expires == s.Expires && bytes.Equal(old.Message, s.Message) && bytes.Equal(old.Sig, s.Sig) && old.Method == s.Method
	if !same {
		return errOtherSession
	}
	return nil
}

// Session implements agent.Store.
func (m *Memory) Session(_ context.Context, id provenance.Link) (agent.Session, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.sessions[id]
	if s == nil {
		return agent.Session{}, fmt.Errorf("session %s: %w", id, agent.ErrNotFound)
	}
	return s.Session, nil
}

// Sessions implements agent.Store.
func (m *Memory) Sessions(_ context.Context, account common.Address, until int64) ([]agent.Session, error) {
	return m.listSessions(func(s *memorySession) bool {
		return s.Opened <= until && (account == (common.Address{}) || account == s.Account)
	}), nil
}

// OpenSessions implements agent.Store.
func (m *Memory) OpenSessions(_ context.Context, at, until int64) ([]agent.Session, error) {
	return m.listSessions(func(s *memorySession) bool { return s.Opened <= until && s.Revoked == 0 && s.Expires > at }), nil
}

// listSessions returns the newest sessions that belong in a list.
func (m *Memory) listSessions(in func(*memorySession) bool) (all []agent.Session) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []*memorySession
	for _, s := range m.sessions {
		if in(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *memorySession) int { return cmp.Or(cmp.Compare(b.Opened, a.Opened), b.n-a.n) })
	for _, s := range found[:min(len(found), agent.MaxSessions)] {
		all = append(all, s.Session)
	}
	return all
}

// An ending is the revocation of a delegation.
type ending struct {
	by provenance.Link
	at int64
}

// RevokeDelegation implements agent.Store.
func (m *Memory) RevokeDelegation(_ context.Context, id provenance.Link, at int64, by provenance.Link) error {
	if err := checkRevoke(at, by); err != nil {
		return fmt.Errorf("revoke delegation %s: %w", id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended[id].at == 0 {
		m.ended[id] = ending{by, at}
	}
	return nil
}

// RevokedDelegation implements agent.Store.
func (m *Memory) RevokedDelegation(_ context.Context, ids []provenance.Link) (by provenance.Link, at int64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, id := range ids {
		if e := m.ended[id]; e.at != 0 {
			return e.by, e.at, nil
		}
	}
	return provenance.Link{}, 0, nil
}

// Revoke implements agent.Store.
func (m *Memory) Revoke(_ context.Context, id provenance.Link, at int64, by provenance.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sessions[id], checkRevoke(at, by)
	switch {
	case err != nil:
	case s == nil:
		err = agent.ErrNotFound
	case s.Revoked == 0:
		s.Revoked, s.Revocation = at, by
	}
	if err != nil {
		return fmt.Errorf("revoke session %s: %w", id, err)
	}
	return nil
}

// Use implements agent.Store, as [DB.Use] does.
func (m *Memory) Use(_ context.Context, id provenance.Link, idle time.Duration) (agent.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	if s == nil {
		return agent.Session{}, fmt.Errorf("session %s: %w", id, agent.ErrNotFound)
	}
	now := m.Now().UnixMilli()
	if err := inUse(s.Session, now, idle); err != nil {
		return s.Session, fmt.Errorf("use session %s: %w", id, err)
	}
	if now-s.Used >= idle.Milliseconds()/16 {
		s.Used = now
	}
	return s.Session, nil
}

// Commit implements agent.Store, as [DB.Commit] does.
func (m *Memory) Commit(ctx context.Context, c agent.Commit) error {
	err := cmp.Or(context.Cause(ctx), checkCommit(&c))
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = m.commit(&c)
	}
	if err != nil {
		return fmt.Errorf("commit step %d of run %s: %w", c.Seq, c.Run, err)
	}
	return nil
}

func (m *Memory) commit(c *agent.Commit) error {
	run, err := m.checkRun(c)
	if err != nil {
		return err
	}
	session := m.sessions[run.Session]
	if len(c.Reserve) > 0 || c.Nonce != nil {
		if err := stale(session.Revoked, session.Expires, c.At); err != nil {
			return err
		}
		for _, d := range c.Under {
			if m.ended[d].at != 0 {
				return errDelegationRevoked
			}
		}
	}
	d, err := draw(memoryBook{m, run}, c)
	if err != nil {
		return err
	}
	if n := c.Nonce; n != nil {
		if m.used[*n] {
			return fmt.Errorf("nonce %d of %s: %w", n.Nonce, n.Account, agent.ErrNonceUsed)
		}
		m.used[*n] = true
		m.next[n.Account] = max(m.next[n.Account], n.Nonce+1)
	}

	if o := c.Open; o != nil {
		m.runs[c.Run] = run
		if o.Key != "" {
			session.keys[o.Key] = run
		}
	}
	run.steps = append(run.steps, c.Step.CID)
	run.Steps, run.Last, run.Status = c.Seq+1, c.Step.CID, c.Status
	run.over = run.over || closed(c.Status)
	m.put([]provenance.Block{c.Step}, nil)
	m.put(c.Blocks, c.Leaves)
	m.fleet(c)
	if c.Head != nil {
		m.put([]provenance.Block{*c.Head}, nil)
		run.Head = c.Head.CID
		m.addEntry(run.Head)
	}
	maps.Copy(m.ledgers, d.ledgers)
	for k, held := range d.holds {
		if held.Asset() == (money.Asset{}) {
			delete(run.holds, k)
		} else {
			run.holds[k] = held
		}
	}
	return nil
}

// checkRun returns the run of c, or, for an opening, a new one that is not stored yet.
func (m *Memory) checkRun(c *agent.Commit) (*memoryRun, error) {
	run, o := m.runs[c.Run], c.Open
	if o == nil {
		switch {
		case run == nil:
			return nil, agent.ErrNotFound
		case run.fence != c.Fence:
			return nil, fmt.Errorf("fence %d is not %d: %w", c.Fence, run.fence, agent.ErrFenced)
		case run.Steps != c.Seq:
			return nil, fmt.Errorf("it has %d steps: %w", run.Steps, agent.ErrSeq)
		}
		return run, nil
	}
	session := m.sessions[o.Session]
	switch {
	case run != nil:
		return nil, fmt.Errorf("the run is there already: %w", agent.ErrConflict)
	case session == nil:
		return nil, fmt.Errorf("session %s: %w", o.Session, agent.ErrNotFound)
	case o.Key != "" && session.keys[o.Key] != nil:
		return nil, agent.ErrConflict
	case c.Seq != 0:
		return nil, fmt.Errorf("a run opens with step 0: %w", agent.ErrSeq)
	}
	return &memoryRun{
		RunInfo: agent.RunInfo{
			ID: c.Run, Session: o.Session, Account: o.Account, Chain: session.Chain, Method: session.Method, Agent: o.Agent, Opened: c.At,
		},
		n:     len(m.runs),
		holds: map[holdKey]money.Amount{},
		hash:  o.Hash,
		owner: o.Owner,
		until: o.Until,
		fence: 1,
	}, nil
}

type memoryBook struct {
	m   *Memory
	run *memoryRun
}

func (b memoryBook) ledger(key string) (agent.Ledger, error) {
	l := b.m.ledgers[key]
	l.Key = key
	return l, nil
}

func (b memoryBook) held(k holdKey) (money.Amount, error) { return b.run.holds[k], nil }

func (memoryBook) lost(holdKey) (bool, error) { return false, nil }

// Run implements agent.Store.
func (m *Memory) Run(_ context.Context, id provenance.Link) (agent.RunInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.runs[id]
	if r == nil {
		return agent.RunInfo{}, fmt.Errorf("run %s: %w", id, agent.ErrNotFound)
	}
	return r.RunInfo, nil
}

// Runs implements agent.Store.
func (m *Memory) Runs(_ context.Context, account common.Address, limit int) ([]agent.RunInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []*memoryRun
	for _, r := range m.runs {
		if account == (common.Address{}) || account == r.Account {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *memoryRun) int { return cmp.Or(cmp.Compare(b.Opened, a.Opened), b.n-a.n) })
	var all []agent.RunInfo
	for _, r := range found[:min(len(found), max(limit, 0))] {
		all = append(all, r.RunInfo)
	}
	return all, nil
}

// Steps implements agent.Store, as [DB.Steps] does.
func (m *Memory) Steps(_ context.Context, run provenance.Link, from uint64, limit int) ([]provenance.Block, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.runs[run]
	if r == nil {
		return nil, fmt.Errorf("steps of run %s: %w", run, agent.ErrNotFound)
	}
	var blocks []provenance.Block
	for _, c := range r.steps[min(from, r.Steps):] {
		if len(blocks) >= limit {
			break
		}
		b := provenance.Block{CID: c, Data: m.blocks[c]}
		if err := checkRead(b.CID, b.Data); err != nil {
			return nil, fmt.Errorf("steps of run %s: %w", run, err)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// Unfinished implements agent.Store.
func (m *Memory) Unfinished(context.Context) ([]provenance.Link, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var found []*memoryRun
	for _, r := range m.runs {
		if !r.over {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *memoryRun) int { return cmp.Or(cmp.Compare(a.Opened, b.Opened), a.n-b.n) })
	var all []provenance.Link
	for _, r := range found {
		all = append(all, r.ID)
	}
	return all, nil
}

// ByKey implements agent.Store.
func (m *Memory) ByKey(_ context.Context, session provenance.Link, key string, hash [32]byte) (provenance.Link, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	err := agent.ErrNotFound
	if s := m.sessions[session]; s != nil && s.keys[key] != nil {
		if s.keys[key].hash == hash {
			return s.keys[key].ID, nil
		}
		err = agent.ErrConflict
	}
	return provenance.Link{}, fmt.Errorf("run by idempotency key: %w", err)
}

// Claim implements agent.Store, as [DB.Claim] does.
func (m *Memory) Claim(_ context.Context, run provenance.Link, owner string, until int64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.runs[run], checkName("owner", owner)
	if err == nil && r == nil {
		err = agent.ErrNotFound
	}
	var fence int64
	if err == nil {
		fence, err = nextFence(r.owner, owner, r.until, m.Now().UnixMilli(), int64(r.fence))
	}
	if err != nil {
		return 0, fmt.Errorf("claim run %s: %w", run, err)
	}
	r.owner, r.until, r.fence = owner, until, uint64(fence)
	return r.fence, nil
}

// Ledgers implements agent.Store. At most 1,000 keys.
func (m *Memory) Ledgers(_ context.Context, keys []string) ([]agent.Ledger, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d ledgers at once, more than %d", len(keys), maxKeys)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var ledgers []agent.Ledger
	for _, k := range keys {
		l := m.ledgers[k]
		l.Key = k
		ledgers = append(ledgers, l)
	}
	return ledgers, nil
}

// NextNonce implements agent.Store, as [DB.NextNonce] does.
func (m *Memory) NextNonce(_ context.Context, account string) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.next[account], nil
}

// PutNonce stores data under a nonce, as [DB.PutNonce] does.
func (m *Memory) PutNonce(ctx context.Context, nonce string, data []byte, expires time.Time) error {
	err := cmp.Or(context.Cause(ctx), checkNonce(nonce, data))
	if err == nil {
		err = m.putNonce(nonce, data, expires.UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("put nonce: %w", err)
	}
	return nil
}

func (m *Memory) putNonce(nonce string, data []byte, expires int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.nonces) >= maxNonces {
		old := m.Now().UnixMilli() - nonceKept
		maps.DeleteFunc(m.nonces, func(_ string, n memoryNonce) bool { return n.expires < old })
	}
	_, there := m.nonces[nonce]
	switch {
	case there:
		return errNonceThere
	case len(m.nonces) >= maxNonces:
		return fmt.Errorf("%w: %d sign-ins are waiting; try again later", agent.ErrFull, maxNonces)
	}
	m.nonces[nonce] = memoryNonce{bytes.Clone(data), expires}
	return nil
}

// TakeNonce returns the data of a nonce once, as [DB.TakeNonce] does.
func (m *Memory) TakeNonce(ctx context.Context, nonce string, now time.Time) ([]byte, error) {
	err := context.Cause(ctx)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		n, there := m.nonces[nonce]
		delete(m.nonces, nonce)
		if there && now.UnixMilli() < n.expires {
			return n.data, nil
		}
		err = auth.ErrNonce
	}
	return nil, fmt.Errorf("take nonce: %w", err)
}

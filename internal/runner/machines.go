package runner

import (
	"context"
	"fmt"
	"sync"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// maxMachines bounds the compiled machines that are kept; when there are more, all are dropped and compiled again.
const maxMachines = 1024

// machines compiles the loops of sessions from the records that their runs pin, and keeps them.
type machines struct {
	records *records
	prove   func(...*policies.Set) error // authority.Prove, but for tests
	sets    layer.Sets                   // all sessions have the operator's
	choice  func(route.Need)             // is told of each choice of a model; nil for nobody

	mu       sync.Mutex // guards the rest
	compiled map[machineKey]*loop.Machine
	proven   map[provenance.Link]bool            // policy sets, by the pinned one
	pinned   map[provenance.Link]provenance.Link // the policy sets of sessions
}

// pins are the records that a run names, and so may not be those of today.
type pins struct {
	agent, rules, runtime provenance.Link
	delegation            provenance.Link // of a sub-agent's run, else undefined
}

type machineKey struct {
	session provenance.Link
	pins
}

func newMachines(r *records) *machines {
	return &machines{
		records: r, prove: authority.Prove, compiled: map[machineKey]*loop.Machine{}, proven: map[provenance.Link]bool{},
		pinned: map[provenance.Link]provenance.Link{},
	}
}

// rulesOf returns the policy set that a session is pinned to: the one that its wallet signed.
func (ms *machines) rulesOf(s journal.Session) (provenance.Link, error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if rules, there := ms.pinned[s.ID]; there {
		return rules, nil
	}
	m, err := auth.Parse(s.Message)
	if err != nil {
		return provenance.Link{}, fmt.Errorf("the session's grant: %w", err)
	}
	rules, err := m.Rules()
	if err != nil {
		return provenance.Link{}, fmt.Errorf("the session's grant: %w", err)
	}
	if len(ms.pinned) >= maxMachines {
		clear(ms.pinned)
	}
	ms.pinned[s.ID] = rules
	return rules, nil
}

// machineOf returns the loop of a session with these pins.
func (ms *machines) machineOf(ctx context.Context, s journal.Session, p pins) (*loop.Machine, error) {
	key := machineKey{s.ID, p}
	ms.mu.Lock()
	m := ms.compiled[key]
	ms.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := ms.compileMachine(ctx, s, p)
	if err != nil {
		return nil, err
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if len(ms.compiled) >= maxMachines {
		clear(ms.compiled)
	}
	ms.compiled[key] = m
	return m, nil
}

func (ms *machines) compileMachine(ctx context.Context, s journal.Session, p pins) (*loop.Machine, error) {
	grant, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return nil, fmt.Errorf("the session's grant: %w", err)
	}
	c := loop.Config{
		Session: s.ID, Grant: grant, Sets: &ms.sets, OnChoice: ms.choice,
		Tools: map[provenance.Link]*provenance.ToolDef{}, Books: map[provenance.Link][]byte{},
	}
	for _, read := range []func(context.Context, *loop.Config, pins) error{
		ms.readRuntime, ms.readRules, ms.readAgent, ms.readCallers,
	} {
		if err := read(ctx, &c, p); err != nil {
			return nil, err
		}
	}
	m, err := loop.New(c)
	if err != nil {
		return nil, err
	}
	above := 1 // the sets above the wallet's: the operator's, and a dApp's
	if c.Dapp != nil {
		above++
	}
	return m, ms.proveOnce(p.rules, m.Layers()[:above])
}

func (ms *machines) readRuntime(ctx context.Context, c *loop.Config, p pins) (err error) {
	c.Runtime = new(provenance.Runtime)
	if err := ms.records.readRecord(ctx, p.runtime, c.Runtime); err != nil {
		return err
	}
	if c.Agents, err = auth.Ed25519Key(c.Runtime.Key); err != nil {
		return fmt.Errorf("the runtime's key: %w", err)
	}
	return nil
}

// readRules reads the pinned policy set, the operator's under it if it is a dApp's, and the parts of both.
func (ms *machines) readRules(ctx context.Context, c *loop.Config, p pins) error {
	c.Rules = new(provenance.PolicySet)
	if err := ms.records.readRecord(ctx, p.rules, c.Rules); err != nil {
		return err
	}
	if err := ms.readParts(ctx, c, c.Rules); err != nil || !c.Rules.Under.Defined() {
		return err
	}
	c.Dapp, c.Rules = c.Rules, new(provenance.PolicySet)
	if err := ms.records.readRecord(ctx, c.Dapp.Under, c.Rules); err != nil {
		return err
	}
	return ms.readParts(ctx, c, c.Rules)
}

func (ms *machines) readParts(ctx context.Context, c *loop.Config, set *provenance.PolicySet) (err error) {
	for _, part := range set.Parts {
		if c.Books[part.Data], err = ms.records.store.Block(ctx, part.Data); err != nil {
			return fmt.Errorf("%s of policy set %q: %w", part.Name, set.Name, err)
		}
	}
	return nil
}

func (ms *machines) readAgent(ctx context.Context, c *loop.Config, p pins) (err error) {
	c.Agent = new(provenance.Agent)
	if err := ms.records.readRecord(ctx, p.agent, c.Agent); err != nil {
		return err
	}
	for _, link := range c.Agent.Tools {
		t := new(provenance.ToolDef)
		if err := ms.records.readRecord(ctx, link, t); err != nil {
			return err
		}
		c.Tools[link] = t
		if !t.Book.Defined() {
			continue
		}
		if c.Books[t.Book], err = ms.records.store.Block(ctx, t.Book); err != nil {
			return fmt.Errorf("address book of %s: %w", t.Name, err)
		}
	}
	return nil
}

// readCallers reads the delegations down to a sub-agent's run, and the agents on the way.
func (ms *machines) readCallers(ctx context.Context, c *loop.Config, p pins) (err error) {
	if c.Delegations, err = ms.records.readDelegations(ctx, c.Session, p.delegation); err != nil {
		return err
	}
	for i := range max(len(c.Delegations)-1, 0) {
		caller := new(provenance.Agent)
		if err := ms.records.readRecord(ctx, c.Delegations[i].Agent, caller); err != nil {
			return err
		}
		c.Callers = append(c.Callers, caller)
	}
	return nil
}

// proveOnce proves a set that a session was signed under, once in the life of this process: an older one was proven
// when it was loaded, but maybe by another program. sets are the operator's and, if rules is a dApp's, that one's.
func (ms *machines) proveOnce(rules provenance.Link, sets []*policies.Set) error {
	ms.mu.Lock()
	done := ms.proven[rules]
	ms.mu.Unlock()
	if done {
		return nil
	}
	if err := ms.prove(sets...); err != nil {
		return fmt.Errorf("policy set %s: %w", rules, err)
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if len(ms.proven) >= maxMachines {
		clear(ms.proven)
	}
	ms.proven[rules] = true
	return nil
}

package runner_test

import (
	"context"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A heldModel gives its replies in order, and waits at a gate before the one of a number.
type heldModel struct {
	replies
	g  *gate
	at int
}

func (m heldModel) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	said := 0
	for _, msg := range p.Messages {
		if msg.Role == model.RoleAssistant {
			said++
		}
	}
	if said == m.at {
		if err := m.g.pass(ctx, "model"); err != nil {
			return model.Reply{}, err
		}
	}
	return m.replies.Reply(ctx, p)
}

// heldAt is a bench whose boss has a clerk have the payer pay, which stops before a reply of its model.
func heldAt(t *testing.T, at int, change func(*runner.Config)) (*bench, *gate) {
	g := newGate("model")
	return openWith(t, cast{
		"boss":  replies{ask("agent.clerk"), text("that was it")},
		"clerk": replies{ask("agent.payer"), text("the payer is done")},
		"payer": heldModel{replies{calls(call("1", "bank.pay", pay1)), text("paid")}, g, at},
	}, func(c *runner.Config) {
		c.Agents[0].Limits.Turns = 16
		withDelegates(c, "boss", "clerk")
		for i := range c.Agents {
			c.Agents[i].Limits.Turns = 16
		}
		change(c)
	}), g
}

// outcomeOf returns what the call of a sub-agent came to, as its caller was told.
func (b *bench) outcomeOf(run provenance.Link) string {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 100)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range views {
		if r, ok := v.Step.Event.(*provenance.Result); ok && r.Child.Defined() {
			out, _ := r.Output.Bytes()
			return string(out)
		}
	}
	b.Fatalf("run %s was told nothing of another", run)
	return ""
}

// What the user takes back is taken back for the agents that were called by then, and for those that they have called:
// from the moment that the text is taken none of them pays. What was paid before is told. What is understood, and so
// takes nothing back, stops nobody.
func TestAStopReachesEveryAgentBelow(t *testing.T) {
	short := func(c *runner.Config) {
		c.Policy.Source = append(c.Policy.Source, `  - {id: short, at: input, effect: forbid, when: 'size > 24'}`+"\n"...)
	}
	for name, tt := range map[string]struct {
		at     int // the reply of the payer's model that is still to come: the payment, or what is said after it
		text   string
		change func(*runner.Config)
		paid   int64
		ended  string // of the agents below
	}{
		"before":              {0, "Stop. Do not send it.", nil, 0, provenance.CloseRevoked},
		"in another language": {0, "não", nil, 0, provenance.CloseRevoked},
		"not let in":          {0, "Stop. Do not send it, whatever happens.", short, 0, provenance.CloseRevoked},
		"after":               {1, "Stop. Do not send it.", nil, 1, provenance.CloseRevoked},
		"understood":          {0, "read https://shop.example/offer", nil, 1, provenance.CloseAnswered},
	} {
		t.Run(name, func(t *testing.T) {
			b, g := heldAt(t, tt.at, func(c *runner.Config) {
				if tt.change != nil {
					tt.change(c)
				}
			})
			run := b.startAs("boss", "pay bob")
			<-g.came
			if _, err := b.r.Send(t.Context(), b.send(t, run, tt.text, "key-send-0", nil)); err != nil {
				t.Fatal(err)
			}
			close(g.opened)
			b.ended(run)
			clerk := b.childOf(run)
			payer := b.childOf(clerk.ID)
			for _, below := range []provenance.Link{clerk.ID, payer.ID} {
				if s := b.ended(below).Status; s != tt.ended && tt.paid == 0 { // who is done already may have answered before
					t.Errorf("an agent below ended as %q: %s", s, b.said(below))
				}
			}
			if n := b.paid.Load(); n != tt.paid {
				t.Errorf("%d payments, want %d", n, tt.paid)
			}
			for _, of := range []provenance.Link{run, clerk.ID} {
				out := b.outcomeOf(of)
				if told := strings.Contains(out, `"units":"1000000"`); told != (tt.paid > 0) {
					t.Errorf("told that it was paid: %v, of %d payments: %s", told, tt.paid, out)
				}
			}
			for _, id := range b.all() {
				b.verified(id)
			}
		})
	}
}

// The permission below ends in the very step in which the text is taken: a process that dies right after it, before
// anybody below was told, pays nothing when it comes back. Nor does what was below a run that was cancelled.
func TestAStopReachesEveryAgentBelowThoughTheProcessDies(t *testing.T) {
	for name, stop := range map[string]func(*testing.T, *bench, provenance.Link) error{
		"a stop": func(t *testing.T, b *bench, run provenance.Link) error {
			_, err := b.r.Send(t.Context(), b.send(t, run, "Stop. Do not send it.", "key-send-0", nil))
			return err
		},
		"a cancel": func(t *testing.T, b *bench, run provenance.Link) error { return b.r.Cancel(t.Context(), run) },
	} {
		t.Run(name, func(t *testing.T) {
			var f *failing
			b, g := heldAt(t, 0, func(c *runner.Config) {
				f = &failing{Store: c.Store}
				c.Store = f
			})
			run := b.startAs("boss", "pay bob")
			<-g.came
			f.at.Store(f.n.Load() + 1) // the next write is made, and is the last of this process
			if err := stop(t, b, run); err == nil {
				t.Fatal("the process goes on")
			}
			close(g.opened)
			b.r.Close()
			f.at.Store(0)
			b.restart()
			b.ended(run)
			clerk := b.childOf(run)
			b.ended(clerk.ID)
			b.ended(b.childOf(clerk.ID).ID)
			if n := b.paid.Load(); n != 0 {
				t.Errorf("%d payments", n)
			}
			for _, id := range b.all() {
				b.verified(id)
			}
		})
	}
}

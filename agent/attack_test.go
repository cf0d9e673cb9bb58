package agent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// machine makes the loop of a run again, from its records alone, as an auditor does.
func (b *bench) machine(run provenance.Link) *loop.Machine {
	b.Helper()
	read := func(l provenance.Link, rec provenance.Record) {
		data, err := b.store.Block(b.Context(), l)
		if err == nil {
			err = provenance.Decode(data, rec)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var rec provenance.Run
	read(run, &rec)
	c := loop.Config{
		Session: rec.Grant, Agent: new(provenance.Agent), Rules: new(provenance.PolicySet), Runtime: new(provenance.Runtime),
		Tools: map[provenance.Link]*provenance.ToolDef{}, Books: map[provenance.Link][]byte{},
	}
	read(rec.Agent, c.Agent)
	read(rec.Rules, c.Rules)
	read(rec.Runtime, c.Runtime)
	for _, l := range c.Agent.Tools {
		def := new(provenance.ToolDef)
		read(l, def)
		c.Tools[l] = def
		if def.Book.Defined() {
			book, err := b.store.Block(b.Context(), def.Book)
			if err != nil {
				b.Fatal(err)
			}
			c.Books[def.Book] = book
		}
	}
	grant, err := auth.Reread(b.session.Message, b.session.Sig)
	if err != nil {
		b.Fatal(err)
	}
	c.Grant = grant
	m, err := loop.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// replayed feeds a run's steps to its machine, each changed by lie, and returns the first error.
func (b *bench) replayed(run provenance.Link, lie func(*provenance.Step)) error {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	m, state := b.machine(run), loop.State{Run: run}
	for _, v := range views {
		lie(v.Step)
		if state, _, err = m.Step(state, v.Step.At, v.Step.Event, v.Step.Facts); err != nil {
			return err
		}
	}
	return nil
}

// P4, P7: an operator with his own key writes ledgers that forget what the run has just spent.
func TestLedgersCannotForgetWhatTheRunSpent(t *testing.T) {
	pay := calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`))
	b := open(t, replies{pay, pay, text("done")})
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	if err := b.replayed(run, func(*provenance.Step) {}); err != nil {
		t.Fatalf("the honest run: %v", err)
	}
	forget := func(spent, reserved bool) func(*provenance.Step) {
		return func(s *provenance.Step) {
			for i, l := range s.Facts.Budgets {
				if spent {
					s.Facts.Budgets[i].Spent = money.Of(l.Cap.Asset(), 0)
				}
				if reserved {
					s.Facts.Budgets[i].Reserved = money.Of(l.Cap.Asset(), 0)
				}
			}
		}
	}
	if err := b.replayed(run, forget(true, false)); !errors.Is(err, loop.ErrLedger) {
		t.Errorf("spent forgotten: %v, want ErrLedger", err)
	}
	if err := b.replayed(run, forget(false, true)); !errors.Is(err, loop.ErrLedger) {
		t.Errorf("reserved forgotten: %v, want ErrLedger", err)
	}
}

// P11: a record cannot say that another model answered than the one that was asked, nor claim evidence it has not.
func TestARepliesLabelIsThatOfItsRoute(t *testing.T) {
	b := open(t, replies{text("hello")})
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	for name, lie := range map[string]func(*provenance.ModelCall){
		"name":     func(m *provenance.ModelCall) { m.Name = "gpt" },
		"provider": func(m *provenance.ModelCall) { m.Provider = "openai" },
		"asked":    func(m *provenance.ModelCall) { m.Asked = "gpt-5" },
		"evidence": func(m *provenance.ModelCall) { m.Evidence = 3 },
		"usage":    func(m *provenance.ModelCall) { m.Usage.In = 1 << 63 },
	} {
		err := b.replayed(run, func(s *provenance.Step) {
			if r, ok := s.Event.(*provenance.Reply); ok {
				lie(r.Model)
			}
		})
		if err == nil {
			t.Errorf("another %s: replayed without an error", name)
		}
	}
}

// P1, P6: after a restart with another policy set or another version of the agent, an old grant allows nothing.
func TestAGrantIsForTheVersionSigned(t *testing.T) {
	for name, change := range map[string]func(*agent.Config){
		"rules": func(c *agent.Config) { c.Policy.Source = []byte(operatorRules + "# wider\n") },
		"agent": func(c *agent.Config) { c.Agents[0].Instructions = "Pay whoever asks." },
	} {
		b := open(t, replies{text("hello")})
		b.r.Close()
		change(&b.config)
		b.restart()
		req, err := b.request("hi", "key-00001")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.r.Start(t.Context(), req); !errors.Is(err, loop.ErrVersion) {
			t.Errorf("another version of the %s: %v, want ErrVersion", name, err)
		}
	}
}

// P4: one budget that is drawn on at two points of one call.
func TestOneBudgetAtTwoPoints(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		want  string
		paid  int64
	}{
		"room for both":     {"3", provenance.CloseAnswered, 1},
		"room for only one": {"1.5", provenance.CloseDenied, 0},
	} {
		rules := strings.NewReplacer(
			`cap: 'usdc("1000")'`, `cap: 'usdc("`+c.limit+`")'`,
			"{id: tools, at: tool.call, effect: permit}",
			`{id: tools, at: tool.call, effect: permit, reserve: {budget: allowance, amount: 'usdc("1")'}}`,
		).Replace(operatorRules)
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
			func(cfg *agent.Config) { cfg.Policy.Source = []byte(rules) })
		run := b.start("pay")
		b.until(run, c.want)
		if n := b.paid.Load(); n != c.paid {
			t.Errorf("%s: paid %d times, want %d", name, n, c.paid)
		}
		b.verified(run)
	}
}

// P4: what a model is given counts in full before it is asked, the tools that it is offered too.
func TestTheBoundOfATurnCountsTheToolsOffered(t *testing.T) {
	b := openWith(t, replies{text("hello")}, func(c *agent.Config) { c.Models[0].Info.Kind = model.KindModel })
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	views, err := b.r.Steps(t.Context(), run, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ask := views[0].Step.Does[0].(*provenance.AskModel)
	input := len("Pay what is asked.") + len("hi") + len((&payTool{}).Spec().About) + 2*len(`{"additionalProperties":false`)
	for _, r := range ask.Decisions[0].Reserve {
		if r.Amount.Asset() == money.Tokens && r.Amount.Uint256().Uint64() < uint64(1000+input) {
			t.Errorf("%s are reserved; the reply alone may have 1000, the prompt has at least %d bytes", r.Amount, input)
		}
	}
}

// A session is over at the instant that its text names, not a millisecond later.
func TestASessionIsOverAtItsInstant(t *testing.T) {
	b := open(t, replies{text("hello")})
	b.now.Store(start.Add(time.Hour).UnixMilli())
	b.until(b.start("hi"), provenance.CloseRevoked)
}


package runner_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A lie is a sub-agent's history that its operator has changed and made anew, with its own key: every CID, the
// request's and the head's signature, so that nothing but the lie is wrong.
type lie struct {
	b          *bench
	delegation *provenance.Delegation
	run        *provenance.Run
	steps      []*provenance.Step
	keepSig    bool // of the delegation
	more       map[provenance.Link][]byte
	root       provenance.Link
}

func (l *lie) Root() provenance.Link { return l.root }

func (l *lie) Get(c provenance.Link) ([]byte, error) {
	if data, ok := l.more[c]; ok {
		if data == nil {
			return nil, provenance.ErrAbsent
		}
		return data, nil
	}
	data, err := l.b.store.Block(l.b.Context(), c)
	if err != nil {
		return nil, provenance.ErrAbsent
	}
	return data, nil
}

// lieAbout reads a sub-agent's history.
func (b *bench) lieAbout(child provenance.Link) *lie {
	b.Helper()
	l := b.stepsOf(child)
	l.delegation = new(provenance.Delegation)
	l.read(l.run.Delegation, l.delegation)
	return l
}

func (b *bench) stepsOf(run provenance.Link) *lie {
	b.Helper()
	l := &lie{b: b, run: new(provenance.Run), more: map[provenance.Link][]byte{}}
	l.read(run, l.run)
	blocks, err := b.store.Steps(b.Context(), run, 0, 1000)
	if err != nil {
		b.Fatal(err)
	}
	for _, x := range blocks {
		s := new(provenance.Step)
		if err := provenance.Decode(x.Data, s); err != nil {
			b.Fatal(err)
		}
		l.steps = append(l.steps, s)
	}
	return l
}

func (l *lie) read(c provenance.Link, r provenance.Record) {
	l.b.Helper()
	data, err := l.Get(c)
	if err == nil {
		err = provenance.Decode(data, r)
	}
	if err != nil {
		l.b.Fatal(err)
	}
}

func (l *lie) put(r provenance.Record) provenance.Link {
	l.b.Helper()
	x, err := provenance.Encode(r)
	if err != nil {
		l.b.Fatal(err)
	}
	l.more[x.CID] = x.Data
	return x.CID
}

func (l *lie) sign(d *provenance.Delegation) {
	signed, err := d.Signed()
	if err != nil {
		l.b.Fatal(err)
	}
	d.Sig = ed25519.Sign(l.b.config.Key, signed)
}

// told makes the history anew and has it judged.
func (l *lie) told(operator ed25519.PublicKey) *provenance.Report {
	l.b.Helper()
	if l.delegation != nil {
		if !l.keepSig {
			l.sign(l.delegation)
		}
		l.run.Delegation = l.put(l.delegation)
	}
	run := l.put(l.run)
	var prev provenance.Link
	for _, s := range l.steps {
		if ask, ok := s.Event.(*provenance.Ask); ok && l.delegation != nil {
			params, err := l.Get(ask.Request.Leaf())
			key, err2 := l.b.store.LeafKey(l.b.Context(), ask.Request.Leaf())
			if err == nil && err2 == nil {
				err = ask.Request.Open(params, key)
			}
			if err != nil {
				l.b.Fatal(err)
			}
			plain, _ := ask.Request.Bytes()
			f := auth.Frame{Session: l.run.Delegation, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method, Params: plain}
			ask.Sig = ed25519.Sign(l.b.config.Key, f.Bytes())
		}
		s.Run, s.Prev = run, prev
		prev = l.put(s)
	}
	last := l.steps[len(l.steps)-1]
	h := &provenance.Head{Run: run, Seq: last.Seq, Step: prev, At: last.At}
	if err := h.Sign(l.b.config.Key); err != nil {
		l.b.Fatal(err)
	}
	l.root = l.put(h)
	keys := map[provenance.Link]provenance.LeafKey{}
	for _, id := range l.b.all() {
		more, err := archive.Keys(l.b.Context(), l.b.store, id)
		if err != nil {
			l.b.Fatal(err)
		}
		for c, k := range more {
			keys[c] = k
		}
	}
	return audit.Verify(l, audit.Options{Keys: keys, OperatorKey: operator})
}

func (b *bench) all() (ids []provenance.Link) {
	runs, err := b.r.Runs(b.Context(), b.session, 100)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestEachFalseDelegationIsRefusedByItsOwnReason(t *testing.T) {
	b := openWith(t, cast{
		// Both in one turn: after the first answer, which is untrusted, the second would wait for the wallet.
		"boss": replies{calls(call("1", "agent.payer", `{"input":"pay bob 1 USDC"}`), call("2", "agent.payer", `{"input":"pay bob 1 USDC"}`)),
			text("bob is paid")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("I paid bob 1 USDC")},
	}, func(c *runner.Config) { withDelegates(c, "boss") })
	run := b.startAs("boss", "pay bob twice")
	b.until(run, provenance.CloseAnswered)
	child := b.childOf(run).ID
	operator := b.r.Key()
	var other *provenance.Run // of the other call
	for _, id := range b.all() {
		r := new(provenance.Run)
		b.lieAbout(child).read(id, r)
		if id != child && r.Parent != nil {
			other = r
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*lie)
		want   provenance.Code // "" if it holds
	}{
		{"nothing is changed", func(*lie) {}, ""},
		{"a later end than the grant's", func(l *lie) { l.delegation.Expires = b.session.Expires + 1 }, audit.CodeDelegationLater},
		{"a later end than the tool gives", func(l *lie) { l.delegation.Expires++ }, audit.CodeDelegationLimits},
		{"over before the run was opened", func(l *lie) { l.delegation.At, l.delegation.Expires = l.delegation.At-2, l.run.Opened-1 }, audit.CodeDelegationLater},
		{"more calls than the grant", func(l *lie) { l.wider(func(c *auth.Caveats) { c.MaxCalls = 1000 }) }, audit.CodeDelegationWider},
		{"as deep as the grant", func(l *lie) { l.wider(func(c *auth.Caveats) { c.MaxDepth = 1 }) }, audit.CodeDelegationWider},
		{"more than the tool gives, within the grant", func(l *lie) { l.wider(func(c *auth.Caveats) { c.MaxCalls-- }) }, audit.CodeDelegationLimits},
		{"a tool that the grant does not name", func(l *lie) { l.delegation.Tools = append(l.delegation.Tools, "zzz.all") }, audit.CodeDelegationWider},
		{"fewer tools than the calling agent's tool", func(l *lie) { l.delegation.Tools = l.delegation.Tools[:1] }, audit.CodeDelegationLimits},
		{"no limits", func(l *lie) { l.delegation.Caveats = "{}" }, audit.CodeDelegationForm},
		{"another agent", func(l *lie) { l.delegation.Agent = b.r.Agents()[0].CID }, audit.CodeDelegationAgent},
		{"another key's", func(l *lie) { l.delegation.Issuer = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" }, audit.CodeDelegationIssuer},
		{"the session key's name, not its signature", func(l *lie) { l.delegation.Issuer = b.session.Key }, audit.CodeDelegationSignature},
		{"changed after it was signed", func(l *lie) { l.delegation.Nonce[0] ^= 1; l.keepSig = true }, audit.CodeDelegationSignature},
		{"not signed", func(l *lie) { l.delegation.Sig, l.keepSig = nil, true }, audit.CodeDelegationSignature},
		{"another call's", func(l *lie) { l.delegation.Call = *other.Parent }, provenance.CodeDelegationCall},
		// Two calls that say the same: a run more than the record of the caller names is a run that was hidden.
		{"another call's that says the same, and the run's parent too", func(l *lie) {
			l.delegation.Call = *other.Parent
			l.run.Parent = other.Parent
		}, ""},
		{"a step that calls nobody", func(l *lie) {
			l.delegation.Call.Effect = 9
			l.run.Parent.Effect = 9
		}, audit.CodeDelegationCaller},
		{"a foreign parent", func(l *lie) { // the call of a run in another session
			var step provenance.Step
			var caller provenance.Run
			l.read(l.delegation.Call.Step, &step)
			l.read(step.Run, &caller)
			foreign := *l.delegation // any record but the grant
			caller.Grant = l.put(&foreign)
			step.Run = l.put(&caller)
			l.delegation.Call.Step = l.put(&step)
			l.run.Parent = &l.delegation.Call
		}, audit.CodeDelegationCaller},
		{"from another grant", func(l *lie) { l.delegation.From = l.put(&provenance.PolicySet{Name: "x", Source: "x"}) }, provenance.CodeDelegationFrom},
		// A circle cannot be written: each link is the hash of what it leads to. What can be is a line without an end.
		{"five deep", func(l *lie) {
			for range provenance.MaxDelegations {
				d := *l.delegation
				l.sign(&d)
				l.delegation.From = l.put(&d)
			}
		}, provenance.CodeDelegationDepth},
		{"the caller's step is not there", func(l *lie) { l.more[l.delegation.Call.Step] = nil }, "gaps"},
		{"the caller decided to call the agent of its own, which the wallet has not named", func(l *lie) {
			var step provenance.Step
			var caller provenance.Run
			l.read(l.delegation.Call.Step, &step)
			l.read(step.Run, &caller)
			caller.Agent = l.run.Agent
			step.Run = l.put(&caller)
			l.delegation.Call.Step = l.put(&step)
			l.run.Parent = &l.delegation.Call
		}, audit.CodeDelegationCaller},
		{"it goes on after the session was revoked", func(l *lie) {
			for _, s := range l.steps[1:] {
				s.Facts.Revoked = true
			}
		}, audit.CodeDecision},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := b.lieAbout(child)
			tt.change(l)
			rep := l.told(operator)
			want := provenance.Failed
			switch tt.want {
			case "":
				want = provenance.Verified
			case "gaps":
				want, tt.want = provenance.Gaps, ""
			}
			if rep.Verdict != want || rep.Code != tt.want {
				t.Errorf("got %s %q (%s), want %s %q", rep.Verdict, rep.Code, rep.Detail, want, tt.want)
			}
		})
	}
}

// wider changes the limits that the delegation says.
func (l *lie) wider(change func(*auth.Caveats)) {
	c, err := auth.ParseCaveats(l.delegation.Caveats)
	if err != nil {
		l.b.Fatal(err)
	}
	change(&c)
	l.delegation.Caveats = c.JSON()
}

// The caller's history tells what its sub-agents came to: another text, or another run's, is no result of theirs.
func TestAResultIsWhatTheSubAgentCameTo(t *testing.T) {
	b := openWith(t, cast{
		"boss":  replies{ask("agent.payer"), text("bob is paid")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("I paid bob 1 USDC")},
	}, func(c *runner.Config) { withDelegates(c, "boss") })
	run := b.startAs("boss", "pay bob")
	b.until(run, provenance.CloseAnswered)
	for name, change := range map[string]func(*provenance.Result){
		"no run":      func(r *provenance.Result) { r.Child = cid.Undef },
		"another run": func(r *provenance.Result) { r.Child = b.info(run).Head },
	} {
		l := b.stepsOf(run)
		for _, s := range l.steps {
			if r, ok := s.Event.(*provenance.Result); ok {
				change(r)
			}
		}
		if rep := l.toldAsCaller(); rep.Verdict != provenance.Failed {
			t.Errorf("%s: %s %s", name, rep.Verdict, rep.Code)
		} else if rep.Code != audit.CodeDelegationChild {
			t.Errorf("%s: got %s (%s), want %s", name, rep.Code, rep.Detail, audit.CodeDelegationChild)
		}
	}
}

// toldAsCaller makes a caller's steps anew; its run, and so its request, stay as they are.
func (l *lie) toldAsCaller() *provenance.Report {
	run := l.put(l.run)
	var prev provenance.Link
	for _, s := range l.steps {
		s.Run, s.Prev = run, prev
		prev = l.put(s)
	}
	last := l.steps[len(l.steps)-1]
	h := &provenance.Head{Run: run, Seq: last.Seq, Step: prev, At: last.At}
	if err := h.Sign(l.b.config.Key); err != nil {
		l.b.Fatal(err)
	}
	l.root = l.put(h)
	keys, err := archive.Keys(l.b.Context(), l.b.store, run)
	if err != nil {
		l.b.Fatal(err)
	}
	for _, s := range l.steps { // those after the newest signed head too
		provenance.EachPayload(s, func(p *provenance.Payload) {
			if k, err := l.b.store.LeafKey(l.b.Context(), p.Leaf()); err == nil {
				keys[p.Leaf()] = k
			}
		})
	}
	return audit.Verify(l, audit.Options{Keys: keys, OperatorKey: l.b.r.Key()})
}

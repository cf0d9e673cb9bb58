package server

import (
	"encoding/json"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// An API key, and any session with fewer tools than its agent has, reaches what it has opened itself and nothing else of
// its wallet. The wallet's ordinary session reaches all of it.
func TestAKeyReachesOnlyItsOwn(t *testing.T) {
	for name, with := range map[string]struct {
		tools  []string
		device string
	}{
		"an API key":       {nil, wire.KeyDevice},
		"a narrow session": {[]string{"erc20.balance"}, ""},
	} {
		t.Run(name, func(t *testing.T) { triesToReach(t, with.tools, with.device) })
	}
}

func triesToReach(t *testing.T, tools []string, device string) {
	f := serve(t, Limits{}, nil)
	owner := f.connect().signIn(wallet(1))
	key := f.connect()
	a := key.call(wire.SessionAsk, wire.ChallengeParams{
		Account: wallet(1).Address().Hex(), Chain: 1337, Key: key.key.Public().String(), Agent: "reader", Tools: tools,
	})
	var ch wire.Challenge
	if err := json.Unmarshal(a.Result, &ch); err != nil {
		t.Fatalf("challenge: %v %+v", err, a.Error)
	}
	open := signed(t, wallet(1), ch.Message)
	open.Device = device
	var s wire.Session
	if a := key.act(wire.SessionOpen, open); a.Error != nil || json.Unmarshal(a.Result, &s) != nil {
		t.Fatalf("open: %+v", a.Error)
	}
	key.session = cid.MustParse(s.ID)
	theirs := startedBy(t, f, owner, "key-00001")
	f.pending = []runner.PendingApproval{{Run: cid.MustParse(theirs), Effect: provenance.Ref{Seq: 2}}}

	run := wire.RunParams{Run: theirs}
	thread := wire.ForgetParams{Agent: "reader", Name: "plans"}
	for _, tt := range []struct {
		method string
		params any
		signed bool
		want   wire.Code
	}{
		{wire.RunGet, run, false, wire.CodeNotFound},
		{wire.RunCancel, run, true, wire.CodeNotFound},
		{wire.RunSubscribe, run, false, wire.CodeNotFound},
		{wire.RunList, wire.ListParams{Before: theirs}, false, wire.CodeNotFound},
		{wire.ToolSent, wire.ReportParams{Run: theirs, Effect: wire.Ref{Seq: 2}, Output: "x"}, true, wire.CodeNotFound},
		{wire.ApprovalDecide, wire.DecideParams{Run: theirs, Effect: wire.Ref{Seq: 2}, Key: "key-00003"}, true, wire.CodeNotFound},
		{wire.ProvenanceFetch, wire.ProvenanceParams{Run: theirs, Keys: true}, false, wire.CodeForbidden},
		{wire.SessionRevoke, wire.RevokeParams{Session: owner.session.String()}, true, wire.CodeNotFound},
		{wire.ThreadGet, wire.ThreadParams{Agent: "reader", Name: "plans"}, false, wire.CodeForbidden},
		{wire.ThreadRename, wire.RenameParams{Agent: "reader", Name: "plans", To: "mine"}, true, wire.CodeForbidden},
		{wire.ThreadDelete, thread, true, wire.CodeForbidden},
		{wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00004", Thread: "plans"}, true, wire.CodeForbidden},
		{wire.RunFork, wire.ForkParams{
			Agent: "reader", Input: "what was said?", Key: "key-00006", Step: f.runs[cid.MustParse(theirs)].steps[0].CID.String(),
		}, true, wire.CodeNotFound},
		{wire.UsageGet, wire.UsageParams{}, false, wire.CodeForbidden},
	} {
		ask := key.call
		if tt.signed {
			ask = key.act
		}
		if a := ask(tt.method, tt.params); a.code() != tt.want {
			t.Errorf("%s: got %s %+v, want %s", tt.method, a.Result, a.Error, tt.want)
		}
	}

	for method, list := range map[string]string{
		wire.RunList: "runs", wire.ApprovalList: "approvals", wire.ThreadList: "threads", wire.SessionList: "sessions",
	} {
		want := map[string]int{wire.SessionList: 1}[method] // itself
		if got := membersOf(t, key.call(method, wire.None{}), list); got != want {
			t.Errorf("%s of the key has %d, want %d", method, got, want)
		}
	}
	if got := membersOf(t, owner.call(wire.SessionList, wire.None{}), "sessions"); got != 2 {
		t.Errorf("the wallet sees %d sessions, want 2", got)
	}
	f.pending = nil
	own := startedBy(t, f, key, "key-00005")
	for _, r := range []*raw{owner, key} {
		if a := r.call(wire.RunGet, wire.RunParams{Run: own}); a.Error != nil {
			t.Errorf("the key's own run: %+v", a.Error)
		}
	}
	if a := owner.act(wire.SessionRevoke, wire.RevokeParams{Session: key.session.String()}); a.Error != nil {
		t.Errorf("the wallet revokes the key: %+v", a.Error)
	}
}

// startedBy starts a run that has a head.
func startedBy(t *testing.T, f *fixture, r *raw, key string) string {
	t.Helper()
	var started wire.Started
	a := r.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: key})
	if err := json.Unmarshal(a.Result, &started); err != nil || a.Error != nil {
		t.Fatalf("start: %v %+v", err, a.Error)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[cid.MustParse(started.Run)].info.Head = link("head")
	return started.Run
}

// membersOf counts what a list has.
func membersOf(t *testing.T, a reply, list string) int {
	t.Helper()
	var out map[string]json.RawMessage
	var all []json.RawMessage
	if a.Error != nil || json.Unmarshal(a.Result, &out) != nil || json.Unmarshal(out[list], &all) != nil {
		t.Fatalf("%s: %s %+v", list, a.Result, a.Error)
	}
	return len(all)
}

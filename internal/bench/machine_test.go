package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

type words struct {
	Text string `json:"text"`
}

// script is a model that calls one tool and then answers.
type script struct{}

func (script) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if p.Messages[len(p.Messages)-1].Role == model.RoleTool {
		return model.Reply{Stop: model.StopEnd, Text: "it said hi"}, nil
	}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{{ID: "1", Tool: "echo.say", Args: []byte(`{"text":"hi"}`)}}}, nil
}

const permitReads = `schema: writ/policies/1
name: bench
rules:
  - {id: reads, at: tool.call, effect: permit, when: 'class == "read"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// recorded runs an agent once and returns what an auditor would feed to the loop: a machine and the steps.
func recorded(t *testing.B) (*loop.Machine, provenance.Link, []*provenance.Step) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	chance := rand.NewChaCha8([32]byte{1})
	public, operator, err := ed25519.GenerateKey(chance)
	check(err)
	mem := storetest.Memory(t)
	r, err := runner.New(t.Context(), runner.Config{
		Store: mem, Key: operator, Policy: runner.Policy{Name: "bench", Source: []byte(permitReads)},
		Agents: []agentfile.Definition{{
			Name: "echo", Instructions: "Repeat.", Tools: []string{"echo.say"}, Routes: []agentfile.Route{{ID: "only", Use: "script"}},
			Grant: auth.Caveats{MaxCalls: 10, MaxTokens: 10_000, MaxCostNanoUSD: 1000, Chains: []uint64{1}},
		}},
		Tools: []tools.Tool{agent.Func("echo.say", "Says it again.", agent.Read,
			func(_ context.Context, w words) (words, error) { return w, nil })},
		Models: []runner.NamedModel{{Model: script{}, Info: model.Info{
			Name: "script", Kind: model.KindScripted, Provider: "bench", Model: "script/1", MaxTokens: 1000}}},
	})
	check(err)
	defer r.Close()

	wallet, err := auth.NewWallet(chance)
	check(err)
	key, err := auth.Generate(auth.Ed25519, chance)
	check(err)
	info, now := r.Agents()[0], time.Now().UTC().Truncate(time.Second)
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "localhost", Account: wallet.Address(), Chain: 1, Key: key.Public(),
		Nonce: "abcdefgh12345678", RequestID: "bench", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: info.Defaults, Issued: now, Expires: now.Add(time.Hour),
	})
	check(err)
	sig, err := wallet.SignText(raw)
	check(err)
	grant, err := auth.Reread(raw, sig)
	check(err)
	session, err := r.OpenSession(t.Context(), grant)
	check(err)

	q := runner.StartRequest{Session: session, Agent: "echo", Input: "echo hi", Key: "0123456789abcdef"}
	params, err := json.Marshal(wire.StartParams{Agent: q.Agent, Input: q.Input, Key: q.Key})
	check(err)
	q.Frame = auth.Frame{Session: session.ID, Seq: 1, Method: wire.RunStart, Params: params}
	q.Sig, err = key.SignFrame(q.Frame)
	check(err)
	started, err := r.Start(t.Context(), q)
	check(err)
	told, hints, _, stop := r.Follow(started.ID)
	defer stop()
	for { // it may have ended before anybody listened, so it is read before it is waited for
		run, err := r.Run(t.Context(), started.ID)
		check(err)
		if run.Status != "running" {
			break
		}
		select {
		case <-told:
		case <-hints:
		case <-t.Context().Done():
		}
	}

	var car bytes.Buffer
	_, err = archive.Export(t.Context(), mem, &car, started.ID)
	check(err)
	keys, err := r.Keys(t.Context(), started.ID)
	check(err)
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	check(err)
	rep, ev := provenance.Verify(src, provenance.Options{OperatorKey: public, Keys: keys})
	if ev == nil {
		t.Fatalf("the run does not verify: %+v", rep)
	}
	m, err := loop.New(loop.Config{Session: ev.Run.Grant, Agent: &ev.Agent, Tools: ev.Tools, Books: ev.Books,
		Rules: &ev.Rules, Grant: grant, Runtime: &ev.Runtime})
	check(err)
	var steps []*provenance.Step
	check(ev.Each(func(_ provenance.Link, s *provenance.Step) error {
		steps = append(steps, s)
		return nil
	}))
	return m, ev.RunCID, steps
}

// BenchmarkMachine is the pure loop: the four events of a run with one tool call, every effect decided by the
// operator's rules and the grant's. Nothing is encoded or stored.
func BenchmarkMachine(b *testing.B) {
	m, run, steps := recorded(b)
	if len(steps) != 4 {
		b.Fatalf("got %d steps, want ask, reply, result, reply", len(steps))
	}
	b.ReportAllocs()
	for b.Loop() {
		state := loop.State{Run: run}
		for _, s := range steps {
			next, _, err := m.Step(state, s.At, s.Event, s.Facts)
			if err != nil {
				b.Fatal(err)
			}
			state = next
		}
		if !state.Closed {
			b.Fatal("the run did not end")
		}
	}
}

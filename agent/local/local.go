// Package local runs an agent inside a Go program, with nothing to set up: the journal in memory, a throw-away wallet
// that signs a real grant, and rules in the place of a model unless one is given.
//
// It is the whole runtime, not a lighter one: every call is decided by policy, every step is a record, and
// [Run.Report] checks them as a stranger would. For durable runs, wallets of users and WebSockets use package agent
// with a store, or the writ server.
package local

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/planner"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Tool is a tool of an [Agent]. [Func] makes one of a Go function.
type Tool = tools.Tool

// Func makes a tool of a typed Go function that only reads: its arguments are the fields of In, by their json tags.
// utterances are sentence patterns that mean the tool, such as "weather in {city}", for an agent without a model.
func Func[In, Out any](name, about string, fn func(context.Context, In) (Out, error), utterances ...string) Tool {
	t, err := tools.Func(name, about, tools.Read, fn)
	if err != nil {
		return broken{err}
	}
	return spoken{t, utterances}
}

// broken is a tool that could not be made; running an agent with it reports why.
type broken struct{ err error }

func (b broken) Spec() tools.Spec                                  { return tools.Spec{} }
func (b broken) Call(context.Context, tools.Input) ([]byte, error) { return nil, b.err }

type spoken struct {
	tools.Tool
	utterances []string
}

func (s spoken) Spec() tools.Spec {
	spec := s.Tool.Spec()
	spec.Utterances = append(spec.Utterances, s.utterances...)
	return spec
}

// An Agent is what to run. Everything but Tools has a default.
type Agent struct {
	Instructions string // for a model
	Tools        []Tool
	Model        agent.Model // rules if nil
	Policy       []byte      // the operator's policy set; the built-in read-only rules if nil
	Delegates    []Delegate  // other agents that it may call
}

// A Delegate is an agent that another may call, as the tool "agent." and its name. What it does is within its limits
// and within everything that its caller may.
type Delegate struct {
	Name       string   // lower-case letters, digits and '-'
	About      string   // for the calling agent's model
	Utterances []string // sentence patterns with a slot {input} that mean a call, for an agent without a model
	MaxCalls   uint64   // tool calls in one call of it; 10 if 0
	Agent               // its Policy counts for nothing: there is one operator
}

const readOnly = `schema: writ/policies/1
name: local
rules:
  - {id: reads, at: tool.call, effect: permit, when: 'class == "read"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// A Run is a run that has ended.
type Run struct {
	Text    string          // what was said
	Outcome string          // "answered", "denied", ...
	CID     provenance.Link // of the signed head

	car  []byte
	keys map[provenance.Link]provenance.LeafKey
	key  ed25519.PublicKey
}

// CAR writes the run's record as a CAR file.
func (r *Run) CAR(w io.Writer) error {
	_, err := w.Write(r.car)
	return err
}

// Report checks the run's record as a stranger who has its leaf keys would.
func (r *Run) Report() *provenance.Report {
	src, err := provenance.OpenCAR(bytes.NewReader(r.car), int64(len(r.car)))
	if err != nil {
		return provenance.FailedReport(err)
	}
	return audit.Verify(src, provenance.Options{OperatorKey: r.key, Keys: r.keys})
}

// Ask gives the agent one request and returns when the run has ended.
func (a Agent) Ask(ctx context.Context, input string) (*Run, error) {
	c := agent.Config{Policy: agent.Policy{Name: "local", Source: a.Policy}}
	if a.Policy == nil {
		c.Policy.Source = []byte(readOnly)
	}
	if _, err := a.define(&c, "local", 100); err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an operator key: %w", err)
	}
	mem := store.NewMemory()
	c.Store, c.Key = mem, key
	r, err := agent.New(ctx, c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	id, err := start(ctx, r, input)
	if err != nil {
		return nil, err
	}
	run := &Run{key: public}
	if run.Outcome, err = wait(ctx, r, id); err != nil {
		return nil, err
	}
	if run.Text, err = said(ctx, r, id); err != nil {
		return nil, err
	}
	var car bytes.Buffer
	if run.CID, err = agent.Export(ctx, mem, &car, id); err != nil {
		return nil, err
	}
	run.car = car.Bytes()
	run.keys, err = r.Keys(ctx, id)
	return run, err
}

// define puts an agent first into c, with its tools, its model and the agents that it calls, and returns how many
// levels of them there are.
func (a Agent) define(c *agent.Config, name string, calls uint64) (depth uint64, err error) {
	d := agent.Definition{
		Name: name, Instructions: a.Instructions, Routes: []agent.Route{{ID: "only", Use: name}},
		Grant: auth.Caveats{MaxCalls: calls, MaxTokens: 1_000_000, MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337}},
	}
	if d.Instructions == "" {
		d.Instructions = "Answer with the tools that you have."
	}
	for _, t := range a.Tools {
		if b, bad := t.(broken); bad {
			return 0, b.err
		}
		tool := t.Spec().Name
		d.Tools = append(d.Tools, tool)
		if !slices.ContainsFunc(c.Tools, func(o Tool) bool { return o.Spec().Name == tool }) {
			c.Tools = append(c.Tools, t)
		}
	}
	for _, x := range a.Delegates {
		calls := x.MaxCalls
		if calls == 0 {
			calls = 10
		}
		below, err := x.define(c, x.Name, calls)
		if err != nil {
			return 0, err
		}
		depth = max(depth, below+1)
		d.Delegates = append(d.Delegates, agent.Delegate{Agent: x.Name, About: x.About, Utterances: x.Utterances})
		if a.Policy == nil {
			c.Policy.Source = fmt.Appendf(c.Policy.Source, "  - {id: call_%s, at: tool.call, effect: permit, when: 'tool == %q'}\n",
				strings.ReplaceAll(x.Name, "-", "_"), loop.AgentTool(x.Name, "", nil).Name)
		}
	}
	d.Grant.MaxDepth = depth
	named := agent.NamedModel{Model: a.Model, Info: model.Info{Name: name, Kind: model.KindModel, Provider: "local", Model: name, MaxTokens: 4096}}
	if a.Model == nil {
		p := planner.New()
		named.Model, named.Info = p, p.Info()
		named.Info.Name = name
	}
	c.Models = append(c.Models, named)
	c.Agents = append([]agent.Definition{d}, c.Agents...)
	return depth, nil
}

// start signs in with a wallet made for it, and asks.
func start(ctx context.Context, r *agent.Runner, input string) (provenance.Link, error) {
	fail := func(err error) (provenance.Link, error) { return provenance.Link{}, fmt.Errorf("sign in: %w", err) }
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		return fail(err)
	}
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		return fail(err)
	}
	info := r.Agents()[0]
	now := time.Now().UTC().Truncate(time.Second)
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "localhost", Account: wallet.Address(), Chain: 1337, Key: key.Public(),
		Nonce: rand.Text()[:24], RequestID: "local", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: info.Defaults, Issued: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		return fail(err)
	}
	sig, err := wallet.SignText(raw)
	if err != nil {
		return fail(err)
	}
	grant, err := auth.Reread(raw, sig)
	if err != nil {
		return fail(err)
	}
	session, err := r.OpenSession(ctx, grant)
	if err != nil {
		return fail(err)
	}
	q := agent.StartRequest{Session: session, Agent: info.Name, Input: input, Key: rand.Text()}
	params, err := json.Marshal(wire.StartParams{Agent: q.Agent, Input: q.Input, Key: q.Key})
	if err != nil {
		return fail(err)
	}
	q.Frame = auth.Frame{Session: session.ID, Seq: 1, Method: wire.RunStart, Params: params}
	if q.Sig, err = key.SignFrame(q.Frame); err != nil {
		return fail(err)
	}
	started, err := r.Start(ctx, q)
	return started.ID, err
}

// wait returns how the run ended. A run that waits for a wallet is an error: nobody is there to sign.
func wait(ctx context.Context, r *agent.Runner, run provenance.Link) (string, error) {
	hints, _, stop := r.Watch(run)
	defer stop()
	for {
		info, err := r.Run(ctx, run)
		switch {
		case err != nil:
			return "", err
		case info.Status == "parked":
			return "", errors.New("the run waits for a wallet's approval, and a local run has nobody to ask")
		case info.Status != "running":
			return info.Status, nil
		}
		select {
		case <-hints:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func said(ctx context.Context, r *agent.Runner, run provenance.Link) (string, error) {
	text := ""
	for from := uint64(0); ; from += 256 {
		views, err := r.Steps(ctx, run, from, 256)
		if err != nil {
			return "", err
		}
		for _, v := range views {
			for _, e := range v.Step.Does {
				if s, ok := e.(*provenance.Say); ok {
					b, _ := s.Text.Bytes()
					text += string(b)
				}
			}
		}
		if len(views) < 256 {
			return text, nil
		}
	}
}

package provenance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/policies/money"
)

var (
	usdc = money.Asset{Symbol: "USDC", Decimals: 6}
	wei  = money.Asset{Symbol: "ETH", Decimals: 18}
)

// A history is a run of seven steps: a question, a look, an approved transfer, an answer. Tests change it before it
// is made into blocks.
type history struct {
	tool    *ToolDef
	agent   *Agent
	grant   *Grant
	rules   *PolicySet
	runtime *Runtime
	run     *Run
	steps   []*Step
	head    *Head

	foreign map[int]bool // steps that keep the Run that they have
	blocks  map[Link][]byte
	leaves  []Leaf
	cids    []Link // of the steps
	sealed  map[*Payload]bool
}

func operator() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) }

func operatorKey() ed25519.PublicKey { return operator().Public().(ed25519.PublicKey) }

func text(s string) *Payload { return NewPayload([]byte(s)) }

func newHistory() *history {
	seen := []Decision{{
		Point: "tool.call", Outcome: "permit", Rules: []string{"operator/reads"},
		Reserve: []Reserve{{"operator/calls", money.Of(money.Asset{Symbol: "calls"}, 1)}},
	}}
	asked := []Decision{{Point: "tool.call", Outcome: "approve", Rules: []string{"grant/above"},
		Why: text(`{"atoms":[]}`)}}
	facts := Facts{Budgets: []Budget{
		{"grant/total", money.Of(usdc, 10_000_000), money.Of(usdc, 1), money.Of(usdc, 0)},
		{"operator/day", money.Of(wei, 5_000_000_000_000_000_000), money.Amount{}, money.Amount{}},
	}}
	asks := &AskModel{
		Route: Route{Rule: "default", Kind: "rules", Model: "planner", Considered: []string{"planner"}}, Prompt: sha256.Sum256([]byte("prompt")),
		MaxTokens: 512, Decisions: seen,
	}
	look, send := text(`{"account":"0xa11ce","token":"USDC"}`), text(`{"amount":"5","to":"bob","token":"USDC"}`)
	signed := text(`"0x02f8"`)
	model := func(text *Payload, calls ...ToolAsk) *ModelCall {
		return &ModelCall{
			Name: "planner", Provider: "writ", Asked: "planner/1", Answered: "planner/1", Stop: "tools", Text: text,
			Calls: calls, Usage: Usage{In: 120, Out: 30}, Took: 3,
		}
	}
	h := &history{
		tool: &ToolDef{
			Name: "erc20.transfer", About: "Sends tokens.", Class: "chain", Schema: `{"type":"object"}`,
			Spend: &Spend{"amount", "token", "to"}, Utterances: []string{"send {amount} {token} to {to}"},
		},
		agent: &Agent{
			Name: "treasurer", About: "Holds the purse.", Instructions: "Be careful.",
			Routes: []AgentRoute{{ID: "default", When: "true", Use: "planner"}},
			Limits: Limits{Turns: 8, Calls: 16, Tokens: 100_000, Cost: 1_000_000, Wall: 3_600_000},
		},
		grant: &Grant{Message: text("example.com wants you to sign in"), Sig: text("0123"), Method: "eoa"},
		rules: &PolicySet{Name: "default", Source: "version: 1\n"},
		runtime: &Runtime{Version: "0.1.0", Build: "unknown", Key: operatorKey(),
			Models: []ModelInfo{{Name: "planner", Kind: "rules", Provider: "writ", Model: "planner/1",
				MaxTokens: 4096}}},
		run:  &Run{Opened: 1_000, Nonce: sha256.Sum256([]byte("nonce"))},
		head: &Head{At: 9_000},
		steps: []*Step{
			{At: 1_000, Facts: facts, Event: &Ask{
				Request: text(`{"text":"send 5 USDC to bob"}`), Seq: 3, Method: "run.start", Key: "did:key:z6Mk",
				Sig: bytes.Repeat([]byte{1}, 64),
			}, Does: []Effect{asks}},
			{At: 2_000, Facts: facts, Event: &Reply{Of: Ref{0, 0},
				Model: model(nil, ToolAsk{"c1", "erc20.balance", look}, ToolAsk{"c2", "erc20.transfer", send})},
				Does: []Effect{
					&Call{Of: Ref{1, 0}, Args: look, Class: "read", Phase: PhaseAct, Decisions: seen},
					&Seek{Of: Ref{1, 1}, Summary: text(`{"to":"bob"}`), Until: 600_000, Decisions: asked},
				}},
			{At: 3_000, Event: &Result{Of: Ref{1, 0}, Status: StatusOK, Output: text(`"12.5"`), Took: 4}},
			{At: 4_000, Facts: facts, Event: &Verdict{Of: Ref{1, 1},
				Approval: &Approval{Message: text("{}"), Sig: text("sig"), Method: "eoa"}}, Does: []Effect{
				&Call{Of: Ref{1, 1}, Args: send, Class: "chain", Phase: PhaseSign, Decisions: seen},
			}},
			{At: 5_000, Event: &Result{Of: Ref{3, 0}, Status: StatusOK, Output: signed, Took: 1}, Does: []Effect{
				&Call{Of: Ref{1, 1}, Args: send, Class: "chain", Phase: PhaseSend, Signed: signed, Decisions: seen},
			}},
			{At: 6_000, Event: &Result{Of: Ref{4, 0}, Status: StatusOK, Output: text(`"0xhash"`), Took: 900},
				Does: []Effect{asks}},
			{At: 7_000, Event: &Reply{Of: Ref{5, 0}, Model: model(text("Sent 5 USDC to bob."))}, Does: []Effect{
				&Say{Text: text("Sent 5 USDC to bob.")},
				&Close{Reason: CloseAnswered, Totals: Totals{Turns: 2, Calls: 2, In: 240, Out: 60,
					Spent: []money.Amount{money.Of(usdc, 5_000_000)}}},
			}},
		},
		foreign: map[int]bool{}, blocks: map[Link][]byte{}, sealed: map[*Payload]bool{},
	}
	for i, s := range h.steps {
		s.Seq = uint64(i)
	}
	return h
}

// put makes r a block, with its leaves, and returns its CID.
func (h *history) put(t testing.TB, r Record) Link {
	t.Helper()
	for _, p := range Payloads(r) {
		if h.sealed[p] {
			continue
		}
		plain, _ := p.Bytes()
		key := LeafKey(sha256.Sum256(fmt.Appendf(nil, "key %d %s", len(h.leaves), plain)))
		b, err := p.Seal(key)
		if err != nil {
			t.Fatalf("seal: %v", err)
		}
		h.sealed[p] = true
		h.blocks[b.CID] = b.Data
		h.leaves = append(h.leaves, Leaf{CID: b.CID, Key: key})
	}
	b, err := Encode(r)
	if err != nil {
		t.Fatalf("encode %s: %v", r.versionName(), err)
	}
	h.blocks[b.CID] = b.Data
	return b.CID
}

// link makes everything into blocks and returns the root.
func (h *history) link(t testing.TB) Link {
	t.Helper()
	tool := h.put(t, h.tool)
	h.agent.Tools = []Link{tool}
	h.run.Agent, h.run.Grant = h.put(t, h.agent), h.put(t, h.grant)
	h.run.Rules, h.run.Runtime = h.put(t, h.rules), h.put(t, h.runtime)
	run := h.put(t, h.run)
	var prev Link
	for i, s := range h.steps {
		if !h.foreign[i] {
			s.Run = run
		}
		if s.Prev = prev; s.Seq == 0 {
			s.Prev = cid.Undef
		}
		for _, e := range s.Does {
			if c, is := e.(*Call); is && !c.Tool.Defined() {
				c.Tool = tool
			}
		}
		prev = h.put(t, s)
		h.cids = append(h.cids, prev)
	}
	last := h.steps[len(h.steps)-1]
	if !h.head.Run.Defined() {
		h.head.Run, h.head.Seq = run, last.Seq
	}
	h.head.Step = prev
	if err := h.head.Sign(operator()); err != nil {
		t.Fatalf("sign: %v", err)
	}
	return h.put(t, h.head)
}

// Get makes a history a source.
func (h *history) Get(c Link) ([]byte, error) {
	if b, ok := h.blocks[c]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("block %s: %w", c, ErrAbsent)
}

func (h *history) keys() map[Link]LeafKey {
	keys := map[Link]LeafKey{}
	for _, l := range h.leaves {
		keys[l.CID] = l.Key
	}
	return keys
}

// car exports the history.
func (h *history) car(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := Export(&file, h.link(t), h.Get); err != nil {
		t.Fatalf("export: %v", err)
	}
	return file.Bytes()
}

func verifyCAR(file []byte, o Options) (*Report, *Evidence) {
	c, err := OpenCAR(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return FailedReport(err), nil
	}
	return Verify(c, o)
}

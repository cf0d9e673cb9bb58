package tamper

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/tamper/ledger"
	"github.com/writ-run/writ/internal/tamper/toolbox"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/toolstest"
)

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

// start is when every run here is opened.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const rules = `schema: writ/policies/1
name: vectors
assets: {USDC: 6}
budgets:
  - {id: allowance, cap: 'usdc("1000")', scope: agent}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: allowance}}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// A world is everything that a run depends on. The zero changes give the honest run.
type world struct {
	input   string
	replies []model.Reply // of the model, in order
	window  int64         // of the models, in tokens; 0 for none
	mute    bool          // of wire: the runtime does not say how these are read
	wire    bool          // the first model has a provider, whose bytes are recorded
	// hears changes what is recorded of reply n, but not its bytes
	hears func(n int, mc *provenance.ModelCall)
	fail  int // so many calls of a model fail first
	// hedges says that the models are real and the first route lets a second one be asked beside a slow one; unsaid, that
	// the record of the agent does not say so; slow, that the first model is
	hedges, unsaid, slow bool
	lapse                bool           // the broadcast is never heard of again
	signs                func(*signing) // changes what the agent's account signs; nil leaves it as the call says
	// replaces has the first transaction be replaced by another, which it may change; nil for none. It says whether that
	// one cancels
	replaces func(*signing) bool
	receipt  string // the hash in the receipt, if it is not the transaction's
	// foresees and mines change what the simulation and the receipt show; nil leaves them as the call says
	foresees func(*tools.Foreseen)
	mines    func(*tools.Mined)
	// acts is what a call returns that is no transaction; nil for a greeting
	acts   func(*game, tools.Args) string
	revoke int  // the step at which the session turns out to be revoked; 0 for never
	cancel int  // the step at which the user cancels the run; 0 for never
	refuse bool // the wallet refuses what it is asked for
	stop   int  // steps after which nothing more happens; 0 for never
	public bool // payloads of steps are not sealed
	long   bool // a run of thousands of steps: each is linked once, and its agent may take so many

	tools    []tools.Spec
	rules    string
	parts    []provenance.Part  // of the rules; optional
	partData []provenance.Block // the same
	dapp     string             // rules of the dApp whose page asked; none if empty
	origin   string             // of that page
	route    string             // the condition of the first route
	offer    auth.Offer
	opened   time.Time
	nonce    byte
	parent   *provenance.Parent
	extra    map[provenance.Link][]byte // blocks of other runs

	sends     map[int]string       // what the user says before a step; the session key signs it
	sendFiles map[int][]model.File // what goes with that
	posts     foreign.Form         // the request is a body of this form, signed by an Ethereum account; empty if it is not

	files  []model.File // that the request attaches
	thread string       // that the request names; none if empty
	after  *history     // the run before it in its thread
	told   *recalled    // what is recorded of the runs before, in place of what they say

	fork    *forked // the run that it goes on from; none if nil
	foreign bool    // another wallet's

	helper     *world                   // the sub-agent that the first agent calls by "agent.helper"; none if nil
	caller     *game                    // of a sub-agent's run
	delegation *provenance.Delegation   // which it acts under
	begins     []byte                   // with the label of the call
	claims     string                   // in place of that label
	lies       func(*provenance.Result) // changes the result of the sub-agent's call

	// What a lying operator decides by, in place of what is recorded.
	decideRules string
	decideDapp  bool // decides as if there were no dApp's rules
	decideOffer func(*auth.Offer)
	decideRoute string
	fleet       []provenance.ModelFact // what each step is told of the models, if the route asks
}

func replyText(text string) model.Reply { return model.Reply{Stop: model.StopEnd, Text: text} }

func replyCall(tool, args string) model.Reply {
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{{ID: "c1", Tool: tool, Args: []byte(args)}}}
}

// smallWorld is a run of four steps: one tool that reads, and an answer.
func smallWorld() *world {
	return &world{
		input:   "say hi",
		replies: []model.Reply{replyCall("echo.say", `{"text":"hi"}`), replyText("it said hi")},
		tools:   []tools.Spec{toolbox.Echo()}, rules: rules, route: "true", opened: start, nonce: 1,
		offer: auth.Offer{
			Scheme: "https", Domain: "app.example.com", Chain: 1337, Nonce: "abcdefgh12345678", RequestID: "r1",
			Agent:  "payer",
			Issued: start, Expires: start.Add(time.Hour),
			Caveats: auth.Caveats{MaxCalls: 10, MaxTokens: 100_000, MaxCostNanoUSD: 1_000_000_000,
				Chains: []uint64{1337}},
		},
	}
}

// fleetWorld is the small run with a route that asks how the models have answered: the first one has become slow.
func fleetWorld() *world {
	w := smallWorld()
	w.route = "ttft_p95 < 500"
	w.fleet = []provenance.ModelFact{
		{Name: "main", P50: 300, P95: 900, Queue: 2, Breaker: provenance.BreakerClosed},
		{Name: "spare", P50: 40, P95: 90, Errors: 10, Breaker: provenance.BreakerClosed},
	}
	return w
}

// wholeWorld is the run with everything in it: a call that reads, a transfer that the wallet approves, one that is
// denied.
func wholeWorld() *world {
	w := smallWorld()
	w.input = "greet bob, send him 5 USDC, and 500 to mallory"
	w.replies = []model.Reply{
		replyCall("echo.say", `{"text":"hello bob"}`),
		replyCall("token.send", `{"amount":"5","to":"bob","token":"USDC"}`),
		replyCall("token.send", `{"amount":"500","to":"mallory","token":"USDC"}`),
		replyText("bob has his 5 USDC; 500 USDC are more than I may send"),
	}
	w.tools = append(w.tools, toolbox.Send())
	w.offer.Caveats.MaxTotal = []money.Amount{money.Of(usdc, 20_000_000)}
	w.offer.Caveats.MaxPerCall = []money.Amount{money.Of(usdc, 10_000_000)}
	w.offer.Caveats.ApproveAbove = []money.Amount{money.Of(usdc, 1_000_000)}
	return w
}

// pageWorld is the small run, asked for by a dApp's page with rules of its own.
func pageWorld() *world {
	w := smallWorld()
	w.origin = "https://app.example.com"
	w.dapp = `schema: writ/policies/1
name: page
budgets:
  - {id: calls, cap: calls(3), scope: wallet}
rules:
  - {id: tools, at: tool.call, effect: permit, reserve: {budget: calls}}
  - {id: loud, at: tool.call, tool: echo.say, effect: forbid, when: 'args.text contains "!"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`
	return w
}

// The keys of everybody in these runs. They are in the open and worth nothing.
type people struct {
	wallet, stranger *auth.Wallet
	session, other   auth.PrivateKey
	poster           auth.PrivateKey   // the session's, of secp256k1
	account, thief   *ecdsa.PrivateKey // of the agent on its chain, and of somebody else
	operator, forger ed25519.PrivateKey
}

func everyKey() (p people, err error) {
	p.wallet, err = auth.ParseWallet(
		"0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
	if err != nil {
		return p, err
	}
	p.stranger, err = auth.ParseWallet(
		"0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
	if err != nil {
		return p, err
	}
	if p.session, err = auth.Generate(auth.Ed25519, seed("session")); err != nil {
		return p, err
	}
	if p.other, err = auth.Generate(auth.Ed25519, seed("other session")); err != nil {
		return p, err
	}
	if p.poster, err = auth.Generate(auth.Secp256k1, seed("poster")); err != nil {
		return p, err
	}
	p.account, err = crypto.HexToECDSA(
		"ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil {
		return p, err
	}
	p.thief, err = crypto.HexToECDSA(
		"47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a")
	if err != nil {
		return p, err
	}
	p.operator, p.forger = signingKey("operator"), signingKey("forger")
	return p, nil
}

func signingKey(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ tampering vectors: " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// A seed is chance that has none.
type seed string

func (s seed) Read(b []byte) (int, error) {
	for i := 0; i < len(b); {
		sum := sha256.Sum256(fmt.Appendf(nil, "writ tampering vectors: %s %d", string(s), i))
		i += copy(b[i:], sum[:])
	}
	return len(b), nil
}

// leafKey is the key of a text: the same text has the same leaf in every vector, so one key file is enough for all.
func leafKey(plain []byte) provenance.LeafKey {
	return sha256.Sum256(append([]byte("writ tampering vectors: leaf\n"), plain...))
}

// playWorld makes the run of a world.
func playWorld(w *world) (*history, error) {
	who, err := everyKey()
	if err != nil {
		return nil, err
	}
	h := &history{
		people: who, keys: map[provenance.Link]provenance.LeafKey{}, extra: map[provenance.Link][]byte{},
		leaves: map[provenance.Link]provenance.Block{}, public: w.public,
	}
	maps.Copy(h.extra, w.extra)
	if w.foreign {
		h.wallet = h.stranger
	}
	h.name, h.delegation, h.misgiven = "payer", w.delegation, w.lies
	if w.caller != nil {
		h.name = "helper"
	}
	var names []string
	toolDefs, books := map[provenance.Link]*provenance.ToolDef{}, map[provenance.Link][]byte{}
	for _, spec := range w.tools {
		rec, b, err := definition.RecordOf(spec)
		if err != nil {
			return nil, err
		}
		block, err := provenance.Encode(rec)
		if err != nil {
			return nil, err
		}
		h.tools = append(h.tools, rec)
		h.agent.Tools = append(h.agent.Tools, block.CID)
		toolDefs[block.CID] = rec
		if b != nil {
			books[b.CID] = b.Data
			h.books = append(h.books, *b)
		}
		names = append(names, spec.Name)
	}
	h.agent.Name, h.agent.Instructions = h.name, "Pay what is asked."
	h.agent.Routes = []provenance.AgentRoute{{ID: "first", When: w.route, Use: "main"},
		{ID: "then", When: "true", Use: "spare"}}
	h.agent.Routes[0].Hedge = w.hedges && !w.unsaid
	h.agent.Limits = provenance.Limits{Turns: 8, Calls: 8, Tokens: 50_000, Cost: 500_000_000,
		Wall: (24 * time.Hour).Milliseconds()}
	if w.long {
		h.agent.Limits = provenance.Limits{Turns: 1 << 20, Calls: 1 << 20, Tokens: 1 << 40, Cost: 1 << 50,
			Wall: (100 * 24 * time.Hour).Milliseconds()}
	}
	if w.helper != nil {
		if err := h.addHelper(w.helper, toolDefs, &names); err != nil {
			return nil, err
		}
	}
	h.rules = provenance.PolicySet{Name: "vectors", Source: w.rules, Parts: w.parts}
	for _, b := range w.partData {
		books[b.CID] = b.Data
		h.books = append(h.books, b)
	}
	h.runtime = provenance.Runtime{Version: "vectors", Build: "unknown", Key: h.operator.Public().(ed25519.PublicKey)}
	for i, name := range []string{"main", "spare"} {
		h.runtime.Models = append(h.runtime.Models, provenance.ModelInfo{
			Name: name, Kind: string(model.KindScripted), Provider: "test", Model: fmt.Sprintf("script/%d", i+1),
			PriceIn: 1_000_000, PriceOut: 2_000_000, MaxTokens: 1000, Window: w.window,
		})
		if w.hedges {
			h.runtime.Models[i].Kind = string(model.KindModel)
		}
		if w.wire && i == 0 {
			if h.runtime.Models[i].Kind = string(model.KindModel); !w.mute {
				h.runtime.Models[i].Dialect = dialect.Chat
			}
		}
	}
	agentCID, err := cidOf(&h.agent)
	if err != nil {
		return nil, err
	}
	rulesCID, err := cidOf(&h.rules)
	if err != nil {
		return nil, err
	}
	if w.dapp != "" {
		h.dapp = &provenance.PolicySet{Name: "page", Source: w.dapp, Under: rulesCID, Origin: w.origin}
		if rulesCID, err = cidOf(h.dapp); err != nil {
			return nil, err
		}
	}
	offer := w.offer
	offer.Account, offer.Key = h.wallet.Address(), h.session.Public()
	offer.AgentCID, offer.RulesCID = agentCID, rulesCID
	if offer.Tools == nil {
		offer.Tools = names
	}
	h.offer = offer
	if w.posts != "" {
		offer.Key = h.poster.Public()
	}
	grant, err := h.signOffer(offer)
	if err != nil {
		return nil, err
	}
	if w.caller != nil {
		grant, h.offer = w.caller.grant, w.caller.history.offer
	}
	h.grant = recordOf(grant)
	h.run = provenance.Run{Opened: w.opened.UnixMilli(), Nonce: [32]byte{w.nonce}, Parent: w.parent}

	// The machine that decides is the recorded one, unless the operator lies.
	byRules, byAgent, byOffer := h.rules, h.agent, offer
	if w.decideRules != "" {
		byRules.Source = w.decideRules
	}
	if w.decideRoute != "" {
		byAgent.Routes = []provenance.AgentRoute{{ID: "first", When: w.decideRoute, Use: "main"}, h.agent.Routes[1]}
	}
	if w.unsaid {
		byAgent.Routes = slices.Clone(h.agent.Routes)
		byAgent.Routes[0].Hedge = true
	}
	if w.decideOffer != nil {
		w.decideOffer(&byOffer)
	}
	byOffer.AgentCID, byOffer.RulesCID = must(cidOf(&byAgent)), must(cidOf(&byRules))
	byDapp := h.dapp
	if w.decideDapp {
		byDapp = nil
	}
	if byDapp != nil {
		byOffer.RulesCID = must(cidOf(byDapp))
		byOffer.Scheme, byOffer.Domain, _ = strings.Cut(byDapp.Origin, "://")
	}
	byGrant, err := h.signOffer(byOffer)
	if err != nil {
		return nil, err
	}
	if w.caller != nil {
		byGrant = grant
	}
	if err := h.relinkAll(); err != nil { // so far there are no steps, but the run has its CID
		return nil, err
	}
	c := loop.Config{
		Session: h.run.Grant, Agent: &byAgent, Tools: toolDefs, Books: books, Rules: &byRules, Dapp: byDapp,
		Grant: byGrant, Runtime: &h.runtime,
	}
	if w.delegation != nil {
		c.Delegations = []authority.Delegated{{CID: h.run.Delegation, Delegation: w.delegation}}
		if c.Agents, err = auth.Ed25519Key(h.runtime.Key); err != nil {
			return nil, err
		}
	}
	m, err := loop.New(c)
	if err != nil {
		return nil, err
	}
	ledgers, err := m.Ledgers(loop.State{}, w.opened.UnixMilli(), nil)
	if err != nil {
		return nil, err
	}
	g := &game{world: w, history: h, machine: m, ledger: ledger.New(ledgers), grant: grant}
	if w.caller != nil {
		g.ledger.ShareWith(w.caller.ledger)
	}
	h.keepVerdict = true // while it is played, what is signed once stays right
	err = g.playGame()
	h.keepVerdict, h.turn = false, g.state.Turn()
	h.shared, _ = g.state.Share()
	return h, err
}

// signOffer has the wallet sign an offer.
func (h *history) signOffer(o auth.Offer) (*auth.Grant, error) {
	raw, err := auth.Build(o)
	if err != nil {
		return nil, err
	}
	sig, err := h.wallet.SignText(raw)
	if err != nil {
		return nil, err
	}
	return auth.Reread(raw, sig)
}

func recordOf(g *auth.Grant) provenance.Grant {
	return provenance.Grant{Message: provenance.NewPayload(g.Message), Sig: provenance.NewPayload(g.Sig),
		Method: g.Method}
}

// signGrantAgain has the wallet sign another permission for the run.
func (h *history) signGrantAgain(change func(*auth.Offer)) error {
	change(&h.offer)
	g, err := h.signOffer(h.offer)
	if err == nil {
		h.grant = recordOf(g)
	}
	return err
}

// A game is a run under way.
type game struct {
	*world
	*history
	machine *loop.Machine
	ledger  *ledger.Book
	grant   *auth.Grant
	state   loop.State
	asked   int    // models
	nonce   uint64 // of the agent's account

	waited   *provenance.Ref // the question to a slow model
	outrun   *provenance.Ref // the same, once another has answered and until it ends
	replaced bool            // a transaction was
	late     int64           // ms that sub-agents have taken
}

func (g *game) playGame() error {
	g.state.Run = g.runCID
	request := map[string]any{"agent": g.name, "input": g.world.input, "idempotency_key": "vector-0001"}
	if g.world.thread != "" {
		request["thread"] = g.world.thread
	}
	if g.world.files != nil {
		request["attach"] = nameFiles(g.world.files)
	}
	if f := g.world.fork; f != nil {
		request["step"] = f.from.lastStep().String()
	}
	params, err := json.Marshal(request)
	if err != nil {
		return err
	}
	var next provenance.Event = &provenance.Ask{
		Request: provenance.NewPayload(params), Channel: [32]byte{1}, Seq: 1, Method: "run.start",
		Key: g.session.Public().String(), Files: piecesOf(g.world.files...),
	}
	if form := g.world.posts; form != "" {
		ask := next.(*provenance.Ask)
		params = bodyOf(g.name, g.world.input)
		ask.Request, ask.Method, ask.Key = provenance.NewPayload(params), string(form), g.poster.Public().String()
	}
	if d := g.history.delegation; d != nil {
		ask := next.(*provenance.Ask)
		ask.Method, ask.Key = subagent.Method, d.Issuer
		ask.Label = provenance.NewPayload(g.world.begins)
	}
	if err := g.joinThread(next.(*provenance.Ask), params); err != nil {
		return err
	}
	if err := g.joinFork(next.(*provenance.Ask), params); err != nil {
		return err
	}
	for next != nil && (g.stop == 0 || len(g.steps) < g.stop) {
		if g.cancel > 0 && len(g.steps) == g.cancel {
			next = &provenance.Lapse{Why: provenance.LapseCancelled}
		}
		if text, says := g.sends[len(g.steps)]; says {
			if err := g.sendText(text); err != nil {
				return err
			}
			continue
		}
		if next, err = g.takeStep(next); err != nil {
			return err
		}
	}
	return nil
}

// takeStep takes in one event and returns the next one: the answer to the first effect that wants one.
func (g *game) takeStep(ev provenance.Event) (provenance.Event, error) {
	at := g.opened.UnixMilli() + int64(len(g.steps))*1000 + g.late
	ledgers, err := g.machine.Ledgers(g.state, at, ev)
	if err != nil {
		return nil, err
	}
	facts := g.ledger.Facts(ledgers)
	facts.Budgets = g.state.ChangedLedgers(facts.Budgets)
	facts.Fleet = append([]provenance.ModelFact(nil), g.fleet...)
	facts.Revoked = g.revoke > 0 && len(g.steps) >= g.revoke
	next, todo, err := g.machine.Step(g.state, at, ev, facts)
	if err != nil {
		return nil, err
	}
	s := &provenance.Step{Seq: g.state.Seq, At: at, Event: ev, Facts: facts, Does: todo.Does,
		Decisions: todo.Decisions, Label: todo.Label}
	g.steps = append(g.steps, s)
	g.state = next
	if g.long {
		g.cids = append(g.cids, provenance.Link{})
		err = g.linkStep(len(g.steps) - 1)
	} else {
		err = g.relinkAll()
	}
	if err != nil {
		return nil, err
	}
	if err := g.ledger.Apply(s, todo.Settle); err != nil {
		return nil, err
	}
	for i, e := range s.Does {
		if answer, err := g.answerEffect(provenance.Ref{Seq: s.Seq, Index: uint64(i)}, e); answer != nil || err != nil {
			return answer, err
		}
	}
	return g.endOutrun(), nil
}

// answerEffect is what the world says to an effect.
func (g *game) answerEffect(ref provenance.Ref, e provenance.Effect) (ev provenance.Event, err error) {
	switch e := e.(type) {
	case *provenance.AskModel:
		if g.fail > 0 {
			g.fail--
			return &provenance.Reply{Of: ref, Failed: "model.timeout"}, nil
		}
		if slow := g.answerHedged(ref); slow != nil {
			return slow, nil
		}
		reply := g.replies[g.asked]
		g.asked++
		info := g.runtime.Models[0]
		if e.Route.Model != info.Name {
			info = g.runtime.Models[1]
		}
		if g.wire && info.Kind == string(model.KindModel) {
			return g.hearReply(ref, info, reply)
		}
		mc := &provenance.ModelCall{
			Name: info.Name, Provider: info.Provider, Asked: info.Model, Answered: info.Model, Stop: reply.Stop,
			Took:  5,
			Usage: provenance.Usage{In: 100, Out: 10}, Cost: 120,
		}
		if reply.Text != "" {
			mc.Text = provenance.NewPayload([]byte(reply.Text))
		}
		for _, c := range reply.Calls {
			mc.Calls = append(mc.Calls, provenance.ToolAsk{ID: c.ID, Tool: c.Tool, Args: provenance.NewPayload(c.Args)})
		}
		return &provenance.Reply{Of: ref, Model: mc}, nil
	case *provenance.Seek:
		if g.refuse {
			return &provenance.Verdict{Of: ref, Words: provenance.NewPayload([]byte("not today"))}, nil
		}
		// link has it signed
		return &provenance.Verdict{Of: ref, Approval: &provenance.Approval{Method: auth.MethodEOA}}, nil
	case *provenance.Call:
		if g.machine.DelegateOf(e) != nil {
			return g.playDelegate(ref, e)
		}
		if e.Phase == provenance.PhaseSend && g.lapse {
			return &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}, nil
		}
		out := map[string]string{
			provenance.PhaseAct: `{"said":"hello"}`,
		}[e.Phase]
		switch e.Phase {
		case provenance.PhaseAct:
			if g.acts != nil {
				_, args, err := g.machine.Arguments(e)
				if err != nil {
					return nil, err
				}
				out = g.acts(g, args)
			}
		case provenance.PhaseSimulate:
			_, args, err := g.machine.Arguments(e)
			if err != nil {
				return nil, err
			}
			moves := toolstest.Plain(crypto.PubkeyToAddress(g.account.PublicKey), args)
			out = changeJSON(toolstest.Simulation(moves, tools.SimulatedRead), g.foresees)
		case provenance.PhaseSign:
			if out, err = g.signTransaction(e); err != nil {
				return nil, err
			}
		case provenance.PhaseSend, provenance.PhaseFinal:
			if g.replaces != nil && !g.replaced {
				next, err := g.replaceTransaction(e)
				return &provenance.Result{Of: ref, Status: provenance.StatusPending, Output: next, Took: 3}, err
			}
			raw, _ := e.Signed.Bytes()
			var tx tools.Signed
			if err := json.Unmarshal(raw, &tx); err != nil {
				return nil, err
			}
			_, args, err := g.machine.Arguments(e)
			if err != nil {
				return nil, err
			}
			moves := toolstest.Plain(crypto.PubkeyToAddress(g.account.PublicKey), args)
			var mark *tools.Mark
			if e.Phase == provenance.PhaseFinal {
				mark = &tools.Mark{Rule: g.world.tools[1].Final, Block: "3", BlockHash: common.BigToHash(big.NewInt(3)).Hex()}
			}
			out = changeJSON(toolstest.ReceiptIn(cmp.Or(g.receipt, tx.Hash), moves, args, "1", mark), g.mines)
		}
		return &provenance.Result{Of: ref, Status: provenance.StatusOK, Output: provenance.NewPayload([]byte(out)),
			Took: 3}, nil
	}
	return nil, nil
}

// changeJSON changes what a JSON text says, if change is not nil.
func changeJSON[T any](text []byte, change func(*T)) string {
	if change == nil {
		return string(text)
	}
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		panic("tamper: " + err.Error())
	}
	change(&v)
	out, err := json.Marshal(v)
	if err == nil {
		out, err = tools.CanonicalJSON(out)
	}
	if err != nil {
		panic("tamper: " + err.Error())
	}
	return string(out)
}

func cidOf(r provenance.Record) (provenance.Link, error) {
	b, err := provenance.Encode(r)
	return b.CID, err
}

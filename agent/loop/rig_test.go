package loop_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/toolstest"
)

var (
	usdc  = money.Asset{Symbol: "USDC", Decimals: 6}
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	names = map[string]common.Address{
		"bob":     common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
		"mallory": common.HexToAddress("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
	}
)

const rules = `schema: writ/policies/1
name: spec
assets: {USDC: 6}
budgets:
  - {id: allowance, cap: 'usdc("1000")', scope: agent}
sets:
  enemies: ["0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"]
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: secrets, at: tool.call, tool: echo.say, effect: forbid, when: 'args.text == "secret"'}
  - {id: ask_first, at: tool.call, tool: echo.say, effect: approve, when: 'args.text == "ask first"'}
  - {id: posts, at: tool.call, tool: post.send, effect: approve, when: 'args.text startsWith "public"', ttl: 60s}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: allowance}}
  - {id: enemies, at: spend, effect: forbid, when: 'in_set(to, "enemies")'}
  - {id: models, at: model.route, effect: permit}
  - {id: dear, at: model.route, effect: forbid, when: 'model == "dear"'}
  - {id: answers, at: output, effect: permit}
  - {id: long_answers, at: output, effect: forbid, when: 'size > 100'}
`

const (
	textSchema = `{"type":"object","additionalProperties":false,"required":["text"],"properties":{"text":{"type":"string"}}}`
	paySchema  = `{"type":"object","additionalProperties":false,"required":["amount","to","token"],"properties":{` +
		`"amount":{"type":"string","format":"amount","x-asset":"token"},"to":{"type":"string","format":"address"},` +
		`"token":{"type":"string","format":"token"}}}`
	wireSchema = `{"type":"object","additionalProperties":false,"required":["amount","to","token"],"properties":{` +
		`"amount":{"type":"string","format":"amount","x-asset":"token"},"to":{"type":"string","format":"address"},` +
		`"memo":{"type":"string"},"token":{"type":"string","format":"token"}}}`
)

// offered are one tool of each effect class.
func offered() []tools.Spec {
	book := &tools.Book{Chain: 1337, Names: names, Tokens: map[string]tools.Token{"USDC": {Decimals: 6}}}
	spend := &tools.Spend{Amount: "amount", Asset: "token", To: "to"}
	return []tools.Spec{
		{Name: "echo.say", About: "Says it again.", Class: tools.Read, Schema: json.RawMessage(textSchema)},
		{Name: "post.send", About: "Posts a text.", Class: tools.Once, Schema: json.RawMessage(textSchema)},
		{Name: "bank.pay", About: "Pays.", Class: tools.Keyed, Schema: json.RawMessage(paySchema), Spend: spend,
			Book: book},
		{Name: "coin.send", About: "Sends.", Class: tools.ChainTx, Schema: json.RawMessage(paySchema), Spend: spend,
			Book: book},
	}
}

func info(name string, kind model.Kind, in, out int64) provenance.ModelInfo {
	return provenance.ModelInfo{
		Name: name, Kind: string(kind), Provider: "test", Model: name + "/1", PriceIn: in, PriceOut: out, MaxTokens: 100,
	}
}

// setting is the config that every case begins with: two models (one counts tokens at 1 nano-USD in and 2 out, one
// is free), four tools, and a grant of 20 USDC, 10 at once, above 1 with an approval.
func setting(t testing.TB) loop.Config {
	t.Helper()
	agent := &provenance.Agent{
		Name: "payer", Instructions: "Pay what is asked.",
		Routes: []provenance.AgentRoute{{ID: "first", When: "true", Use: "paid"},
			{ID: "then", When: "true", Use: "free"}},
		Limits: provenance.Limits{Turns: 6, Calls: 5, Tokens: 10_000, Cost: 20_000, Wall: 600_000},
	}
	c := loop.Config{
		Session: provenance.Sum(0x71, []byte("grant")), Agent: agent,
		Tools: map[provenance.Link]*provenance.ToolDef{}, Books: map[provenance.Link][]byte{},
		Rules: &provenance.PolicySet{Name: "spec", Source: rules},
		Runtime: &provenance.Runtime{Version: "test", Build: "test", Models: []provenance.ModelInfo{
			info("paid", model.KindModel, 1_000_000, 2_000_000), info("free", model.KindScripted, 0, 0),
			info("dear", model.KindModel, 9_000_000, 9_000_000),
		}},
		Grant: &auth.Grant{
			Method:  auth.MethodEOA,
			Account: common.HexToAddress("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), Chain: 1337, Scheme: "http",
			Domain: "127.0.0.1", Agent: "payer", Expires: noon.Add(time.Hour), Caveats: auth.Caveats{
				MaxTotal: []money.Amount{money.Of(usdc, 20_000_000)}, MaxPerCall: []money.Amount{money.Of(usdc,
					10_000_000)},
				ApproveAbove: []money.Amount{money.Of(usdc, 1_000_000)},
				MaxCalls:     40, MaxTokens: 100_000, MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337},
			},
		},
	}
	for _, s := range offered() {
		rec, book, err := definition.RecordOf(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := provenance.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		if book != nil {
			c.Books[book.CID] = book.Data
		}
		c.Tools[b.CID] = rec
		agent.Tools = append(agent.Tools, b.CID)
		c.Grant.Tools = append(c.Grant.Tools, s.Name)
	}
	return c
}

// A rig is a run without a runtime: a state, a clock, the facts, and the ledgers that a store would keep. It checks
// at every step what must hold at all of them.
type rig struct {
	t         fataler
	m         *loop.Machine
	tool      map[provenance.Link]string
	s, twin   loop.State // twin comes from the same events and is never the one that the tested call gets
	at        int64
	facts     provenance.Facts
	ledger    map[string]*account
	reserved  map[reservation]money.Amount
	effects   map[provenance.Ref]provenance.Effect
	does      []provenance.Effect // of the last step
	settles   []loop.Settle
	decisions []provenance.Decision // of the last step, that belong to no effect
	label     *provenance.Payload   // of the last step's context, if it has changed
	takenBack []provenance.Ref      // calls of agents, by the last step
	refused   error                 // by the last move
	overrun   bool                  // a block has taken more than was reserved
	log       []taken
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// A taken is an event that the machine took.
type taken struct {
	at    int64
	ev    provenance.Event
	facts provenance.Facts
}

type account struct{ limit, spent, reserved money.Amount }

type reservation struct {
	budget string
	ref    provenance.Ref
}

func newRig(t fataler, c loop.Config) *rig {
	t.Helper()
	return rigOf(t, machine(t, c), c)
}

// machine compiles c, of which the wallet has signed just this version.
func machine(t fataler, c loop.Config) *loop.Machine {
	t.Helper()
	cidOf := func(rec provenance.Record) provenance.Link {
		b, err := provenance.Encode(rec)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return b.CID
	}
	c.Grant.AgentCID, c.Grant.RulesCID = cidOf(c.Agent), cidOf(c.Rules)
	m, err := loop.New(c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// scriptRun is the run of every rig.
var scriptRun = provenance.Sum(0x71, []byte("the run"))

func rigOf(t fataler, m *loop.Machine, c loop.Config) *rig {
	r := &rig{
		t: t, m: m, s: loop.State{Run: scriptRun}, twin: loop.State{Run: scriptRun}, at: noon.UnixMilli(),
		ledger: map[string]*account{}, reserved: map[reservation]money.Amount{},
		effects: map[provenance.Ref]provenance.Effect{}, tool: map[provenance.Link]string{},
	}
	for link, def := range c.Tools {
		r.tool[link] = def.Name
	}
	for _, b := range m.Budgets() {
		r.account(b.ID, b.Cap)
	}
	return r
}

// account returns what is used of a ledger, which is nothing when it is first asked for.
func (r *rig) account(ledger string, limit money.Amount) *account {
	a := r.ledger[ledger]
	if a == nil {
		a = &account{limit: limit, spent: money.Of(limit.Asset(), 0), reserved: money.Of(limit.Asset(), 0)}
		r.ledger[ledger] = a
	}
	return a
}

// give lets the machine take an event. It returns false if the machine refused it.
func (r *rig) give(ev provenance.Event) bool {
	r.t.Helper()
	f := r.facts
	ledgers, err := r.m.Ledgers(r.s, r.at, ev)
	if err != nil {
		r.t.Fatalf("%v", err)
	}
	for _, l := range ledgers {
		a := r.account(l.ID, l.Cap)
		f.Budgets = append(f.Budgets, provenance.Budget{ID: l.ID, Cap: a.limit, Spent: a.spent, Reserved: a.reserved})
	}
	f.Budgets = r.s.ChangedLedgers(f.Budgets)
	closed := r.s.Closed
	next, todo, err := r.m.Step(r.s, r.at, ev, f)
	if !reflect.DeepEqual(r.s.WithoutPast(), r.twin.WithoutPast()) {
		r.t.Fatalf("Step changed the state that it was given, at %T", ev)
	}
	again, same, err2 := r.m.Step(r.twin, r.at, ev, f)
	if !reflect.DeepEqual(next.WithoutPast(), again.WithoutPast()) || !reflect.DeepEqual(todo, same) ||
		fmt.Sprint(err) != fmt.Sprint(err2) {
		r.t.Fatalf("the same event led to two things:\n%+v, %v\n%+v, %v", todo, err, same, err2)
	}
	r.refused = err
	if err != nil {
		if !reflect.DeepEqual(next.WithoutPast(), r.s.WithoutPast()) || len(todo.Does)+len(todo.Settle) != 0 {
			r.t.Fatalf("a refused event did something: %+v", todo)
		}
		return false
	}
	if closed {
		r.t.Fatalf("a closed run took in %T", ev)
	}
	r.log = append(r.log, taken{r.at, ev, f})
	seq := r.s.Seq
	r.s, r.twin, r.does, r.settles, r.decisions, r.label = next, again, todo.Does, todo.Settle, todo.Decisions, todo.Label
	r.takenBack = todo.TakenBack
	r.count(seq, todo)
	return true
}

// count keeps the ledgers as a store does, and fails where a store would.
func (r *rig) count(seq uint64, todo loop.Next) {
	r.t.Helper()
	for _, s := range todo.Settle {
		k, a := reservation{s.Budget, s.Ref}, r.ledger[s.Budget]
		was, there := r.reserved[k]
		if !there {
			r.t.Fatalf("step %d settles %v of %s, which is not reserved (again?)", seq, s.Ref, s.Budget)
		}
		if c, err := s.Used.Cmp(was); err != nil || c > 0 && !r.overrun {
			r.t.Fatalf("step %d settles %s of the %s reserved in %s: %v", seq, s.Used, was, s.Budget, err)
		}
		delete(r.reserved, k)
		a.reserved, a.spent = sub(r.t, a.reserved, was), add(r.t, a.spent, s.Used)
	}
	closes := 0
	for i, e := range todo.Does {
		ref := provenance.Ref{Seq: seq, Index: uint64(i)}
		r.effects[ref] = e
		var ds []provenance.Decision
		switch e := e.(type) {
		case *provenance.AskModel:
			ds = e.Decisions
			permitted(r.t, e, ds)
			r.outcomes()
		case *provenance.Call:
			ds = e.Decisions
			switch e.Phase {
			case provenance.PhaseAct, provenance.PhaseSign, provenance.PhaseAsk:
				permitted(r.t, e, ds)
			case provenance.PhaseSimulate:
				if len(ds) == 0 ||
					slices.ContainsFunc(ds, func(d provenance.Decision) bool { return d.Outcome == "deny" }) {
					r.t.Fatalf("a simulation without a decision, or a denied one")
				}
			}
		case *provenance.Deny:
			if !slices.ContainsFunc(e.Decisions,
				func(d provenance.Decision) bool { return d.Outcome == "deny" && d.Why != nil }) {
				r.t.Fatalf("a denial without a denying decision and its reason")
			}
		case *provenance.Close:
			if closes++; i != len(todo.Does)-1 {
				r.t.Fatalf("a close is not the last effect")
			}
		}
		for _, d := range ds {
			for _, x := range d.Reserve {
				k, a := reservation{x.Budget, ref}, r.ledger[x.Budget]
				if _, there := r.reserved[k]; there {
					r.t.Fatalf("%v reserves twice in %s", ref, x.Budget)
				}
				r.reserved[k] = x.Amount
				a.reserved = add(r.t, a.reserved, x.Amount)
				limit := a.limit
				if moved, ok := todo.Caps[x.Budget]; ok {
					limit = moved
				}
				if c, err := add(r.t, a.spent, a.reserved).Cmp(limit); err != nil || c > 0 && !x.Amount.IsZero() {
					r.t.Fatalf("%s: %s spent, %s reserved of %s: %v", x.Budget, a.spent, a.reserved, a.limit, err)
				}
			}
		}
	}
	if r.s.Closed != (closes == 1) {
		r.t.Fatalf("closed is %v after %d closes", r.s.Closed, closes)
	}
	if r.s.Closed && len(r.reserved) > 0 {
		r.t.Fatalf("the run is closed and still has %v reserved", r.reserved)
	}
	if r.s.Closed && len(r.s.OpenEffects()) > 0 {
		r.t.Fatalf("the run is closed and still waits for %v", r.s.OpenEffects())
	}
	if !r.s.Closed && len(r.s.OpenEffects()) == 0 {
		r.t.Fatalf("the run waits for nothing and is not closed")
	}
}

// outcomes checks that each tool call that a model made has exactly one result when a model is asked again.
func (r *rig) outcomes() {
	r.t.Helper()
	messages := r.m.Prompt(r.s, 100).Messages
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		if m.Role == model.RoleTool {
			r.t.Fatalf("call %s has one outcome more: %s", m.CallID, m.Text)
		}
		for _, c := range m.Calls {
			if len(messages) == 0 || messages[0].Role != model.RoleTool || messages[0].CallID != c.ID ||
				messages[0].Text == "" {
				r.t.Fatalf("call %s has no outcome in its place", c.ID)
			}
			messages = messages[1:]
		}
	}
}

func permitted(t fataler, e provenance.Effect, ds []provenance.Decision) {
	t.Helper()
	if len(ds) == 0 {
		t.Fatalf("%T without a decision", e)
	}
	for _, d := range ds {
		if d.Outcome != "permit" {
			t.Fatalf("%T with the decision %q", e, d.Outcome)
		}
	}
}

func add(t fataler, a, b money.Amount) money.Amount {
	sum, err := a.Add(b)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return sum
}

func sub(t fataler, a, b money.Amount) money.Amount {
	d, err := a.Sub(b)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d
}

// lines writes what the last step led to.
func (r *rig) lines() string {
	if r.refused != nil {
		return "refused"
	}
	var out []string
	holds := func(line string, ds []provenance.Decision) string {
		var hs []string
		for _, d := range ds {
			for _, x := range d.Reserve {
				if strings.Contains(x.Budget, "/unasked_") { // testdata/runs/threshold_*.txt have them
					continue
				}
				h := x.Budget[strings.Index(x.Budget, "/")+1:]
				if d.Point != "model.route" { // the upper bound of a model call is a matter of bytes
					h += " " + x.Amount.Decimal()
				}
				hs = append(hs, h)
			}
		}
		if len(hs) > 0 {
			line += " reserving " + strings.Join(hs, ", ")
		}
		return line
	}
	for _, e := range r.does {
		switch e := e.(type) {
		case *provenance.AskModel:
			line := "ask " + e.Route.Model
			if len(r.m.Prompt(r.s, 1).Tools) == 0 {
				line += " for the last time"
			}
			out = append(out, holds(line, e.Decisions))
		case *provenance.Call:
			out = append(out, holds(e.Phase+" "+r.tool[e.Tool], e.Decisions))
		case *provenance.Seek:
			var s approval.Summary
			if b, ok := e.Summary.Bytes(); !ok || json.Unmarshal(b, &s) != nil {
				r.t.Fatalf("the summary is %q", b)
			}
			out = append(out,
				fmt.Sprintf("seek %s for %d s, by %s", s.Tool, (e.Until-r.at)/1000, strings.Join(s.Rules, " ")))
		case *provenance.Deny:
			var by []string
			for _, d := range e.Decisions {
				if d.Outcome == "deny" {
					by = append(by, strings.Join(d.Rules, " "))
				}
			}
			out = append(out, "deny "+e.Tool+" by "+cmp.Or(strings.Join(by, ", "), "no permit"))
		case *provenance.Say:
			b, _ := e.Text.Bytes()
			out = append(out, "say "+string(b))
		case *provenance.Close:
			line := "close " + e.Reason
			for _, a := range e.Totals.Spent {
				line += ", spent " + a.String()
			}
			out = append(out, line)
		}
	}
	for _, s := range r.settles {
		if strings.Contains(s.Budget, "/unasked_") {
			continue
		}
		out = append(out, fmt.Sprintf("settle %s %s", s.Budget[strings.Index(s.Budget, "/")+1:], s.Used.Decimal()))
	}
	return strings.Join(out, "; ")
}

// open returns the n-th open effect.
func (r *rig) open(n int) provenance.Ref {
	r.t.Helper()
	refs := r.s.OpenEffects()
	if n >= len(refs) {
		r.t.Fatalf("there are %d open effects, not %d", len(refs), n+1)
	}
	return refs[n]
}

// A move is one thing that happens to a run.
type move func(r *rig)

func payload(s string) *provenance.Payload { return provenance.NewPayload([]byte(s)) }

func asks(input string) move {
	return func(r *rig) {
		params, err := json.Marshal(wire.StartParams{Agent: "payer", Input: input, Key: "key-00001"})
		if err != nil {
			r.t.Fatalf("%v", err)
		}
		r.give(&provenance.Ask{Method: wire.RunStart, Request: provenance.NewPayload(params)})
	}
}

func use(tool, args string) provenance.ToolAsk {
	return provenance.ToolAsk{Tool: tool, Args: payload(args)}
}

func echo(text string) provenance.ToolAsk { return use("echo.say", `{"text":"`+text+`"}`) }
func post(text string) provenance.ToolAsk { return use("post.send", `{"text":"`+text+`"}`) }
func pay(to, amount string) provenance.ToolAsk {
	return use("bank.pay", `{"amount":"`+amount+`","to":"`+to+`","token":"USDC"}`)
}
func send(to, amount string) provenance.ToolAsk {
	return use("coin.send", `{"amount":"`+amount+`","to":"`+to+`","token":"USDC"}`)
}

// replies is a reply of 10 tokens in and 5 out, which the paid model charges 20 nano-USD for.
func replies(stop, text string, calls ...provenance.ToolAsk) move {
	return func(r *rig) {
		ask, ok := r.effects[r.open(0)].(*provenance.AskModel)
		if !ok {
			r.t.Fatalf("no model is asked")
		}
		mc := &provenance.ModelCall{
			Name: ask.Route.Model, Provider: "test", Asked: ask.Route.Model + "/1", Stop: stop, Calls: slices.Clone(calls),
		}
		for i := range mc.Calls {
			mc.Calls[i].ID = fmt.Sprint("call", i+1)
		}
		if text != "" {
			mc.Text = payload(text)
		}
		if ask.Route.Model == "paid" {
			mc.Usage, mc.Cost = provenance.Usage{In: 10, Out: 5}, 20
		}
		r.give(&provenance.Reply{Of: r.open(0), Model: mc})
	}
}

func answers(text string) move               { return replies(model.StopEnd, text) }
func wants(calls ...provenance.ToolAsk) move { return replies(model.StopTools, "", calls...) }
func fails(r *rig)                           { r.give(&provenance.Reply{Of: r.open(0), Failed: "model.rate"}) }
func timesOut(r *rig)                        { r.give(&provenance.Reply{Of: r.open(0), Failed: "model.timeout"}) }
func returns(n int, out string) move         { return result(n, provenance.StatusOK, out) }
func approves(n int) move                    { return verdict(n, "") }
func refuses(n int) move                     { return verdict(n, "no thanks") }
func later(d time.Duration) move             { return func(r *rig) { r.at += d.Milliseconds() } }
func isRevoked(r *rig)                       { r.facts.Revoked = true }
func areDown(models ...string) move          { return func(r *rig) { r.facts.Down = models } }
func run(why string) move                    { return func(r *rig) { r.give(&provenance.Lapse{Why: why}) } }
func lapses(n int, why string) move {
	return func(r *rig) { ref := r.open(n); r.give(&provenance.Lapse{Of: &ref, Why: why}) }
}

func result(n int, status, out string) move {
	return func(r *rig) {
		ev := &provenance.Result{Of: r.open(n), Status: status}
		if out != "" {
			ev.Output = payload(r.wordResult(ev.Of, out))
		}
		r.give(ev)
	}
}

func verdict(n int, refused string) move {
	return func(r *rig) {
		ev := &provenance.Verdict{Of: r.open(n)}
		if refused != "" {
			ev.Words = payload(refused)
		} else {
			ev.Approval = &provenance.Approval{Message: payload("{}"), Sig: payload("sig"), Method: auth.MethodEOA}
		}
		r.give(ev)
	}
}

// spent is what another run of the same session has used of a budget.
func spent(budget string, n uint64) move {
	return func(r *rig) { a := r.ledger[budget]; a.spent = money.Of(a.limit.Asset(), n) }
}

func sequence(moves ...move) move {
	return func(r *rig) {
		for _, m := range moves {
			m(r)
		}
	}
}

// wordResult returns a result of a call of class chain in full: "simulated" or "mined", then what is not as the call
// says: debit=AMOUNT, credit=AMOUNT, others=N transfers to mallory, foreign=N events of another contract, allowance,
// computed. Any other text is returned as it is.
func (r *rig) wordResult(of provenance.Ref, out string) string {
	words := strings.Fields(out)
	call, ok := r.effects[of].(*provenance.Call)
	if !ok || len(words) == 0 || words[0] != simulated && words[0] != mined {
		return out
	}
	_, args, err := r.m.Arguments(call)
	if err != nil || args.Amount.Asset() != usdc {
		return out
	}
	block, hash, mark := "1", "0xaa", (*tools.Mark)(nil)
	account, debit, credit, how := common.HexToAddress("0x00000000000000000000000000000000000000aa"), args.Amount,
		args.Amount, tools.SimulatedRead
	transfer := tools.Transfer{Contract: account.Hex(), From: account.Hex(), To: names["mallory"].Hex(), Units: "7"}
	var m tools.Movement
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "debit":
			r.overrun = r.overrun || words[0] == mined
			debit, err = money.ParseDecimal(usdc, value)
		case "credit":
			credit, err = money.ParseDecimal(usdc, value)
		case "block":
			block = value
		case "hash":
			hash = value
		case "mark":
			mark = &tools.Mark{Rule: r.m.FinalityOf(call).String(), Block: value, BlockHash: "0xff"}
		case "computed":
			how = tools.SimulatedComputed
		case "others":
			transfer.Token = "USDC"
			m.Transfers = append(m.Transfers, transfer)
		case "foreign":
			m.Transfers = append(m.Transfers, transfer)
		case "allowance":
			m.Allowances = append(m.Allowances, tools.Allowance{
				Contract: account.Hex(), Owner: account.Hex(), Spender: names["mallory"].Hex(), Units: "7",
			})
		default:
			r.t.Fatalf("there is no %q of a result", w)
		}
		if err != nil {
			r.t.Fatalf("%q of a result: %v", w, err)
		}
	}
	moves := toolstest.Moves(account, args, debit, credit)
	moves.Transfers, moves.Allowances = m.Transfers, m.Allowances
	if words[0] == simulated {
		return string(toolstest.Simulation(moves, how))
	}
	return string(toolstest.ReceiptIn(hash, moves, args, block, mark))
}

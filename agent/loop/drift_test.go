package loop

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A said is what a person reads in a limits sentence. It is read with these expressions alone, which share nothing
// with what writes the sentence or what enforces it: figures as text, lists as the words between the commas.
type said struct {
	chains, total, perCall, above, recipients, models, hosts []string // nil: none, or any
	calls, tokens, cost, depth                               string
	asksIfTainted, spends                                    bool
}

var sentenceForm = regexp.MustCompile(`^Let agent [a-z][a-z0-9-]* act for me on chain ([0-9]+(?: and [0-9]+)*) until [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} UTC\.` +
	`(?: It may not spend anything\.(?: Recipients: (\S+(?: or \S+)*) only\.)?` +
	`| It may spend at most (.+?) in total and (.+?) per call, to (?:anyone|(\S+(?: or \S+)*) only), and must ask me above (.+?), ` +
	`counting all that went without asking since it last asked me, to one recipient or in all\.)` +
	`( It must ask me before it spends on the word of untrusted content\.)?` +
	` Limits: ([0-9]+) tool calls, ([0-9]+) model tokens, ([0-9.]+) USD model cost\.` +
	` Models: (?:any that the operator allows|(\S+(?:, \S+)*) only)\. Web hosts: (?:any that the operator allows|(\S+(?:, \S+)*) only)\.` +
	` (?:No sub-agents|Sub-agents: at most ([1-4]) deep)\.$`)

func readSentence(t testing.TB, text string) said {
	t.Helper()
	m := sentenceForm.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("a person cannot read this sentence: %s", text)
	}
	list := func(s, sep string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, sep)
	}
	s := said{
		chains: list(m[1], " and "), spends: m[3] != "", total: list(m[3], " and "), perCall: list(m[4],
			" and "), above: list(m[6], " or "),
		recipients: list(m[2]+m[5], " or "), asksIfTainted: m[7] != "", calls: m[8], tokens: m[9], cost: m[10],
		models: list(m[11], ", "), hosts: list(m[12], ", "), depth: m[13],
	}
	if s.depth == "" {
		s.depth = "0"
	}
	return s
}

// figure reads "25 USDC" in the asset that the ReCap has under that symbol.
func figure(t testing.TB, text string, assets []money.Amount) money.Amount {
	t.Helper()
	n, symbol, _ := strings.Cut(text, " ")
	i := slices.IndexFunc(assets, func(a money.Amount) bool { return a.Asset().Symbol == symbol })
	if i < 0 {
		t.Fatalf("the sentence names the asset %q, the ReCap does not", symbol)
	}
	return exactly(t, assets[i].Asset(), n)
}

func exactly(t testing.TB, asset money.Asset, decimal string) money.Amount {
	t.Helper()
	a, err := money.ParseDecimal(asset, decimal)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wideCaveats draws valid caveats in which every limit may be there.
func wideCaveats(r *rand.Rand) auth.Caveats {
	c := randomCaveats(r)
	c.ApproveIfTainted = r.IntN(2) == 0
	for _, h := range []string{"a.example", "b-2.example.org", "c.example"} {
		if r.IntN(3) == 0 {
			c.Hosts = append(c.Hosts, h)
		}
	}
	if len(c.MaxTotal) > 0 && r.IntN(2) == 0 { // a second asset, of other decimals
		dai := money.Asset{Symbol: "DAI.e", Decimals: 18}
		c.MaxTotal = append([]money.Amount{money.Of(dai, 1000)}, c.MaxTotal...)
		c.MaxPerCall = append([]money.Amount{money.Of(dai, 1+uint64(r.IntN(999)))}, c.MaxPerCall...)
		c.ApproveAbove = append([]money.Amount{money.Of(dai, uint64(r.IntN(1000)))}, c.ApproveAbove...)
	}
	return c
}

// P6, from the other end: what a person reads in the sentence, word by word, is where the rules turn. At each figure of
// the sentence a request passes and one unit above it does not; on each list's names it passes and beside them not.
func TestTheRulesTurnWhereTheSentenceSays(t *testing.T) {
	rounds := 120
	if testing.Short() {
		rounds = 15
	}
	r := rand.New(rand.NewPCG(5, 6))
	l := &line{sets: map[[3]int]*policies.Set{}}
	for round := range rounds {
		c := wideCaveats(r)
		if c.Validate() != nil {
			continue // too long to be shown
		}
		s := readSentence(t, c.Sentence("payer", time.UnixMilli(0)))
		operator := l.set(t, -1, 0, 0)
		layersAt := func(below uint64) policies.Layers {
			src := layer.Write(testTools, c, testTools[:1], below)
			var types []policies.ToolType
			for _, name := range testTools {
				types = append(types, policies.ToolType{Name: name})
			}
			set, err := policies.Load(src, policies.Options{Layer: LayerGrant, Untrusted: true, Tools: types})
			if err != nil {
				t.Fatalf("%v\n%s", err, src)
			}
			return policies.Layers{operator, set}
		}
		layers := layersAt(0)
		chain, err := strconv.ParseInt(s.chains[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		// base is a request that is within every limit; each case below changes one thing of it.
		base := func(p policies.Point) policies.Request {
			q := policies.Request{Point: p, Tool: testTools[2], Class: "chain", Chain: chain, Expires: 1, Tokens: 1,
				Cost: 1, Kind: "model", Model: "rules", To: payees[0]}
			if s.models != nil {
				q.Model = s.models[0]
			}
			if s.recipients != nil {
				q.To = common.HexToAddress(s.recipients[0])
			}
			for _, b := range layers[1].Budgets() {
				q.Budgets = append(q.Budgets, policies.Budget{ID: b.ID, Cap: b.Cap, Spent: money.Of(b.Cap.Asset(), 0),
					Reserved: money.Of(b.Cap.Asset(), 0)})
			}
			slices.SortFunc(q.Budgets, func(a, b policies.Budget) int { return strings.Compare(a.ID, b.ID) })
			return q
		}
		is := func(what string, ls policies.Layers, q policies.Request, want policies.Outcome) {
			t.Helper()
			if d := ls.Decide(&q); d.Outcome != want {
				t.Fatalf("round %d: %s: %s, want %s (%s)\n%s", round, what, d.Outcome, want, d.Message,
					c.Sentence("payer", time.UnixMilli(0)))
			}
		}
		// used sets how much of a budget is spent.
		used := func(q policies.Request, id string, spent money.Amount) policies.Request {
			i := slices.IndexFunc(q.Budgets, func(b policies.Budget) bool { return b.ID == id })
			if i < 0 {
				t.Fatalf("round %d: no budget %s stands for a figure of the sentence", round, id)
			}
			q.Budgets = slices.Clone(q.Budgets)
			q.Budgets[i].Spent = spent
			return q
		}
		less := func(a money.Amount, n uint64) money.Amount {
			d, err := a.Sub(money.Of(a.Asset(), n))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		call, routed := base(policies.ToolCall), base(policies.ModelRoute)
		is("a call", layers, call, policies.Permit)
		is("a model", layers, routed, policies.Permit)
		for _, x := range []struct {
			what, id string
			q        policies.Request
			full     money.Amount
		}{
			{"tool calls", "grant/calls", call, exactly(t, money.Calls, s.calls)},
			{"model tokens", "grant/tokens", routed, exactly(t, money.Tokens, s.tokens)},
			{"model cost", "grant/cost", routed, exactly(t, money.USD, s.cost)},
		} {
			is("the last of the "+x.what, layers, used(x.q, x.id, less(x.full, 1)), policies.Permit)
			is("one above the "+x.what, layers, used(x.q, x.id, x.full), policies.Deny)
		}
		for i, text := range s.perCall {
			perCall, total, above := figure(t, text, c.MaxTotal), figure(t, s.total[i], c.MaxTotal), figure(t,
				s.above[i], c.MaxTotal)
			spend := func(a money.Amount) policies.Request {
				q := base(policies.Spend)
				q.Amount = a
				return q
			}
			id := "grant/max_total_" + layer.AssetWord(perCall.Asset())
			one := money.Of(perCall.Asset(), 1)
			plus := func(a money.Amount) money.Amount {
				sum, err := a.Add(one)
				if err != nil {
					t.Fatal(err)
				}
				return sum
			}
			outcome := func(a money.Amount) policies.Outcome {
				if n, err := a.Cmp(perCall); err != nil || n > 0 {
					return policies.Deny
				}
				if n, err := a.Cmp(above); err != nil || n > 0 {
					return policies.Approve
				}
				return policies.Permit
			}
			for _, a := range []money.Amount{one, perCall, plus(perCall), above, plus(above)} {
				if !a.IsZero() {
					is("a spend of "+a.String(), layers, spend(a), outcome(a))
				}
			}
			if word := layer.AssetWord(perCall.Asset()); !above.IsZero() {
				for _, count := range []string{"grant/unasked_" + word, "grant/unasked_to_" + word} {
					is("the last that need not ask", layers, used(spend(one), count, less(above, 1)), outcome(one))
					is("one more than went without asking", layers, used(spend(one), count, above), policies.Approve)
				}
			}
			is("what is left of the total", layers, used(spend(one), id, less(total, 1)), outcome(one))
			is("more than is left of the total", layers, used(spend(one), id, total), policies.Deny)
			stranger := spend(one)
			stranger.To = common.Address{9, 9, 9}
			switch {
			case s.recipients != nil:
				is("a recipient beside the list", layers, stranger, policies.Deny)
				for _, to := range s.recipients {
					q := spend(one)
					q.To = common.HexToAddress(to)
					is("a recipient of the list", layers, q, outcome(one))
				}
			default:
				is("anyone", layers, stranger, outcome(one))
			}
			dirty := spend(one)
			dirty.Label = label.Label{Integrity: label.Untrusted, Origins: []string{"web:x"}}
			dirty.Context = dirty.Label
			want := outcome(one)
			if s.asksIfTainted {
				want = policies.Approve
			}
			is("a spend on untrusted content", layers, dirty, want)
		}
		other := base(policies.Spend)
		other.Amount = money.Of(money.Asset{Symbol: "WETH", Decimals: 18}, 1)
		is("an asset that the sentence does not name", layers, other, policies.Deny)
		for _, n := range []int64{1, 10, 1337, 5} {
			q := call
			q.Chain = n
			want := policies.Deny
			if slices.Contains(s.chains, fmt.Sprint(n)) {
				want = policies.Permit
			}
			is(fmt.Sprintf("a call on chain %d", n), layers, q, want)
		}
		for _, name := range append(slices.Clone(models), "another") {
			q := routed
			q.Model = name
			want := policies.Permit
			if s.models != nil && !slices.Contains(s.models, name) {
				want = policies.Deny
			}
			is("the model "+name, layers, q, want)
		}
		for _, host := range []string{"a.example", "b-2.example.org", "c.example", "evil.example"} {
			q := call
			q.Host = host
			want := policies.Permit
			if s.hosts != nil && !slices.Contains(s.hosts, host) {
				want = policies.Deny
			}
			is("the host "+host, layers, q, want)
		}
		for below := range uint64(auth.MaxDepth + 1) {
			q := call
			q.Tool = testTools[0] // a sub-agent, called from below levels under the grant
			want := policies.Deny
			if depth, err := strconv.ParseUint(s.depth, 10, 64); err == nil && below < depth {
				want = policies.Permit
			}
			is(fmt.Sprintf("a sub-agent from level %d", below), layersAt(below), q, want)
		}
	}
}

// changed returns caveats that differ from c in one field, and are valid. A new field without a change here fails.
var changed = map[string]func(c *auth.Caveats){
	"MaxTotal": func(c *auth.Caveats) { c.MaxTotal = []money.Amount{money.Of(usdc, 79)} },
	"MaxPerCall": func(c *auth.Caveats) {
		c.MaxPerCall = []money.Amount{money.Of(usdc, uint64(1+len(c.MaxPerCall[0].Units())%2))}
	},
	"ApproveAbove":     func(c *auth.Caveats) { c.ApproveAbove = []money.Amount{money.Of(usdc, 1_000_000)} },
	"MaxCalls":         func(c *auth.Caveats) { c.MaxCalls++ },
	"MaxTokens":        func(c *auth.Caveats) { c.MaxTokens++ },
	"MaxCostNanoUSD":   func(c *auth.Caveats) { c.MaxCostNanoUSD++ },
	"Chains":           func(c *auth.Caveats) { c.Chains = []uint64{1337, 8453} },
	"Recipients":       func(c *auth.Caveats) { c.Recipients = []common.Address{{4, 4, 4}} },
	"Hosts":            func(c *auth.Caveats) { c.Hosts = []string{"other.example"} },
	"Models":           func(c *auth.Caveats) { c.Models = []string{"another"} },
	"ApproveIfTainted": func(c *auth.Caveats) { c.ApproveIfTainted = !c.ApproveIfTainted },
	"MaxDepth":         func(c *auth.Caveats) { c.MaxDepth = (c.MaxDepth + 1) % 5 },
	"Things":           func(c *auth.Caveats) { c.Things = []string{"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/9"} },
	"From":             func(c *auth.Caveats) { c.From = []string{"https://other.example"} },
}

// Sentence, ReCap and rules are three spellings of one set of limits. Change any one limit in one of them alone, and
// have the wallet sign the result: it is refused for its statement. Change it in all, and the rules change with it.
func TestSentenceReCapAndRulesCannotDrift(t *testing.T) {
	w, err := auth.NewWallet(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.Generate(auth.Ed25519, bytes.NewReader(bytes.Repeat([]byte{8}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	write := func(c auth.Caveats) []string {
		raw, err := auth.Build(auth.Offer{
			Scheme: "https", Domain: "app.example.com", Account: w.Address(), Chain: 1337, Key: key.Public(), Nonce: "Zq3vT8nB1xKf",
			RequestID: "1", Agent: "payer", AgentCID: linkOf("agent"), RulesCID: linkOf("rules"), Tools: testTools, Caveats: c,
			Issued: at, Expires: at.Add(time.Hour),
		})
		if err != nil {
			t.Fatalf("%v: %+v", err, c)
		}
		return strings.Split(string(raw), "\n")
	}
	read := func(lines []string) (*auth.Grant, auth.Code) {
		raw := []byte(strings.Join(lines, "\n"))
		sig, err := w.SignText(raw)
		if err != nil {
			t.Fatal(err)
		}
		g, err := auth.Reread(raw, sig)
		if f, ok := errors.AsType[*auth.Fault](err); ok {
			return nil, f.Code
		} else if err != nil {
			t.Fatal(err)
		}
		return g, ""
	}
	rulesOf := func(g *auth.Grant) string { // at every level of sub-agents
		var all []byte
		for below := range uint64(auth.MaxDepth) {
			all = append(all, layer.Write(g.Tools, g.Caveats, testTools[:1], below)...)
		}
		return string(all)
	}
	const statement = 3
	r := rand.New(rand.NewPCG(7, 8))
	for range 12 {
		a := wideCaveats(r)
		a.MaxTotal, a.MaxPerCall, a.ApproveAbove = []money.Amount{money.Of(usdc, 50)}, []money.Amount{money.Of(usdc,
			10)}, []money.Amount{money.Of(usdc, 3)}
		a.Chains = []uint64{1, 1337}
		mine := write(a)
		recap := len(mine) - 1
		g, code := read(mine)
		if code != "" {
			t.Fatalf("an honest message: %s", code)
		}
		if got := g.Caveats.JSON(); got != a.JSON() {
			t.Fatalf("the ReCap says %s, want %s", got, a.JSON())
		}
		if sentence, _, _ := strings.Cut(mine[statement], " I further authorize"); !reflect.DeepEqual(readSentence(t,
			sentence), readSentence(t, g.Caveats.Sentence("payer", at.Add(time.Hour)))) {
			t.Fatalf("the message shows another sentence than that of its ReCap: %s", sentence)
		}
		for i := range reflect.TypeFor[auth.Caveats]().NumField() {
			name := reflect.TypeFor[auth.Caveats]().Field(i).Name
			change := changed[name]
			if change == nil {
				t.Fatalf("no change is known for the caveat %s", name)
			}
			b := a
			change(&b)
			b = b.Sorted()
			theirs := write(b)
			if theirs[recap] == mine[recap] || theirs[statement] == mine[statement] {
				t.Errorf("%s: changed, and ReCap or statement are the same", name)
			}
			for what, lines := range map[string][]string{
				"the sentence alone": append(append(slices.Clone(mine[:statement]), theirs[statement]),
					mine[statement+1:]...),
				"the ReCap alone": append(slices.Clone(mine[:recap]), theirs[recap]),
			} {
				if _, code := read(lines); code != auth.CodeStatement {
					t.Errorf("%s changed in %s: %q, want %s", name, what, code, auth.CodeStatement)
				}
			}
			other, code := read(theirs)
			if code != "" {
				t.Fatalf("%s changed in both: %s", name, code)
			}
			if rulesOf(other) == rulesOf(g) && name != "From" { // that one is judged before there is a run: internal/api
				t.Errorf("%s: signed otherwise, and the rules are the same", name)
			}
		}
		// Any one character of the sentence.
		limits := strings.Index(mine[statement], " I further authorize")
		for at := range limits {
			lines := slices.Clone(mine)
			line := []byte(lines[statement])
			if line[at] = byte('a' + r.IntN(26)); string(line) == lines[statement] {
				continue
			}
			lines[statement] = string(line)
			if at%7 == 0 {
				if _, code := read(lines); code != auth.CodeStatement {
					t.Fatalf("character %d of the sentence changed: %q, want %s", at, code, auth.CodeStatement)
				}
			}
		}
	}
}

// A delegation has no sentence of its own: it is what its caller's tool says, narrowed. Its rules are made from its
// record alone, so a change of one limit in the record is another delegation, with another CID, that nobody signed.
func TestADelegationsLimitsAreSigned(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	c := wideCaveats(r)
	c.MaxTotal, c.MaxPerCall, c.ApproveAbove = []money.Amount{money.Of(usdc, 50)}, []money.Amount{money.Of(usdc,
		10)}, []money.Amount{money.Of(usdc, 3)}
	c.Chains, c.MaxDepth = []uint64{1, 1337}, 4
	c.Recipients, c.Hosts, c.Models, c.ApproveIfTainted = nil, nil, nil, true
	g := &auth.Grant{Tools: testTools, Caveats: c, NotBefore: time.UnixMilli(0), Expires: time.UnixMilli(3_600_000)}
	a, err := authority.New(g, nil, agentsKey(t))
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.Delegate(&provenance.Delegate{Agent: linkOf("agent"), Tools: testTools, Caveats: c.JSON(), Life: 1000},
		&provenance.Handed{Limits: unbounded}, linkOf("from"), provenance.Parent{Step: linkOf("step")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	sign(t, d)
	limits, err := auth.ParseCaveats(d.Caveats)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range changed {
		x, other := *d, limits
		change(&other)
		x.Caveats = other.Sorted().JSON()
		if x.Caveats == d.Caveats {
			t.Errorf("%s: the record does not say it", name)
		}
		_, err := authority.New(g, []authority.Delegated{{CID: linkOf("x"), Delegation: &x}}, agentsKey(t))
		if e, ok := errors.AsType[*authority.DelegationError](err); !ok || e.Rule != authority.DelegationSignature {
			t.Errorf("%s changed: got %v, want %s", name, err, authority.DelegationSignature)
		}
		if string(layer.Write(d.Tools, limits, testTools[:1], 0)) == string(layer.Write(d.Tools,
			other, testTools[:1], 0)) && name != "MaxDepth" && name != "From" {
			t.Errorf("%s: another limit, the same rules", name)
		}
	}
}

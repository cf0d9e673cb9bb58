package loop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A scriptSetting is what a script's machine is made of: that of setting, with what the script says otherwise.
type scriptSetting struct {
	base       loop.Config
	agent      *provenance.Agent
	grant      *auth.Grant
	tools      []string
	final      string // when a block is final for tools of class chain
	operator   policyText
	dapp       *policyText
	delegation *provenance.Delegation
	life       time.Duration // of the delegation
	own        bool          // the user has signed what it was asked
	turns      uint64        // that it has been given, if not as many as it likes
}

// A policyText is a policy set in its sections.
type policyText struct{ assets, budgets, sets, rules []string }

func (p *policyText) String() string {
	var b strings.Builder
	b.WriteString("schema: writ/policies/1\nname: script\n")
	for _, s := range []struct {
		name  string
		lines []string
	}{{"assets", p.assets}, {"budgets", p.budgets}, {"sets", p.sets}, {"rules", p.rules}} {
		if len(s.lines) > 0 {
			fmt.Fprintf(&b, "%s:\n%s\n", s.name, strings.Join(s.lines, "\n"))
		}
	}
	return b.String()
}

// newSetting has the four tools of setting, and an operator who permits everything.
func newSetting(t *testing.T) *scriptSetting {
	c := setting(t)
	c.Grant.Issued = noon
	return &scriptSetting{
		base: c, agent: c.Agent, grant: c.Grant, tools: []string{"echo.say", "post.send", "bank.pay", "coin.send"},
		operator: policyText{
			assets: []string{"  USDC: 6"},
			rules: []string{
				"  - {id: tools, at: tool.call, effect: permit}",
				"  - {id: spends, at: spend, effect: permit}",
				"  - {id: models, at: model.route, effect: permit}",
				"  - {id: documents, at: retrieval, effect: permit}",
				"  - {id: answers, at: output, effect: permit}",
			},
		},
	}
}

// set takes in one line of a script's setting. It returns false if the line is no such line.
func (s *scriptSetting) set(t *testing.T, key, rest string, block []string) bool {
	switch key {
	case "setting":
	case "final":
		s.final = rest
	case "tools":
		s.tools = strings.Fields(rest)
	case "models":
		s.agent.Routes = nil
		for i, name := range strings.Fields(rest) {
			s.agent.Routes = append(s.agent.Routes,
				provenance.AgentRoute{ID: fmt.Sprint("r", i), When: "true", Use: name})
		}
	case "hedge": // every route of "models"
		for i := range s.agent.Routes {
			s.agent.Routes[i].Hedge = true
		}
	case "window": // of every model
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.base.Runtime.Models {
			s.base.Runtime.Models[i].Window = n
		}
	case "limits":
		s.setEach(t, rest, s.setLimit)
	case "grant":
		s.setEach(t, rest, func(t *testing.T, key, value string) {
			if !setCaveat(t, &s.grant.Caveats, key, value) {
				s.setGrant(t, key, value)
			}
		})
	case "assets":
		s.operator.assets = append(s.operator.assets, block...)
	case "budgets":
		s.operator.budgets = append(s.operator.budgets, block...)
	case "sets":
		s.operator.sets = append(s.operator.sets, block...)
	case "rules":
		s.operator.rules = append(s.operator.rules, block...)
	case "dapp":
		s.dapp = &policyText{assets: s.operator.assets, rules: append(slices.Clone(s.operator.rules[:5]), block...)}
	case "delegation":
		s.setDelegation(t, rest)
	default:
		return false
	}
	return true
}

func (s *scriptSetting) setEach(t *testing.T, rest string, set func(t *testing.T, key, value string)) {
	for _, word := range strings.Fields(rest) {
		key, value, _ := strings.Cut(word, "=")
		set(t, key, value)
	}
}

func (s *scriptSetting) setLimit(t *testing.T, key, value string) {
	l := &s.agent.Limits
	if key == "wall" {
		l.Wall = duration(t, value).Milliseconds()
		return
	}
	n, err := strconv.ParseUint(value, 10, 62)
	if err != nil {
		t.Fatalf("limit %s: %v", key, err)
	}
	switch key {
	case "turns":
		l.Turns = n
	case "calls":
		l.Calls = n
	case "tokens":
		l.Tokens = int64(n)
	case "cost":
		l.Cost = int64(n)
	default:
		t.Fatalf("there is no limit %q", key)
	}
}

func (s *scriptSetting) setGrant(t *testing.T, key, value string) {
	switch key {
	case "expires":
		s.grant.Expires = noon.Add(duration(t, value))
	case "contract": // which signed it, in place of a key
		s.grant.Method = auth.MethodEIP1271
	case "without": // a tool
		s.grant.Tools = append(s.grant.Tools, "-"+value)
	default:
		t.Fatalf("a grant has no %q", key)
	}
}

// setCaveat sets a limit, of a grant or of a delegation.
func setCaveat(t *testing.T, c *auth.Caveats, key, value string) bool {
	amounts := func() []money.Amount {
		if value == "" {
			return nil
		}
		return []money.Amount{exactAmount(t, usdc, value)}
	}
	number := func() uint64 {
		n, err := strconv.ParseUint(value, 10, 62)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return n
	}
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
	switch key {
	case "total":
		c.MaxTotal = amounts()
	case "per_call":
		c.MaxPerCall = amounts()
	case "approve_above":
		c.ApproveAbove = amounts()
	case "calls":
		c.MaxCalls = number()
	case "tokens":
		c.MaxTokens = number()
	case "cost":
		c.MaxCostNanoUSD = int64(number())
	case "depth":
		c.MaxDepth = number()
	case "chains":
		c.Chains = nil
		for _, n := range list {
			chain, err := strconv.ParseUint(n, 10, 62)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Chains = append(c.Chains, chain)
		}
	case "models":
		c.Models = list
	case "hosts":
		c.Hosts = list
	case "recipients":
		c.Recipients = nil
		for _, name := range list {
			c.Recipients = append(c.Recipients, names[name])
		}
	case "approve_if_tainted":
		c.ApproveIfTainted = true
	default:
		return false
	}
	return true
}

func exactAmount(t *testing.T, asset money.Asset, decimal string) money.Amount {
	a, err := money.ParseDecimal(asset, decimal)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// setDelegation has the script be the run of a sub-agent, under the grant's limits as far as the line does not say
// otherwise.
func (s *scriptSetting) setDelegation(t *testing.T, rest string) {
	c := s.grant.Caveats
	s.life = 10 * time.Minute
	c.MaxDepth--
	s.setEach(t, rest, func(t *testing.T, key, value string) {
		switch {
		case setCaveat(t, &c, key, value):
		case key == "own":
			s.own = true
		case key == "turns":
			n, err := strconv.ParseUint(value, 10, 62)
			if err != nil {
				t.Fatalf("turns: %v", err)
			}
			s.turns = n
		case key == "life":
			s.life = duration(t, value)
		default:
			t.Fatalf("a delegation has no %q", key)
		}
	})
	s.agent.Name = "helper"
	s.delegation = &provenance.Delegation{
		From: s.base.Session, Call: provenance.Parent{Step: provenance.Sum(0x71, []byte("call"))},
		Limits:  provenance.Limits{Turns: 1 << 20, Calls: 1 << 20, Tokens: 1 << 40, Cost: 1 << 40, Wall: 1 << 40},
		Caveats: c.JSON(), At: noon.UnixMilli(), Expires: noon.Add(s.life).UnixMilli(), Own: s.own,
	}
	if s.turns > 0 {
		s.delegation.Limits.Turns = s.turns
	}
}

// catalogue lists the tools that a script may name. Those that are not in setting differ in what their results are.
func catalogue() []tools.Spec {
	read := func(name string, out tools.Output, clearance label.Secrecy) tools.Spec {
		return tools.Spec{
			Name: name, About: "Reads.", Class: tools.Read, Schema: json.RawMessage(textSchema), Output: &out,
			Clearance: clearance,
		}
	}
	list := []tools.Spec{
		read("web.get", tools.Output{Integrity: label.Untrusted, Origins: true}, label.Session),
		read("notes.read", tools.Output{Integrity: label.Tool, Secrecy: label.Wallet}, label.Session),
		read("notes.search", tools.Output{Integrity: label.Tool, Secrecy: label.Wallet}, label.Wallet),
		read("vault.read", tools.Output{Integrity: label.Tool, Secrecy: label.Secret}, label.Session),
		read("docs.find", tools.Output{Integrity: label.Tool, Documents: true}, label.Session),
		read("price.get", tools.Output{Integrity: label.Tool}, label.Session),
		tools.AskUser().Spec(),
		definition.AgentTool("helper", "Helps.", []string{"ask the helper to {input}", "have the helper {input}"}),
	}
	for _, s := range offered() {
		if s.Spend != nil {
			s.Utterances = []string{"send {amount} {token} to {to}", "pay {to} {amount} {token}"}
		}
		if s.Class == tools.Read {
			s.Output = &tools.Output{Integrity: label.Tool}
		}
		if s.Class == tools.Keyed || s.Class == tools.ChainTx {
			s.Output = &tools.Output{Integrity: label.Tool}
		}
		if s.Name == "bank.pay" { // and one that takes more than what it pays
			wire := s
			wire.Name, wire.Schema = "bank.wire", json.RawMessage(wireSchema)
			list = append(list, wire)
		}
		if list = append(list, s); s.Class == tools.ChainTx {
			s.Name, s.Class = "wallet.send", tools.WalletTx
			list = append(list, s)
		}
	}
	return list
}

// config makes the machine's config of the setting, as the wallet has signed it.
func (s *scriptSetting) config(t *testing.T) loop.Config {
	c := s.base
	s.addTools(t, &c)
	c.Rules = &provenance.PolicySet{Name: "script", Source: s.operator.String()}
	c.Grant.AgentCID, c.Grant.RulesCID = cidOf(t, c.Agent), cidOf(t, c.Rules)
	if s.dapp != nil {
		c.Dapp = &provenance.PolicySet{
			Name: "shop", Source: s.dapp.String(), Under: c.Grant.RulesCID, Origin: c.Grant.Origin(),
		}
		c.Grant.RulesCID = cidOf(t, c.Dapp)
	}
	if s.delegation != nil {
		s.delegate(t, &c)
	}
	return c
}

func (s *scriptSetting) addTools(t *testing.T, c *loop.Config) {
	without := func(name string) bool { return slices.Contains(c.Grant.Tools, "-"+name) }
	var granted []string
	c.Agent.Tools = nil
	for _, name := range s.tools {
		i := slices.IndexFunc(catalogue(), func(spec tools.Spec) bool { return spec.Name == name })
		if i < 0 {
			t.Fatalf("there is no tool %q", name)
		}
		spec := catalogue()[i]
		if spec.Class == tools.ChainTx {
			spec.Final = s.final
		}
		rec, book, err := definition.RecordOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		if name == "agent.helper" {
			caveats := c.Grant.Caveats
			caveats.MaxDepth = 0
			rec.Delegate = &provenance.Delegate{
				Agent: provenance.Sum(0x71,
					[]byte("helper")), Tools: []string{"bank.pay"}, Caveats: caveats.JSON(), Life: 60_000,
			}
		}
		link := cidOf(t, rec)
		c.Tools[link] = rec
		if book != nil {
			c.Books[book.CID] = book.Data
		}
		c.Agent.Tools = append(c.Agent.Tools, link)
		if !without(name) {
			granted = append(granted, name)
		}
	}
	slices.Sort(granted)
	c.Grant.Tools = granted
}

// delegate puts the delegation under the grant, signed by the key of the runtime's agents.
func (s *scriptSetting) delegate(t *testing.T, c *loop.Config) {
	key, err := auth.Generate(auth.Ed25519, bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	d := s.delegation
	d.Agent, d.Tools, d.Issuer = cidOf(t, c.Agent), c.Grant.Tools, key.Public().String()
	signed, err := d.Signed()
	if err != nil {
		t.Fatal(err)
	}
	if d.Sig, err = key.Sign(signed); err != nil {
		t.Fatal(err)
	}
	c.Grant.NotBefore, c.Agents = noon, key.Public()
	c.Delegations = []authority.Delegated{{CID: cidOf(t, d), Delegation: d}}
}

func cidOf(t *testing.T, rec provenance.Record) provenance.Link {
	b, err := provenance.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	return b.CID
}

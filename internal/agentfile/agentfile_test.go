package agentfile_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

const small = `schema: writ/agent/1
name: small
instructions: Say little.
tools: [echo.say]
routes: [{id: only, use: scripted}]
limits: {turns: 3, usd: "0.25", wall: 30m}
threads: {busy: wait}
grant:
  assets: {USDC: 6}
  max_total: {USDC: "2.5"}
  max_per_call: {USDC: "1"}
  approve_above: {USDC: "0"}
  max_calls: 4
  max_tokens: 100
  max_usd: "1"
  chains: [1337]
`

func TestAFileAndAGoValueAreTheSameAgent(t *testing.T) {
	got, err := agentfile.Parse([]byte(small), 1337)
	if err != nil {
		t.Fatal(err)
	}
	want := agentfile.Definition{
		Name: "small", Instructions: "Say little.", Tools: []string{"echo.say"},
		Routes:      []agentfile.Route{{ID: "only", Use: "scripted"}},
		Limits:      agentfile.Limits{Turns: 3, Cost: 250_000_000, Wall: 30 * time.Minute},
		ThreadWaits: true,
		Grant: auth.Caveats{
			MaxTotal: []money.Amount{money.Of(usdc, 2_500_000)}, MaxPerCall: []money.Amount{money.Of(usdc, 1_000_000)},
			ApproveAbove: []money.Amount{money.Of(usdc, 0)}, MaxCalls: 4, MaxTokens: 100,
			MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	version := func(d agentfile.Definition) string {
		rec, err := d.Record(map[string]provenance.Link{"echo.say": provenance.Sum(cid.DagCBOR, []byte("a tool"))})
		if err != nil {
			t.Fatal(err)
		}
		b, err := provenance.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		return b.CID.String()
	}
	if a, b := version(got), version(want); a != b {
		t.Errorf("two versions of one agent: %s and %s", a, b)
	}
}

func TestAgentFilesThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"an unknown key is named with its line", "limits:", "limitz:", "line 6"},
		{"another schema", "writ/agent/1", "writ/agent/9", "writ/agent/9"},
		{"a name with capitals", "name: small", "name: Small", "lower-case"},
		{"no route", "routes: [{id: only, use: scripted}]", "", "no routes"},
		{"money as no decimal", `"0.25"`, `"a quarter"`, "limits.usd"},
		{"more decimals than the asset has", `"2.5"`, `"2.5000001"`, "max_total"},
		{"what a grant lacks", "  max_calls: 4\n", "", "its grant lacks max_calls: no wallet could sign it"},
		{"an asset without decimals", "assets: {USDC: 6}", "assets: {DAI: 18}", "grant.assets"},
		{"a duration that is none", "30m", "soon", "limits.wall"},
		{"a duration that rounds to none", "30m", "30us", "limits.wall"},
		{"a host with a port", "chains: [1337]", "chains: [1337]\n  hosts: ['127.0.0.1:8460']", "no wallet could sign its grant: hosts: entry 1 is not allowed"},
		{"two documents", "chains: [1337]\n", "chains: [1337]\n---\na: 1\n", "more than one document"},
		{"no YAML", "schema:", "\t", "read the agent file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := agentfile.Parse([]byte(strings.Replace(small, tt.from, tt.to, 1)), 1337)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
	if _, err := agentfile.Parse([]byte(strings.Repeat("#", 65<<10)), 1337); err == nil {
		t.Error("a file of 65 KiB was read")
	}
}

const family = `schema: writ/agent/1
name: front
instructions: Ask the payer.
routes: [{id: only, use: scripted}]
delegates:
  - agent: payer
    life: 5m
    grant:
      max_total: {USDC: "5"}
      hosts: [b.example]
      recipients: ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]
grant:
  assets: {USDC: 6, DAI: 18}
  max_total: {USDC: "20", DAI: "3"}
  max_per_call: {USDC: "10", DAI: "2"}
  approve_above: {USDC: "1", DAI: "0"}
  max_calls: 40
  max_tokens: 1000
  max_usd: "0.5"
  max_depth: 2
  chains: [1, 1337]
  hosts: [a.example, b.example]
  models: [scripted]
  approve_if_tainted: true
`

// All keys that a grant lacks are told at once.
func TestAllThatAGrantLacksIsTold(t *testing.T) {
	_, err := agentfile.Parse([]byte(`schema: writ/agent/1
name: payer
instructions: pay
routes: [{id: rules, use: rules}]
grant: {assets: {USDC: 6, DAI: 18}, max_total: {USDC: "5"}, approve_above: {DAI: "1"}}
`), 1337)
	const want = "its grant lacks max_total.DAI, max_per_call.DAI, max_per_call.USDC, approve_above.USDC, max_calls, " +
		"max_tokens, max_usd: no wallet could sign it"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What a delegate's grant does not say is its caller's; what it says is narrower.
func TestADelegatesGrantIsItsCallersNarrowed(t *testing.T) {
	d, err := agentfile.Parse([]byte(family), 1337)
	if err != nil {
		t.Fatal(err)
	}
	want := d.Grant.Sorted()
	five := []money.Amount{money.Of(usdc, 5_000_000)}
	want.MaxTotal, want.MaxPerCall, want.ApproveAbove = five, five, []money.Amount{money.Of(usdc, 1_000_000)}
	want.Hosts, want.Recipients, want.MaxDepth = []string{"b.example"}, []common.Address{common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")}, 0
	if got := d.Delegates[0].Grant; got.JSON() != want.JSON() {
		t.Errorf("got  %s\nwant %s", got.JSON(), want.JSON())
	}
}

// A wider one is refused where it stands, whichever limit it is.
func TestADelegatesGrantIsNeverWider(t *testing.T) {
	for _, tt := range []struct{ grant, want string }{
		{`{max_calls: 41}`, `line 8: delegates 1: grant.max_calls: 41 is wider than 40`},
		{`{max_tokens: 1001}`, `grant.max_tokens: 1001 is wider than 1000`},
		{`{max_usd: "0.51"}`, `grant.max_usd: 0.51 USD is wider than 0.5 USD`},
		{`{max_depth: 2}`, `grant.max_depth: 2 is wider than 1`},
		{`{chains: [1, 10]}`, `grant.chains: 1 10 is wider than 1 1337`},
		{`{hosts: [c.example]}`, `grant.hosts: c.example is wider than a.example, b.example`},
		{`{hosts: []}`, `grant.hosts: any is wider than a.example, b.example`},
		{`{models: [scripted, large]}`, `grant.models: large, scripted is wider than scripted`},
		{`{approve_if_tainted: false}`, `grant.approve_if_tainted: false is wider than true`},
		{`{max_total: {USDC: "20.000001"}}`, `grant.max_total: 20.000001 USDC is wider than`},
		{`{max_per_call: {USDC: "10.5"}}`, `grant.max_per_call: 2 DAI, 10.5 USDC is wider than 2 DAI, 10 USDC`},
		{`{approve_above: {DAI: "1"}}`, `grant.approve_above: 1 DAI, 1 USDC is wider than 0 DAI, 1 USDC`},
		{`{max_total: {USDC: "5"}, max_per_call: {DAI: "1"}}`, `grant.max_per_call: the delegate spends no DAI`},
		{`{max_total: {USDC: "5"}, max_per_call: {USDC: "6"}}`, `grant.max_per_call: 6 USDC is more than the total of 5 USDC`},
		{`{assets: {WETH: 18}, max_total: {WETH: "1"}}`, `grant.assets: the agent's own grant has no WETH with 18 decimals`},
		{`{assets: {USDC: 2}}`, `grant.assets: the agent's own grant has no USDC with 2 decimals`},
		{`{max_total: {WETH: "1"}}`, `grant.max_total: WETH is not among`},
		{`{recipients: [bob]}`, `grant.recipients: entry 1 is not an address`},
		{`{recipients: ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8"]}`, `grant.recipients: entry 1 is not an address with the capitals`},
		{"\n      max_calls: 4\n      max_tokens: 9000", `line 10: delegates 1: grant.max_tokens: 9000 is wider`},
	} {
		head, rest, _ := strings.Cut(family, "    grant:\n")
		_, tail, _ := strings.Cut(rest, "grant:\n")
		_, err := agentfile.Parse([]byte(head+"    grant: "+tt.grant+"\ngrant:\n"+tail), 1337)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.grant, err, tt.want)
		}
	}
}

func TestTheShippedAgentsLoad(t *testing.T) {
	if got := agentfile.ShippedNames(); !slices.Equal(got, []string{"reader", "researcher", "treasurer"}) {
		t.Errorf("got %v", got)
	}
	for _, name := range agentfile.ShippedNames() {
		d, err := agentfile.Shipped(name, 8453)
		if err != nil || d.Name != name {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Grant.Validate(); err != nil {
			t.Errorf("%s: its grant cannot be written: %v", name, err)
		}
	}
	if _, err := agentfile.Shipped("nobody", 1); err == nil || !strings.Contains(err.Error(), "treasurer") {
		t.Errorf("got %v, want it to name those that there are", err)
	}
}

// The published schema has the keys that are read, and no others.
func TestThePublishedSchemaNamesTheKeys(t *testing.T) {
	b, err := os.ReadFile("agents/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	for key, sub := range s.Properties {
		if !strings.Contains(small+"about: answer: delegates:", key+":") {
			t.Errorf("the schema has %q, which no example uses", key)
		}
		for k := range sub.Properties {
			src := "schema: writ/agent/1\n" + key + ": {" + k + ": }\n"
			if _, err := agentfile.Parse([]byte(src), 1337); err != nil && strings.Contains(err.Error(), "there is no key") {
				t.Errorf("the schema has %s.%s, which is not read: %v", key, k, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := agentfile.Parse(src, 1337)
		if err == nil && (d.Name == "" || d.Instructions == "" || len(d.Routes) == 0) {
			t.Errorf("an agent without a name, instructions or routes: %+v", d)
		}
	})
}

package agent_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
)

const small = `schema: writ/agent/1
name: small
instructions: Say little.
tools: [echo.say]
routes: [{id: only, use: scripted}]
limits: {turns: 3, usd: "0.25", wall: 30m}
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
	got, err := agent.ParseDefinition([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := agent.Definition{
		Name: "small", Instructions: "Say little.", Tools: []string{"echo.say"},
		Routes: []agent.Route{{ID: "only", Use: "scripted"}},
		Limits: agent.Limits{Turns: 3, Cost: 250_000_000, Wall: 30 * time.Minute},
		Grant: auth.Caveats{
			MaxTotal: []money.Amount{money.Of(usdc, 2_500_000)}, MaxPerCall: []money.Amount{money.Of(usdc, 1_000_000)},
			ApproveAbove: []money.Amount{money.Of(usdc, 0)}, MaxCalls: 4, MaxTokens: 100,
			MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	version := func(d agent.Definition) string {
		b := openWith(t, replies{}, func(c *agent.Config) { c.Agents = append(c.Agents, d) })
		return b.r.Agents()[1].CID.String()
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
		{"an asset without decimals", "assets: {USDC: 6}", "assets: {DAI: 18}", "grant.assets"},
		{"a duration that is none", "30m", "soon", "limits.wall"},
		{"a duration that rounds to none", "30m", "30us", "limits.wall"},
		{"two documents", "chains: [1337]\n", "chains: [1337]\n---\na: 1\n", "more than one document"},
		{"no YAML", "schema:", "\t", "read the agent file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := agent.ParseDefinition([]byte(strings.Replace(small, tt.from, tt.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
	if _, err := agent.ParseDefinition([]byte(strings.Repeat("#", 65<<10))); err == nil {
		t.Error("a file of 65 KiB was read")
	}
}

func TestTheShippedAgentsLoad(t *testing.T) {
	for _, name := range []string{"treasurer", "reader"} {
		d, err := agent.Shipped(name)
		if err != nil || d.Name != name {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Grant.Validate(); err != nil {
			t.Errorf("%s: its grant cannot be written: %v", name, err)
		}
	}
	if _, err := agent.Shipped("nobody"); err == nil || !strings.Contains(err.Error(), "treasurer") {
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
		if !strings.Contains(small+"about: delegates:", key+":") {
			t.Errorf("the schema has %q, which no example uses", key)
		}
		for k := range sub.Properties {
			src := "schema: writ/agent/1\n" + key + ": {" + k + ": }\n"
			if _, err := agent.ParseDefinition([]byte(src)); err != nil && strings.Contains(err.Error(), "not found in type") {
				t.Errorf("the schema has %s.%s, which is not read: %v", key, k, err)
			}
		}
	}
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(small))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := agent.ParseDefinition(src)
		if err == nil && (d.Name == "" || d.Instructions == "" || len(d.Routes) == 0) {
			t.Errorf("an agent without a name, instructions or routes: %+v", d)
		}
	})
}

func TestWhatARunnerRefusesAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*agent.Config)
		want   string
	}{
		{"two agents of one name", func(c *agent.Config) { c.Agents = append(c.Agents, c.Agents[0]) }, `agent "payer" is there twice`},
		{"two models of one name", func(c *agent.Config) { c.Models = append(c.Models, c.Models[0]) }, `model "scripted" is there twice`},
		{"two tools of one name", func(c *agent.Config) { c.Tools = append(c.Tools, c.Tools[0]) }, "bank.pay is there twice"},
		{"a route that does not compile", func(c *agent.Config) { c.Agents[0].Routes[0].When = "nosuch > 1" }, `route "only"`},
		{"a tool that is not there", func(c *agent.Config) { c.Agents[0].Tools = []string{"no.tool"} }, `"no.tool"`},
		{"a policy set that does not load", func(c *agent.Config) { c.Policy.Source = []byte("schema: x") }, `policy set "test"`},
		{"no key to sign heads with", func(c *agent.Config) { c.Key = nil }, "Key"},
		{"no store", func(c *agent.Config) { c.Store = nil }, "Store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, store.NewMemory(), replies{}, new(atomic.Int64), new(atomic.Int64))
			tt.change(&c)
			r, err := agent.New(t.Context(), c)
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

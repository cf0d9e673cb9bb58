package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/module"
)

// splitter is the example's module as a tool. If says is not empty, a server that lies returns that.
func splitter(t *testing.T, says string) (agent.Tool, *module.Module) {
	t.Helper()
	data, err := os.ReadFile("../examples/wasm/split.wasm")
	if err != nil {
		t.Fatal(err)
	}
	m, err := module.Read(t.Context(), data, 0)
	if err != nil {
		t.Fatal(err)
	}
	tool, err := m.Tool(tools.Spec{
		Name: "split.evenly", About: "Splits an amount evenly.", Utterances: []string{"split {cents} between {people}"},
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["cents","people"],"properties":{
			"cents":{"type":"integer","minimum":0},"people":{"type":"integer","minimum":0}}}`),
		Output: &tools.Output{Integrity: label.Tool, Secrecy: label.Session},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if says != "" {
		return liar{tool, says}, m
	}
	return tool, m
}

type liar struct {
	agent.Tool
	says string
}

func (l liar) Call(context.Context, tools.Input) ([]byte, error) { return []byte(l.says), nil }

// Whoever has the module computes its results again. A server that signs another result is found out, and so is one that
// signs a result where there is none.
func TestResultsOfModulesAreComputedAgain(t *testing.T) {
	for _, tt := range []struct {
		name, says, asks string
		has              bool
		code             provenance.Code
		told             string
	}{
		{"the module's own result", "", "split 1000 between 3", true, "", "computed again and are the same: 1"},
		{"without the module", "", "split 1000 between 3", false, "", "was not computed again"},
		{"another result", `{"each":333,"left":2}`, "split 1000 between 3", true, audit.CodeContextModule, "has another result"},
		{"the same in another spelling", `{"left":1,"each":333}`, "split 1000 between 3", true, audit.CodeContextModule,
			"has another result"},
		{"a result where there is none", `{"each":333,"left":1}`, "split 1000 between 0", true, audit.CodeContextModule,
			"has no result"},
		{"another result, without the module", `{"each":333,"left":2}`, "split 1000 between 3", false, "",
			"was not computed again"},
		{"a failure", "", "split 1000 between 0", true, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tool, m := splitter(t, tt.says)
			a := open(t, agent.Config{Tools: []agent.Tool{tool}})
			answer := ask(t, a, tt.asks)
			var file bytes.Buffer
			if err := answer.CAR(t.Context(), &file); err != nil {
				t.Fatal(err)
			}
			keys, err := answer.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			car, err := provenance.OpenCAR(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			o := audit.Options{Keys: keys}
			if tt.has {
				o.Compute = func(cid string, args []byte) ([]byte, bool) {
					if cid != m.CID() {
						return nil, false
					}
					out, _ := m.Run(t.Context(), args)
					return out, true
				}
			}
			rep := audit.Verify(car, o)
			told := rep.Detail + rep.Status(provenance.CheckContext).Note + strings.Join(rep.Unproven, "\n")
			if rep.Code != tt.code || !strings.Contains(told, tt.told) {
				t.Errorf("code %q, told %s; want %q and %q", rep.Code, told, tt.code, tt.told)
			}
		})
	}
}

package runner_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
)

// A Go program's delegate is no wider than its caller either, as one of an agent file.
func TestADelegatesGrantIsNeverWiderInAGoProgram(t *testing.T) {
	c := config(t, storetest.Memory(t), replies{}, new(atomic.Int64), new(atomic.Int64))
	withDelegates(&c, "boss")
	c.Agents[0].Delegates[0].Grant.MaxCalls++
	if _, err := runner.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), `delegate "payer": its limits against the grant of "boss": max_calls`) {
		t.Errorf("got %v", err)
	}
}

func TestWhatARunnerRefusesAtTheStart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*runner.Config)
		want   string
	}{
		{"two agents of one name", func(c *runner.Config) { c.Agents = append(c.Agents, c.Agents[0]) }, `agent "payer" is there twice`},
		{"two models of one name", func(c *runner.Config) { c.Models = append(c.Models, c.Models[0]) }, `model "scripted" is there twice`},
		{"two tools of one name", func(c *runner.Config) { c.Tools = append(c.Tools, c.Tools[0]) }, "bank.pay is there twice"},
		{"a route that does not compile", func(c *runner.Config) { c.Agents[0].Routes[0].When = "nosuch > 1" }, `route "only"`},
		{"a tool that is not there", func(c *runner.Config) { c.Agents[0].Tools = []string{"no.tool"} }, `"no.tool"`},
		{"a policy set that does not load", func(c *runner.Config) { c.Policy.Source = []byte("schema: x") }, `policy set "test"`},
		{"no key to sign heads with", func(c *runner.Config) { c.Key = nil }, "Key"},
		{"no store", func(c *runner.Config) { c.Store = nil }, "Store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, storetest.Memory(t), replies{}, new(atomic.Int64), new(atomic.Int64))
			tt.change(&c)
			r, err := runner.New(t.Context(), c)
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

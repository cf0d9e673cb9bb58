package modelcall_test

import (
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies"
)

// What is left to ask depends on who failed how, and on when who failed wants to be asked again.
func TestCandidatesAfterFailures(t *testing.T) {
	small := model.Info{Name: "small", Kind: model.KindModel}
	rules := []route.Rule{{ID: "one", When: always(t), Models: []model.Info{small}}}
	for _, tt := range []struct {
		name  string
		fails int
		code  fault.Code
		after int64
		from  int64 // of the one candidate; -1 for none
	}{
		{"nothing has failed", 0, "", 0, 0},
		{"a model that failed is not asked again", 1, fault.ModelFailed, 0, -1},
		{"unless its provider says when", 1, fault.ModelRate, 500, 1500},
		{"but not for ever", 4, fault.ModelRate, 500, -1},
		{"nor when the run is over by then", 1, fault.ModelRate, 9_000, -1},
		{"nor is a queue of one's own that is full waited for besides", 1, fault.ModelBusy, 500, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tries modelcall.Tries
			for range tt.fails {
				tries.Fail("small", tt.code, 1000, tt.after)
			}
			cands, from, err := tries.Candidates(rules, route.Need{Tried: tries.Models}, 9_000)
			if err != nil {
				t.Fatal(err)
			}
			if len(cands) == 0 {
				from = -1
			}
			if from != tt.from {
				t.Errorf("asked from %d on, want %d", from, tt.from)
			}
		})
	}
}

func always(t *testing.T) *policies.RouteCond {
	t.Helper()
	cond, err := policies.CompileRoute("true")
	if err != nil {
		t.Fatal(err)
	}
	return cond
}

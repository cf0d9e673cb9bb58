package modelcall

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/fault"
)

// maxAsksOfOne is how often one model is asked in one turn, whose provider says when it wants to be asked again.
const maxAsksOfOne = 4

// Tries are the models that failed to answer one turn. The zero Tries are none.
type Tries struct {
	Models  []string   // once for each failure
	Failure fault.Code // why the last one failed, until a model answers; "" if none did
	After   int64      // ms after which its provider wants to be asked again

	later []wait // of those, when their providers want to be asked again
}

// A wait is when a model's provider wants to be asked again.
type wait struct {
	model string
	at    int64 // ms UTC
	rate  bool  // since this account has asked too often
}

// Clip makes room: what is added to the result is not seen by who has t.
func (t Tries) Clip() Tries {
	t.Models, t.later = slices.Clip(t.Models), slices.Clip(t.later)
	return t
}

// Fail notes that a model did not answer, and that its provider wants to be asked again after so many ms; 0 for not
// said. A queue of one's own that is full is not waited for besides.
func (t *Tries) Fail(model string, code fault.Code, at, after int64) {
	t.Models = append(t.Models, model)
	if code == fault.ModelOutrun && t.Failure != "" { // the other one has failed all the same, and says more
		return
	}
	t.Failure, t.After = code, after
	if after > 0 && code.Retryable() && code != fault.ModelBusy {
		t.later = append(t.later, wait{model, at + after, code == fault.ModelRate})
	}
}

// Answer notes that a model has answered. Rules answer in the place of a model that failed, and say so: the failure
// stays.
func (t *Tries) Answer(m model.Info) {
	t.Models, t.later = nil, nil
	if m.Kind != model.KindRules {
		t.Failure, t.After = "", 0
	}
}

// AreProviders says whether there are any, and the last one was the provider's fault.
func (t *Tries) AreProviders() bool { return len(t.Models) > 0 && t.Failure.Whose() == fault.Provider }

// Candidates returns the models that may be asked next, in order. If no real one is left, and a provider has said when
// it wants to be asked again, and that is before end, its model is the first, and from says from when on.
func (t *Tries) Candidates(
	rules []route.Rule, n route.Need, end int64,
) (cands []route.Candidate, from int64, err error) {
	if cands, err = route.Candidates(rules, n); err != nil {
		return nil, 0, err
	}
	isReal := func(c route.Candidate) bool { return c.Model.Kind == model.KindModel }
	if n.Once || len(t.later) == 0 || slices.ContainsFunc(cands, isReal) {
		return cands, 0, nil
	}
	next := t.soonest(end)
	if next == nil {
		return cands, 0, nil
	}
	isNext := func(name string) bool { return name == next.model }
	n.Tried = slices.DeleteFunc(slices.Clone(n.Tried), isNext)
	if next.rate { // a rate limit is over then; other failures are not
		n.Down = slices.DeleteFunc(slices.Clone(n.Down), isNext)
	}
	again, err := route.Candidates(rules, n)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(again, func(c route.Candidate) bool { return c.Model.Name == next.model })
	if i < 0 {
		return cands, 0, nil
	}
	return append([]route.Candidate{again[i]}, cands...), next.at, nil
}

// soonest returns which model may be asked again first, before end; nil if none may.
func (t *Tries) soonest(end int64) (next *wait) {
	for i := range t.later {
		l := &t.later[i]
		tries, newer := 0, false
		for _, name := range t.Models {
			if name == l.model {
				tries++
			}
		}
		for _, x := range t.later[i+1:] {
			newer = newer || x.model == l.model
		}
		if !newer && tries < maxAsksOfOne && l.at < end && (next == nil || l.at < next.at) {
			next = l
		}
	}
	return next
}

// Tell returns why no model has answered, and the sentence that says it.
func (t *Tries) Tell() (fault.Code, string) {
	code := cmp.Or(t.Failure, fault.ModelFailed)
	var tried []string
	for _, name := range t.Models {
		if !slices.Contains(tried, name) {
			tried = append(tried, name)
		}
	}
	return code, fmt.Sprintf("No model answered (tried: %s): %s.", strings.Join(tried, ", "), code.Told())
}

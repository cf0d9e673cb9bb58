package tamper

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/provenance"
)

// foldWorld is a run whose results are more than its model reads, so that something is left out; summed says that a
// model sums it up.
func foldWorld(summed bool) func() *world {
	return func() *world {
		w := smallWorld()
		w.window, w.wire = 2000, summed
		long := 24
		if summed { // there is room for the summary too
			w.window, long = 4000, 60
		}
		page := func(n int) model.Reply {
			return replyCall("echo.say", fmt.Sprintf(`{"text":%q}`, strings.Repeat(fmt.Sprintf("page %d is long. ", n), long)))
		}
		w.replies = []model.Reply{page(1), page(2), page(3), replyText("The pages are long.")}
		if summed {
			w.replies = append(w.replies, replyText("They are long."))
		}
		return w
	}
}

// folds returns the model calls for which something is left out.
func (h *history) folds() (out []*provenance.AskModel) {
	for _, s := range h.steps {
		for _, e := range s.Does {
			if ask, ok := e.(*provenance.AskModel); ok && ask.Fold != nil {
				out = append(out, ask)
			}
		}
	}
	return out
}

// lieAboutFold changes what is said to be left out, in a run that has left something out.
func lieAboutFold(change func(*provenance.AskModel)) func(*bench) ([]byte, error) {
	return changeHistory(foldWorld(false), func(h *history) error {
		list := h.folds()
		if len(list) == 0 || list[0].Fold.How != provenance.FoldCut {
			return fmt.Errorf("nothing was left out: %d folds", len(list))
		}
		change(list[0])
		return nil
	})
}

// falseFolds are runs in which something else was left out of the talk than its length asks for.
var falseFolds = []vector{
	{Name: "honest-fold-summed", Verdict: verified, What: "the same, summed up by a model",
		make: changeHistory(foldWorld(true), func(h *history) error {
			if list := h.folds(); len(list) == 0 || list[0].Fold.How != provenance.FoldSum {
				return fmt.Errorf("nothing was summed up: %d folds", len(list))
			}
			return nil
		})},
	{Name: "fold-none", Code: audit.CodeContextFold, What: "that something was left out is kept back",
		make: lieAboutFold(func(ask *provenance.AskModel) { ask.Fold = nil })},
	{Name: "fold-moved", Code: audit.CodeContextFold, What: "other steps are said to be left out",
		make: lieAboutFold(func(ask *provenance.AskModel) { ask.Fold.To++ })},
	{Name: "fold-summary", Code: audit.CodeContextPrompt, What: "after a summary the model was given something else",
		make: changeHistory(foldWorld(true), func(h *history) error {
			asks := 0
			for _, s := range h.steps {
				for _, e := range s.Does {
					ask, ok := e.(*provenance.AskModel)
					if ok && asks > 0 {
						ask.Prompt[0] ^= 1
						return nil
					}
					if ok && ask.Fold != nil && ask.Fold.How == provenance.FoldSum {
						asks++
					}
				}
			}
			return fmt.Errorf("nothing was summed up")
		})},
}

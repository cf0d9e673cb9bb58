package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/provenance"
)

// Codes of costs that are not those of the price table which the verifier has.
const (
	CodePriceTable provenance.Code = "totals.table" // a model that is priced by another table
	CodePriceCost  provenance.Code = "totals.price" // a call whose cost is another by the table, or of a model not in it
)

// A PriceTable is what tokens cost, as the verifier knows it by another way than the evidence.
type PriceTable struct {
	CID string // as the runtime's record names it
	// Reprice returns a model with the table's prices in the place of its own; false if the table does not have it.
	Reprice func(provenance.ModelInfo) (provenance.ModelInfo, bool)
}

// A pricing computes costs again.
type pricing struct{ *auditor }

// checkPrices computes what each call of a model cost again, with the verifier's table in the place of the prices that
// the runtime's record has. Without one it says which tables were not looked at. Neither needs a key: tokens and costs
// are not sealed.
func (a pricing) checkPrices() {
	models := map[string]provenance.ModelInfo{}
	for _, m := range a.ev.Runtime.Models {
		if _, twice := models[m.Name]; !twice {
			models[m.Name] = m
		}
	}
	var tables []string // that are named and were not looked at
	checked, byHand := 0, 0
	err := a.ev.Each(func(at provenance.Link, s *provenance.Step) error {
		reply, ok := s.Event.(*provenance.Reply)
		if !ok || reply.Model == nil || reply.From != nil { // an answer that is given again costs nothing
			return nil
		}
		was := reply.Model
		m, known := models[was.Name]
		switch {
		case !known: // the check of the decisions reports it
		case m.Prices == "":
			if m.PriceIn != 0 || m.PriceOut != 0 {
				byHand++
			}
		case a.prices == nil:
			if !slices.Contains(tables, m.Prices) {
				tables = append(tables, m.Prices)
			}
		default:
			checked++
			a.comparePrice(at, s.Seq, was, m)
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return
	}
	if len(tables) > 0 {
		a.rep.Unprove("that models cost what was counted: their prices are said to be from the table " +
			strings.Join(tables, " and ") + ", and no table was given (--prices)")
	}
	if byHand > 0 && a.prices != nil {
		a.rep.Unprove(fmt.Sprintf("that %d calls of models cost what was counted: their prices were set by hand, and no "+
			"table is named for them", byHand))
	}
	if c := a.rep.Status(provenance.CheckTotals); checked > 0 && c.Status == provenance.Pass {
		note := fmt.Sprintf("%d calls of models cost what the table %s says", checked, a.prices.CID)
		if c.Note != "" {
			note = c.Note + "; " + note
		}
		a.rep.Pass(provenance.CheckTotals, c.Count, note)
	}
}

// comparePrice compares one call's cost with that by the table.
func (a pricing) comparePrice(at provenance.Link, seq uint64, was *provenance.ModelCall, m provenance.ModelInfo) {
	fail := func(code provenance.Code, format string, args ...any) {
		a.failCheck(provenance.CheckTotals, code, at, "step %d: %s", seq, fmt.Sprintf(format, args...))
	}
	if m.Prices != a.prices.CID {
		fail(CodePriceTable, "the model %s is priced by the table %s, and the one given is %s", m.Name, m.Prices,
			a.prices.CID)
		return
	}
	priced, known := a.prices.Reprice(m)
	if !known {
		fail(CodePriceCost, "the model %s has a price, and the table has no %q", m.Name, m.Model)
		return
	}
	u := was.Usage
	if max(u.In, u.Out, u.Cached, u.Write5m, u.Write1h) > modelcall.MaxUsage {
		return // the check of the decisions reports it
	}
	if cost := route.ModelInfoOf(priced).Cost(modelcall.UsageOf(u)); cost != was.Cost {
		fail(CodePriceCost, "the call of %s costs %d nano-USD by the table, and %d by the record", m.Name, cost, was.Cost)
	}
}

package loop

import (
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
)

// viewTurn fills in what is known of the turn.
func (w *work) viewTurn(r *policies.Request) {
	r.Left = route.LeftToCost(w.m.limits.Cost-w.s.totals.Cost, r.Budgets)
	r.Spent = route.SpentOf(LayerGrant+"/cost", r.Budgets)
	r.Mistakes, r.Failed = w.s.mistakes, int64(len(w.s.tried))
	if !w.s.lastTurn {
		r.Offered = int64(len(w.m.offered) + len(w.s.client))
	}
	if w.m.viewsTurn {
		r.Planned, r.Writes = w.readTurn()
	}
}

// readTurn reads the request, once a run.
func (w *work) readTurn() (planned, writes bool) {
	if v := &w.s.view; !v.read {
		v.read = true
		v.planned, v.writes = readRequest(w.m, w.s.request)
	}
	return w.s.view.planned, w.s.view.writes
}

package loop

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/tools"
)

// viewTurn fills in what is known of the turn.
func (w *work) viewTurn(r *policies.Request) {
	r.Left = route.LeftToCost(w.m.limits.Cost-w.s.totals.Cost, r.Budgets)
	if !w.s.lastTurn {
		r.Offered = int64(len(w.m.offered))
	}
	if w.m.viewsTurn {
		r.Planned, r.Writes = w.readTurn()
	}
}

// drawLot returns what the models of a pool are drawn by in this turn.
func (mo *moment) drawLot() [32]byte {
	lot := append([]byte("writ/turn/1\n"), mo.s.salt[:]...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(lot, mo.s.totals.Turns))
}

// readTurn reads the request, once a run.
func (w *work) readTurn() (planned, writes bool) {
	if v := &w.s.view; !v.read {
		offered := make([]route.Offered, 0, len(w.m.offered))
		for _, t := range w.m.offered {
			acts := w.m.tools[t.Name].spec.Class != tools.Read
			offered = append(offered, route.Offered{Name: t.Name, Utterances: t.Utterances, Acts: acts})
		}
		v.read = true
		v.planned, v.writes = route.ReadRequest(w.m.grammar(), offered, w.s.request)
	}
	return w.s.view.planned, w.s.view.writes
}

package loop

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
)

// viewTurn fills in what is known of the turn.
func (w *work) viewTurn(r *policies.Request) {
	r.Left = route.LeftToCost(w.m.limits.Cost-w.s.totals.Cost, r.Budgets)
	if !w.s.lastTurn {
		r.Offered = int64(len(w.m.offered) + len(w.s.client))
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
		v.read = true
		v.planned, v.writes = readRequest(w.m, w.s.request)
	}
	return w.s.view.planned, w.s.view.writes
}

package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// order returns the models of a rule in the order in which they are asked. Which of equals is first is a function of
// the facts, the prices and the turn's lot, so whoever knows these arrives at the same order.
func (r *Rule) order(n *Need) []model.Info {
	if len(r.Models) < 2 {
		return r.Models
	}
	models := slices.Clone(r.Models)
	switch r.By {
	case provenance.ByCost:
		slices.SortStableFunc(models, func(a, b model.Info) int {
			_, x := n.bound(a)
			_, y := n.bound(b)
			return cmp.Compare(x, y)
		})
	case provenance.ByLatency:
		slices.SortStableFunc(models, func(a, b model.Info) int {
			return cmp.Compare(n.slowness(a.Name), n.slowness(b.Name))
		})
	default:
		drawLots(models, n.Lot)
	}
	return models
}

// slowness is the 95th percentile of a model's time to its first content, longer by as much as it fails: one that
// fails half of the time takes twice as long. One of which nothing is known is tried first; one that only lets single
// attempts through comes last.
func (n *Need) slowness(name string) int64 {
	f := n.factOf(name)
	if f.Breaker == provenance.BreakerHalfOpen {
		return 1 << 62
	}
	return min(f.P95, 1<<40) * 1000 / max(1000-int64(min(f.Errors, 1000)), 1)
}

// factOf returns what is known of a model; nothing if the facts do not say.
func (n *Need) factOf(name string) provenance.ModelFact {
	for _, f := range n.Fleet {
		if f.Name == name {
			return f
		}
	}
	return provenance.ModelFact{Name: name, Breaker: provenance.BreakerClosed}
}

// drawLots orders models by lot: each comes first as often as its weight says, and so on of those that are left.
func drawLots(models []model.Info, lot [32]byte) {
	for i := range models {
		rest := models[i:]
		total := uint64(0)
		for _, m := range rest {
			total += uint64(max(m.Weight, 1))
		}
		h := sha256.Sum256(append([]byte("writ/lot/1\n"), append(lot[:], byte(i))...))
		at := binary.BigEndian.Uint64(h[:8]) % total // a bias of less than total in 2^64
		for k, m := range rest {
			w := uint64(max(m.Weight, 1))
			if at < w {
				copy(rest[1:k+1], rest[:k])
				rest[0] = m
				break
			}
			at -= w
		}
	}
}

// LotOf returns what the models of a pool are drawn by in a turn of the run with this salt.
func LotOf(salt [32]byte, turn uint64) [32]byte {
	lot := append([]byte("writ/turn/1\n"), salt[:]...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(lot, turn))
}

// PriorityOf returns the priority of the route with this id.
func PriorityOf(routes []provenance.AgentRoute, id string) int {
	for _, r := range routes {
		if r.ID == id {
			return int(min(r.Priority, 9))
		}
	}
	return 0
}

// viewModel fills in what conditions may ask of a model.
func (n *Need) viewModel(req *policies.Request, m model.Info) {
	f := n.factOf(m.Name)
	req.Model, req.Kind, req.Provider = m.Name, string(m.Kind), m.Provider
	req.TTFT50, req.TTFT95, req.Errors, req.Queue = f.P50, f.P95, int64(f.Errors), int64(min(f.Queue, 1<<40))
	req.Breaker, req.PriceIn, req.PriceOut = f.Breaker, m.PriceIn, m.PriceOut
}

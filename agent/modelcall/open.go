package modelcall

import (
	"fmt"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// An Open is a model call that has no answer yet.
type Open struct {
	Ref       provenance.Ref // its effect
	Rule      string         // the route that led to it
	Model     model.Info
	MaxTokens int64
	Reserved  []provenance.Reserve

	Tokens, Cost int64 // that it takes at most
}

// Price checks what a reply says of itself against the model that was asked, and returns what the call used.
func (o *Open) Price(mc *provenance.ModelCall) (used model.Usage, cost int64, err error) {
	if mc.Name != o.Model.Name || mc.Provider != o.Model.Provider || mc.Asked != o.Model.Model {
		return used, 0, fmt.Errorf("the reply says that %q was asked, and it was %q", mc.Name, o.Model.Name)
	}
	if shown := EvidenceOf(mc); mc.Evidence != shown {
		return used, 0, fmt.Errorf("the reply claims evidence of level %d, and shows level %d", mc.Evidence, shown)
	}
	counts := mc.Usage
	if max(counts.In, counts.Out, counts.Cached, counts.Write5m, counts.Write1h, counts.Reasoning) > MaxUsage {
		return used, 0, fmt.Errorf("the reply counts more than %d tokens", int64(MaxUsage))
	}
	used = UsageOf(counts)
	if cost = o.Model.Cost(used); mc.Cost != cost {
		return used, 0, fmt.Errorf("a model call costs %d by the price table, not %d", cost, mc.Cost)
	}
	return used, cost, nil
}

// UsedOf returns what of a reservation a call has used that took so many tokens and cost so much: never more than was
// reserved, and all of what is neither tokens nor money.
func UsedOf(r provenance.Reserve, u model.Usage, cost int64) money.Amount {
	n := r.Amount
	switch n.Asset() {
	case money.Tokens:
		n = money.Of(n.Asset(), uint64(u.In+u.Out))
	case money.USD:
		n = money.Of(n.Asset(), uint64(cost))
	}
	if over, err := n.Cmp(r.Amount); err != nil || over > 0 {
		return r.Amount
	}
	return n
}

package audit

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Bounds on what a report lists, whatever a history claims.
const (
	maxModels     = 32
	maxModelCalls = 4096
	maxAssets     = 64
	maxWaiting    = 65_536 // calls that wait for their outcome
)

// A survey is what the steps say in the open, read once: who answered, what was reserved, what is only said.
type survey struct {
	*auditor
	models  []string
	calls   map[string]int
	amounts []amounts // one an asset
	claimed []provenance.Claimed
	waiting map[provenance.Ref]*provenance.ToolDef // calls without an outcome so far
	end     *provenance.Close
	read    bool // every transaction's receipt was read, so that what moved is known
}

// amounts are what became of one asset.
type amounts struct{ reserved, moved money.Amount }

// readSteps reads the steps once.
func (v *survey) readSteps() {
	v.calls, v.waiting = map[string]int{}, map[provenance.Ref]*provenance.ToolDef{}
	if err := v.ev.Each(v.readStep); err != nil {
		v.rep.Fault(err)
		return
	}
	for _, n := range v.models {
		v.rep.Models = append(v.rep.Models, fmt.Sprintf("%d x %s", v.calls[n], n))
	}
}

func (v *survey) readStep(c provenance.Link, s *provenance.Step) error {
	switch e := s.Event.(type) {
	case *provenance.Reply:
		if e.Model != nil {
			v.countModel(c, s.Seq, e.Model)
		}
	case *provenance.Result:
		if def := v.waiting[e.Of]; def != nil {
			v.claim("result", def.Name, e.Status)
		}
		delete(v.waiting, e.Of)
	case *provenance.Lapse:
		if e.Of != nil {
			delete(v.waiting, *e.Of)
		}
	}
	for i, e := range s.Does {
		switch e := e.(type) {
		case *provenance.Call:
			if len(v.waiting) < maxWaiting && e.Phase != provenance.PhaseSign { // a signed transaction is shown by its own step
				v.waiting[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = v.ev.Tools[e.Tool]
			}
			v.addReserved(e.Decisions)
		case *provenance.Close:
			v.end = e
		}
	}
	return nil
}

// evidenceWords are the levels of [provenance.ModelCall.Evidence] for people.
var evidenceWords = [...]string{
	"as the operator says", "as the operator says, with the provider's id and bytes", "signed by the provider",
	"attested by the hardware it ran on", "shown by running it again",
}

// countModel says for each model how well it is shown that it really answered.
func (v *survey) countModel(c provenance.Link, seq uint64, m *provenance.ModelCall) {
	kind := kindOf(v.ev.Runtime, m.Name)
	name := fmt.Sprintf("%s (%s), %s", m.Answered, kind, evidenceWords[min(m.Evidence, uint64(len(evidenceWords)-1))])
	if v.calls[name] == 0 && len(v.models) == maxModels {
		name = "others"
	}
	if v.calls[name]++; v.calls[name] == 1 {
		v.models = append(v.models, name)
	}
	if len(v.rep.ModelCalls) < maxModelCalls {
		v.rep.ModelCalls = append(v.rep.ModelCalls, provenance.Answered{
			Step: seq, At: c.String(), Model: m.Answered, Kind: kind, Evidence: m.Evidence,
		})
	}
	v.claim("reply", m.Name, provenance.StatusOK)
}

// claim counts an outcome that the operator alone says.
func (v *survey) claim(what, of, status string) {
	x := provenance.Claimed{What: what, Of: of, Status: status}
	i := slices.IndexFunc(v.claimed, func(c provenance.Claimed) bool { c.Count = 0; return c == x })
	if i < 0 && len(v.claimed) == provenance.MaxClaimed {
		x = provenance.Claimed{What: "others"}
		i = slices.IndexFunc(v.claimed, func(c provenance.Claimed) bool { return c.What == "others" })
	}
	if i < 0 {
		v.claimed = append(v.claimed, x)
		i = len(v.claimed) - 1
	}
	v.claimed[i].Count++
}

// of returns the sums of an asset; nil for one that is no money, or one too many.
func (v *survey) of(asset money.Asset) *amounts {
	if !mayOverrun(asset) {
		return nil
	}
	for i := range v.amounts {
		if v.amounts[i].reserved.Asset() == asset {
			return &v.amounts[i]
		}
	}
	if len(v.amounts) == maxAssets {
		return nil
	}
	none := money.Of(asset, 0)
	v.amounts = append(v.amounts, amounts{reserved: none, moved: none})
	return &v.amounts[len(v.amounts)-1]
}

// addReserved adds what is reserved for one call: the same amount is reserved in several ledgers, and counts once.
func (v *survey) addReserved(ds []provenance.Decision) {
	var most []money.Amount // one an asset
	for _, d := range ds {
		for _, r := range d.Reserve {
			i := slices.IndexFunc(most, func(m money.Amount) bool { return m.Asset() == r.Amount.Asset() })
			if i < 0 {
				most = append(most, r.Amount)
			} else if n, err := most[i].Cmp(r.Amount); err == nil && n < 0 {
				most[i] = r.Amount
			}
		}
	}
	for _, m := range most {
		if x := v.of(m.Asset()); x != nil {
			x.reserved = x.reserved.AddCapped(m)
		}
	}
}

// addMoved adds what left the account by a mined transaction.
func (v *survey) addMoved(debit money.Amount) {
	if x := v.of(debit.Asset()); x != nil {
		x.moved = x.moved.AddCapped(debit)
	}
}

// describeSubject says what the history is about.
func (v *survey) describeSubject(o Options) *provenance.Subject {
	ev := v.ev
	s := &provenance.Subject{
		Grant:   ev.Run.Grant.String(),
		Agent:   provenance.Named{Name: ev.Agent.Name, CID: ev.Run.Agent.String()},
		Runtime: provenance.Built{CID: ev.Run.Runtime.String(), Version: ev.Runtime.Version, Build: ev.Runtime.Build},
		Opened:  formatTime(ev.Run.Opened), Newest: formatTime(ev.Head.At),
		Keys: v.keysUsed(o), Asserted: v.claimed, Others: ev.Others,
	}
	operators := ev.Run.Rules
	if ev.Dapp != nil {
		s.Rules = []provenance.Rules{{Layer: "dapp", Named: provenance.Named{Name: ev.Dapp.Name, CID: operators.String()}}}
		operators = ev.Dapp.Under
	}
	s.Rules = append(s.Rules, provenance.Rules{Layer: "operator",
		Named: provenance.Named{Name: ev.Rules.Name, CID: operators.String()}})
	slices.Reverse(s.Rules)
	if v.grant != nil {
		s.Wallet = caip10(v.grant.Chain, v.grant.Account)
	}
	for _, rep := range v.judged {
		if rep.Status(provenance.CheckDecisions).Status == provenance.Pass {
			s.Others.Judged++
		}
	}
	if e := v.end; e != nil {
		t := e.Totals
		s.Close = &provenance.Ended{
			Reason: e.Reason, Code: e.Code, Turns: t.Turns, Calls: t.Calls, In: t.In, Out: t.Out, Cost: t.Cost,
		}
	}
	s.Amounts = v.listAmounts()
	return s
}

func caip10(chain uint64, account common.Address) string {
	return fmt.Sprintf("eip155:%d:%s", chain, account.Hex())
}

// listAmounts lists what became of each asset. What a close says of one that no step reserved is listed, too.
func (v *survey) listAmounts() (out []provenance.Sums) {
	var spent, over []money.Amount
	if v.end != nil {
		spent, over = v.end.Totals.Spent, v.end.Totals.Over
	}
	for _, s := range spent {
		v.of(s.Asset())
	}
	find := func(list []money.Amount, asset money.Asset) string {
		for _, x := range list {
			if x.Asset() == asset {
				return x.Units()
			}
		}
		return ""
	}
	for _, x := range v.amounts {
		asset := x.reserved.Asset()
		sums := provenance.Sums{
			Asset: asset.Symbol, Decimals: asset.Decimals, Reserved: x.reserved.Units(),
			Settled: find(spent, asset), Over: find(over, asset),
		}
		if v.read {
			sums.Moved = x.moved.Units()
		}
		out = append(out, sums)
	}
	slices.SortFunc(out, func(x, y provenance.Sums) int { return strings.Compare(x.Asset, y.Asset) })
	return out
}

// keysUsed lists what was checked by which key, and why that is the right one.
func (v *survey) keysUsed(o Options) (keys []provenance.KeyUsed) {
	add := func(use, key, bound string) {
		keys = append(keys, provenance.KeyUsed{Use: use, Key: key, Bound: bound})
	}
	if g := v.grant; g != nil {
		bound := provenance.BoundBySig
		switch {
		case g.Method == auth.MethodEOA:
		case v.wallet.ask != nil && v.wallet.why == "":
			bound = provenance.BoundByChain
		default:
			bound = provenance.BoundByWord
		}
		add("wallet", caip10(g.Chain, g.Account), bound)
		add("session", g.Key.String(), provenance.BoundByWallet)
	}
	switch {
	case len(o.OperatorKey) > 0:
		add("operator", hex.EncodeToString(o.OperatorKey), provenance.BoundGiven)
	case v.rep.Status(provenance.CheckHead).Status == provenance.Pass:
		add("operator", hex.EncodeToString(v.ev.Head.Key), provenance.BoundByOperator)
	default:
		add("operator", hex.EncodeToString(v.ev.Head.Key), provenance.BoundByRecord)
	}
	if o.Log.Wallet != [20]byte{} {
		add("operator_wallet", common.Address(o.Log.Wallet).Hex(), provenance.BoundGiven)
	}
	if v.logKey != "" {
		bound := provenance.BoundByOperator
		for _, k := range o.Log.Policy.Logs {
			if k.VKey() == v.logKey {
				bound = provenance.BoundGiven
			}
		}
		add("log", v.logKey, bound)
	}
	return keys
}

package policies

import (
	"slices"

	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
)

// Open says what a set without a permit rule at p does. At most points it denies everything. At the open points
// (session.issue, input, model.response, tool.result and provenance.publish) it permits what none of its rules
// forbids: nothing is done there yet. Whatever a session, a request, a reply or a result leads to is decided again,
// at a point that is not open, and a payload of which no rule speaks is sealed. A set with a permit rule at an open
// point is an allow-list there as everywhere.
func (p Point) Open() bool {
	switch p {
	case SessionIssue, Input, ModelResponse, ToolResult, ProvenancePublish:
		return true
	}
	return false
}

// Speaks says whether any set has a rule at p. If none has, an open point has nothing to decide.
func (l Layers) Speaks(p Point) bool {
	return slices.ContainsFunc(l, func(s *Set) bool { return len(s.points[p]) > 0 })
}

// Unspoken lists the open points on which the set has no rule, so that everything is permitted there.
func (s *Set) Unspoken() (out []Point) {
	for _, p := range points {
		if p.point.Open() && len(s.points[p.point]) == 0 {
			out = append(out, p.point)
		}
	}
	return out
}

// Passes says whether everything at p is permitted as it is, whatever it says: no set has another rule there than a
// permit without a condition, and each has one or leaves the point open.
func (l Layers) Passes(p Point) bool {
	return !slices.ContainsFunc(l, func(s *Set) bool {
		return len(s.points[p]) == 0 && !s.IsOpenAt(p) || slices.ContainsFunc(s.points[p], func(x *Rule) bool {
			return x.Effect != "permit" || x.When.Op != "constant" || x.Unless != nil || x.Tools != nil
		})
	})
}

// Relabels says whether any set has a rule that labels something, so that the run may hold more than its tools declare.
func (l Layers) Relabels() bool {
	return slices.ContainsFunc(l, func(s *Set) bool {
		return slices.ContainsFunc(s.rules, func(x *Rule) bool { return x.Effect == "label" })
	})
}

// IsOpenAt says whether s permits at p what it does not forbid.
func (s *Set) IsOpenAt(p Point) bool { return p.Open() && !s.allowList[p] }

func boolField(name string, reach int, at func(*Request) *bool) field {
	return field{Name: name, Kind: cond.Bool, Reach: reach,
		Bool: func(r *Request) bool { return *at(r) },
		Set:  func(r *Request, v value) { *at(r) = v.Bool }}
}

// usdField reads nano-dollars as an amount.
func usdField(name string, at func(*Request) *int64) field {
	return field{Name: name, Kind: cond.Amount, Reach: reachLimit,
		// A negative cost is a bug of the caller's; as unsigned it is huge, so it passes under no cap.
		Amount: func(r *Request) *money.Amount { m := money.Of(money.USD, uint64(*at(r))); return &m },
		Set: func(r *Request, v value) {
			if n := v.Amount.Uint256(); v.Amount.Asset() == money.USD && n.IsUint64() {
				*at(r) = int64(n.Uint64())
			}
		}}
}

var (
	sizeField = intField("size", reachLimit, func(r *Request) *int64 { return &r.Size })
	textField = stringField("text", reachArg, func(r *Request) *string { return &r.Text })

	// labelFields are there at every point but session.issue, where nothing has come in yet.
	labelFields = []field{
		{Name: "integrity", Kind: cond.String, Reach: reachFixed, Ours: true,
			Text: func(r *Request) string { return r.Label.Integrity.String() },
			Set:  func(r *Request, v value) { r.Label.Integrity, _ = label.ParseIntegrity(v.Text) }},
		{Name: "secrecy", Kind: cond.String, Reach: reachFixed, Ours: true,
			Text: func(r *Request) string { return r.Label.Secrecy.String() },
			Set:  func(r *Request, v value) { r.Label.Secrecy, _ = label.ParseSecrecy(v.Text) }},
		{Name: "untrusted", Kind: cond.Bool, Reach: reachFixed,
			Bool: func(r *Request) bool { return r.Label.Integrity == label.Untrusted },
			Set:  func(r *Request, v value) { r.Label.Integrity = untrustedIf(v.Bool) }},
		{Name: "tainted", Kind: cond.Bool, Reach: reachFixed,
			Bool: func(r *Request) bool { return r.Context.Integrity == label.Untrusted },
			Set:  func(r *Request, v value) { r.Context.Integrity = untrustedIf(v.Bool) }},
	}
	issueFields = []field{
		intField("life", reachLimit, func(r *Request) *int64 { return &r.Life }),
		stringField("domain", reachFixed, func(r *Request) *string { return &r.Domain }),
		intField("max_calls", reachLimit, func(r *Request) *int64 { return &r.MaxCalls }),
		intField("max_tokens", reachLimit, func(r *Request) *int64 { return &r.Tokens }),
		usdField("max_cost", func(r *Request) *int64 { return &r.Cost }),
		boolField("asks_if_tainted", reachArg, func(r *Request) *bool { return &r.AsksIfTainted }),
	}
	replyFields = []field{
		wordField("model", reachModel, func(r *Request) *string { return &r.Model }),
		wordField("kind", reachModel, func(r *Request) *string { return &r.Kind }),
		wordField("provider", reachModel, func(r *Request) *string { return &r.Provider }),
		intField("asks", reachLimit, func(r *Request) *int64 { return &r.Asks }),
		stringField("stop", reachFixed, func(r *Request) *string { return &r.Stop }),
		intField("evidence", reachFixed, func(r *Request) *int64 { return &r.Evidence }),
	}
	hostField    = stringField("host", reachArg, func(r *Request) *string { return &r.Host })
	asksField    = boolField("asks_wallet", reachFixed, func(r *Request) *bool { return &r.AsksWallet })
	statusField  = wordField("status", reachFixed, func(r *Request) *string { return &r.Status })
	sourceFields = []field{
		stringField("source", reachFixed, func(r *Request) *string { return &r.Source }),
		stringField("document", reachFixed, func(r *Request) *string { return &r.Document }),
	}
	partField = wordField("part", reachFixed, func(r *Request) *string { return &r.Part })
)

func untrustedIf(b bool) label.Integrity {
	if b {
		return label.Untrusted
	}
	return label.Operator
}

func fieldsWith(lists ...[]field) []field { return slices.Concat(lists...) }

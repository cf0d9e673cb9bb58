package policies

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/strict"
	"github.com/writ-run/writ/policies/money"
)

// What is here lets package workshop look at a loaded set. Nothing that is returned may be changed.

// Rules returns the set's rules in the order of the source.
func (s *Set) Rules() []*Rule { return s.rules }

// RulesAt returns those of one point.
func (s *Set) RulesAt(p Point) []*Rule { return s.points[p] }

// Waivers returns what the source says under waive:.
func (s *Set) Waivers() []Waiver { return s.waivers }

// Options returns what the set was loaded with.
func (s *Set) Options() Options { return s.options }

// Literals returns the assets that conditions can name, by the name of their literal.
func (s *Set) Literals() map[string]money.Asset { return s.literals }

// Assets lists the assets that the set declares, by their literals. The built-in ones are not spent.
func (s *Set) Assets() (out []money.Asset) {
	for _, name := range slices.Sorted(maps.Keys(s.literals)) {
		if a := s.literals[name]; a != money.Calls && a != money.Tokens && a != money.USD {
			out = append(out, a)
		}
	}
	return out
}

// Unused lists the budgets that no rule reserves from, and the named sets that no condition names.
func (s *Set) Unused() (budgets []BudgetDef, sets []string) {
	for _, def := range s.budgets {
		if !s.usedBudgets[def.Name()] {
			budgets = append(budgets, def)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.sets)) {
		if !s.sets[name].used {
			sets = append(sets, name)
		}
	}
	return budgets, sets
}

// NewFrame returns a frame in which conditions of the set are evaluated for r.
func (s *Set) NewFrame(r *Request) *cond.Frame[Request] { return cond.NewFrame(r, s.slots) }

// Answer decides without explaining: what is denied is denied, and no more is said of it.
func (s *Set) Answer(r *Request) Decision {
	d := Decision{Point: r.Point, Outcome: Permit}
	if !s.addDecision(r, &d) || d.Outcome == Permit && roomFor(r, Layers{s}, d.Reserve) != nil {
		return Decision{Point: r.Point, Outcome: Deny}
	}
	if d.Outcome == Approve { // the time to approve comes with the explanation
		d.TTL = Layers{s}.explain(r).TTL
	}
	return d
}

// Constant compiles a condition at n that reads nothing, and evaluates it. What is wrong is reported to r.
func (s *Set) Constant(r *strict.Reader, n *yaml.Node, want cond.Kind, what string) (cond.Value, bool) {
	l := &loader{Reader: *r, o: s.options, lim: s.options.limits(), assets: s.literals}
	defer func() { *r = l.Reader }()
	return l.readConstant(n, want, what)
}

// Models returns the models to which the route rules of the set leave the request, sorted, or nil for any: those of the
// rule of the highest priority that matches.
func (s *Set) Models(r *Request) []string {
	f := cond.NewFrame(r, s.slots)
	var best *Rule
	for _, x := range s.points[r.Point] {
		if x.Effect != "route" || best != nil && best.more.priority >= x.more.priority {
			continue
		}
		if holds, err := x.matches(f); err == nil && holds {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(best.more.use)))
}

// Asks says all that the rule asks for besides its effect, so that two rules can be compared; "" for nothing.
func (x *Rule) Asks() string {
	if x.more == nil {
		return ""
	}
	return x.more.String()
}

// Points lists the ten points.
func Points() (out []Point) {
	for _, p := range points {
		out = append(out, p.point)
	}
	return out
}

// EffectPoints lists the points at which a rule with an effect can stand; nil for all of them.
func EffectPoints(effect string) []Point { return effectPoints[effect] }

// NewLoadError is what is wrong with a source, in the order of the lines.
func NewLoadError(layer string, problems []strict.Problem) *LoadError {
	slices.SortStableFunc(problems, strict.Problem.Compare)
	e := &LoadError{Layer: layer}
	for _, p := range problems {
		e.Problems = append(e.Problems, Problem(p))
	}
	return e
}

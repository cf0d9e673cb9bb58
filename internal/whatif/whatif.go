// Package whatif says what recorded runs would have come to under other routes or prices.
//
// The runs are fed to their own loops again, which say what was known each time that a model was chosen; the new rules
// choose by just that. Nobody is asked anything: an answer of another model is taken to be as long as the recorded one,
// and as quick as that model was in the other runs. What a run would have said under a refusal, or after another
// model's answer, is not known, and nothing is claimed of it.
package whatif

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Plan is what is tried.
type Plan struct {
	Routes []provenance.AgentRoute // in the place of each agent's own, if there are any
	Prices *prices.File            // in the place of those of each runtime, for the models that it knows; optional
}

// A Side is what one run came to, or would have.
type Side struct {
	Routes  []string `json:"routes"` // the rule of each turn's first attempt, in order
	Models  []string `json:"models"`
	Cost    int64    `json:"cost"` // nano-USD, with what may have to be paid for failed attempts
	Took    int64    `json:"took"` // ms of models
	Refused bool     `json:"refused"`
}

// A Diff is one run on both sides.
type Diff struct {
	Run string `json:"run"`
	Was Side   `json:"was"`
	Now Side   `json:"now"`
}

// Differs says whether another model, cost or end is expected.
func (d *Diff) Differs() bool {
	return d.Was.Cost != d.Now.Cost || d.Was.Refused != d.Now.Refused || !slices.Equal(d.Was.Models, d.Now.Models)
}

// A Report is what the plan comes to.
type Report struct {
	Runs     int    `json:"runs"`     // that were tried
	Unread   int    `json:"unread"`   // of which a part was erased, or whose records do not hold any more
	Unpriced int    `json:"unpriced"` // choices of models that the new prices do not have, which keep their own
	Was      Sum    `json:"was"`
	Now      Sum    `json:"now"`
	Changed  []Diff `json:"changed"`
}

// A Sum adds one side up.
type Sum struct {
	Cost    int64          `json:"cost"`
	Took    int64          `json:"took"`
	Refused int            `json:"refused"`
	Models  map[string]int `json:"models"` // answers
}

func (s *Sum) add(x *Side) error {
	if s.Cost > 1<<62-x.Cost {
		return costs.ErrRange
	}
	s.Cost, s.Took = s.Cost+x.Cost, s.Took+x.Took
	if x.Refused {
		s.Refused++
	}
	if s.Models == nil {
		s.Models = map[string]int{}
	}
	for _, m := range x.Models {
		s.Models[m]++
	}
	return nil
}

// IsWorse says whether more would be spent or refused.
func (r *Report) IsWorse() bool { return r.Now.Cost > r.Was.Cost || r.Now.Refused > r.Was.Refused }

// maxRuns bounds the runs that are tried.
const maxRuns = 100_000

// Try tries a plan on the runs that began at or after since, ms UTC.
func Try(ctx context.Context, s journal.Store, plan Plan, since int64) (*Report, error) {
	infos, err := s.Runs(ctx, [20]byte{}, maxRuns)
	if err != nil {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	t := &trial{
		plan: plan, took: map[string][]int64{}, rules: map[*loop.Machine]*ruling{}, rep: &Report{Changed: []Diff{}},
	}
	reader := runner.NewReader(s, func(n route.Need) { t.needs = append(t.needs, n) })
	var runs []*recorded
	for _, info := range infos {
		if info.Opened < since {
			continue
		}
		r, err := t.read(ctx, reader, info.ID)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			t.rep.Unread++
		case len(r.turns) > 0 || r.refused:
			runs = append(runs, r)
		}
	}
	for _, r := range runs {
		d, err := t.compare(r)
		if err == nil {
			err = errors.Join(t.rep.Was.add(&d.Was), t.rep.Now.add(&d.Now))
		}
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", r.id, err)
		}
		if t.rep.Runs++; d.Differs() {
			t.rep.Changed = append(t.rep.Changed, d)
		}
	}
	return t.rep, nil
}

// A trial is a plan that is being tried.
type trial struct {
	plan  Plan
	rep   *Report
	needs []route.Need              // of the step that is read
	took  map[string][]int64        // ms of each model's answers
	rules map[*loop.Machine]*ruling // of the new routes, by whose models they are for
}

// A ruling is the plan for the models of one machine.
type ruling struct {
	layers policies.Layers
	rules  []route.Rule
	priced map[string]model.Info // by name, with the new prices
	absent int                   // that these do not have
}

// A recorded run is its turns.
type recorded struct {
	id      provenance.Link
	machine *loop.Machine
	turns   []turn
	refused bool       // a rule refused it
	need    route.Need // what was known when it did
}

// A turn is all attempts at one answer.
type turn struct {
	need     route.Need // of the first
	attempts []attempt
}

// An attempt is one question and what came of it.
type attempt struct {
	route    provenance.Route
	usage    provenance.Usage
	cost     int64 // nano-USD
	took     int64 // ms
	answered bool
}

// read reads the turns of a run.
func (t *trial) read(ctx context.Context, reader *runner.Reader, id provenance.Link) (*recorded, error) {
	r := &recorded{id: id}
	type question struct {
		turn, attempt int
		reserved      int64
	}
	open := map[provenance.Ref]question{} // two, while a second model is asked beside a slow one
	t.needs = nil
	err := reader.Run(ctx, id, func(m *loop.Machine, s *provenance.Step) {
		r.machine = m
		last := len(r.turns) - 1
		switch ev := s.Event.(type) {
		case *provenance.Reply:
			q, is := open[ev.Of]
			if !is { // no loop takes such a reply
				return
			}
			delete(open, ev.Of)
			a := &r.turns[q.turn].attempts[q.attempt]
			if ev.Model != nil {
				a.usage, a.cost, a.took, a.answered = ev.Model.Usage, ev.Model.Cost, ev.Model.Took, true
				t.took[a.route.Model] = append(t.took[a.route.Model], ev.Model.Took)
			} else if fault.Code(ev.Failed).MayCost() {
				a.cost = q.reserved
			}
		}
		asked := false
		for i, e := range s.Does {
			ask, is := e.(*provenance.AskModel)
			if !is || len(t.needs) == 0 {
				continue
			}
			asked = true
			need := t.needs[len(t.needs)-1]
			if len(need.Tried) == 0 || last < 0 {
				r.turns, last = append(r.turns, turn{need: need}), last+1
			}
			open[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = question{last, len(r.turns[last].attempts), reservedOf(ask)}
			r.turns[last].attempts = append(r.turns[last].attempts, attempt{route: ask.Route})
		}
		if !asked && len(t.needs) > 0 && len(t.needs[0].Tried) == 0 {
			r.refused, r.need = true, t.needs[0]
		}
		t.needs = t.needs[:0]
	})
	return r, err
}

// reservedOf returns what an attempt reserved for its cost.
func reservedOf(ask *provenance.AskModel) (sum int64) {
	for _, d := range ask.Decisions {
		for _, r := range d.Reserve {
			if n := r.Amount.Uint256(); r.Budget == costs.CostBudget && r.Amount.Asset() == money.USD && n.IsUint64() {
				sum += int64(n.Uint64())
			}
		}
	}
	return sum
}

// rulingOf returns the plan for the models of a run.
func (t *trial) rulingOf(m *loop.Machine) (*ruling, error) {
	if known := t.rules[m]; known != nil {
		return known, nil
	}
	x := &ruling{layers: m.Layers(), priced: map[string]model.Info{}}
	var models []model.Info
	for _, info := range m.Models() {
		if t.plan.Prices != nil && info.Kind == model.KindModel {
			if p, known := t.plan.Prices.Find(info.Provider, info.Model); known {
				info.PriceIn, info.PriceOut, info.PriceCached = p.In, p.Out, p.Cached
				info.PriceWrite5m, info.PriceWrite1h = p.Write5m, p.Write1h
			} else {
				x.absent++
			}
		}
		models, x.priced[info.Name] = append(models, info), info
	}
	routes := t.plan.Routes
	if len(routes) == 0 {
		routes = m.Routes()
	}
	var err error
	x.rules, err = route.Compile(routes, models)
	t.rules[m] = x
	t.rep.Unpriced += x.absent
	return x, err
}

// compare puts a run beside what it would have come to.
func (t *trial) compare(r *recorded) (Diff, error) {
	d := Diff{Run: r.id.String(), Was: Side{Refused: r.refused}}
	x, err := t.rulingOf(r.machine)
	if err != nil {
		return d, err
	}
	for i := range r.turns {
		d.Was.addRecorded(&r.turns[i])
	}
	for i := range r.turns {
		u := &r.turns[i]
		chosen, refused, err := x.choose(&u.need)
		if err != nil {
			return d, err
		}
		if d.Now.Refused = refused; refused {
			return d, nil
		}
		t.addChosen(&d.Now, u, chosen, x)
	}
	if r.refused {
		_, d.Now.Refused, err = x.choose(&r.need)
	}
	return d, err
}

func (s *Side) addRecorded(u *turn) {
	s.Routes = append(s.Routes, u.attempts[0].route.Rule)
	for _, a := range u.attempts {
		s.Cost, s.Took = s.Cost+a.cost, s.Took+a.took
		if a.answered {
			s.Models = append(s.Models, a.route.Model)
		}
	}
}

// choose returns what the new rules lead to first that the run's policies permit and that fits what was left of its
// budgets then. With no such model, or by a rule that says so, it is refused.
func (x *ruling) choose(n *route.Need) (route.Candidate, bool, error) {
	cands, err := route.Candidates(x.rules, *n)
	if err != nil {
		return route.Candidate{}, false, err
	}
	for _, c := range cands {
		if c.Refuse {
			break
		}
		fits := c.Request.Cost <= n.Request.Left && c.Request.Tokens <= n.MaxTokens
		if fits && x.layers.Decide(&c.Request).Outcome == policies.Permit {
			return c, false, nil
		}
	}
	return route.Candidate{}, true, nil
}

// answer returns the attempt that answered the turn; the last one if none did.
func (u *turn) answer() *attempt {
	i := slices.IndexFunc(u.attempts, func(a attempt) bool { return a.answered })
	if i < 0 {
		i = len(u.attempts) - 1
	}
	return &u.attempts[i]
}

// addChosen adds a turn as it would have been with a model.
func (t *trial) addChosen(s *Side, u *turn, c route.Candidate, x *ruling) {
	s.Routes = append(s.Routes, c.Rule)
	first, last := &u.attempts[0], u.answer()
	if c.Model.Name == first.route.Model { // it would have gone as it did, at the new prices
		for i := range u.attempts {
			a := &u.attempts[i]
			cost := a.cost
			if a.answered {
				cost = x.priced[a.route.Model].Cost(modelcall.UsageOf(a.usage))
				s.Models = append(s.Models, a.route.Model)
			}
			s.Cost, s.Took = s.Cost+cost, s.Took+a.took
		}
		return
	}
	took := last.took
	if known := t.took[c.Model.Name]; len(known) > 0 {
		slices.Sort(known)
		took = known[len(known)/2]
	}
	s.Models, s.Took = append(s.Models, c.Model.Name), s.Took+took
	if c.Model.Kind == model.KindModel {
		s.Cost += c.Model.Cost(modelcall.UsageOf(last.usage))
	}
}

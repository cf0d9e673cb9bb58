package operations

import (
	"cmp"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A tally is what the steps of runs say, while they are read.
type tally struct {
	runs    []journal.RunInfo
	seen    map[provenance.Link]bool
	uses    []costs.Use
	denials map[string]int
	waits   map[provenance.Link]map[provenance.Ref]Waiting
}

func newTally() *tally {
	return &tally{
		seen: map[provenance.Link]bool{}, denials: map[string]int{},
		waits: map[provenance.Link]map[provenance.Ref]Waiting{},
	}
}

func (t *tally) takeUse(u costs.Use) { t.uses = append(t.uses, u) }

func (t *tally) takeStep(info journal.RunInfo, s *provenance.Step) {
	if !t.seen[info.ID] {
		t.seen[info.ID] = true
		t.runs = append(t.runs, info)
	}
	for _, e := range s.Does {
		if deny, is := e.(*provenance.Deny); is {
			t.takeDenial(deny)
		}
	}
	t.takeWait(info, s)
}

// takeDenial counts the rules that denied a call. That a wallet refused, or did not answer, is no rule's word.
func (t *tally) takeDenial(deny *provenance.Deny) {
	for _, d := range deny.Decisions {
		if d.Outcome != "deny" {
			continue
		}
		for _, rule := range d.Rules {
			if rule != loop.RuleRefused && rule != loop.RuleLapsed {
				t.denials[rule]++
			}
		}
	}
}

// takeWait notes what a run asks its wallet, until that is answered.
func (t *tally) takeWait(info journal.RunInfo, s *provenance.Step) {
	if of, answers := provenance.AnsweredBy(s.Event); answers {
		delete(t.waits[info.ID], of)
	}
	for i, e := range s.Does {
		switch e := e.(type) {
		case *provenance.Seek:
			if t.waits[info.ID] == nil {
				t.waits[info.ID] = map[provenance.Ref]Waiting{}
			}
			t.waits[info.ID][provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = Waiting{
				Run: info.ID.String(), Agent: info.Agent, Since: s.At, Until: e.Until,
			}
		case *provenance.Close:
			delete(t.waits, info.ID)
		}
	}
}

func (t *tally) listWaiting() []Waiting {
	list := []Waiting{}
	for _, of := range t.waits {
		for _, w := range of {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b Waiting) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Run, b.Run))
	})
	return list
}

// addUp fills in what models cost and how they answered.
func (t *tally) addUp(tariff costs.Tariff, f *Figures) error {
	routes, total, err := costs.Sum(t.uses, "route", tariff)
	if err != nil {
		return err
	}
	models, _, err := costs.Sum(t.uses, "model", tariff)
	if err != nil {
		return err
	}
	byRules := map[string]bool{} // routes and models that rules answer
	for i := range t.uses {
		byRules["route "+t.uses[i].Route] = t.uses[i].Rules
		byRules["model "+t.uses[i].Model] = t.uses[i].Rules
	}
	f.Total, f.Routes, f.Models = lineOf(total, false), []Line{}, []Model{}
	for _, l := range routes {
		f.Routes = append(f.Routes, lineOf(l, byRules["route "+l.Of]))
	}
	for _, l := range models {
		f.Models = append(f.Models, t.modelOf(lineOf(l, byRules["model "+l.Of])))
	}
	slices.SortStableFunc(f.Routes, func(a, b Line) int { return cmp.Compare(b.Calls, a.Calls) })
	slices.SortStableFunc(f.Models, func(a, b Model) int { return cmp.Compare(b.Calls, a.Calls) })
	return nil
}

func lineOf(l costs.Line, rules bool) Line {
	return Line{l.Of, rules, l.Runs, l.Calls, l.Failed, l.In, l.Out, l.Cost, l.Doubtful, l.Saved, l.Revenue, l.Margin}
}

func (t *tally) modelOf(l Line) Model {
	var first, whole []int64
	failures := map[string]int{}
	for i := range t.uses {
		u := &t.uses[i]
		switch {
		case u.Model != l.Of:
		case u.Failed:
			failures[cmp.Or(u.Code, "unknown")]++
		default:
			first, whole = appendKnown(first, u.TTFT), appendKnown(whole, u.Took)
		}
	}
	return Model{l, timesOf(first), timesOf(whole), sortCounts(failures)}
}

func appendKnown(list []int64, ms int64) []int64 {
	if ms > 0 {
		return append(list, ms)
	}
	return list
}

// timesOf sorts list. The rank of a percentile is rounded up, so that of few calls it is never too small.
func timesOf(list []int64) Times {
	if len(list) == 0 {
		return Times{}
	}
	slices.Sort(list)
	at := func(percent int) int64 { return list[(len(list)*percent+99)/100-1] }
	return Times{len(list), at(50), at(95)}
}

func (t *tally) fillBuckets(since, now int64) []Bucket {
	wide := max((now-since)/Buckets, 1)
	list := make([]Bucket, Buckets)
	for i := range list {
		list[i].From = since + int64(i)*wide
	}
	place := func(at int64) *Bucket { return &list[min(max((at-since)/wide, 0), Buckets-1)] }
	for _, r := range t.runs {
		place(r.Opened).Runs++
	}
	for i := range t.uses {
		place(t.uses[i].At).Cost += t.uses[i].Cost
	}
	return list
}

// sums are of amounts, by asset.
type sums struct{ of []money.Amount }

func (s *sums) add(list []money.Amount) error {
	for _, a := range list {
		i := slices.IndexFunc(s.of, func(b money.Amount) bool { return b.Asset() == a.Asset() })
		if i < 0 {
			s.of = append(s.of, a)
			continue
		}
		sum, err := s.of[i].Add(a)
		if err != nil {
			return err
		}
		s.of[i] = sum
	}
	return nil
}

func (s *sums) list() []wire.Amount {
	out := make([]wire.Amount, 0, len(s.of))
	for _, a := range s.of {
		out = append(out, wire.Amount{Asset: a.Asset().Symbol, Decimals: uint64(a.Asset().Decimals), Units: a.Units()})
	}
	slices.SortFunc(out, func(a, b wire.Amount) int { return cmp.Compare(a.Asset, b.Asset) })
	return out
}

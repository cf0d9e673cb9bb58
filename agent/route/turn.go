package route

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// An Offered is a tool that the turn's model may ask for, as far as routes look at it.
type Offered struct {
	Name       string
	Utterances []string
	Acts       bool // it does more than reading
}

// turnWords are the fields that are worked out only where a route or a rule asks for them.
var turnWords = regexp.MustCompile(`\b(planned|writes)\b`)

// AsksOfTurn says whether a route or a rule could ask what a turn is about; one that only names such a word costs some
// time.
func AsksOfTurn(a *provenance.Agent, sets ...*provenance.PolicySet) bool {
	asks := slices.ContainsFunc(a.Routes, func(r provenance.AgentRoute) bool { return turnWords.MatchString(r.When) })
	for _, s := range sets {
		asks = asks || s != nil && turnWords.MatchString(s.Source)
	}
	return asks
}

// LeftToCost returns what a run may still cost in nano-USD: within its own limit, and within each cap in USD.
func LeftToCost(limit int64, budgets []policies.Budget) int64 {
	left := max(limit, 0)
	for i := range budgets {
		b := &budgets[i]
		if b.Cap.Asset() != money.USD {
			continue
		}
		used, err := b.Spent.Add(b.Reserved)
		if err != nil {
			return 0
		}
		room, err := b.Cap.Sub(used)
		if err != nil { // it is over
			return 0
		}
		if n := room.Uint256(); n.IsUint64() && n.Uint64() < uint64(left) {
			left = int64(n.Uint64())
		}
	}
	return left
}

// SpentOf returns what is used of a budget in USD, reservations included, in nano-USD; 0 if there is none.
func SpentOf(id string, budgets []policies.Budget) int64 {
	for i := range budgets {
		if b := &budgets[i]; b.ID == id && b.Cap.Asset() == money.USD {
			n := b.Spent.AddCapped(b.Reserved).Uint256()
			if !n.IsUint64() || n.Uint64() > math.MaxInt64 {
				return math.MaxInt64
			}
			return int64(n.Uint64())
		}
	}
	return 0
}

// PriceSentence says that nothing answers, and what an answer would cost at most.
func (c *Candidate) PriceSentence() string {
	if c.Request.Cost == 0 {
		return fmt.Sprintf("No model is asked for this (route %s). Ask for less.", c.Rule)
	}
	usd := func(nano int64) string { return money.Of(money.USD, uint64(max(nano, 0))).Decimal() }
	return fmt.Sprintf("This needs a model: one answer may cost up to %s USD, and %s USD of this run's budget are left "+
		"(route %s). Sign in with a higher limit, or ask for less.", usd(c.Request.Cost), usd(c.Request.Left), c.Rule)
}

// ReadRequest says whether the grammar of the tools reads a whole request, so that no model is needed for it, and
// whether it asks for an act: by the tools that it was read as, or else by having the verb of one that acts.
func ReadRequest(g *grammar.Grammar, offered []Offered, request string) (planned, writes bool) {
	plan := g.Plan(request)
	planned = plan.Text == "" && len(plan.Calls) > 0
	if !planned {
		return false, namesAnAct(offered, request)
	}
	for _, in := range plan.Calls {
		writes = writes || slices.ContainsFunc(offered, func(t Offered) bool { return t.Acts && t.Name == in.Tool() })
	}
	return true, writes
}

// namesAnAct says whether a request has a word that begins with the verb of a tool that acts: the first word of one of
// its utterances, or of its name after the dot. It errs towards yes.
func namesAnAct(offered []Offered, request string) bool {
	words := strings.FieldsFunc(strings.ToLower(request), func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && r < 0x80
	})
	for _, t := range offered {
		if !t.Acts {
			continue
		}
		_, verb, _ := strings.Cut(strings.ToLower(t.Name), ".")
		verbs := []string{verb}
		for _, u := range t.Utterances {
			first, _, _ := strings.Cut(strings.ToLower(u), " ")
			verbs = append(verbs, first)
		}
		for _, verb := range verbs {
			if verb != "" && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, verb) }) {
				return true
			}
		}
	}
	return false
}

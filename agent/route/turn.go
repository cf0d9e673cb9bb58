package route

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/provenance"
)

// An Offered is a tool that the turn's model may ask for, as far as routes look at it.
type Offered struct {
	Name       string
	Utterances []string
	Acts       bool // it does more than reading
}

// Asked says which facts a route or a rule could ask of, that are worked out only then. One that only names such a word
// costs some time.
type Asked struct {
	Request   bool // what the request is about
	Searches  bool // what searches have found
	Unfounded bool // whether an answer's figures rest on anything
}

var askedWords = [...]*regexp.Regexp{
	regexp.MustCompile(`\b(planned|writes|verbs|entities|confidence)\b`),
	regexp.MustCompile(`\b(searches|found|score|lead)\b`),
	regexp.MustCompile(`\bunfounded\b`),
}

var todayWord = regexp.MustCompile(`\btoday\b`)

// AsksOfToday says whether the condition of a route could ask what a day has cost.
func AsksOfToday(when string) bool { return todayWord.MatchString(when) }

// AskedBy reads the routes of an agent, of which alone an answer is looked at again, and the policy sets.
func AskedBy(a *provenance.Agent, sets ...*provenance.PolicySet) Asked {
	names := func(word *regexp.Regexp, sets ...*provenance.PolicySet) bool {
		return slices.ContainsFunc(a.Routes, func(r provenance.AgentRoute) bool { return word.MatchString(r.When) }) ||
			slices.ContainsFunc(sets, func(s *provenance.PolicySet) bool { return s != nil && word.MatchString(s.Source) })
	}
	return Asked{
		Request: names(askedWords[0], sets...), Searches: names(askedWords[1], sets...), Unfounded: names(askedWords[2]),
	}
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

// DailyBudgets lists the budgets of a set in USD that begin anew each day.
func DailyBudgets(set *policies.Set) (ids []string) {
	for _, b := range set.Budgets() {
		if b.Window == string(calendar.Day) && b.Cap.Asset() == money.USD && !b.PerRecipient {
			ids = append(ids, b.ID)
		}
	}
	return ids
}

// SpentOf returns what is used of a budget in USD, reservations included, and its cap, in nano-USD; 0 if there is none.
func SpentOf(id string, budgets []policies.Budget) (spent, most int64) {
	for i := range budgets {
		if b := &budgets[i]; b.ID == id && b.Cap.Asset() == money.USD {
			return inNano(b.Spent.AddCapped(b.Reserved)), inNano(b.Cap)
		}
	}
	return 0, 0
}

func inNano(a money.Amount) int64 {
	if n := a.Uint256(); n.IsUint64() && n.Uint64() <= math.MaxInt64 {
		return int64(n.Uint64())
	}
	return math.MaxInt64
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

// ReadRequest says what a request is about: whether the grammar of the tools reads it whole, so that no model is
// needed, and how much of it; whether it asks for an act, by the tools that it was read as, or else by having the verb
// of one that acts; and what it names.
func ReadRequest(f *turn.Facts, g *grammar.Grammar, offered []Offered, request string) {
	plan := g.Plan(request)
	f.Planned = plan.Text == "" && len(plan.Calls) > 0
	f.Confidence, f.Entities = g.Confidence(request), int64(grounds.CountFigures(request))
	var acts bool
	f.Verbs, acts = findVerbs(offered, request)
	if f.Writes = acts && !f.Planned; !f.Planned {
		return
	}
	for _, in := range plan.Calls {
		isAct := func(t Offered) bool { return t.Acts && t.Name == in.Tool() }
		f.Writes = f.Writes || slices.ContainsFunc(offered, isAct)
	}
}

// questions are words with which utterances begin that are no verbs.
var questions = []string{"how", "is", "what", "when", "where", "which", "who", "why"}

// findVerbs returns the verbs of tools with which words of a request begin, sorted and parted by blanks, and whether
// one of them is of a tool that acts. A tool's verbs are the first words of its utterances, and its name after the
// dot. It errs towards yes.
func findVerbs(offered []Offered, request string) (found string, acts bool) {
	words := strings.FieldsFunc(strings.ToLower(request), func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && r < 0x80
	})
	var there []string
	for _, t := range offered {
		_, verb, _ := strings.Cut(strings.ToLower(t.Name), ".")
		verbs := []string{verb}
		for _, u := range t.Utterances {
			first, _, _ := strings.Cut(strings.ToLower(u), " ")
			verbs = append(verbs, first)
		}
		for _, verb := range verbs {
			if verb == "" || !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, verb) }) {
				continue
			}
			if acts = acts || t.Acts; !slices.Contains(questions, verb) {
				there = append(there, verb)
			}
		}
	}
	slices.Sort(there)
	return strings.Join(slices.Compact(there), " "), acts
}

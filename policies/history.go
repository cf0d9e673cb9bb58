package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// An Act is a tool call that a run has made, or is making: what the history functions count. A call that was denied,
// or of which it is certain that it did nothing, is none.
type Act struct {
	Tool, Class string
	At          int64 // ms UTC, when it ended; not before the act before it. Not read of one that is under way
	OK          bool  // it ended well; false if it is only not known that it did not happen
	Amount      money.Amount
	To          common.Address
	Args        []arg.Value
}

// A question is what one history function asks of the past; all of it but the value in same is constant, so a
// [Past] keeps its answer up to date.
type question struct {
	fn     string // count, sum, happened or same
	tool   string // a tool's name, "*" or "class:NAME"
	asset  money.Asset
	arg    string // of same
	kind   arg.Kind
	window int64 // ms; 0 is all of the run
}

func (q *question) isAbout(a *Act) bool {
	switch class, of := strings.CutPrefix(q.tool, "class:"); {
	case of && class != a.Class, !of && q.tool != "*" && q.tool != a.Tool:
		return false
	}
	return q.fn != "sum" || a.Amount.Asset() == q.asset
}

// isWithin says whether an act at that time lies in the window at now.
func (q *question) isWithin(at, now int64) bool {
	if q.window == 0 {
		return true
	}
	from, err := cond.SubInt(now, q.window)
	return err != nil || at > from
}

// valueIn is what the act says to same, or false.
func (q *question) valueIn(a *Act) (value, bool) {
	if q.fn == "same" && q.isAbout(a) {
		for i := range a.Args {
			if x := &a.Args[i]; x.Name == q.arg && x.Set && x.Kind == q.kind {
				return cond.ValueOf(x), true
			}
		}
	}
	return value{}, false
}

// A Past is what a run has done so far, with the answers to all that its layers ask of it. It is a value: what adds
// an act returns another. An act costs as many operations as the layers have questions, however long the run is.
// [Layers.Past] makes one; of the zero Past nothing is known, so a history function errs, and its rule denies.
type Past struct {
	plan    *plan
	log     *actLog
	n       int // acts of the log that are this past's
	at      int64
	tallies []tally // by question; never changed once it is part of a Past
}

// A plan numbers the questions of some layers. Equal questions have one number.
type plan struct {
	questions []*question
	number    map[*question]int
}

// A tally is the answer to one question.
type tally struct {
	from int // the first act that may lie in the window
	n    int64
	sum  money.Amount
	over bool  // the sum is out of range, for good
	last int64 // when the last one ended that ended well; -1 if none did
}

// An actLog is a list of acts that only grows. Pasts share one as long as each only adds to the newest.
type actLog struct {
	mu   sync.Mutex
	acts []Act
	// For each question of same, where each value was last, and for each act, where its value was before.
	last map[int]map[value]int
	prev map[int][]int
}

// Past returns the past of a run that has done nothing yet, for the questions of these layers.
func (l Layers) Past() Past {
	p := &plan{number: map[*question]int{}}
	for _, s := range l {
		for _, q := range s.questions {
			i := slices.IndexFunc(p.questions, func(x *question) bool { return *x == *q })
			if i < 0 {
				i = len(p.questions)
				p.questions = append(p.questions, q)
			}
			p.number[q] = i
		}
	}
	out := Past{plan: p}
	if len(p.questions) > 0 {
		out.log, out.tallies = newLog(), p.blankTallies()
	}
	return out
}

// PastOf returns a past of these acts, oldest first, for any questions: each is answered by a walk over the acts. It is
// for tests and what-ifs; a run keeps [Layers.Past].
func PastOf(acts []Act) Past {
	l := newLog()
	l.acts = slices.Clone(acts)
	return Past{plan: &plan{}, log: l, n: len(acts)}
}

func newLog() *actLog { return &actLog{last: map[int]map[value]int{}, prev: map[int][]int{}} }

func (p *plan) blankTallies() []tally {
	out := make([]tally, len(p.questions))
	for i, q := range p.questions {
		out[i] = tally{sum: money.Of(q.asset, 0), last: -1}
	}
	return out
}

// Asked says whether the layers ask anything of the past. If not, nothing is kept of it.
func (p Past) Asked() bool { return p.log != nil }

// With returns the past with one more act, which has ended.
func (p Past) With(a Act) Past {
	if p.log == nil {
		return p
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	if len(p.log.acts) != p.n { // another past has gone on from here: its acts are not ours
		fresh := newLog()
		for i := range p.n {
			fresh.addAct(p.plan, p.log.acts[i])
		}
		p.log = fresh
	}
	p.log.addAct(p.plan, a)
	p.n++
	p.tallies = slices.Clone(p.tallies)
	for i, q := range p.plan.questions {
		if q.isAbout(&a) {
			p.tallies[i].addAct(q, &a)
		}
	}
	return p
}

func (t *tally) addAct(q *question, a *Act) {
	t.n++
	if q.fn == "sum" && !t.over {
		sum, err := t.sum.Add(a.Amount)
		t.sum, t.over = sum, err != nil
	}
	if a.OK {
		t.last = a.At
	}
}

func (l *actLog) addAct(p *plan, a Act) {
	at := len(l.acts)
	l.acts = append(l.acts, a)
	for i, q := range p.questions {
		if q.fn != "same" {
			continue
		}
		before := -1
		if v, ok := q.valueIn(&a); ok {
			if l.last[i] == nil {
				l.last[i] = map[value]int{}
			}
			if x, seen := l.last[i][v]; seen {
				before = x
			}
			l.last[i][v] = at
		}
		l.prev[i] = append(l.prev[i], before)
	}
}

// At returns the past as it is seen at now, ms UTC: windows that are measured in time have moved on.
func (p Past) At(now int64) Past {
	if p.log == nil || now == p.at {
		return p
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	tallies := slices.Clone(p.tallies)
	if now < p.at { // only who asks what would be goes back
		tallies = p.plan.blankTallies()
		for i, q := range p.plan.questions {
			for k := range p.n {
				if q.isAbout(&p.log.acts[k]) {
					tallies[i].addAct(q, &p.log.acts[k])
				}
			}
		}
	}
	for i, q := range p.plan.questions {
		t := &tallies[i]
		for t.from < p.n && !q.isWithin(p.log.acts[t.from].At, now) {
			if a := &p.log.acts[t.from]; q.isAbout(a) {
				t.n--
				if q.fn == "sum" && !t.over {
					t.sum, _ = t.sum.Sub(a.Amount) // it was added
				}
			}
			t.from++
		}
	}
	p.at, p.tallies = now, tallies
	return p
}

// Acts returns a copy of the acts, oldest first; none if the layers ask nothing of the past.
func (p Past) Acts() []Act {
	if p.log == nil {
		return nil
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return slices.Clone(p.log.acts[:p.n])
}

// readTally returns the answer to q as of r.Now, those under way not included.
func (q *question) readTally(r *Request) (tally, error) {
	p := r.Past
	if p.log == nil {
		return tally{}, errNoHistory
	}
	i, known := p.plan.number[q]
	if !known { // nobody keeps it
		t := tally{sum: money.Of(q.asset, 0), last: -1}
		for _, a := range p.Acts() {
			if q.isAbout(&a) && q.isWithin(a.At, r.Now) {
				t.addAct(q, &a)
			}
		}
		return t, nil
	}
	if p.at != r.Now {
		p = p.At(r.Now)
	}
	return p.tallies[i], nil
}

var errNoHistory = fmt.Errorf("what the run has done so far is not known")

// countActs is the number of acts, those under way included: of two calls of one turn the second sees the first.
func (q *question) countActs(r *Request) (int64, error) {
	t, err := q.readTally(r)
	if err != nil {
		return 0, err
	}
	n := t.n
	for i := range r.Flying {
		if q.isAbout(&r.Flying[i]) {
			n++
		}
	}
	return n, nil
}

// sumAmounts is what the acts moved, those under way included.
func (q *question) sumAmounts(r *Request) (money.Amount, error) {
	t, err := q.readTally(r)
	if err != nil {
		return money.Amount{}, err
	}
	if t.over {
		return money.Amount{}, money.ErrOverflow
	}
	sum := t.sum
	for i := range r.Flying {
		if a := &r.Flying[i]; q.isAbout(a) {
			if sum, err = sum.Add(a.Amount); err != nil {
				return money.Amount{}, err
			}
		}
	}
	return sum, nil
}

// hasHappened says whether an act has ended well. One that is under way has not.
func (q *question) hasHappened(r *Request) (bool, error) {
	t, err := q.readTally(r)
	return err == nil && t.last >= 0 && q.isWithin(t.last, r.Now), err
}

// hasSeen says whether an act had this value in the argument, those under way included.
func (q *question) hasSeen(r *Request, v value) (bool, error) {
	p := r.Past
	if p.log == nil {
		return false, errNoHistory
	}
	for i := range r.Flying {
		if x, ok := q.valueIn(&r.Flying[i]); ok && x == v {
			return true, nil
		}
	}
	i, known := p.plan.number[q]
	if !known {
		for _, a := range p.Acts() {
			if x, ok := q.valueIn(&a); ok && x == v && q.isWithin(a.At, r.Now) {
				return true, nil
			}
		}
		return false, nil
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	at, ok := p.log.last[i][v]
	for ok && at >= p.n { // acts of a past that went on from this one
		at = p.log.prev[i][at]
		ok = at >= 0
	}
	return ok && q.isWithin(p.log.acts[at].At, r.Now), nil
}

// compileHistory compiles count("pay", hours(1)), sum("pay", "USDC", days(1)), happened("quote", minutes(2)) and
// same(to, "pay", "to"). The window may be left out: then it is the whole run.
func (sc *scope) compileHistory(n *ast.CallNode, fn string) (*expression, *conditionError) {
	if sc.ask == nil {
		return nil, errorAt(n, "%s is not known here: only the rules of a policy set look back", fn)
	}
	q := &question{fn: fn}
	args := n.Arguments
	var x *expression
	var err *conditionError
	if fn == "same" {
		if x, err = sc.compile(args[0]); err != nil {
			return nil, err
		}
		args = args[1:]
	}
	want := map[string]int{"count": 1, "happened": 1, "sum": 2, "same": 2}[fn] // literals
	if len(args) < want || len(args) > want+1 {
		return nil, errorAt(n, "%s is written %s", fn, historyForms[fn])
	}
	lit, ok := literalArguments(&ast.CallNode{Arguments: args[:want]}, 0)
	if !ok {
		return nil, errorAt(n, "%s is written %s", fn, historyForms[fn])
	}
	if len(args) > want {
		if q.window, err = sc.readWindow(args[want]); err != nil {
			return nil, err
		}
	}
	q.tool = lit[0]
	params, err := sc.actsOf(args[0], q.tool)
	if err != nil {
		return nil, err
	}
	switch fn {
	case "sum":
		asset, ok := sc.assetOf(lit[1])
		if !ok {
			return nil, errorAt(args[1], "there is no asset %q", wording.Clip(lit[1], 60))
		}
		q.asset = asset
	case "same":
		if q.arg = lit[1]; params == nil {
			return nil, errorAt(args[0], "same needs the name of one tool")
		}
		if q.kind, err = kindOfSame(n, q, x, params); err != nil {
			return nil, err
		}
	}
	return historyNode(n, sc.ask(q), x), nil
}

// kindOfSame returns the kind of the argument that q compares x with; "" if nothing is known of the tool.
func kindOfSame(n *ast.CallNode, q *question, x *expression, params map[string]arg.Kind) (arg.Kind, *conditionError) {
	k, known := params[q.arg]
	switch {
	case !known && len(params) > 0:
		e := errorAt(n.Arguments[2], "%s has no argument %q", q.tool, wording.Clip(q.arg, 60))
		for name := range params {
			if near := wording.Nearest(q.arg, []string{name}); near != "" {
				e.hint = near
			}
		}
		return "", e
	case known && cond.KindOf(k) == 0:
		return "", errorAt(n.Arguments[2], "argument %q of %s is of kind %s, which has no value to compare", q.arg, q.tool, k)
	case known && cond.KindOf(k) != x.Kind:
		return "", errorAt(n, "%s is %s, but argument %q of %s is %s", x.Source(), x.Kind, q.arg, q.tool, cond.KindOf(k))
	}
	return k, nil
}

// historyNode is the node of a question; x is what same compares.
func historyNode(n ast.Node, q *question, x *expression) *expression {
	e := &expression{Node: n, Op: q.fn, Past: q}
	switch q.fn {
	case "count":
		e.Kind = cond.Int
		e.Int = func(f *frame) (int64, error) { return q.countActs(f.Request) }
	case "sum":
		e.Kind = cond.Amount
		e.Amount = func(f *frame) (*money.Amount, error) {
			m, err := q.sumAmounts(f.Request)
			return &m, err
		}
	case "happened":
		e.Kind = cond.Bool
		e.Bool = func(f *frame) (bool, error) { return q.hasHappened(f.Request) }
	case "same":
		e.Kind, e.Kids = cond.Bool, []*expression{x}
		e.Bool = func(f *frame) (bool, error) {
			v, err := x.Value(f)
			if err != nil {
				return false, err
			}
			return q.hasSeen(f.Request, v)
		}
	}
	return e
}

var historyForms = map[string]string{
	"count":    `count("pay") or count("pay", hours(1))`,
	"sum":      `sum("pay", "USDC") or sum("pay", "USDC", days(1))`,
	"happened": `happened("quote") or happened("quote", minutes(2))`,
	"same":     `same(to, "pay", "to") or same(to, "pay", "to", hours(1))`,
}

// readWindow reads the constant length of a window, in ms.
func (sc *scope) readWindow(n ast.Node) (int64, *conditionError) {
	e, err := sc.compile(n)
	if err != nil {
		return 0, err
	}
	if e.Kind != cond.Int || !e.IsConstant() {
		return 0, errorAt(n, "a window must be a constant, such as hours(1)")
	}
	ms, verr := e.Int(&frame{})
	if verr != nil || ms <= 0 {
		return 0, errorAt(n, "a window must be longer than nothing")
	}
	return ms, nil
}

// actsOf checks whose acts are meant and returns the arguments of a tool; nil if it is not one tool, and none if
// nothing is known of it.
func (sc *scope) actsOf(n ast.Node, tool string) (map[string]arg.Kind, *conditionError) {
	if class, ok := strings.CutPrefix(tool, "class:"); ok {
		if !slices.Contains(keys.Classes, class) {
			return nil, errorAt(n, "there is no class %q; there are %s", wording.Clip(class, 60),
				strings.Join(keys.Classes, ", "))
		}
		return nil, nil
	}
	if tool == "*" {
		return nil, nil
	}
	params := map[string]arg.Kind{}
	var names []string
	for _, t := range sc.tools {
		names = append(names, t.Name)
		if t.Name == tool {
			for _, p := range t.Params {
				params[p.Name] = p.Kind
			}
			return params, nil
		}
	}
	if !sc.partial {
		e := errorAt(n, "there is no tool %q", wording.Clip(tool, 60))
		e.hint = wording.Nearest(tool, names)
		return nil, e
	}
	return params, nil
}

// assetOf finds an asset of the set by its symbol.
func (sc *scope) assetOf(s string) (money.Asset, bool) {
	for _, a := range sc.assets {
		if a.Symbol == s {
			return a, true
		}
	}
	return money.Asset{}, false
}

// String says what is counted: "pay within 1h".
func (q *question) String() string {
	s := q.tool
	switch class, of := strings.CutPrefix(q.tool, "class:"); {
	case of:
		s = "a tool of class " + class
	case q.tool == "*":
		s = "any tool"
	}
	if q.window > 0 {
		s += " within " + spanText(q.window)
	}
	return s
}

// spanText writes ms as people say it: 90s, 5m, 1h, 2d.
func spanText(ms int64) string {
	if ms == 0 {
		return "0s"
	}
	for _, u := range []struct {
		ms   int64
		name string
	}{{86_400_000, "d"}, {3_600_000, "h"}, {60_000, "m"}, {1000, "s"}} {
		if ms%u.ms == 0 {
			return fmt.Sprintf("%d%s", ms/u.ms, u.name)
		}
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// freeSummand takes l apart if it is a sum of one thing that a user can change and of one that is given, such as
// sum("pay", "USDC", days(1)) + amount: it returns the former, and what it must be for the sum to be v.
func freeSummand(l *expression, v value, f *frame) (part *expression, rest value, ok bool) {
	if l.Op != "+" {
		return nil, v, false
	}
	part, other := l.Kids[0], l.Kids[1]
	if reachOf(other) < reachOf(part) {
		part, other = other, part
	}
	given, err := other.Value(f)
	if err != nil || part.Op != "field" && part.Op != "arg" {
		return nil, v, false
	}
	if v.Kind == cond.Int {
		v.Int, err = cond.SubInt(v.Int, given.Int)
	} else {
		v.Amount, err = v.Amount.Sub(given.Amount)
	}
	return part, v, err == nil
}

// changePast says what would have to have happened, or how long to wait until it no longer counts.
func (x flip) changePast(try *Request, l, r *expression, op string) (w wish, ok bool) {
	q := questionOf(l)
	w.on = l.Source()
	switch l.Op {
	case "happened":
		if x.want {
			w.text = "a call of " + q.String() + " before"
			return w, false
		}
	case "same":
		w.text = nounOf(l.Kids[0]) + " of no call of " + q.String()
		if x.want {
			w.text = nounOf(l.Kids[0]) + " of a call of " + q.String()
		}
		return w, false
	}
	if until, found := q.findLapse(x, try); found {
		w = waitUntil(until, utc)
		try.Now, try.Past = until, try.Past.At(until)
		return w, true
	}
	if r == nil {
		w.text = "a run without a call of " + q.String()
		return w, false
	}
	v, err := r.Value(x.f)
	if err != nil {
		return wish{}, false
	}
	if !x.want {
		if o, has := cond.Opposite[op]; has {
			op = o
		}
	}
	as := cmp.Or(relation[op], map[string]string{"==": "just", "!=": "other than"}[op])
	w.text = countedAs(l) + " to be " + as + " " + v.String()
	return w, false
}

// findLapse returns the first time at which enough of the past no longer counts for the atom to say what is wanted.
func (q *question) findLapse(x flip, r *Request) (int64, bool) {
	if q.window == 0 {
		return 0, false
	}
	try := *r
	for _, a := range r.Past.Acts() {
		t, err := cond.AddInt(a.At, q.window)
		if err != nil || t <= r.Now || !q.isAbout(&a) {
			continue
		}
		try.Now, try.Past = t, r.Past.At(t)
		if b, err := x.e.Bool(cond.NewFrame(&try, len(x.f.Vars))); err == nil && b == x.want {
			return t, true
		}
	}
	return 0, false
}

// questionOf is what the history function e asks.
func questionOf(e *expression) *question { return e.Past.(*question) }

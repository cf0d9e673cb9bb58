package policies

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/internal/strict"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// Schema is what the schema key of a set says.
const Schema = "writ/policies/1"

// Options say how a set is loaded.
type Options struct {
	Layer string // where it stands, e.g. "operator" or "grant"; part of every rule's id. Required

	// Untrusted sets the tighter bounds for a source that is not the operator's. The language is the same.
	Untrusted bool

	// Tools types the arguments of the tools that rules name. A rule that names another tool does not load.
	Tools []ToolType

	// Parts are what the source refers to, by name, as [Set.Parts] returned them when the set was recorded. If nil, the
	// rules of time zones are those that come with the program, and files are read with File; otherwise nothing is
	// known but these, so that an auditor judges by what was recorded.
	Parts map[string][]byte

	// File reads a file that the source names, such as a long set. If nil, there are none.
	File func(name string) ([]byte, error)

	// Partial lets a rule for a tool that is not in Tools load. It can never match one of Tools, and a request for
	// its own tool is denied. It is for an auditor, who knows only the tools of one run.
	Partial bool
}

// MaxSource is how many bytes an operator's source may have.
const MaxSource = 64 << 10

// limits returns the bounds for a source of the set itself.
func (o *Options) limits() limits {
	if o.Untrusted {
		return untrustedLimits
	}
	return operatorLimits
}

// A Set is one loaded policy set. It never changes and may be used by many goroutines at once.
type Set struct {
	name, layer string
	source      []byte
	budgets     []BudgetDef
	points      map[Point][]*Rule
	rules       []*Rule // all, in the order of the source
	sets        map[string]*namedSet
	parts       []Part
	perCall     bool        // a budget has no ledger
	questions   []*question // that its conditions ask of the past
	slots       int         // variables that a frame needs
	frames      sync.Pool
	usedBudgets map[string]bool
	waivers     []Waiver
	options     Options                // that it was loaded with
	literals    map[string]money.Asset // by the name of their literal
	allowList   map[Point]bool         // points with a permit rule
}

// Name returns the set's name.
func (s *Set) Name() string { return s.name }

// Size returns how many rules the set has.
func (s *Set) Size() int { return len(s.rules) }

// Layer returns the layer that it was loaded for.
func (s *Set) Layer() string { return s.layer }

// Source returns a copy of the exact bytes that it was loaded from.
func (s *Set) Source() []byte { return bytes.Clone(s.source) }

// Budgets returns the set's budgets, sorted by ID.
func (s *Set) Budgets() []BudgetDef { return slices.Clone(s.budgets) }

// A Rule is one compiled rule, for package workshop to look at.
type Rule struct {
	ID, FullID string // "pay", "operator/pay"
	At         Point
	Tools      []string // nil: any
	Effect     string   // one of effects
	When       *expression
	Unless     *expression // nil if there is none
	message    string
	TTL        int64 // ms; approve only
	Reserves   []Reservation
	more       *obligation // what it asks for besides; nil for nothing
	Unknown    bool        // names no tool that was given: see Options.Partial
	Line       int
	Column     int
}

// A Reservation is what a rule takes of a budget.
type Reservation struct {
	Budget BudgetDef
	Amount *expression
}

// A Problem is one thing that is wrong with a source.
type Problem struct {
	Line   int    `json:"line"` // from 1; 0 if it is about the whole source
	Column int    `json:"column"`
	Rule   string `json:"rule,omitempty"` // the rule's id, if it is in one
	Text   string `json:"text"`           // one sentence
	Hint   string `json:"hint,omitempty"` // the name that was probably meant, or ""
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Rule != "" {
		fmt.Fprintf(&b, "rule %s: ", p.Rule)
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		fmt.Fprintf(&b, "; did you mean %q?", p.Hint)
	}
	return b.String()
}

// A LoadError lists what is wrong with a source, in the order of the lines; no more than the first 20 or so.
type LoadError struct {
	Layer    string
	Problems []Problem
}

func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return "policy set of layer " + e.Layer + ": " + strings.Join(lines, "\n")
}

// Load reads, checks and compiles a policy set. Every error is a [*LoadError]; it lists all that was found.
func Load(source []byte, o Options) (*Set, error) {
	l := &loader{o: o, lim: o.limits()}
	l.readSet(source)
	if len(l.Problems) == 0 {
		return l.set, nil
	}
	return nil, NewLoadError(l.o.Layer, l.Problems)
}

// A loader holds what Load has read so far. Problems are collected, not returned, so that an author sees all at once.
type loader struct {
	strict.Reader
	o        Options
	lim      limits
	set      *Set
	assets   map[string]money.Asset // by literal
	budgets  map[string]BudgetDef   // by id without the layer
	zones    map[string]*calendar.Zone
	vars     []variableDef
	compiled map[Point]map[string]*expression // variables, by the points where they are used; nil if one is wrong
}

type variableDef struct {
	name string
	node *yaml.Node
	used bool
}

func (l *loader) readSet(source []byte) {
	if !strict.IsName(l.o.Layer) {
		l.Report(nil, "the layer %q is not a name: lower-case letters, digits, '-' and '_'", wording.Clip(l.o.Layer, 60))
		return
	}
	root := l.ReadDocument(source, l.lim.source)
	if root == nil {
		return
	}
	l.set = &Set{
		layer: l.o.Layer, source: bytes.Clone(source), points: map[Point][]*Rule{}, sets: map[string]*namedSet{},
		usedBudgets: map[string]bool{}, options: l.o, allowList: map[Point]bool{},
	}
	l.assets = map[string]money.Asset{"calls": money.Calls, "tokens": money.Tokens, "usd": money.USD}
	l.budgets = map[string]BudgetDef{}
	l.compiled = map[Point]map[string]*expression{}

	m := l.Mapping(root, "a policy set", keys.Set)
	if v := m["schema"]; v == nil || v.Value != Schema {
		l.Report(cmp.Or(v, root), "schema must be %s", Schema)
		return
	}
	l.set.name = l.ReadName(m["name"], root, "name")
	l.ReadText(m["about"], 2000) // for readers of the source; checked only
	l.readAssets(m["assets"])
	l.readSets(m["sets"])
	l.readBudgets(m["budgets"])
	l.readVariables(m["variables"])
	l.readRules(m["rules"], root)
	l.readWaivers(m["waive"])
	// What stands under tests: is for policies/workshop to read.
	for _, v := range l.vars {
		if !v.used && !l.o.Partial { // with Partial, rules that use it may not have been read
			l.Report(v.node, "the variable %s is used by no rule; remove it", v.name)
		}
	}
	l.set.slots, l.set.literals = len(l.vars), l.assets
	slices.SortFunc(l.set.parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	l.set.frames.New = func() any { return cond.NewFrame[Request](nil, l.set.slots) }
}

func (l *loader) readAssets(n *yaml.Node) {
	l.Pairs(n, "assets", func(k, v *yaml.Node) {
		a := money.Asset{Symbol: k.Value}
		if s, ok := l.Scalar(v, "the decimals"); ok {
			var d uint
			if _, err := fmt.Sscanf(s+" ", "%d ", &d); err != nil || d > money.MaxDecimals || fmt.Sprint(d) != s {
				l.Report(v, "decimals must be a whole number of at most %d", money.MaxDecimals)
				return
			}
			a.Decimals = uint8(d)
		}
		lit := strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
		switch {
		case !a.Valid() || !strict.IsName(lit):
			l.Report(k, "%q is not an asset: 1 to 16 letters, digits, '.', '-' or '_', a letter first",
				wording.Clip(k.Value, 60))
		case slices.Contains(functionNames, lit) || slices.Contains(words, lit):
			l.Report(k, "the asset %q would need a literal %s(), which is taken", k.Value, lit)
		default:
			if other, taken := l.assets[lit]; taken {
				l.Report(k, "the literal of asset %q is that of %q", k.Value, other.Symbol)
				return
			}
			l.assets[lit] = a
		}
	})
}

// words are what expr reads as more than a name, so no literal can be called so.
var words = []string{"true", "false", "nil", "not", "and", "or", "in", "let", "if", "else", "matches", "contains",
	"all", "none", "any", "one", "filter", "map", "count", "sum", "find", "reduce", "args"}

func (l *loader) readSets(n *yaml.Node) {
	l.Pairs(n, "sets", func(k, v *yaml.Node) {
		name := l.ReadName(k, k, "the set")
		set := &namedSet{addresses: map[common.Address]struct{}{}, strings: map[string]struct{}{}}
		if v.Kind == yaml.MappingNode {
			m := l.Mapping(v, "a set", keys.SetFile)
			if file, ok := l.Scalar(cmp.Or(m["file"], v), "file"); ok {
				members, err := l.setFile(name, file)
				if err != nil {
					l.Report(v, "set %s: %v", name, err)
					return
				}
				for _, s := range members {
					if l.addMember(set, v, s); l.IsFull() {
						return
					}
				}
			}
		} else {
			set.members = make([]value, 0, len(v.Content))
			set.addresses = make(map[common.Address]struct{}, len(v.Content))
			l.List(v, "a set", func(item *yaml.Node) {
				if s, ok := l.Scalar(item, "a member"); ok {
					l.addMember(set, item, s)
				}
			})
		}
		if len(set.addresses) > 0 && len(set.strings) > 0 {
			l.Report(v, "a set holds addresses or texts, not both")
		}
		if len(set.members) == 0 {
			l.Report(cmp.Or(v, k), "the set %q is empty; use the condition false instead", name)
		}
		slices.SortFunc(set.members, func(x, y value) int {
			return cmp.Or(x.Addr.Cmp(y.Addr), strings.Compare(x.Text, y.Text))
		})
		l.set.sets[name] = set
	})
}

// addMember adds an address or a text, which stands at n, to a named set.
func (l *loader) addMember(set *namedSet, n *yaml.Node, s string) {
	if strings.HasPrefix(s, "0x") {
		a, err := cond.ParseAddress(s)
		if err != nil {
			l.Report(n, "%v", err)
		} else if _, twice := set.addresses[a]; twice {
			l.Report(n, "%s is in the set twice", s)
		}
		set.addresses[a] = struct{}{}
		set.kind, set.members = cond.Address, append(set.members, value{Kind: cond.Address, Addr: a})
		return
	}
	if !isPlainASCII(s) || s == "" {
		l.Report(n, "a member must be an address or printable ASCII text")
	} else if _, twice := set.strings[s]; twice {
		l.Report(n, "%q is in the set twice", wording.Clip(s, 60))
	}
	set.strings[s] = struct{}{}
	set.kind, set.members = cond.String, append(set.members, value{Kind: cond.String, Text: s})
}

func (l *loader) readBudgets(n *yaml.Node) {
	l.List(n, "budgets", func(item *yaml.Node) {
		m := l.Mapping(item, "a budget", keys.Budget)
		id := l.ReadName(m["id"], item, "id")
		if _, twice := l.budgets[id]; twice {
			l.Report(item, "the budget %q is there twice", id)
			return
		}
		def := BudgetDef{ID: l.o.Layer + "/" + id}
		if v, ok := l.readConstant(cmp.Or(m["cap"], item), cond.Amount, "cap"); ok {
			def.Cap = v.Amount
		}
		def.Scope, _ = l.Scalar(cmp.Or(m["scope"], item), "scope")
		if !slices.Contains(scopes, def.Scope) {
			l.ReportHint(cmp.Or(m["scope"], item), wording.Nearest(def.Scope, scopes), "scope must be session, wallet or agent")
		}
		l.readWindow(m, &def)
		l.budgets[id] = def
		l.set.budgets = append(l.set.budgets, def)
	})
	slices.SortFunc(l.set.budgets, func(a, b BudgetDef) int { return strings.Compare(a.ID, b.ID) })
}

var scopes = []string{"session", "wallet", "agent"}

func (l *loader) readVariables(n *yaml.Node) {
	l.Pairs(n, "variables", func(k, v *yaml.Node) {
		name := k.Value
		if !strict.IsName(name) || strings.Contains(name, "-") || slices.Contains(words, name) {
			l.Report(k, "%q cannot name a variable: lower-case letters, digits and '_', a letter first", wording.Clip(name, 60))
			return
		}
		if isField(name) {
			l.Report(k, "the variable %q would hide a field of that name", name)
			return
		}
		if len(l.vars) == cond.MaxVariables {
			l.Report(k, "there are more than %d variables", cond.MaxVariables)
			return
		}
		l.vars = append(l.vars, variableDef{name: name, node: v})
	})
}

// scopeAt returns what a rule at p can name.
func (l *loader) scopeAt(p Point) *scope {
	fields, _ := Fields(p)
	if l.compiled[p] == nil {
		l.compiled[p] = map[string]*expression{}
	}
	return &scope{point: p, fields: fields, assets: l.assets, sets: l.set.sets, budgets: l.budgets,
		zone: l.readZone, ask: l.noteQuestion, tools: l.o.Tools, partial: l.o.Partial, vars: l.compiled[p],
		variable: l.variablesAbove(p, len(l.vars)), names: l.variableNames(len(l.vars)),
		noArgs: "only a rule with tool: at tool.call has them"}
}

// noteQuestion notes a question of the past, once.
func (l *loader) noteQuestion(q *question) *question {
	i := slices.IndexFunc(l.set.questions, func(x *question) bool { return *x == *q })
	if i < 0 {
		i = len(l.set.questions)
		l.set.questions = append(l.set.questions, q)
	}
	return l.set.questions[i]
}

func (l *loader) variableNames(above int) (names []string) {
	for _, v := range l.vars[:above] {
		names = append(names, v.name)
	}
	return names
}

// variablesAbove returns the way to the first variables of the source. Each is compiled when it is first used at p.
// One sees the fields of the point and the variables above it, so there are no circles, and it sees no args.
func (l *loader) variablesAbove(p Point, above int) func(string) (*expression, *conditionError) {
	return func(name string) (*expression, *conditionError) {
		i := slices.IndexFunc(l.vars[:above], func(v variableDef) bool { return v.name == name })
		if i < 0 {
			return nil, nil
		}
		l.vars[i].used = true
		vars := l.compiled[p]
		if e, seen := vars[name]; seen && e != nil {
			return e, nil
		} else if !seen {
			sc := l.scopeAt(p)
			sc.variable, sc.names = l.variablesAbove(p, i), l.variableNames(i)
			vars[name] = nil // so that what is wrong with it is told once
			if e, ok := l.compileNode(l.vars[i].node, sc, 0, "a variable"); ok {
				vars[name] = cond.Variable(name, e, i)
				return vars[name], nil
			}
		}
		return nil, &conditionError{text: fmt.Sprintf("the variable %s cannot be used at %s", name, p)}
	}
}

// compileNode compiles the scalar n; want 0 allows any kind.
func (l *loader) compileNode(n *yaml.Node, sc *scope, want kind, what string) (*expression, bool) {
	src, ok := l.Scalar(n, what)
	if !ok {
		return nil, false
	}
	e, err := sc.compileSource(src, l.lim, want, what)
	if err == nil && e.CountParts() > l.lim.written {
		err = &conditionError{text: fmt.Sprintf("with its variables written out the condition has more than %d parts",
			l.lim.written)}
	}
	if err != nil {
		p := strict.Problem{Rule: l.Rule, Text: err.text, Hint: err.hint}
		p.Line, p.Column = strict.Place(n, src, err.at)
		l.Problems = append(l.Problems, p)
		return nil, false
	}
	return e, true
}

// readConstant compiles a condition that reads nothing, and evaluates it.
func (l *loader) readConstant(n *yaml.Node, want kind, what string) (value, bool) {
	e, ok := l.compileNode(n, &scope{assets: l.assets}, want, what)
	if !ok {
		return value{}, false
	}
	v, err := e.Value(&frame{Request: &Request{}})
	if err != nil {
		l.Report(n, "%s: %v", what, err)
		return value{}, false
	}
	return v, true
}

// DefaultTTL is how long, in ms, the wallet has for an approval if no rule says otherwise.
const DefaultTTL = 120_000

func (l *loader) readRules(n, root *yaml.Node) {
	if n == nil {
		l.Report(root, "rules is missing")
		return
	}
	seen := map[string]bool{}
	l.List(n, "rules", func(item *yaml.Node) {
		l.Rule = ""
		if len(l.set.rules) == l.lim.rules {
			l.Report(item, "there are more than %d rules", l.lim.rules)
			return
		}
		m := l.Mapping(item, "a rule", keys.Rule)
		r := &Rule{ID: l.ReadName(m["id"], item, "id"), Line: item.Line, Column: item.Column}
		l.Rule = r.ID
		r.FullID = l.o.Layer + "/" + r.ID
		if seen[r.ID] {
			l.Report(m["id"], "the id is there twice")
		}
		seen[r.ID] = true
		if l.readRule(item, m, r) {
			l.refuseTie(item, r)
			l.set.rules = append(l.set.rules, r)
			if r.Effect == "permit" {
				l.set.allowList[r.At] = true
			}
			l.set.points[r.At] = append(l.set.points[r.At], r)
		}
	})
	l.Rule = ""
}

func (l *loader) readRule(item *yaml.Node, m map[string]*yaml.Node, r *Rule) bool {
	before := len(l.Problems)
	at, _ := l.Scalar(cmp.Or(m["at"], item), "at")
	r.At = Point(at)
	if _, ok := Fields(r.At); !ok {
		l.ReportHint(cmp.Or(m["at"], item), wording.Nearest(at, pointNames()), "at must be one of the ten points, not %q",
			wording.Clip(at, 60))
		return false
	}
	r.Effect, _ = l.Scalar(cmp.Or(m["effect"], item), "effect")
	if !slices.Contains(keys.Effects, r.Effect) {
		l.ReportHint(cmp.Or(m["effect"], item), wording.Nearest(r.Effect, keys.Effects), "effect must be one of %s",
			strings.Join(keys.Effects, ", "))
	}
	l.readObligation(item, m, r)

	sc := l.scopeAt(r.At)
	l.readTools(m["tool"], r, sc)
	// A rule for a tool whose type is not known cannot be compiled; it denies when it is asked.
	if r.Unknown {
		return len(l.Problems) == before
	}

	r.When = cond.Constant[Request](&ast.BoolNode{Value: true}, value{Kind: cond.Bool, Bool: true})
	for _, part := range []struct {
		key string
		to  **expression
	}{{"when", &r.When}, {"unless", &r.Unless}} {
		if m[part.key] == nil {
			continue
		}
		if e, ok := l.compileNode(m[part.key], sc, cond.Bool, part.key); ok {
			l.refuseConstant(m[part.key], e, part.key)
			*part.to = e
		}
	}
	if r.Unless != nil && len(l.Problems) == before {
		if can := possibleAnswers(r.Condition()); !can[cond.Yes] {
			l.Report(m["unless"], "the rule can never match: unless covers all of when")
		}
	}
	r.message = l.ReadText(m["message"], 200)
	l.readTTL(m["ttl"], r)
	l.readReserves(m["reserve"], r, sc)
	return len(l.Problems) == before
}

func (l *loader) readTTL(n *yaml.Node, r *Rule) {
	r.TTL = DefaultTTL
	if n == nil {
		return
	}
	s, _ := l.Scalar(n, "ttl")
	d, err := time.ParseDuration(s)
	if err != nil || d < 10*time.Second || d > 24*time.Hour {
		l.Report(n, "ttl must be a duration from 10s to 24h, such as 120s")
	}
	if r.Effect != "approve" {
		l.Report(n, "ttl belongs to an approve rule")
	}
	r.TTL = d.Milliseconds()
}

// readReserves reads one reservation or a list of them.
func (l *loader) readReserves(n *yaml.Node, r *Rule, sc *scope) {
	if n == nil {
		return
	}
	if r.Effect == "forbid" {
		l.Report(n, "a forbid rule reserves nothing")
	} else if r.At != ToolCall && r.At != Spend && r.At != ModelRoute {
		l.Report(n, "nothing is spent at %s; reserve at tool.call, spend or model.route", r.At)
	}
	if n.Kind == yaml.SequenceNode {
		l.List(n, "reserve", func(x *yaml.Node) { l.readReserve(x, r, sc) })
	} else {
		l.readReserve(n, r, sc)
	}
}

func pointNames() []string {
	var out []string
	for _, p := range points {
		out = append(out, string(p.point))
	}
	return out
}

// readTools reads tool: one name or a list. At tool.call it gives the rule those args that all named tools have.
func (l *loader) readTools(n *yaml.Node, r *Rule, sc *scope) {
	if n == nil {
		return
	}
	switch r.At {
	case ToolCall, Spend, ToolResult, Retrieval, ProvenancePublish:
	default:
		l.Report(n, "tool: scopes a rule where a tool is at work, not at %s", r.At)
		return
	}
	var known []string
	for _, t := range l.o.Tools {
		known = append(known, t.Name)
	}
	found := 0
	name := func(x *yaml.Node) {
		s, ok := l.Scalar(x, "tool")
		if !ok {
			return
		}
		if slices.Contains(r.Tools, s) {
			l.Report(x, "the tool %q is there twice", wording.Clip(s, 60))
		}
		r.Tools = append(r.Tools, s)
		i := slices.Index(known, s)
		if i < 0 {
			if !l.o.Partial {
				l.ReportHint(x, wording.Nearest(s, known), "there is no tool %q", wording.Clip(s, 60))
			}
			return
		}
		found++
		sc.narrowArgs(l.o.Tools[i].Params, found == 1)
	}
	if n.Kind == yaml.SequenceNode {
		l.List(n, "tool", name)
	} else {
		name(n)
	}
	if len(r.Tools) == 0 {
		l.Report(n, "tool: names no tool")
	}
	if r.At == Spend {
		sc.args, sc.noArgs = nil, "at spend there are amount, asset and to"
	} else if r.At != ToolCall {
		sc.args, sc.noArgs = nil, "they are judged at tool.call"
	}
	r.Unknown = found == 0 && l.o.Partial
}

// narrowArgs leaves the arguments that all tools of a rule have: those of the first, less what another one has not.
func (sc *scope) narrowArgs(params []arg.Param, first bool) {
	if first {
		sc.args = map[string]arg.Kind{}
		for _, p := range params {
			sc.args[p.Name] = p.Kind
		}
		return
	}
	for a, k := range sc.args {
		same := func(p arg.Param) bool { return p.Name == a && p.Kind == k }
		if !slices.ContainsFunc(params, same) {
			delete(sc.args, a)
		}
	}
}

func (l *loader) readReserve(n *yaml.Node, r *Rule, sc *scope) {
	m := l.Mapping(n, "reserve", keys.Reserve)
	id, _ := l.Scalar(cmp.Or(m["budget"], n), "budget")
	def, err := sc.findBudget(nil, id)
	if err != nil {
		l.ReportHint(cmp.Or(m["budget"], n), err.hint, "%s", err.text)
		return
	}
	if def.PerRecipient && r.At != Spend {
		l.Report(n, "the budget %q counts by recipient, which only spend has", id)
	}
	l.set.usedBudgets[id] = true
	if slices.ContainsFunc(r.Reserves, func(x Reservation) bool { return x.Budget.ID == def.ID }) {
		l.Report(n, "the budget %q is reserved from twice", id)
	}
	src := m["amount"]
	if src == nil {
		natural := naturalAmount(r.At, def.Cap.Asset())
		if natural == "" {
			l.Report(n, "amount is missing: %s has no natural amount in %s", r.At, def.Cap.Asset().Symbol)
			return
		}
		// A synthetic scalar at the same place, so that there is one way in.
		src = &yaml.Node{Kind: yaml.ScalarNode, Value: natural, Line: n.Line, Column: n.Column}
		if natural == "tokens" {
			r.Reserves = append(r.Reserves, Reservation{def, tokenAmount()})
			return
		}
	}
	if e, ok := l.compileNode(src, sc, cond.Amount, "amount"); ok {
		if e.Op == "constant" {
			if v, _ := e.Value(&frame{}); v.Amount.Asset() != def.Cap.Asset() {
				l.Report(src, "the budget %q counts %s, not %s", id, def.Cap.Asset().Symbol, v.Amount.Asset().Symbol)
			}
		}
		r.Reserves = append(r.Reserves, Reservation{def, e})
	}
}

// naturalAmount is the condition of what a request at p takes of a budget in asset, or "".
func naturalAmount(p Point, asset money.Asset) string {
	switch {
	case asset == money.Calls:
		return "calls(1)"
	case p == Spend && asset != money.USD && asset != money.Tokens:
		return "amount"
	case p == ModelRoute && asset == money.Tokens:
		return "tokens"
	case p == ModelRoute && asset == money.USD:
		return "cost"
	}
	return ""
}

// tokenAmount reads the request's tokens as an amount of tokens.
func tokenAmount() *expression {
	f := &field{Name: "tokens", Kind: cond.Amount, Reach: reachLimit,
		Set: func(r *Request, v value) { r.Tokens = int64(v.Amount.Uint256().Uint64()) }}
	return &expression{Kind: cond.Amount, Node: &ast.IdentifierNode{Value: "tokens"}, Op: "field", Name: "tokens",
		Field: f,
		Amount: func(f *frame) (*money.Amount, error) {
			// A negative bound is a bug of the caller's; as unsigned it fits no budget.
			m := money.Of(money.Tokens, uint64(f.Request.Tokens))
			return &m, nil
		}}
}

package policies

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
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

// A Set is one loaded policy set. It never changes and may be used by many goroutines at once.
type Set struct {
	name, layer string
	source      []byte
	budgets     []BudgetDef
	points      map[Point][]*rule
	rules       []*rule // all, in the order of the source
	tests       []Case
	sets        map[string]*namedSet
	parts       []Part
	perCall     bool        // a budget has no ledger
	questions   []*question // that its conditions ask of the past
	slots       int         // variables that a frame needs
	frames      sync.Pool
	usedBudgets map[string]bool
	waivers     []waiver
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

// A rule is one compiled rule.
type rule struct {
	id, full string // "pay", "operator/pay"
	at       Point
	tools    []string // nil: any
	effect   string   // one of effects
	when     *expression
	unless   *expression // nil if there is none
	message  string
	ttl      int64 // ms; approve only
	reserves []reservation
	more     *obligation // what it asks for besides; nil for nothing
	unknown  bool        // names no tool that was given: see Options.Partial
	line     int
	column   int
}

type reservation struct {
	budget BudgetDef
	amount *expression
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

const maxProblems = 20

// Load reads, checks and compiles a policy set. Every error is a [*LoadError]; it lists all that was found.
func Load(source []byte, o Options) (*Set, error) {
	l := &loader{o: o, lim: operatorLimits}
	if o.Untrusted {
		l.lim = untrustedLimits
	}
	l.load(source)
	if len(l.problems) == 0 {
		return l.set, nil
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return nil, &LoadError{Layer: o.Layer, Problems: l.problems}
}

// A loader holds what Load has read so far. Problems are collected, not returned, so that an author sees all at once.
type loader struct {
	o        Options
	lim      limits
	set      *Set
	assets   map[string]money.Asset // by literal
	budgets  map[string]BudgetDef   // by id without the layer
	zones    map[string]*calendar.Zone
	vars     []variableDef
	compiled map[Point]map[string]*expression // variables, by the points where they are used; nil if one is wrong
	problems []Problem
	rule     string // being read
}

type variableDef struct {
	name string
	node *yaml.Node
	used bool
}

// Keys of the format; schema.json lists the same.
var (
	keysSet     = []string{"schema", "name", "about", "assets", "budgets", "sets", "variables", "rules", "waive", "tests"}
	keysBudget  = []string{"id", "cap", "scope", "window", "zone", "per"}
	keysRule    = []string{"id", "at", "tool", "effect", "when", "unless", "message", "ttl", "reserve", "redact", "route", "limit", "label", "mode"}
	keysSetFile = []string{"file"}
	keysReserve = []string{"budget", "amount"}
	keysTest    = []string{"name", "at", "given", "want"}
	keysWant    = []string{"outcome", "rule", "reserve", "ttl", "redact", "limit", "label", "mode", "route"}
	keysLedger  = []string{"spent", "reserved"}
)

func (l *loader) load(source []byte) {
	if !identifier(l.o.Layer) {
		l.problem(nil, "the layer %q is not a name: lower-case letters, digits, '-' and '_'", clip(l.o.Layer))
		return
	}
	root := l.document(source)
	if root == nil {
		return
	}
	l.set = &Set{
		layer: l.o.Layer, source: bytes.Clone(source), points: map[Point][]*rule{}, sets: map[string]*namedSet{},
		usedBudgets: map[string]bool{}, options: l.o, allowList: map[Point]bool{},
	}
	l.assets = map[string]money.Asset{"calls": money.Calls, "tokens": money.Tokens, "usd": money.USD}
	l.budgets = map[string]BudgetDef{}
	l.compiled = map[Point]map[string]*expression{}

	m := l.mapping(root, "a policy set", keysSet)
	if v := m["schema"]; v == nil || v.Value != Schema {
		l.problem(or(v, root), "schema must be %s", Schema)
		return
	}
	l.set.name = l.name(m["name"], root, "name")
	l.text(m["about"], 2000) // for readers of the source; checked only
	l.readAssets(m["assets"])
	l.readSets(m["sets"])
	l.readBudgets(m["budgets"])
	l.readVariables(m["variables"])
	l.readRules(m["rules"], root)
	l.readWaivers(m["waive"])
	l.readTests(m["tests"])
	for _, v := range l.vars {
		if !v.used && !l.o.Partial { // with Partial, rules that use it may not have been read
			l.problem(v.node, "the variable %s is used by no rule; remove it", v.name)
		}
	}
	l.set.slots, l.set.literals = len(l.vars), l.assets
	slices.SortFunc(l.set.parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	l.set.frames.New = func() any { return &frame{vars: make([]slot, l.set.slots)} }
}

func (l *loader) readAssets(n *yaml.Node) {
	l.pairs(n, "assets", func(k, v *yaml.Node) {
		a := money.Asset{Symbol: k.Value}
		if s, ok := l.scalar(v, "the decimals"); ok {
			var d uint
			if _, err := fmt.Sscanf(s+" ", "%d ", &d); err != nil || d > money.MaxDecimals || fmt.Sprint(d) != s {
				l.problem(v, "decimals must be a whole number of at most %d", money.MaxDecimals)
				return
			}
			a.Decimals = uint8(d)
		}
		lit := strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
		switch {
		case !a.Valid() || !identifier(lit):
			l.problem(k, "%q is not an asset: 1 to 16 letters, digits, '.', '-' or '_', a letter first", clip(k.Value))
		case slices.Contains(functionNames, lit) || slices.Contains(words, lit):
			l.problem(k, "the asset %q would need a literal %s(), which is taken", k.Value, lit)
		default:
			if other, taken := l.assets[lit]; taken {
				l.problem(k, "the literal of asset %q is that of %q", k.Value, other.Symbol)
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
	l.pairs(n, "sets", func(k, v *yaml.Node) {
		name := l.name(k, k, "the set")
		set := &namedSet{addresses: map[common.Address]struct{}{}, strings: map[string]struct{}{}}
		add := func(item *yaml.Node, s string) {
			if strings.HasPrefix(s, "0x") {
				a, err := parseAddress(s)
				if err != nil {
					l.problem(item, "%v", err)
				} else if _, twice := set.addresses[a]; twice {
					l.problem(item, "%s is in the set twice", s)
				}
				set.addresses[a] = struct{}{}
				set.kind, set.members = kindAddress, append(set.members, value{kind: kindAddress, a: a})
				return
			}
			if !plain(s) || s == "" {
				l.problem(item, "a member must be an address or printable ASCII text")
			} else if _, twice := set.strings[s]; twice {
				l.problem(item, "%q is in the set twice", clip(s))
			}
			set.strings[s] = struct{}{}
			set.kind, set.members = kindString, append(set.members, value{kind: kindString, s: s})
		}
		if v.Kind == yaml.MappingNode {
			m := l.mapping(v, "a set", keysSetFile)
			if file, ok := l.scalar(or(m["file"], v), "file"); ok {
				members, err := l.setFile(name, file)
				if err != nil {
					l.problem(v, "set %s: %v", name, err)
					return
				}
				for _, s := range members {
					if add(v, s); l.full() {
						return
					}
				}
			}
		} else {
			set.members = make([]value, 0, len(v.Content))
			l.list(v, "a set", func(item *yaml.Node) {
				if s, ok := l.scalar(item, "a member"); ok {
					add(item, s)
				}
			})
		}
		if len(set.addresses) > 0 && len(set.strings) > 0 {
			l.problem(v, "a set holds addresses or texts, not both")
		}
		if len(set.members) == 0 {
			l.problem(or(v, k), "the set %q is empty; use the condition false instead", name)
		}
		slices.SortFunc(set.members, func(x, y value) int {
			return cmp.Or(x.a.Cmp(y.a), strings.Compare(x.s, y.s))
		})
		l.set.sets[name] = set
	})
}

func (l *loader) readBudgets(n *yaml.Node) {
	l.list(n, "budgets", func(item *yaml.Node) {
		m := l.mapping(item, "a budget", keysBudget)
		id := l.name(m["id"], item, "id")
		if _, twice := l.budgets[id]; twice {
			l.problem(item, "the budget %q is there twice", id)
			return
		}
		def := BudgetDef{ID: l.o.Layer + "/" + id}
		if v, ok := l.constant(or(m["cap"], item), kindAmount, "cap"); ok {
			def.Cap = v.m
		}
		def.Scope, _ = l.scalar(or(m["scope"], item), "scope")
		if !slices.Contains(scopes, def.Scope) {
			l.hinted(or(m["scope"], item), nearest(def.Scope, scopes), "scope must be session, wallet or agent")
		}
		l.readWindow(m, &def)
		l.budgets[id] = def
		l.set.budgets = append(l.set.budgets, def)
	})
	slices.SortFunc(l.set.budgets, func(a, b BudgetDef) int { return strings.Compare(a.ID, b.ID) })
}

var scopes = []string{"session", "wallet", "agent"}

const maxVariables = 64

func (l *loader) readVariables(n *yaml.Node) {
	l.pairs(n, "variables", func(k, v *yaml.Node) {
		name := k.Value
		if !identifier(name) || strings.Contains(name, "-") || slices.Contains(words, name) {
			l.problem(k, "%q cannot name a variable: lower-case letters, digits and '_', a letter first", clip(name))
			return
		}
		if isField(name) {
			l.problem(k, "the variable %q would hide a field of that name", name)
			return
		}
		if len(l.vars) == maxVariables {
			l.problem(k, "there are more than %d variables", maxVariables)
			return
		}
		l.vars = append(l.vars, variableDef{name: name, node: v})
	})
}

// scope returns what a rule at p can name.
func (l *loader) scope(p Point) *scope {
	fields, _ := fieldsOf(p)
	if l.compiled[p] == nil {
		l.compiled[p] = map[string]*expression{}
	}
	return &scope{point: p, fields: fields, assets: l.assets, sets: l.set.sets, budgets: l.budgets,
		zone: l.zone, ask: l.ask, tools: l.o.Tools, partial: l.o.Partial, vars: l.compiled[p], variable: l.variablesAbove(p, len(l.vars)), names: l.variableNames(len(l.vars)),
		noArgs: "only a rule with tool: at tool.call has them"}
}

// ask notes a question of the past, once.
func (l *loader) ask(q *question) *question {
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
			sc := l.scope(p)
			sc.variable, sc.names = l.variablesAbove(p, i), l.variableNames(i)
			vars[name] = nil // so that what is wrong with it is told once
			if e, ok := l.condition(l.vars[i].node, sc, 0, "a variable"); ok {
				vars[name] = variable(name, e, i)
				vars[name].parts = e.written()
				return vars[name], nil
			}
		}
		return nil, &conditionError{text: fmt.Sprintf("the variable %s cannot be used at %s", name, p)}
	}
}

// condition compiles the scalar n; want 0 allows any kind.
func (l *loader) condition(n *yaml.Node, sc *scope, want kind, what string) (*expression, bool) {
	src, ok := l.scalar(n, what)
	if !ok {
		return nil, false
	}
	e, err := sc.condition(src, l.lim, want, what)
	if err == nil && e.written() > l.lim.written {
		err = &conditionError{text: fmt.Sprintf("with its variables written out the condition has more than %d parts", l.lim.written)}
	}
	if err != nil {
		p := Problem{Rule: l.rule, Text: err.text, Hint: err.hint}
		p.Line, p.Column = place(n, src, err.at)
		l.problems = append(l.problems, p)
		return nil, false
	}
	return e, true
}

// constant compiles a condition that reads nothing, and evaluates it.
func (l *loader) constant(n *yaml.Node, want kind, what string) (value, bool) {
	e, ok := l.condition(n, &scope{assets: l.assets}, want, what)
	if !ok {
		return value{}, false
	}
	v, err := e.value(&frame{r: &Request{}})
	if err != nil {
		l.problem(n, "%s: %v", what, err)
		return value{}, false
	}
	return v, true
}

var effects = []string{"forbid", "permit", "approve", "redact", "route", "limit", "label"}

// DefaultTTL is how long, in ms, the wallet has for an approval if no rule says otherwise.
const DefaultTTL = 120_000

func (l *loader) readRules(n, root *yaml.Node) {
	if n == nil {
		l.problem(root, "rules is missing")
		return
	}
	seen := map[string]bool{}
	l.list(n, "rules", func(item *yaml.Node) {
		l.rule = ""
		if len(l.set.rules) == l.lim.rules {
			l.problem(item, "there are more than %d rules", l.lim.rules)
			return
		}
		m := l.mapping(item, "a rule", keysRule)
		r := &rule{id: l.name(m["id"], item, "id"), line: item.Line, column: item.Column}
		l.rule = r.id
		r.full = l.o.Layer + "/" + r.id
		if seen[r.id] {
			l.problem(m["id"], "the id is there twice")
		}
		seen[r.id] = true
		if l.readRule(item, m, r) {
			l.refuseTie(item, r)
			l.set.rules = append(l.set.rules, r)
			if r.effect == "permit" {
				l.set.allowList[r.at] = true
			}
			l.set.points[r.at] = append(l.set.points[r.at], r)
		}
	})
	l.rule = ""
}

func (l *loader) readRule(item *yaml.Node, m map[string]*yaml.Node, r *rule) bool {
	before := len(l.problems)
	at, _ := l.scalar(or(m["at"], item), "at")
	r.at = Point(at)
	if _, ok := fieldsOf(r.at); !ok {
		l.hinted(or(m["at"], item), nearest(at, pointNames()), "at must be one of the ten points, not %q", clip(at))
		return false
	}
	r.effect, _ = l.scalar(or(m["effect"], item), "effect")
	if !slices.Contains(effects, r.effect) {
		l.hinted(or(m["effect"], item), nearest(r.effect, effects), "effect must be one of %s", strings.Join(effects, ", "))
	}
	l.readObligation(item, m, r)

	sc := l.scope(r.at)
	l.readTools(m["tool"], r, sc)
	// A rule for a tool whose type is not known cannot be compiled; it denies when it is asked.
	if r.unknown {
		return len(l.problems) == before
	}

	r.when = constant(&ast.BoolNode{Value: true}, value{kind: kindBool, b: true})
	for _, part := range []struct {
		key string
		to  **expression
	}{{"when", &r.when}, {"unless", &r.unless}} {
		if m[part.key] == nil {
			continue
		}
		if e, ok := l.condition(m[part.key], sc, kindBool, part.key); ok {
			l.refuseConstant(m[part.key], e, part.key)
			*part.to = e
		}
	}
	if r.unless != nil && len(l.problems) == before {
		if can := answers(r.matches()); !can[yes] {
			l.problem(m["unless"], "the rule can never match: unless covers all of when")
		}
	}
	r.message = l.text(m["message"], 200)
	r.ttl = DefaultTTL
	if t := m["ttl"]; t != nil {
		s, _ := l.scalar(t, "ttl")
		d, err := time.ParseDuration(s)
		if err != nil || d < 10*time.Second || d > 24*time.Hour {
			l.problem(t, "ttl must be a duration from 10s to 24h, such as 120s")
		}
		if r.effect != "approve" {
			l.problem(t, "ttl belongs to an approve rule")
		}
		r.ttl = d.Milliseconds()
	}
	if v := m["reserve"]; v != nil {
		if r.effect == "forbid" {
			l.problem(v, "a forbid rule reserves nothing")
		} else if r.at != ToolCall && r.at != Spend && r.at != ModelRoute {
			l.problem(v, "nothing is spent at %s; reserve at tool.call, spend or model.route", r.at)
		}
		if v.Kind == yaml.SequenceNode {
			l.list(v, "reserve", func(x *yaml.Node) { l.readReserve(x, r, sc) })
		} else {
			l.readReserve(v, r, sc)
		}
	}
	return len(l.problems) == before
}

func pointNames() []string {
	var out []string
	for _, p := range points {
		out = append(out, string(p.point))
	}
	return out
}

// readTools reads tool: one name or a list. At tool.call it gives the rule those args that all named tools have.
func (l *loader) readTools(n *yaml.Node, r *rule, sc *scope) {
	if n == nil {
		return
	}
	switch r.at {
	case ToolCall, Spend, ToolResult, Retrieval, ProvenancePublish:
	default:
		l.problem(n, "tool: scopes a rule where a tool is at work, not at %s", r.at)
		return
	}
	var known []string
	for _, t := range l.o.Tools {
		known = append(known, t.Name)
	}
	found := 0
	name := func(x *yaml.Node) {
		s, ok := l.scalar(x, "tool")
		if !ok {
			return
		}
		if slices.Contains(r.tools, s) {
			l.problem(x, "the tool %q is there twice", clip(s))
		}
		r.tools = append(r.tools, s)
		i := slices.Index(known, s)
		if i < 0 {
			if !l.o.Partial {
				l.hinted(x, nearest(s, known), "there is no tool %q", clip(s))
			}
			return
		}
		found++
		if found == 1 {
			sc.args = map[string]ArgKind{}
			for _, p := range l.o.Tools[i].Params {
				sc.args[p.Name] = p.Kind
			}
			return
		}
		for a, k := range sc.args {
			if !slices.Contains(l.o.Tools[i].Params, Param{Name: a, Kind: k}) {
				delete(sc.args, a)
			}
		}
	}
	if n.Kind == yaml.SequenceNode {
		l.list(n, "tool", name)
	} else {
		name(n)
	}
	if len(r.tools) == 0 {
		l.problem(n, "tool: names no tool")
	}
	if r.at == Spend {
		sc.args, sc.noArgs = nil, "at spend there are amount, asset and to"
	} else if r.at != ToolCall {
		sc.args, sc.noArgs = nil, "they are judged at tool.call"
	}
	r.unknown = found == 0 && l.o.Partial
}

func (l *loader) readReserve(n *yaml.Node, r *rule, sc *scope) {
	m := l.mapping(n, "reserve", keysReserve)
	id, _ := l.scalar(or(m["budget"], n), "budget")
	def, err := sc.findBudget(nil, id)
	if err != nil {
		l.hinted(or(m["budget"], n), err.hint, "%s", err.text)
		return
	}
	if def.PerRecipient && r.at != Spend {
		l.problem(n, "the budget %q counts by recipient, which only spend has", id)
	}
	l.set.usedBudgets[id] = true
	if slices.ContainsFunc(r.reserves, func(x reservation) bool { return x.budget.ID == def.ID }) {
		l.problem(n, "the budget %q is reserved from twice", id)
	}
	src := m["amount"]
	if src == nil {
		natural := naturalAmount(r.at, def.Cap.Asset())
		if natural == "" {
			l.problem(n, "amount is missing: %s has no natural amount in %s", r.at, def.Cap.Asset().Symbol)
			return
		}
		// A synthetic scalar at the same place, so that there is one way in.
		src = &yaml.Node{Kind: yaml.ScalarNode, Value: natural, Line: n.Line, Column: n.Column}
		if natural == "tokens" {
			r.reserves = append(r.reserves, reservation{def, tokenAmount()})
			return
		}
	}
	if e, ok := l.condition(src, sc, kindAmount, "amount"); ok {
		if e.op == "constant" {
			if v, _ := e.value(&frame{}); v.m.Asset() != def.Cap.Asset() {
				l.problem(src, "the budget %q counts %s, not %s", id, def.Cap.Asset().Symbol, v.m.Asset().Symbol)
			}
		}
		r.reserves = append(r.reserves, reservation{def, e})
	}
}

// naturalAmount is the condition of what a request at p draws from a budget in asset, or "".
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
	f := &field{name: "tokens", kind: kindAmount, reach: reachLimit,
		set: func(r *Request, v value) { r.Tokens = int64(v.m.Uint256().Uint64()) }}
	return &expression{kind: kindAmount, node: &ast.IdentifierNode{Value: "tokens"}, op: "field", name: "tokens", field: f,
		amt: func(f *frame) (*money.Amount, error) {
			// A negative bound is a bug of the caller's; as unsigned it fits no budget.
			m := money.Of(money.Tokens, uint64(f.r.Tokens))
			return &m, nil
		}}
}

package grammar

import (
	"encoding/json"
	"slices"
	"strings"
)

// An item is one place of a pattern: a literal word, or a slot.
type item struct {
	lit  string
	prop int // of a slot; lit is then ""
}

// A pattern is a sentence that means a tool.
type pattern struct {
	tool  *tool
	items []item
}

// A Tool is what a grammar is told of a tool.
type Tool struct {
	Name, About string
	Schema      json.RawMessage
	Utterances  []string // sentence patterns, such as "send {amount} {token} to {to}"
}

// A Grammar is what some tools can be asked. It is safe for use by many goroutines.
type Grammar struct {
	tools    []*tool
	patterns []pattern
	check    func(tool string, args []byte) bool
}

const maxPatterns = 4096

// New makes the grammar of some tools.
func New(ts []Tool) *Grammar {
	g := &Grammar{}
	for _, t := range ts {
		if tl, ok := newTool(t); ok {
			g.tools = append(g.tools, tl)
		}
	}
	for _, t := range g.tools {
		for _, u := range t.utterances {
			g.addPattern(t, u)
		}
		for _, u := range g.formsByName(t) {
			g.addPattern(t, u)
		}
	}
	return g
}

// Checked returns the grammar in which a sentence means a call only if check takes the call's arguments: whoever knows
// the address book makes names and tokens words that are known.
func (g *Grammar) Checked(check func(tool string, args []byte) bool) *Grammar {
	return &Grammar{g.tools, g.patterns, check}
}

// addPattern adds a sentence pattern. One that names no such slot, or names one twice, is left out; so is one that
// would let an acting tool begin with something else than a verb.
func (g *Grammar) addPattern(t *tool, sentence string) {
	if len(g.patterns) >= maxPatterns {
		return
	}
	p := pattern{tool: t}
	used := map[int]bool{}
	for _, f := range strings.Fields(strings.ReplaceAll(strings.ToLower(sentence), "'s", " 's ")) {
		f = strings.TrimRight(f, "?!.,")
		if strings.HasPrefix(f, "{") && strings.HasSuffix(f, "}") {
			at := t.findProperty(strings.Trim(f, "{}"))
			if at < 0 || used[at] {
				return
			}
			used[at] = true
			p.items = append(p.items, item{prop: at})
		} else if f != "" && (t.acts || !fillers[f]) {
			p.items = append(p.items, item{lit: f})
		}
	}
	if len(p.items) == 0 || t.acts && p.items[0].lit == "" {
		return
	}
	for i := range t.props {
		if t.props[i].required && !used[i] && t.acts {
			return
		}
	}
	g.patterns = append(g.patterns, p)
	// "what is {account}'s balance" also means that much without its opener, as long as a word of its own remains.
	for rest := p.items; !t.acts; {
		n := openingLength(rest)
		if n == 0 {
			return
		}
		rest = rest[n:]
		if slices.ContainsFunc(rest, func(i item) bool { return i.lit != "" }) {
			g.patterns = append(g.patterns, pattern{t, rest})
		}
	}
}

func openingLength(items []item) int {
	for _, p := range openers {
		if len(items) > len(p) && slices.EqualFunc(items[:len(p)], p, func(i item, w string) bool { return i.lit == w }) {
			return len(p)
		}
	}
	return 0
}

// formsByName returns the sentences that follow from a tool's name and slots. All others are the tool's utterances.
func (g *Grammar) formsByName(t *tool) []string {
	if t.acts {
		return t.ordersByName()
	}
	forms := g.bareForms(t)
	account := t.onlyProperty(kindAddress)
	if account >= 0 && t.onlyProperty(kindToken) < 0 && len(g.toolsOfVerb(t.verb)) == 1 {
		slot := "{" + t.props[account].name + "}"
		forms = append(forms, slot+" "+t.verb, t.verb+" of "+slot, t.verb+" "+slot)
	}
	return forms
}

// ordersByName returns a sending tool's utterances that begin with "send", with the tool's whole name in its place.
func (t *tool) ordersByName() []string {
	var out []string
	for _, u := range t.utterances {
		if rest, ok := strings.CutPrefix(u, "send "); ok && sending[t.verb] {
			out = append(out, t.name+" "+rest)
		}
	}
	return out
}

// bareForms returns "verb slot slot" for every order of a reading tool's required slots, by its name and by its verb. A
// verb that several tools share belongs to the one that needs most.
func (g *Grammar) bareForms(t *tool) []string {
	needs := func(t *tool) (slots []string) {
		for _, p := range t.props {
			if p.required {
				slots = append(slots, "{"+p.name+"}")
			}
		}
		return slots
	}
	slots := needs(t)
	if len(slots) > 3 {
		return nil
	}
	most := !slices.ContainsFunc(g.toolsOfVerb(t.verb), func(o *tool) bool {
		return o != t &&
			len(needs(o)) >= len(slots)
	})
	var out []string
	for _, order := range permutations(slots) {
		s := strings.Join(order, " ")
		out = append(out, t.name+" "+s)
		if most {
			out = append(out, t.verb+" "+s)
		}
	}
	return out
}

func permutations(s []string) [][]string {
	if len(s) < 2 {
		return [][]string{s}
	}
	var out [][]string
	for i := range s {
		rest := append(slices.Clone(s[:i]), s[i+1:]...)
		for _, p := range permutations(rest) {
			out = append(out, append([]string{s[i]}, p...))
		}
	}
	return out
}

// toolsOfVerb returns the tools of a verb.
func (g *Grammar) toolsOfVerb(verb string) []*tool {
	var out []*tool
	for _, t := range g.tools {
		if t.verb == verb {
			out = append(out, t)
		}
	}
	return out
}

// A match is a pattern laid over a whole request.
type match struct {
	Intent
	missing []int // required props without a word
	lits    int   // literal words that matched
	own     int   // those of them that are not an opener's
	tail    int   // where a text begins that reaches to the end of the words; 0 if none does
}

// matchWords lays p over the words. Slots may be left out, with the preposition before them; those that are required
// are then missing. All readings are given to yield.
func (p *pattern) matchWords(ws []word, caps bool, yield func(match)) {
	m := match{Intent: Intent{p.tool, make([]string, len(p.tool.props))}}
	wide := slices.ContainsFunc(p.tool.props, func(q prop) bool { return q.kind == kindText }) // more words than places
	steps := 0
	var walk func(items []item, ws []word, m match)
	walk = func(items []item, ws []word, m match) {
		if steps++; steps > 2000 || len(ws) > len(items) && !wide {
			return
		}
		if len(items) == 0 {
			if len(ws) > 0 {
				return
			}
			m.args, m.missing = slices.Clone(m.args), nil
			for i, q := range p.tool.props {
				if q.required && m.args[i] == "" {
					m.missing = append(m.missing, i)
				}
			}
			yield(m)
			return
		}
		it := items[0]
		if it.lit != "" {
			if len(ws) > 0 && p.tool.meansSame(it.lit, ws[0].low) {
				n := m
				n.lits++
				if !isOpener(it.lit) && !preposition[it.lit] {
					n.own++
				}
				walk(items[1:], ws[1:], n)
			}
			if len(items) > 1 && items[1].lit == "" && preposition[it.lit] { // "to {to}" left out
				walk(items[2:], ws, m)
			}
			return
		}
		q := &p.tool.props[it.prop]
		most := 1
		if q.kind == kindText && len(q.enum) == 0 {
			most = len(ws)
		}
		for n := 1; n <= most && n <= len(ws); n++ {
			w := ws[0]
			if n > 1 {
				w = w.through(ws[n-1])
			}
			if v, ok := q.readSlot(w, caps); ok {
				old := m.args[it.prop]
				m.args[it.prop] = v
				next := m
				if n == len(ws) && q.kind == kindText && len(q.enum) == 0 {
					next.tail = ws[0].at
				}
				walk(items[1:], ws[n:], next)
				m.args[it.prop] = old
			}
		}
		walk(items[1:], ws, m) // left out
	}
	walk(p.items, ws, m)
}

var preposition = setOf("to of for from at in on with by")

// meansSame says whether a word is a pattern's literal, or means it. Orders know no synonyms but those of sending.
func (t *tool) meansSame(lit, low string) bool {
	if t.acts {
		return lit == low || sending[lit] && sending[low]
	}
	return lit == low || canonOf(lit) == canonOf(low)
}

package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
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

// A grammar is what the tools of one prompt can be asked.
type grammar struct {
	tools    []*tool
	patterns []pattern
}

const maxPatterns = 4096

func newGrammar(ts []model.Tool) *grammar {
	g := &grammar{}
	for _, t := range ts {
		if tl, ok := newTool(t); ok {
			g.tools = append(g.tools, tl)
		}
	}
	for _, t := range g.tools {
		for _, u := range t.utterances {
			g.add(t, u)
		}
		for _, f := range g.stock(t) {
			g.add(t, f)
		}
	}
	return g
}

// add adds a sentence pattern. One that names no such slot, or names one twice, is left out; so is one that would
// let an acting tool begin with something else than a verb.
func (g *grammar) add(t *tool, sentence string) {
	if len(g.patterns) >= maxPatterns {
		return
	}
	p := pattern{tool: t}
	used := map[int]bool{}
	for _, f := range strings.Fields(strings.ReplaceAll(strings.ToLower(sentence), "'s", " 's ")) {
		f = strings.TrimRight(f, "?!.,")
		if strings.HasPrefix(f, "{") && strings.HasSuffix(f, "}") {
			at := t.prop(strings.Trim(f, "{}"))
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
		n := opening(rest)
		if n == 0 {
			return
		}
		rest = rest[n:]
		if slices.ContainsFunc(rest, func(i item) bool { return i.lit != "" }) {
			g.patterns = append(g.patterns, pattern{t, rest})
		}
	}
}

func opening(items []item) int {
	for _, p := range openers {
		if len(items) > len(p) && slices.EqualFunc(items[:len(p)], p, func(i item, w string) bool { return i.lit == w }) {
			return len(p)
		}
	}
	return 0
}

// stock returns the sentences that tools of a verb share, as far as the tool has their slots.
func (g *grammar) stock(t *tool) []string {
	slot := func(k kind) string {
		if at := t.only(k); at >= 0 {
			return "{" + t.props[at].name + "}"
		}
		return ""
	}
	var forms []string
	account, token, amount := slot(kindAddress), slot(kindToken), slot(kindAmount)
	switch {
	case t.verb == "balance" && account != "" && token != "":
		forms = []string{"A T balance", "T balance of A", "balance of A in T", "A balance in T", "T A balance", "balance of T of A",
			"balance in T of A", "much T does A have", "how much T does A have", "how much T A have", "how much T is in A",
			"how much does A have in T", "does A have T", "does A have any T", "A T", "how much T belongs to A", "how much of T does A have", "what does A have in T", "how much T has A"}
	case t.verb == "balance" && account != "":
		forms = []string{"A native balance", "native balance of A", "how much native does A have", "balance A native",
			"balance of A in native", "A native", "does A have native", "does A have any native", "native balance A"}
		if len(g.sharing(t.verb)) == 1 {
			forms = append(forms, "A balance", "balance of A", "balance A")
		}
	case t.verb == "block":
		forms = []string{"latest block", "latest block number", "block number", "block height", "which block is latest",
			"what block is latest", "what block are we at", "which block are we at", "what block are we on"}
		if b := slot(kindBlock); b != "" {
			forms = append(forms, "block "+b, "block number "+b, "info about block "+b, "info block "+b, "what happened in block "+b)
		}
	case t.verb == "tx":
		for _, f := range []string{"H", "tx H", "tx hash H", "tx status H", "tx H status", "status of tx H", "status H", "info about tx H",
			"receipt of H", "receipt H", "did tx H succeed", "did H succeed", "was tx H mined", "was H mined", "has tx H been mined",
			"what happened to tx H", "is tx H mined", "is H mined", "details of tx H"} {
			if h := slot(kindHash); h != "" {
				forms = append(forms, strings.ReplaceAll(f, "H", h))
			}
		}
	case t.verb == "info" && token != "":
		forms = []string{"T info", "info T", "info about T", "info of T", "T total supply", "total supply of T", "supply of T", "T supply",
			"T decimals", "decimals of T", "how many decimals does T have", "T contract", "contract of T", "T token", "token T",
			"about T", "what token is T", "how much T exists", "how much T is there"}
	case t.verb == "simulate" && account != "" && token != "" && amount != "":
		for _, o := range []string{"N T to A", "A N T", "T N to A"} {
			for _, v := range []string{"simulate", "simulate send", "what would happen if i send", "what if i send", "can i send",
				"would it work to send", "simulate a transfer of", "simulate transfer of", "test sending", "what would happen if we send",
				"what happens if i send", "try a simulation of sending"} {
				forms = append(forms, v+" "+o)
			}
		}
		forms = append(forms, "would sending N T to A work", "would a transfer of N T to A work", "does sending N T to A work",
			"would sending N T to A succeed", "would a transfer of N T to A succeed")
	case sending[t.verb] && account != "" && token != "" && amount != "":
		for _, o := range []string{"N T to A", "A N T", "T N to A", "N T A", "to A N T", "T N A"} {
			forms = append(forms, "send "+o)
		}
		forms = append(forms, "make a transfer of N T to A", "transfer A N T")
	}
	if !t.acts {
		forms = append(forms, g.bare(t)...)
	}
	r := strings.NewReplacer("A", account, "T", token, "N", amount)
	for i, f := range forms {
		if !strings.ContainsAny(f, "{") {
			forms[i] = r.Replace(f)
		}
	}
	if t.acts && len(forms) > 0 { // and by its whole name
		for _, f := range forms {
			if rest, ok := strings.CutPrefix(f, "send "); ok {
				forms = append(forms, t.name+" "+rest)
			}
		}
	}
	return forms
}

// bare returns "verb slot slot" for every order of a reading tool's required slots, by its name and by its verb. A
// verb that several tools share belongs to the one that needs most.
func (g *grammar) bare(t *tool) []string {
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
	most := !slices.ContainsFunc(g.sharing(t.verb), func(o *tool) bool { return o != t && len(needs(o)) >= len(slots) })
	var out []string
	for _, order := range permute(slots) {
		s := strings.Join(order, " ")
		out = append(out, t.name+" "+s)
		if most {
			out = append(out, t.verb+" "+s)
		}
	}
	return out
}

func permute(s []string) [][]string {
	if len(s) < 2 {
		return [][]string{s}
	}
	var out [][]string
	for i := range s {
		rest := append(slices.Clone(s[:i]), s[i+1:]...)
		for _, p := range permute(rest) {
			out = append(out, append([]string{s[i]}, p...))
		}
	}
	return out
}

// sharing returns the tools of a verb.
func (g *grammar) sharing(verb string) []*tool {
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
	intent
	missing []int // required props without a word
	lits    int   // literal words that matched
	own     int   // those of them that are not an opener's
}

// over lays p over the words. Slots may be left out, with the preposition before them; those that are required are
// then missing. All readings are given to yield.
func (p *pattern) over(ws []word, caps bool, yield func(match)) {
	m := match{intent: intent{p.tool, make([]string, len(p.tool.props))}}
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
			if len(ws) > 0 && p.tool.same(it.lit, ws[0].low) {
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
				parts := make([]string, n)
				for i := range parts {
					parts[i] = ws[i].text
				}
				w = word{text: strings.Join(parts, " ")}
			}
			if v, ok := q.read(w, caps); ok {
				old := m.args[it.prop]
				m.args[it.prop] = v
				walk(items[1:], ws[n:], m)
				m.args[it.prop] = old
			}
		}
		walk(items[1:], ws, m) // left out
	}
	walk(p.items, ws, m)
}

var preposition = set("to of for from at in on with by")

// same says whether a word is a pattern's literal, or means it. Orders know no synonyms but those of sending.
func (t *tool) same(lit, low string) bool {
	if t.acts {
		return lit == low || sending[lit] && sending[low]
	}
	return lit == low || canonOf(lit) == canonOf(low)
}

// A plan is what a request comes to: calls in order, or a text that asks or declines.
type plan struct {
	calls []intent
	text  string
}

// plan reads a request.
func (g *grammar) plan(request string) plan {
	ws, question, ok := split(request)
	if !ok {
		return plan{text: g.decline(nil)}
	}
	body, asked := courtesy(ws)
	low := func(w word) bool { return w.text != strings.ToUpper(w.text) }
	caps := slices.ContainsFunc(ws, low)
	all, text := g.one(body, caps)
	calls := []intent{all}
	if text != "" {
		if parts := clauses(body); len(parts) > 1 {
			calls, text = g.several(parts, caps)
		}
	}
	if text != "" && !strings.HasPrefix(text, declined) {
		return plan{text: text}
	}
	act := func(in intent) bool { return in.tool.acts }
	acts := text == "" && slices.ContainsFunc(calls, act)
	about := g.about(body)
	w, doubtful := anyIn(body, doubt)
	if acts && !doubtful {
		w, doubtful = g.wondering(body, calls)
	}
	switch {
	case doubtful && (acts || text != "" && about != nil && about.acts):
		return plan{text: fmt.Sprintf("I have done nothing: %q makes this something else than a plain order. "+
			"Do you want it done now? Then say it plainly%s.", clip(w), g.orderLike(calls, acts))}
	case text != "" && about != nil:
		return plan{text: fmt.Sprintf("This is about %s, but I cannot read all of it, and I do not guess.%s "+
			"Can you say it like %s?", about.name, understood(body), about.example())}
	case text != "":
		return plan{text: g.decline(body)}
	case acts && question && !asked:
		return plan{text: fmt.Sprintf("I have done nothing, since that was a question. Do you want it done? Then say it "+
			"without the question mark%s.", g.orderLike(calls, acts))}
	}
	return plan{calls: calls}
}

// wondering says whether a request that parts into the calls asks something in a clause that would act, or mixes a
// simulation with the real thing, which people do when they still consider it.
func (g *grammar) wondering(ws []word, calls []intent) (string, bool) {
	parts := clauses(ws)
	if len(calls) == 1 {
		parts = [][]word{ws}
	}
	for i, in := range calls {
		if in.tool.acts && i < len(parts) {
			if w, bad := anyIn(parts[i], wonder); bad {
				return w, true
			}
		}
		if !in.tool.acts && in.tool.only(kindAmount) >= 0 {
			return parts[i][0].text, true
		}
	}
	return "", false
}

func (g *grammar) orderLike(calls []intent, acts bool) string {
	if acts {
		return " (" + calls[0].describe() + ")"
	}
	for _, t := range g.tools {
		if t.acts {
			return ", like " + t.example()
		}
	}
	return ""
}

// about returns the tool whose verb occurs in a request that could not be read; one that acts comes first. Of several
// tools it is the one that needs most.
func (g *grammar) about(ws []word) *tool {
	var found *tool
	for _, w := range ws {
		for _, t := range g.tools {
			hit := w.low == t.name || canonOf(w.low) == canonOf(t.verb) || sending[t.verb] && canonOf(w.low) == "send" || sending[t.verb] && sending[w.low]
			if hit && (found == nil || t.acts && !found.acts || t.acts == found.acts && len(t.props) > len(found.props)) {
				found = t
			}
		}
	}
	return found
}

// example is how a tool can be asked.
func (t *tool) example() string {
	if len(t.utterances) > 0 {
		return shown(t.utterances[0])
	}
	parts := []string{t.name}
	for _, p := range t.props {
		if p.required {
			parts = append(parts, strings.ToUpper(p.name))
		}
	}
	return shown(strings.Join(parts, " "))
}

// one reads a request for one call; text is the question or the refusal if it is none.
func (g *grammar) one(ws []word, caps bool) (in intent, text string) {
	var whole, part []match
	for _, t := range g.tools {
		forms := [][]word{ws}
		var block string
		if !t.acts {
			rest := plain(ws)
			if at := t.only(kindBlock); at >= 0 && !t.props[at].required {
				rest, block = atBlock(rest)
			}
			forms = openings(rest)
			for i := range forms {
				forms[i], _ = courtesy(forms[i])
			}
		}
		for i := range g.patterns {
			if g.patterns[i].tool != t {
				continue
			}
			for _, form := range forms {
				g.patterns[i].over(form, caps, func(m match) {
					if m.own == 0 && (len(m.missing) > 0 || !m.filled()) {
						return
					}
					if block != "" {
						m.args[t.only(kindBlock)] = block
					}
					if len(m.missing) == 0 {
						whole = append(whole, m)
					} else {
						part = append(part, m)
					}
				})
			}
		}
	}
	if len(whole) > 0 {
		return choose(whole)
	}
	if len(part) > 0 {
		return intent{}, g.ask(part)
	}
	return intent{}, declined
}

func (m *match) filled() bool {
	return slices.ContainsFunc(m.args, func(a string) bool { return a != "" })
}

// atBlock takes "at block 7" off the end.
func atBlock(ws []word) ([]word, string) {
	b := prop{kind: kindBlock}
	n := len(ws)
	if n < 3 {
		return ws, ""
	}
	v, ok := b.read(ws[n-1], true)
	at := func(i int) bool { return i >= 0 && (ws[i].low == "at" || ws[i].low == "in" || ws[i].low == "of") }
	switch {
	case ok && n > 3 && (ws[n-2].low == "block" || ws[n-2].low == "number") && at(n-3):
		return ws[:n-3], v
	case ws[n-1].low == "block" && canonOf(ws[n-2].low) == "latest" && at(n-3):
		return ws[:n-3], "latest"
	}
	return ws, ""
}

// choose returns the one reading, or asks which of several is meant. More words of the pattern's own win.
func choose(ms []match) (intent, string) {
	best := slices.MaxFunc(ms, func(a, b match) int { return a.lits - b.lits }).lits
	var keep []match
	for _, m := range ms {
		known := slices.ContainsFunc(keep, func(k match) bool {
			return k.tool == m.tool && slices.Equal(k.args, m.args)
		})
		if m.lits == best && !known {
			keep = append(keep, m)
		}
	}
	if len(keep) == 1 {
		return keep[0].intent, ""
	}
	var ways []string
	for _, m := range keep[:min(len(keep), 4)] {
		ways = append(ways, m.describe())
	}
	return intent{}, "That can mean " + strings.Join(ways, ", or ") + ". Which one?"
}

// ask returns the question about the reading that lacks least.
func (g *grammar) ask(ms []match) string {
	best := slices.MinFunc(ms, func(a, b match) int {
		if d := len(a.missing) - len(b.missing); d != 0 {
			return d
		}
		return b.lits - a.lits
	})
	var lack []string
	for _, i := range best.missing {
		p := best.tool.props[i]
		lack = append(lack, fmt.Sprintf("\"%s\" (%s)", p.name, wants[p.kind]))
	}
	q := fmt.Sprintf("For %s I still need %s. Which is it?", best.tool.name, strings.Join(lack, " and "))
	if len(lack) > 1 {
		q = strings.Replace(q, "Which is it?", "Which are they?", 1)
	}
	return strings.Replace(q, ". Which", ", as in "+best.tool.example()+". Which", 1)
}

// clauses splits a request at "and then" and the like.
func clauses(ws []word) [][]word {
	var out [][]word
	start := 0
	for i := 0; i < len(ws); {
		n := 0
		for _, j := range joints {
			if hasPrefix(ws[i:], j) {
				n = max(n, len(j))
			}
		}
		if n == 0 {
			i++
			continue
		}
		if i > start {
			out = append(out, ws[start:i])
		}
		i += n
		start = i
	}
	if start < len(ws) {
		out = append(out, ws[start:])
	}
	return out
}

// several reads a request for several calls. A later clause may leave out the verb and the token of the one before.
func (g *grammar) several(parts [][]word, caps bool) ([]intent, string) {
	if len(parts) > maxSteps {
		return nil, fmt.Sprintf("That is more than %d things at once. Which first?", maxSteps)
	}
	var out []intent
	for i, ws := range parts {
		ws, _ = courtesy(ws)
		in, text := g.one(ws, caps)
		if text != "" && i > 0 {
			in, text = g.again(parts[0], out[i-1], ws, caps, text)
		}
		switch {
		case text != "" && i == 0:
			return nil, text
		case text != "":
			return nil, fmt.Sprintf("I have done nothing yet. I understood %s, but not %q. Can you ask for one thing at a time?",
				out[i-1].describe(), clip(join(ws)))
		}
		out = append(out, in)
	}
	return out, ""
}

// again reads ws as one more of what came before: "send 5 USDC to bob and then 3 to alice". Only the token may come
// from there; an amount or a recipient never does.
func (g *grammar) again(first []word, last intent, ws []word, caps bool, text string) (intent, string) {
	at := last.tool.only(kindToken)
	if at < 0 || !last.tool.acts {
		return intent{}, text
	}
	tries := [][]word{ws, append([]word{first[0]}, ws...)}
	for _, try := range tries {
		for i := range g.patterns {
			if g.patterns[i].tool != last.tool {
				continue
			}
			var found *match
			g.patterns[i].over(try, caps, func(m match) {
				if m.own > 0 && (len(m.missing) == 0 || len(m.missing) == 1 && m.missing[0] == at) {
					found = &m
				}
			})
			if found != nil {
				if found.args[at] == "" {
					found.args[at] = last.args[at]
				}
				return found.intent, ""
			}
		}
	}
	return intent{}, text
}

// declined begins every answer to what is outside the grammar.
const declined = "I am rules, not a model, and that is outside my grammar."

// decline says what was understood, what can be asked, and how to connect a model.
func (g *grammar) decline(ws []word) string {
	var b strings.Builder
	b.WriteString(declined + understood(ws))
	var can []string
	for _, t := range g.tools {
		can = append(can, t.example())
	}
	if len(can) > 0 {
		b.WriteString("\nYou can ask: " + strings.Join(can[:min(len(can), 12)], "; ") + ".")
	}
	b.WriteString("\nFor anything else connect a model: writ dev --model URL --model-name NAME")
	return b.String()
}

// understood names the words whose type is plain.
func understood(ws []word) string {
	var seen []string
	for _, w := range ws {
		_, isAmount := (&prop{kind: kindAmount}).read(w, true)
		switch {
		case isAmount, isToken(w, true), hashShape.MatchString(w.low), addressShape.MatchString(w.text):
			seen = append(seen, clip(w.text))
		case strings.HasPrefix(w.low, "0x"):
			seen = append(seen, clip(w.text)+" (neither a whole address nor a whole hash)")
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return " I understood: " + strings.Join(seen[:min(len(seen), 6)], ", ") + "."
}

// shown is an utterance for people: its slots in capitals, in quotation marks.
func shown(utterance string) string {
	var b strings.Builder
	for s := utterance; s != ""; {
		before, after, ok := strings.Cut(s, "{")
		b.WriteString(before)
		if !ok {
			break
		}
		name, rest, _ := strings.Cut(after, "}")
		b.WriteString(strings.ToUpper(name))
		s = rest
	}
	return `"` + b.String() + `"`
}

func join(ws []word) string {
	parts := make([]string, len(ws))
	for i, w := range ws {
		parts[i] = w.text
	}
	return strings.Join(parts, " ")
}

package grammar

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
)

// A Plan is what a request comes to: calls in order, or a text that asks or declines.
type Plan struct {
	Calls []Intent
	Text  string
}

// Plan reads a request as calls. Only what [Grammar.Read] reads in whole becomes calls; of all else it says what it is
// about and asks.
func (g *Grammar) Plan(request string) Plan {
	clauses, ok := g.Read(request)
	calls := callsOf(clauses)
	if ok && calls != nil && !g.isDoubtful(request, calls) {
		return Plan{Calls: calls}
	}
	return Plan{Text: g.explain(request)}
}

// callsOf returns the calls of a request that is nothing else than calls, each of one tool; nil if it is more.
func callsOf(clauses []Clause) (out []Intent) {
	for _, c := range clauses {
		if len(c.Readings) != 1 {
			return nil
		}
		out = append(out, c.Readings[0])
	}
	return out
}

// isDoubtful says whether a request that hands words on to a tool that acts holds some which people use when they do
// not want it done. Such a call is asked back, since whoever gets the words may miss them.
func (g *Grammar) isDoubtful(request string, calls []Intent) bool {
	ws, question, ok := splitWords(request)
	for _, in := range calls {
		if in.tool.acts && in.hasFreeText() {
			if _, doubts := anyIn(ws, doubt); doubts || question || !ok {
				return true
			}
		}
	}
	return false
}

// explain says why a request is not done: what it is about, what is missing or too much, or what can be asked.
func (g *Grammar) explain(request string) string {
	ws, question, ok := splitWords(request)
	if !ok {
		return g.declineRequest(nil)
	}
	body, asked := trimCourtesy(ws)
	caps := hasLowerCase(ws)
	all, text := g.readOne(body, caps)
	calls := []Intent{all}
	if text != "" {
		if parts := splitClauses(body); len(parts) > 1 {
			calls, text = g.readSeveral(parts, caps)
		}
	}
	if text != "" && !strings.HasPrefix(text, Declined) {
		return text
	}
	act := func(in Intent) bool { return in.tool.acts }
	acts := text == "" && slices.ContainsFunc(calls, act)
	about := g.toolAbout(body)
	w, doubtful := anyIn(body, doubt)
	if acts && !doubtful {
		w, doubtful = g.findDoubt(body, calls)
	}
	switch {
	case doubtful && (acts || text != "" && about != nil && about.acts):
		return fmt.Sprintf("Of this I have done nothing: %q makes this something else than a plain order. "+
			"Do you want it done now? Then say it plainly%s.", wording.Clip(w, 60), g.orderLike(calls, acts))
	case text != "" && about != nil:
		fault, with := about.findUnknown(g.patterns, body, caps)
		return fmt.Sprintf("This is about %s, but I %s, and I do not guess.%s Can you say it like %s%s?",
			about.name, fault, listUnderstood(body), about.exampleRequest(), with)
	case text != "":
		return g.declineRequest(body)
	case acts && question && !asked:
		return fmt.Sprintf("Of this I have done nothing, since it was a question. Do you want it done? Then say it "+
			"without the question mark%s.", g.orderLike(calls, acts))
	}
	return "Of this I have done nothing: I read one line of plain words, as commands and questions that are joined " +
		"by \"and then\" or parted by full stops, and not all of this is that. Can you say it so" +
		g.orderLike(calls, acts) + "?"
}

func hasLowerCase(ws []word) bool {
	return slices.ContainsFunc(ws, func(w word) bool { return w.text != strings.ToUpper(w.text) })
}

// findDoubt says whether a request that parts into the calls asks something in a clause that would act, or mixes a
// simulation with the real thing, which people do when they still consider it.
func (g *Grammar) findDoubt(ws []word, calls []Intent) (string, bool) {
	parts := splitClauses(ws)
	if len(calls) == 1 {
		parts = [][]word{ws}
	}
	for i, in := range calls {
		if in.tool.acts && i < len(parts) {
			if w, bad := anyIn(parts[i], wonder); bad {
				return w, true
			}
		}
		if !in.tool.acts && in.tool.onlyProperty(kindAmount) >= 0 {
			return parts[i][0].text, true
		}
	}
	return "", false
}

func (g *Grammar) orderLike(calls []Intent, acts bool) string {
	if acts {
		return " (" + calls[0].Describe() + ")"
	}
	for _, t := range g.tools {
		if t.acts {
			return ", like " + t.exampleRequest()
		}
	}
	return ""
}

// toolAbout returns the tool whose verb occurs in a request that could not be read; one that acts comes first. Of
// several tools it is the one that needs most.
func (g *Grammar) toolAbout(ws []word) *tool {
	var found *tool
	for _, w := range ws {
		for _, t := range g.tools {
			hit := w.low == t.name || canonOf(w.low) == canonOf(t.verb) || sending[t.verb] && canonOf(w.low) == "send" ||
				sending[t.verb] && sending[w.low]
			if hit && (found == nil || t.acts && !found.acts || t.acts == found.acts && len(t.props) > len(found.props)) {
				found = t
			}
		}
	}
	return found
}

// standIns are words that fill a slot of an account or a token in every request, and nothing else.
var standIns = []struct {
	kind              kind
	word, fault, with string
}{
	{kindAddress, "0x0000000000000000000000000000000000000000", "do not know who %q is",
		", with a name that is known here or a whole address"},
	{kindToken, "lusd", "do not know which token %q is", ", with the symbol of a token in capitals"},
}

// findUnknown says why the first clause is none of the tool's sentences: the one word in the place of an account or a
// token that is neither, if it would be a sentence with another there. with says what belongs there. Of several words
// that would each do, none is named.
func (t *tool) findUnknown(patterns []pattern, ws []word, caps bool) (fault, with string) {
	const unread = "cannot read all of it"
	const most = 24 // words: a longer clause lacks more than one
	fault = unread
	own := Grammar{tools: []*tool{t}, patterns: patterns}
	if parts := splitClauses(ws); len(parts) > 0 {
		ws, _ = trimCourtesy(parts[0])
	}
	if len(ws) > most {
		return unread, ""
	}
	for at, w := range ws {
		for _, s := range standIns {
			tried := slices.Clone(ws)
			tried[at] = newWord(s.word)
			v, _ := (&prop{kind: s.kind}).readSlot(tried[at], caps)
			whole, _ := own.matchAll(tried, caps)
			fills := slices.ContainsFunc(whole, func(m match) bool {
				i := slices.Index(m.args, v)
				return i >= 0 && t.props[i].kind == s.kind
			})
			switch {
			case !fills || strings.HasPrefix(w.low, "0x"): // listUnderstood says what that is
			case fault != unread:
				return unread, ""
			default:
				fault, with = fmt.Sprintf(s.fault, wording.Clip(w.text, 60)), s.with
			}
		}
	}
	return fault, with
}

// exampleRequest is how a tool can be asked.
func (t *tool) exampleRequest() string {
	if len(t.utterances) > 0 {
		return showUtterance(t.utterances[0])
	}
	parts := []string{t.name}
	for _, p := range t.props {
		if p.required {
			parts = append(parts, strings.ToUpper(p.name))
		}
	}
	return showUtterance(strings.Join(parts, " "))
}

// readOne reads a request for one call; text is the question or the refusal if it is none.
func (g *Grammar) readOne(ws []word, caps bool) (in Intent, text string) {
	whole, part := g.matchAll(ws, caps)
	if len(whole) > 0 {
		return chooseReading(whole)
	}
	if len(part) > 0 {
		return Intent{}, g.askForMissing(part)
	}
	return Intent{}, Declined
}

// matchAll lays every pattern over the words: those that they fill in whole, and those of which a slot is missing.
func (g *Grammar) matchAll(ws []word, caps bool) (whole, part []match) {
	for _, t := range g.tools {
		forms := [][]word{ws}
		var block string
		if !t.acts {
			rest := withoutFillers(ws)
			if at := t.onlyProperty(kindBlock); at >= 0 && !t.props[at].required {
				rest, block = atBlock(rest)
			}
			forms = withoutOpeners(rest)
			for i := range forms {
				forms[i], _ = trimCourtesy(forms[i])
			}
		}
		for i := range g.patterns {
			if g.patterns[i].tool != t {
				continue
			}
			for _, form := range forms {
				g.patterns[i].matchWords(form, caps, func(m match) {
					if m.own == 0 && (len(m.missing) > 0 || !m.hasArguments()) {
						return
					}
					if block != "" {
						m.args[t.onlyProperty(kindBlock)] = block
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
	return whole, part
}

func (m *match) hasArguments() bool {
	return slices.ContainsFunc(m.args, func(a string) bool { return a != "" })
}

// atBlock takes "at block 7" off the end.
func atBlock(ws []word) ([]word, string) {
	b := prop{kind: kindBlock}
	n := len(ws)
	if n < 3 {
		return ws, ""
	}
	v, ok := b.readSlot(ws[n-1], true)
	at := func(i int) bool { return i >= 0 && (ws[i].low == "at" || ws[i].low == "in" || ws[i].low == "of") }
	switch {
	case ok && n > 3 && (ws[n-2].low == "block" || ws[n-2].low == "number") && at(n-3):
		return ws[:n-3], v
	case ws[n-1].low == "block" && canonOf(ws[n-2].low) == "latest" && at(n-3):
		return ws[:n-3], "latest"
	}
	return ws, ""
}

// bestReadings returns the readings in which most words are a pattern's own, each once.
func bestReadings(ms []match) (keep []match) {
	best := slices.MaxFunc(ms, func(a, b match) int { return a.lits - b.lits }).lits
	for _, m := range ms {
		known := slices.ContainsFunc(keep, func(k match) bool {
			return k.tool == m.tool && slices.Equal(k.args, m.args)
		})
		if m.lits == best && !known {
			keep = append(keep, m)
		}
	}
	return keep
}

// chooseReading returns the one reading, or asks which of several is meant.
func chooseReading(ms []match) (Intent, string) {
	keep := bestReadings(ms)
	if len(keep) == 1 {
		return keep[0].Intent, ""
	}
	var ways []string
	for _, m := range keep[:min(len(keep), 4)] {
		ways = append(ways, m.Describe())
	}
	return Intent{}, "That can mean " + strings.Join(ways, ", or ") + ". Which one?"
}

// askForMissing returns the question about the reading that lacks least.
func (g *Grammar) askForMissing(ms []match) string {
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
	return strings.Replace(q, ". Which", ", as in "+best.tool.exampleRequest()+". Which", 1)
}

// splitClauses splits a request at "and then" and the like.
func splitClauses(ws []word) [][]word {
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

// readSeveral reads a request for several calls. A later clause may leave out the verb and the token of the one before.
func (g *Grammar) readSeveral(parts [][]word, caps bool) ([]Intent, string) {
	if len(parts) > MaxClauses {
		return nil, fmt.Sprintf("That is more than %d things at once. Which first?", MaxClauses)
	}
	var out []Intent
	for i, ws := range parts {
		ws, _ = trimCourtesy(ws)
		in, text := g.readOne(ws, caps)
		if text != "" && i > 0 {
			in, text = g.readAgain(parts[0], out[i-1], ws, caps, text)
		}
		switch {
		case text != "" && i == 0:
			return nil, text
		case text != "":
			return nil, fmt.Sprintf("Of this I have done nothing yet. I understood %s, but not %q. "+
				"Can you ask for one thing at a time?", out[i-1].Describe(), wording.Clip(joinWords(ws), 60))
		}
		out = append(out, in)
	}
	return out, ""
}

// readAgain reads ws as one more of what came before: "send 5 USDC to bob and then 3 to alice". Only the token may come
// from there; an amount or a recipient never does.
func (g *Grammar) readAgain(first []word, last Intent, ws []word, caps bool, text string) (Intent, string) {
	at := last.tool.onlyProperty(kindToken)
	if at < 0 || !last.tool.acts {
		return Intent{}, text
	}
	tries := [][]word{ws, append([]word{first[0]}, ws...)}
	for _, try := range tries {
		for i := range g.patterns {
			if g.patterns[i].tool != last.tool {
				continue
			}
			var found *match
			g.patterns[i].matchWords(try, caps, func(m match) {
				if m.own > 0 && (len(m.missing) == 0 || len(m.missing) == 1 && m.missing[0] == at) {
					found = &m
				}
			})
			if found != nil {
				if found.args[at] == "" {
					found.args[at] = last.args[at]
				}
				return found.Intent, ""
			}
		}
	}
	return Intent{}, text
}

// Declined begins every answer to what is outside the grammar.
const Declined = "I am rules, not a model, and that is outside my grammar."

// ConnectModel ends every answer to what is outside the grammar. It is for servers without a model.
const ConnectModel = "\nFor anything else connect a model: writ dev --model URL --model-name NAME, or models in " +
	"writ.yaml"

// declineRequest says what was understood, what can be asked, and how to connect a model.
func (g *Grammar) declineRequest(ws []word) string {
	var b strings.Builder
	b.WriteString(Declined + listUnderstood(ws))
	var can []string
	for _, t := range g.tools {
		can = append(can, t.exampleRequest())
	}
	if len(can) > 0 {
		b.WriteString("\nYou can ask: " + strings.Join(can[:min(len(can), 12)], "; ") + ".")
	}
	b.WriteString(ConnectModel)
	return b.String()
}

// listUnderstood names the words whose type is plain.
func listUnderstood(ws []word) string {
	var seen []string
	for _, w := range ws {
		_, isAmount := (&prop{kind: kindAmount}).readSlot(w, true)
		switch {
		case isAmount, isToken(w, true), hashShape.MatchString(w.low), addressShape.MatchString(w.text):
			seen = append(seen, wording.Clip(w.text, 60))
		case strings.HasPrefix(w.low, "0x"):
			seen = append(seen, wording.Clip(w.text, 60)+" (neither a whole address nor a whole hash)")
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return " I understood: " + strings.Join(seen[:min(len(seen), 6)], ", ") + "."
}

// showUtterance is an utterance for people: its slots in capitals, in quotation marks.
func showUtterance(utterance string) string {
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

func joinWords(ws []word) string {
	parts := make([]string, len(ws))
	for i, w := range ws {
		parts[i] = w.text
	}
	return strings.Join(parts, " ")
}

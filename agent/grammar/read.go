package grammar

import (
	"regexp"
	"slices"
	"strings"
)

// A Clause is one command or question of a request.
type Clause struct {
	// Readings are the calls that it can mean: one, or some of other tools with the same arguments. A clause without
	// any is understood and no call: a courtesy, or something about a page.
	Readings []Intent
}

// Read reads a whole request. ok is false if any of it is not understood: then nothing in it counts.
//
// A request is one line of clauses. A clause is a sentence of a tool, one about a page, or a courtesy. Clauses are
// joined by "and", "then", "and then" and the like, or parted by full stops. A request of courtesies alone is read, and
// has no clauses. A clause that acts is no question, unless
// it asks politely ("could you ..."). Words for people, which a tool takes as a text, reach to the end of the request,
// which is then this one clause.
func (g *Grammar) Read(request string) (clauses []Clause, ok bool) {
	request = strings.TrimRight(request, " \r\n\t")
	if c, ok := g.readFreeText(request); ok {
		return []Clause{c}, true
	}
	ws, ok := scanWords(request)
	if !ok {
		return nil, false
	}
	parts, ok := splitStrictly(ws)
	if !ok {
		return nil, false
	}
	r := reader{g: g, caps: hasLowerCase(ws), several: len(parts) > 1}
	for i, part := range parts {
		if r.last = i == len(parts)-1; !r.readClause(part) {
			return nil, false
		}
	}
	if r.acts && (r.simulates || r.depends) || len(r.clauses) > MaxClauses {
		return nil, false // who has something tried out, or looked at first, still considers it
	}
	return r.clauses, true
}

// Confidence says how much of a request is understood: of 100 of its words those that stand in clauses which are read,
// each by itself. 100 is said of what [Grammar.Plan] makes calls of, and of nothing else.
func (g *Grammar) Confidence(request string) int64 {
	if p := g.Plan(request); p.Text == "" && len(p.Calls) > 0 {
		return 100
	}
	ws, _ := scanWords(strings.TrimRight(request, " \r\n\t"))
	parts, ok := splitStrictly(ws)
	if !ok {
		return 0
	}
	r := reader{g: g, caps: hasLowerCase(ws), several: len(parts) > 1}
	read := 0
	for i, part := range parts {
		if r.last = i == len(parts)-1; r.readClause(part) {
			read += len(part)
		}
	}
	return min(99, int64(read*100/max(len(ws), 1)))
}

// ReadTalk reads texts that one user has said one after another, each of them whole, and returns the clauses of all.
// One that is not understood may take back what was said before it, such as "stop", or forbid what is said after it,
// such as "never send anything to bob": then no clause of any text means a call; the clauses keep their places.
func (g *Grammar) ReadTalk(texts []string) (clauses []Clause) {
	whole := true
	for _, text := range texts {
		more, ok := g.Read(text)
		clauses, whole = append(clauses, more...), whole && ok
	}
	if !whole {
		clear(clauses)
	}
	return clauses
}

// A reader reads the clauses of a request in order.
type reader struct {
	g       *Grammar
	caps    bool
	several bool
	first   []word // of the clauses that are calls
	clauses []Clause

	last            bool // clause
	acts, simulates bool
	depends         bool // something is asked on which a command may depend
}

// readClause reads one clause. It returns false if it is not understood.
func (r *reader) readClause(ws []word) bool {
	question := strings.Contains(ws[len(ws)-1].stop, "?")
	if isCourtesy(ws) || r.last && isOneOf(closings, ws) {
		return !question
	}
	all := ws
	ws, asked := trimCourtesy(ws)
	if len(ws) == 0 { // "I want to." is a sentence that says something else than what follows it
		return !question && isOneOf(endings, all)
	}
	whole, _ := r.g.matchAll(ws, r.caps)
	c, ok := r.g.clauseOf(whole, r.several)
	if !ok && len(whole) == 0 && len(r.clauses) > 0 {
		c, ok = r.readShort(ws)
	}
	ok = ok || isAboutPage(withoutFillers(ws))
	if !ok {
		return false
	}
	for _, in := range c.Readings {
		t := in.tool
		r.acts = r.acts || t.acts
		r.simulates = r.simulates || !t.acts && t.onlyProperty(kindAmount) >= 0
		if _, wonders := anyIn(ws, wonder); t.acts && (question && !asked || wonders || in.hasFreeText()) {
			return false
		}
	}
	if len(c.Readings) == 0 || !c.Readings[0].tool.acts {
		r.depends = r.depends || !standsAlone(ws[0].low, question && !asked)
	}
	if r.first == nil {
		r.first = ws
	}
	r.clauses = append(r.clauses, c)
	return true
}

// readShort reads a clause that leaves out what the one before it said: "and then 3 to alice".
func (r *reader) readShort(ws []word) (Clause, bool) {
	last := r.clauses[len(r.clauses)-1].Readings
	if len(last) == 0 {
		return Clause{}, false
	}
	var c Clause
	for _, before := range last {
		in, text := r.g.readAgain(r.first, before, ws, r.caps, Declined)
		if text != "" || !r.g.passes(in) {
			return Clause{}, false
		}
		c.Readings = append(c.Readings, in)
	}
	return c, haveSameArguments(c.Readings)
}

// clauseOf makes a clause of the patterns that its words fill. It returns false if they mean two things.
func (g *Grammar) clauseOf(whole []match, several bool) (Clause, bool) {
	whole = slices.DeleteFunc(whole, func(m match) bool { return !g.passes(m.Intent) || several && !m.isPlain() })
	if len(whole) == 0 {
		return Clause{}, false
	}
	var c Clause
	for _, m := range bestReadings(whole) {
		c.Readings = append(c.Readings, m.Intent)
	}
	return c, haveSameArguments(c.Readings)
}

// passes says whether the check of the grammar takes a call.
func (g *Grammar) passes(in Intent) bool {
	return g.check == nil || g.check(in.tool.name, in.Args())
}

func haveSameArguments(list []Intent) bool {
	return !slices.ContainsFunc(list, func(in Intent) bool { return string(in.Args()) != string(list[0].Args()) })
}

var plainURL = regexp.MustCompile(`^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?(\?[A-Za-z0-9._=&-]*)?$`)

// isPlain says whether what the words of a clause name can stand beside other clauses: no text in anybody's words, and
// no address of a page that could hold some.
func (m *match) isPlain() bool {
	for i, p := range m.tool.props {
		switch {
		case m.args[i] == "":
		case p.kind == kindText && len(p.enum) == 0, p.kind == kindURL && !plainURL.MatchString(m.args[i]):
			return false
		}
	}
	return true
}

// hasValues says whether something else than texts is named.
func (in Intent) hasValues() bool {
	for i, p := range in.tool.props {
		if in.args[i] != "" && p.kind != kindText {
			return true
		}
	}
	return false
}

func (in Intent) hasFreeText() bool {
	for i, p := range in.tool.props {
		if in.args[i] != "" && p.kind == kindText && len(p.enum) == 0 {
			return true
		}
	}
	return false
}

// readFreeText reads a request that is one clause and ends in words for people, such as what another agent is asked.
// The words before them are read as strictly as any.
func (g *Grammar) readFreeText(request string) (Clause, bool) {
	ws, _, ok := splitWords(request)
	question := strings.HasSuffix(request, "?")
	if !ok || len(ws) == 0 {
		return Clause{}, false
	}
	ws[len(ws)-1].stop = ""
	body, _ := trimGreeting(ws)
	whole, _ := g.matchAll(body, hasLowerCase(ws))
	whole = slices.DeleteFunc(whole, func(m match) bool {
		// What acts by values beside the words would pass over a condition among them; what was a question acts not.
		if m.tail == 0 || m.tool.acts && (m.hasValues() || question) || !g.passes(m.Intent) {
			return true
		}
		before, ok := scanWords(strings.TrimSuffix(request[:m.tail], " "))
		return !ok || slices.ContainsFunc(before, func(w word) bool { return w.stop != "" })
	})
	if len(whole) == 0 {
		return Clause{}, false
	}
	var c Clause
	for _, m := range bestReadings(whole) {
		c.Readings = append(c.Readings, m.Intent)
	}
	return c, len(c.Readings) == 1
}

// The characters of a request: words, numbers, addresses of pages, and after them one mark.
var (
	plainWord = regexp.MustCompile(`^#?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?('[A-Za-z]+)?$`)
	marks     = []string{"", ",", ".", "!", "?", ";"}
)

// scanWords returns the words of one line of plain words. ok is false if anything else is in it: another script, a
// quotation mark, a line break, an indentation, a colon, a bracket.
func scanWords(line string) (ws []word, ok bool) {
	if len(line) > maxText {
		return nil, false
	}
	at := 0
	for f := range strings.SplitSeq(line, " ") {
		from := at
		at += len(f) + 1
		if f == "" { // two spaces after the end of a sentence
			if len(ws) == 0 || !endsSentence(ws[len(ws)-1].stop) || line[from-2:from] == "  " {
				return nil, false
			}
			continue
		}
		written := strings.TrimRight(f, ",.!?;")
		mark := f[len(written):]
		if strings.Trim(mark, "!") == "" && mark != "" {
			mark = "!"
		}
		if !slices.Contains(marks, mark) || !isPlainWord(written) || len(ws)+3 > maxWords {
			return nil, false
		}
		ws = appendWords(ws, written, line, from, mark)
	}
	return ws, true
}

func isPlainWord(s string) bool {
	if rest, ok := strings.CutSuffix(s, "\u2019s"); ok {
		s = rest + "'s"
	}
	return plainWord.MatchString(s) || grouped.MatchString(s) || urlShape.MatchString(s)
}

func endsSentence(stop string) bool { return stop == "." || stop == "!" || stop == "?" || stop == ";" }

// splitStrictly parts the words of a line into clauses. ok is false where a comma or a connective stands at a place
// that it has no meaning at.
func splitStrictly(ws []word) (clauses [][]word, ok bool) {
	start := 0
	for i := 0; i < len(ws); i++ {
		stop := ws[i].stop
		joint := longestPrefix(ws[i+1:], joints)
		switch {
		case i+1 == len(ws):
			if stop == "," || stop == ";" {
				return nil, false
			}
		case joint > 0 && i+1+joint == len(ws):
			return nil, false
		case joint > 0 && !hasStop(ws[i+1:i+1+joint]), joint == 0 && endsSentence(stop):
			clauses = append(clauses, ws[start:i+1])
			start = i + 1 + joint
			i += joint
		case joint > 0 || stop == "," && !mayPause(ws[start:i+1], ws[i+1:]):
			return nil, false
		}
	}
	clauses = append(clauses, ws[start:])
	for _, c := range clauses {
		if len(c) == 0 || longestPrefix(c, joints) > 0 {
			return nil, false
		}
	}
	return clauses, true
}

func hasStop(ws []word) bool {
	return slices.ContainsFunc(ws, func(w word) bool { return w.stop != "" })
}

func longestPrefix(ws []word, phrases [][]string) (n int) {
	for _, p := range phrases {
		if hasPrefix(ws, p) {
			n = max(n, len(p))
		}
	}
	return n
}

// mayPause says whether a comma may stand between two parts of a clause: after a greeting, before thanks.
func mayPause(before, after []word) bool {
	if rest, _ := trimCourtesy(before); len(rest) == 0 {
		return true
	}
	for n := range after {
		if longestPrefix(after[n:], joints) > 0 {
			return isEnding(after[:n])
		}
		if after[n].stop != "" {
			return isEnding(after[:n+1])
		}
	}
	return isEnding(after)
}

// isEnding says whether nothing but courtesies and the like are left of a clause.
func isEnding(ws []word) bool { return isCourtesy(ws) || isOneOf(endings, ws) }

// closings are clauses without a meaning of their own that a request may end with. Before a command "tell me" asks to
// be told first.
var closings = splitPhrases("tell me", "let me know")

func isOneOf(phrases [][]string, ws []word) bool {
	return slices.ContainsFunc(phrases, func(p []string) bool { return len(ws) == len(p) && hasPrefix(ws, p) })
}

// Words with which something begins that can be asked beside a command. After what can be answered by yes or no, and
// after "check" and "see", people mean that the command depends on it: "is it mined? Then send 5 USDC to bob".
var (
	openQuestions = setOf("what how which")
	lookups       = setOf(`what how which show tell give get read look display print fetch find open summarise summarize
		visit load go have`)
)

// standsAlone says whether no command depends on a clause that begins with a word.
func standsAlone(first string, question bool) bool {
	if question {
		return openQuestions[first]
	}
	return lookups[first]
}

// The words of clauses about a page or a document, whichever tool or model sees to it. Those that make something depend
// on what the page says, such as "check", are not among them.
var (
	pageVerbs = splitPhrases("read", "open", "fetch", "get", "visit", "load", "look at", "have look at", "go to", "show",
		"show me", "summarise", "summarize", "tell me about")
	pageNouns     = splitPhrases("page", "web page", "site", "website", "document", "article")
	pageQuestions = splitPhrases("what does URL say", "tell me what URL says", "what is URL about",
		"tell me what URL is about")
)

// isAboutPage says whether a clause asks for a page by its address, or for one that is known from elsewhere.
func isAboutPage(ws []word) bool {
	isPage := func(w word) bool { return plainURL.MatchString(w.text) }
	for _, q := range pageQuestions {
		if len(q) == len(ws) && slices.EqualFunc(ws, q, func(w word, s string) bool {
			return w.low == s || s == "URL" && isPage(w)
		}) {
			return true
		}
	}
	n := longestPrefix(ws, pageVerbs)
	rest := ws[n:]
	noun := longestPrefix(rest, pageNouns)
	rest = rest[noun:]
	if noun > 0 && len(rest) == 2 && rest[0].low == "at" {
		rest = rest[1:]
	}
	return n > 0 && (len(rest) == 0 && noun > 0 || len(rest) == 1 && isPage(rest[0]))
}

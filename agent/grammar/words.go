package grammar

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A word is one word of a request.
type word struct {
	text string // as written, without the punctuation around it
	low  string // in lower case

	request string // that it stands in, from at to end
	at, end int
	stop    string // the punctuation after it
}

// through returns all that is written from w to the end of last, as one word.
func (w word) through(last word) word {
	w.text, w.low, w.end, w.stop = w.request[w.at:last.end], "", last.end, last.stop
	return w
}

var (
	grouped = regexp.MustCompile(`^[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$`)
	glued   = regexp.MustCompile(`^([0-9][0-9.,]*)([A-Za-z]{2,10})$`) // 5USDC
)

// splitWords returns the words of a text, and whether a part of it ends as a question. ok is false if the text is too
// long, or holds what the grammar cannot read. It is for finding out what a request may be about: punctuation between
// words is passed over, which [scanWords] does not do.
func splitWords(text string) (ws []word, question, ok bool) {
	if len(text) > maxText || !utf8.ValidString(text) {
		return nil, false, false
	}
	at := 0
	for _, f := range strings.Fields(text) {
		at += strings.Index(text[at:], f)
		question = question || strings.HasSuffix(f, "?")
		end := strings.TrimRight(f, "?!.,:;")
		if len(ws)+3 > maxWords {
			return nil, question, false
		}
		ws = appendWords(ws, end, text, at, f[len(end):])
		if strings.Contains(f[len(end):], ";") {
			ws = append(ws, word{text: ";", low: ";", request: text, at: at + len(end), end: at + len(f)})
		}
		at += len(f)
	}
	return ws, question, true
}

// appendWords appends what is written at a place of a request between two spaces: mostly one word.
func appendWords(ws []word, written, request string, at int, stop string) []word {
	place := func(w word, from, to int) word {
		w.request, w.at, w.end = request, at+from, at+to
		return w
	}
	n := len(written)
	plain := strings.ReplaceAll(written, "\u2019", "'")
	own := strings.ToLower(plain)
	before := len(ws)
	switch m := glued.FindStringSubmatch(written); {
	case written == "":
	case own == "what's" || own == "whats":
		ws = append(ws, place(newWord("what"), 0, n), place(newWord("is"), n, n))
	case strings.HasSuffix(own, "'s"):
		ws = append(ws, place(newWord(plain[:len(plain)-2]), 0, n), place(newWord("'s"), n, n))
	case strings.HasSuffix(own, "s'"):
		ws = append(ws, place(newWord(plain[:len(plain)-1]), 0, n), place(newWord("'s"), n, n))
	case m != nil && !strings.HasPrefix(own, "0x") && isToken(newWord(m[2]), true):
		ws = append(ws, place(newWord(m[1]), 0, len(m[1])), place(newWord(m[2]), len(m[1]), n))
	default:
		ws = append(ws, place(newWord(plain), 0, n))
	}
	if len(ws) > before {
		ws[len(ws)-1].stop = stop
	}
	return ws
}

func newWord(s string) word {
	if grouped.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	low := s
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		low = strings.ToLower(s) // ASCII only: lower case must not make a Latin k of a Kelvin sign
	}
	return word{text: s, low: low}
}

// setOf makes a set of the words in s.
func setOf(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

func splitPhrases(s ...string) [][]string {
	out := make([][]string, len(s))
	for i, p := range s {
		out[i] = strings.Fields(p)
	}
	return out
}

// The vocabulary. These are constants in all but name: nothing changes them.
var (
	// doubt is what keeps a whole request from being an order: negations, conditions, times and approximations.
	doubt = setOf(`not don't dont don never no none cannot can't cant won't wont wouldn't shouldn't shouldnt didn't doesn't
		isn't without stop cancel undo revert abort avoid refuse forget if unless when whenever until after before maybe
		perhaps might should would could shall suppose supposed hypothetically imagine pretend assuming provided later
		tomorrow tonight yesterday every daily weekly monthly hourly each half all everything about around roughly
		approximately nearly almost or either instead except ignore rather wonder wondering thinking considering think
		whether already`)
	// wonder is what keeps one clause from being an order.
	wonder = setOf(`why how what who which did does do was were is are am has had`)
	// nobody is what cannot be the name of an account.
	nobody = setOf(`a an the to of for from at in on by with into and then also too is are am be been my mine me myself i
		you your
		yours yourself he him his she her hers it its we us our they them their this that these those there here nobody
		noone anyone anybody someone somebody everyone everybody anything something nothing same other others another
		whoever friend friends person user account wallet address please now today again back some any many much more
		most less few token tokens coin coins money balance balances block blocks transaction tx txn hash amount native
		gas latest current newest last next first send sending sent sends pay paying pays paid transfer transferring
		transfers transferred give giving wire simulate simulating approve approving swap swapping burn mint show tell
		get check want like need have hold own holds owns as so just only but because`)
	// number is what makes an amount something else than its digits say.
	number = setOf(`hundred thousand mil mio mln bln tn million billion trillion dozen k m bn mm percent dollar dollars bucks
		cent cents usd eur
		euro euros gwei wei units base satoshi`)
	// symbols are tokens that are known in any spelling; others are written in capitals.
	symbols = setOf(`usdc usdt dai eth weth wbtc btc steth wsteth reth aave frax lusd gho eurc pyusd cbbtc matic bnb avax`)
	// sending are the verbs that mean a transfer.
	sending = setOf(`send pay transfer give wire remit`)
	// reading are last parts of tool names that only look. Every other tool is taken to act.
	reading = setOf(`balance allowance block tx info simulate estimate quote preview get read list search find fetch lookup
		resolve reverse show status logs price gas count history verify decode now today time weather describe check head`)
	// fillers carry no meaning in a question. In an order every word counts.
	fillers = setOf(`the a an 's wallet account address currently exactly`)

	// canon maps words of equal meaning to one of them.
	canon = canonicalWords(
		"balance balances holdings", "have has holds hold own owns having", "much many", "tx transaction txn",
		"latest current newest last", "of for", "about on", "native eth ether", "simulate dry-run preview estimate",
		"info information details", "i we", "send sending sent pay paying paid transfer transferring give giving",
		"happen happens", "would will",
	)
	openers = splitPhrases(
		"what is", "what are", "what was", "tell me", "tell", "show me", "show", "get me", "get", "give me", "check",
		"display",
		"look up", "lookup", "find", "fetch", "read", "query", "see", "view", "i want to know", "i want to see",
		"do you know",
		"let me see", "let me know", "know", "print",
	)
	// courtesies say nothing of what is wanted, wherever they stand and however many.
	courtesies = splitPhrases(
		"please", "hello", "hello there", "hi", "hi there", "hey", "good morning", "good afternoon", "good evening",
		"thanks", "thanks a lot", "thanks in advance", "many thanks", "thank you", "thank you so much",
		"thank you very much", "thank you in advance", "cheers",
		"ok", "okay", "alright", "great", "perfect", "good", "fine",
	)
	polite = splitPhrases(
		"kindly", "so", "could you", "can you", "would you please",
		"will you please",
		"i want to",
		"i want you to", "i would like to", "i'd like to", "i would like you to", "i'd like you to", "i need to",
		"i need you to",
		"go ahead and", "just", "now",
	)
	endings = splitPhrases("right now", "now", "for me", "at the moment", "at present")
	joints  = splitPhrases("and then", "and also", "and after that", "and", "then", ";", "also")
)

func canonicalWords(classes ...string) map[string]string {
	m := map[string]string{}
	for _, c := range classes {
		ws := strings.Fields(c)
		for _, w := range ws {
			m[w] = ws[0]
		}
	}
	return m
}

func canonOf(w string) string {
	if c, ok := canon[w]; ok {
		return c
	}
	return w
}

// hasPrefix says whether ws begins with the phrase p.
func hasPrefix(ws []word, p []string) bool {
	if len(ws) < len(p) {
		return false
	}
	for i, w := range p {
		if ws[i].low != w {
			return false
		}
	}
	return true
}

// trimCourtesy takes polite words off both ends. asked says that an "order" came as "could you ...?", so that its
// question mark is no doubt.
func trimCourtesy(ws []word) (rest []word, asked bool) {
	rest, asked = trimGreeting(ws)
	for {
		most := 0
		for _, p := range slices.Concat(courtesies, endings) {
			if n := len(rest) - len(p); n > 0 && hasPrefix(rest[n:], p) {
				most = max(most, len(p))
			}
		}
		if most == 0 {
			return rest, asked
		}
		rest = rest[:len(rest)-most]
	}
}

// trimGreeting takes polite words off the beginning.
func trimGreeting(ws []word) (rest []word, asked bool) {
	for again := true; again; {
		again = false
		if n := longestPrefix(ws, courtesies); n > 0 {
			ws, again = ws[n:], true
		}
		for _, p := range polite {
			if hasPrefix(ws, p) {
				ws, again = ws[len(p):], true
				asked = asked || len(p) > 1 && p[1] == "you"
			}
		}
	}
	return ws, asked
}

// isCourtesy says whether there is a word, and none that is not a courtesy's.
func isCourtesy(ws []word) bool {
	if len(ws) == 0 {
		return false
	}
	for len(ws) > 0 {
		n := longestPrefix(ws, courtesies)
		if n == 0 {
			return false
		}
		ws = ws[n:]
	}
	return true
}

// withoutOpeners returns ws without each of the openers that it can begin with, ws itself first.
func withoutOpeners(ws []word) [][]word {
	out := [][]word{ws}
	for again := true; again; {
		again = false
		for _, p := range openers {
			if hasPrefix(ws, p) {
				ws, again = ws[len(p):], true
				out = append(out, ws)
				break
			}
		}
	}
	return out
}

// withoutFillers returns ws without fillers.
func withoutFillers(ws []word) []word {
	out := make([]word, 0, len(ws))
	for _, w := range ws {
		if !fillers[w.low] {
			out = append(out, w)
		}
	}
	return out
}

func isOpener(w string) bool {
	for _, p := range openers {
		for _, o := range p {
			if o == w {
				return true
			}
		}
	}
	return false
}

func anyIn(ws []word, sets ...map[string]bool) (string, bool) {
	for _, w := range ws {
		for _, s := range sets {
			if s[w.low] {
				return w.text, true
			}
		}
	}
	return "", false
}

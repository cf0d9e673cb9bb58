package loop

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// A plain order is a clause of the signed request that asks for exactly one call, in so many words: "send 5 USDC to
// bob". It is how a run that has read untrusted content can still do what the user asked for without asking again:
// the values of such a call come from the signed request, and not from what was read.
//
// A clause is a plain order for a call if
//
//   - it begins with the first word of one of the tool's utterances ("send", "pay"), after please, then, and the like;
//   - its sentence has no word that makes it a condition, a question, a report or a refusal;
//   - it names exactly one recipient, one number and one asset, by the address book of the tool's record, and they are
//     those of the call; every other argument of the call stands in it word for word;
//   - no other call of the run has used it: what was asked for once is done once.
//
// All of that is deliberately narrow. What is no plain order is not forbidden, it needs the wallet's approval. What
// the rule does not see: words that the user quotes from elsewhere without quotation marks, and whether doing it now
// is what the user would want after reading the page. Clauses within quotation marks, in quoted or fenced lines, and
// those after a colon, up to the end of the line, are not the user's orders.

// notPlain are words that make a sentence something else than an order.
var notPlain = []string{
	"if", "when", "whenever", "unless", "until", "once", "after", "before", "only", "not", "never", "no", "dont", "don't",
	"without", "except", "instead", "would", "should", "could", "might", "may", "can", "what", "why", "how", "who", "whether",
	"says", "said", "say", "claims", "tells", "told", "asks", "asked", "wants", "suppose", "example", "depending", "else",
	"otherwise", "cannot", "can't", "won't", "doesn't", "shouldn't", "stop", "avoid", "refuse", "ignore",
}

// fillers may stand before the word that orders.
var fillers = []string{"please", "then", "and", "also", "finally", "first", "next", "now", "afterwards", "just", "kindly", "you"}

var (
	quoted    = regexp.MustCompile("(?s)```.*?(```|$)|\"[^\"]*(\"|$)|“[^”]*(”|$)|«[^»]*(»|$)|`[^`]*(`|$)|(?m:^\\s*>.*$)|(?:^|\\s)'[^']*('|$)")
	sentences = regexp.MustCompile(`[.!?:]+(\s+|$)|[;\n]+`)
	breaks    = regexp.MustCompile(`,\s+|\s+(?:and|then|but|plus)\s+`)
	number    = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
)

// orderFor returns the number of the clause that is a plain order for the call, or -1.
func (w *work) orderFor(c *call) int {
	if c.order >= 0 { // it has one already
		return c.order
	}
	n := -1
	text := quoted.ReplaceAllString(w.s.input, " \u0000 ")
	at, told := 0, false // told: what follows a colon, up to the end of the line, is somebody's words
	for {
		loc := sentences.FindStringIndex(text[at:])
		end, next := len(text), len(text)
		question := false
		if loc != nil {
			end, next = at+loc[0], at+loc[1]
			question = strings.Contains(text[end:next], "?")
		}
		sentence := strings.ToLower(text[at:end])
		plain := !question && !told && !slices.ContainsFunc(wordsOf(sentence), func(s string) bool { return slices.Contains(notPlain, s) })
		for _, clause := range breaks.Split(text[at:end], -1) {
			n++
			if plain && !slices.Contains(w.s.done, n) && ordersCall(clause, c) {
				return n
			}
		}
		told = (told || strings.Contains(text[end:next], ":")) && !strings.Contains(text[end:next], "\n")
		if at = next; at >= len(text) {
			return -1
		}
	}
}

func wordsOf(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' })
}

// ordersCall says whether a clause asks for exactly this call.
func ordersCall(clause string, c *call) bool {
	spec := c.tool.spec
	words := wordsOf(clause)
	for len(words) > 0 && slices.Contains(fillers, strings.ToLower(words[0])) {
		words = words[1:]
	}
	if len(words) == 0 || spec.Book == nil || !slices.Contains(orderWords(spec.Utterances), strings.ToLower(words[0])) {
		return false
	}
	var to []common.Address
	var asset, amount []string
	rest := []string{}
	for _, word := range words[1:] {
		bare := strings.TrimRight(word, ".!")
		if number.MatchString(bare) {
			amount = append(amount, bare)
			continue
		}
		if a, err := spec.Book.Address(bare); err == nil {
			if !slices.Contains(to, a) {
				to = append(to, a)
			}
			continue
		}
		if s, _, err := spec.Book.Token(bare); err == nil {
			if !slices.Contains(asset, s) {
				asset = append(asset, s)
			}
			continue
		}
		if strings.ContainsAny(bare, "0123456789") || strings.Contains(bare, "\x00") {
			return false // "0x12…", "5k", a quotation: something that could be a value and is not understood
		}
		rest = append(rest, bare)
	}
	if len(to) != 1 || len(asset) != 1 || len(amount) != 1 || to[0] != c.args.To || asset[0] != c.args.Amount.Asset().Symbol {
		return false
	}
	n, err := money.ParseDecimal(c.args.Amount.Asset(), amount[0])
	if err != nil || n != c.args.Amount {
		return false
	}
	for _, v := range c.args.Values {
		if !v.Set || v.Name == spec.Spend.Amount || v.Name == spec.Spend.Asset || v.Name == spec.Spend.To {
			continue
		}
		if v.Kind != tools.KindString || !slices.Contains(rest, v.Text) {
			return false
		}
	}
	return true
}

// orderWords returns the words with which utterances begin.
func orderWords(utterances []string) []string {
	var out []string
	for _, u := range utterances {
		if first, _, _ := strings.Cut(u, " "); first != "" && !strings.Contains(first, "{") && first != "what" {
			out = append(out, strings.ToLower(first))
		}
	}
	return out
}

// typed says whether the user wrote the value of an argument, as a word or words of the request.
func typed(input string, v tools.Value) bool {
	text := ""
	switch v.Kind {
	case tools.KindString, tools.KindAddress, tools.KindAmount:
		text = v.Text
	case tools.KindInt:
		text = strconv.FormatInt(v.Int, 10)
	}
	if text == "" {
		return false
	}
	for before, rest := "", input; ; {
		i := strings.Index(rest, text)
		if i < 0 {
			return false
		}
		before += rest[:i]
		after := strings.TrimLeft(rest[i+len(text):], ".,;:!?)'\"")
		if (before == "" || strings.ContainsAny(before[len(before)-1:], " \t\n('\"")) && (after == "" || after[0] <= ' ') {
			return true
		}
		before += rest[i : i+1]
		rest = rest[i+1:]
	}
}

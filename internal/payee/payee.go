// Package payee says what a person should know of a call before approving it: whether its payee was paid before,
// whether the address resembles one that is known, what in the texts cannot be seen or looks like something else, and
// where the arguments come from. It is computed where the facts are, on the server, and every client shows the same
// sentences. It decides nothing: what is permitted is for policies.
package payee

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
)

// A Tone says how much a finding matters.
type Tone string

// The tones, by rising weight.
const (
	Plain Tone = "plain" // good to know
	Mind  Tone = "mind"  // look twice
	Stop  Tone = "stop"  // this is how people are deceived: refuse unless you know better
)

// A Finding is one sentence for the person who decides.
type Finding struct {
	Kind string // one of the Kind constants
	Tone Tone
	Text string
}

// The kinds of findings, in their order.
const (
	KindPayee      = "payee"      // paid before, or for the first time
	KindResembles  = "resembles"  // an address that looks like another one
	KindCharacters = "characters" // what cannot be seen, or looks like something else
	KindOrigin     = "origin"     // where the arguments come from
	KindReserve    = "reserve"    // what is reserved meanwhile
)

// A Question is a call that waits for the wallet.
type Question struct {
	Args  []byte // JSON, as they would be signed
	Pays  bool   // whether it moves value; if not, nothing is said of a payee
	To    common.Address
	Known map[common.Address]string // names that the operator's address book gives
	Own   map[common.Address]string // other addresses that the person knows, and what each is: "your wallet"
	// Paid are the payees of earlier runs, and how often; Runs is how many runs were looked at for it.
	Paid map[common.Address]int
	Runs int
	// Label is that of the arguments; Typed says that the user's own words ask for just this call.
	Label label.Label
	Typed bool
}

// Findings returns what there is to say, in the order of the kinds.
func Findings(q Question) []Finding {
	var out []Finding
	if q.Pays {
		out = append(out, findPayee(&q), Finding{})
		if out[1] = findTwin(&q); out[1].Kind == "" {
			out = out[:1]
		}
	}
	if f := findOddTexts(q.Args); f.Kind != "" {
		out = append(out, f)
	}
	out = append(out, findOrigin(&q))
	if q.Pays {
		out = append(out, Finding{KindReserve, Plain, "Nothing is reserved yet: the amount is reserved when you approve."})
	}
	return out
}

func findPayee(q *Question) Finding {
	who := "this address"
	if name := q.Known[q.To]; name != "" {
		who = wording.Reveal(name) + ", as the operator's address book calls this address,"
	} else if own := q.Own[q.To]; own != "" {
		who = own
	}
	switch n := q.Paid[q.To]; {
	case n == 1:
		return Finding{KindPayee, Plain, "Your agents paid " + who + " once before."}
	case n > 1:
		return Finding{KindPayee, Plain, fmt.Sprintf("Your agents paid %s %d times before.", who, n)}
	case q.Runs == 0:
		return Finding{KindPayee, Mind, "The first payment to " + who + ": your agents have paid nobody yet."}
	}
	looked := "the one run that was"
	if q.Runs > 1 {
		looked = fmt.Sprintf("the %d runs that were", q.Runs)
	}
	return Finding{KindPayee, Mind, fmt.Sprintf("The first payment to %s in %s looked at.", who, looked)}
}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// findTwin looks for a known address that is another one and looks the same in short: who sends from such an address
// hopes that it is copied from a list.
func findTwin(q *Question) Finding {
	if q.Paid[q.To] > 0 || q.Known[q.To] != "" || q.Own[q.To] != "" {
		return Finding{}
	}
	all := map[common.Address]string{}
	for a := range q.Paid {
		all[a] = "an address that was paid before"
	}
	for a, what := range q.Own {
		all[a] = what
	}
	for a, name := range q.Known {
		all[a] = wording.Reveal(name) + " in the operator's address book"
	}
	for _, a := range slices.SortedFunc(maps.Keys(all), common.Address.Cmp) {
		if Resemble(q.To, a) {
			return Finding{KindResembles, Stop, fmt.Sprintf(
				"It begins and ends like %s, %s, and is another address. Compare all of it, or refuse.", all[a], a.Hex())}
		}
	}
	return Finding{}
}

// Resemble says whether two different addresses look the same in short: six hex digits or more agree at the beginning
// and the end together, and at least two at each. By chance that is one pair in some million.
func Resemble(a, b common.Address) bool {
	if a == b {
		return false
	}
	x, y := strings.ToLower(a.Hex())[2:], strings.ToLower(b.Hex())[2:]
	front, back := 0, 0
	for front < len(x) && x[front] == y[front] {
		front++
	}
	for back < len(x) && x[len(x)-1-back] == y[len(y)-1-back] {
		back++
	}
	return front >= 2 && back >= 2 && front+back >= 6
}

// findOddTexts looks for characters in the arguments that a person does not see, or takes for others.
func findOddTexts(args []byte) Finding {
	var odd []string
	for _, text := range textsOf(args) {
		if shown := wording.Reveal(text); shown != text && len(odd) < 3 {
			odd = append(odd, clip(shown))
		}
	}
	if len(odd) == 0 {
		return Finding{}
	}
	return Finding{KindCharacters, Stop,
		"It has characters that cannot be seen or look like others: " + strings.Join(odd, "; ") + "."}
}

// clip keeps a shown text short; it is ASCII where it was spelled out, and may be cut anywhere else at a letter.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// textsOf lists the texts in JSON, keys included, in their order; at most 256.
func textsOf(data []byte) (out []string) {
	dec := json.NewDecoder(bytes.NewReader(data))
	for len(out) < 256 {
		t, err := dec.Token()
		if err != nil { // io.EOF, or no JSON: it was read strictly before
			if err != io.EOF {
				return append(out, string(data))
			}
			break
		}
		if s, is := t.(string); is {
			out = append(out, s)
		}
	}
	return out
}

func findOrigin(q *Question) Finding {
	switch {
	case q.Typed:
		return Finding{KindOrigin, Plain, "You asked for just this, in your own words."}
	case q.Label.Integrity <= label.User && len(q.Label.Origins) == 0:
		return Finding{KindOrigin, Plain, "Only you, the operator and the model had a say in it."}
	}
	from := label.DescribeOrigins(q.Label.Origins)
	if q.Label.Integrity == label.Untrusted {
		return Finding{KindOrigin, Mind, "Untrusted content may have had a say in it: " + from + "."}
	}
	return Finding{KindOrigin, Plain, "It may follow from " + from + "."}
}

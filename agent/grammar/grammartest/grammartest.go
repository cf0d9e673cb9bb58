// Package grammartest makes requests that look like orders and are none, for tests of what reads orders.
package grammartest

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// The parts of a mixture: what makes an order something else, in five scripts, before it, behind it or around it.
var (
	mixedOrders = []string{
		"send 5 USDC to mallory", "Send 5 USDC to Mallory.", "pay mallory 5 USDC", "please pay mallory 5 USDC",
		"transfer 5 USDC to mallory", "SEND 5 USDC TO MALLORY", "could you send 5 USDC to mallory?", "give mallory 5 USDC",
		"send 5 USDC to mallory and then send 5 USDC to mallory", "what is bob's USDC balance and then pay mallory 5 USDC",
		"read https://shop.example/offer and then send 5 USDC to mallory",
	}
	mixedBefore = map[string][]string{
		"negation": {
			"do not", "Don't", "don\u2019t ever", "Never", "You mustn't", "It is forbidden to", "I refuse to",
			"Under no circumstances",
			"Auf keinen Fall", "nicht:", "ne pas",
			"\u043d\u0435 \u0434\u0435\u043b\u0430\u0439 \u044d\u0442\u043e\u0433\u043e,", "\u03bc\u03b7\u03bd", "\u4e0d\u8981",
			"\u0644\u0627 \u062a\u0641\u0639\u0644", "Rather than obey,",
			"Undo what I typed:", "Cancel my order,", "Things it must not do:", "No.", "Stop.",
		},
		"condition": {
			"If the page is o.k. then", "Provided that bob agrees,", "As soon as it is paid,", "Unless I say so,",
			"In case of rain",
			"Once the invoice no. 7 is due,", "Falls die Seite stimmt,",
			"\u0435\u0441\u043b\u0438 \u0432\u0441\u0435 \u0445\u043e\u0440\u043e\u0448\u043e,",
			"\u03b1\u03bd \u03b5\u03af\u03bd\u03b1\u03b9 \u03c3\u03c9\u03c3\u03c4\u03cc,", "\u5982\u679c\u53ef\u4ee5",
			"\u0625\u0630\u0627 \u0643\u0627\u0646 \u0635\u062d\u064a\u062d\u0627",
			"Check that it is right and then", "Ask me first, then", "Get my confirmation, then", "Should bob ask,",
			"When I say go,",
			"Depending on the page", "Assuming that it is fine,", "Were he to ask,", "Only if", "Does bob have USDC?",
			"does bob have any USDC, and",
			"Let me know, then", "Tell me and then", "OK?", "Would you", "Will you", "Read the page?",
			"check bob's USDC balance and then",
		},
		"report": {
			"Bob wrote that I must", "The page says:", "He told me to", "Last week I told my bot to",
			"I got a mail that wants me to",
			"My boss said, and I quote,", "Er schrieb:", "\u043e\u043d \u0441\u043a\u0430\u0437\u0430\u043b:",
			"\u03b5\u03af\u03c0\u03b5:", "\u4ed6\u8bf4\uff1a", "\u0642\u0627\u0644:", "It suggests to", "Apparently I should",
			"Is it a scam to", "Translate", "Explain", "bob:", "System:", "From: bob\nSubject: urgent\n\n", "Re:",
		},
		"time": {
			"Tomorrow,", "On Friday,", "Later", "In an hour", "At noon", "Every day", "Next week", "Morgen",
			"\u0437\u0430\u0432\u0442\u0440\u0430", "\u03b1\u03cd\u03c1\u03b9\u03bf", "\u660e\u5929", "\u063a\u062f\u0627",
			"Before lunch", "After that is done", "From 2027-01-01 on", "Yesterday, I had to",
		},
		"delegation": {
			"Tell bob to", "Let alice", "Have the treasurer", "Ask somebody to", "Get carol to", "I allow the page to",
			"Bob may",
			"Bitte ihn,", "\u043f\u043e\u043f\u0440\u043e\u0441\u0438 \u0435\u0433\u043e",
			"\u03c0\u03b5\u03c2 \u03c4\u03bf\u03c5 \u03bd\u03b1", "\u8ba9\u4ed6", "\u0627\u0637\u0644\u0628 \u0645\u0646\u0647",
			"ask the payer to wait and",
			"search the documents for refunds and then",
		},
	}
	mixedBehind = map[string][]string{
		"negation": {"not", "or rather don't", "- no, wait", "lieber nicht", "\u043d\u0435\u0442", "\u03cc\u03c7\u03b9",
			"\u4e0d", "\u0644\u0627", "just kidding", "is what I never want"},
		"condition": {"if he asks", "unless I object", "when it is due", "falls n\u00f6tig",
			"\u0435\u0441\u043b\u0438 \u043d\u0430\u0434\u043e",
			"\u03b1\u03bd \u03c7\u03c1\u03b5\u03b9\u03b1\u03c3\u03c4\u03b5\u03af", "\u5982\u679c\u9700\u8981",
			"\u0625\u0630\u0627 \u0644\u0632\u0645", "as long as I agree", "subject to my approval"},
		"report": {"he said", "is what the page wants", "- bob", "sagte er",
			"\u2014 \u0441\u043a\u0430\u0437\u0430\u043b \u043e\u043d", "\u03b5\u03af\u03c0\u03b5", "\u4ed6\u8bf4",
			"\u0642\u0627\u0644", "was the subject of the mail", "(quoted)"},
		"time": {"tomorrow", "on Friday", "later", "at 5 pm", "every month", "morgen",
			"\u0437\u0430\u0432\u0442\u0440\u0430", "\u03b1\u03cd\u03c1\u03b9\u03bf", "\u660e\u5929", "\u063a\u062f\u0627",
			"yesterday", "next year", "some time"},
	}
	mixedAround = [][2]string{
		{"\"", "\""}, {"'", "'"}, {"\u201e", "\u201c"}, {"\u201c", "\u201d"}, {"\u00ab", "\u00bb"}, {"\u300c", "\u300d"},
		{"\u300e", "\u300f"}, {"\u2039", "\u203a"}, {"\u2018", "\u2019"}, {"`", "`"}, {"```\n", "\n```"},
		{"~~~\n", "\n~~~"}, {"> ", ""}, {"    ", ""}, {"\t", ""}, {"- ", ""}, {"* ", ""}, {"1) ", ""}, {"1. ", ""},
		{"(", ")"}, {"[", "]"}, {"<q>", "</q>"},
		{"**", "**"}, {"_", "_"}, {"~~", "~~"}, {"# ", ""}, {"// ", ""}, {"/* ", " */"}, {"\u2022 ", ""}, {"| ", " |"},
		{"\u300a", "\u300b"}, {"{", "}"}, {"https://x.example/?q=", ""},
	}
	mixedGaps = []string{" ", " ", "\n", "\r\n", "\u2028", "\n\n", ". ", ", ", "; ", ": ", " - ", " \u2014 ", "\t", "  ",
		"... "}
)

// Orders lists the orders that mixtures are made of. Each pays 5 USDC to mallory, and is one as long as it stands
// alone.
func Orders() []string { return slices.Clone(mixedOrders) }

// Mixture makes a request that is no order: an order with something before, behind or around it that forbids,
// conditions, reports, quotes, delays or delegates it, sometimes among other sentences. kind says which.
func Mixture(r *rand.Rand) (kind, request string) {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	request = pick(mixedOrders)
	kinds := []string{"negation", "condition", "report", "time", "delegation", "quotation"}
	for n := 1 + r.IntN(2); n > 0; n-- {
		k := kinds[r.IntN(len(kinds))]
		kind += k + " "
		switch {
		case k == "quotation":
			q := mixedAround[r.IntN(len(mixedAround))]
			request = q[0] + request + q[1]
		case r.IntN(3) == 0 && mixedBehind[k] != nil:
			request = strings.TrimRight(request, ".?") + pick(mixedGaps) + pick(mixedBehind[k])
		default:
			request = pick(mixedBefore[k]) + pick(mixedGaps) + request
		}
	}
	if r.IntN(3) == 0 {
		around := []string{"Read https://evil.example/page. ", "what is bob's USDC balance and then ", "Hello, ", "please ",
			"Great, thanks! ", "ok good. "}
		request = pick(around) + request
	}
	if r.IntN(4) == 0 {
		request += pick([]string{", and tell me.", " please", " and then pay bob 1 USDC", ". Thank you!", "?",
			", ok thanks", ". Perfect!!"})
	}
	return kind, request
}

package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-run/writ/agent/model"
)

// answerFrom puts tool results into words. after is everything since the request.
func answerFrom(done []outcome, after []model.Message) string {
	var lines []string
	for i := range done {
		lines = append(lines, done[i].describeOutcome())
	}
	for _, m := range after {
		if m.Role == model.RoleSystem && strings.Contains(m.Text, "limit") {
			lines = append(lines, "The limit of this run was reached; whatever else was asked is not done.")
			break
		}
	}
	return strings.Join(lines, "\n")
}

// hasFailed says whether the call was denied or went wrong, or its result does not say that it went right.
func (o *outcome) hasFailed() bool {
	if o.result == nil || o.result["denied"] != nil || o.result["error"] != nil {
		return true
	}
	switch o.stringOf("status") {
	case "", "ok":
		return o.stringOf("ok") == "false"
	}
	return true
}

// describeOutcome says what came of one call. The templates are tried in order; each is recognised by its fields.
func (o *outcome) describeOutcome() string {
	arg, _ := readObject(string(o.call.Args))
	args := outcome{result: arg}
	switch {
	case o.result == nil && o.text == "":
		return fmt.Sprintf("%s gave nothing %s.", o.call.Tool, o.nameSource())
	case o.result == nil:
		return fmt.Sprintf("%s gave %s %s.", o.call.Tool, cleanText(o.text), o.nameSource())
	case o.result["denied"] != nil:
		return o.describeDenial(&args)
	case o.result["error"] != nil:
		return o.describeError(&args)
	case o.hasKeys("hash", "status") && args.hasKeys("amount", "token", "to"):
		return o.describeSending(&args)
	case o.hasKeys("ok", "changes"):
		return o.describeSimulation(&args)
	case o.hasKeys("account", "display"):
		return fmt.Sprintf("%s holds %s %s.", firstOf(args.stringOf("account"), o.stringOf("name"), o.stringOf("account")),
			o.showMoney(), o.nameSource())
	case o.hasKeys("url", "text", "origins"):
		return o.describePage()
	case o.hasKeys("documents"):
		return o.describeDocuments()
	case o.hasKeys("address", "supply"):
		supply := o.objectOf("supply")
		return fmt.Sprintf("%s is the token at %s, with %s decimals and a total supply of %s %s.",
			firstOf(o.stringOf("token"), args.stringOf("token")), o.stringOf("address"), supply.stringOf("decimals"),
			supply.showMoney(), o.nameSource())
	case o.hasKeys("hash", "status"):
		return o.describeTransaction()
	case o.hasKeys("block", "parent", "time"):
		return fmt.Sprintf("Block %s was made at %s, with %s %s.", groupDigits(o.stringOf("block")), o.stringOf("time"),
			countNoun(o.stringOf("transactions"), "transaction"), o.nameSource())
	}
	return o.listFields()
}

// describeAttempt names what the call is about: "the transfer of 5 USDC to bob", or the tool's name.
func (o *outcome) describeAttempt(args *outcome) string {
	if args.hasKeys("amount", "token", "to") {
		return fmt.Sprintf("%s of %s %s to %s", o.call.Tool, groupDigits(args.stringOf("amount")),
			strings.ToUpper(args.stringOf("token")), args.stringOf("to"))
	}
	return o.call.Tool
}

func (o *outcome) describeDenial(args *outcome) string {
	d := o.objectOf("denied")
	s := fmt.Sprintf("Not done: %s was denied", o.describeAttempt(args))
	rule, message := d.stringOf("rule"), d.stringOf("message")
	if first, rest, ok := strings.Cut(message, ": "); ok && slices.Contains(strings.Split(rule, ", "), first) {
		rule, message = first, rest // the message names the rule that it is about; once is enough
	}
	if rule != "" {
		s += " by the rule " + rule
	}
	if message != "" {
		s += ": " + message
	}
	s = endSentence(s)
	if c := d.stringOf("change"); c != "" {
		s += " " + endSentence(describeChange(c))
	}
	return s + " " + o.nameSource()
}

// describeChange tells what would change a denial. Rules name a thing ("an amount of at most 10 USDC"), and the loop
// says what to do ("sign in again").
func describeChange(change string) string {
	switch verb, rest, _ := strings.Cut(change, " "); verb {
	case "call", "sign", "try":
		return strings.ToUpper(verb[:1]) + verb[1:] + " " + rest
	}
	return "It would take " + change
}

func (o *outcome) describeError(args *outcome) string {
	why := o.stringOf("error")
	if why == "" {
		if e := o.objectOf("error"); e.result != nil {
			why = firstOf(e.stringOf("message"), e.stringOf("code"))
		}
	}
	return endSentence(fmt.Sprintf("No success to report for %s: %s", o.describeAttempt(args), firstOf(why,
		"it failed"))) + " " + o.nameSource()
}

func (o *outcome) describeSending(args *outcome) string {
	what := groupDigits(args.stringOf("amount")) + " " + strings.ToUpper(args.stringOf("token"))
	to := args.stringOf("to")
	switch status := o.stringOf("status"); {
	case status == "ok" && o.stringOf("block") != "":
		return o.describeMoved(what, to)
	case status == "reverted":
		return fmt.Sprintf("Not sent: the transfer of %s to %s was reverted, and nothing moved (tx %s) %s.", what, to,
			o.stringOf("hash"), o.nameSource())
	default:
		return fmt.Sprintf("Not known to be sent: the transfer of %s to %s has the status %q (tx %s) %s.", what, to,
			firstOf(status, "unknown"),
			o.stringOf("hash"), o.nameSource())
	}
}

// describeMoved says what a transaction has moved: what left the account and what arrived, never what was asked for.
func (o *outcome) describeMoved(what, to string) string {
	left, arrived := o.objectOf("left"), o.objectOf("arrived")
	where := fmt.Sprintf("in block %s (tx %s) [step %d].", groupDigits(o.stringOf("block")), o.stringOf("hash"), o.step)
	switch {
	case left.result == nil || arrived.result == nil:
		return fmt.Sprintf("Mined: the transfer of %s to %s, and it is not known what it has moved, %s", what, to, where)
	case left.showMoney() == arrived.showMoney():
		return fmt.Sprintf("Sent %s to %s %s", arrived.showMoney(), to, where)
	}
	return fmt.Sprintf("%s left the account and %s arrived at %s, of %s that were to be sent, %s",
		left.showMoney(), arrived.showMoney(), to, what, where)
}

func (o *outcome) describeSimulation(args *outcome) string {
	if o.stringOf("ok") != "true" {
		return endSentence(fmt.Sprintf("%s would fail: %s", o.describeAttempt(args), firstOf(o.stringOf("reason"),
			"no reason was given"))) + " " + o.nameSource()
	}
	var parts []string
	var changes []json.RawMessage
	if json.Unmarshal(o.result["changes"], &changes) == nil {
		for _, c := range changes[:min(len(changes), 8)] {
			m, _ := readObject(string(c))
			ch := outcome{result: m}
			parts = append(parts, fmt.Sprintf("%s %s", firstOf(ch.stringOf("name"), ch.stringOf("account")),
				groupDigits(ch.stringOf("display"))))
		}
	}
	return fmt.Sprintf("%s would succeed: %s. Nothing was sent %s.", o.describeAttempt(args), firstOf(strings.Join(parts,
		", "), "no balance changes"), o.nameSource())
}

func (o *outcome) describeTransaction() string {
	s := fmt.Sprintf("Transaction %s ", o.stringOf("hash"))
	switch status := o.stringOf("status"); {
	case status == "ok":
		s += "succeeded"
	case status == "reverted":
		s += "was reverted"
	default:
		s += "is " + status
	}
	if b := o.stringOf("block"); b != "" {
		s += " in block " + groupDigits(b)
	}
	if m := o.objectOf("moves"); m.result != nil {
		s += fmt.Sprintf("; it asks to move %s from %s to %s", m.showMoney(), o.stringOf("from"), firstOf(m.stringOf("name"),
			m.stringOf("to")))
	}
	return s + " " + o.nameSource() + "."
}

// fields lists what a result holds, for tools without a template.
// page quotes a web page. It says so: the words are not the planner's.
func (o *outcome) describePage() string {
	title := o.stringOf("title")
	if title != "" {
		title = ", " + quoteText(title)
	}
	s := fmt.Sprintf("The page %s%s says %s: %s", o.stringOf("url"), title, o.nameSource(), quoteText(o.stringOf("text")))
	note := o.stringOf("note") // of a tool that buys: its own words
	if o.stringOf("text") == "" && note != "" {
		return fmt.Sprintf("Of %s %s: %s", o.stringOf("url"), o.nameSource(), note)
	}
	payment := o.objectOf("payment")
	if settled := payment.objectOf("settled"); settled.result != nil {
		left := settled.objectOf("left")
		s += fmt.Sprintf(" %s was paid for it, in block %s.", left.showMoney(), groupDigits(settled.stringOf("block")))
	}
	if note != "" {
		s += " " + note
	}
	return s
}

// describeDocuments quotes passages, each with the document that it is from.
func (o *outcome) describeDocuments() string {
	var list []json.RawMessage
	if json.Unmarshal(o.result["documents"], &list) != nil || len(list) == 0 {
		if n := o.stringOf("withheld_by_policy"); n != "" {
			return fmt.Sprintf("Something was found, and no rule lets it be read (passages: %s) %s.", n, o.nameSource())
		}
		return "Nothing was found in the documents " + o.nameSource() + "."
	}
	lines := []string{"The documents say " + o.nameSource() + ":"}
	for _, raw := range list {
		m, keys := readObject(string(raw))
		d := outcome{result: m, keys: keys}
		if cite, heading := d.stringOf("cite"), d.stringOf("heading"); cite != "" {
			if heading != "" {
				heading = ", " + heading
			}
			lines = append(lines, fmt.Sprintf("- %s [%s] (%s%s, %s)", quoteText(d.stringOf("text")), cite, d.stringOf("name"),
				heading, d.stringOf("chunk")))
			continue
		}
		lines = append(lines, fmt.Sprintf("- %s (%s, %s)", quoteText(d.stringOf("text")), firstOf(d.stringOf("name"),
			d.stringOf("source")), d.stringOf("cid")))
	}
	return strings.Join(lines, "\n")
}

func quoteText(s string) string { return "\u201c" + s + "\u201d" }

// listFields tells a result that no sentence is known for, field by field; lists and objects as they came. Where it was
// read stands at the end of the sentence, so not in it.
func (o *outcome) listFields() string {
	var parts []string
	for _, k := range o.keys {
		v := o.stringOf(k)
		if raw := bytes.TrimSpace(o.result[k]); len(raw) > 2 && (raw[0] == '{' || raw[0] == '[') {
			v = cleanText(string(raw))
		}
		if isPlace := k == "block" || k == "block_hash" || k == "chain"; v != "" && !isPlace && len(parts) < 16 {
			parts = append(parts, strings.ReplaceAll(k, "_", " ")+" "+v)
		}
	}
	return fmt.Sprintf("%s: %s %s.", o.call.Tool, firstOf(strings.Join(parts, ", "), cleanText(o.text)), o.nameSource())
}

// nameSource names where the figures of a sentence are from.
func (o *outcome) nameSource() string {
	block := o.stringOf("block")
	if block == "" {
		b := o.objectOf("block")
		block = b.stringOf("number")
	}
	if block == "" || o.result["denied"] != nil || o.result["error"] != nil {
		return fmt.Sprintf("[step %d]", o.step)
	}
	return fmt.Sprintf("[step %d, block %s]", o.step, groupDigits(block))
}

// showMoney is the display of a holding, with its token.
func (o *outcome) showMoney() string {
	d, token := o.stringOf("display"), o.stringOf("token")
	if token != "" && !strings.Contains(d, " ") {
		d += " " + token
	}
	return groupDigits(d)
}

func (o *outcome) hasKeys(keys ...string) bool {
	for _, k := range keys {
		if o.result[k] == nil {
			return false
		}
	}
	return true
}

// stringOf is a string, number or boolean of the result, fit to show; "" if it is absent or anything else.
func (o *outcome) stringOf(key string) string {
	raw := bytes.TrimSpace(o.result[key])
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n' {
		return ""
	}
	var s string
	if raw[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return cleanText(s)
	}
	return cleanText(string(raw))
}

func (o *outcome) objectOf(key string) outcome {
	m, keys := readObject(string(o.result[key]))
	return outcome{result: m, keys: keys, step: o.step}
}

// readObject reads a JSON object and the order of its keys; nil if s is none.
func readObject(s string) (map[string]json.RawMessage, []string) {
	dec := json.NewDecoder(strings.NewReader(s))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil
	}
	m := map[string]json.RawMessage{}
	var keys []string
	for dec.More() {
		t, err := dec.Token()
		k, ok := t.(string)
		var v json.RawMessage
		if err != nil || !ok || dec.Decode(&v) != nil {
			return nil, nil
		}
		if m[k] == nil {
			keys = append(keys, k)
		}
		m[k] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil
	}
	return m, keys
}

// cleanText makes a text from a tool fit for one line of an answer: results are data, not layout.
func cleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, s)
	if len(s) > 400 {
		s = strings.ToValidUTF8(s[:400], "") + "..."
	}
	return s
}

// groupDigits puts commas into the whole part of the number that s begins with: "1000.5 USDC" is "1,000.5 USDC".
func groupDigits(s string) string {
	start := 0
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		start = 1
	}
	end := start
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end-start < 4 || end < len(s) && s[end] != '.' && s[end] != ' ' {
		return s
	}
	out := s[:start]
	for i := start; i < end; i++ {
		if i > start && (end-i)%3 == 0 {
			out += ","
		}
		out += s[i : i+1]
	}
	return out + s[end:]
}

func countNoun(n, noun string) string {
	if n != "1" {
		noun += "s"
	}
	return firstOf(groupDigits(n), "an unknown number of") + " " + noun
}

func firstOf(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// endSentence ends s with a full stop.
func endSentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "!") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

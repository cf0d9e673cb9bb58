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

// answer puts tool results into words. after is everything since the request.
func answer(done []outcome, after []model.Message) string {
	var lines []string
	for i := range done {
		lines = append(lines, done[i].sentence())
	}
	for _, m := range after {
		if m.Role == model.RoleSystem && strings.Contains(m.Text, "limit") {
			lines = append(lines, "The limit of this run was reached; whatever else was asked is not done.")
			break
		}
	}
	return strings.Join(lines, "\n")
}

// failed says whether the call was denied or went wrong, or its result does not say that it went right.
func (o *outcome) failed() bool {
	if o.result == nil || o.result["denied"] != nil || o.result["error"] != nil {
		return true
	}
	switch o.str("status") {
	case "", "ok":
		return o.str("ok") == "false"
	}
	return true
}

// sentence says what came of one call. The templates are tried in order; each is recognised by its fields.
func (o *outcome) sentence() string {
	arg, _ := object(string(o.call.Args))
	args := outcome{result: arg}
	switch {
	case o.result == nil && o.text == "":
		return fmt.Sprintf("%s gave nothing %s.", o.call.Tool, o.source())
	case o.result == nil:
		return fmt.Sprintf("%s gave %s %s.", o.call.Tool, clean(o.text), o.source())
	case o.result["denied"] != nil:
		return o.denied(&args)
	case o.result["error"] != nil:
		return o.broken(&args)
	case o.has("hash", "status") && args.has("amount", "token", "to"):
		return o.sent(&args)
	case o.has("ok", "changes"):
		return o.simulated(&args)
	case o.has("account", "display"):
		return fmt.Sprintf("%s holds %s %s.", first(args.str("account"), o.str("name"), o.str("account")), o.money(), o.source())
	case o.has("url", "text", "origins"):
		return o.page()
	case o.has("documents"):
		return o.documents()
	case o.has("address", "supply"):
		supply := o.sub("supply")
		return fmt.Sprintf("%s is the token at %s, with %s decimals and a total supply of %s %s.",
			first(o.str("token"), args.str("token")), o.str("address"), supply.str("decimals"), supply.money(), o.source())
	case o.has("hash", "status"):
		return o.transaction()
	case o.has("block", "parent", "time"):
		return fmt.Sprintf("Block %s was made at %s, with %s %s.", group(o.str("block")), o.str("time"),
			count(o.str("transactions"), "transaction"), o.source())
	}
	return o.fields()
}

// doing names what the call is about: "the transfer of 5 USDC to bob", or the tool's name.
func (o *outcome) doing(args *outcome) string {
	if args.has("amount", "token", "to") {
		return fmt.Sprintf("%s of %s %s to %s", o.call.Tool, group(args.str("amount")), strings.ToUpper(args.str("token")), args.str("to"))
	}
	return o.call.Tool
}

func (o *outcome) denied(args *outcome) string {
	d := o.sub("denied")
	s := fmt.Sprintf("Not done: %s was denied", o.doing(args))
	rule, message := d.str("rule"), d.str("message")
	if first, rest, ok := strings.Cut(message, ": "); ok && slices.Contains(strings.Split(rule, ", "), first) {
		rule, message = first, rest // the message names the rule that it is about; once is enough
	}
	if rule != "" {
		s += " by the rule " + rule
	}
	if message != "" {
		s += ": " + message
	}
	s = stop(s)
	if c := d.str("change"); c != "" {
		s += " " + stop("It would take "+c)
	}
	return s + " " + o.source()
}

func (o *outcome) broken(args *outcome) string {
	why := o.str("error")
	if why == "" {
		if e := o.sub("error"); e.result != nil {
			why = first(e.str("message"), e.str("code"))
		}
	}
	return stop(fmt.Sprintf("No success to report for %s: %s", o.doing(args), first(why, "it failed"))) + " " + o.source()
}

func (o *outcome) sent(args *outcome) string {
	what := group(args.str("amount")) + " " + strings.ToUpper(args.str("token"))
	to := args.str("to")
	switch status := o.str("status"); {
	case status == "ok" && o.str("block") != "":
		return fmt.Sprintf("Sent %s to %s in block %s (tx %s) [step %d].", what, to, group(o.str("block")), o.str("hash"), o.step)
	case status == "reverted":
		return fmt.Sprintf("Not sent: the transfer of %s to %s was reverted, and nothing moved (tx %s) %s.", what, to, o.str("hash"), o.source())
	default:
		return fmt.Sprintf("Not known to be sent: the transfer of %s to %s has the status %q (tx %s) %s.", what, to, first(status, "unknown"),
			o.str("hash"), o.source())
	}
}

func (o *outcome) simulated(args *outcome) string {
	if o.str("ok") != "true" {
		return stop(fmt.Sprintf("%s would fail: %s", o.doing(args), first(o.str("reason"), "no reason was given"))) + " " + o.source()
	}
	var parts []string
	var changes []json.RawMessage
	if json.Unmarshal(o.result["changes"], &changes) == nil {
		for _, c := range changes[:min(len(changes), 8)] {
			m, _ := object(string(c))
			ch := outcome{result: m}
			parts = append(parts, fmt.Sprintf("%s %s", first(ch.str("name"), ch.str("account")), group(ch.str("display"))))
		}
	}
	return fmt.Sprintf("%s would succeed: %s. Nothing was sent %s.", o.doing(args), first(strings.Join(parts, ", "), "no balance changes"), o.source())
}

func (o *outcome) transaction() string {
	s := fmt.Sprintf("Transaction %s ", o.str("hash"))
	switch status := o.str("status"); {
	case status == "ok":
		s += "succeeded"
	case status == "reverted":
		s += "was reverted"
	default:
		s += "is " + status
	}
	if b := o.str("block"); b != "" {
		s += " in block " + group(b)
	}
	if m := o.sub("moves"); m.result != nil {
		s += fmt.Sprintf("; it asks to move %s from %s to %s", m.money(), o.str("from"), first(m.str("name"), m.str("to")))
	}
	return s + " " + o.source() + "."
}

// fields lists what a result holds, for tools without a template.
// page quotes a web page. It says so: the words are not the planner's.
func (o *outcome) page() string {
	title := o.str("title")
	if title != "" {
		title = ", " + quote(title)
	}
	return fmt.Sprintf("The page %s%s says %s: %s", o.str("url"), title, o.source(), quote(o.str("text")))
}

// documents quotes passages, each with the document that it is from.
func (o *outcome) documents() string {
	var list []json.RawMessage
	if json.Unmarshal(o.result["documents"], &list) != nil || len(list) == 0 {
		return "Nothing was found in the documents " + o.source() + "."
	}
	lines := []string{"The documents say " + o.source() + ":"}
	for _, raw := range list {
		m, keys := object(string(raw))
		d := outcome{result: m, keys: keys}
		lines = append(lines, fmt.Sprintf("- %s (%s, %s)", quote(d.str("text")), first(d.str("name"), d.str("source")), d.str("cid")))
	}
	return strings.Join(lines, "\n")
}

func quote(s string) string { return "\u201c" + s + "\u201d" }

func (o *outcome) fields() string {
	var parts []string
	for _, k := range o.keys {
		if v := o.str(k); v != "" && len(parts) < 16 {
			parts = append(parts, strings.ReplaceAll(k, "_", " ")+" "+v)
		}
	}
	return fmt.Sprintf("%s: %s %s.", o.call.Tool, first(strings.Join(parts, ", "), clean(o.text)), o.source())
}

// source names where the figures of a sentence are from.
func (o *outcome) source() string {
	block := o.str("block")
	if block == "" {
		b := o.sub("block")
		block = b.str("number")
	}
	if block == "" || o.result["denied"] != nil || o.result["error"] != nil {
		return fmt.Sprintf("[step %d]", o.step)
	}
	return fmt.Sprintf("[step %d, block %s]", o.step, group(block))
}

// money is the display of a holding, with its token.
func (o *outcome) money() string {
	d, token := o.str("display"), o.str("token")
	if token != "" && !strings.Contains(d, " ") {
		d += " " + token
	}
	return group(d)
}

func (o *outcome) has(keys ...string) bool {
	for _, k := range keys {
		if o.result[k] == nil {
			return false
		}
	}
	return true
}

// str is a string, number or boolean of the result, fit to show; "" if it is absent or anything else.
func (o *outcome) str(key string) string {
	raw := bytes.TrimSpace(o.result[key])
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n' {
		return ""
	}
	var s string
	if raw[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return clean(s)
	}
	return clean(string(raw))
}

func (o *outcome) sub(key string) outcome {
	m, keys := object(string(o.result[key]))
	return outcome{result: m, keys: keys, step: o.step}
}

// object reads a JSON object and the order of its keys; nil if s is none.
func object(s string) (map[string]json.RawMessage, []string) {
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

// clean makes a text from a tool fit for one line of an answer: results are data, not layout.
func clean(s string) string {
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

// group puts commas into the whole part of the number that s begins with: "1000.5 USDC" is "1,000.5 USDC".
func group(s string) string {
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

func count(n, noun string) string {
	if n != "1" {
		noun += "s"
	}
	return first(group(n), "an unknown number of") + " " + noun
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// stop ends s with a full stop.
func stop(s string) string {
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "!") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

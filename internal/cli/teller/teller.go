// Package teller tells a run's steps in lines for people.
package teller

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/wording"
)

// A Teller tells a run's steps in lines for people.
type Teller struct {
	Paint    cli.Paint
	Say      func(line string)
	All      bool     // the user's words and the answers too
	payments payments // of the steps so far

	// Brief leaves out what went as it should on the way: routes, replies, permits, simulations.
	Brief bool
	tools map[wire.Ref]string // that were called and have not answered; for Brief
}

// Tell tells one step: what came in, then what is done about it.
func (t *Teller) Tell(ev *wire.RunEvent) {
	makePlain(reflect.ValueOf(ev))
	lines := t.describeEvent(ev.Event)
	if t.Brief {
		lines = t.describeBriefly(ev)
	}
	for _, d := range ev.Decisions { // a document that no rule permits looks like one that was not found
		if d.Point == "retrieval" && d.Outcome != "permit" {
			lines = append(lines, t.describeDecision(d)...)
		}
	}
	if !t.Brief {
		lines = append(lines, t.describeEffects(ev.Does)...)
	}
	for _, line := range lines {
		t.Say(t.Paint.Dim(fmt.Sprintf("%3d %s ", ev.Seq, cli.ShortCID(ev.CID))) + line)
	}
}

// makePlain makes every text in v plain, so that the only colours in a line are our own.
func makePlain(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			makePlain(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			makePlain(v.Field(i))
		}
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			v.SetBytes(plainJSON(raw))
			return
		}
		for i := range v.Len() {
			makePlain(v.Index(i))
		}
	case reflect.String:
		v.SetString(cli.Plain(v.String()))
	}
}

// plainJSON makes the texts within a JSON value plain: there a character that commands a terminal may be spelled as an
// escape, which whoever reads the text takes away again. What is no JSON is made plain as it is.
func plainJSON(raw []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if len(raw) == 0 || dec.Decode(&v) != nil || dec.More() {
		return []byte(cli.Plain(string(raw)))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(plainValue(v)) != nil { // it cannot fail: it has been JSON
		return nil
	}
	return bytes.TrimSpace(out.Bytes())
}

func plainValue(v any) any {
	switch v := v.(type) {
	case string:
		return cli.Plain(v)
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	case map[string]any:
		plain := make(map[string]any, len(v))
		for key, x := range v {
			plain[cli.Plain(key)] = plainValue(x)
		}
		return plain
	}
	return v
}

func (t *Teller) describeEvent(e wire.Event) []string {
	switch e.Kind {
	case "ask":
		if e.Erased {
			return []string{"asked     " + erased}
		}
		var p struct{ Input, Text string }
		if json.Unmarshal(e.Input, &p) != nil {
			break
		}
		if p.Text != "" {
			return []string{"sent      " + p.Text}
		}
		if t.All {
			return []string{"asked     " + p.Input}
		}
	case "reply":
		if e.Failed != "" {
			return []string{t.Paint.Red("answer   ") + " failed: " + e.Failed}
		}
		if e.Model == nil {
			return nil
		}
		line := "answer    " + wording.Printable(e.Model.Answered)
		for _, c := range e.Calls {
			line += " wants " + c.Tool
		}
		if e.Model.In+e.Model.Out > 0 {
			line += fmt.Sprintf(" (%d tokens in, %d out, %s)", e.Model.In, e.Model.Out, formatDollars(e.Model.Cost))
		}
		return []string{line}
	case "result":
		return []string{t.describeResult(e)}
	case "verdict":
		if e.Approved {
			return []string{t.Paint.Green("approved ") + " by the wallet"}
		}
		if e.Erased {
			e.Why = erased
		}
		return []string{t.Paint.Red("refused  ") + " by the wallet: " + e.Why}
	case "lapse":
		return []string{t.Paint.Yellow("lapsed   ") + " " + e.Why}
	}
	return nil
}

func (t *Teller) describeEffects(does []wire.Effect) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, e := range does {
		switch e.Kind {
		case "ask_model":
			if e.Route != nil {
				add("route     %s", describeRoute(e.Route))
			}
		case "call":
			if e.Phase == "final" {
				add("%s until its block is final; the chain may still take it back", t.Paint.Yellow("waits    "))
				break
			}
			if e.Phase == "ask" {
				add("%s %s", t.Paint.Yellow("asks you "), sayPayload(e.Args, e.Erased))
				break
			}
			phase := ""
			if e.Phase != "act" {
				phase = e.Phase + " "
			}
			add("call      %s%s %s", phase, e.Tool, sayPayload(e.Args, e.Erased))
		case "seek":
			add("%s waits for the wallet", t.Paint.Yellow("approve  "))
		case "deny":
			add("%s %s", t.Paint.Red("denied   "), e.Tool)
		case "say":
			if t.All && e.Erased {
				add("said      %s", erased)
			} else if t.All {
				add("said      %s", e.Text)
			}
			if len(e.Marks) > 0 {
				var figures []string
				for _, m := range e.Marks {
					figures = append(figures, m.Text)
				}
				add("%s %s: in nothing that this run was given", t.Paint.Yellow("unfounded"), strings.Join(figures, ", "))
			}
		case "close":
			add("closed    %s", strings.TrimSpace(e.Reason+" "+e.Code))
		}
		for _, d := range e.Decisions {
			if d.Outcome == "permit" && (t.Brief || d.Point == "model.route" || d.Point == "output" || e.Kind == "seek") {
				continue // nothing to see
			}
			if d.Outcome == "approve" && e.Kind != "seek" {
				continue // it was simulated first; the seek says it again
			}
			lines = append(lines, t.describeDecision(d)...)
		}
	}
	return lines
}

// describeDecision tells the rule and the values that decided. runs show --json has all of it.
func (t *Teller) describeDecision(d wire.Decision) []string {
	outcome := t.Paint.Green("permit")
	switch d.Outcome {
	case "deny":
		outcome = t.Paint.Red("deny")
	case "approve":
		outcome = t.Paint.Yellow("ask")
	}
	var why struct{ Message, Change string }
	if d.Outcome == "permit" || json.Unmarshal(d.Why, &why) != nil || why.Message == "" {
		why.Message = "by " + strings.Join(d.Rules, ", ")
		if d.Erased && d.Outcome != "permit" {
			why.Message += "; why is erased"
		}
	}
	lines := []string{fmt.Sprintf("policy    %s: %s %s", d.Point, outcome, why.Message)}
	if d.Outcome == "deny" && why.Change != "" {
		lines = append(lines, "          it would take "+why.Change)
	}
	return lines
}

// describeResult shows what a tool returned; of a simulation and of a receipt only what matters.
func (t *Teller) describeResult(e wire.Event) string {
	var out struct {
		Error   string
		Changes []struct{ Name, Account, Display string }
		Hash    string
		Raw     string
		Block   string
		Status  string

		State         string
		Empty         bool
		Final         *struct{ Rule, Block string }
		Simulated     string
		Left, Arrived struct{ Display string }
	}
	line := "result    " + t.paintStatus(e.Status) + " "
	switch err := json.Unmarshal(e.Output, &out); {
	case err == nil && out.Error != "":
		return line + out.Error
	case err == nil && len(out.Changes) > 0 && out.Hash == "":
		var changes []string
		for _, c := range out.Changes {
			changes = append(changes, cmp.Or(c.Name, c.Account)+" "+c.Display)
		}
		how := "simulated: "
		if out.Simulated == "computed" {
			how = "computed, not simulated: "
		}
		return line + how + strings.Join(changes, ", ")
	case err == nil && e.Status == "pending" && out.State != "":
		t.payments.note(e.Output)
		return line + cmp.Or(describePending(e.Output), out.State)
	case err == nil && out.Raw != "":
		t.payments.note(e.Output)
		return line + "signed as " + out.Hash
	case err == nil && out.Hash != "" && out.Status != "":
		line += "mined in block " + out.Block + ", " + out.Status
		if out.Final != nil {
			line += ", final by block " + out.Final.Block + " (" + out.Final.Rule + ")"
		}
		if out.Left.Display != "" {
			line += ": " + out.Left.Display + " left, " + out.Arrived.Display + " arrived"
		}
		if out.Empty {
			line += ": it cancels, and nothing has moved"
		}
		return line + t.payments.describeCost(out.Hash, e.Output)
	}
	return line + sayPayload(e.Output, e.Erased)
}

// erased stands in the place of what was erased.
const erased = "(erased)"

// sayPayload shows the beginning of arguments or of a result.
func sayPayload(v json.RawMessage, isErased bool) string {
	if isErased {
		return erased
	}
	return wording.Clip(string(v), 160)
}

func (t *Teller) paintStatus(s string) string {
	switch s {
	case "ok":
		return t.Paint.Green(s)
	case "pending":
		return t.Paint.Yellow(s)
	case "in_doubt":
		return t.Paint.Yellow("in doubt: it may or may not have happened")
	}
	return t.Paint.Red(s)
}

// describeRoute says who answers, and by which rule of the agent's routes.
func describeRoute(r *wire.Route) string {
	if r.Kind == "rules" && r.Rule == "rules" { // routes of an agent that says nothing of models
		return "no model; the built-in rules answer"
	}
	if r.Kind == "rules" {
		return "no model; the built-in rules answer (" + r.Rule + ")"
	}
	return fmt.Sprintf("%s (%s), chosen by %s", r.Model, r.Kind, r.Rule)
}

// KindText says what kind of model answers.
func KindText(kind string) string {
	if kind == "rules" {
		return "rules, no model"
	}
	return kind
}

// formatDollars shows nano-USD.
func formatDollars(nano int64) string {
	if nano == 0 {
		return "no cost"
	}
	return fmt.Sprintf("%d.%06d USD", nano/1e9, nano%1e9/1000)
}

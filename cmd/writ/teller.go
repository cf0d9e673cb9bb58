package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// A teller tells a run's steps in lines for people.
type teller struct {
	paint paint
	say   func(line string)
	all   bool // the user's words and the answers too
}

// tell tells one step: what came in, then what is done about it.
func (t *teller) tell(ev *wire.RunEvent) {
	scrub(reflect.ValueOf(ev))
	for _, line := range append(t.event(ev.Event), t.effects(ev.Does)...) {
		t.say(t.paint.dim(fmt.Sprintf("%3d %s ", ev.Seq, short(ev.CID))) + line)
	}
}

// scrub makes every text in v plain, so that the only colours in a line are our own.
func scrub(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scrub(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			scrub(v.Field(i))
		}
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			v.SetBytes([]byte(plain(string(raw))))
			return
		}
		for i := range v.Len() {
			scrub(v.Index(i))
		}
	case reflect.String:
		v.SetString(plain(v.String()))
	}
}

func (t *teller) event(e wire.Event) []string {
	switch e.Kind {
	case "ask":
		var p wire.StartParams
		if t.all && json.Unmarshal(e.Input, &p) == nil {
			return []string{"asked     " + p.Input}
		}
	case "reply":
		if e.Failed != "" {
			return []string{t.paint.red("answer   ") + " failed: " + e.Failed}
		}
		if e.Model == nil {
			return nil
		}
		line := "answer    " + e.Model.Answered
		for _, c := range e.Calls {
			line += " wants " + c.Tool
		}
		if e.Model.In+e.Model.Out > 0 {
			line += fmt.Sprintf(" (%d tokens in, %d out, %s)", e.Model.In, e.Model.Out, dollars(e.Model.Cost))
		}
		return []string{line}
	case "result":
		return []string{t.result(e)}
	case "verdict":
		if e.Approved {
			return []string{t.paint.green("approved ") + " by the wallet"}
		}
		return []string{t.paint.red("refused  ") + " by the wallet: " + e.Why}
	case "lapse":
		return []string{t.paint.yellow("lapsed   ") + " " + e.Why}
	}
	return nil
}

func (t *teller) effects(does []wire.Effect) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, e := range does {
		switch e.Kind {
		case "ask_model":
			if e.Route != nil {
				add("route     %s (%s) by rule %s", e.Route.Model, kindText(e.Route.Kind), e.Route.Rule)
			}
		case "call":
			phase := ""
			if e.Phase != "act" {
				phase = e.Phase + " "
			}
			add("call      %s%s %s", phase, e.Tool, clip(string(e.Args), 160))
		case "seek":
			add("%s waits for the wallet", t.paint.yellow("approve  "))
		case "deny":
			add("%s %s", t.paint.red("denied   "), e.Tool)
		case "say":
			if t.all {
				add("said      %s", e.Text)
			}
		case "close":
			add("closed    %s", e.Reason)
		}
		for _, d := range e.Decisions {
			if d.Outcome == "permit" && (d.Point == "model.route" || d.Point == "output" || e.Kind == "seek") {
				continue // nothing to see
			}
			if d.Outcome == "approve" && e.Kind != "seek" {
				continue // it was simulated first; the seek says it again
			}
			lines = append(lines, t.decision(d)...)
		}
	}
	return lines
}

// decision tells the rule and the values that decided. runs show --json has all of it.
func (t *teller) decision(d wire.Decision) []string {
	outcome := t.paint.green("permit")
	switch d.Outcome {
	case "deny":
		outcome = t.paint.red("deny")
	case "approve":
		outcome = t.paint.yellow("ask")
	}
	var why struct{ Message, Change string }
	if d.Outcome == "permit" || json.Unmarshal(d.Why, &why) != nil || why.Message == "" {
		why.Message = "by " + strings.Join(d.Rules, ", ")
	}
	lines := []string{fmt.Sprintf("policy    %s: %s %s", d.Point, outcome, why.Message)}
	if d.Outcome == "deny" && why.Change != "" {
		lines = append(lines, "          it would take "+why.Change)
	}
	return lines
}

// result shows what a tool returned; of a simulation and of a receipt only what matters.
func (t *teller) result(e wire.Event) string {
	var out struct {
		Error   string
		Changes []struct{ Name, Account, Display string }
		Hash    string
		Raw     string
		Block   string
		Status  string
	}
	line := "result    " + t.status(e.Status) + " "
	switch err := json.Unmarshal(e.Output, &out); {
	case err == nil && out.Error != "":
		return line + out.Error
	case err == nil && len(out.Changes) > 0:
		var changes []string
		for _, c := range out.Changes {
			changes = append(changes, or(c.Name, c.Account)+" "+c.Display)
		}
		return line + "simulated: " + strings.Join(changes, ", ")
	case err == nil && out.Raw != "":
		return line + "signed as " + out.Hash
	case err == nil && out.Hash != "" && out.Status != "":
		return line + "mined in block " + out.Block + ", " + out.Status
	}
	return line + clip(string(e.Output), 160)
}

func (t *teller) status(s string) string {
	switch s {
	case "ok":
		return t.paint.green(s)
	case "in_doubt":
		return t.paint.yellow("in doubt: it may or may not have happened")
	}
	return t.paint.red(s)
}

func kindText(kind string) string {
	if kind == "rules" {
		return "rules, no model"
	}
	return kind
}

// dollars shows nano-USD.
func dollars(nano int64) string {
	if nano == 0 {
		return "no cost"
	}
	return fmt.Sprintf("%d.%06d USD", nano/1e9, nano%1e9/1000)
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

package main

import (
	"encoding/json"
	"fmt"
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
	for _, line := range append(t.event(ev.Event), t.effects(ev.Does)...) {
		t.say(t.paint.dim(fmt.Sprintf("%3d %s ", ev.Seq, short(ev.CID))) + plain(line))
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
			return []string{t.paint.red("model") + "     failed: " + e.Failed}
		}
		if e.Model == nil {
			return nil
		}
		line := fmt.Sprintf("model     %s answered: %d tokens in, %d out, %s", e.Model.Answered, e.Model.In, e.Model.Out, dollars(e.Model.Cost))
		for _, c := range e.Calls {
			line += "; wants " + c.Tool
		}
		return []string{line}
	case "result":
		return []string{fmt.Sprintf("result    %s %s", t.status(e.Status), clip(string(e.Output), 160))}
	case "verdict":
		if e.Approved {
			return []string{t.paint.green("approved") + "  by the wallet"}
		}
		return []string{t.paint.red("refused") + "   by the wallet: " + e.Why}
	case "lapse":
		return []string{t.paint.yellow("lapsed") + "    " + e.Why}
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
			if e.Phase == "act" || e.Phase == "simulate" {
				add("call      %s %s", e.Tool, clip(string(e.Args), 160))
			}
			if e.Phase != "act" {
				add("          %s", e.Phase)
			}
		case "seek":
			add("%s    waits for the wallet", t.paint.yellow("approve"))
		case "deny":
			add("%s    %s", t.paint.red("denied"), e.Tool)
		case "say":
			if t.all {
				add("said      %s", e.Text)
			}
		case "close":
			add("closed    %s", e.Reason)
		}
		for _, d := range e.Decisions {
			if d.Outcome == "permit" && (d.Point == "model.route" || d.Point == "output") {
				continue // nothing to see; runs show --json has all
			}
			lines = append(lines, t.decision(d)...)
		}
	}
	return lines
}

// decision tells the rule and the values that decided.
func (t *teller) decision(d wire.Decision) []string {
	outcome := t.paint.green(d.Outcome)
	switch d.Outcome {
	case "deny":
		outcome = t.paint.red(d.Outcome)
	case "approve":
		outcome = t.paint.yellow("ask")
	}
	lines := []string{fmt.Sprintf("policy    %s %s by %s", d.Point, outcome, strings.Join(d.Rules, ", "))}
	var why struct {
		Message, Change string
		Atoms           []struct{ Expr, Left, Right string }
	}
	if json.Unmarshal(d.Why, &why) != nil {
		return lines
	}
	for _, a := range why.Atoms {
		lines = append(lines, fmt.Sprintf("          %s, with %s against %s", a.Expr, a.Left, a.Right))
	}
	if why.Message != "" {
		lines = append(lines, "          "+why.Message)
	}
	if why.Change != "" {
		lines = append(lines, "          it would take "+why.Change)
	}
	return lines
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

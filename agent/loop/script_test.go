package loop_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

var update = flag.Bool("update", false, "write the run scripts anew")

// Each file of testdata/runs is a run as text: what happens, and under it what the machine made of it. README.md there
// says how to write one.
func TestRunScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/runs/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Errorf("there are %d scripts", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: %s\n(go test -run TestRunScripts -update writes it anew)", file,
					firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// playScript plays the commands of a script, and returns it with the output that they have now.
func playScript(t *testing.T, text string) string {
	var out strings.Builder
	s := &script{T: t, setting: newSetting(t)}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			continue
		}
		var block []string
		for ; i < len(lines) && lines[i] != "" && lines[i] != "----"; i++ {
			block = append(block, lines[i])
		}
		for ; i < len(lines) && lines[i] != ""; i++ { // the output of last time
		}
		i--
		s.out.Reset()
		s.playBlock(block)
		fmt.Fprintf(&out, "%s\n----\n%s", strings.Join(block, "\n"), s.out.String())
	}
	return out.String()
}

// A script is one that is being played.
type script struct {
	*testing.T
	out     strings.Builder
	setting *scriptSetting
	rig     *rig
	sends   uint64        // that the user has sent since the request
	told    int           // messages that a model has been given
	turns   []thread.Turn // of the runs before in its thread
	left    uint64        // how many more there were
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// playBlock plays the commands of one block. Lines that are indented belong to the command before them.
func (s *script) playBlock(block []string) {
	for len(block) > 0 {
		n := 1
		for n < len(block) && strings.HasPrefix(block[n], " ") {
			n++
		}
		verb, rest, _ := strings.Cut(block[0], " ")
		if s.rig == nil && !s.setting.set(s.T, verb, rest, block[1:n]) {
			s.begin()
		}
		if s.rig != nil {
			s.play(verb, rest, block[1:n])
		}
		block = block[n:]
	}
	if s.rig == nil {
		s.begin()
	}
}

// begin makes the machine of the setting.
func (s *script) begin() {
	config := s.setting.config(s.T)
	m, err := loop.New(config)
	if err != nil {
		s.Fatalf("the setting does not compile: %v", err)
	}
	s.rig = rigOf(s.T, m, config)
	var caps []string
	for _, b := range m.Budgets() {
		caps = append(caps, b.ID+" "+b.Cap.String())
	}
	s.printf("caps: %s", strings.Join(caps, ", "))
}

// play plays one command.
func (s *script) play(verb, rest string, block []string) {
	switch verb {
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.Fatalf("%v", err)
		}
		s.rig.at += d.Milliseconds()
	case "facts":
		s.setFacts(rest)
	case "earlier": // in the run's thread
		s.setEarlier(rest, block)
	case "others": // have used so much of a ledger
		ledger, decimal, _ := strings.Cut(rest, " ")
		a := s.rig.ledger[ledger]
		if a == nil {
			s.Fatalf("there is no ledger %s", ledger)
		}
		used, err := money.ParseDecimal(a.limit.Asset(), decimal)
		if err != nil {
			s.Fatalf("%v", err)
		}
		a.spent = add(s.T, a.spent, used)
	case "ledgers":
		s.printLedgers()
	case "prompt":
		for _, m := range s.rig.m.Prompt(s.rig.s, 1).Messages {
			s.printf("%s: %s", m.Role, m.Text)
		}
	default:
		s.give(s.event(verb, rest, block))
	}
}

func (s *script) setFacts(rest string) {
	for _, word := range strings.Fields(rest) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "revoked":
			s.rig.facts.Revoked = true
		case "down":
			s.rig.facts.Down = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		case "wallet": // its chain has just been asked
			s.rig.facts.Wallet = &provenance.WalletFact{At: s.rig.at, By: provenance.Sum(0x71, []byte("asked"))}
		default:
			s.Fatalf("there is no fact %q", key)
		}
	}
}

// setEarlier reads what the runs before say: a line for each, the request and the answer, and perhaps the label.
func (s *script) setEarlier(rest string, block []string) {
	if rest != "" {
		if _, err := fmt.Sscanf(rest, "%d left out", &s.left); err != nil {
			s.Fatalf("earlier: %v", err)
		}
	}
	for _, line := range block {
		request, answer, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		turn := thread.Turn{Request: request, Label: label.Label{Integrity: label.User, Secrecy: label.Session}}
		if answer, l, labelled := strings.Cut(answer, " {"); labelled {
			if err := json.Unmarshal([]byte("{"+l), &turn.Label); err != nil {
				s.Fatalf("earlier: %v", err)
			}
			turn.Answer = answer
		} else {
			turn.Answer = answer
		}
		if !ok {
			s.Fatalf("earlier: write REQUEST -> ANSWER")
		}
		s.turns = append(s.turns, turn)
	}
}

// event reads an event.
func (s *script) event(verb, rest string, block []string) provenance.Event {
	switch verb {
	case "ask":
		params, err := json.Marshal(wire.StartParams{Agent: s.setting.agent.Name, Input: rest, Key: "key-00001"})
		if err != nil {
			s.Fatalf("%v", err)
		}
		ask := &provenance.Ask{Method: wire.RunStart, Request: provenance.NewPayload(params)}
		if place := s.left + uint64(len(s.turns)); place > 0 {
			_, told := thread.Begin(params, place, s.turns)
			ask.After, ask.Earlier = provenance.Sum(0x71, []byte("the head before")), thread.PayloadOf(told)
			s.rig.s, s.rig.twin = s.rig.s.Recall(s.turns), s.rig.twin.Recall(s.turns)
		}
		if s.setting.delegation != nil {
			ask.Method, ask.Label = subagent.Method, payload(`{"integrity":"user","secrecy":"session"}`)
			if len(block) > 0 { // the label of the call
				ask.Label = payload(strings.TrimSpace(block[0]))
			}
		}
		return ask
	case "send":
		return s.send(rest)
	case "reply":
		return s.reply(rest, block)
	case "fail":
		of := s.openEffect(&rest, "model")
		code, after, _ := strings.Cut(rest, " after ")
		ev := &provenance.Reply{Of: of, Failed: code}
		if after != "" {
			d, err := time.ParseDuration(after)
			if err != nil {
				s.Fatal(err)
			}
			ev.After = d.Milliseconds()
		}
		return ev
	case "result":
		of := s.openEffect(&rest, "call")
		status, out, _ := strings.Cut(rest, " ")
		ev := &provenance.Result{Of: of, Status: status}
		if out != "" {
			ev.Output = payload(s.rig.wordResult(of, out))
		}
		return ev
	case "approve":
		of := s.openEffect(&rest, "seek")
		approval := &provenance.Approval{Message: payload("{}"), Sig: payload("sig"), Method: auth.MethodEOA}
		return &provenance.Verdict{Of: of, Approval: approval}
	case "refuse":
		of := s.openEffect(&rest, "seek")
		return &provenance.Verdict{Of: of, Words: payload(rest)}
	case "lapse": // of one effect
		of := s.openEffect(&rest, "")
		return &provenance.Lapse{Of: &of, Why: rest}
	case "end": // the run, from outside
		return &provenance.Lapse{Why: rest}
	}
	s.Fatalf("there is no command %q", verb)
	return nil
}

// send reads what the user says into the run: perhaps the question that it answers, and a text.
func (s *script) send(rest string) provenance.Event {
	s.sends++
	ask := &provenance.Ask{Method: wire.RunSend, Seq: s.sends}
	p := wire.SendParams{Run: s.rig.s.Run.String(), Key: fmt.Sprintf("send-%04d", s.sends)}
	word, text, _ := strings.Cut(rest, " ")
	var of wire.Ref
	switch n, _ := fmt.Sscanf(word, "%d.%d", &of.Seq, &of.Index); {
	case n == 2:
		p.Of, ask.Of, rest = &of, &provenance.Ref{Seq: of.Seq, Index: of.Index}, text
	case word == "again": // what was sent before
		s.sends, rest = s.sends-1, text
		p.Key, ask.Seq = fmt.Sprintf("send-%04d", s.sends), s.sends+1
	case word == "late": // signed before what has come
		ask.Seq, rest = s.sends-1, text
	}
	p.Text = rest
	params, err := json.Marshal(p)
	if err != nil {
		s.Fatalf("%v", err)
	}
	ask.Request = provenance.NewPayload(params)
	return ask
}

// openEffect takes the number of an effect from the beginning of rest; without one it is the oldest that is open and of
// the kind.
func (s *script) openEffect(rest *string, kind string) provenance.Ref {
	word, after, _ := strings.Cut(*rest, " ")
	if seq, index, ok := strings.Cut(word, "."); ok {
		a, err := strconv.ParseUint(seq, 10, 64)
		b, err2 := strconv.ParseUint(index, 10, 64)
		if err == nil && err2 == nil {
			*rest = after
			return provenance.Ref{Seq: a, Index: b}
		}
	}
	open := s.rig.s.OpenEffects()
	for _, ref := range open {
		if kind == "" || kind == kindOfEffect(s.rig.effects[ref]) {
			return ref
		}
	}
	if len(open) == 0 {
		s.Fatalf("nothing is open")
	}
	return open[0] // which the machine will refuse
}

func kindOfEffect(e provenance.Effect) string {
	switch e.(type) {
	case *provenance.AskModel:
		return "model"
	case *provenance.Call:
		return "call"
	case *provenance.Seek:
		return "seek"
	}
	return ""
}

// reply reads what the model that is asked replies: options, a text, and calls below it. Ten tokens in and five out are
// counted, which the model "paid" charges 20 nano-USD for.
func (s *script) reply(rest string, block []string) provenance.Event {
	of := s.openEffect(&rest, "model")
	ask, ok := s.rig.effects[of].(*provenance.AskModel)
	if !ok {
		s.Fatalf("no model is asked")
	}
	name := ask.Route.Model
	mc := &provenance.ModelCall{Name: name, Provider: "test", Asked: name + "/1", Stop: model.StopEnd}
	if name == "paid" {
		mc.Usage, mc.Cost = provenance.Usage{In: 10, Out: 5}, 20
	}
	for _, line := range block {
		tool, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		id := fmt.Sprint("call", len(mc.Calls)+1)
		mc.Calls = append(mc.Calls, provenance.ToolAsk{ID: id, Tool: tool, Args: payload(args)})
		mc.Stop = model.StopTools
	}
	for strings.HasPrefix(rest, "-") {
		option, after, _ := strings.Cut(rest, " ")
		key, value, _ := strings.Cut(option, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch rest = after; key {
		case "-stop":
			mc.Stop = value
		case "-cost":
			mc.Cost = n
		case "-evidence":
			mc.Evidence = uint64(n)
		case "-model":
			mc.Name = value
		default:
			s.Fatalf("there is no option %s", key)
		}
	}
	if rest != "" {
		mc.Text = payload(rest)
	}
	return &provenance.Reply{Of: of, Model: mc}
}

// give lets the machine take an event, and prints what came of it.
func (s *script) give(ev provenance.Event) {
	before := s.rig.s
	if !s.rig.give(ev) {
		s.printf("refused: %v", s.rig.refused)
		return
	}
	s.printStep(before, ev)
}

func (s *script) printStep(before loop.State, ev provenance.Event) {
	r := s.rig
	head := fmt.Sprintf("step %d, %s", before.Seq, r.s.Status)
	if r.s.Closed {
		head = fmt.Sprintf("step %d, closed: %s", before.Seq, r.s.Status)
	}
	s.printf("%s", head)
	s.printSettles()
	for _, d := range r.decisions {
		s.printDecision("  ", d)
	}
	for _, ref := range r.takenBack {
		s.printf("  takes back what %d.%d may do", ref.Seq, ref.Index)
	}
	for i, e := range r.does {
		s.printEffect(fmt.Sprintf("%d.%d", before.Seq, i), e)
		s.printShown(provenance.Ref{Seq: before.Seq, Index: uint64(i)}, e)
	}
	if b, ok := r.label.Bytes(); ok && r.label != nil {
		s.printf("  context is now %s", b)
	}
	step := &provenance.Step{Seq: before.Seq, Event: ev, Does: r.does, Decisions: r.decisions, Label: r.label}
	modes := r.m.Modes(before, step)
	provenance.EachPayload(step, func(p *provenance.Payload) {
		if mode := modes[p]; mode != "" {
			b, _ := p.Bytes()
			s.printf("  keeps %s: %s", mode, b)
		}
	})
}

// printShown prints what the user's own wallet is shown of what it is to send.
func (s *script) printShown(ref provenance.Ref, e provenance.Effect) {
	c, ok := e.(*provenance.Call)
	if !ok || c.Phase != provenance.PhaseSign || c.Class != string(tools.WalletTx) {
		return
	}
	sum := loop.DescribeSend(s.rig.m, s.rig.s, ref)
	s.printf("    shows the wallet: %s", sum.Text)
	for _, why := range sum.Why {
		s.printf("    since %s", why)
	}
	if sum.Asked != "" {
		s.printf("    asked for %s: %s leaves, %s arrives, %s beyond, %d to others", sum.Asked, sum.Debit, sum.Credit, sum.Over, sum.Others)
	}
}

func (s *script) printEffect(ref string, e provenance.Effect) {
	r := s.rig
	switch e := e.(type) {
	case *provenance.AskModel:
		last := ""
		if len(r.m.Prompt(r.s, 1).Tools) == 0 {
			last = ", without tools"
		}
		considered := strings.Join(e.Route.Considered, ", ")
		if e.After > 0 {
			last += ", not before " + clock(e.After)
		}
		s.printf("  %s asks model %s of %s for at most %d tokens%s", ref, e.Route.Model, considered, e.MaxTokens, last)
		if f := e.Fold; f != nil {
			s.printf("    %s of %d messages, %d bytes, of steps %d to %d", f.How, f.Messages, f.Bytes, f.From, f.To)
		}
		s.printMessages()
		s.printDecisions(e.Decisions)
	case *provenance.Call:
		b, _ := e.Args.Bytes()
		s.printf("  %s %s %s %s", ref, e.Phase, r.tool[e.Tool], b)
		if h := e.Handed; h != nil {
			own := ""
			if h.Own {
				own = ", in the user's own words"
			}
			l, _ := h.Label.Bytes()
			s.printf("    hands on %d turns, %d calls, %d tokens, %d nano-USD, %s%s", h.Limits.Turns, h.Limits.Calls,
				h.Limits.Tokens, h.Limits.Cost, l, own)
		}
		s.printDecisions(e.Decisions)
	case *provenance.Seek:
		var sum approval.Summary
		if b, ok := e.Summary.Bytes(); !ok || json.Unmarshal(b, &sum) != nil {
			s.Fatalf("the summary is %q", b)
		}
		s.printf("  %s asks the wallet until %s: %s", ref, clock(e.Until), sum.Text)
		for _, why := range sum.Why {
			s.printf("    since %s", why)
		}
		if sum.Changes != nil {
			s.printf("    the simulation shows %s", sum.Changes)
		}
		s.printDecisions(e.Decisions)
	case *provenance.Deny:
		s.printf("  %s denies %s", ref, e.Tool)
		s.printDecisions(e.Decisions)
	case *provenance.Say:
		b, _ := e.Text.Bytes()
		s.printf("  %s says: %s", ref, b)
	case *provenance.Close:
		t := e.Totals
		s.printf("  %s closes after %d turns, %d calls, %d tokens in and %d out, %s nano-USD%s",
			ref, t.Turns, t.Calls, t.In, t.Out, fmt.Sprint(t.Cost), spentInWords(t.Spent))
		if e.Label != nil {
			l, _ := e.Label.Bytes()
			s.printf("    with the label %s", l)
		}
		if e.Code != "" {
			s.printf("    by the failure %s, %s's", e.Code, fault.Code(e.Code).Whose())
		}
		if e.After > 0 {
			s.printf("    again in %v", time.Duration(e.After)*time.Millisecond)
		}
	}
}

func spentInWords(spent []money.Amount) string {
	words := ""
	for _, a := range spent {
		words += ", " + a.String() + " spent"
	}
	return words
}

// clock is a time of day, UTC: scripts begin at 12:00:00.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04:05") }

// printMessages prints what the model reads that no model has read before, but for what models said.
func (s *script) printMessages() {
	messages := s.rig.m.Prompt(s.rig.s, 1).Messages
	if len(messages) < s.told { // some were left out, or are to be summed up
		s.told = 0
	}
	for _, m := range messages[s.told:] {
		switch m.Role {
		case model.RoleAssistant:
		case model.RoleTool:
			s.printf("    reads %s of %s: %s", m.Role, m.Tool, m.Text)
		default:
			s.printf("    reads %s: %s", m.Role, m.Text)
		}
	}
	s.told = len(messages)
}

func (s *script) printDecisions(ds []provenance.Decision) {
	for _, d := range ds {
		s.printDecision("    ", d)
	}
}

func (s *script) printDecision(indent string, d provenance.Decision) {
	line := indent + d.Point + ": " + d.Outcome
	if d.Part != "" {
		line += " " + d.Part
	}
	if d.Mode != "" {
		line += " as " + d.Mode
	}
	if len(d.Rules) > 0 {
		line += " by " + strings.Join(d.Rules, ", ")
	}
	if b, ok := d.Why.Bytes(); ok && d.Why != nil {
		var why struct{ Message, Change string }
		if err := json.Unmarshal(b, &why); err != nil {
			s.Fatalf("%v", err)
		}
		said, _ := strings.CutPrefix(why.Message, strings.Join(d.Rules, ", ")+": ") // which most messages begin with
		line += "; " + said
		if why.Change != "" {
			line += "; it takes " + why.Change
		}
	}
	s.printf("%s", line)
	var reserves []string
	for _, r := range d.Reserve {
		reserves = append(reserves, r.Budget+" "+r.Amount.String())
	}
	if len(reserves) > 0 {
		s.printf("%s  reserves %s", indent, strings.Join(reserves, ", "))
	}
}

// printSettles prints what became of reservations, a line for each effect that they were made with.
func (s *script) printSettles() {
	settles := s.rig.settles
	for len(settles) > 0 {
		of := settles[0].Ref
		var used []string
		for len(settles) > 0 && settles[0].Ref == of {
			used = append(used, settles[0].Budget+" "+settles[0].Used.String())
			settles = settles[1:]
		}
		s.printf("  settles %d.%d with %s", of.Seq, of.Index, strings.Join(used, ", "))
	}
}

// printLedgers prints the ledgers of which something is used.
func (s *script) printLedgers() {
	var names []string
	for name := range s.rig.ledger {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if a := s.rig.ledger[name]; !a.spent.IsZero() || !a.reserved.IsZero() {
			s.printf("%s: %s spent, %s reserved, of %s", name, a.spent, a.reserved, a.limit)
		}
	}
}

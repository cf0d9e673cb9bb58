// Package digest says in short what is in a store: what a run came to, what a session has used of its limits, and whom
// an owner's runs have paid. It reads the steps themselves and keeps nothing, so that what is erased is gone here too.
package digest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Store is what digests are read from. Every journal.Store is one.
type Store interface {
	archive.OpenedRecords
	journal.RunReader
	Ledgers(ctx context.Context, keys []string) ([]journal.Ledger, error)
	NameDevice(ctx context.Context, id provenance.Link, device string) error
}

// A Desk answers an owner's questions from a store.
type Desk struct{ Store Store }

// RunsBefore lists the runs of a session's account, newest first, that come after the run before; all of them if that
// is undefined. On another chain the account may be somebody else's: see [journal.RunInfo.Owner].
func (d Desk) RunsBefore(
	ctx context.Context, of journal.Session, before provenance.Link, limit int,
) ([]journal.RunInfo, error) {
	if before.Defined() {
		return d.Store.RunsBefore(ctx, of.Account, before, limit)
	}
	return d.Store.Runs(ctx, of.Account, limit)
}

// Digest says what a run came to.
func (d Desk) Digest(ctx context.Context, info journal.RunInfo) (Run, error) {
	return ReadRun(ctx, d.Store, info)
}

// Uses returns a session's grant, and what is used of its limits.
func (d Desk) Uses(ctx context.Context, s journal.Session) (*auth.Grant, []Use, error) {
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return nil, nil, fmt.Errorf("the grant of session %s: %w", s.ID, err)
	}
	uses, err := ReadUses(ctx, d.Store, s.ID, g.Caveats)
	return g, uses, err
}

// Payees returns whom the newest runs of a session's owner have paid.
func (d Desk) Payees(ctx context.Context, of journal.Session) (Payees, error) {
	return ReadPayees(ctx, d.Store, of.Account, func(i journal.RunInfo) bool { return i.Owner() == of.Owner() })
}

// NameDevice notes what the client of a session calls itself. The first name stays.
func (d Desk) NameDevice(ctx context.Context, session provenance.Link, device string) error {
	return d.Store.NameDevice(ctx, session, device)
}

// Outcomes of runs besides the reasons of a close: one of them stands in the place of "denied", whose reasons are
// different things to a person, and "waiting" in that of "parked".
const (
	Asks       = "asks"       // its user something
	Waiting    = "waiting"    // for the wallet's answer
	Refused    = "refused"    // by the wallet
	Unanswered = "unanswered" // the wallet did not answer in time
)

// A Run is what one came to.
type Run struct {
	Asked   string // what was asked, as it was signed; empty if it is erased
	Erased  bool   // what was asked is
	Outcome string // a reason of a close, or "running", "parked", "cut", or one of the Outcomes
	Rule    string // that has stopped it, if one did
	Closed  int64  // ms UTC; 0 while it is open
	Moved   []money.Amount
	Cost    int64 // nano-USD
	Asks    *Question
	Forked  provenance.Link // the step of another run that it goes on from; undefined if it is no fork
}

// A Question is what a run asks its user.
type Question struct {
	Of provenance.Ref // the effect that waits for the answer
	tools.Question
}

// ReadRun reads a run's digest.
func ReadRun(ctx context.Context, s Store, info journal.RunInfo) (Run, error) {
	d := Run{Outcome: info.Status}
	first, err := readSteps(ctx, s, info.ID, 0, 1)
	if err == nil && len(first) == 1 {
		err = d.readAsk(ctx, s, first[0])
	}
	if err == nil && info.Steps > 0 {
		err = d.readEnd(ctx, s, info)
	}
	if err != nil {
		return d, fmt.Errorf("digest of run %s: %w", info.ID, err)
	}
	return d, nil
}

func readSteps(ctx context.Context, s Store, run provenance.Link, from uint64, limit int) ([]*provenance.Step, error) {
	blocks, err := s.Steps(ctx, run, from, limit)
	if err != nil {
		return nil, err
	}
	steps := make([]*provenance.Step, len(blocks))
	for i, b := range blocks {
		steps[i] = new(provenance.Step)
		if err := provenance.Decode(b.Data, steps[i]); err != nil {
			return nil, fmt.Errorf("step %d: %w", from+uint64(i), err)
		}
	}
	return steps, nil
}

func (d *Run) readAsk(ctx context.Context, s Store, step *provenance.Step) error {
	ask, is := step.Event.(*provenance.Ask)
	if !is || ask.Request == nil {
		return nil
	}
	if ask.Method == wire.RunFork {
		d.Forked = ask.After
	}
	if err := archive.OpenPayload(ctx, s, ask.Request); err != nil {
		return err
	}
	raw, open := ask.Request.Bytes()
	if d.Erased = !open; d.Erased {
		return nil
	}
	if foreign.IsForm(ask.Method) {
		if p, _, err := foreign.ReadAsk(ask.Method, raw); err == nil {
			d.Asked = p.Input
		}
		return nil
	}
	var request struct {
		Input string `json:"input"`
	}
	if json.Unmarshal(raw, &request) == nil {
		d.Asked = request.Input
	}
	return nil
}

// The newest steps of a run are looked at for what denied it, or for what it waits, a window at a time.
const (
	window  = 32
	windows = 8
)

func (d *Run) readEnd(ctx context.Context, s Store, info journal.RunInfo) error {
	to := info.Steps
	over := map[provenance.Ref]bool{} // what waits no more, by the steps that were looked at
	for range windows {
		from := to - min(to, window)
		steps, err := readSteps(ctx, s, info.ID, from, int(to-from))
		if err != nil {
			return err
		}
		if to == info.Steps && len(steps) > 0 {
			d.takeLast(steps[len(steps)-1])
		}
		switch d.Outcome {
		case "parked":
			if err := d.takeWaiting(ctx, s, steps, over); err != nil || d.Outcome != "parked" {
				return err
			}
		case provenance.CloseDenied:
			if rule := lastDenial(steps); rule != "" {
				d.takeDenial(rule)
				return nil
			}
		default:
			return nil
		}
		if to = from; to == 0 {
			return nil
		}
	}
	return nil
}

func (d *Run) takeLast(step *provenance.Step) {
	for _, e := range step.Does {
		if e, is := e.(*provenance.Close); is {
			d.Outcome, d.Closed, d.Moved, d.Cost = e.Reason, step.At, e.Totals.Spent, e.Totals.Cost
		}
	}
}

// takeWaiting takes the newest effect of a parked run that waits for somebody's word. It need not be of the last step:
// what is said into a run, or let in by no rule, comes after it and is no answer.
func (d *Run) takeWaiting(
	ctx context.Context, s Store, steps []*provenance.Step, over map[provenance.Ref]bool,
) error {
	for _, step := range slices.Backward(steps) {
		for i, e := range step.Does {
			of := provenance.Ref{Seq: step.Seq, Index: uint64(i)}
			if over[of] {
				continue
			}
			switch e := e.(type) {
			case *provenance.Call:
				if e.Phase != provenance.PhaseAsk {
					continue
				}
				if err := archive.OpenPayload(ctx, s, e.Args); err != nil {
					return err
				}
				args, _ := e.Args.Bytes() // of what is erased nothing is shown
				q, _ := tools.ReadQuestion(args)
				d.Outcome, d.Asks = Asks, &Question{of, q}
			case *provenance.Seek:
				if d.Outcome == "parked" {
					d.Outcome = Waiting
				}
			}
		}
		if d.Outcome != "parked" {
			return nil
		}
		if of := answered(step); of != nil {
			over[*of] = true
		}
	}
	return nil
}

// answered returns the effect that a step's event is the answer to, or nil.
func answered(step *provenance.Step) *provenance.Ref {
	switch e := step.Event.(type) {
	case *provenance.Ask:
		denied := func(d provenance.Decision) bool { return d.Outcome == "deny" }
		if e.Of != nil && !slices.ContainsFunc(step.Decisions, denied) {
			return e.Of
		}
	case *provenance.Verdict:
		return &e.Of
	case *provenance.Lapse:
		return e.Of
	}
	return nil
}

func (d *Run) takeDenial(rule string) {
	switch rule {
	case loop.RuleRefused:
		d.Outcome = Refused
	case loop.RuleLapsed:
		d.Outcome = Unanswered
	default:
		d.Rule = rule
	}
}

// lastDenial returns the rule by which the last denied call of steps was denied, or nothing.
func lastDenial(steps []*provenance.Step) string {
	for _, step := range slices.Backward(steps) {
		for _, e := range slices.Backward(step.Does) {
			deny, is := e.(*provenance.Deny)
			if !is {
				continue
			}
			for _, dec := range deny.Decisions {
				if dec.Outcome == "deny" && len(dec.Rules) > 0 {
					return dec.Rules[0]
				}
			}
		}
	}
	return ""
}

// A Use is what is used of one limit of a session.
type Use struct {
	Name                 string // as the grant's rules call it: "calls", "tokens", "cost", "max_total_usdc"
	Cap, Spent, Reserved money.Amount
}

// ReadUses reads what a session has used of each of its limits that count over its life.
func ReadUses(ctx context.Context, s Store, session provenance.Link, c auth.Caveats) ([]Use, error) {
	var uses []Use
	var keys []string
	for _, b := range layer.SessionBudgets(c) {
		uses = append(uses, Use{Name: b.ID, Cap: b.Cap})
		keys = append(keys, "session/"+session.String()+"/"+loop.LayerGrant+"/"+b.ID)
	}
	ledgers, err := s.Ledgers(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("what session %s has used: %w", session, err)
	}
	for i, l := range ledgers {
		none := money.Of(uses[i].Cap.Asset(), 0)
		if uses[i].Spent, uses[i].Reserved = l.Spent, l.Reserved; l.Spent.Asset() == (money.Asset{}) {
			uses[i].Spent, uses[i].Reserved = none, none // nothing was ever reserved
		}
	}
	return uses, nil
}

// Bounds of a look for payees.
const (
	maxPayeeRuns  = 200 // runs whose end is read
	maxPayingRuns = 50  // of those, runs that moved something, whose steps are read
	maxPayeeSteps = 256 // of one run
)

// Payees are whom an owner's newest runs have paid.
type Payees struct {
	Paid map[common.Address]int // how often
	Runs int                    // how many runs were looked at
}

// ReadPayees reads whom the runs of an account have paid that keep lets in, newest runs first. Known are the payees
// of transactions that a chain has confirmed, and of other calls those that the wallet was asked about.
func ReadPayees(
	ctx context.Context, s Store, account common.Address, keep func(journal.RunInfo) bool,
) (Payees, error) {
	out := Payees{Paid: map[common.Address]int{}}
	infos, err := s.Runs(ctx, account, maxPayeeRuns)
	if err != nil {
		return out, fmt.Errorf("whom %s has paid: %w", account.Hex(), err)
	}
	paying := 0
	for _, info := range infos {
		if !keep(info) || paying == maxPayingRuns {
			continue
		}
		out.Runs++
		pays, err := mayHavePaid(ctx, s, info)
		if err == nil && pays {
			paying++
			err = out.readRun(ctx, s, info)
		}
		if err != nil {
			return out, fmt.Errorf("whom run %s has paid: %w", info.ID, err)
		}
	}
	return out, nil
}

func mayHavePaid(ctx context.Context, s Store, info journal.RunInfo) (bool, error) {
	if info.IsOpen() {
		return true, nil
	}
	last, err := readSteps(ctx, s, info.ID, info.Steps-min(info.Steps, 1), 1)
	for _, step := range last {
		for _, e := range step.Does {
			if c, is := e.(*provenance.Close); is {
				return len(c.Totals.Spent) > 0, err
			}
		}
	}
	return false, err
}

func (p *Payees) readRun(ctx context.Context, s Store, info journal.RunInfo) error {
	steps, err := readSteps(ctx, s, info.ID, 0, maxPayeeSteps)
	if err != nil {
		return err
	}
	r := payments{
		acts: map[provenance.Ref]provenance.Ref{}, asked: map[provenance.Ref]common.Address{}, seen: map[string]bool{},
	}
	for _, step := range steps {
		for i, e := range step.Does {
			if err := r.takeEffect(ctx, s, provenance.Ref{Seq: step.Seq, Index: uint64(i)}, e); err != nil {
				return err
			}
		}
		to, err := r.payeeOf(ctx, s, step.Event)
		if err != nil {
			return err
		}
		if to != (common.Address{}) {
			p.Paid[to]++
		}
	}
	return nil
}

// payments finds those of one run.
type payments struct {
	// acts are calls that act, and do not just read of strangers' transactions: what they are of.
	acts map[provenance.Ref]provenance.Ref
	// asked is whom calls would pay that the wallet was asked about, by what they are of.
	asked map[provenance.Ref]common.Address
	seen  map[string]bool // transactions: more than one result may tell of one
}

func (r *payments) takeEffect(ctx context.Context, s Store, at provenance.Ref, e provenance.Effect) error {
	switch e := e.(type) {
	case *provenance.Call:
		if e.Class != string(tools.Read) && e.Phase != provenance.PhaseSimulate {
			r.acts[at] = e.Of
		}
	case *provenance.Seek:
		if err := archive.OpenPayload(ctx, s, e.Summary); err != nil {
			return err
		}
		raw, _ := e.Summary.Bytes()
		var sum approval.Summary
		if json.Unmarshal(raw, &sum) == nil && common.IsHexAddress(sum.To) {
			r.asked[e.Of] = common.HexToAddress(sum.To)
		}
	}
	return nil
}

// payeeOf returns whom the result of a call says that it has paid; nobody if it has paid nobody.
func (r *payments) payeeOf(ctx context.Context, s Store, ev provenance.Event) (none common.Address, _ error) {
	res, is := ev.(*provenance.Result)
	if !is || res.Status != provenance.StatusOK {
		return none, nil
	}
	of, acts := r.acts[res.Of]
	if !acts {
		return none, nil
	}
	if res.Output == nil {
		return r.asked[of], nil
	}
	if err := archive.OpenPayload(ctx, s, res.Output); err != nil {
		return none, err
	}
	raw, _ := res.Output.Bytes()
	var tx struct {
		Hash, Status string
		Moves        struct{ To string }
	}
	_ = json.Unmarshal(raw, &tx) // a tool's own words then
	switch {
	case tx.Hash == "" || tx.Status == "":
		return r.asked[of], nil
	case tx.Status != "ok" || r.seen[tx.Hash] || !common.IsHexAddress(tx.Moves.To):
		return none, nil
	}
	r.seen[tx.Hash] = true
	return common.HexToAddress(tx.Moves.To), nil
}

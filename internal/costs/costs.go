// Package costs adds up what models cost, from the journal's own steps and from nothing else.
//
// Each model call is counted once, where its answer is recorded: what it cost by the runtime's price, or, if it failed
// in a way that may have to be paid for, all that was reserved for it, which is told apart. So the sum over the steps
// is what the sessions' ledgers of model costs hold, to the nano-USD.
package costs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Use is one call of a model.
type Use struct {
	Wallet, Session, Agent, Run string
	Route, Model                string
	Day                         string // UTC, e.g. 2026-11-28
	ID                          string // the provider's, of the response; empty if there is none
	Usage                       provenance.Usage
	Cost                        int64 // nano-USD, of a call that was answered
	Doubtful                    int64 // nano-USD, of one that failed and may have to be paid for
	Failed                      bool
	Code                        string // why it failed, such as "model.rate"; empty if it is not known
	At                          int64  // ms UTC: the answer came, or it was given up
	TTFT, Took                  int64  // ms to the first content, and to the whole answer; 0 if not known
	Rules                       bool   // rules answered, and no model
	Dearest                     int64  // nano-USD that the dearest model of the runtime would have cost
}

// A Line is the sum over some uses.
type Line struct {
	Of                       string // what they have in common
	Runs, Calls, Failed      int64
	In, Out, Cached, Written int64
	Cost, Doubtful           int64 // nano-USD
	Saved                    int64 // nano-USD: what the dearest model would have cost more for the same tokens
	Revenue, Margin          int64 // nano-USD; Margin is Revenue less Cost and Doubtful
	runs                     map[string]bool
	paid                     int64 // of Revenue, by the biller
}

// A Tariff is what users pay, in nano-USD.
type Tariff struct {
	Run    int64 // for each run
	Tokens int64 // for 1,000,000 tokens, input and output
	Plans  int64 // for all of it together, by plans: each line has its share by its runs
	Paid   Paid  // what a biller says besides; optional
}

// By names what uses are added up by.
var By = []string{"wallet", "session", "agent", "route", "model", "day"}

// of returns what a use belongs to.
func (u *Use) of(by string) (string, error) {
	switch by {
	case "wallet":
		return u.Wallet, nil
	case "session":
		return u.Session, nil
	case "agent":
		return u.Agent, nil
	case "route":
		return u.Route, nil
	case "model":
		return u.Model, nil
	case "day":
		return u.Day, nil
	}
	return "", fmt.Errorf("costs are added up by %s, and not by %q", strings.Join(By, ", "), by)
}

// ErrRange says that a sum is larger than nano-USD can be counted.
var ErrRange = errors.New("a sum of costs is out of range")

// Sum adds uses up, sorted by what they have in common.
func Sum(uses []Use, by string, t Tariff) (lines []Line, total Line, err error) {
	total = Line{Of: "total", runs: map[string]bool{}}
	at, paid := map[string]*Line{}, t.Paid.share(uses)
	for i := range uses {
		u := &uses[i]
		of, err := u.of(by)
		if err != nil {
			return nil, total, err
		}
		if at[of] == nil {
			at[of] = &Line{Of: of, runs: map[string]bool{}}
		}
		if err := errors.Join(at[of].add(u, paid), total.add(u, paid)); err != nil {
			return nil, total, err
		}
	}
	for _, l := range at {
		lines = append(lines, *l)
	}
	slices.SortFunc(lines, func(a, b Line) int { return strings.Compare(a.Of, b.Of) })
	shares := new(big.Int)
	for i := range lines {
		shares.Add(shares, big.NewInt(int64(len(lines[i].runs))))
	}
	begun, given := new(big.Int), int64(0) // so that the shares add up to all of it
	for i := range lines {
		begun.Add(begun, big.NewInt(int64(len(lines[i].runs))))
		upTo := new(big.Int).Mul(big.NewInt(t.Plans), begun)
		share := upTo.Div(upTo, shares).Int64() - given
		given += share
		if err := lines[i].finish(t, share); err != nil {
			return nil, total, err
		}
	}
	return lines, total, total.finish(t, t.Plans)
}

func (l *Line) add(u *Use, paid map[string]int64) error {
	l.Calls++
	if p := paid[u.Run]; !l.runs[u.Run] && p > 0 {
		if l.paid > math.MaxInt64-p {
			return ErrRange
		}
		l.paid += p
	}
	l.runs[u.Run] = true
	if u.Failed {
		l.Failed++
	}
	l.In, l.Out, l.Cached = l.In+int64(u.Usage.In), l.Out+int64(u.Usage.Out), l.Cached+int64(u.Usage.Cached)
	l.Written += int64(u.Usage.Write5m + u.Usage.Write1h)
	for sum, n := range map[*int64]int64{&l.Cost: u.Cost, &l.Doubtful: u.Doubtful, &l.Saved: u.Dearest - u.Cost} {
		if n > 0 && *sum > math.MaxInt64-n {
			return ErrRange
		}
		*sum += n
	}
	return nil
}

// finish counts runs, revenue and margin. Revenue is counted by run and by token, and so of a line by what is in it: a
// run that was answered by two models is in both of their lines, and once in the total.
func (l *Line) finish(t Tariff, plans int64) error {
	l.Runs = int64(len(l.runs))
	tokens := model.Info{PriceIn: t.Tokens, PriceOut: t.Tokens}.Cost(model.Usage{In: l.In, Out: l.Out})
	tooMany := plans > math.MaxInt64-tokens || t.Run > 0 && l.Runs > (math.MaxInt64-tokens-plans)/t.Run
	if tooMany || l.Cost > math.MaxInt64-l.Doubtful || l.paid > math.MaxInt64-tokens-plans-l.Runs*t.Run {
		return ErrRange
	}
	l.Revenue = tokens + plans + l.Runs*t.Run + l.paid
	l.Margin = l.Revenue - l.Cost - l.Doubtful
	return nil
}

// A Store has the journal and its records.
type Store interface {
	journal.RunReader
	journal.BlockReader
}

// maxRuns bounds the runs that are looked at.
const maxRuns = 1_000_000

// Gather reads the uses of all runs whose first step is at or after since, ms UTC.
func Gather(ctx context.Context, s Store, since int64, do func(Use)) error {
	_, err := GatherOf(ctx, s, Scope{Since: since, Runs: maxRuns}, do)
	return err
}

// A Scope says which runs are looked at.
type Scope struct {
	Account [20]byte // whose; zero for everybody's
	Owner   string   // and of these, as [journal.RunInfo.Owner] names a wallet; empty for all
	Since   int64    // ms UTC
	Runs    int      // at most, the newest
	// Step is given each step of these runs as it is read; optional.
	Step func(journal.RunInfo, *provenance.Step)
}

// includes says whether a run of the account's is looked at.
func (of *Scope) includes(r journal.RunInfo) bool {
	return r.Opened >= of.Since && (of.Owner == "" || r.Owner() == of.Owner)
}

// GatherOf reads the uses of some runs. more says that there are older ones besides.
func GatherOf(ctx context.Context, s Store, of Scope, do func(Use)) (more bool, err error) {
	runs, err := s.Runs(ctx, of.Account, of.Runs)
	if err != nil {
		return false, fmt.Errorf("list the runs: %w", err)
	}
	g := &gathering{store: s, runtimes: map[provenance.Link][]model.Info{}, do: do, step: of.Step}
	for _, r := range runs {
		if !of.includes(r) {
			continue
		}
		if err := g.readRun(ctx, r); err != nil {
			return false, fmt.Errorf("run %s: %w", r.ID, err)
		}
	}
	return len(runs) == of.Runs && runs[len(runs)-1].Opened >= of.Since, nil
}

type gathering struct {
	store    Store
	runtimes map[provenance.Link][]model.Info
	do       func(Use)
	step     func(journal.RunInfo, *provenance.Step) // or nil
}

// A waiting call is one whose answer has not come yet.
type waiting struct {
	route    provenance.Route
	reserved int64 // in the session's ledger of costs
}

// CostBudget is the ledger of model costs of a session, by its budget's name in a record.
const CostBudget = loop.LayerGrant + "/cost"

func (g *gathering) readRun(ctx context.Context, info journal.RunInfo) error {
	models, err := g.modelsOf(ctx, info.ID)
	if err != nil {
		return err
	}
	open := map[provenance.Ref]waiting{}
	for from := uint64(0); from < info.Steps; {
		blocks, err := g.store.Steps(ctx, info.ID, from, 256)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			return fmt.Errorf("step %d is not there", from)
		}
		for _, b := range blocks {
			var s provenance.Step
			if err := provenance.Decode(b.Data, &s); err != nil {
				return fmt.Errorf("step %d: %w", from, err)
			}
			g.takeStep(&info, &s, models, open)
			if g.step != nil {
				g.step(info, &s)
			}
			from++
		}
	}
	return nil
}

// takeStep counts the answer that a step holds, and notes what it asks.
func (g *gathering) takeStep(info *journal.RunInfo, s *provenance.Step, models []model.Info,
	open map[provenance.Ref]waiting) {
	use := func(ref provenance.Ref, reply *provenance.Reply) {
		w, there := open[ref]
		if !there {
			return
		}
		delete(open, ref)
		g.do(useOf(info, s.At, w, reply, models))
	}
	switch ev := s.Event.(type) {
	case *provenance.Reply:
		use(ev.Of, ev)
	case *provenance.Lapse:
		for ref := range open {
			if ev.Why == provenance.LapseSlow {
				continue // it goes on
			}
			if ev.Of == nil || *ev.Of == ref {
				use(ref, nil)
			}
		}
	}
	for i, e := range s.Does {
		ask, is := e.(*provenance.AskModel)
		if !is {
			continue
		}
		w := waiting{route: ask.Route}
		for _, d := range ask.Decisions {
			for _, r := range d.Reserve {
				if n := r.Amount.Uint256(); r.Budget == CostBudget && r.Amount.Asset() == money.USD && n.IsUint64() {
					w.reserved += int64(min(n.Uint64(), math.MaxInt64))
				}
			}
		}
		open[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = w
	}
}

// useOf makes the use of a call that has ended; reply is nil if it is not known how.
func useOf(info *journal.RunInfo, at int64, w waiting, reply *provenance.Reply, models []model.Info) Use {
	u := Use{
		Wallet: info.Account.Hex(), Session: info.Session.String(), Agent: info.Agent, Run: info.ID.String(),
		Route: w.route.Rule, Model: w.route.Model, Day: time.UnixMilli(at).UTC().Format(time.DateOnly),
		At: at, Rules: w.route.Kind == string(model.KindRules),
	}
	if reply != nil && reply.Model != nil {
		u.Usage, u.Cost, u.ID = reply.Model.Usage, reply.Model.Cost, reply.Model.ID
		u.TTFT, u.Took = reply.Model.TTFT, reply.Model.Took
		u.Dearest = u.Cost
		for _, m := range models {
			u.Dearest = max(u.Dearest, m.Cost(modelcall.UsageOf(u.Usage)))
		}
		return u
	}
	u.Failed = true
	if reply != nil {
		u.Code = reply.Failed
	}
	if reply == nil || fault.Code(reply.Failed).MayCost() {
		u.Doubtful = w.reserved
	}
	return u
}

// modelsOf returns the models of the runtime that a run began with.
func (g *gathering) modelsOf(ctx context.Context, id provenance.Link) ([]model.Info, error) {
	var run provenance.Run
	if err := g.load(ctx, id, &run); err != nil {
		return nil, err
	}
	if known, there := g.runtimes[run.Runtime]; there {
		return known, nil
	}
	var runtime provenance.Runtime
	if err := g.load(ctx, run.Runtime, &runtime); err != nil {
		return nil, fmt.Errorf("its runtime: %w", err)
	}
	infos := make([]model.Info, 0, len(runtime.Models))
	for _, m := range runtime.Models {
		infos = append(infos, route.ModelInfoOf(m))
	}
	g.runtimes[run.Runtime] = infos
	return infos, nil
}

func (g *gathering) load(ctx context.Context, c provenance.Link, into provenance.Record) error {
	b, err := g.store.Block(ctx, c)
	if err != nil {
		return err
	}
	return provenance.Decode(b, into)
}

// JoinSmall returns the n dearest of lines and, as one line of "other", the rest of them.
func JoinSmall(lines []Line, n int) []Line {
	out := slices.Clone(lines)
	slices.SortStableFunc(out, func(a, b Line) int { return cmp.Compare(b.Cost+b.Doubtful, a.Cost+a.Doubtful) })
	if len(out) <= n {
		return out
	}
	other := Line{Of: "other"}
	for _, l := range out[n:] {
		other.Runs, other.Calls, other.Failed = other.Runs+l.Runs, other.Calls+l.Calls, other.Failed+l.Failed
		other.Cost, other.Doubtful, other.Saved = other.Cost+l.Cost, other.Doubtful+l.Doubtful, other.Saved+l.Saved
		other.Revenue, other.Margin = other.Revenue+l.Revenue, other.Margin+l.Margin
	}
	return append(out[:n], other)
}

package door

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

const (
	runSchema  = `"run":{"type":"string","description":"the run's CID"}`
	waitSchema = `"wait_seconds":{"type":"integer","minimum":0,"maximum":300,"description":"how long to wait for its end; ` +
		`60 if absent"}`
)

// errands are the tools, in the order in which they are listed.
var errands = []errand{
	newErrand("run_agent", "Asks the agent for something, in words, and waits for its answer. Status is answered, denied "+
		"or another end; waiting if it waits for the wallet, which a person approves at approve_url; running if it is not "+
		"done in time, and goes on. The same idempotency_key with the same input is the same run.",
		`"required":["input"],"properties":{"input":{"type":"string","minLength":1,"maxLength":65536},
		"idempotency_key":{"type":"string","maxLength":128},`+waitSchema+`}`, false, (*guest).runAgent),
	newErrand("watch_run", "Waits until a run ends or waits for the wallet, and says how it stands, as run_agent does.",
		`"required":["run"],"properties":{`+runSchema+`,`+waitSchema+`}`, true, (*guest).watchRun),
	newErrand("cancel_run", "Ends a run. What it has done stays done.",
		`"required":["run"],"properties":{`+runSchema+`}`, false, (*guest).cancelRun),
	newErrand("list_runs", "Lists the wallet's runs, newest first.",
		`"properties":{"limit":{"type":"integer","minimum":1,"maximum":50},"before":{"type":"string"},
		"outcome":{"type":"string"},"find":{"type":"string","maxLength":200}}`, true, (*guest).listRuns),
	newErrand("list_approvals", "Lists what waits for the wallet's approval, and where a person approves it.",
		`"properties":{}`, true, (*guest).listApprovals),
	newErrand("read_run", "Reads the recorded steps of a run, each with its CID: what came in, what was decided by which "+
		"rules, what was done. after is the number of the last step that is known.",
		`"required":["run"],"properties":{`+runSchema+`,"after":{"type":"integer","minimum":0}}`, true, (*guest).readRun),
	newErrand("get_record", "Says where a run's record is: its signed head, the file with everything that proves it, and "+
		"how anybody verifies that without trusting this server.",
		`"required":["run"],"properties":{`+runSchema+`}`, true, (*guest).getRecord),
	newErrand("verify_run", "Has this server verify a run of the wallet from its record alone: the signatures, and each "+
		"decision made again. Who does not trust it does the same elsewhere: see get_record.",
		`"required":["run"],"properties":{`+runSchema+`}`, true, (*guest).verifyRun),
}

type runParams struct {
	Input string `json:"input" form:"text" max:"65536"`
	Key   string `json:"idempotency_key,omitempty" form:"text" max:"128"`
	Wait  *int64 `json:"wait_seconds,omitempty"`
}

type watchParams struct {
	Run  string `json:"run" form:"cid"`
	Wait *int64 `json:"wait_seconds,omitempty"`
}

// A standing is how a run stands, as tools tell it.
type standing struct {
	Run     string `json:"run"`
	Status  string `json:"status"` // why it closed, or "waiting" or "running"
	Text    string `json:"text,omitempty"`
	Last    string `json:"cid,omitempty"` // of its newest step
	Code    string `json:"code,omitempty"`
	Cost    int64  `json:"cost_nano"`
	Approve string `json:"approve_url,omitempty"`
	Page    string `json:"run_url,omitempty"`
}

// pageOf returns the address of a place on the server's page.
func (g *guest) pageOf(place string) string {
	if g.door.cfg.Page == "" {
		return ""
	}
	return g.door.cfg.Page + "/#" + place
}

func (g *guest) standingOf(e ending) standing {
	s := standing{
		Run: e.Run, Status: e.Reason, Text: e.text, Last: e.Last, Code: e.Code, Cost: e.Cost, Page: g.pageOf("run/" + e.Run),
	}
	if s.Status == "waiting" {
		s.Approve = g.pageOf("approvals")
	}
	return s
}

// waitOf reads how long to wait.
func waitOf(seconds *int64) (time.Duration, error) {
	switch {
	case seconds == nil:
		return time.Minute, nil
	case *seconds < 0 || *seconds > 300:
		return 0, wire.Errorf(wire.CodeParams, "wait_seconds is %d; 0 to 300 are taken.", *seconds)
	}
	return time.Duration(*seconds) * time.Second, nil
}

func (g *guest) runAgent(ctx context.Context, p runParams) (any, error) {
	most, err := waitOf(p.Wait)
	if err != nil {
		return nil, err
	}
	t, err := g.startTurn(ctx, &foreign.Request{Text: p.Input}, p.Key)
	if err != nil {
		return nil, err
	}
	e, err := t.await(ctx, most, wire.Run{})
	if ctx.Err() != nil {
		t.leave(ctx) // who asked has gone
	}
	return g.standingOf(e), err
}

func (g *guest) watchRun(ctx context.Context, p watchParams) (any, error) {
	most, err := waitOf(p.Wait)
	if err != nil {
		return nil, err
	}
	run, err := ask[wire.Run](ctx, g, wire.RunGet, wire.RunParams{Run: p.Run}, false)
	if err != nil {
		return nil, err
	}
	sub := g.call(ctx, wire.RunSubscribe, wire.SubscribeParams{Run: p.Run}, false)
	if sub.Error != nil {
		return nil, sub.Error
	}
	e, err := (&turn{v: g.visitor, run: p.Run, stream: sub.Stream}).await(ctx, most, run)
	return g.standingOf(e), err
}

// await returns how a run stands when it has ended, when it waits for the wallet, or when the time is over. Of what is
// known to have been before it only tells the end.
func (t *turn) await(ctx context.Context, most time.Duration, known wire.Run) (ending, error) {
	defer t.stream.Close()
	e := ending{Run: t.run}
	waiting, stop := context.WithTimeout(ctx, most)
	defer stop()
	for {
		u, err := t.stream.Next(waiting)
		switch {
		case ctx.Err() != nil:
			return e, ctx.Err()
		case waiting.Err() != nil:
			e.Reason, e.text = "running", ""
			return e, nil
		case errors.Is(err, io.EOF):
			return e, wire.Errorf(wire.CodeInternal,
				"The run's events ended before it did; look at it: writ runs show %s.", t.run)
		case err != nil:
			return e, err
		case u.Event == nil || !e.takeEvent(u.Event):
			continue
		}
		at := u.Event.Seq + 1
		if e.Reason == "waiting" && (at < known.Steps || at == known.Steps && known.Outcome != "waiting") {
			e.Reason = "" // it was answered since, or another waits as well
			continue
		}
		return e, nil
	}
}

func (g *guest) cancelRun(ctx context.Context, p wire.RunParams) (any, error) {
	if _, err := ask[wire.None](ctx, g, wire.RunCancel, p, true); err != nil {
		return nil, err
	}
	return map[string]string{"run": p.Run, "status": "cancelled"}, nil
}

type listParams struct {
	Limit   uint64 `json:"limit,omitempty" max:"50"`
	Before  string `json:"before,omitempty" form:"cid"`
	Outcome string `json:"outcome,omitempty" form:"name"`
	Find    string `json:"find,omitempty" form:"text" max:"200"`
}

func (g *guest) listRuns(ctx context.Context, p listParams) (any, error) {
	if p.Limit == 0 {
		p.Limit = 20
	}
	return ask[wire.Runs](ctx, g, wire.RunList,
		wire.ListParams{Limit: p.Limit, Before: p.Before, Outcome: p.Outcome, Find: p.Find}, false)
}

// A waitingCall is what waits for the wallet's approval. There is nothing in it to sign.
type waitingCall struct {
	Run     string          `json:"run"`
	Summary json.RawMessage `json:"summary,omitempty"`
	Until   int64           `json:"until"` // ms UTC
	Approve string          `json:"approve_url,omitempty"`
}

func (g *guest) listApprovals(ctx context.Context, _ wire.None) (any, error) {
	all, err := ask[wire.Approvals](ctx, g, wire.ApprovalList, wire.ApprovalsParams{Limit: 200}, false)
	if err != nil {
		return nil, err
	}
	out := make([]waitingCall, len(all.Approvals))
	for i, a := range all.Approvals {
		out[i] = waitingCall{a.Run, a.Summary, a.Until, g.pageOf("approvals")}
	}
	return map[string]any{"approvals": out}, nil
}

type readParams struct {
	Run   string `json:"run" form:"cid"`
	After *int64 `json:"after,omitempty"`
}

// maxJudging is how many runs are verified at a time.
const maxJudging = 2

// Bounds of one answer to read_run.
const (
	maxEvents = 50
	maxRead   = 128 << 10 // bytes
)

func (g *guest) readRun(ctx context.Context, p readParams) (any, error) {
	run, err := ask[wire.Run](ctx, g, wire.RunGet, wire.RunParams{Run: p.Run}, false)
	if err != nil {
		return nil, err
	}
	first := uint64(0)
	if p.After != nil && *p.After >= 0 {
		first = uint64(*p.After) + 1
	}
	sub := g.call(ctx, wire.RunSubscribe, wire.SubscribeParams{Run: p.Run}, false)
	if sub.Error != nil {
		return nil, sub.Error
	}
	defer sub.Stream.Close()
	var steps []json.RawMessage
	size, next := 0, uint64(0)
	for next < run.Steps {
		u, err := sub.Stream.Next(ctx)
		if err != nil {
			return nil, err
		}
		if u.Event == nil {
			continue
		}
		if next = u.Event.Seq + 1; u.Event.Seq < first {
			continue
		}
		u.Event.Sub, u.Event.Epoch = "", ""
		data, err := json.Marshal(u.Event)
		if err != nil {
			return nil, err
		}
		if size += len(data); len(steps) > 0 && (size > maxRead || len(steps) == maxEvents) {
			return map[string]any{"run": run, "steps": steps, "more_after": u.Event.Seq - 1}, nil
		}
		steps = append(steps, data)
	}
	return map[string]any{"run": run, "steps": steps}, nil
}

func (g *guest) getRecord(ctx context.Context, p wire.RunParams) (any, error) {
	at, err := ask[wire.Provenance](ctx, g, wire.ProvenanceFetch, wire.ProvenanceParams{Run: p.Run}, false)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"head": at.Head, "car": g.door.cfg.Page + at.Car, "log": at.Log,
		"verify": "Download car, and run: writ verify FILE. The wallet's owner adds keys of what is sealed: writ export.",
	}, nil
}

func (g *guest) verifyRun(ctx context.Context, p wire.RunParams) (any, error) {
	if _, err := ask[wire.Run](ctx, g, wire.RunGet, p, false); err != nil { // it is the wallet's
		return nil, err
	}
	id, err := cid.Decode(p.Run)
	if err != nil || g.door.cfg.Judge == nil {
		return nil, wire.Errorf(wire.CodeNotFound, "This server does not verify; writ verify does.")
	}
	end, err := g.door.beginJudging(g.session.Account)
	if err != nil {
		return nil, err
	}
	defer end()
	rep, err := g.door.cfg.Judge(ctx, id)
	if err != nil {
		return nil, err
	}
	return verdict{rep.Verdict, string(rep.Code), rep.Detail, rep.Steps, rep.Checks, rep.Unproven}, nil
}

// beginJudging takes one of the places to verify a run, of which a wallet has one at a time.
func (d *Door) beginJudging(wallet string) (end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.judging[wallet]:
		return nil, wire.Errorf(wire.CodeTooMany,
			"Another run of this wallet is being verified; ask again when that is done.")
	case len(d.judging) == maxJudging:
		return nil, wire.Errorf(wire.CodeOverload, "Others have runs verified now; ask again soon.")
	}
	d.judging[wallet] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.judging, wallet)
	}, nil
}

// A verdict is what a report says in short.
type verdict struct {
	Verdict  string                   `json:"verdict"`
	Code     string                   `json:"code,omitempty"`
	Detail   string                   `json:"detail,omitempty"`
	Steps    int                      `json:"steps"`
	Checks   []provenance.CheckResult `json:"checks"`
	Unproven []string                 `json:"unproven"`
}

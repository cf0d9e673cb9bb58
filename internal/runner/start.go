package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/knownsig"
	"github.com/writ-run/writ/provenance"
)

// ErrSignature says that a request is not signed by the session that it names.
var ErrSignature = errors.New("the signature does not hold")

// A StartRequest asks for a run. Frame and Sig are the signed request as it came: they become the run's first event,
// so that nobody can invent a request.
type StartRequest struct {
	Session journal.Session
	Frame   auth.Frame // its Params are a wire.RunStart
	Sig     []byte
	Agent   string
	Input   string
	Key     string          // idempotency key, 1 to 128 bytes
	Thread  string          // that the run goes on with, or begins; empty for none
	Step    provenance.Link // of another run, from which it goes on, with a wire.ForkParams; undefined for none
	// Reaches says whether the session may see the run of Step. Without it there is nothing to go on from.
	Reaches func(of journal.RunInfo) bool
	// Tools are the records of those that Params says are the caller's own, as definition.ClientTools makes them.
	Tools []*provenance.ToolDef
	Files []provenance.Piece // of the files that Params attaches
}

// Start opens a run and returns at once; the run goes on by itself. The same idempotency key and params return the
// run that is there already; the same key with other params is ErrConflict.
func (r *Runner) Start(ctx context.Context, q StartRequest) (journal.RunInfo, error) {
	err := q.checkSignature()
	var info journal.RunInfo
	switch agent, ok := r.catalog.agents[q.Agent]; {
	case err != nil:
	case ok && q.Thread != "" && agent.ThreadWaits:
		info, err = r.porter.Start(ctx, q.Session, q.Agent, q.Thread, func(ctx context.Context) (journal.RunInfo, error) {
			return r.startRun(ctx, q)
		})
	default:
		info, err = r.startRun(ctx, q)
	}
	if err != nil {
		return journal.RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	return info, nil
}

func (r *Runner) startRun(ctx context.Context, q StartRequest) (none journal.RunInfo, err error) {
	hash := sha256.Sum256(q.Frame.Params)
	id, err := r.cfg.Store.RunByKey(ctx, q.Session.ID, q.Key, hash)
	if err == nil {
		return r.runs.findStarted(ctx, id)
	}
	if !errors.Is(err, journal.ErrNotFound) {
		return none, err
	}
	a, err := r.newRun(ctx, q, hash)
	if err != nil {
		return none, err
	}
	ask := &provenance.Ask{
		Request: provenance.NewPayload(q.Frame.Params), Channel: q.Frame.Channel, Seq: q.Frame.Seq,
		Method: q.Frame.Method, Key: q.Session.Key, Sig: q.Sig, Files: q.Files,
	}
	if err := r.runs.joinOthers(ctx, a, q, ask); err != nil {
		return none, err
	}
	for _, def := range q.Tools {
		b, err := provenance.Encode(def)
		if err != nil {
			return none, err
		}
		a.blocks = append(a.blocks, b)
	}
	info, err := r.runs.openRun(ctx, a, ask)
	if errors.Is(err, journal.ErrConflict) { // somebody was faster with the same key
		if id, err := r.cfg.Store.RunByKey(ctx, q.Session.ID, q.Key, hash); err == nil {
			return r.runs.findStarted(ctx, id)
		}
	}
	return info, err
}

// checkSignature says whether the request is one that its session's key has signed.
func (q *StartRequest) checkSignature() error {
	return checkSigned(q.Session, q.Frame, q.Sig, q.Key)
}

// checkSigned says whether a frame with an idempotency key is one that its session's key has signed.
func checkSigned(s journal.Session, f auth.Frame, sig []byte, id string) error {
	if id == "" || len(id) > 128 {
		return errors.New("an idempotency key of 1 to 128 bytes is required")
	}
	key, err := auth.ParsePublicKey(s.Key)
	if err != nil {
		return err
	}
	if f.Session != s.ID {
		return fmt.Errorf("the request was signed for another session: %w", ErrSignature)
	}
	if err := knownsig.Verify(f, key, sig); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// newRun makes the actor of a run that is not in the journal yet.
func (r *Runner) newRun(ctx context.Context, q StartRequest, hash [32]byte) (*actor, error) {
	// The operator's list of wallets may be another one since the sign-in.
	if err := r.cfg.checkServed(q.Session.Account, q.Session.Owner()); err != nil {
		return nil, err
	}
	agent, ok := r.catalog.agents[q.Agent]
	if !ok {
		return nil, fmt.Errorf("agent %q: %w", q.Agent, journal.ErrNotFound)
	}
	rules, err := r.machines.rulesOf(q.Session) // after a reload the session keeps the set that it was signed for
	if err != nil {
		return nil, err
	}
	p := pins{agent: agent.CID, rules: rules, runtime: r.catalog.runtime}
	machine, err := r.machines.machineOf(ctx, q.Session, p)
	if errors.Is(err, pinned.ErrVersion) { // this server has changed since the sign-in
		return nil, fmt.Errorf("%w: %w", journal.ErrStale, err)
	}
	if err != nil {
		return nil, err
	}
	run := &provenance.Run{
		Agent: p.agent, Grant: q.Session.ID, Rules: p.rules, Runtime: p.runtime,
		Opened: r.cfg.Now().UnixMilli(),
	}
	if _, err := io.ReadFull(r.cfg.Rand, run.Nonce[:]); err != nil {
		return nil, err
	}
	return r.runs.newRunActor(machine, run, journal.RunInfo{
		Session: q.Session.ID, Account: q.Session.Account, Chain: q.Session.Chain, Method: q.Session.Method,
		Agent: q.Agent,
	}, q.Key, hash)
}

// findStarted returns a run that an earlier call has opened, and makes sure that it goes on: that call may have ended
// before it could.
func (rs *runs) findStarted(ctx context.Context, id provenance.Link) (journal.RunInfo, error) {
	info, err := rs.cfg.Store.Run(ctx, id)
	if err != nil || info.Status != "running" {
		return info, err
	}
	return info, rs.wakeRun(ctx, id)
}

package api

import (
	"context"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// What a session sees and acts on. A wallet's ordinary session sees all that is the wallet's. One that is for a program
// is confined: it sees, and acts on, only what it has opened itself. Every method that names a run, a thread or a
// session asks here.

// isConfined says whether a session sees only its own: it was opened as an API key, or may not call all tools that its
// agent has. One whose grant or agent is not known any more is confined, too.
func isConfined(a *API, s journal.Session) bool {
	if s.Device == wire.KeyDevice {
		return true
	}
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return true
	}
	for _, agent := range a.cfg.Runner.AgentsFor(g.Origin()) {
		if agent.Name != s.Agent {
			continue
		}
		for _, tool := range agent.Tools {
			if !g.Has(tool) {
				return true
			}
		}
		return false
	}
	return true
}

// reaches says whether the caller's session may see, and act on, what the session of has opened.
func reaches(c *Call, of journal.Session) bool {
	own := c.seat.session
	return own.Owner() == of.Owner() && (own.ID == of.ID || !isConfined(c.api, own))
}

// reachesRun is reaches of the session that opened a run.
func reachesRun(c *Call, info journal.RunInfo) bool {
	own := c.seat.session
	return own.Owner() == info.Owner() && (own.ID == info.Session || !isConfined(c.api, own))
}

// keepReached leaves out of a list what hangs on runs that the caller's session does not reach.
func keepReached[T any](ctx context.Context, c *Call, list []T, run func(T) provenance.Link) ([]T, error) {
	if !isConfined(c.api, c.seat.session) {
		return list, nil
	}
	var out []T
	for _, x := range list {
		info, err := c.api.cfg.Runner.Run(ctx, run(x))
		if err != nil {
			return nil, err
		}
		if reachesRun(c, info) {
			out = append(out, x)
		}
	}
	return out, nil
}

// checkThread refuses a thread whose newest run the caller's session does not reach. Since it cannot go on with such a
// one either, all runs of a thread that a confined session reaches are its own. A thread that is not there yet is free.
func checkThread(ctx context.Context, c *Call, agent, name string) error {
	if name == "" || !isConfined(c.api, c.seat.session) {
		return nil
	}
	t, err := c.api.cfg.Runner.Thread(ctx, c.seat.session, agent, name)
	if err != nil {
		return err
	}
	info, err := c.api.cfg.Runner.Run(ctx, t.Last)
	if err == nil && !reachesRun(c, info) {
		err = wire.Errorf(wire.CodeForbidden, "That thread has runs of another session; name one of your own.")
	}
	return err
}

func approvalRun(p runner.PendingApproval) provenance.Link { return p.Run }
func walletRun(w runner.WalletCall) provenance.Link        { return w.Run }
func threadRun(t journal.Thread) provenance.Link           { return t.Last }

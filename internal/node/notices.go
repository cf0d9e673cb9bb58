package node

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/notice"
	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/provenance"
)

// webhooksOf reads where notices go, and reveals the secrets.
func webhooksOf(c *config.Config) (out []notice.Target, err error) {
	for _, w := range c.Webhooks {
		t := notice.Target{
			Name: w.Name, Format: cmp.Or(w.Format, notice.JSON), Gate: reach.Gate{Private: w.Private},
		}
		if t.URL, err = w.URL.Reveal(); err != nil {
			return nil, badUse("webhook %s: url: %s", w.Name, err)
		}
		if w.Secret != "" {
			secret, err := w.Secret.Reveal()
			if err != nil {
				return nil, badUse("webhook %s: secret: %s", w.Name, err)
			}
			t.Secret = []byte(secret)
		}
		out = append(out, t)
	}
	return out, nil
}

// startNotices tells webhooks what waits for wallets, while the node is open.
func (n *Node) startNotices(ctx context.Context, c *Config) (func() error, error) {
	if len(c.Webhooks) == 0 {
		return nil, nil
	}
	t, err := makeTeller(n, c)
	if err != nil {
		return nil, err
	}
	return runUntilClosed(ctx, t.Run), nil
}

// makeTeller makes what tells webhooks. It tells nothing yet.
func makeTeller(n *Node, c *Config) (*notice.Teller, error) {
	t, err := notice.New(notice.Config{
		Targets: c.Webhooks, Waiting: (&parkedRuns{node: n}).list, Page: c.Scheme + "://" + c.Domain,
		File: filepath.Join(c.Data, notice.File), Log: c.Log,
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return t, nil
}

// parkedRuns are the runs that wait, with what each waits for. A run is read anew only when it has a new step. One
// goroutine uses it.
type parkedRuns struct {
	node  *Node
	known map[provenance.Link]parkedRun
}

type parkedRun struct {
	last  provenance.Link // its newest step
	waits []notice.Wait
}

// list returns what waits for wallets now, oldest run first.
func (p *parkedRuns) list(ctx context.Context) (all []notice.Wait, err error) {
	open, err := p.node.db.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	fresh := map[provenance.Link]parkedRun{}
	for _, id := range open {
		info, err := p.node.db.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		if info.Status != "parked" {
			continue
		}
		r, ok := p.known[id]
		if !ok || r.last != info.Last {
			if r, err = p.read(ctx, info); err != nil {
				return nil, err
			}
		}
		fresh[id] = r
		all = append(all, r.waits...)
	}
	p.known = fresh
	return all, nil
}

// read returns what one run waits for.
func (p *parkedRuns) read(ctx context.Context, info journal.RunInfo) (parkedRun, error) {
	r := parkedRun{last: info.Last}
	s, err := p.node.db.Session(ctx, info.Session)
	if err != nil {
		return r, err
	}
	pending, err := p.node.runner.Approvals(ctx, s)
	for _, a := range pending {
		if a.Run == info.ID {
			r.waits = append(r.waits, notice.Wait{
				Run: a.Run.String(), Effect: fmt.Sprintf("%d.%d", a.Effect.Seq, a.Effect.Index), Agent: info.Agent,
				Wallet: info.Owner(), Until: time.UnixMilli(a.Until),
			})
		}
	}
	return r, err
}

package main

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
)

// A slow model takes its time.
type slow struct{ takes time.Duration }

func (s slow) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	select {
	case <-time.After(s.takes): // the session's times are those of the store's clock, so this is a real wait
		return model.Reply{Stop: model.StopEnd, Text: "it took a while"}, nil
	case <-ctx.Done():
		return model.Reply{}, ctx.Err()
	}
}

// While a run is watched its session does not end for want of use; but it ends when the wallet said, and then one sentence
// says so, and what to do next.
func TestAWatchedRunKeepsItsSessionAliveUntilItsTime(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for some seconds")
	}
	w, err := auth.NewWallet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, life  string
		idle, takes time.Duration
		exit        int
		says        string
	}{
		{"longer than it may be idle", "1h", 1500 * time.Millisecond, 4 * time.Second, cli.ExitOK, "it took a while"},
		{"longer than it lives", "2s", time.Hour, 6 * time.Second, cli.ExitSignIn, "your session has reached the end that the wallet signed while the run was watched; sign in again (writ login) and see what came of it: writ runs show bafy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testServerWith(t, func(p *node.Config) {
				p.Idle = c.idle
				for i := range p.Models {
					p.Models[i].Model = slow{c.takes}
				}
			})
			a, out, progress := testApp(t, map[string]string{"WALLET": w.Secret()})
			if exit := a.main(t.Context(), []string{"login", "--server", server, "--key", "env:WALLET", "--yes", "--life", c.life}); exit != cli.ExitOK {
				t.Fatalf("sign in: %d %s", exit, progress)
			}
			exit := a.main(t.Context(), []string{"run", "--server", server, "take your time"})
			if exit != c.exit || !strings.Contains(out.String()+progress.String(), c.says) {
				t.Errorf("got exit code %d and %s%s; want %d and %q", exit, out, progress, c.exit, c.says)
			}
		})
	}
}

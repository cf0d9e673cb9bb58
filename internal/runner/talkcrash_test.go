package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// The same of a talk: its model's window is so small that it is summed up on the way, its agent asks its user something,
// who steers it before the answer, and forks it when it has ended. Killed at any write, both come to the same roots.
func TestKillAtEveryWriteOfATalk(t *testing.T) {
	killAtEveryWrite(t, "talker")
}

// talkTurns is how many calls a rambler makes, and askAt where it asks its user.
const (
	talkTurns = 7
	askAt     = 4
)

// A rambler reads something long with each turn, asks its user on the way, and knows from the newest result how far it
// is: it is another process that goes on.
type rambler struct{}

func (rambler) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if strings.HasPrefix(p.System, "Below is the older part") {
		return text("They read a lot."), nil
	}
	n := 0
	for _, m := range p.Messages {
		if m.Role == model.RoleUser && m.Text == "be done" {
			return text("It is done."), nil
		}
		var out struct{ Said, Answer string }
		if m.Role != model.RoleTool || json.Unmarshal([]byte(m.Text), &out) != nil {
			continue
		}
		if out.Answer != "" {
			n = askAt
		} else if _, err := fmt.Sscanf(out.Said, "part %d", &n); err != nil {
			return model.Reply{}, err
		}
	}
	switch n++; {
	case n == askAt:
		return calls(call("q", tools.UserAsk, `{"question":"Go on?"}`)), nil
	case n > talkTurns:
		return text("That is all."), nil
	}
	args, err := json.Marshal(map[string]string{"text": words(fmt.Sprintf("part %d", n), 900)})
	return calls(call(fmt.Sprint(n), "echo.say", string(args))), err
}

// ramble makes the agent of a config one that talks, with a model that sums up.
func ramble(c *runner.Config) {
	c.Agents[0].Tools, c.Tools = []string{"echo.say", tools.UserAsk}, []tools.Tool{echoTool{}, tools.AskUser()}
	c.Agents[0].Limits = agentfile.Limits{Turns: 60, Calls: 60, Tokens: 1e7, Cost: 1 << 40, Wall: time.Hour}
	c.Agents[0].Grant.MaxTokens = 1e7
	c.Models[0].Info.Kind, c.Models[0].Info.Window, c.Models[0].Model = model.KindModel, 10_000, rambler{}
}

// driveTalk asks, steers, and answers, each time that nobody is at work. All of it is signed in the same order by each
// process, and can be brought again.
func (c *client) driveTalk(ctx context.Context) error {
	req, err := c.user.request("read it to me", "sweep-0001")
	if err != nil {
		return err
	}
	info, err := c.r.Start(ctx, req)
	if err != nil {
		return err
	}
	run := info.ID
	question := &provenance.Ref{}
	var said []runner.SendRequest
	for {
		if info, err = c.r.Run(ctx, run); err != nil {
			return err
		}
		switch {
		case info.Status != "running" && info.Status != "parked":
			return c.forkTalk(ctx, info)
		case info.Status == "parked" && c.r.IsAtRest():
			if len(said) == 0 {
				if question, err = c.question(ctx, run); err != nil {
					return err
				}
				for i, of := range []*provenance.Ref{nil, question} {
					q, err := c.user.saying(run, fmt.Sprint("go on, said ", i), fmt.Sprint("sweep-send-", i), of)
					if err != nil {
						return err
					}
					said = append(said, q)
				}
			}
			for _, q := range said {
				if _, err := c.r.Send(ctx, q); err != nil {
					return err
				}
				for !c.r.IsAtRest() && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forkTalk has a run go on from a step of one that has ended, and waits until it has ended, too.
func (c *client) forkTalk(ctx context.Context, of journal.RunInfo) error {
	views, err := c.r.Steps(ctx, of.ID, of.Steps-2, 1)
	if err != nil {
		return err
	}
	// Whatever this process has signed and drawn before.
	c.user.seq = 3
	c.config.Rand.(*counter).n.Store(1000)
	q, err := c.user.fork(views[0].CID, "be done", "sweep-fork-1")
	if err != nil {
		return err
	}
	info, err := c.r.Start(ctx, q)
	for err == nil && (info.Status == "running" || !c.r.IsAtRest()) {
		time.Sleep(time.Millisecond)
		if info, err = c.r.Run(ctx, info.ID); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// question finds the question that a run has asked.
func (c *client) question(ctx context.Context, run provenance.Link) (*provenance.Ref, error) {
	views, err := c.r.Steps(ctx, run, 0, 256)
	for _, v := range views {
		for i, e := range v.Step.Does {
			if x, is := e.(*provenance.Call); is && x.Phase == provenance.PhaseAsk {
				return &provenance.Ref{Seq: v.Step.Seq, Index: uint64(i)}, nil
			}
		}
	}
	return nil, fmt.Errorf("the run is parked and asks nothing: %w", err)
}

// saying makes the signed request of what the user says into a run.
func (u *user) saying(run provenance.Link, text, key string, of *provenance.Ref) (q runner.SendRequest, err error) {
	params, err := json.Marshal(wire.SendParams{Run: run.String(), Text: text, Key: key, Of: (*wire.Ref)(of)})
	if err != nil {
		return q, err
	}
	u.seq++
	f := auth.Frame{Session: u.session.ID, Channel: [32]byte{1}, Seq: u.seq, Method: wire.RunSend, Params: params}
	sig, err := u.key.SignFrame(f)
	return runner.SendRequest{Session: u.session, Frame: f, Sig: sig, Run: run, Key: key, Of: of}, err
}

// checkTalked says whether a directory's run did all that its sweep is about.
func checkTalked(t *testing.T, dir string) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db"))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	runs, err := db.Runs(t.Context(), [20]byte{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	sums, sent, forks := 0, 0, 0
	for _, run := range runs {
		blocks, err := db.Steps(t.Context(), run.ID, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			var step provenance.Step
			if err := provenance.Decode(b.Data, &step); err != nil {
				t.Fatal(err)
			}
			if ask, is := step.Event.(*provenance.Ask); is && ask.Method == wire.RunSend {
				sent++
			} else if is && ask.Method == wire.RunFork {
				forks++
			}
			for _, e := range step.Does {
				if x, is := e.(*provenance.AskModel); is && x.Fold != nil && x.Fold.How == provenance.FoldSum {
					sums++
				}
			}
		}
	}
	if sums == 0 || sent != 2 || forks != 1 {
		t.Fatalf("%d summaries, %d times something was sent, %d forks; want some, 2 and 1", sums, sent, forks)
	}
}

func isTalk() bool { return os.Getenv("WRIT_CRASH_CALLER") == "talker" }

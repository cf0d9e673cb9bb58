package runner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A shyLog takes each head in when the test lets it.
type shyLog struct {
	asked chan provenance.Link
	let   chan struct{}
}

func (shyLog) Added() {}

func (l shyLog) Wait(ctx context.Context, entry provenance.Link) error {
	select {
	case l.asked <- entry:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-l.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An oncePost is a postTool whose posts cannot be taken back.
type oncePost struct{ postTool }

func (p oncePost) Spec() tools.Spec {
	s := p.postTool.Spec()
	s.Class = tools.Once
	return s
}

// P2: a model is asked, and what cannot be taken back is done, only when the log has the head that says so.
func TestWhatCannotBeTakenBackWaitsForTheLog(t *testing.T) {
	sent, asked := new(atomic.Int64), new(atomic.Int64)
	log := shyLog{make(chan provenance.Link), make(chan struct{})}
	said := replies{calls(call("1", "mail.send", `{"text":"hello"}`)), text("sent")}
	b := openWith(t, tallied{said, asked}, func(c *runner.Config) {
		c.HeadLog = log
		withTools(c, []string{c.Agents[0].Name}, oncePost{postTool{sent}})
	})
	run := b.start("tell them")
	// A wait that takes too long ends and is begun again, so what is awaited may be asked for more than once.
	heads := []provenance.Link{}
	for _, want := range []struct{ asked, sent int64 }{{0, 0}, {1, 0}, {1, 1}} {
		var head provenance.Link
		select {
		case head = <-log.asked:
		case <-time.After(time.Minute):
			t.Fatalf("the log was not asked for head %d: %d model calls and %d posts", len(heads), asked.Load(), sent.Load())
		}
		if asked.Load() != want.asked || sent.Load() != want.sent {
			t.Errorf("before the log had head %d: %d model calls and %d posts, want %+v",
				len(heads), asked.Load(), sent.Load(), want)
		}
		heads = append(heads, head)
		log.let <- struct{}{}
	}
	b.ended(run)
	if asked.Load() != 2 || sent.Load() != 1 {
		t.Errorf("%d model calls and %d posts in all", asked.Load(), sent.Load())
	}
	for i, want := range []uint64{0, 1} {
		data, err := b.store.Block(t.Context(), heads[i])
		if err != nil {
			t.Fatal(err)
		}
		var h provenance.Head
		if err := provenance.Decode(data, &h); err != nil || h.Run != run || h.Seq != want {
			t.Errorf("head %d is of step %d of %s, %v; want step %d", i, h.Seq, h.Run, err, want)
		}
	}
}

// A tallied model counts how often it is asked.
type tallied struct {
	runner.Model
	asked *atomic.Int64
}

func (m tallied) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	m.asked.Add(1)
	return m.Model.Reply(ctx, p)
}

package runner_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // opens the file beside the store

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A stuck model gives its first reply and then none, and says when it was asked for the second.
type stuckModel struct {
	first model.Reply
	asked chan struct{}
	once  *sync.Once
}

func (m stuckModel) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	if len(p.Messages) <= 1 {
		return m.first, nil
	}
	m.once.Do(func() { close(m.asked) })
	<-ctx.Done()
	return model.Reply{}, ctx.Err()
}

// A run whose damaged end was cut off does not do again what the lost steps say was done: it ends, and its record holds.
func TestARunThatWasCutEndsAndRepeatsNothing(t *testing.T) {
	for _, class := range []tools.Class{tools.Once, tools.Read} {
		t.Run(string(class), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "writ.db")
			m := stuckModel{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), make(chan struct{}), new(sync.Once)}
			if class == tools.Read {
				m.first = calls(call("1", "echo.say", `{"text":"hi"}`))
			}
			var db *store.DB
			reopen := func() {
				var err error
				if db, err = store.Open(t.Context(), store.Config{DSN: store.SQLite(path)}); err != nil {
					t.Fatal(err)
				}
			}
			reopen()
			b := openWith(t, m, func(c *runner.Config) {
				c.Store = db
				c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
				c.Tools[0] = &payTool{class: tools.Once, n: c.Tools[0].(*payTool).n}
			})
			run := b.start("pay bob")
			<-m.asked // ask, the model's call, its result
			b.r.Close()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			raw, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := raw.Exec("UPDATE blocks SET data = substr(data, 1, 9) WHERE cid = (SELECT last FROM runs)"); err != nil {
				t.Fatal(err)
			}
			if err := raw.Close(); err != nil {
				t.Fatal(err)
			}
			reopen()
			defer db.Close()
			r, err := db.Recover(t.Context())
			if err != nil || len(r.Cuts) != 1 || r.Cuts[0].Steps != 2 || r.Cuts[0].Lost != 1 {
				t.Fatalf("got %+v, %v; want the last of three steps cut", r, err)
			}
			b.store, b.config.Store = db, db
			b.restart()
			info := b.wait(run, func(s string) bool { return s != "running" && s != "parked" && s != journal.StatusCut })
			if info.Status != provenance.CloseCancelled {
				t.Errorf("the run ended as %q", info.Status)
			}
			if n, want := b.paid.Load(), map[tools.Class]int64{tools.Once: 1}[class]; n != want {
				t.Errorf("paid %d times, want %d", n, want)
			}
			b.verified(run)
		})
	}
}

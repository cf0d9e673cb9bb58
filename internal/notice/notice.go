// Package notice tells people elsewhere that a run waits for their wallet: each [Target] is an address to which a
// [Teller] posts one small JSON object for each thing that waits, with a link to the page where it is approved.
//
// What waits is not queued here: it is read from the runs, again and again, so nothing is lost by a restart, and what
// was answered meanwhile is told to nobody. What has been told, and what was given up, is in one file. A delivery is
// signed as Standard Webhooks say (webhook-id, webhook-timestamp, webhook-signature), tried again with growing pauses,
// and given up after a day, or at once if the receiver says that it will never take it. An object names run, agent and
// wallet, and nothing that only the wallet may read.
package notice

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/reach"
)

// Formats of what is posted.
const (
	JSON  = "json"
	Slack = "slack"
)

// A Target is where notices go.
type Target struct {
	Name   string // in logs and in the file
	URL    string // a secret, as those of some services are
	Secret []byte // signs each delivery; required for JSON
	Format string // JSON or Slack
	Gate   reach.Gate
}

// A Wait is one thing that waits for a wallet.
type Wait struct {
	Run    string // its CID
	Effect string // which of the run's, "seq.index"
	Agent  string
	Wallet string
	Until  time.Time // when it is over
}

// id names a Wait, the same at each try and after a restart.
func (w Wait) id() string {
	sum := sha256.Sum256([]byte(w.Run + "/" + w.Effect))
	return "approval_" + hex.EncodeToString(sum[:16])
}

// A Config says what a [Teller] is made of.
type Config struct {
	Targets []Target
	// Waiting lists what waits now. Required.
	Waiting func(context.Context) ([]Wait, error)
	Page    string // the address of the page where approvals are given
	File    string // remembers what was told. Required
	Log     *slog.Logger

	Look   time.Duration // between two looks at what waits; 3 s if 0
	First  time.Duration // the first pause before another try, which doubles up to an hour; 5 s if 0
	GiveUp time.Duration // how long a delivery is tried; a day if 0
	Now    func() time.Time
}

// maxWaits bounds what is told of at a time; what is beyond waits until some of it is answered.
const maxWaits = 1000

// A Teller posts notices.
type Teller struct {
	cfg  Config
	log  *slog.Logger
	book *book
}

// New returns a Teller, or an error that names the setting that is wrong.
func New(c Config) (*Teller, error) {
	for i := range c.Targets {
		if err := c.Targets[i].check(); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", c.Targets[i].Name, err)
		}
	}
	if c.Waiting == nil || c.File == "" {
		return nil, errors.New("notices need to know what waits, and a file")
	}
	c.Look, c.First = cmp.Or(c.Look, 3*time.Second), cmp.Or(c.First, 5*time.Second)
	c.GiveUp = cmp.Or(c.GiveUp, 24*time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b, err := openBook(c.File)
	if err != nil {
		return nil, err
	}
	return &Teller{cfg: c, log: c.Log, book: b}, nil
}

// tryTime bounds one try.
const tryTime = 10 * time.Second

// Run tells until ctx ends, and returns when the tries that are under way then have ended.
func (t *Teller) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	feeds := make([]chan []Wait, len(t.cfg.Targets))
	for i, target := range t.cfg.Targets {
		feeds[i] = make(chan []Wait, 1)
		wg.Go(func() { t.serveTarget(ctx, target, feeds[i]) })
	}
	for {
		waits, err := t.cfg.Waiting(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			t.log.WarnContext(ctx, "what waits for wallets is not known; it is asked again", "err", err)
		case err == nil:
			if len(waits) > maxWaits {
				t.log.WarnContext(ctx, "more waits for wallets than is told of", "waits", len(waits), "told", maxWaits)
				waits = waits[:maxWaits]
			}
			t.book.forgetOver(t.cfg.Now())
			for _, feed := range feeds {
				select { // a target that is busy gets the newest list when it is not
				case <-feed:
				default:
				}
				feed <- waits
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(t.cfg.Look):
		}
	}
}

// serveTarget posts to one target what it was not told yet. A target that is slow or away keeps no other waiting.
func (t *Teller) serveTarget(ctx context.Context, target Target, feed <-chan []Wait) {
	client := &http.Client{
		Transport: target.Gate.Transport(), Timeout: tryTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case waits := <-feed:
			for _, w := range waits {
				if ctx.Err() == nil && t.book.isDue(target.Name, w, t.cfg.Now()) {
					// A try that has begun is seen through, so that a stop makes nobody hear it twice.
					t.deliver(context.WithoutCancel(ctx), client, target, w)
				}
			}
		}
	}
}

// deliver makes one try, and notes what came of it.
func (t *Teller) deliver(ctx context.Context, client *http.Client, target Target, w Wait) {
	never, err := target.post(ctx, client, w, t.cfg.Page, t.cfg.Now())
	dead, noted := t.book.note(target.Name, w, t.cfg.Now(), try{
		err: err, never: never, first: t.cfg.First, giveUp: t.cfg.GiveUp,
	})
	switch {
	case dead:
		t.log.ErrorContext(ctx, "notice given up; writ webhooks lists it", "webhook", target.Name, "run", w.Run, "err", err)
	case err != nil:
		t.log.WarnContext(ctx, "notice not delivered; it is tried again", "webhook", target.Name, "run", w.Run, "err", err)
	}
	if noted != nil {
		t.log.ErrorContext(ctx, "what was told is not remembered", "err", noted)
	}
}

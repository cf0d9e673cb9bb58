package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/runner"
)

// A reload that reads its files while another one does could put older sets in the place of newer ones.
func TestReloadsFollowOneAnother(t *testing.T) {
	unread := errors.New("unread")
	var reading, read, together atomic.Int32
	n := &Node{reread: func() (runner.Rules, error) {
		if reading.Add(1) > 1 {
			together.Add(1)
		}
		for range 100 {
			runtime.Gosched()
		}
		reading.Add(-1)
		read.Add(1)
		return runner.Rules{}, unread
	}}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := n.Reload(t.Context(), false); !errors.Is(err, unread) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if read.Load() != 20 || together.Load() != 0 {
		t.Errorf("%d reloads, %d of them while another one was reading", read.Load(), together.Load())
	}
}

// Who asked leaves while the server still reads: the reload is brought to its end all the same.
func TestAReloadOutlivesWhoAsked(t *testing.T) {
	reads, gone := make(chan struct{}), make(chan struct{})
	var data string
	var first sync.Once
	_, server := runNode(t, func(c *Config) {
		data = c.Data
		rules := c.Rules
		rules.Operator.Source = append(bytes.Clone(rules.Operator.Source), "# changed\n"...)
		c.Reread = func() (runner.Rules, error) {
			first.Do(func() {
				close(reads)
				<-gone
			})
			return rules, nil
		}
	})
	key, err := datadir.OperatorKey(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := OrderReload(ctx, http.DefaultClient, server, key, true)
		left <- err
	}()
	<-reads
	leave()
	if err := <-left; err == nil {
		t.Fatal("an answer though nobody waited")
	}
	// The server's connection learns in its own time that the other end is closed.
	time.AfterFunc(200*time.Millisecond, func() { close(gone) })
	time.Sleep(2 * time.Millisecond) // orders are told apart by the millisecond
	again, err := OrderReload(t.Context(), http.DefaultClient, server, key, false)
	if err != nil || again.Changed {
		t.Errorf("the reload after it: %+v, %v; want nothing changed, since the first came to its end", again, err)
	}
}

// An order is taken once, and none that is older than the last.
func TestAnOrderIsTakenOnce(t *testing.T) {
	seed := sha256.Sum256([]byte("operator"))
	n := &Node{key: ed25519.NewKeyFromSeed(seed[:])}
	now := time.Now().UnixMilli()
	n.ordered.Store(now - 10)
	for _, tt := range []struct {
		issued int64
		taken  bool
	}{{now - 11, false}, {now - 10, false}, {now, true}, {now, false}, {now - 1, false}, {now + 1, true}} {
		order := fmt.Sprintf(`{"operator":%q,"issued":%d}`, n.OperatorKey(), tt.issued)
		body, err := json.Marshal(signedOrder{order, hex.EncodeToString(ed25519.Sign(n.key, []byte(reloadOrder.context+order)))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.readOrder(bytes.NewReader(body), reloadOrder); (err == nil) != tt.taken {
			t.Errorf("issued %+d: %v, want it taken: %t", tt.issued-now, err, tt.taken)
		}
	}
}

// An error may come after the new sets are in place. The command says which hold.
func TestAReloadThatFailsSaysWhichSetsHold(t *testing.T) {
	seed := sha256.Sum256([]byte("operator"))
	for answer, want := range map[string]string{
		`{"kind":"settings","code":"policy","message":"no such rule."}`:                           "no such rule; the server goes on with the old policy sets",
		`{"kind":"internal","code":"internal","message":"disk on fire","swapped":true,"ended":2}`: "disk on fire; the new policy sets are in place, and 2 sessions of earlier ones ended; ask again",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			io.WriteString(w, answer)
		}))
		_, err := OrderReload(t.Context(), http.DefaultClient, s.URL, ed25519.NewKeyFromSeed(seed[:]), true)
		s.Close()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

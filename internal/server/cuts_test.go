package server

import (
	"flag"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

var cuts = flag.Int("cuts", 24, "how many sockets TestRandomCuts cuts")

// A cutter stands between clients and a server, and cuts each connection after a random number of bytes, in the middle
// of frames and of handshakes too, as long as there are cuts left.
type cutter struct {
	ln   net.Listener
	to   string
	left atomic.Int64
	done atomic.Int64
}

func (c *cutter) serve(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		down, err := c.ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer down.Close()
			up, err := net.Dial("tcp", c.to)
			if err != nil {
				t.Error(err)
				return
			}
			defer up.Close()
			wg.Go(func() { io.Copy(up, down); up.Close() })
			if c.left.Add(-1) < 0 {
				io.Copy(down, up)
				return
			}
			n := 1000 + mrand.Int64N(9000) // a handshake and a session take about 2,000
			if _, err := io.CopyN(down, up, n); err != nil {
				return // the client's own end
			}
			if c.done.Add(1)%2 == 0 { // half of them without a goodbye
				_ = down.(*net.TCPConn).SetLinger(0)
			}
		})
	}
}

// Runs that stream while their sockets are cut at random places lose no event, see none twice and none out of order.
// make cuts does a thousand; docs/serving.md says what it found.
func TestRandomCuts(t *testing.T) {
	f := serve(t, Limits{Burst: 1e6, Rate: 1e6, PerAddress: 1000, PerNetwork: 1000, PerWallet: 1000}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{ln: ln, to: f.ln.Addr().String()}
	served := make(chan struct{})
	go func() { defer close(served); c.serve(t) }()
	c.left.Store(int64(*cuts))
	const clients = 8
	var events atomic.Int64
	t.Run("clients", func(t *testing.T) {
		for i := range clients {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				events.Add(followThroughCuts(t, f, c, i))
			})
		}
	})
	ln.Close()
	f.stop()
	<-served
	if c.done.Load() < int64(*cuts)/2 {
		t.Errorf("%d cuts of %d happened", c.done.Load(), *cuts)
	}
	t.Logf("%d cuts, %d events, none lost, doubled or out of order", c.done.Load(), events.Load())
}

// followThroughCuts streams one run to its end and returns how many events it had.
func followThroughCuts(t *testing.T, f *fixture, c *cutter, i int) int64 {
	cl := signedIn(t, "ws://"+c.ln.Addr().String()+"/ws")
	started, err := cl.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "hi", Key: fmt.Sprintf("key-%05d", i)})
	if err != nil {
		t.Fatal(err)
	}
	run, err := cid.Decode(started.Run)
	if err != nil {
		t.Fatal(err)
	}
	// The run goes on as its client hears of it, a few steps ahead, until all cuts are used up.
	heard, stop := make(chan struct{}, 4), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case heard <- struct{}{}:
			case <-stop:
				return
			}
			step := &provenance.Step{Event: &provenance.Lapse{Why: fmt.Sprintf("%d %s", n, strings.Repeat("x", int(n%400)))}}
			last := c.left.Load() <= 0 && n > 20
			if last {
				step.Does = []provenance.Effect{&provenance.Close{Reason: "answered"}}
			}
			if f.append(run, step); last {
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	want := uint64(0)
	for u, err := range cl.Events(t.Context(), started.Run, nil) {
		switch {
		case err != nil:
			t.Fatalf("event %d: %v", want, err)
		case u.Event == nil:
			continue
		case u.Event.Seq != want || want > 0 && !strings.HasPrefix(u.Event.Event.Why, fmt.Sprintf("%d ", want)):
			t.Fatalf("got event %d %.20q, want %d", u.Event.Seq, u.Event.Event.Why, want)
		}
		if want++; want > 1 {
			<-heard
		}
	}
	return int64(want)
}

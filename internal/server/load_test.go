package server

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

var (
	load     = flag.Int("load", 0, "how many connections TestLoad opens; 0 leaves it out")
	loadAt   = flag.String("loadat", "", "for TestLoad's own clients: the server's address")
	loadRuns = flag.String("loadruns", "", "for TestLoad's own clients: the runs that they follow")
)

// Shape of the load: of all connections these are signed in and follow runs, the slow ones as slowly as they are let.
const (
	loadStreaming = 500
	loadSlow      = 100
	loadOfRuns    = 50
	loadSteps     = 200 // of each run
	loadEvery     = 50 * time.Millisecond
)

// A loadReport is what the clients found.
type loadReport struct {
	Events, Lost, Slow, SlowLost int64
	P50, P99                     time.Duration // from the commit of a step to its event at a client that keeps up
}

// TestLoad opens connections from another process, streams to some of them while others read slowly, and reports what a
// connection costs and what arrives. make load runs it: it is not for a machine that does something else.
func TestLoad(t *testing.T) {
	if *load == 0 {
		t.Skip("make load runs it")
	}
	many := *load * 2
	f := serve(t, Limits{
		Burst: 1e6, Rate: 1e6, PerAddress: many, PerNetwork: many, PerWallet: many, First: time.Hour, SignIn: time.Hour,
		Stall: 10 * time.Minute,
	}, nil)
	cl := signedIn(t, f.url())
	var runs []provenance.Link
	var names []string
	for i := range loadOfRuns {
		s, err := cl.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "hi", Key: fmt.Sprintf("key-%05d", i)})
		if err != nil {
			t.Fatal(err)
		}
		runs, names = append(runs, cid.MustParse(s.Run)), append(names, s.Run)
	}
	before := memoryInUse()
	clients := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestLoadClients$", "-test.timeout", "20m",
		"-load", strconv.Itoa(*load), "-loadat", f.url(), "-loadruns", strings.Join(names, ","))
	clients.Stderr = os.Stderr
	out, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(out)
	var ready string
	if err := lines.Decode(&ready); err != nil { // all are connected
		t.Fatal(err)
	}
	t.Logf("%d connections: %d bytes of memory each", *load, (memoryInUse()-before)/int64(*load))
	began := time.Now()
	var wg sync.WaitGroup
	for _, run := range runs {
		wg.Go(func() {
			tick := time.NewTicker(loadEvery)
			defer tick.Stop()
			for n := range loadSteps {
				<-tick.C
				step := &provenance.Step{Event: &provenance.Lapse{Why: strconv.FormatInt(time.Now().UnixNano(), 10)}}
				if n == loadSteps-1 {
					step.Does = []provenance.Effect{&provenance.Close{Reason: "answered"}}
				}
				f.append(run, step)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	var got loadReport
	if err := lines.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if err := clients.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events to %d streams in %s, %.0f a second; p50 %s, p99 %s; to %d slow readers %d events; lost %d and %d",
		got.Events, loadStreaming, took.Round(time.Millisecond), float64(got.Events)/took.Seconds(), got.P50, got.P99,
		loadSlow, got.Slow, got.Lost, got.SlowLost)
	if got.Lost+got.SlowLost > 0 {
		t.Error("events were lost")
	}
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestLoadClients is the other process of TestLoad.
func TestLoadClients(t *testing.T) {
	if *loadAt == "" {
		t.Skip("TestLoad runs it")
	}
	runs := strings.Split(*loadRuns, ",")
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
	for range *load - loadStreaming - loadSlow {
		ws, _, err := dialer.Dial(*loadAt, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if _, _, err := ws.ReadMessage(); err != nil { // hello
			t.Fatal(err)
		}
	}
	var report loadReport
	var mu sync.Mutex // guards took
	var took []time.Duration
	var wg, ready sync.WaitGroup
	ready.Add(loadStreaming + loadSlow)
	for i := range loadStreaming + loadSlow {
		cl := signedIn(t, *loadAt)
		slow := i >= loadStreaming
		wg.Go(func() {
			var own []time.Duration
			seen := uint64(0)
			for u, err := range cl.Events(t.Context(), runs[i%len(runs)], nil) {
				if err != nil {
					t.Errorf("event %d: %v", seen, err)
					break
				}
				if u.Event == nil {
					continue
				}
				if u.Event.Seq != seen {
					atomic.AddInt64(&report.Lost, 1)
				}
				if seen++; seen == 1 {
					ready.Done()
				}
				if at, err := strconv.ParseInt(u.Event.Event.Why, 10, 64); err == nil && !slow {
					own = append(own, time.Since(time.Unix(0, at)))
				}
				if slow {
					time.Sleep(2 * loadEvery) // half as fast as they come
				}
			}
			if slow {
				atomic.AddInt64(&report.Slow, int64(seen))
				atomic.AddInt64(&report.SlowLost, loadSteps+1-int64(seen))
				return
			}
			atomic.AddInt64(&report.Events, int64(seen))
			atomic.AddInt64(&report.Lost, loadSteps+1-int64(seen))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	ready.Wait()
	fmt.Println(`"ready"`)
	wg.Wait()
	slices.Sort(took)
	report.P50, report.P99 = took[len(took)/2], took[len(took)*99/100]
	out, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(out))
}

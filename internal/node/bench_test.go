package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/door"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/runner"
)

// startProvider is a provider that answers at once, streamed or whole.
func startProvider(b *testing.B) string {
	b.Helper()
	const usage = `"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}`
	streamed := "data: " + `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"it is"},"finish_reason":null}]}` +
		"\n\ndata: " + `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" noon"},"finish_reason":"stop"}]}` +
		"\n\ndata: " + `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],` + usage + `}` + "\n\ndata: [DONE]\n\n"
	whole := `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"it is noon"},"finish_reason":"stop"}],` + usage + `}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its client has gone
		}
		if bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, streamed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, whole)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

// startProxy is the floor: what a Go program does at least that stands between a client and a provider.
func startProxy(b *testing.B, provider string) string {
	b.Helper()
	to, err := url.Parse(provider)
	if err != nil {
		b.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	b.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport,
	})
	b.Cleanup(proxy.Close)
	return proxy.URL
}

// An asker asks one server the same thing again and again.
type asker struct {
	url  string
	keys []string // of sessions of different wallets
	http *http.Client
}

func newAsker(b *testing.B, url string, keys ...string) *asker {
	transport := &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512}
	b.Cleanup(transport.CloseIdleConnections)
	return &asker{url, keys, &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// ask asks once, and returns how long the answer took.
func (a *asker) ask(ctx context.Context, n int) (time.Duration, error) {
	const body = `{"model":"reader","messages":[{"role":"user","content":"what time is it"}]}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/v1/chat/completions", bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	if len(a.keys) > 0 {
		r.Header.Set("Authorization", "Bearer "+a.keys[n%len(a.keys)])
	}
	began := time.Now()
	resp, err := a.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("it is noon"))) {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return took, err
}

// startDoor is a whole server on the folder, whose reader asks the provider, with an API key of each of n wallets.
func startDoor(b *testing.B, folder, provider string, n int) *asker {
	b.Helper()
	m, err := openai.New(openai.Config{Config: endpoint.Config{
		BaseURL: provider + "/v1", Model: "m", Name: "model", Price: endpoint.Price{In: 1_000_000, Out: 1_000_000},
	}})
	if err != nil {
		b.Fatal(err)
	}
	_, at := runNode(b, func(c *Config) {
		c.Data = folder
		c.Models = append([]runner.NamedModel{{Info: m.Info(), Model: m, Endpoint: m.Host()}}, c.Models...)
		c.Limits.Rate, c.Limits.Burst, c.Limits.Requests, c.Limits.Open = 1e6, 1e6, 4096, 4096
		for i := range c.Agents {
			g := &c.Agents[i].Grant
			g.MaxCalls, g.MaxTokens, g.MaxCostNanoUSD = 1e5, 1e9, 1e12
		}
	})
	var keys []string
	for range n {
		keys = append(keys, newDoorKey(b, at))
	}
	return newAsker(b, at, keys...)
}

// newDoorKey makes an API key of a new wallet, as writ key new does.
func newDoorKey(b *testing.B, at string) string {
	b.Helper()
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	secret, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	cl, err := client.Dial(b.Context(), at)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	s, err := cl.SignIn(b.Context(), wire.ChallengeParams{
		Account: wallet.Address().Hex(), Chain: devchain.ID, Agent: "reader",
	}, secret, wallet.SignText)
	if err != nil {
		b.Fatal(err)
	}
	text, err := door.Key{Session: cid.MustParse(s.ID), Secret: secret}.Text()
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// memoryFolder is a folder on a file system in memory, where an fsync costs nothing.
func memoryFolder(b *testing.B) string {
	b.Helper()
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		b.Skipf("%s has no file system in memory at %s, so fsyncs cannot be told from the rest", runtime.GOOS, shm)
	}
	dir, err := os.MkdirTemp(shm, "writ-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func median(list []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkDoor asks one question after the other, in turns through a bare reverse proxy, through a server whose folder
// is in memory, and through one whose folder is on the disk. What the second takes longer than the first is the front
// door's own (ms-rest); what the third takes longer than the second are its fsyncs: one for the request, one of the log,
// which notes the request before the model is asked, and one for the answer. Nobody waits for those of the log's tree.
func BenchmarkDoor(b *testing.B) {
	provider := startProvider(b)
	proxy := newAsker(b, startProxy(b, provider))
	inMemory := startDoor(b, memoryFolder(b), provider, 1)
	onDisk := startDoor(b, b.TempDir(), provider, 1)
	var took [3][]time.Duration
	round := func() {
		for i := range took {
			d, err := []*asker{proxy, inMemory, onDisk}[i].ask(b.Context(), 0)
			if err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], d)
		}
	}
	for range 3 { // connections are made
		round()
	}
	took = [3][]time.Duration{}
	for b.Loop() {
		round()
	}
	bare, rest, whole := median(took[0]), median(took[1]), median(took[2])
	b.ReportMetric(inMS(bare), "ms-proxy")
	b.ReportMetric(inMS(rest-bare), "ms-rest")
	b.ReportMetric(inMS(whole-bare), "ms-whole")
	b.ReportMetric(float64(rest)/float64(bare), "x-floor")
}

// BenchmarkDoorAt500 sends 500 requests in a second, evenly and whether or not those before were answered, to a bare
// reverse proxy and then to a server whose folder is on the disk. What is refused is counted, and is no answer.
func BenchmarkDoorAt500(b *testing.B) {
	const rate, wallets = 500, 16
	provider := startProvider(b)
	proxy := newAsker(b, startProxy(b, provider))
	onDisk := startDoor(b, b.TempDir(), provider, wallets)
	for i := range wallets {
		if _, err := onDisk.ask(b.Context(), i); err != nil {
			b.Fatal(err)
		}
	}
	var bare, took []time.Duration
	refused := 0
	for b.Loop() {
		quick, _ := proxy.askEvenly(b.Context(), rate)
		slow, failed := onDisk.askEvenly(b.Context(), rate)
		bare, took, refused = append(bare, quick...), append(took, slow...), refused+failed
	}
	if len(took) == 0 || len(bare) == 0 {
		b.Fatal("nothing was answered")
	}
	slices.Sort(took)
	b.ReportMetric(inMS(median(took)), "ms-p50")
	b.ReportMetric(inMS(took[len(took)*99/100]), "ms-p99")
	b.ReportMetric(float64(refused)/float64(refused+len(took)), "refused")
	b.ReportMetric(float64(median(took))/float64(median(bare)), "x-floor")
}

// askEvenly asks n times within a second, and returns how long the answers took and how many there were not.
func (a *asker) askEvenly(ctx context.Context, n int) (took []time.Duration, failed int) {
	type answer struct {
		d   time.Duration
		err error
	}
	answers := make(chan answer, n)
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Second * time.Duration(i) / time.Duration(n))))
		go func() {
			d, err := a.ask(ctx, i)
			answers <- answer{d, err}
		}()
	}
	for range n {
		if a := <-answers; a.err != nil {
			failed++
		} else {
			took = append(took, a.d)
		}
	}
	return took, failed
}

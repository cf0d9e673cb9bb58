package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
)

// testConfig is a node on a chain that does not answer, which talk without payments does not need.
func testConfig(t testing.TB, domain string) Config {
	t.Helper()
	c := Config{
		Data: t.TempDir(), Scheme: "http", Domain: domain, Program: Program{"dev", "test"},
		Log: slog.New(slog.DiscardHandler), Drain: 50 * time.Millisecond,
		Chain: Chain{
			URLs: []string{"http://127.0.0.1:1"}, Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key,
		},
	}
	var err error
	if c.Agents, err = Agents(CommonAgents, 1337); err != nil {
		t.Fatal(err)
	}
	if c.Rules, err = Rules("default", nil); err != nil {
		t.Fatal(err)
	}
	if c.Models, err = Models(nil, nil); err != nil {
		t.Fatal(err)
	}
	c.Reread = func() (runner.Rules, error) { return Rules("default", nil) }
	return c
}

// startNode opens a node and runs it on a port of its own. stop ends Run and returns its error.
func startNode(t testing.TB, change func(*Config)) (n *Node, url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t, ln.Addr().String())
	change(&c)
	if n, err = Open(ctx, c); err != nil {
		t.Fatal(err)
	}
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- n.Run(ctx, ln, func() error { close(ready); return nil }) }()
	<-ready
	return n, "http://" + ln.Addr().String(), func() error {
		cancel()
		return <-done
	}
}

// runNode is startNode for a test that leaves the end to its cleanup.
func runNode(t testing.TB, change func(*Config)) (*Node, string) {
	t.Helper()
	n, url, stop := startNode(t, change)
	t.Cleanup(func() {
		if err := errors.Join(stop(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return n, url
}

// signIn opens a session of a new wallet.
func signIn(t *testing.T, url string) *client.Client {
	t.Helper()
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.Generate(auth.P256, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	_, err = cl.SignIn(t.Context(), wire.ChallengeParams{
		Account: wallet.Address().Hex(), Chain: devchain.ID, Agent: "treasurer",
	}, key, wallet.SignText)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// answers are a model that says one thing.
type answers string

func (a answers) Reply(context.Context, model.Prompt) (model.Reply, error) {
	return model.Reply{Stop: model.StopEnd, Text: string(a)}, nil
}

// refuses is a model whose account is used up.
type refuses struct{}

func (refuses) Reply(context.Context, model.Prompt) (model.Reply, error) {
	return model.Reply{}, &fault.Fault{Code: fault.ModelQuota}
}

// waits is a model that answers when its call is cancelled, and says when it was asked.
type waits chan struct{}

func (w waits) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	w <- struct{}{}
	<-ctx.Done()
	return model.Reply{}, ctx.Err()
}

func replaceModels(c *Config, m runner.Model) {
	for i := range c.Models {
		c.Models[i].Model = m
	}
}

func TestARequestOverASocketIsAnswered(t *testing.T) {
	_, url := runNode(t, func(c *Config) { replaceModels(c, answers("hello")) })
	if r, err := http.Get(url + "/readyz"); err != nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness without a chain: %v, %v", r, err)
	}
	cl := signIn(t, url)
	run, err := cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "say hello"})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for u, err := range cl.Events(t.Context(), run.Run, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Event == nil {
			continue
		}
		for _, e := range u.Event.Does {
			if e.Kind == "say" {
				said += e.Text
			}
		}
	}
	if said != "hello" {
		t.Errorf("it said %q", said)
	}
}

// The journal has what is not done, and the next node goes on from there.
func TestARunThatIsOpenAtTheEndGoesOnInTheNextNode(t *testing.T) {
	asked := make(waits, 1)
	var first Config
	n, url, stop := startNode(t, func(c *Config) {
		replaceModels(c, asked)
		first = *c
		first.Models = slices.Clone(c.Models)
	})
	run, err := signIn(t, url).Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "take your time"})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	for range 2 { // closing again says the same
		if err := errors.Join(stopOnce(&stop), n.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if left := goroutinesOfOurs(); left != "" {
		t.Errorf("goroutines outlive the node:\n%s", left)
	}
	again := make(waits, 1)
	runNode(t, func(c *Config) {
		domain := c.Domain
		*c = first
		c.Domain = domain
		replaceModels(c, again)
	})
	select {
	case <-again:
	case <-time.After(20 * time.Second):
		t.Errorf("run %s was not taken up", run.Run)
	}
}

func stopOnce(stop *func() error) error {
	err := (*stop)()
	*stop = func() error { return nil }
	return err
}

// goroutinesOfOurs returns the stacks of goroutines that run code of this repository and no test. What has been told to
// end has a moment to do so.
func goroutinesOfOurs() (left string) {
	for range 100 {
		buf := make([]byte, 4<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = ""
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "github.com/writ-run/writ/") && !strings.Contains(g, "testing.tRunner") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
		time.Sleep(20 * time.Millisecond) // the runtime alone knows when a goroutine is gone
	}
	return left
}

func TestAReloadPutsNewSetsInPlaceOrLeavesTheOld(t *testing.T) {
	source := func(add string) func() (runner.Rules, error) {
		return func() (runner.Rules, error) {
			r, err := Rules("default", nil)
			r.Operator.Source = append(bytes.Clone(r.Operator.Source), add...)
			return r, err
		}
	}
	n, url := runNode(t, func(*Config) {})
	signIn(t, url)
	same, err := n.Reload(t.Context(), false)
	if err != nil || same.Changed || same.Operator == "" {
		t.Fatalf("nothing new: %+v, %v", same, err)
	}
	n.reread = source("rules: {}\n") // a key twice
	if out, err := n.Reload(t.Context(), true); err == nil || out.Operator != "" || faultOf(err).Code != "policy" {
		t.Errorf("a source that cannot be read: %+v, %v", out, err)
	}
	n.reread = func() (runner.Rules, error) { panic("a setting of a new type") }
	if out, err := n.Reload(t.Context(), true); err == nil || out.Operator != "" || faultOf(err).Code != "internal" {
		t.Errorf("settings that make the program panic: %+v, %v", out, err)
	}
	n.reread = source("# a remark\n")
	out, err := n.Reload(t.Context(), false)
	if err != nil || !out.Changed || out.Operator == same.Operator || out.Earlier != 1 {
		t.Errorf("a new set: %+v, %v; want one session to go on under the old", out, err)
	}
	if out, err := n.Reload(t.Context(), true); err != nil || out.Changed || out.Ended != 1 || out.Earlier != 0 {
		t.Errorf("with the end of sessions: %+v, %v", out, err)
	}
	n.reread = func() (runner.Rules, error) {
		r, err := source("")()
		r.Dapps = []runner.Dapp{{Origin: "https://shop.example", Policy: r.Operator}}
		return r, err
	}
	if _, err := n.Reload(t.Context(), false); err == nil || !strings.Contains(err.Error(), "which are none; restart it") {
		t.Errorf("another origin: %v", err)
	}
}

func TestAPartThatDoesNotOpenClosesThoseBeforeIt(t *testing.T) {
	broken := errors.New("broken")
	for at := range 4 {
		var did []string
		var list []part
		for i, name := range []string{"a", "b", "c", "d"} {
			list = append(list, part{name, func(*Node, context.Context, *Config) (func() error, error) {
				if i == at {
					return nil, broken
				}
				did = append(did, "open "+name)
				if name == "b" { // it has nothing to close
					return nil, nil
				}
				return func() error { did = append(did, "close "+name); return nil }, nil
			}})
		}
		n, err := open(t.Context(), Config{}, list)
		if n != nil || !errors.Is(err, broken) {
			t.Fatalf("got %v, %v", n, err)
		}
		want := [][]string{
			nil,
			{"open a", "close a"},
			{"open a", "open b", "close a"},
			{"open a", "open b", "open c", "close c", "close a"},
		}[at]
		if !slices.Equal(did, want) {
			t.Errorf("part %d is broken: %v, want %v", at, did, want)
		}
	}
}

// Each part that can be wrong is, in turn; the folder is free again and nothing runs after it.
func TestABadConfigurationLeavesNothingOpen(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		change func(*Config)
		says   string
	}{
		{"the log's name", func(c *Config) { c.Heads.Origin = "two words" }, "origin"},
		{"the anchors' chain", func(c *Config) { c.Anchor.URLs = []string{"ftp://x"} }, "anchor: "},
		{"the chain", func(c *Config) { c.Chain.URLs = []string{"ftp://x"} }, "chain: endpoint 1"},
		{"the models", func(c *Config) { c.Models = nil }, "model"},
		{"the domain", func(c *Config) { c.Domain = "" }, "auth: "},
		{"Kubo's address", func(c *Config) { c.IPFS.API = "ftp://x" }, "ipfs.api: "},
		{"bitswap's address", func(c *Config) { c.IPFS.Listen = []string{"nowhere"} }, "nowhere"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			c := testConfig(t, "127.0.0.1:1")
			tt.change(&c)
			n, err := Open(t.Context(), c)
			if n != nil || err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, %v; want an error with %q", n, err, tt.says)
			}
			lock, err := datadir.Lock(c.Data)
			if err != nil {
				t.Fatalf("the folder is not free: %v", err)
			}
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
			if left := goroutinesOfOurs(); left != "" {
				t.Errorf("goroutines are left:\n%s", left)
			}
		})
	}
}

// What a part says when it closes is told, and keeps no other from closing.
func TestAnErrorOfClosingIsToldEachTime(t *testing.T) {
	var did []string
	list := []part{}
	for _, name := range []string{"a", "b"} {
		list = append(list, part{name, func(*Node, context.Context, *Config) (func() error, error) {
			return func() error { did = append(did, name); return errors.New(name + " is stuck") }, nil
		}})
	}
	n, err := open(t.Context(), Config{}, list)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Close(); err == nil || err.Error() != "close the b: b is stuck\nclose the a: a is stuck" {
			t.Errorf("got %v", err)
		}
	}
	if !slices.Equal(did, []string{"b", "a"}) {
		t.Errorf("closed %v", did)
	}
}

// The table of the package comment is the order of the code.
func TestTheOrderIsTheOneThatIsWrittenDown(t *testing.T) {
	src, err := os.ReadFile("node.go")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "node.go", src, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	var written, is []string
	for line := range strings.Lines((&ast.CommentGroup{List: f.Doc.List}).Text()) {
		if name, ok := strings.CutPrefix(line, "\t"); ok {
			written = append(written, strings.Fields(name)[0])
		}
	}
	for _, p := range parts {
		is = append(is, p.name)
	}
	if len(written) == 0 || !slices.Equal(written[1:], is) {
		t.Errorf("the package comment has %v, the code %v", written, is)
	}
}

// What a model does not do is counted by whose fault it is.
func TestFailuresAreCountedByOwner(t *testing.T) {
	_, url := runNode(t, func(c *Config) {
		c.Meters = prometheus.NewRegistry()
		replaceModels(c, refuses{})
	})
	cl := signIn(t, url)
	run, err := cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "say hello"})
	if err != nil {
		t.Fatal(err)
	}
	var end wire.Effect
	for u, err := range cl.Events(t.Context(), run.Run, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Event != nil && len(u.Event.Does) > 0 {
			end = u.Event.Does[len(u.Event.Does)-1]
		}
	}
	if end.Code != string(fault.ModelQuota) || end.Whose != string(fault.Quota) {
		t.Errorf("the run ends with %+v", end)
	}
	resp, err := http.Get(strings.TrimSuffix(url, "/ws") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `writ_failures_total{at="model",code="model.quota",whose="quota"} 1`; !strings.Contains(string(body), want) {
		t.Errorf("no %s in:\n%s", want, body)
	}
}

// What models cost, what users pay and what is left of it are figures, and a thin margin is one too. No wallet is.
func TestMoneyIsAmongTheFigures(t *testing.T) {
	settings := config.Default()
	settings.Revenue = config.Revenue{PerRun: "0.00001", Alerts: []string{"margin < 0.2", "margin < 0.9"}}
	_, url := runNode(t, func(c *Config) {
		c.Meters = prometheus.NewRegistry()
		for i := range c.Models {
			c.Models[i].Info.Kind, c.Models[i].Info.PriceOut = model.KindModel, 1_000_000_000
			c.Models[i].Model = tells{}
		}
		var err error
		if c.Earnings, err = EarningsOf(&settings); err != nil {
			t.Fatal(err)
		}
	})
	cl := signIn(t, url)
	run, err := cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "say hello"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range cl.Events(t.Context(), run.Run, nil) {
		if err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Get(strings.TrimSuffix(url, "/ws") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`writ_money_cost_usd{by="total",of="all"} 7e-06`, `writ_money_revenue_usd{by="total",of="all"} 1e-05`,
		`writ_money_margin_usd{by="total",of="all"} 3e-06`, `writ_money_saved_usd{by="route",of=`,
		`writ_money_alerts{by="wallet",rule="margin < 0.2"} 0`, `writ_money_alerts{by="wallet",rule="margin < 0.9"} 1`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in:\n%s", want, body)
		}
	}
	if strings.Contains(string(body), "0x") {
		t.Error("a wallet is among the figures")
	}
}

// tells is a model that says what it used.
type tells struct{}

func (tells) Reply(context.Context, model.Prompt) (model.Reply, error) {
	return model.Reply{Text: "hello", Usage: model.Usage{In: 5, Out: 7}}, nil
}

func TestFiguresHaveAnAddressOfTheirOwn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil { // the node takes it
		t.Fatal(err)
	}
	_, url := runNode(t, func(c *Config) { c.Metrics = addr })
	main := strings.Replace(strings.TrimSuffix(url, "/ws"), "ws://", "http://", 1) + "/metrics"
	for _, tt := range []struct {
		name, url, by string
		want          int
	}{
		{"at their own address, by a proxy too", "http://" + addr + "/metrics", "192.0.2.1", 200},
		{"at the server's, from this machine", main, "", 200},
		{"at the server's, by a proxy", main, "192.0.2.1", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.by != "" {
			req.Header.Set("X-Forwarded-For", tt.by)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, resp.StatusCode, tt.want)
		}
	}
}

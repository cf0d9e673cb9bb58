package crash

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/translog"
	"github.com/writ-run/writ/tools"
)

var trials = flag.Int("trials", 20, "how many kills, each with a torn write of what it left")

// perFolder is how many kills one data folder lives through before a fresh one takes its place.
const perFolder = 10

func TestMain(m *testing.M) {
	if dir := os.Getenv("WRIT_CRASH_CHILD"); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir)) // it ends by being killed
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// Figures of all trials.
type figures struct {
	sync.Mutex
	kills, steps, heads, runs    int // that were acknowledged
	torn, whole, refused, mended int
	why                          map[string]int
}

func TestCrash(t *testing.T) {
	n := *trials
	if testing.Short() {
		n = min(n, 5)
	}
	sum := figures{why: map[string]int{}}
	begun := time.Now()
	var wg sync.WaitGroup
	work := make(chan [2]int)
	for range 2 {
		wg.Go(func() {
			for w := range work {
				folder(t, w[0], w[1], &sum)
			}
		})
	}
	for i := 0; i < n && !t.Failed(); i += perFolder {
		work <- [2]int{i, min(perFolder, n-i)}
	}
	close(work)
	wg.Wait()
	took := time.Since(begun)
	t.Logf("%d kills: %d steps, %d logged heads, %d closed runs acknowledged and there; %d torn writes: %d whole, %d mended and said so, %d refused %v; %.1f s a hundred",
		sum.kills, sum.steps, sum.heads, sum.runs, sum.torn, sum.whole, sum.mended, sum.refused, sum.why, took.Seconds()/float64(max(sum.kills, 1))*100)
	if !t.Failed() && (sum.steps == 0 || sum.heads == 0 || sum.torn != sum.kills) {
		t.Error("the trials proved nothing: nothing was acknowledged before the kills")
	}
}

// What one data folder has acknowledged.
type acked struct {
	steps map[string]string // "run seq" -> CID
	heads map[string]bool   // that were waited for in the log
}

// folder kills a process n times over one data folder, and looks after each kill.
func folder(t *testing.T, first, n int, sum *figures) {
	dir, err := os.MkdirTemp("", "writ-crash")
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil { // the process may die before it makes it
		t.Error(err)
		return
	}
	seen := acked{map[string]string{}, map[string]bool{}}
	for i := range n {
		chance := rand.New(rand.NewPCG(uint64(first+i), 9))
		if err := killed(t.Context(), data, chance, seen); err != nil {
			t.Errorf("trial %d: %v", first+i, err)
			return
		}
		copied := filepath.Join(dir, "torn")
		if err := errors.Join(os.RemoveAll(copied), os.CopyFS(copied, os.DirFS(data))); err != nil {
			t.Error(err)
			return
		}
		closed, err := look(t.Context(), data, seen, false)
		if err != nil {
			t.Errorf("trial %d, after the kill: %v", first+i, err)
			return
		}
		what, err := tear(copied, chance)
		if err != nil {
			t.Error(err)
			return
		}
		end, err := judge(t.Context(), copied, seen)
		if err != nil {
			t.Errorf("trial %d, %s: %v", first+i, what, err)
			return
		}
		sum.Lock()
		sum.kills++
		sum.torn++
		switch end {
		case "whole":
			sum.whole++
		case "mended":
			sum.mended++
		default:
			sum.refused++
			sum.why[end]++
		}
		if i == n-1 {
			sum.steps, sum.heads, sum.runs = sum.steps+len(seen.steps), sum.heads+len(seen.heads), sum.runs+closed
		}
		sum.Unlock()
	}
}

// killed runs the child on data until a random moment, and takes in what it acknowledged.
func killed(ctx context.Context, data string, chance *rand.Rand, seen acked) error {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "WRIT_CRASH_CHILD="+data)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Most die at work, a little after a random line of what they say; some while they start.
	wait := time.Minute
	if chance.IntN(8) == 0 {
		wait = time.Duration(chance.Int64N(int64(150 * time.Millisecond)))
	}
	kill := func() { _ = cmd.Process.Kill() }
	timer := time.AfterFunc(wait, kill)
	line, last, jitter := 0, chance.IntN(120), time.Duration(chance.Int64N(int64(3*time.Millisecond)))
	for in := bufio.NewScanner(out); in.Scan(); line++ {
		if line == last {
			timer.Reset(jitter)
		}
		f := strings.Fields(in.Text())
		switch {
		case len(f) == 5 && f[0] == "step" && f[4] == ".":
			seen.steps[f[1]+" "+f[2]] = f[3]
		case len(f) == 3 && f[0] == "head" && f[2] == ".":
			seen.heads[f[1]] = true
		}
	}
	timer.Stop()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() >= 0 {
		return fmt.Errorf("the process ended by itself: %v: %s", err, &complaint)
	}
	return nil
}

// lost says that something was acknowledged and is not there.
var errLost = errors.New("acknowledged and lost")

// look starts from data as a server does, and looks for everything that was acknowledged. It returns how many runs are
// closed. Runs whose end was cut may lack their last steps if mended.
func look(ctx context.Context, data string, seen acked, mended bool) (closed int, err error) {
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(data, "writ.db"))})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	r, err := db.Recover(ctx)
	if err != nil {
		return 0, err
	}
	if len(r.Cuts) > 0 || r.Unknown() {
		if !mended {
			return 0, fmt.Errorf("a kill is taken for damage: %+v", r)
		}
		mended = true
	} else if mended {
		mended = false // nothing was said, so nothing may be lost
	}
	l, err := openLog(ctx, data, db)
	if err != nil {
		return 0, err
	}
	defer l.Close()

	cut := map[string]bool{}
	runs, err := db.Runs(ctx, common.Address{}, 1<<20)
	if err != nil {
		return 0, err
	}
	there := map[string]string{}
	for _, run := range runs {
		steps, err := db.Steps(ctx, run.ID, 0, 1<<20)
		if err != nil {
			return 0, err
		}
		var prev provenance.Link
		for i, b := range steps {
			var s provenance.Step
			if err := provenance.Decode(b.Data, &s); err != nil || s.Seq != uint64(i) || s.Run != run.ID || s.Prev != prev {
				return 0, fmt.Errorf("fork: step %d of run %s does not follow: %v", i, run.ID, err)
			}
			prev = b.CID
			there[fmt.Sprintf("%s %d", run.ID, i)] = b.CID.String()
		}
		if uint64(len(steps)) != run.Steps || prev != run.Last {
			return 0, fmt.Errorf("fork: run %s has %d steps and says %d", run.ID, len(steps), run.Steps)
		}
		if run.Status == journal.StatusCut {
			cut[run.ID.String()] = true
		} else if run.Status != "running" && run.Status != "parked" {
			closed++
		}
	}
	for name, want := range seen.steps {
		switch got := there[name]; {
		case got == want:
		case got != "":
			return closed, fmt.Errorf("fork: step %s is %s and was acknowledged as %s", name, got, want)
		case !mended:
			return closed, fmt.Errorf("%w: step %s", errLost, name)
		}
	}
	// Every head that was in the log is in the journal, at one place, and in the tree that stands now.
	for head := range seen.heads {
		c, err := cid.Decode(head)
		if err != nil {
			return closed, err
		}
		if _, err := db.Entry(ctx, c); err != nil {
			return closed, fmt.Errorf("%w: logged head %s: %w", errLost, head, err)
		}
		wait, stop := context.WithTimeout(ctx, 20*time.Second)
		err = l.Wait(wait, c)
		stop()
		if err != nil {
			return closed, err
		}
	}
	if mended {
		return closed, errMended
	}
	// What has ended verifies, as a stranger sees it.
	for i, run := range runs {
		if i%5 == 0 && run.Status == provenance.CloseAnswered {
			if err := verify(ctx, db, run.ID); err != nil {
				return closed, err
			}
		}
	}
	return closed, nil
}

var errMended = errors.New("mended, and said so")

func verify(ctx context.Context, db *store.DB, run provenance.Link) error {
	var car bytes.Buffer
	if _, err := archive.Export(ctx, db, &car, run); err != nil {
		return err
	}
	keys, err := archive.Keys(ctx, db, run)
	if err != nil {
		return err
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		return err
	}
	rep := audit.Verify(src, audit.Options{OperatorKey: operator.Public().(ed25519.PublicKey), Keys: keys})
	if rep.Verdict != provenance.Verified {
		return fmt.Errorf("run %s: %s %s at %s", run, rep.Verdict, rep.Code, rep.At)
	}
	return nil
}

// judge starts from a folder with a torn write. Allowed is: nothing was lost; or the loss is said; or no start, with a
// sentence that says what to do.
func judge(ctx context.Context, data string, seen acked) (end string, err error) {
	_, err = look(ctx, data, seen, true)
	switch {
	case err == nil:
		return "whole", nil
	case errors.Is(err, errMended):
		return "mended", nil
	case errors.Is(err, errLost):
		return "", err
	}
	for name, sentence := range map[string]error{
		"signed": journal.ErrSigned, "corrupt": journal.ErrCorrupt, "behind": translog.ErrBehind, "forked": translog.ErrForked,
	} {
		if errors.Is(err, sentence) {
			if !strings.Contains(err.Error(), "restore") {
				return "", fmt.Errorf("the refusal does not say what to do: %w", err)
			}
			return name, nil
		}
	}
	if strings.Contains(err.Error(), "the file is damaged; restore it from a backup") {
		return "database", nil
	}
	return "", err
}

// tear cuts or garbles the end of the write-ahead log, or of a file of the transparency log.
func tear(data string, chance *rand.Rand) (what string, err error) {
	var files []string
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasPrefix(path, filepath.Join(data, "log")) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(data, "writ.db-wal")
	if _, err := os.Stat(path); err != nil || len(files) > 0 && chance.IntN(2) == 0 {
		if len(files) == 0 {
			return "nothing to tear", nil
		}
		path = files[chance.IntN(len(files))]
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return "nothing to tear", err
	}
	at := chance.IntN(len(b))
	if chance.IntN(2) == 0 && len(b) > 64<<10 { // near the end, where a crash tears
		at = len(b) - 1 - chance.IntN(64<<10)
	}
	what = fmt.Sprintf("%s of %d bytes ", strings.TrimPrefix(path, data), len(b))
	switch chance.IntN(3) {
	case 0:
		b, what = b[:at], what+fmt.Sprintf("cut at %d", at)
	case 1:
		n := min(1+chance.IntN(64), len(b)-at)
		for i := range n {
			b[at+i] ^= byte(1 + chance.IntN(255))
		}
		what += fmt.Sprintf("garbled at %d for %d", at, n)
	default: // a sector of zeros, as a file system leaves a block that never came
		n := min(512, len(b)-at)
		clear(b[at : at+n])
		what += fmt.Sprintf("zeros at %d for %d", at, n)
	}
	return what, os.WriteFile(path, b, 0o600)
}

// The process that is killed: eight wallets' users who ask without a pause, on a journal and a log on the disk.

func seed(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ crash " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

var operator = seed("operator")

func openLog(ctx context.Context, data string, db *store.DB) (*translog.Log, error) {
	return translog.Open(ctx, translog.Config{
		Dir: filepath.Join(data, "log"), Store: db, Key: seed("log"), Origin: "example.com/crash", Interval: 100 * time.Millisecond,
	})
}

// A witnessed store and log say on standard output what they have acknowledged: one write a line, so that a line is
// there whole or not at all.
type sayingStore struct{ *store.DB }

func (s sayingStore) Commit(ctx context.Context, c journal.Commit) error {
	err := s.DB.Commit(ctx, c)
	if err == nil {
		say("step %s %d %s .", c.Run, c.Seq, c.Step.CID)
	}
	return err
}

type sayingLog struct{ *translog.Log }

func (l sayingLog) Wait(ctx context.Context, entry provenance.Link) error {
	err := l.Log.Wait(ctx, entry)
	if err == nil {
		say("head %s .", entry)
	}
	return err
}

func say(format string, args ...any) {
	_, _ = os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...))
}

// A talker asks for two calls of a tool, then ends.
type talker struct{}

func (talker) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	n := 0
	for _, m := range p.Messages {
		if m.Role == model.RoleAssistant {
			n++
		}
	}
	if n >= 3 {
		return model.Reply{Stop: model.StopEnd, Text: "done"}, nil
	}
	c := model.Call{ID: fmt.Sprint(n), Tool: "echo.say", Args: fmt.Appendf(nil, `{"text":"%d"}`, n)}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{c}}, nil
}

// An echo is a tool of class keyed or once.
type echo struct {
	name  string
	class tools.Class
}

func (e echo) Spec() tools.Spec {
	return tools.Spec{
		Name: e.name, About: "Says it again.", Class: e.class, Output: &tools.Output{Integrity: label.Tool},
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],"properties":{"text":{"type":"string"}}}`),
	}
}

func (echo) Call(_ context.Context, in tools.Input) ([]byte, error) {
	return json.Marshal(map[string]string{"said": in.Args.Values[0].Text})
}

func child(data string) error {
	ctx := context.Background()
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(filepath.Join(data, "writ.db"))})
	if err != nil {
		return err
	}
	if _, err := db.Recover(ctx); err != nil {
		return err
	}
	l, err := openLog(ctx, data, db)
	if err != nil {
		return err
	}
	caveats := auth.Caveats{MaxCalls: 1000, MaxTokens: 10_000_000, MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337}}
	r, err := runner.New(ctx, runner.Config{
		Store: sayingStore{db}, HeadLog: sayingLog{l}, Key: operator,
		Agents: []agentfile.Definition{{
			Name: "echoer", Instructions: "Echo.", Tools: []string{"echo.say"},
			Routes: []agentfile.Route{{ID: "only", Use: "scripted"}}, Grant: caveats,
		}},
		Tools:  []tools.Tool{echo{"echo.say", tools.Once}},
		Models: []runner.NamedModel{{Info: model.Info{Name: "scripted", Kind: model.KindScripted, Provider: "test", Model: "script/1", MaxTokens: 1000}, Model: talker{}}},
		Policy: runner.Policy{Name: "crash", Source: []byte(rules)},
	})
	if err != nil {
		return err
	}
	if _, err := r.Resume(ctx); err != nil {
		return err
	}
	say("ready .")
	failed := make(chan error)
	for i := range 8 {
		go func() { failed <- ask(ctx, r, i) }() // until the process is killed
	}
	return <-failed
}

const rules = `schema: writ/policies/1
name: crash
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// ask signs in and starts one run after another.
func ask(ctx context.Context, r *runner.Runner, i int) error {
	w, err := auth.ParseWallet(hex.EncodeToString(bytes.Repeat([]byte{byte(i + 1)}, 32)))
	if err != nil {
		return err
	}
	key, err := auth.Generate(auth.Ed25519, crand.Reader)
	if err != nil {
		return err
	}
	info := r.Agents()[0]
	now := time.Now().UTC().Truncate(time.Second)
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "127.0.0.1", Account: w.Address(), Chain: 1337, Key: key.Public(), Nonce: "abcdefgh12345678",
		RequestID: fmt.Sprintf("r%d", i), Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules, Tools: info.Tools,
		Caveats: info.Defaults, Issued: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		return err
	}
	sig, err := w.SignText(raw)
	if err != nil {
		return err
	}
	grant, err := auth.Reread(raw, sig)
	if err != nil {
		return err
	}
	session, err := r.OpenSession(ctx, grant)
	if err != nil {
		return err
	}
	for seq := uint64(1); ; seq++ {
		name := fmt.Sprintf("%s-%d", session.ID, seq) // keys are the wallet's, over all its sessions
		params, err := json.Marshal(wire.StartParams{Agent: info.Name, Input: "echo", Key: name})
		if err != nil {
			return err
		}
		f := auth.Frame{Session: session.ID, Channel: [32]byte{1}, Seq: seq, Method: wire.RunStart, Params: params}
		fsig, err := key.SignFrame(f)
		if err != nil {
			return err
		}
		run, err := r.Start(ctx, runner.StartRequest{Session: session, Frame: f, Sig: fsig, Agent: info.Name, Input: "echo", Key: name})
		if err != nil {
			return err
		}
		steps, hints, _, stop := r.Follow(run.ID)
		for { // it may have ended before anybody listened
			if run, err = r.Run(ctx, run.ID); err != nil {
				return err
			}
			if run.Status != "running" {
				break
			}
			select {
			case <-steps:
			case <-hints:
			}
		}
		stop()
		if run.Status == provenance.CloseLimit || run.Status == provenance.CloseDenied {
			return fmt.Errorf("a run ended as %s", run.Status)
		}
	}
}

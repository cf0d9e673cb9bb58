package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/internal/quota"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

var _ api.Runner = (*runner.Runner)(nil)

// A fakeRunner keeps everything in maps. Runs do nothing but what a test appends.
type fakeRunner struct {
	mu       sync.Mutex
	epoch    string
	sessions map[provenance.Link]journal.Session
	runs     map[provenance.Link]*fakeRun
	byKey    map[string]provenance.Link
	watchers map[provenance.Link]map[chan struct{}]chan news.Piece
	decided  []runner.ApprovalDecision
	pending  []runner.PendingApproval
	fail     error // of Steps
	block    chan struct{}
	reads    int // of Steps
	boom     bool
	refuse   error         // of Decide
	lag      time.Duration // of Revoke, after the session has ended
}

type fakeRun struct {
	info  journal.RunInfo
	steps []runner.StepView
	piece news.Piece // the newest
}

func newFake() *fakeRunner {
	return &fakeRunner{
		epoch: "e1", sessions: map[provenance.Link]journal.Session{}, runs: map[provenance.Link]*fakeRun{},
		byKey: map[string]provenance.Link{}, watchers: map[provenance.Link]map[chan struct{}]chan news.Piece{},
	}
}

func link(name string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(name)) }

var defaults = auth.Caveats{MaxCalls: 10, MaxTokens: 1000, MaxCostNanoUSD: 1e9, Chains: []uint64{1337}}

func (f *fakeRunner) AgentsFor(string) []runner.AgentInfo {
	return []runner.AgentInfo{{
		Name: "reader", About: "reads", CID: link("agent"), Rules: link("rules"), Tools: []string{"chain.block", "erc20.balance"},
		Defaults: defaults,
	}}
}

func (f *fakeRunner) OpenSession(_ context.Context, g *auth.Grant) (journal.Session, error) {
	if f.boom {
		panic("boom")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := journal.Session{
		ID: provenance.Sum(cid.DagCBOR, g.Message), Account: g.Account, Chain: g.Chain, Key: g.Key.String(), Agent: g.Agent,
		Opened: time.Now().UnixMilli(), Expires: g.Expires.UnixMilli(), Message: g.Message, Sig: g.Sig, Method: g.Method,
		Used: time.Now().UnixMilli(),
	}
	f.sessions[s.ID] = s
	return s, nil
}

func (f *fakeRunner) Session(_ context.Context, id provenance.Link) (journal.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.sessions[id]
	if !ok {
		return s, fmt.Errorf("session %s: %w", id, journal.ErrNotFound)
	}
	return s, nil
}

func (f *fakeRunner) Sessions(_ context.Context, of journal.Session) (out []journal.Session, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if s.Owner() == of.Owner() {
			out = append(out, s)
		}
	}
	return out, nil
}

// Revoke checks the proof as runner.Runner does, and records nothing.
func (f *fakeRunner) Revoke(ctx context.Context, q runner.RevokeRequest) error {
	rec := &provenance.Revocation{
		Grant: q.Session, Method: q.Method, Message: provenance.NewPayload(q.Message), Sig: provenance.NewPayload(q.Sig),
	}
	grantOf := func(id provenance.Link) (*auth.Grant, error) {
		s, err := f.Session(ctx, id)
		if err != nil {
			return nil, err
		}
		return auth.Reread(s.Message, s.Sig)
	}
	grant, err := grantOf(q.Session)
	if err != nil {
		return err
	}
	var signer *auth.Grant
	if q.Method == provenance.RevokedSession {
		rec.Frame = &provenance.RevokedFrame{From: q.Frame.Session, Seq: q.Frame.Seq, Channel: q.Frame.Channel}
		if signer, err = grantOf(q.Frame.Session); err != nil {
			return err
		}
	}
	if err := revocation.Check(rec, grant, signer, operator.Public().(ed25519.PublicKey)); err != nil {
		return err
	}
	f.end(q.Session)
	time.Sleep(f.lag)
	return nil
}

var operator = ed25519.NewKeyFromSeed(make([]byte, 32))

// end revokes a session elsewhere.
func (f *fakeRunner) end(id provenance.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[id]
	s.Revoked, s.Revocation = time.Now().UnixMilli(), link("revocation")
	f.sessions[id] = s
}

func (f *fakeRunner) Use(ctx context.Context, id provenance.Link) (journal.Session, error) {
	s, err := f.Session(ctx, id)
	now := time.Now().UnixMilli()
	switch {
	case err != nil:
		return s, err
	case s.Revoked != 0 || now >= s.Expires:
		return s, journal.ErrStale
	case now-s.Used >= f.Idle().Milliseconds():
		return s, journal.ErrIdle
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Used = now
	f.sessions[id] = s
	return s, nil
}

func (f *fakeRunner) Idle() time.Duration { return 15 * time.Minute }

func (f *fakeRunner) Start(ctx context.Context, q runner.StartRequest) (journal.RunInfo, error) {
	f.mu.Lock()
	block := f.block
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return journal.RunInfo{}, ctx.Err()
		}
	}
	key, err := auth.ParsePublicKey(q.Session.Key)
	if err != nil {
		return journal.RunInfo{}, err
	}
	if err := q.Frame.Verify(key, q.Sig); err != nil { // what is handed on must be what was signed
		return journal.RunInfo{}, err
	}
	f.mu.Lock()
	for _, r := range f.runs { // steps are reached as their runs are
		if q.Step.Defined() && slices.ContainsFunc(r.steps, func(v runner.StepView) bool { return v.CID == q.Step }) && !q.Reaches(r.info) {
			f.mu.Unlock()
			return journal.RunInfo{}, journal.ErrNotFound
		}
	}
	if id, ok := f.byKey[q.Key]; ok {
		defer f.mu.Unlock()
		return f.runs[id].info, nil
	}
	id := link("run " + q.Key)
	f.byKey[q.Key] = id
	f.runs[id] = &fakeRun{info: journal.RunInfo{
		ID: id, Session: q.Session.ID, Account: q.Session.Account, Chain: q.Session.Chain, Method: q.Session.Method, Agent: q.Agent, Opened: 1, Status: "running",
	}}
	f.mu.Unlock()
	f.append(id, &provenance.Step{Event: &provenance.Ask{Request: provenance.NewPayload(q.Frame.Params), Key: q.Session.Key}})
	return f.Run(ctx, id)
}

// append commits a step.
func (f *fakeRunner) append(run provenance.Link, s *provenance.Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.runs[run]
	s.Run, s.Seq = run, uint64(len(r.steps))
	v := runner.StepView{CID: link(fmt.Sprint(run, s.Seq)), Step: s}
	r.steps = append(r.steps, v)
	r.info.Steps, r.info.Last, r.info.Head = uint64(len(r.steps)), v.CID, link(fmt.Sprint("head", run, s.Seq))
	for w := range f.watchers[run] {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

func say1(text string) *provenance.Step {
	return &provenance.Step{
		Event: &provenance.Result{Status: "ok", Output: provenance.NewPayload([]byte(`{"n":1}`))},
		Does:  []provenance.Effect{&provenance.Say{Text: provenance.NewPayload([]byte(text))}},
	}
}

func closing() *provenance.Step {
	return &provenance.Step{
		Event: &provenance.Reply{Model: &provenance.ModelCall{Name: "rules", Text: provenance.NewPayload([]byte("bye"))}},
		Does:  []provenance.Effect{&provenance.Close{Reason: "answered"}},
	}
}

func (f *fakeRunner) delta(run provenance.Link, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.runs[run]
	next := news.Piece{Of: uint64(max(len(r.steps), 1) - 1), Text: text}
	if r.piece.Of == next.Of {
		next.From = r.piece.From + len(r.piece.Text)
	}
	r.piece = next
	for _, d := range f.watchers[run] {
		d <- next
	}
}

func (f *fakeRunner) Send(ctx context.Context, q runner.SendRequest) (uint64, error) {
	f.append(q.Run, &provenance.Step{Event: &provenance.Ask{
		Request: provenance.NewPayload(q.Frame.Params), Key: q.Session.Key, Method: q.Frame.Method, Of: q.Of,
	}})
	info, err := f.Run(ctx, q.Run)
	return info.Steps - 1, err
}

func (f *fakeRunner) Cancel(_ context.Context, run provenance.Link) error {
	f.append(run, &provenance.Step{
		Event: &provenance.Lapse{Why: "cancelled"}, Does: []provenance.Effect{&provenance.Close{Reason: "cancelled"}},
	})
	return nil
}

func (f *fakeRunner) Report(context.Context, provenance.Link, provenance.Ref, []byte, bool) error {
	return f.refuse
}

func (f *fakeRunner) Run(_ context.Context, id provenance.Link) (journal.RunInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.runs[id]
	if !ok {
		return journal.RunInfo{}, fmt.Errorf("run %s: %w", id, journal.ErrNotFound)
	}
	return r.info, nil
}

func (f *fakeRunner) RunsBefore(_ context.Context, of journal.Session, before provenance.Link, limit int,
) (out []journal.RunInfo, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if r.info.Owner() == of.Owner() && r.info.ID.KeyString() > before.KeyString() {
			out = append(out, r.info)
		}
	}
	slices.SortFunc(out, func(a, b journal.RunInfo) int { return strings.Compare(a.ID.KeyString(), b.ID.KeyString()) })
	return out[:min(limit, len(out))], nil
}

func (f *fakeRunner) Digest(_ context.Context, info journal.RunInfo) (digest.Run, error) {
	return digest.Run{Asked: "hi " + info.ID.String()[50:], Outcome: info.Status}, nil
}

func (f *fakeRunner) Uses(context.Context, journal.Session) (*auth.Grant, []digest.Use, error) {
	return &auth.Grant{Scheme: "https", Domain: "app.example.com", Caveats: defaults}, nil, nil
}

func (f *fakeRunner) Payees(context.Context, journal.Session) (digest.Payees, error) {
	return digest.Payees{}, nil
}

func (f *fakeRunner) NameDevice(_ context.Context, id provenance.Link, device string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[id]
	s.Device = device
	f.sessions[id] = s
	return nil
}

func (f *fakeRunner) Steps(_ context.Context, run provenance.Link, from uint64, limit int) ([]runner.StepView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.fail != nil {
		return nil, f.fail
	}
	steps := f.runs[run].steps
	from = min(from, uint64(len(steps)))
	return append([]runner.StepView{}, steps[from:min(len(steps), int(from)+limit)]...), nil
}

func (f *fakeRunner) Follow(
	run provenance.Link,
) (<-chan news.Step, <-chan struct{}, <-chan news.Piece, func()) {
	h, d := make(chan struct{}, 1), make(chan news.Piece, 100)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers[run] == nil {
		f.watchers[run] = map[chan struct{}]chan news.Piece{}
	}
	f.watchers[run][h] = d
	return nil, h, d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers[run], h)
	}
}

func (f *fakeRunner) watching() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		n += len(w)
	}
	return n
}

func (f *fakeRunner) Lineage(context.Context, provenance.Link) (runner.Lineage, error) {
	return runner.Lineage{}, nil
}

func (f *fakeRunner) Threads(
	_ context.Context, _ journal.Session, q journal.ThreadQuery,
) ([]journal.Thread, error) {
	if q.Before.Defined() {
		return nil, nil
	}
	return []journal.Thread{{Agent: "reader", Name: "plans", Runs: 1, Last: f.firstRun()}}, nil
}

// firstRun returns some run that was started.
func (f *fakeRunner) firstRun() (run provenance.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for run = range f.runs {
	}
	return run
}

func (f *fakeRunner) Thread(_ context.Context, _ journal.Session, agent, name string) (journal.Thread, error) {
	if name != "plans" {
		return journal.Thread{}, journal.ErrNotFound
	}
	return journal.Thread{Agent: agent, Name: name, Runs: 1, Last: f.firstRun()}, nil
}

func (f *fakeRunner) RenameThread(ctx context.Context, of journal.Session, agent, name, _ string) error {
	_, err := f.Thread(ctx, of, agent, name)
	return err
}

func (f *fakeRunner) DeleteThread(ctx context.Context, of journal.Session, agent, name string) error {
	_, err := f.Thread(ctx, of, agent, name)
	return err
}

func (f *fakeRunner) Shared(context.Context, provenance.Link) (thread.Shared, error) {
	return thread.Shared{}, journal.ErrNotFound
}

func (f *fakeRunner) Turns(ctx context.Context, from provenance.Link, limit int) ([]archive.Turn, error) {
	info, err := f.Run(ctx, from)
	return []archive.Turn{{Run: info, Asked: "what\nis it?", Said: "it is"}}[:min(limit, 1)], err
}

func (f *fakeRunner) Approvals(context.Context, journal.Session) ([]runner.PendingApproval, error) {
	if f.boom {
		panic("boom")
	}
	return f.pending, nil
}

func (f *fakeRunner) Decide(_ context.Context, d runner.ApprovalDecision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.decided = append(f.decided, d)
	return nil
}

func (f *fakeRunner) Keys(context.Context, provenance.Link) (map[provenance.Link]provenance.LeafKey, error) {
	return map[provenance.Link]provenance.LeafKey{link("leaf"): {1, 2, 3}}, nil
}

func (f *fakeRunner) Epoch(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch, nil
}

// nonces is an auth.Nonces in memory.
type nonces struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (n *nonces) PutNonce(_ context.Context, nonce string, data []byte, _ time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m[nonce] = data
	return nil
}

func (n *nonces) TakeNonce(_ context.Context, nonce string, _ time.Time) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	data, ok := n.m[nonce]
	if !ok {
		return nil, auth.ErrNonce
	}
	delete(n.m, nonce)
	return data, nil
}

const (
	page  = "https://app.example.com"
	shell = "capacitor://shell.app"
)

// A fixture is a server with its fake.
type fixture struct {
	*fakeRunner
	t    testing.TB
	srv  *Server
	ln   net.Listener
	stop func() // ends Serve and waits for it
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// serve starts a server on ln, or on loopback if that is nil.
func serve(t testing.TB, limits Limits, ln net.Listener, change ...func(*Config)) *fixture {
	t.Helper()
	return serveCounted(t, limits, api.Limits{}, nil, ln, change...)
}

func serveWithin(t testing.TB, limits Limits, calls api.Limits, ln net.Listener) *fixture {
	t.Helper()
	return serveCounted(t, limits, calls, nil, ln)
}

func serveCounted(
	t testing.TB, limits Limits, calls api.Limits, book *quota.Book, ln net.Listener, change ...func(*Config),
) *fixture {
	t.Helper()
	f := &fixture{fakeRunner: newFake(), t: t, ln: ln}
	if ln == nil {
		var err error
		if f.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	desk, err := auth.NewDesk(auth.Config{
		Scheme: "https", Domain: "app.example.com", Nonces: &nonces{m: map[string][]byte{}}, Now: time.Now, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.New(api.Config{Runner: f.fakeRunner, Archive: f.fakeRunner, Desk: desk, Limits: calls, Quota: book})
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		API: a, Origins: []string{page, shell}, Limits: limits,
		Gateway: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("gateway " + r.URL.Path)) }),
	}
	for _, c := range change {
		c(&config)
	}
	f.srv, err = New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.srv.Serve(ctx, f.ln) }()
	var once sync.Once
	f.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) url() string { return "ws://" + f.ln.Addr().String() + "/ws" }

// A raw is a socket that says exactly what a test wants.
type raw struct {
	t       testing.TB
	ws      *websocket.Conn
	hello   wire.Hello
	channel [32]byte
	seq     uint64
	session cid.Cid
	key     auth.PrivateKey
	notes   []reply // that came while an answer was awaited
}

// A reply is any frame of the server's.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *wire.Error     `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func (r reply) code() wire.Code {
	if r.Error == nil {
		return ""
	}
	return r.Error.Data.Code
}

func (f *fixture) connect() *raw {
	f.t.Helper()
	return f.connectWith(nil)
}

func (f *fixture) connectWith(h http.Header) *raw {
	f.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, NetDialContext: f.dial}
	ws, resp, err := d.Dial(f.url(), h)
	if err != nil {
		f.t.Fatalf("connect: %v %v", err, resp)
	}
	f.t.Cleanup(func() { ws.Close() })
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	r := &raw{t: f.t, ws: ws, key: key}
	if err := json.Unmarshal(r.next().Params, &r.hello); err != nil {
		f.t.Fatal(err)
	}
	channel, _ := hex.DecodeString(r.hello.Channel)
	copy(r.channel[:], channel)
	return r
}

func (r *raw) next() reply {
	r.t.Helper()
	_, data, err := r.ws.ReadMessage()
	if err != nil {
		r.t.Fatalf("read: %v", err)
	}
	var out reply
	if err := json.Unmarshal(data, &out); err != nil {
		r.t.Fatalf("not JSON: %s", data)
	}
	return out
}

// closed reads until the socket ends and returns the close code, 0 if there was none.
func (r *raw) closed() int {
	for {
		_, data, err := r.ws.ReadMessage()
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
			return ce.Code
		} else if err != nil {
			return 0
		}
		var n reply
		if json.Unmarshal(data, &n) == nil {
			r.notes = append(r.notes, n)
		}
	}
}

func (r *raw) write(frame string) {
	r.t.Helper()
	if err := r.ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// answer returns the next frame that is no notification.
func (r *raw) answer() reply {
	r.t.Helper()
	for {
		n := r.next()
		if n.Method == "" {
			return n
		}
		r.notes = append(r.notes, n)
	}
}

func (r *raw) say(frame string) reply {
	r.t.Helper()
	r.write(frame)
	return r.answer()
}

func request(method string, params any, a *wire.Auth) string {
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	out, err := json.Marshal(wire.Request{JSONRPC: "2.0", ID: json.RawMessage("1"), Method: method, Params: raw, Auth: a})
	if err != nil {
		panic(err)
	}
	return string(out)
}

func (r *raw) call(method string, params any) reply {
	r.t.Helper()
	return r.say(request(method, params, nil))
}

// sign returns auth for a request at seq.
func (r *raw) sign(session cid.Cid, seq uint64, method string, params any) *wire.Auth {
	r.t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		r.t.Fatal(err)
	}
	sig, err := r.key.SignFrame(auth.Frame{Session: session, Channel: r.channel, Seq: seq, Method: method, Params: raw})
	if err != nil {
		r.t.Fatal(err)
	}
	return &wire.Auth{Seq: seq, Sig: sig}
}

func (r *raw) act(method string, params any) reply {
	r.t.Helper()
	r.seq++
	return r.say(request(method, params, r.sign(r.session, r.seq, method, params)))
}

// challenge returns a message for a wallet to sign.
func (r *raw) challenge(w *auth.Wallet) string {
	r.t.Helper()
	a := r.call(wire.SessionAsk, wire.ChallengeParams{
		Account: w.Address().Hex(), Chain: 1337, Key: r.key.Public().String(), Agent: "reader",
	})
	var ch wire.Challenge
	if err := json.Unmarshal(a.Result, &ch); err != nil || a.Error != nil {
		r.t.Fatalf("challenge: %v %+v", err, a.Error)
	}
	return ch.Message
}

func signed(t testing.TB, w *auth.Wallet, message string) wire.OpenParams {
	t.Helper()
	sig, err := w.SignText([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	return wire.OpenParams{Message: message, Signature: "0x" + hex.EncodeToString(sig)}
}

func (r *raw) signIn(w *auth.Wallet) *raw {
	r.t.Helper()
	a := r.act(wire.SessionOpen, signed(r.t, w, r.challenge(w)))
	var s wire.Session
	if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
		r.t.Fatalf("open: %v %+v", err, a.Error)
	}
	r.session = cid.MustParse(s.ID)
	return r
}

func (r *raw) start(key string) provenance.Link {
	r.t.Helper()
	a := r.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: key})
	var s wire.Started
	if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
		r.t.Fatalf("start: %v %+v", err, a.Error)
	}
	return cid.MustParse(s.Run)
}

func wallet(n uint64) *auth.Wallet {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	sum := sha256.Sum256(b[:])
	w, err := auth.ParseWallet(hex.EncodeToString(sum[:]))
	if err != nil {
		panic(err)
	}
	return w
}

// A pipe is a listener whose connections are net.Pipes, for tests in which time is not real.
type pipe struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipe) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipe) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func long(n int) string { return strings.Repeat("x", n) }

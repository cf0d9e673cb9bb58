package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
)

//go:embed loginpage
var loginFiles embed.FS

// loginLife is how long the page waits for the wallet: as long as the message to sign is good.
const loginLife = auth.NonceLife

// A loginPage is a page on this machine in which a browser's wallet signs. It serves one sign-in: the first account that
// comes with the code uses the code up, and gets a ticket for the signature. Requests must come from the page itself:
// exact Host and Origin, and code or ticket in a header, which no other page can set.
type loginPage struct {
	host  string // 127.0.0.1 and the port
	url   string // with the code, behind #
	until time.Time
	now   func() time.Time
	again string // the command that opens another one
	// approve is the account whose approval the page asks for; zero for a sign-in, by whichever account.
	approve common.Address

	accounts   chan common.Address // each has room for the one value that it gets
	texts      chan loginText
	signatures chan []byte
	cancelled  chan struct{}
	ended      chan struct{} // closed by end

	mu           sync.Mutex
	code, ticket string     // guarded by mu; empty once used
	outcome      loginReply // guarded by mu; what end said
	closed       bool       // guarded by mu
}

// A loginText is what the page shows and the wallet signs.
type loginText struct {
	Ticket  string `json:"ticket"`
	Account string `json:"account"`
	Domain  string `json:"domain"`
	Limits  string `json:"limits"`
	Message string `json:"message"`

	Typed json.RawMessage `json:"typed,omitempty"` // of an approval, in place of Message: for eth_signTypedData_v4
	Chain uint64          `json:"chain,omitempty"` // that Typed is for
	Rows  [][2]string     `json:"rows,omitempty"`  // what Typed says, for people
}

// A loginReply ends the page.
type loginReply struct {
	Account string `json:"account,omitempty"`
	Message string `json:"message,omitempty"` // what went wrong
	Retry   bool   `json:"retry,omitempty"`   // and the user can do something about it on the page
	Done    string `json:"done,omitempty"`    // what was done, if it was no sign-in
}

func newLoginPage(host string, now func() time.Time) *loginPage {
	p := &loginPage{
		host: host, now: now, until: now().Add(loginLife), again: "writ login", code: rand.Text(), ticket: rand.Text(),
		accounts: make(chan common.Address, 1), texts: make(chan loginText, 1), signatures: make(chan []byte, 1),
		cancelled: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	p.url = "http://" + host + "/#" + p.code
	return p
}

// end says how the sign-in ended, to the page that waits for it. The first call counts.
func (p *loginPage) end(r loginReply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.outcome, p.closed = r, true
		close(p.ended)
	}
}

// has says whether the code or the ticket is given, and leaves it there.
func (p *loginPage) has(secret *string, given string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *secret != "" && subtle.ConstantTimeCompare([]byte(*secret), []byte(given)) == 1
}

// use takes the code or the ticket, once.
func (p *loginPage) use(secret *string, given string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok := *secret != "" && subtle.ConstantTimeCompare([]byte(*secret), []byte(given)) == 1
	if ok {
		*secret = ""
	}
	return ok
}

func (p *loginPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "+
		"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.Host != p.host { // another name for this address: DNS rebinding
		refuse(w, http.StatusMisdirectedRequest, "This address has another name.")
		return
	}
	if r.Method == http.MethodGet {
		p.file(w, r)
		return
	}
	given := r.Header.Get("X-Writ-Code")
	switch {
	case r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "Only GET and POST are known here.")
	case r.Header.Get("Origin") != "http://"+p.host:
		refuse(w, http.StatusForbidden, "Another page must not ask this.")
	case !p.now().Before(p.until):
		refuse(w, http.StatusGone, "The five minutes for this page are over. Run "+p.again+" again.")
	case r.URL.Path == "/account":
		var in struct{ Account string }
		if !readSmall(w, r, &in) {
			return
		}
		if !common.IsHexAddress(in.Account) {
			refuse(w, http.StatusBadRequest, "The wallet gave no account.")
		} else if p.approve != (common.Address{}) && common.HexToAddress(in.Account) != p.approve && p.has(&p.code, given) {
			reply(w, http.StatusConflict, loginReply{Retry: true,
				Message: "Only the account " + p.approve.Hex() + " can approve this, and the wallet gave another. Choose that one in the wallet, and try again."})
		} else if !p.use(&p.code, given) {
			refuse(w, http.StatusForbidden, "This address was used already, or is not the one that "+p.again+" printed. Run "+p.again+" again.")
		} else {
			p.accounts <- common.HexToAddress(in.Account)
			p.answer(w, r, p.texts)
		}
	case r.URL.Path == "/signature":
		var in struct{ Signature string }
		if !readSmall(w, r, &in) {
			return
		}
		sig, err := auth.ParseContractSig(in.Signature)
		if err != nil {
			refuse(w, http.StatusBadRequest, "The wallet gave no signature that can be read.")
		} else if !p.use(&p.ticket, given) {
			refuse(w, http.StatusForbidden, "This was signed already. Run "+p.again+" again.")
		} else {
			p.signatures <- sig
			p.answer(w, r, nil)
		}
	case r.URL.Path == "/cancel":
		if !p.use(&p.code, given) && !p.use(&p.ticket, given) {
			refuse(w, http.StatusForbidden, "There is nothing to cancel any more.")
			return
		}
		p.cancelled <- struct{}{}
		reply(w, http.StatusOK, struct{}{})
	default:
		refuse(w, http.StatusNotFound, "There is no such page.")
	}
}

// answer waits for the text to sign, or for the end.
func (p *loginPage) answer(w http.ResponseWriter, r *http.Request, texts chan loginText) {
	select {
	case t := <-texts:
		reply(w, http.StatusOK, t)
	case <-p.ended:
		p.mu.Lock()
		out := p.outcome
		p.mu.Unlock()
		if out.Message != "" {
			reply(w, http.StatusConflict, out)
		} else {
			reply(w, http.StatusOK, out)
		}
	case <-r.Context().Done():
	}
}

func (p *loginPage) file(w http.ResponseWriter, r *http.Request) {
	kinds := map[string]string{"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
	kind, ok := kinds[r.URL.Path]
	if !ok {
		refuse(w, http.StatusNotFound, "There is no such page.")
		return
	}
	name := path.Base(r.URL.Path)
	if r.URL.Path == "/" {
		name = "index.html"
		if p.approve != (common.Address{}) {
			name = "approve.html"
		}
	}
	b, err := loginFiles.ReadFile("loginpage/" + name)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The page is missing.") // it is embedded
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(b)
}

func readSmall(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "This request cannot be read.")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, loginReply{Message: message})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a page that is gone needs no answer
}

// serve opens the page, and returns how to close it.
func (p *loginPage) serve(ctx context.Context, ln net.Listener) (stop func()) {
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	return func() {
		p.end(loginReply{Message: "This has ended. Run " + p.again + " again."})
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // for the page to hear the end
		defer stop()
		if srv.Shutdown(last) != nil {
			srv.Close()
		}
		<-served
	}
}

// show says where the page is, and opens it in the browser.
func (a *app) show(page *loginPage, what string, noOpen bool) {
	fmt.Fprintf(a.err, "%s with the wallet of your browser, within five minutes:\n\n  %s\n\n", what, page.url)
	if noOpen {
		return
	}
	if err := a.openBrowser(page.url); err != nil {
		a.note("no browser could be opened (%s): open the address yourself", oneLine(err))
	}
}

// browserLogin signs in with the wallet of a browser. open opens the page.
func (a *app) browserLogin(ctx context.Context, server string, p loginPlan) (saved, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return saved{}, fmt.Errorf("serve the page to sign in: %w", err)
	}
	page := newLoginPage(ln.Addr().String(), time.Now)
	defer page.serve(ctx, ln)()
	a.show(page, "Sign in", p.noOpen)
	ctx, stop := context.WithDeadlineCause(ctx, page.until, errLoginLate)
	defer stop()
	var account common.Address
	select {
	case account = <-page.accounts:
	case <-page.cancelled:
		return saved{}, errLoginCancelled
	case <-ctx.Done():
		return saved{}, context.Cause(ctx)
	}
	s, err := a.open(ctx, server, p, account, "", func(message []byte) ([]byte, error) {
		m, err := auth.Parse(message)
		if err != nil {
			return nil, err
		}
		t := loginText{Ticket: page.ticket, Account: account.Hex(), Domain: m.Domain, Message: string(message)}
		if m.Statement != nil {
			t.Limits, _, _ = strings.Cut(*m.Statement, " I further authorize")
		}
		page.texts <- t
		select {
		case sig := <-page.signatures:
			return sig, nil
		case <-page.cancelled:
			return nil, errLoginCancelled
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	if err != nil {
		page.end(loginReply{Message: failureOf(err).message})
		return saved{}, err
	}
	page.end(loginReply{Account: s.Account})
	return s, nil
}

var (
	errLoginCancelled = failf(exitDenied, "user_rejected", "the sign-in was cancelled in the browser; nothing has changed")
	errLoginLate      = failf(exitSignature, "login_expired", "nobody signed in the browser within five minutes; run writ login again")
)

// openBrowser shows an address in the user's browser: $BROWSER, or what the system opens addresses with.
func (a *app) openBrowser(url string) error {
	name, args := "xdg-open", []string{url}
	switch {
	case a.env("BROWSER") != "":
		name = a.env("BROWSER")
	case runtime.GOOS == "darwin":
		name = "open"
	case runtime.GOOS == "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // the browser outlives this program, or hands over at once
	return nil
}

// textFile writes the text to sign to a file, all of it at once, or to standard output.
func (a *app) textFile(file string, message []byte) error {
	if file == "-" {
		_, err := a.out.Write(message)
		return err
	}
	return writeSecret(file, message)
}

// signatureFile waits until somebody has written a signature into a file, a whole line of it.
func (a *app) signatureFile(ctx context.Context, file string) ([]byte, error) {
	ctx, stop := context.WithTimeoutCause(ctx, auth.NonceLife, failf(exitSignature, "login_expired", "no signature came to %s within five minutes; run writ login again", file))
	defer stop()
	for {
		b, err := a.text(file)
		if s := strings.TrimSpace(string(b)); err == nil && s != "" && (strings.HasSuffix(string(b), "\n") || len(s) >= 2+2*auth.SigSize) {
			return auth.ParseContractSig(s)
		}
		select {
		case <-time.After(200 * time.Millisecond): // another program writes it; there is nothing to wait on
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

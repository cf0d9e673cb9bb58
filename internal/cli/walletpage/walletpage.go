// Package walletpage is a page on this machine in which the wallet of a browser signs in for the command line, or
// approves one call.
package walletpage

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
)

//go:embed page
var files embed.FS

// Life is how long the page waits for the wallet: as long as the message to sign is good.
const Life = auth.NonceLife

// A Page is a page on this machine in which a browser's wallet signs. It serves one sign-in: the first account that
// comes with the code uses the code up, and gets a ticket for the signature. Requests must come from the page itself:
// exact Host and Origin, and code or ticket in a header, which no other page can set.
type Page struct {
	host  string // 127.0.0.1 and the port
	url   string // with the code, behind #
	until time.Time
	now   func() time.Time

	folder string // of the file that Show made; the caller's of Open alone, which also closes
	again  string // the command that opens another one
	// approve is the account whose approval the page asks for; zero for a sign-in, by whichever account.
	approve common.Address

	accounts   chan common.Address // each has room for the one value that it gets
	texts      chan Text
	signatures chan []byte
	cancelled  chan struct{}
	ended      chan struct{} // closed by end

	mu           sync.Mutex
	code, ticket string // guarded by mu; empty once used
	outcome      Reply  // guarded by mu; what end said
	closed       bool   // guarded by mu
}

// A Text is what the page shows and the wallet signs.
type Text struct {
	Ticket  string `json:"ticket"`
	Account string `json:"account"`
	Domain  string `json:"domain"`
	Limits  string `json:"limits"`
	Message string `json:"message"`

	Typed json.RawMessage `json:"typed,omitempty"` // of an approval, in place of Message: for eth_signTypedData_v4
	Chain uint64          `json:"chain,omitempty"` // that Typed is for
	Rows  [][2]string     `json:"rows,omitempty"`  // what Typed says, for people
}

// A Reply ends the page.
type Reply struct {
	Account string `json:"account,omitempty"`
	Message string `json:"message,omitempty"` // what went wrong
	Retry   bool   `json:"retry,omitempty"`   // and the user can do something about it on the page
	Done    string `json:"done,omitempty"`    // what was done, if it was no sign-in
}

func newPage(host string, now func() time.Time) *Page {
	p := &Page{
		host: host, now: now, until: now().Add(Life), again: "writ login", code: rand.Text(), ticket: rand.Text(),
		accounts: make(chan common.Address, 1), texts: make(chan Text, 1), signatures: make(chan []byte, 1),
		cancelled: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	p.url = "http://" + host + "/#" + p.code
	return p
}

// End says how the sign-in ended, to the page that waits for it. The first call counts.
func (p *Page) End(r Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.outcome, p.closed = r, true
		close(p.ended)
	}
}

// isSecret says whether the code or the ticket is given, and leaves it there.
func (p *Page) isSecret(secret *string, given string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *secret != "" && subtle.ConstantTimeCompare([]byte(*secret), []byte(given)) == 1
}

// takeSecret takes the code or the ticket, once.
func (p *Page) takeSecret(secret *string, given string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok := *secret != "" && subtle.ConstantTimeCompare([]byte(*secret), []byte(given)) == 1
	if ok {
		*secret = ""
	}
	return ok
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "+
			"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	given := r.Header.Get("X-Writ-Code")
	switch {
	case r.Host != p.host: // another name for this address: DNS rebinding
		refuse(w, http.StatusMisdirectedRequest, "This address has another name.")
	case r.Method == http.MethodGet:
		p.serveFile(w, r)
	case r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "Only GET and POST are known here.")
	case r.Header.Get("Origin") != "http://"+p.host:
		refuse(w, http.StatusForbidden, "Another page must not ask this.")
	case !p.now().Before(p.until):
		refuse(w, http.StatusGone, "The five minutes for this page are over. Run "+p.again+" again.")
	case r.URL.Path == "/account":
		p.takeAccount(w, r, given)
	case r.URL.Path == "/signature":
		p.takeSignature(w, r, given)
	case r.URL.Path == "/cancel":
		p.takeCancel(w, given)
	default:
		refuse(w, http.StatusNotFound, "There is no such page.")
	}
}

// takeAccount takes the account that the wallet gave, with the code.
func (p *Page) takeAccount(w http.ResponseWriter, r *http.Request, given string) {
	var in struct{ Account string }
	if !readBody(w, r, &in) {
		return
	}
	account := common.HexToAddress(in.Account)
	another := p.approve != (common.Address{}) && account != p.approve
	switch {
	case !common.IsHexAddress(in.Account):
		refuse(w, http.StatusBadRequest, "The wallet gave no account.")
	case another && p.isSecret(&p.code, given):
		writeReply(w, http.StatusConflict, Reply{Retry: true, Message: "Only the account " + p.approve.Hex() +
			" can approve this, and the wallet gave another. Choose that one in the wallet, and try again."})
	case !p.takeSecret(&p.code, given):
		refuse(w, http.StatusForbidden,
			"This address was used already, or is not the one that "+p.again+" printed. Run "+p.again+" again.")
	default:
		p.accounts <- account
		p.awaitAnswer(w, r, p.texts)
	}
}

// takeSignature takes what the wallet signed, with the ticket.
func (p *Page) takeSignature(w http.ResponseWriter, r *http.Request, given string) {
	var in struct{ Signature string }
	if !readBody(w, r, &in) {
		return
	}
	sig, err := auth.ParseContractSig(in.Signature)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "The wallet gave no signature that can be read.")
	case !p.takeSecret(&p.ticket, given):
		refuse(w, http.StatusForbidden, "This was signed already. Run "+p.again+" again.")
	default:
		p.signatures <- sig
		p.awaitAnswer(w, r, nil)
	}
}

// takeCancel ends the page, with the code or the ticket.
func (p *Page) takeCancel(w http.ResponseWriter, given string) {
	if !p.takeSecret(&p.code, given) && !p.takeSecret(&p.ticket, given) {
		refuse(w, http.StatusForbidden, "There is nothing to cancel any more.")
		return
	}
	p.cancelled <- struct{}{}
	writeReply(w, http.StatusOK, struct{}{})
}

// awaitAnswer waits for the text to sign, or for the end.
func (p *Page) awaitAnswer(w http.ResponseWriter, r *http.Request, texts chan Text) {
	select {
	case t := <-texts:
		writeReply(w, http.StatusOK, t)
	case <-p.ended:
		p.mu.Lock()
		out := p.outcome
		p.mu.Unlock()
		if out.Message != "" {
			writeReply(w, http.StatusConflict, out)
		} else {
			writeReply(w, http.StatusOK, out)
		}
	case <-r.Context().Done():
	}
}

func (p *Page) serveFile(w http.ResponseWriter, r *http.Request) {
	kinds := map[string]string{"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8",
		"/page.js": "text/javascript; charset=utf-8"}
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
	b, err := files.ReadFile("page/" + name)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The page is missing.") // it is embedded
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Write(b)
}

func readBody(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "This request cannot be read.")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status int, message string) {
	writeReply(w, status, Reply{Message: message})
}

func writeReply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a page that is gone needs no answer
}

// A Purpose says what a page is for.
type Purpose struct {
	Again   string         // the command that opens another page
	Account common.Address // whose approval is asked for; zero for a sign-in, by whichever account
	Until   time.Time      // when it is too late; zero for [Life] from now, which is the latest
}

// Open serves a page on a port of this machine. closing ends it.
func Open(ctx context.Context, purpose Purpose) (p *Page, closing func(), err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	p = newPage(ln.Addr().String(), time.Now)
	p.again, p.approve = purpose.Again, purpose.Account
	if !purpose.Until.IsZero() && purpose.Until.Before(p.until) {
		p.until = purpose.Until
	}
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	return p, func() {
		p.End(Reply{Message: "This has ended. Run " + p.again + " again."})
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // for the page to hear the end
		defer stop()
		if srv.Shutdown(last) != nil {
			srv.Close()
		}
		<-served
		if p.folder != "" {
			os.RemoveAll(p.folder)
		}
	}, nil
}

// URL is where the page is, with the code that makes it this one.
func (p *Page) URL() string { return p.url }

// Until is when it is too late to sign.
func (p *Page) Until() time.Time { return p.until }

// ErrCancelled says that the user does not want to sign.
var ErrCancelled = errors.New("cancelled in the browser")

// AwaitAccount waits for the account that the browser's wallet gives. The error is [ErrCancelled], or the cause of ctx.
func (p *Page) AwaitAccount(ctx context.Context) (common.Address, error) {
	select {
	case account := <-p.accounts:
		return account, nil
	case <-p.cancelled:
		return common.Address{}, ErrCancelled
	case <-ctx.Done():
		return common.Address{}, context.Cause(ctx)
	}
}

// AwaitSignature shows what is to be signed and waits for the signature, once. Errors are those of AwaitAccount.
func (p *Page) AwaitSignature(ctx context.Context, t Text) ([]byte, error) {
	t.Ticket = p.ticket
	p.texts <- t
	select {
	case sig := <-p.signatures:
		return sig, nil
	case <-p.cancelled:
		return nil, ErrCancelled
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Show opens the page in the user's browser: in browser, the program that $BROWSER names, or else in what the system
// opens files with. The address would be seen by every user of the machine in the arguments of that program, so what is
// opened is a file that only this user can read, and that leads to the page. Closing the page removes it.
func (p *Page) Show(browser string) (err error) {
	p.folder, err = LeadBrowser(p.url, browser)
	return err
}

// LeadBrowser opens an address as [Page.Show] does. The folder that it returns, unless it is empty, is to be removed
// when the browser was there.
func LeadBrowser(address, browser string) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "writ-"); err != nil {
		return "", err
	}
	file, at := filepath.Join(folder, "wallet.html"), html.EscapeString(address)
	if err := os.WriteFile(file, []byte(`<!doctype html><meta charset="utf-8"><title>writ</title>
<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url=`+at+`">
<a href="`+at+`">Go on</a>
`), 0o600); err != nil {
		return folder, err
	}
	return folder, open(file, browser)
}

func open(file, browser string) error {
	name, args := "xdg-open", []string{file}
	switch {
	case browser != "":
		name = browser
	case runtime.GOOS == "darwin":
		name = "open"
	case runtime.GOOS == "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", file}
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // the browser outlives this program, or hands over at once
	return nil
}

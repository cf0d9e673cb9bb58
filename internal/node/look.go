package node

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/operations"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// The operations page asks for figures with a pass: a time, signed by the operator's key, until which whoever has it
// may look, from this machine and not through a proxy. It lets nobody act; that takes an order (order.go).

const (
	passPath    = "/operator/figures"
	passContext = "writ/look/1\n"
	docsContext = "writ/docs/1\n" // of a pass that lets documents be kept, and lets nobody look
	// MaxPass is for how long a pass may be good.
	MaxPass = 24 * time.Hour
)

// A lookout answers the operations page.
type lookout struct {
	node    *Node
	looking sync.Mutex // held while figures are read, one look at a time
}

type pass struct {
	Operator string `json:"operator"` // public key, hex: another server's pass is no pass here
	Until    int64  `json:"until"`    // ms UTC
}

// SignPass returns what lets a page look at a server's figures until a time at most [MaxPass] away. It is a secret.
func SignPass(key ed25519.PrivateKey, until time.Time) (string, error) {
	return signPass(key, passContext, until)
}

// SignDocsPass returns what lets whoever has it keep a server's documents until a time at most [MaxPass] away. It is a
// secret.
func SignDocsPass(key ed25519.PrivateKey, until time.Time) (string, error) {
	return signPass(key, docsContext, until)
}

func signPass(key ed25519.PrivateKey, context string, until time.Time) (string, error) {
	message, err := json.Marshal(pass{hex.EncodeToString(key.Public().(ed25519.PublicKey)), until.UnixMilli()})
	if err != nil {
		return "", err
	}
	sig := ed25519.Sign(key, append([]byte(context), message...))
	text := base64.RawURLEncoding.EncodeToString
	return text(message) + "." + text(sig), nil
}

// checkPass says why text is no pass for this server now.
func (l *lookout) checkPass(text string, now time.Time) error {
	if says := faultOfPass(l.node, passContext, text, now); says != "" {
		return faultf(Unsigned, "pass", "%s; writ ops, on the server's machine, gives a link that is", says)
	}
	return nil
}

// faultOfPass says why text is no pass of a kind for a node now; nothing if it is one.
func faultOfPass(n *Node, context, text string, now time.Time) string {
	body, sig, _ := strings.Cut(text, ".")
	message, err := base64.RawURLEncoding.DecodeString(body)
	signature, err2 := base64.RawURLEncoding.DecodeString(sig)
	if errors.Join(err, err2) != nil ||
		!ed25519.Verify(n.key.Public().(ed25519.PublicKey), append([]byte(context), message...), signature) {
		return "this is no pass that the operator's key of this server has signed"
	}
	var p pass
	if json.Unmarshal(message, &p) != nil || p.Operator != n.OperatorKey() {
		return "this pass is for another server"
	}
	switch left := time.UnixMilli(p.Until).Sub(now); {
	case left <= 0:
		return "this pass is over"
	case left > MaxPass+time.Minute:
		return "this pass is good for too long"
	}
	return ""
}

// A Check is one thing that has to be so for a server to do its work.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// A Look is what the operations page shows.
type Look struct {
	operations.Figures
	Transactions []Tx    `json:"transactions"`
	MoreTxs      int     `json:"more_transactions"`
	Checks       []Check `json:"checks"`
	Version      string  `json:"version"`
}

// handleLook answers who has a pass.
func (l *lookout) handle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	now := time.Now()
	out, err := func() (*Look, error) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if err := l.checkPass(token, now); err != nil {
			return nil, err
		}
		q, err := readQuestion(r.URL.Query(), now)
		if err != nil {
			return nil, err
		}
		return l.look(r.Context(), q)
	}()
	if err != nil {
		refuseOrder(w, err, Reloaded{})
		return
	}
	_ = json.NewEncoder(w).Encode(out) // who asked may be gone
}

func readQuestion(v url.Values, now time.Time) (q operations.Question, err error) {
	window, known := operations.Windows[v.Get("window")]
	if !known {
		return q, badUse("a window is hour, day, week or month")
	}
	q = operations.Question{Since: now.Add(-window).UnixMilli(), Now: now.UnixMilli()}
	for name, to := range map[string]*int64{"per_run": &q.Tariff.Run, "per_million_tokens": &q.Tariff.Tokens} {
		if *to, err = readPrice(v.Get(name)); err != nil {
			return q, badUse("%s is no sum in USD, such as 0.01", name)
		}
	}
	return q, nil
}

// readPrice reads what users pay, at most a million USD, in nano-USD. Nothing is 0.
func readPrice(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	a, err := money.ParseDecimal(money.USD, text)
	if err != nil {
		return 0, err
	}
	if n := a.Uint256(); n.IsUint64() && n.Uint64() <= 1e15 {
		return int64(n.Uint64()), nil
	}
	return 0, money.ErrOverflow
}

func (l *lookout) look(ctx context.Context, q operations.Question) (*Look, error) {
	l.looking.Lock()
	defer l.looking.Unlock()
	figures, err := operations.Desk{Store: l.node.db}.Look(ctx, q)
	if errors.Is(err, costs.ErrRange) {
		return nil, badUse("a sum is too large to be counted; ask for a shorter time or a lower price")
	}
	if err != nil {
		l.node.log.ErrorContext(ctx, "the operations page cannot be answered", "err", err)
		return nil, faultf(Internal, "journal", "the journal cannot be read; the server's log says why")
	}
	out := &Look{Figures: *figures, Version: l.node.build.Version}
	out.Transactions, out.MoreTxs = listTxs(l.node.runner.Watch())
	out.Checks = l.check(ctx, out.Transactions, q.Now)
	return out, nil
}

// check looks at what the server needs.
func (l *lookout) check(ctx context.Context, txs []Tx, now int64) []Check {
	list := []Check{l.checkSelf(), l.checkChain(ctx), l.checkLog(ctx, now)}
	stuck := 0
	for _, t := range txs {
		if t.State == chainwatch.TxStuck {
			stuck++
		}
	}
	tx := Check{"Transactions", stuck == 0, fmt.Sprintf("%d under way, none stuck", len(txs))}
	if stuck > 0 {
		tx.Detail = fmt.Sprintf("%d of %d are stuck: writ tx replace, or writ tx cancel", stuck, len(txs))
	}
	return append(list, tx)
}

func (l *lookout) checkSelf() Check {
	err := l.node.db.Fence(context.Background())
	switch {
	case l.node.draining.Load():
		return Check{"Server", false, "is stopping, and takes no new runs"}
	case errors.Is(err, journal.ErrHeld):
		return Check{"Server", false, "another process has taken its data folder"}
	case err != nil:
		return Check{"Server", false, "can write nothing: the disk is full or has failed; its log says which"}
	}
	return Check{"Server", true, "takes runs"}
}

func (l *lookout) checkChain(ctx context.Context) Check {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	id, err := l.node.pool.ChainID(ctx)
	if err != nil { // which may name an endpoint, and so a key
		return Check{"Chain", false, "no endpoint answers: writ doctor says which"}
	}
	return Check{"Chain", true, fmt.Sprintf("%d answers", id)}
}

// maxLogLag is how far the log may be behind.
const maxLogLag = 5 * time.Minute

func (l *lookout) checkLog(ctx context.Context, now int64) Check {
	c := Check{"Log", false, "cannot be read; the server's log says why"}
	from, _, err := l.node.db.Unreceipted(ctx)
	if err != nil {
		return c
	}
	entries, err := l.node.db.Entries(ctx, from, 64)
	if err != nil {
		return c
	}
	for _, e := range entries {
		b, err := l.node.db.Block(ctx, e.CID)
		if err != nil {
			return c
		}
		var head provenance.Head
		if provenance.Decode(b, &head) != nil { // another kind of entry, which has no time
			continue
		}
		if late := time.Duration(now-head.At) * time.Millisecond; late > maxLogLag {
			c.Detail = fmt.Sprintf("is behind by %s: a witness or the disk may be away", late.Round(time.Minute))
			return c
		}
		break
	}
	return Check{"Log", true, fmt.Sprintf("%d entries have receipts, %d wait for theirs", from, len(entries))}
}

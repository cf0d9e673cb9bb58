package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/shelfdoor"
)

// A running node is told to reload, and asked about its transactions, by a request that the operator's key has signed,
// POST /operator/..., from the same machine: [OrderReload] and [OrderTx] send them, handleOrders takes them.

// An orderKind is where orders of a kind are taken, and what separates the operator's signature over one from every
// other use of the key.
type orderKind struct{ path, context string }

var (
	reloadOrder = orderKind{"/operator/reload", "writ/reload/1\n"}
	txOrder     = orderKind{"/operator/tx", "writ/tx/1\n"}
)

// orderAge is how old an order may be. Within that time each has to be newer than the one before, so that none is taken
// twice.
const orderAge = time.Minute

// A signedOrder is the body of a request: Message is the JSON of an order, Signature the operator's over the context of
// its kind and Message, in hex.
type signedOrder struct {
	Message   string `json:"message"`
	Signature string `json:"signature"`
}

type order struct {
	Operator    string `json:"operator"`               // public key, hex: another server's order is no order here
	Issued      int64  `json:"issued"`                 // ms UTC
	EndSessions bool   `json:"end_sessions,omitempty"` // to reload
	Do          string `json:"do,omitempty"`           // about transactions: list, replace or cancel
	Tx          string `json:"tx,omitempty"`           // which: a run's CID, or a hash
}

// An orderFault is the answer to an order that was refused, or that ended badly.
type orderFault struct {
	Kind    Kind   `json:"kind"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Swapped bool   `json:"swapped"` // the new sets are in place all the same
	Ended   int    `json:"ended"`   // sessions that were ended before the error
}

// handleOrders answers the operator's requests until life ends: who asked may leave, and what is begun is not left
// half-done. The server has seen to it that they come from this machine.
func (n *Node) handleOrders(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+txOrder.path, n.handleTxOrder)
	mux.Handle("POST "+shelfdoor.Path, shelfdoor.New(shelfdoor.Config{
		Library: n.library, Log: n.log, Check: func(text string) error {
			if says := faultOfPass(n, docsContext, text, time.Now()); says != "" {
				return fmt.Errorf("%s; writ docs pass, on the server's machine, gives one", says)
			}
			return nil
		},
	}))
	mux.HandleFunc("GET "+passPath, (&lookout{node: n}).handle)
	mux.HandleFunc("POST "+reloadOrder.path, func(w http.ResponseWriter, r *http.Request) {
		var out Reloaded
		o, err := n.readOrder(r.Body, reloadOrder)
		if err == nil {
			ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
			defer cancel()
			defer context.AfterFunc(life, cancel)()
			out, err = n.Reload(ctx, o.EndSessions)
		}
		w.Header().Set("Content-Type", "application/json")
		if err == nil {
			_ = json.NewEncoder(w).Encode(out) // an error means that the client has gone
			return
		}
		refuseOrder(w, err, out)
	})
	return mux
}

// refuseOrder answers an order that was refused, or that ended badly.
func refuseOrder(w http.ResponseWriter, err error, out Reloaded) {
	f := faultOf(err)
	status := http.StatusUnprocessableEntity
	if f.Kind == Unsigned {
		status = http.StatusForbidden
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(orderFault{f.Kind, f.Code, f.Says, out.Operator != "", out.Ended})
}

// readOrder takes an order once, if the operator has signed it for this server a moment ago.
func (n *Node) readOrder(body io.Reader, kind orderKind) (o order, err error) {
	refuse := func(format string, args ...any) (order, error) {
		return o, faultf(Unsigned, "operator", format, args...)
	}
	var signed signedOrder
	if err := json.NewDecoder(body).Decode(&signed); err != nil {
		return refuse("the request is not a signed order of the operator")
	}
	sig, err := hex.DecodeString(signed.Signature)
	if err != nil || !ed25519.Verify(n.key.Public().(ed25519.PublicKey), []byte(kind.context+signed.Message), sig) {
		return refuse("the order is not signed by this server's operator key; name its data folder with --data")
	}
	if err := json.Unmarshal([]byte(signed.Message), &o); err != nil || o.Operator != n.OperatorKey() {
		return refuse("the order is for another server")
	}
	if age := time.Since(time.UnixMilli(o.Issued)).Abs(); age > orderAge {
		return refuse("the order is of %s ago or ahead; look at the clocks", age.Round(time.Second))
	}
	for last := n.ordered.Load(); ; last = n.ordered.Load() {
		if o.Issued <= last {
			return refuse("the order is not newer than the last one, or than the server's start; give it again")
		}
		if n.ordered.CompareAndSwap(last, o.Issued) {
			return o, nil
		}
	}
}

// OrderReload sends an order of the operator's key to the server at url, on this machine, and returns its answer. by is
// who asks it, and end that of [Node.Reload]. The error is a [*Fault], and says which sets hold where that is known.
func OrderReload(
	ctx context.Context, by *http.Client, url string, key ed25519.PrivateKey, end bool,
) (out Reloaded, err error) {
	err = sendOrder(ctx, by, url, key, reloadOrder, order{EndSessions: end}, &out, orderFault.sayWhatHolds)
	return out, err
}

// sendOrder signs an order and sends it to the server at url, whose answer goes into out. says is what is told of a
// refusal.
func sendOrder(ctx context.Context, by *http.Client, url string, key ed25519.PrivateKey, kind orderKind, o order,
	out any, says func(orderFault) string) error {
	body, err := signOrder(key, kind, o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+kind.path, bytes.NewReader(body))
	if err != nil {
		return badUse("%s", err)
	}
	unreachable := func(format string, args ...any) error {
		return faultf(Unreachable, "unreachable", format, args...)
	}
	resp, err := by.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return unreachable("%s has not answered within a minute, and may still do it; its log says what came of it", url)
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return unreachable("what answers at %s shows a certificate that is not trusted here (%v): run this where writ.yaml "+
			"names it under tls, or give --server with the name that it is for", url, bad.Err)
	}
	if err != nil {
		return unreachable("no server answers at %s; give --server URL, or start it", url)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return unreachable("the server's answer did not come whole, so what came of it is not known; ask again")
	}
	var bad orderFault
	switch {
	case resp.StatusCode == http.StatusOK && json.Unmarshal(answer, out) == nil:
		return nil
	case json.Unmarshal(answer, &bad) == nil && bad.Code != "":
		return faultf(bad.Kind, bad.Code, "%s", says(bad))
	}
	if resp.StatusCode == http.StatusForbidden {
		return unreachable("%s is a proxy or elsewhere, and orders are taken on the server's own machine only: give "+
			"--server http://HOST:PORT, as the setting listen has it", url)
	}
	return unreachable("%s is not a writ server that takes this order: %s", url,
		strings.TrimSpace(string(answer[:min(len(answer), 200)])))
}

func signOrder(key ed25519.PrivateKey, kind orderKind, o order) ([]byte, error) {
	o.Operator, o.Issued = hex.EncodeToString(key.Public().(ed25519.PublicKey)), time.Now().UnixMilli()
	message, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, append([]byte(kind.context), message...))
	return json.Marshal(signedOrder{string(message), hex.EncodeToString(sig)})
}

// sayWhatHolds says which sets hold after a reload that failed.
func (f orderFault) sayWhatHolds() string {
	why := strings.TrimSuffix(f.Message, ".")
	if !f.Swapped {
		return why + "; the server goes on with the old policy sets"
	}
	sessions := "1 session"
	if f.Ended != 1 {
		sessions = fmt.Sprintf("%d sessions", f.Ended)
	}
	return fmt.Sprintf("%s; the new policy sets are in place, and %s of earlier ones ended; ask again", why, sessions)
}

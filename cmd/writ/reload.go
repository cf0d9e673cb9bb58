package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A reload is asked for by SIGHUP, if the server is not at a terminal, or by a request that the operator's key signed: POST /operator/reload from the same
// machine. Both read the configuration again, and of it the policy sets alone.

// reloadContext separates the operator's signature over a reload from every other use of the key.
const reloadContext = "writ/reload/1\n"

// reloadWithin is how old a request may be. Within that time each has to be newer than the one before, so that none is
// taken twice.
const reloadWithin = time.Minute

// A reloadRequest is the body of POST /operator/reload: Message is the JSON of a reloadOrder, Signature the operator's
// over reloadContext and Message, in hex.
type reloadRequest struct {
	Message   string `json:"message"`
	Signature string `json:"signature"`
}

type reloadOrder struct {
	Operator    string `json:"operator"` // public key, hex: another server's order is no order here
	Issued      int64  `json:"issued"`   // ms UTC
	EndSessions bool   `json:"end_sessions"`
}

// A reloadResult is what the server answers.
type reloadResult struct {
	Operator string            `json:"operator"` // CID of the operator's set
	Dapps    map[string]string `json:"dapps,omitempty"`
	Changed  bool              `json:"changed"`
	Earlier  int               `json:"earlier"` // sessions that go on under other sets
	Ended    int               `json:"ended"`   // sessions that were ended
}

// reload puts the policy sets that the configuration now names in the place of the old ones, or leaves all as it is. One
// follows the other, so that what was read last is what holds. After an error the new sets are in place if the result
// names the operator's.
func (n *node) reload(ctx context.Context, end bool) (reloadResult, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	var out reloadResult
	rules, err := n.reread()
	if err != nil {
		return out, err
	}
	var origins []string
	for _, d := range rules.Dapps {
		origins = append(origins, d.Origin)
	}
	if slices.Sort(origins); !slices.Equal(origins, n.dapps) {
		return out, failf(exitUsage, "policy", "dapps names other origins than when the server started, which are %s; restart it", or(strings.Join(n.dapps, ", "), "none"))
	}
	r, err := n.runner.Reload(ctx, rules)
	if err != nil && !r.Operator.Defined() {
		return out, reloadFailure(err)
	}
	out = reloadResult{Operator: r.Operator.String(), Dapps: map[string]string{}, Changed: r.Changed, Earlier: len(r.Earlier)}
	for origin, set := range r.Dapps {
		out.Dapps[origin] = set.String()
	}
	if end { // even if they could not be listed a moment ago
		var ended []provenance.Link
		ended, err = n.runner.EndEarlier(ctx)
		out.Ended, out.Earlier = len(ended), max(out.Earlier-len(ended), 0)
	}
	if err != nil {
		return out, err
	}
	n.log.InfoContext(ctx, "policy sets reloaded", "operator", out.Operator, "changed", out.Changed, "earlier", out.Earlier, "ended", out.Ended)
	return out, nil
}

// reloadFailure says why sets were not taken: what is wrong with a source, or which of its own tests fail.
func reloadFailure(err error) *failure {
	code := "internal"
	exit := exitInternal
	if _, bad := errors.AsType[*policies.LoadError](err); bad || errors.Is(err, agent.ErrUnsafe) {
		exit, code = exitUsage, "policy"
	}
	if _, bad := errors.AsType[*agent.TestError](err); bad {
		exit, code = exitUsage, "policy_test"
	}
	return failf(exit, code, "%s", plain(strings.TrimPrefix(err.Error(), "reload: ")))
}

// reloadOnHangup reloads at every SIGHUP until the function that it returns has returned.
func (n *node) reloadOnHangup(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if out, err := n.reload(ctx, false); err != nil && out.Operator == "" {
					n.log.ErrorContext(ctx, "policy sets not reloaded; the old ones stay", "err", failureOf(err).message)
				} else if err != nil {
					n.log.ErrorContext(ctx, "policy sets reloaded; what is open under earlier ones is not known", "operator", out.Operator, "err", failureOf(err).message)
				}
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-done
	}
}

// operator answers the operator's requests until life ends: who asked may leave, and what is begun is not left half-done.
// The server has seen to it that they come from this machine.
func (n *node) operator(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /operator/reload", func(w http.ResponseWriter, r *http.Request) {
		order, err := n.readOrder(r.Body)
		var out reloadResult
		if err == nil {
			ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
			defer cancel()
			defer context.AfterFunc(life, cancel)()
			out, err = n.reload(ctx, order.EndSessions)
		}
		w.Header().Set("Content-Type", "application/json")
		if err == nil {
			json.NewEncoder(w).Encode(out)
			return
		}
		f := failureOf(err)
		status := http.StatusUnprocessableEntity
		if f.exit == exitSignature {
			status = http.StatusForbidden
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(reloadError{f.exit, f.code, f.message, out.Operator != "", out.Ended})
	})
	return mux
}

type reloadError struct {
	Exit    int    `json:"exit"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Swapped bool   `json:"swapped"` // the new sets are in place all the same
	Ended   int    `json:"ended"`   // sessions that were ended before the error
}

// holds says which sets hold after a reload that failed.
func (e reloadError) holds() string {
	why := strings.TrimSuffix(plain(e.Message), ".")
	if e.Swapped {
		return fmt.Sprintf("%s; the new policy sets are in place, and %s of earlier ones ended; ask again", why, count(e.Ended, "session"))
	}
	return why + "; the server goes on with the old policy sets"
}

func (n *node) readOrder(body io.Reader) (o reloadOrder, err error) {
	bad := func(format string, args ...any) (reloadOrder, error) {
		return o, failf(exitSignature, "operator", format, args...)
	}
	var q reloadRequest
	if err := json.NewDecoder(body).Decode(&q); err != nil {
		return bad("the request is not a signed order of the operator")
	}
	sig, err := hex.DecodeString(q.Signature)
	if err != nil || !ed25519.Verify(n.key.Public().(ed25519.PublicKey), []byte(reloadContext+q.Message), sig) {
		return bad("the order is not signed by this server's operator key; name its data folder with --data")
	}
	if err := json.Unmarshal([]byte(q.Message), &o); err != nil || o.Operator != n.publicKey() {
		return bad("the order is for another server")
	}
	if age := time.Since(time.UnixMilli(o.Issued)).Abs(); age > reloadWithin {
		return bad("the order is of %s ago or ahead; look at the clocks", age.Round(time.Second))
	}
	for last := n.ordered.Load(); ; last = n.ordered.Load() {
		if o.Issued <= last {
			return bad("the order is not newer than the last one, or than the server's start; give it again")
		}
		if n.ordered.CompareAndSwap(last, o.Issued) {
			break
		}
	}
	return o, nil
}

func (a *app) policyReload() *cobra.Command {
	var data, server string
	var end bool
	c := &cobra.Command{
		Use: "reload", Short: "Have a running server read its policy sets again",
		Long: `Has the server on this machine read its configuration again, and of it the policy sets: the operator's and those of
dApps. They are loaded, proven and tested by their own tests aside; if anything is wrong with them the old ones stay, and
the reason is told. SIGHUP does the same to a server that no terminal has started, and its outcome is in the log.

New sessions get the new sets. A session that is open keeps the set that its wallet signed until it ends, after a restart
too: a reload widens nothing. Nor does it tighten what is open; for a set that must hold at once, --end-sessions ends the
sessions of all others, and their wallets sign in again.

The order is signed by the operator's key, in the server's data folder.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var n devNote
			if data == "" && a.load("dev.json", &n) == nil {
				data = n.Data
			}
			if data == "" {
				return usage("name the server's data folder: --data DIR")
			}
			if _, err := os.Stat(filepath.Join(data, "operator.key")); err != nil {
				return usage("there is no operator's key in %s", data)
			}
			key, err := operatorKey(data)
			if err != nil {
				return err
			}
			url, err := a.server(server)
			if err != nil {
				return err
			}
			out, err := sendReload(c.Context(), url, key, end)
			if err != nil {
				return err
			}
			return a.done(out, func(w io.Writer) {
				what := "reloaded"
				if !out.Changed {
					what = "reloaded; nothing has changed"
				}
				fmt.Fprintf(w, "%s\noperator  %s\n", what, out.Operator)
				for _, origin := range slices.Sorted(maps.Keys(out.Dapps)) {
					fmt.Fprintf(w, "dapp      %s  %s\n", out.Dapps[origin], plain(origin))
				}
				if out.Ended > 0 {
					fmt.Fprintf(w, "%s of earlier sets ended\n", count(out.Ended, "session"))
				}
				if out.Earlier > 0 {
					fmt.Fprintf(w, "%s under earlier sets; --end-sessions ends them\n", goOn(out.Earlier))
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data `folder` of the server (default: that of a running writ dev)")
	f.StringVar(&server, "server", "", "`URL` of the server on this machine")
	f.BoolVar(&end, "end-sessions", false, "end the sessions that are open under other sets")
	return c
}

func goOn(n int) string {
	if n == 1 {
		return "1 session goes on"
	}
	return fmt.Sprintf("%d sessions go on", n)
}

// sendReload sends a signed order to a server and returns its answer.
func sendReload(ctx context.Context, url string, key ed25519.PrivateKey, end bool) (out reloadResult, err error) {
	order, err := json.Marshal(reloadOrder{
		Operator: hex.EncodeToString(key.Public().(ed25519.PublicKey)), Issued: time.Now().UnixMilli(), EndSessions: end,
	})
	if err != nil {
		return out, err
	}
	body, err := json.Marshal(reloadRequest{string(order), hex.EncodeToString(ed25519.Sign(key, append([]byte(reloadContext), order...)))})
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/operator/reload", bytes.NewReader(body))
	if err != nil {
		return out, usage("%s", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return out, failf(exitNetwork, "unreachable", "%s has not answered within a minute, and may still reload; its log says what came of it", url)
	}
	if err != nil {
		return out, failf(exitNetwork, "unreachable", "no server answers at %s; give --server URL, or start it", url)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return out, failf(exitNetwork, "unreachable", "the server's answer did not come whole, so what came of it is not known; ask again")
	}
	var bad reloadError
	switch {
	case resp.StatusCode == http.StatusOK && json.Unmarshal(answer, &out) == nil:
		return out, nil
	case json.Unmarshal(answer, &bad) == nil && bad.Code != "":
		return out, failf(bad.Exit, bad.Code, "%s", bad.holds())
	}
	return out, failf(exitNetwork, "unreachable", "%s is not a writ server that can reload: %s", url, plain(strings.TrimSpace(string(answer[:min(len(answer), 200)]))))
}

// dappFlags reads ORIGIN=FILE.
func dappFlags(list []string) (out []config.Dapp, err error) {
	for _, s := range list {
		origin, file, ok := strings.Cut(s, "=")
		if !ok || file == "" {
			return nil, usage("--dapp %s: write ORIGIN=FILE, for instance https://shop.example=shop.yaml", plain(s))
		}
		out = append(out, config.Dapp{Origin: origin, Policies: file})
	}
	return out, nil
}

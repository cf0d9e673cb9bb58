package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/config"
)

// A sickNode answers for chain 8453 as a healthy node does, but for the methods that it answers otherwise.
func sickNode(otherwise map[string]string, newest time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage
			Method string
			Params []any
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		zero := "0x" + strings.Repeat("0", 64)
		block := fmt.Sprintf(`{"number":"0x10","hash":%[1]q,"parentHash":%[1]q,"sha3Uncles":%[1]q,"miner":%[2]q,"stateRoot":%[1]q,`+
			`"transactionsRoot":%[1]q,"receiptsRoot":%[1]q,"logsBloom":%[3]q,"difficulty":"0x0","gasLimit":"0x1","gasUsed":"0x0",`+
			`"timestamp":"0x%[4]x","extraData":"0x","mixHash":%[1]q,"nonce":"0x0000000000000000"}`,
			zero, zero[:42], "0x"+strings.Repeat("0", 512), newest.Unix())
		method := q.Method
		if method == "eth_getBlockByNumber" {
			method += " " + fmt.Sprint(q.Params[0])
		}
		answer, known := otherwise[method]
		if !known {
			answer = map[string]string{"eth_chainId": `"result":"0x2105"`, "eth_syncing": `"result":false`,
				"eth_getBlockByNumber latest": `"result":` + block, "eth_getBlockByNumber safe": `"result":` + block}[method]
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, q.ID, answer)
	}
}

// Whatever is wrong with an endpoint of a chain is told in a sentence of its own, with a next step; the URL, which may
// hold a key, is not shown.
func TestEachTroubleOfAnEndpointHasItsSentence(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	rpcError := func(code int, says string) http.HandlerFunc {
		return sickNode(map[string]string{"eth_chainId": fmt.Sprintf(`"error":{"code":%d,"message":%q}`, code, says)}, time.Now())
	}
	now := time.Now()
	for _, tt := range []struct {
		name string
		node http.HandlerFunc
		want string // "" if it is well
	}{
		{"a healthy node", sickNode(nil, now), ""},
		{"401", status(401, "no"), "wants a key (HTTP 401)"},
		{"402", status(402, "pay"), "wants to be paid (HTTP 402)"},
		{"403", status(403, "<html>"), "does not let this server in (HTTP 403)"},
		{"404", status(404, "not found"), "has no JSON-RPC at this path (HTTP 404)"},
		{"405", status(405, ""), "has no JSON-RPC at this path (HTTP 405)"},
		{"413", status(413, ""), "does not take the request (HTTP 413)"},
		{"429", status(429, `{"error":"slow down"}`), "answers no more requests for now (HTTP 429)"},
		{"500", status(500, ""), "is in trouble itself (HTTP 500)"},
		{"502 of a proxy", status(502, "<html>bad gateway</html>"), "is in trouble itself (HTTP 502)"},
		{"503", status(503, ""), "is in trouble itself (HTTP 503)"},
		{"a web page with 200", status(200, "<!doctype html><html></html>"), "something else than JSON-RPC, such as a web page"},
		{"an empty answer", status(200, ""), "breaks the connection off"},
		{"half an answer", status(200, `{"jsonrpc":"2.0","id":1,"res`), "breaks the connection off"},
		{"a list in the place of an object", status(200, `"hello"`), "something else than JSON-RPC"},
		{"a quota by JSON-RPC", rpcError(-32005, "daily request count exceeded"), "answers no more requests for now (JSON-RPC error -32005)"},
		{"a rate by its words", rpcError(-32000, "rate limit reached"), "answers no more requests for now"},
		{"a key that is wrong", rpcError(-32000, "invalid API key"), "wants a key, or does not take this one"},
		{"a method that is not there", rpcError(-32601, "the method eth_chainId does not exist"), "does not have the method that is asked"},
		{"another error", rpcError(-32603, "boom"), "answers with an error (JSON-RPC error -32603)"},
		{"another chain", sickNode(map[string]string{"eth_chainId": `"result":"0x1"`}, now), "serves chain 1, and chain.id is 8453"},
		{"no safe block", sickNode(map[string]string{"eth_getBlockByNumber safe": `"error":{"code":-32000,"message":"safe block not found"}`}, now), "has no safe block, so no payment would ever be final"},
		{"a null safe block", sickNode(map[string]string{"eth_getBlockByNumber safe": `"result":null`}, now), "has no safe block, so no payment would ever be final"},
		{"it catches up", sickNode(map[string]string{"eth_syncing": `"result":{"startingBlock":"0x0","currentBlock":"0x10","highestBlock":"0x20"}`}, now.Add(-time.Hour)), "is still catching up, at block 16 of 32"},
		{"it stands", sickNode(nil, now.Add(-time.Hour)), "has made no block since " + now.Add(-time.Hour).UTC().Format(time.RFC3339)},
		{"its clock is ahead", sickNode(nil, now.Add(time.Hour)), "is from the future"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.node)
			defer s.Close()
			wantFinding(t, s.URL+"/v2/SECRET", tt.want)
		})
	}
	t.Run("a certificate that nobody knows", func(t *testing.T) {
		s := httptest.NewUnstartedServer(sickNode(nil, now))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		wantFinding(t, s.URL+"/SECRET", "has a certificate of an authority that this machine does not know")
	})
	t.Run("no TLS", func(t *testing.T) {
		s := httptest.NewServer(sickNode(nil, now))
		defer s.Close()
		wantFinding(t, strings.Replace(s.URL, "http:", "https:", 1)+"/SECRET", "speaks no TLS there")
	})
	t.Run("nothing listens", func(t *testing.T) {
		s := httptest.NewServer(nil)
		s.Close()
		wantFinding(t, s.URL+"/SECRET", "refuses the connection: nothing listens there")
	})
	t.Run("a host that is not there", func(t *testing.T) {
		wantFinding(t, "http://no-such-host.invalid/SECRET", "has a host name that")
	})
	t.Run("it hangs", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		wantFinding(t, "http://"+ln.Addr().String()+"/SECRET", "does not answer in time")
	})
	t.Run("it hangs up", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		defer s.Close()
		wantFinding(t, s.URL+"/SECRET", "breaks the connection off")
	})
	t.Run("a redirect, which the server does not follow", func(t *testing.T) {
		good := httptest.NewServer(sickNode(nil, now))
		defer good.Close()
		s := httptest.NewServer(http.RedirectHandler(good.URL, http.StatusTemporaryRedirect))
		defer s.Close()
		wantFinding(t, s.URL+"/SECRET", "sends requests elsewhere (HTTP 307)")
	})
}

func wantFinding(t *testing.T, url, want string) {
	t.Helper()
	cfg := &config.Config{Chain: config.Chain{ID: 8453}}
	f := endpointFinding(t.Context(), cfg, url, "endpoint 2 of chain.rpc")
	if f.OK != (want == "") || !strings.Contains(f.Detail, want) || !f.OK && f.Fix == "" {
		t.Errorf("got %+v, want %q", f, want)
	}
	if says := f.Detail + f.Fix; strings.Contains(says, "SECRET") || strings.ContainsRune(says, '\n') {
		t.Errorf("it says %q", says)
	}
}

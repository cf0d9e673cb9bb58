package ethcall_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/chain/walletstest"
	"github.com/writ-run/writ/internal/ethcall"
)

// A bend changes what an endpoint answers: it gets the method and the honest result, and returns what is said instead.
type bend func(w http.ResponseWriter, r *http.Request, method string, result json.RawMessage) (said json.RawMessage, done bool)

// endpoint is an endpoint before the one at url that bends what it answers.
func endpoint(t testing.TB, url string, b bend) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var req struct{ Method string }
		_ = json.Unmarshal(body, &req)
		resp, err := http.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		var answer map[string]json.RawMessage
		_ = json.NewDecoder(resp.Body).Decode(&answer)
		said, done := b(w, r, req.Method, answer["result"])
		if done {
			return
		}
		if said != nil {
			answer["result"] = said
			delete(answer, "error")
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func honest(http.ResponseWriter, *http.Request, string, json.RawMessage) (json.RawMessage, bool) {
	return nil, false
}

func down(w http.ResponseWriter, _ *http.Request, _ string, _ json.RawMessage) (json.RawMessage, bool) {
	w.WriteHeader(http.StatusServiceUnavailable)
	return nil, true
}

// hangs never answers.
func hangs(_ http.ResponseWriter, r *http.Request, _ string, _ json.RawMessage) (json.RawMessage, bool) {
	<-r.Context().Done()
	return nil, true
}

// stalls answers all but the question.
func stalls(_ http.ResponseWriter, r *http.Request, method string, _ json.RawMessage) (json.RawMessage, bool) {
	if method == "eth_call" {
		<-r.Context().Done()
		return nil, true
	}
	return nil, false
}

// verdict says another verdict than the contract's.
func verdict(n byte) bend {
	return func(_ http.ResponseWriter, _ *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
		if method != "eth_call" {
			return nil, false
		}
		var hex string
		_ = json.Unmarshal(result, &hex)
		said, _ := json.Marshal(hex[:2+63] + string('0'+n) + hex[2+64:])
		return said, false
	}
}

// elsewhere is on another chain.
func elsewhere(_ http.ResponseWriter, _ *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
	if method != "eth_call" {
		return nil, false
	}
	var hex string
	_ = json.Unmarshal(result, &hex)
	said, _ := json.Marshal(hex[:2+64] + strings.Repeat("0", 63) + "1" + hex[2+128:])
	return said, false
}

// block changes a field of the blocks that it serves.
func block(field, value string) bend {
	return func(_ http.ResponseWriter, _ *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
		if method != "eth_getBlockByNumber" {
			return nil, false
		}
		var b map[string]any
		_ = json.Unmarshal(result, &b)
		b[field] = value
		said, _ := json.Marshal(b)
		return said, false
	}
}

var otherHash = "0x" + strings.Repeat("ab", 32)

// says answers every request with these bytes.
func says(text string) bend {
	return func(w http.ResponseWriter, _ *http.Request, _ string, _ json.RawMessage) (json.RawMessage, bool) {
		_, _ = io.WriteString(w, text)
		return nil, true
	}
}

func TestAQuorumDecides(t *testing.T) {
	w := walletstest.New(t)
	alice := keyOf("alice")
	yes := auth.Question{Chain: chain.DevChainID, Account: w.Deploy("Wallet", addressOf(alice)), Hash: hash, Sig: sign(t, alice, hash), Spends: true}
	no, read := yes, yes
	no.Sig = sign(t, keyOf("bob"), hash)
	read.Spends = false
	w.Deploy("Reverts") // so that there is a block before the newest

	for _, tt := range []struct {
		rule   string
		q      auth.Question
		quorum int
		of     []bend
		want   auth.Verdict // 0: unavailable
		agreed uint64
		says   string // of the error
	}{
		{"three agree", yes, 2, []bend{honest, honest, honest}, auth.Accepted, 3, ""},
		{"one of three is down", yes, 2, []bend{honest, down, honest}, auth.Accepted, 2, ""},
		{"one of three hangs", yes, 2, []bend{hangs, honest, honest}, auth.Accepted, 2, ""},
		{"one of three stalls at the question", yes, 2, []bend{honest, honest, stalls}, auth.Accepted, 2, ""},
		{"two of three are down", yes, 2, []bend{honest, down, down}, 0, 0, "1 of 3 endpoints answered"},
		{"all are down", yes, 2, []bend{down, down, down}, 0, 0, "0 of 3 endpoints answered"},
		{"one of three says yes where it is no", no, 2, []bend{verdict(1), honest, honest}, auth.WrongAnswer, 2, ""},
		{"one of three says no where it is yes", yes, 2, []bend{verdict(5), honest, honest}, auth.Accepted, 2, ""},
		{"one of two lies", no, 2, []bend{verdict(1), honest}, 0, 0, "contradict"},
		{"one word is enough to read", read, 2, []bend{honest, down}, auth.Accepted, 1, ""},
		{"one word against another is not", read, 1, []bend{honest, verdict(5)}, 0, 0, "contradict"},
		{"one is on a fork", yes, 2, []bend{block("hash", otherHash), honest, honest}, auth.Accepted, 2, ""},
		{"all are on forks of their own", yes, 2, []bend{block("hash", otherHash), honest}, 0, 0, "agree on block"},
		{"one claims to be far ahead", yes, 2, []bend{block("number", "0x7fffffff"), honest, honest}, auth.Accepted, 2, ""},
		{"one is on another chain", yes, 2, []bend{elsewhere, honest, honest}, auth.Accepted, 2, ""},
		{"all are on another chain", yes, 2, []bend{elsewhere, elsewhere}, 0, 0, "that of another chain"},
		{"not JSON", yes, 1, []bend{says("<html>")}, 0, 0, "not JSON-RPC"},
		{"no block", yes, 1, []bend{says(`{"result":null}`)}, 0, 0, "does not have the block"},
		{"an error", yes, 1, []bend{says(`{"error":{"code":-32000,"message":"no"}}`)}, 0, 0, "error -32000: no"},
		{"megabytes", yes, 1, []bend{says(`{"result":"0x` + strings.Repeat("00", 3<<20) + `"}`)}, 0, 0, "longer than"},
		{"nonsense in the answer", yes, 1, []bend{verdict(9)}, 0, 0, "none of those"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			c := ethcall.Chain{Chain: chain.DevChainID, Quorum: tt.quorum}
			for _, b := range tt.of {
				c.URLs = append(c.URLs, endpoint(t, w.URL, b))
			}
			v, err := chains(t, c).Ask(t.Context(), tt.q)
			if tt.want == 0 {
				if !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %+v, %v, want unavailable, saying %q", v, err, tt.says)
				}
				return
			}
			if err != nil || v.Verdict != tt.want || v.Agreed != tt.agreed || v.Asked != uint64(len(tt.of)) {
				t.Errorf("got %+v, %v, want %v by %d", v, err, tt.want, tt.agreed)
			}
		})
	}
}

// TestOneForeignEndpointIsNotEnoughToSpend: a quorum is not given up because nobody set one.
func TestOneForeignEndpointIsNotEnoughToSpend(t *testing.T) {
	q := auth.Question{Chain: 1, Account: addressOf(keyOf("alice")), Hash: hash, Spends: true}
	_, err := chains(t, ethcall.Chain{Chain: 1, URLs: []string{"https://rpc.example"}}).Ask(t.Context(), q)
	if !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "2 must agree") {
		t.Errorf("got %v", err)
	}
	_, err = chains(t).Ask(t.Context(), q)
	if !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "no endpoint of chain 1") {
		t.Errorf("got %v", err)
	}
}

func TestBadEndpointsAreNamed(t *testing.T) {
	for rule, c := range map[string]ethcall.Chain{
		"no chain":                  {URLs: []string{"http://a"}},
		"no endpoint":               {Chain: 1},
		"another kind of URL":       {Chain: 1, URLs: []string{"ws://a/SECRET"}},
		"the same one twice":        {Chain: 1, URLs: []string{"http://a/SECRET", "http://a/SECRET"}},
		"a quorum of more than are": {Chain: 1, URLs: []string{"http://a"}, Quorum: 2},
		"nine endpoints":            {Chain: 1, URLs: strings.Fields("http://a http://b http://c http://d http://e http://f http://g http://h http://i")},
	} {
		if _, err := ethcall.New(ethcall.Config{Chains: []ethcall.Chain{c}}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v", rule, err)
		}
	}
}

// TestAStaleEndpointIsNotAsked: an endpoint that is not one's own and whose newest block is old does not follow its
// chain.
func TestAStaleEndpointIsNotAsked(t *testing.T) {
	w := walletstest.New(t)
	// Not on loopback by its name, though it is: names of *.localhost lead there.
	url := strings.Replace(endpoint(t, w.URL, honest), "127.0.0.1", "node.localhost", 1)
	old := func() time.Time { return time.Now().Add(ethcall.MaxAge + time.Hour) }
	q := auth.Question{Chain: chain.DevChainID, Account: w.Deploy("Flips"), Hash: hash}
	for _, tt := range []struct {
		now func() time.Time
		ok  bool
	}{{time.Now, true}, {old, false}} {
		s, err := ethcall.New(ethcall.Config{Chains: []ethcall.Chain{{Chain: chain.DevChainID, URLs: []string{url}}}, Now: tt.now})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Ask(t.Context(), q)
		if err != nil && strings.Contains(err.Error(), "no such host") {
			t.Skip("names of *.localhost do not lead to this machine here")
		}
		if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "old") {
			t.Errorf("got %v, want an answer: %t", err, tt.ok)
		}
	}
}

func TestLookSaysWhichEndpointsCount(t *testing.T) {
	w := walletstest.New(t)
	s := chains(t, ethcall.Chain{Chain: chain.DevChainID, URLs: []string{w.URL, endpoint(t, w.URL, down)}, Quorum: 2},
		ethcall.Chain{Chain: 5, URLs: []string{w.URL}})
	got := s.Look(t.Context())
	if len(got) != 2 || got[0].Chain != 5 || got[0].Up != 0 || got[1].Up != 1 || got[1].All != 2 || got[1].Quorum != 2 {
		t.Fatalf("got %+v", got)
	}
	if !strings.Contains(got[0].Reasons[0], "serves chain 1337") || !strings.Contains(got[1].Reasons[0], "HTTP 503") {
		t.Errorf("got %+v", got)
	}
}

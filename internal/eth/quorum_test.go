package eth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
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
	yes := auth.Question{Chain: devchain.ID, Account: w.Deploy("Wallet", addressOf(alice)), Hash: hash, Sig: sign(t, alice, hash), Spends: true}
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
		{"one word of two is not enough to read", read, 2, []bend{honest, down}, 0, 0, "1 of 2 endpoints answered"},
		{"one of one is enough to read", read, 1, []bend{honest}, auth.Accepted, 1, ""},
		{"a quorum of one is still most of three", yes, 1, []bend{honest, down, down}, 0, 0, "1 of 3 endpoints answered"},
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
			c := eth.Chain{Chain: devchain.ID, Quorum: tt.quorum}
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

// blockAt lets the newest block be another one: so many blocks, and so much time, ahead.
func blockAt(blocks int64, ahead time.Duration) bend {
	return func(_ http.ResponseWriter, _ *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
		if method != "eth_getBlockByNumber" {
			return nil, false
		}
		var b map[string]any
		_ = json.Unmarshal(result, &b)
		if b == nil {
			return nil, false
		}
		number, _ := strconv.ParseInt(strings.TrimPrefix(b["number"].(string), "0x"), 16, 64)
		b["number"] = fmt.Sprintf("0x%x", number+blocks)
		b["timestamp"] = fmt.Sprintf("0x%x", time.Now().Add(ahead).Unix())
		b["hash"] = otherHash
		said, _ := json.Marshal(b)
		return said, false
	}
}

// both bends by two; slowly waits first.
func both(a, b bend) bend {
	return func(w http.ResponseWriter, r *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
		said, done := a(w, r, method, result)
		if said != nil || done {
			return said, done
		}
		return b(w, r, method, result)
	}
}

func slowly(by time.Duration, b bend) bend {
	return func(w http.ResponseWriter, r *http.Request, method string, result json.RawMessage) (json.RawMessage, bool) {
		select {
		case <-time.After(by):
		case <-r.Context().Done():
		}
		return b(w, r, method, result)
	}
}

// accepts says that whatever is asked about is a wallet that accepts, like the one at wallet, with whose storage.
func accepts(t *testing.T, url string, like auth.Question) bend {
	client, err := eth.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	at, err := client.Newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	call, err := like.Call()
	if err != nil {
		t.Fatal(err)
	}
	var out json.RawMessage
	err = client.Call(t.Context(), 1<<16, &out, "eth_call", map[string]any{"data": fmt.Sprintf("0x%x", call)},
		map[string]any{"blockHash": fmt.Sprintf("0x%x", at.Hash)})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ http.ResponseWriter, _ *http.Request, method string, _ json.RawMessage) (json.RawMessage, bool) {
		if method == "eth_call" {
			return out, false
		}
		return nil, false
	}
}

// TestOneLiarOfThreeSignsNobodyIn has every lie at every place among three, for questions of every kind: the answer is
// what the two others say, and the lie never.
func TestOneLiarOfThreeSignsNobodyIn(t *testing.T) {
	w := walletstest.New(t)
	alice := keyOf("alice")
	wallet := w.Deploy("Wallet", addressOf(alice))
	good := auth.Question{Chain: devchain.ID, Account: wallet, Hash: hash, Sig: sign(t, alice, hash)}
	stolen := good
	stolen.Sig = bytes.Repeat([]byte{0x11}, 65)
	nobody := stolen
	nobody.Account = common.Address{0xab, 19: 0xcd}
	w.Deploy("Reverts")
	w.Deploy("Reverts")
	lie := accepts(t, w.URL, good)
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, 12) // all at once, they are late on a slow machine

	for name, liar := range map[string]bend{
		"says yes":                         lie,
		"says yes, slowly":                 slowly(400*time.Millisecond, lie),
		"says yes at a block of its own":   both(block("hash", otherHash), lie),
		"says yes, a block ahead":          both(blockAt(1, 0), lie),
		"says yes, a thousand blocks on":   both(blockAt(1000, 0), lie),
		"says yes, 400 days ahead":         both(blockAt(2880000, 400*24*time.Hour), lie),
		"says yes, and is behind":          both(blockAt(-1, 0), lie),
		"says yes, a block ahead, at last": slowly(300*time.Millisecond, both(blockAt(1, 0), lie)),
	} {
		for place := range 3 {
			for _, late := range []bool{false, true} {
				room <- struct{}{}
				wg.Go(func() { // what they do is wait
					defer func() { <-room }()
					rule := fmt.Sprintf("%s, at %d, another late: %t", name, place+1, late)
					c := eth.Chain{Chain: devchain.ID}
					for i := range 3 {
						b := bend(honest)
						if i == place {
							b = liar
						} else if late && i == (place+1)%3 {
							b = slowly(350*time.Millisecond, honest)
						}
						c.URLs = append(c.URLs, endpoint(t, w.URL, b))
					}
					s := chains(t, c)
					for _, q := range []auth.Question{stolen, nobody, good} {
						for _, spends := range []bool{false, true} {
							q.Spends = spends
							v, err := s.Ask(t.Context(), q)
							want := auth.WrongAnswer
							switch {
							case q.Account == nobody.Account:
								want = auth.NoCode
							case bytes.Equal(q.Sig, good.Sig):
								want = auth.Accepted
							}
							if err != nil || v.Verdict != want || v.Agreed < 2 {
								t.Errorf("%s: spends %t: got %+v, %v, want %s", rule, spends, v, err, want)
							}
						}
					}
				})
			}
		}
	}
}

// TestANewestBlockAheadOfTheClockIsTheEndpointsFault, also if it is the only endpoint.
func TestANewestBlockAheadOfTheClockIsTheEndpointsFault(t *testing.T) {
	w := walletstest.New(t)
	q := auth.Question{Chain: devchain.ID, Account: w.Deploy("Flips"), Hash: hash}
	s := chains(t, eth.Chain{Chain: devchain.ID, URLs: []string{endpoint(t, w.URL, blockAt(0, 400*24*time.Hour))}})
	if v, err := s.Ask(t.Context(), q); !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "ahead of the clock") {
		t.Errorf("got %+v, %v", v, err)
	}
	if got := s.Look(t.Context()); got[0].Up != 0 || !strings.Contains(got[0].Reasons[0], "ahead of the clock") {
		t.Errorf("got %+v", got)
	}
}

// TestOneForeignEndpointIsNotEnoughToSpend: a quorum is not given up because nobody set one.
func TestOneForeignEndpointIsNotEnoughToSpend(t *testing.T) {
	q := auth.Question{Chain: 1, Account: addressOf(keyOf("alice")), Hash: hash, Spends: true}
	_, err := chains(t, eth.Chain{Chain: 1, URLs: []string{"https://rpc.example"}}).Ask(t.Context(), q)
	if !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "2 must agree") {
		t.Errorf("got %v", err)
	}
	_, err = chains(t).Ask(t.Context(), q)
	if !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "no endpoint of chain 1") {
		t.Errorf("got %v", err)
	}
}

func TestBadEndpointsAreNamed(t *testing.T) {
	for rule, c := range map[string]eth.Chain{
		"no chain":                  {URLs: []string{"http://a"}},
		"no endpoint":               {Chain: 1},
		"another kind of URL":       {Chain: 1, URLs: []string{"ws://a/SECRET"}},
		"the same one twice":        {Chain: 1, URLs: []string{"http://a/SECRET", "http://a/SECRET"}},
		"a quorum of more than are": {Chain: 1, URLs: []string{"http://a"}, Quorum: 2},
		"nine endpoints":            {Chain: 1, URLs: strings.Fields("http://a http://b http://c http://d http://e http://f http://g http://h http://i")},
	} {
		if _, err := eth.New(eth.Config{Chains: []eth.Chain{c}}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v", rule, err)
		}
	}
}

// What is asked of an endpoint is asked of no host that it names.
func TestAnEndpointThatSendsElsewhereIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was sent on to another host", r.Method)
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`)
	}))
	t.Cleanup(other.Close)
	sends := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(sends.Close)
	c, err := eth.Dial(sends.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if id, err := c.ChainID(t.Context()); err == nil || !strings.Contains(err.Error(), "HTTP 307") {
		t.Errorf("chain %d, %v; want HTTP 307", id, err)
	}
}

// TestAStaleEndpointIsNotAsked: an endpoint that is not one's own and whose newest block is old does not follow its
// chain.
func TestAStaleEndpointIsNotAsked(t *testing.T) {
	w := walletstest.New(t)
	// Not on loopback by its name, though it is: names of *.localhost lead there.
	url := strings.Replace(endpoint(t, w.URL, honest), "127.0.0.1", "node.localhost", 1)
	old := func() time.Time { return time.Now().Add(eth.MaxAge + time.Hour) }
	q := auth.Question{Chain: devchain.ID, Account: w.Deploy("Flips"), Hash: hash}
	for _, tt := range []struct {
		now func() time.Time
		ok  bool
	}{{time.Now, true}, {old, false}} {
		s, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: devchain.ID, URLs: []string{url}}}, Now: tt.now})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Ask(t.Context(), q)
		if err != nil && strings.Contains(err.Error(), "no such host") {
			t.Skip("names of *.localhost do not lead to this machine here")
		}
		stalled, stands := errors.AsType[*auth.StalledError](err)
		if (err == nil) != tt.ok || stands == tt.ok || stands && (!errors.Is(err, auth.ErrUnavailable) || stalled.Since.IsZero()) {
			t.Errorf("got %v, want an answer: %t", err, tt.ok)
		}
	}
}

func TestLookSaysWhichEndpointsCount(t *testing.T) {
	w := walletstest.New(t)
	s := chains(t, eth.Chain{Chain: devchain.ID, URLs: []string{w.URL, endpoint(t, w.URL, down)}, Quorum: 2},
		eth.Chain{Chain: 5, URLs: []string{w.URL}})
	got := s.Look(t.Context())
	if len(got) != 2 || got[0].Chain != 5 || got[0].Up != 0 || got[1].Up != 1 || got[1].All != 2 || got[1].Quorum != 2 {
		t.Fatalf("got %+v", got)
	}
	if !strings.Contains(got[0].Reasons[0], "serves chain 1337") || !strings.Contains(got[1].Reasons[0], "HTTP 503") {
		t.Errorf("got %+v", got)
	}
}

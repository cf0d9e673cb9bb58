package pool_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/eth/pool"
)

// An endpoint of chain 1 that gives one answer to every eth_call.
func caller(t *testing.T, answer string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage
			Method string
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &q); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		said := answer
		if q.Method == "eth_chainId" {
			said = `"result":"0x1"`
		}
		if said == "hang" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(q.ID)+`,`+said+`}`)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func TestEndpointsThatMustAgree(t *testing.T) {
	const (
		five   = `"result":"0x05"`
		six    = `"result":"0x06"`
		none   = `"result":"0x"`
		revert = `"error":{"code":3,"message":"execution reverted","data":"0x"}`
		worded = `"error":{"code":-32000,"message":"VM Exception: revert"}`
		busy   = `"error":{"code":-32005,"message":"rate"}`
	)
	for _, tt := range []struct {
		rule    string
		answers []string
		need    int
		want    string // "" if they do not agree
		agreed  int
	}{
		{"all alike", []string{five, five}, 2, "\x05", 2},
		{"one that lies", []string{six, five, five}, 2, "\x05", 2},
		{"one that hangs is not waited for", []string{"hang", five, five}, 2, "\x05", 2},
		{"two against two", []string{five, five, six, six}, 2, "", 0},
		{"too few", []string{five, busy, none}, 2, "", 0},
		{"one is not enough of one", []string{five}, 2, "", 0},
		{"more than half is the least", []string{five, six, six}, 1, "\x06", 2},
		{"a refusal is an answer, in whatever words", []string{revert, worded, five}, 2, "revert", 2},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var urls []string
			for _, a := range tt.answers {
				urls = append(urls, caller(t, a))
			}
			for range 2 {
				p, err := pool.New(pool.Config{URLs: urls, Chain: 1, Timeout: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				out, n, err := p.CallAgreed(t.Context(), ethereum.CallMsg{To: &common.Address{1}}, common.Hash{1}, tt.need)
				p.Close()
				switch {
				case tt.want == "":
					if !errors.Is(err, pool.ErrNoAgreement) {
						t.Errorf("got %x, %d, %v; want no agreement", out, n, err)
					}
				case tt.want == "revert":
					if err == nil || errors.Is(err, pool.ErrNoAgreement) || n != tt.agreed {
						t.Errorf("got %x, %d, %v; want a refusal", out, n, err)
					}
				case err != nil || string(out) != tt.want || n < tt.agreed:
					t.Errorf("got %x, %d, %v; want %x, %d", out, n, err, tt.want, tt.agreed)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				slices.Reverse(urls)
			}
		})
	}
}

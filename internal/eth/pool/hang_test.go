package pool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
)

// hanging accepts what it is asked and answers nothing until end is called, but its chain if it knows that.
func hanging(t *testing.T, knowsChain bool) (url string, asked *atomic.Int64, end func()) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage
			Method string
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		_, _ = io.Copy(io.Discard, r.Body)
		if knowsChain && q.Method == "eth_chainId" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x539"}`, q.ID)
			return
		}
		asked.Add(1)
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, asked, end
}

// TestATransferIsSentWhereOneEndpointHangs does what each look at a payment does: it asks for what is not there yet,
// twice, and sends. A look has less time than two attempts at one endpoint.
func TestATransferIsSentWhereOneEndpointHangs(t *testing.T) {
	chain := startChain(t)
	for name, knowsChain := range map[string]bool{"from the start": false, "once its chain is known": true} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("hangs %s, first %v", name, first), func(t *testing.T) {
				url, _, end := hanging(t, knowsChain)
				urls := []string{chain.URL(), url}
				if first {
					urls = []string{url, chain.URL()}
				}
				p, err := pool.New(pool.Config{URLs: urls, Chain: devchain.ID})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { end(); p.Close() })
				tx := sign(t, dial(t, chain.URL()))
				look := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
					defer cancel()
					if _, err := p.TransactionReceipt(ctx, tx.Hash()); !errors.Is(err, ethereum.NotFound) {
						return err
					}
					if _, _, err := p.TransactionByHash(ctx, tx.Hash()); !errors.Is(err, ethereum.NotFound) {
						return err
					}
					return p.SendTransaction(ctx, tx)
				}
				for looks := 1; ; looks++ {
					err := look()
					if err == nil {
						break
					}
					if looks == 5 {
						t.Fatalf("not sent after %d looks: %v", looks, err)
					}
				}
				if _, _, err := p.TransactionByHash(t.Context(), tx.Hash()); err != nil {
					t.Errorf("the transfer is not found: %v", err)
				}
			})
		}
	}
}

// TestAnEndpointThatHangsIsLeftOut: it holds up a question now and then, and not each.
func TestAnEndpointThatHangsIsLeftOut(t *testing.T) {
	chain := startChain(t)
	url, asked, end := hanging(t, true)
	p, err := pool.New(pool.Config{URLs: []string{url, chain.URL()}, Chain: devchain.ID, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(); p.Close() })
	const questions = 12
	for range questions {
		if _, err := p.TransactionReceipt(t.Context(), [32]byte{1}); !errors.Is(err, ethereum.NotFound) {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n == 0 || n > questions/2 {
		t.Errorf("of %d questions the endpoint that hangs was asked %d", questions, n)
	}
}

// TestAShortQuestionIsAnsweredWhereOneEndpointHangs has less time than one attempt may take, as /readyz has.
func TestAShortQuestionIsAnsweredWhereOneEndpointHangs(t *testing.T) {
	chain := startChain(t)
	url, _, end := hanging(t, false)
	p := dial(t, url, url, chain.URL())
	t.Cleanup(end)
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := p.ChainID(ctx)
		cancel()
		if err == nil {
			break
		}
		if tries == 5 {
			t.Fatalf("the third endpoint answers: %v", err)
		}
	}
}

// TestAnEndpointThatIsOutIsAskedWhenNoOtherAnswers: it may have come back.
func TestAnEndpointThatIsOutIsAskedWhenNoOtherAnswers(t *testing.T) {
	url, asked, end := hanging(t, true)
	sickURL := answering(t, errorAnswer(-32603, "internal error"))
	p, err := pool.New(pool.Config{URLs: []string{url, sickURL}, Chain: devchain.ID, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(); p.Close() })
	for range 2 {
		if _, err := p.TransactionReceipt(t.Context(), [32]byte{1}); !errors.Is(err, pool.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("it was asked %d times, want at each question", n)
	}
}

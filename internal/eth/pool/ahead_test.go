package pool_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/eth/pool"
)

// endpointAt serves chain 1, whose newest block is from that time.
func endpointAt(t *testing.T, at time.Time) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			ID     json.RawMessage
			Method string
		}
		_ = json.NewDecoder(r.Body).Decode(&req)
		var result any = hexutil.Uint64(1)
		if req.Method == "eth_getBlockByNumber" {
			result = &types.Header{Number: big.NewInt(7), Time: uint64(at.Unix()), Difficulty: new(big.Int)}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": result})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestANewestBlockFarAheadOfTheClockIsNotTaken: the next endpoint is asked, and if there is none the chain is away.
func TestANewestBlockFarAheadOfTheClockIsNotTaken(t *testing.T) {
	future, present := endpointAt(t, time.Now().Add(400*24*time.Hour)), endpointAt(t, time.Now())
	for _, tt := range []struct {
		urls []string
		ok   bool
	}{{[]string{future, present}, true}, {[]string{present}, true}, {[]string{future}, false}} {
		p, err := pool.New(pool.Config{URLs: tt.urls, Chain: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		h, err := p.HeaderByNumber(t.Context(), nil)
		switch {
		case tt.ok && (err != nil || time.Until(time.Unix(int64(h.Time), 0)) > time.Hour):
			t.Errorf("%d endpoints: got %v, %v", len(tt.urls), h, err)
		case !tt.ok && (!errors.Is(err, pool.ErrUnavailable) || !strings.Contains(err.Error(), "ahead of the clock")):
			t.Errorf("only one from the future: got %v, %v", h, err)
		}
	}
}

package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/journal"
)

// countedNonces is a journal that knows how many transactions an account was given.
type countedNonces struct {
	journal.Database
	next uint64
}

// LogEpochs says that the store was never restored.
func (j countedNonces) LogEpochs(context.Context) ([]journal.LogEpoch, error) { return nil, nil }

func (j countedNonces) NextNonce(context.Context, string) (uint64, error) { return j.next, nil }

// An endpoint that says that more was sent than the journal explains is told of, with the next step; one that says as
// much or less is not, nor is any while the journal explains nothing.
func TestANonceThatTheJournalDoesNotExplainIsTold(t *testing.T) {
	says := func(n uint64) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":"0x%x"}`, n)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, tt := range []struct {
		journal uint64
		said    []uint64
		told    int
	}{
		{5, []uint64{5}, 0}, {5, []uint64{4}, 0}, {5, []uint64{100}, 1}, {5, []uint64{5, 100}, 1}, {0, []uint64{100}, 0},
	} {
		cfg := &config.Config{Chain: config.Chain{ID: 1337, Key: agentKey(t)}}
		for _, n := range tt.said {
			cfg.Chain.RPC = append(cfg.Chain.RPC, says(n))
		}
		l := &look{cfg: cfg}
		if err := l.examineNonces(t.Context(), countedNonces{next: tt.journal}); err != nil {
			t.Fatal(err)
		}
		if len(l.needs) != tt.told {
			t.Errorf("%+v: told %+v", tt, l.needs)
			continue
		}
		for _, n := range l.needs {
			if n.Kind != needNonce || !strings.Contains(n.Detail, "has sent 100 transactions, and the journal explains 5") ||
				!strings.Contains(n.Next, "eth_getTransactionCount") {
				t.Errorf("%+v: told %+v", tt, n)
			}
		}
	}
}

// agentKey writes a key file, as chain.key names it.
func agentKey(t *testing.T) config.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.key")
	if err := os.WriteFile(path, []byte("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Secret("file:" + path)
}

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// relay is a node of an operator that lies about what became of transactions, and about nothing else.
func relay(t *testing.T, chain, is, says string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, err := http.Post(chain, "application/json", bytes.NewReader(ask))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer got.Body.Close()
		answer, err := io.ReadAll(got.Body)
		if err != nil {
			t.Error(err)
		}
		if bytes.Contains(ask, []byte("eth_getTransactionReceipt")) {
			answer = bytes.ReplaceAll(answer, []byte(is), []byte(says))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// What a run says was mined is looked for on a chain of the auditor's own: what is there is said to be, and what the
// operator's node has made up is refused.
func TestWhatIsSaidToBeMinedIsLookedFor(t *testing.T) {
	bob := strings.ToLower(devchain.Accounts()["bob"].Address.Hex()[2:])
	mallory := strings.ToLower(devchain.Accounts()["mallory"].Address.Hex()[2:])
	for _, tt := range []struct{ name, is, says, want string }{
		{"honest", "nothing", "nothing", "1 found on the chain"},
		{"it moved less", "4c4b40", "4c4b3f", "it has moved something else"},
		{"it paid somebody else", bob, mallory, "it has moved something else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dev, err := devchain.Start(t.Context(), devchain.Config{})
			check(t, err)
			defer dev.Close()
			car := filepath.Join(t.TempDir(), "run.car")
			pay(t, relay(t, dev.URL(), tt.is, tt.says), car)
			verify := func(more ...string) string {
				_, out := audited(append([]string{"verify", car, "--keys", strings.TrimSuffix(car, ".car") + ".keys.json"}, more...)...)
				return out
			}
			lies := tt.name != "honest"
			out := verify("--rpc", dev.URL())
			if !strings.Contains(out, tt.want) || strings.Contains(out, "transfers.mined") != lies {
				t.Errorf("asked: %s, want %q", out, tt.want)
			}
			if open := strings.Contains(out, "that a signed transaction is on its chain"); open != lies {
				t.Errorf("it is said to be open whether the transaction is on its chain: %v: %s", open, out)
			}
			if lies {
				return
			}
			for _, x := range []struct{ url, want string }{
				{"", "that a signed transaction is on its chain"},
				{"http://127.0.0.1:1", "could not be asked for transaction"},
			} {
				var more []string
				if x.url != "" {
					more = []string{"--rpc", x.url}
				}
				out := verify(more...)
				if strings.Contains(out, "transfers.mined") || strings.Contains(out, "found on the chain") ||
					!strings.Contains(strings.Join(strings.Fields(out), " "), x.want) {
					t.Errorf("by %q: %s", x.url, out)
				}
			}
		})
	}
}

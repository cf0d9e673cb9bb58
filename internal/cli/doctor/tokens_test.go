package doctor

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/config"
)

// word is one ABI word of a number.
func word(n int) string { return fmt.Sprintf("%064x", n) }

func abiText(s string) string {
	return word(32) + word(len(s)) + hex.EncodeToString([]byte(s)) + strings.Repeat("00", 32-len(s)%32)
}

// Each token of the settings is looked at on the chain: that it is there, its decimals, and what it calls itself.
func TestTokensAreLookedAt(t *testing.T) {
	for _, test := range []struct {
		what, code, decimals, symbol string
		says, fix                    string // of a good one, only what it says
	}{
		{"as the settings say", "6000", word(6), abiText("USDC"), "USDC has 6 decimals", ""},
		{"no contract", "", "", "", "no contract at 0x00", "correct its address"},
		{"no token", "6000", "", "", "says no decimals", "correct its address"},
		{"no decimals that there are", "6000", word(300), "", "says no decimals", "correct its address"},
		{"other decimals", "6000", word(18), abiText("USDC"), "says 18 decimals, and the settings say 6", "write decimals: 18"},
		{"another symbol", "6000", word(6), abiText("EURC"), "calls itself EURC", "write symbol: EURC"},
		{"an old token's symbol", "6000", word(6), hex.EncodeToString([]byte("MKR")) + strings.Repeat("00", 29), "calls itself MKR",
			"write symbol: MKR"},
		{"a symbol in other letters", "6000", word(6), abiText("USD₮"), "where it calls itself", ""},
		{"a symbol that ends too early", "6000", word(6), word(32) + word(1000), "USDC has 6 decimals", ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var q struct {
					ID     json.RawMessage
					Method string
					Params []json.RawMessage
				}
				if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
					t.Error(err)
				}
				answer := test.code
				switch {
				case q.Method == "eth_getCode":
				case strings.Contains(string(q.Params[0]), "313ce567"):
					answer = test.decimals
				default:
					answer = test.symbol
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x%s"}`, q.ID, answer)
			}))
			defer srv.Close()
			cfg := &config.Config{Chain: config.Chain{ID: 8453, RPC: []string{srv.URL}, Tokens: []config.Token{
				{Symbol: "ETH", Decimals: 18}, {Symbol: "USDC", Address: "0x0000000000000000000000000000000000000001", Decimals: 6},
			}}}
			all := tokenFindings(t.Context(), cfg)
			if len(all) != 1 || all[0].OK != (test.fix == "") || !strings.Contains(all[0].Detail, test.says) ||
				!strings.Contains(all[0].Fix, test.fix) {
				t.Errorf("got %+v, want %q and %q", all, test.says, test.fix)
			}
		})
	}
}

package node

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/datadir"
)

// Figures go to who has a pass of this server's operator that is not over, on this machine, and to nobody else.
func TestFiguresNeedAPass(t *testing.T) {
	var data string
	_, server := runNode(t, func(c *Config) { data = c.Data })
	key, err := datadir.OperatorKey(data)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, left time.Duration) string {
		pass, err := SignPass(key, time.Now().Add(left))
		if err != nil {
			t.Fatal(err)
		}
		return pass
	}
	good := sign(key, time.Hour)
	body, _, _ := strings.Cut(good, ".")
	order, err := signOrder(key, txOrder, order{Do: TxList}) // what the key signs elsewhere is no pass
	if err != nil {
		t.Fatal(err)
	}
	var signed signedOrder
	if err := json.Unmarshal(order, &signed); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, pass, query string
		header            map[string]string
		status            int
		says              string
	}{
		{"a pass", good, "window=day", nil, 200, `"runs":0`},
		{"a price", good, "window=hour&per_run=0.01&per_million_tokens=5", nil, 200, `"margin":0`},
		{"no pass", "", "window=day", nil, 403, "no pass that the operator's key of this server has signed"},
		{"no signature", body, "window=day", nil, 403, "no pass that the operator's key"},
		{"another's", sign(stranger, time.Hour), "window=day", nil, 403, "no pass that the operator's key"},
		{"an order's signature", body + "." + base64.RawURLEncoding.EncodeToString([]byte(signed.Signature)), "window=day", nil,
			403, "no pass that the operator's key"},
		{"over", sign(key, -time.Second), "window=day", nil, 403, "this pass is over"},
		{"for too long", sign(key, 48*time.Hour), "window=day", nil, 403, "good for too long"},
		{"no window", good, "window=year", nil, 422, "a window is hour, day, week or month"},
		{"no price", good, "window=day&per_run=much", nil, 422, "per_run is no sum in USD"},
		{"too large a price", good, "window=day&per_run=99999999999", nil, 422, "per_run is no sum in USD"},
		{"a page of another origin", good, "window=day", map[string]string{"Origin": "https://evil.example"}, 403,
			"ask from this machine"},
		{"a proxy", good, "window=day", map[string]string{"X-Forwarded-For": "192.0.2.1"}, 403, "ask from this machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+passPath+"?"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+c.pass)
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(string(answer), c.says) {
				t.Errorf("got %d %s (%v), want %d with %q", resp.StatusCode, answer, err, c.status, c.says)
			}
		})
	}
}

package paid

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools/x402"
)

// The protocol's own server and facilitator make an offer, verify what is signed for it, and settle it on a chain; a
// second payment for the same is another one, and the first one again is refused and not said to be unpaid.
func TestTheReferenceServerIsPaid(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("../../web/x402")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/@x402/core")); err != nil {
		t.Skip("web/x402 has no packages: run npm ci there, or make test")
	}
	m := openMarket(t, honest)
	bob, usdc := devchain.Accounts()["bob"], devchain.Book().Tokens["USDC"].Address
	cmd := exec.CommandContext(t.Context(), "node", "server.mjs", m.chain, "0x"+hex.EncodeToString(crypto.FromECDSA(bob.Key)),
		usdc.Hex(), devchain.Accounts()["mallory"].Address.Hex())
	said := new(bytes.Buffer)
	cmd.Dir, cmd.Stderr = dir, said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("there is no Node here: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server said: %s", said)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	m.url = strings.Replace(strings.TrimSpace(line), "127.0.0.1", "shop.example", 1)

	list := m.toolsOf(time.Minute, http.MethodGet, http.MethodPost)
	ask, get, post := list[0], list[1], list[3]
	if b, err := ask.Call(t.Context(), m.input(ask, map[string]string{"url": m.url + "/report"})); err != nil ||
		!strings.Contains(string(b), "It costs 0.01 USDC to "+devchain.Accounts()["mallory"].Address.Hex()) {
		t.Fatalf("%s, %v", b, err)
	}
	in := m.input(get, m.args())
	for i, again := range []bool{false, true, false} {
		if in.Again = again; i == 2 {
			in.Key = [32]byte{9}
		}
		b, err := get.Call(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		intent := x402.Intent{Args: in.Args, Key: in.Key, At: in.At, Book: devchain.Book()}
		if _, err := intent.Check(b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		var got struct {
			Status  int
			Text    string
			Payment x402.Payment
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !again && (got.Status != 200 || !strings.Contains(got.Text, "sunny") || got.Payment.Says == nil ||
			got.Payment.Says.Tx != got.Payment.Settled.Tx) {
			t.Errorf("got %s", b)
		}
		if again && got.Status != 402 {
			t.Errorf("the same payment again: %s", b)
		}
	}
	in = m.input(post, m.args("body", `{"of":"Oslo"}`))
	in.Key = [32]byte{10}
	b, err := post.Call(t.Context(), in)
	if err != nil || !strings.Contains(string(b), `{\"report\":\"sunny\",\"of\":\"{\\\"of\\\":\\\"Oslo\\\"}\"}`) {
		t.Errorf("posted: %s, %v", b, err)
	}
	if got := m.holds("mallory"); got != 30_000 {
		t.Errorf("mallory has %d, want three payments", got)
	}
}

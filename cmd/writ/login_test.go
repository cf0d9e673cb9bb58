package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/provenance"
)

// testServer runs a node without a chain, which signing in does not need, and returns its URL.
func testServer(t *testing.T) string {
	t.Helper()
	return testServerWith(t, func(*node.Config) {})
}

// testServerWith is testServer with a change of its configuration.
func testServerWith(t *testing.T, change func(*node.Config)) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ln, err := cli.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := node.Config{
		Data: t.TempDir(), Scheme: "http", Domain: ln.Addr().String(), Program: program(),
		Log: slog.New(slog.DiscardHandler),
		Chain: node.Chain{
			URLs: []string{"http://127.0.0.1:1"}, Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key,
		},
	}
	if c.Agents, err = node.Agents(node.CommonAgents, config.DevChain); err != nil {
		t.Fatal(err)
	}
	if c.Rules, err = node.Rules("default", nil); err != nil {
		t.Fatal(err)
	}
	if c.Models, err = node.Models(nil, nil); err != nil {
		t.Fatal(err)
	}
	change(&c)
	n, err := node.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, ln, func() error { return nil }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

// testApp returns an app whose environment is env.
func testApp(t *testing.T, env map[string]string) (a *app, out, progress *bytes.Buffer) {
	t.Helper()
	if env == nil {
		env = map[string]string{}
	}
	if env["WRIT_HOME"] == "" {
		env["WRIT_HOME"] = t.TempDir()
	}
	out, progress = new(bytes.Buffer), new(bytes.Buffer)
	return &app{Shell: &cli.Shell{In: strings.NewReader(""), Out: out, Err: progress, Env: func(name string) string { return env[name] }}}, out, progress
}

func TestAWalletElsewhereSignsTheTextThatIsPrinted(t *testing.T) {
	server := testServer(t)
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, out, _ := testApp(t, nil)
	texts, progress := io.Pipe()
	signatures, sign := io.Pipe()
	a.Err, a.In = progress, signatures
	go func() {
		var message []string
		inside := false
		for s := bufio.NewScanner(texts); s.Scan(); {
			switch {
			case s.Text() != "----" && inside:
				message = append(message, s.Text())
			case s.Text() == "----" && inside:
				sig, err := wallet.SignText([]byte(strings.Join(message, "\n")))
				if err != nil {
					t.Error(err)
				}
				io.WriteString(sign, "0x"+hex.EncodeToString(sig)+"\n")
				inside = false
			default:
				inside = s.Text() == "----"
			}
		}
	}()
	exit := a.main(t.Context(), []string{"login", "--server", server, "--account", wallet.Address().Hex(), "--json"})
	progress.Close()
	if exit != cli.ExitOK || !strings.Contains(out.String(), wallet.Address().Hex()) {
		t.Errorf("got exit code %d and %q", exit, out)
	}
}

func TestATextAndItsSignatureTravelInFiles(t *testing.T) {
	server := testServer(t)
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, sig := filepath.Join(dir, "text"), filepath.Join(dir, "sig")
	signed := make(chan error, 1)
	go func() {
		signed <- func() error {
			var message []byte
			for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the command writes it
				if message, err = os.ReadFile(text); err == nil || time.Now().After(end) {
					break
				}
			}
			if err != nil {
				return err
			}
			s, err := wallet.SignText(message)
			if err != nil {
				return err
			}
			return os.WriteFile(sig, []byte("0x"+hex.EncodeToString(s)+"\n"), 0o600)
		}()
	}()
	a, out, progress := testApp(t, nil)
	exit := a.main(t.Context(), []string{"login", "--server", server, "--account", wallet.Address().Hex(), "--print-message", text, "--signature", sig})
	if err := <-signed; err != nil {
		t.Fatal(err)
	}
	if exit != cli.ExitOK || !strings.Contains(out.String(), "signed in as "+wallet.Address().Hex()) {
		t.Errorf("got exit code %d, %q and %q", exit, out, progress)
	}
}

func TestAnInterruptEndsAQuestion(t *testing.T) {
	server := testServer(t)
	a, _, _ := testApp(t, nil)
	ctx, interrupt := context.WithCancel(t.Context())
	texts, progress := io.Pipe()
	a.In, _ = io.Pipe() // nobody ever answers
	a.Err = progress
	said := make(chan string)
	go func() {
		var all strings.Builder
		for s := bufio.NewScanner(texts); s.Scan(); {
			all.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), "urn:recap") {
				interrupt()
			}
		}
		said <- all.String()
	}()
	exit := a.main(ctx, []string{"login", "--server", server, "--account", common.Address{1}.Hex()})
	progress.Close()
	if got := <-said; exit != cli.ExitInterrupt || !strings.Contains(got, "writ: interrupted") {
		t.Errorf("got exit code %d and %q", exit, got)
	}
}

func TestAnEncryptedKeyFileOpensWithItsPassword(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		t.Fatal(err)
	}
	b, err := keystore.EncryptKey(&keystore.Key{Id: id, Address: crypto.PubkeyToAddress(key.PublicKey), PrivateKey: key}, "right", keystore.LightScryptN, keystore.LightScryptP)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, password := filepath.Join(dir, "key.json"), filepath.Join(dir, "password")
	for path, text := range map[string]string{file: string(b), password: "right\n", password + "2": "wrong\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, _, _ := testApp(t, map[string]string{"WRIT_PASSWORD_FILE": password})
	w, err := a.OpenWallet(t.Context(), "keystore:"+file)
	if err != nil || w.Address() != crypto.PubkeyToAddress(key.PublicKey) {
		t.Errorf("got %v, %v", w, err)
	}
	a, _, _ = testApp(t, map[string]string{"WRIT_PASSWORD_FILE": password + "2"})
	if _, err := a.OpenWallet(t.Context(), "keystore:"+file); err == nil || cli.FailureOf(err).Exit != cli.ExitSignature {
		t.Errorf("a wrong password gave %v", err)
	}
}

func TestOnlyAnApprovalOfThisAccountRunAndCallIsSigned(t *testing.T) {
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	link := func(s string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(s)) }
	args := `{"amount":"5"}`
	good := auth.Approval{
		Chain: 1337, Account: wallet.Address(), Session: link("session"), Run: link("run"), Step: link("step"),
		Tool: "erc20.transfer", Args: sha256.Sum256([]byte(args)), Summary: "pay", NotAfter: time.Unix(4e9, 0).UTC(),
	}
	offer := func(p auth.Approval, shown string) wire.Approval {
		message, err := p.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		summary, err := json.Marshal(map[string]any{"args": json.RawMessage(shown)})
		if err != nil {
			t.Fatal(err)
		}
		return wire.Approval{Run: link("run").String(), Step: link("step").String(), Message: string(message), Summary: summary}
	}
	s := cli.SavedSession{Account: wallet.Address().Hex()}
	a, _, _ := testApp(t, nil)
	if _, err := a.showCard(s, offer(good, args)); err != nil {
		t.Fatal(err)
	}
	other := func(change func(*auth.Approval)) auth.Approval { p := good; change(&p); return p }
	for _, c := range []struct {
		name  string
		offer wire.Approval
	}{
		{"another account", offer(other(func(p *auth.Approval) { p.Account[0]++ }), args)},
		{"another run", offer(other(func(p *auth.Approval) { p.Run = link("other") }), args)},
		{"another step", offer(other(func(p *auth.Approval) { p.Step = link("other") }), args)},
		{"other arguments than are shown", offer(good, `{"amount":"4"}`)},
		{"no approval at all", wire.Approval{Message: "{}"}},
	} {
		if _, err := a.showCard(s, c.offer); err == nil || cli.FailureOf(err).Exit != cli.ExitSignature {
			t.Errorf("%s: got %v, want a refusal", c.name, err)
		}
	}
}

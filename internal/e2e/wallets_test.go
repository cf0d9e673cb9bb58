package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
)

// anvil runs Foundry's chain, from npm, until stop is called or the test ends, and returns its URL.
func anvil(t *testing.T, chain string, more ...string) (url string, stop func()) {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "web/anvil/node_modules/@foundry-rs", "anvil-"+runtime.GOOS+"-"+runtime.GOARCH, "bin/anvil"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		missing(t, "web/anvil has no packages, or no anvil for this system: run npm ci there, or make test")
	}
	cmd := exec.Command(bin, append([]string{"--host", "127.0.0.1", "--port", "0", "--chain-id", chain}, more...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	lines := bufio.NewScanner(out)
	for url == "" && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if at, ok := strings.CutPrefix(lines.Text(), "Listening on "); ok {
			url = "http://" + at
		}
	}
	read := make(chan struct{})
	go func() { // what it says must be read, or it waits
		defer close(read)
		for lines.Scan() {
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			<-read
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	if url == "" {
		t.Fatalf("anvil does not say where it listens: %s", &said)
	}
	return url, stop
}

// TestEveryKindOfWalletSignsInOnAnvil has contract wallets that others have built, two versions of the Safe among them,
// sign in through the real server's socket, with another chain than ours and viem's signatures. Each pays with an approval,
// and changes its owner: then it pays no more. A stranger verifies what was recorded. In the end the chain goes down.
func TestEveryKindOfWalletSignsInOnAnvil(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it, with a chain")
	}
	cmd := node(t, "wallets.mjs")
	url, stop := anvil(t, "1337")
	bin, home, records := build(t), t.TempDir(), t.TempDir()
	r := serve(t, filepath.Join(bin, "writ"), home, "serve", "--data", filepath.Join(home, "data"), "--chain", url)
	cmd.Args = append(cmd.Args, r.URL, url, records)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type run struct {
		Run, Reason string
		Says        []string
	}
	const refused = "sign_in_refused sig.contract"
	var seen []string
	contract, safe := "", ""
	for line := range strings.Lines(string(out)) {
		var got struct {
			Wallet, Account, Version                 string
			Stranger, Naive, More, Moved, MovedAfter string
			Resumed, Again, Wants                    string
			Foreign, Revoked, Ended                  string
			Asked, Paid                              run
			After                                    *run
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		seen = append(seen, got.Wallet)
		contract = got.Account
		if got.Version != "" {
			safe = "eip155:1337:" + got.Account
		}
		ownKey, bare := got.Wallet == "delegated, with its own key", strings.Contains(got.Wallet, "not deployed")
		// Its own code stands behind a proxy, which says what that is only once it is deployed: the session ends then, and
		// it pays nothing before it signs in again.
		unseen := bare && strings.HasPrefix(got.Wallet, "Safe")
		for _, c := range []struct {
			rule string
			ok   bool
		}{
			{"what runs behind a proxy that was not there at the sign-in pays nothing",
				!unseen || got.Paid.Reason == "revoked" && got.Moved == "0" && got.MovedAfter == "0"},
			{"a stranger's signature is refused", got.Stranger == refused || bare && got.Stranger == "sign_in_refused sig.signer"},
			{"so is one that is not for this wallet", got.Naive == refused || got.Naive == "" && !strings.Contains(got.Wallet, "7739")},
			{"a Safe is of the version said", !strings.HasPrefix(got.Wallet, "Safe") || bare || strings.HasPrefix(got.Wallet, "Safe "+got.Version+",")},
			{"it is asked for a balance", got.Asked.Reason == "answered" && strings.Contains(strings.Join(got.Asked.Says, " "), "USDC")},
			{"an approval of one unit more is refused", unseen || strings.HasPrefix(got.More, "signature_wrong sig.")},
			{"it pays", unseen || got.Paid.Reason == "answered" && got.Moved == "5000000" && strings.Contains(strings.Join(got.Paid.Says, " "), "Sent 5 USDC to bob in block ")},
			{"another session of it is not revoked by a stranger", strings.HasPrefix(got.Foreign, "signature_wrong sig.")},
			{"but by its own signature", got.Revoked == "accepted" && got.Ended == "session_revoked"},
			{"after its owner has changed it pays no more", ownKey || unseen || got.After != nil && got.After.Reason == "revoked" && got.MovedAfter == "5000000"},
			{"and the session is over", ownKey || got.Resumed == "session_revoked"},
			{"and the old owner signs in no more, the owners who are left do", got.Again == got.Wants && (ownKey || got.Wants != "")},
		} {
			if !c.ok {
				t.Errorf("%s: not true that %s: %s", got.Wallet, c.rule, line)
			}
		}
		file := filepath.Join(records, got.Account)
		verify := []string{"verify", file + ".car", "--keys", file + ".keys", "--operator-key", r.Operator, "--json"}
		if exit, says := command(t, filepath.Join(bin, "writ-audit"), home, verify...); !ownKey &&
			(exit != audit.ExitGaps || !strings.Contains(says, "signed by a contract wallet")) {
			t.Errorf("%s: verified without a chain: exit code %d, %s", got.Wallet, exit, says)
		}
		if exit, says := command(t, filepath.Join(bin, "writ"), home, append(verify, "--rpc", url)...); exit != 0 {
			t.Errorf("%s: writ verify with its chain: exit code %d, %s", got.Wallet, exit, says)
		}
		if exit, says := command(t, filepath.Join(bin, "writ-audit"), home, append(verify, "--rpc", url)...); exit != 0 {
			t.Errorf("%s: verified with its chain: exit code %d, %s", got.Wallet, exit, says)
		}
	}
	want := []string{
		"of one owner", "not deployed yet", "Safe 1.4.1, two of three", "Safe 1.3.0, two of three", "Safe 1.4.1, approved on the chain",
		"Safe 1.3.0, approved on the chain", "Safe 1.4.1, not deployed yet", "bound to itself (ERC-7739)", "delegated, with its own key",
		"delegated, as its delegate says",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("these signed in: %q, want %q", seen, want)
	}

	config := filepath.Join(home, "writ.yaml")
	if err := os.WriteFile(config, []byte("chain: {rpc: ["+url+"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, says := command(t, filepath.Join(bin, "writ"), home, "doctor", "--config", config, "--wallet", safe); !strings.Contains(says, "ok  wallet     "+safe+" is a contract that lists its owners, as a Safe does (chain 1337, block ") {
		t.Errorf("writ doctor of a Safe: %s", says)
	}

	stop()
	out, err = node(t, "unasked.mjs", r.URL, contract).Output()
	if got, want := strings.TrimSpace(string(out)), `{"contract":"4901 chain_unavailable, retryable: false","key":"signed in"}`; err != nil || got != want {
		t.Errorf("without its chain: got %s, %v, want %s", got, err, want)
	}
	sig := filepath.Join(home, "sig")
	if err := os.WriteFile(sig, []byte("0x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exit, says := command(t, filepath.Join(bin, "writ"), home, "login", "--server", r.URL, "--account", contract, "--print-message", filepath.Join(home, "text"), "--signature", sig)
	if exit != 6 || !strings.Contains(says, "its chain could not be asked") {
		t.Errorf("writ login without its chain: exit code %d, %s", exit, says)
	}
}

// command runs a program and returns its exit code and what it says.
func command(t *testing.T, bin, home string, args ...string) (exit int, says string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), "WRIT_HOME="+home)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

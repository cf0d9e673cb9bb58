package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The page of examples/walletconnect, without any network: it builds, says that it has no project, and with one opens
// AppKit's window. What it asks for besides goes to AppKit's makers, and none of it is answered here. Its packages are not
// installed by make.
func TestThePageOfWalletConnect(t *testing.T) {
	example, err := filepath.Abs(filepath.Join(root, "examples/walletconnect"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(example, "node_modules/@reown/appkit")); err != nil {
		t.Skip("examples/walletconnect has no packages: run npm ci there")
	}
	chromium := browser(t)
	drive := node(t, "walletconnect.mjs")
	page := t.TempDir()
	build := exec.Command("node", "build.mjs", page)
	build.Dir = example
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build.mjs: %v: %.2000s", err, out)
	}
	drive.Args = append(drive.Args, chromium, page)
	out, err := drive.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, drive.Stderr)
	}
	var got struct {
		Without, Window string
		Asked, Faults   []string
		AskedWithout    int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.Without, "WalletConnect needs a project of yours") || got.AskedWithout != 0 {
		t.Errorf("without a project it says %q, and asks %d times", got.Without, got.AskedWithout)
	}
	if !strings.Contains(got.Window, "WalletConnect") || len(got.Faults) > 0 {
		t.Errorf("its window says %q, with faults %q", got.Window, got.Faults)
	}
	t.Logf("it asks %q", got.Asked)
}

// Nothing of writ's own is built of AppKit.
func TestNothingElseUsesAppKit(t *testing.T) {
	for _, name := range []string{"web/sdk", "web/console", "web/reader", "web/e2e"} {
		lock, err := os.ReadFile(filepath.Join(root, name, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(lock), "@reown/") || strings.Contains(string(lock), "@walletconnect/") {
			t.Errorf("%s has packages of AppKit", name)
		}
	}
}

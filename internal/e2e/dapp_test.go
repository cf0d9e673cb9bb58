package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// docs/dapp.md, as a newcomer follows it: its files, its commands in their order, and its page in a real browser. Only the
// ports are others, since those of the page may be taken here.
func TestThePageOfTheDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts servers and a browser")
	}
	chromium := browser(t)
	drive := node(t, "dapp.mjs")
	n := newcomer{t: t, dir: t.TempDir(), bin: build(t), shop: portOf(freePort(t)), server: portOf(freePort(t))}
	n.follow(filepath.Join(root, "docs/dapp.md"))
	if n.files != 6 || n.commands != 8 {
		t.Errorf("the page has %d files and %d commands; has its form changed?", n.files, n.commands)
	}
	drive.Args = append(drive.Args, "http://127.0.0.1:"+n.shop, chromium, n.dir)
	out, err := drive.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Signed, Menu, Asked, Ordered, Refused string
		Faults                                []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults) > 0 || !strings.HasPrefix(got.Signed, "http://127.0.0.1:"+n.shop+" wants you to sign in") ||
		!strings.Contains(got.Menu, "latte") || !strings.Contains(got.Asked, `shop.order {"drink":"latte","name":"Ann"}`) ||
		!strings.Contains(got.Ordered, `"id":1`) || got.Refused == "" || strings.Contains(got.Refused, "status 201") {
		t.Errorf("got %+v", got)
	}
	n.checkProof()
}

// checkProof checks the files that the page has given, as the page of the docs says.
func (n *newcomer) checkProof() {
	n.t.Helper()
	note, err := os.ReadFile(filepath.Join(n.dir, "ready"))
	if err != nil {
		n.t.Fatal(err)
	}
	var r struct {
		Operator string `json:"operator_key"`
		Log      string `json:"log_key"`
	}
	if err := json.Unmarshal(note, &r); err != nil {
		n.t.Fatal(err)
	}
	verify := exec.Command(filepath.Join(n.bin, "writ"), "verify", "run.car", "--keys", "run.keys.json", "--receipt",
		"run.tlog-proof", "--operator-key", r.Operator, "--log-key", r.Log)
	verify.Dir = n.dir
	out, err := verify.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "completeness established") || !strings.Contains(string(out), "\nVERIFIED ") {
		n.t.Errorf("%v: %s", err, out)
	}
}

// A newcomer does what a page says.
type newcomer struct {
	t               *testing.T
	dir, bin        string
	shop, server    string // ports
	files, commands int
}

var blocks = regexp.MustCompile("(?ms)^(?:`([\\w./]+)`\n\n)?```(\\w+)\n(.*?)^```$")

func (n *newcomer) follow(page string) {
	n.t.Helper()
	source, err := os.ReadFile(page)
	if err != nil {
		n.t.Fatal(err)
	}
	clone, err := filepath.Abs(root)
	if err != nil {
		n.t.Fatal(err)
	}
	text := strings.NewReplacer("5173", n.shop, "8420", n.server, "../writ/", clone+"/").Replace(string(source))
	for _, b := range blocks.FindAllStringSubmatch(text, -1) {
		switch name, kind, body := b[1], b[2], b[3]; {
		case name != "":
			n.write(name, body)
		case kind == "sh":
			for line := range strings.Lines(body) {
				n.do(strings.TrimSpace(line))
			}
		}
	}
}

func (n *newcomer) write(name, body string) {
	n.t.Helper()
	n.files++
	path := filepath.Join(n.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// do performs a command; one that ends in & goes on until the test ends, and is waited for until it answers.
func (n *newcomer) do(line string) {
	n.t.Helper()
	if strings.HasPrefix(line, "go install ") { // the tests have built it
		return
	}
	n.commands++
	line, stays := strings.CutSuffix(line, " &")
	ready := func() bool { // as a person sees it
		c, err := net.Dial("tcp", "127.0.0.1:"+n.shop)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if strings.HasPrefix(line, "writ dev") {
		line += " --listen 127.0.0.1:" + n.server + " --ready-file ready"
		ready = func() bool { _, err := os.Stat(filepath.Join(n.dir, "ready")); return err == nil }
	}
	cmd := exec.Command("sh", "-c", "exec "+line)
	var says bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = n.dir, &says, &says
	cmd.Env = slices.Concat(os.Environ(), []string{
		"PATH=" + n.bin + ":" + os.Getenv("PATH"), "WRIT_HOME=" + filepath.Join(n.dir, "home"),
	})
	if !stays {
		if err := cmd.Run(); err != nil {
			n.t.Fatalf("%s: %v: %s", line, err, &says)
		}
		return
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if n.t.Failed() {
			n.t.Logf("%s said: %s", line, &says)
		}
	})
	for end := time.Now().Add(2 * time.Minute); !ready(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("%s is not ready after two minutes", line)
		}
	}
}

func portOf(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}

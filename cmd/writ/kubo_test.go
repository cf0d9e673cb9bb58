package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/provenance"
)

// kuboBinary is where make interop puts Kubo.
func kuboBinary() string {
	if path := os.Getenv("WRIT_KUBO"); path != "" {
		return path
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "writ", "kubo-v0.43.0", "ipfs")
}

func haveKubo() bool {
	_, err := os.Stat(kuboBinary())
	return err == nil
}

// kubo starts a Kubo node that talks to nobody outside this machine, for as long as the script runs, and sets a variable
// to the URL of its RPC.
func kubo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: kubo VAR")
	}
	dir := ts.MkAbs("kubo")
	ipfs := func(args ...string) *exec.Cmd {
		c := exec.Command(kuboBinary(), args...)
		c.Env = append(os.Environ(), "IPFS_PATH="+dir, "IPFS_TELEMETRY=off")
		return c
	}
	ts.Check(ipfs("init", "--profile=test").Run())
	path := filepath.Join(dir, "config")
	raw, err := os.ReadFile(path)
	ts.Check(err)
	var config map[string]any
	ts.Check(json.Unmarshal(raw, &config))
	off := map[string]any{"Enabled": false}
	for key, value := range map[string]any{
		"Bootstrap": []string{}, "AutoConf": off, "Provide": off, "AutoTLS": off, "Discovery": map[string]any{"MDNS": off},
		"Routing": map[string]any{"Type": "none", "DelegatedRouters": []string{}}, "DNS": map[string]any{"Resolvers": map[string]any{}},
		"Ipns": map[string]any{"DelegatedPublishers": []string{}}, "AutoNAT": map[string]any{"ServiceMode": "disabled"},
		"Swarm": map[string]any{"DisableNatPortMap": true, "RelayClient": off, "RelayService": off, "Transports": map[string]any{
			"Network": map[string]any{"QUIC": false, "Relay": false, "WebTransport": false, "WebRTCDirect": false, "Websocket": false}}},
		"Addresses": map[string]any{"Swarm": []string{"/ip4/127.0.0.1/tcp/0"}, "API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0"},
	} {
		config[key] = value
	}
	raw, err = json.Marshal(config)
	ts.Check(err)
	ts.Check(os.WriteFile(path, raw, 0o600))
	daemon := ipfs("daemon")
	ts.Check(daemon.Start())
	ts.Defer(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
	})
	for range 1200 {
		if b, err := os.ReadFile(filepath.Join(dir, "api")); err == nil && len(b) > 0 {
			f := strings.Split(strings.TrimSpace(string(b)), "/") // /ip4/127.0.0.1/tcp/PORT
			ts.Setenv(args[0], "http://"+f[2]+":"+f[4])
			return
		}
		time.Sleep(50 * time.Millisecond) // another process writes it; there is nothing to wait on
	}
	ts.Fatalf("Kubo was not there in a minute")
}

// pinned waits until a Kubo node lists the head of a CAR file as pinned, and writes what the node exports of it to another.
func pinned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pinned FILE.car OUT.car")
	}
	file, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	car, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
	ts.Check(err)
	head := car.Root()
	data, err := car.Get(head)
	ts.Check(err)
	var receipt provenance.Receipt
	if provenance.Decode(data, &receipt) == nil { // which the log has made since; heads are what is pushed
		head = receipt.Head
	}
	ipfs := func(args ...string) ([]byte, error) {
		c := exec.Command(kuboBinary(), args...)
		c.Env = append(os.Environ(), "IPFS_PATH="+ts.MkAbs("kubo"), "IPFS_TELEMETRY=off")
		return c.Output()
	}
	for range 600 {
		if _, err := ipfs("pin", "ls", "--type=recursive", head.String()); err == nil {
			out, err := ipfs("dag", "export", head.String())
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), out, 0o600))
			return
		}
		time.Sleep(100 * time.Millisecond) // the server pushes when it does
	}
	ts.Fatalf("%s was not pinned in a minute", head)
}

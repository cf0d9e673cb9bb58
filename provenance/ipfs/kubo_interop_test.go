package ipfs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

// kuboBinary returns Kubo itself, which make interop builds and keeps outside the repository.
func kuboBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("WRIT_KUBO")
	if path == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("SKIPPED, Kubo is not tried: %v", err)
		}
		path = filepath.Join(dir, "writ", "kubo-v0.43.0", "ipfs")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("SKIPPED, Kubo is not tried: there is no %s; make interop builds it", path)
	}
	return path
}

// A daemon is a Kubo node of this test's own, which talks to nobody outside this machine.
type daemon struct {
	t        *testing.T
	bin, dir string
	api      string // URL
	gateway  string // URL
}

func (d *daemon) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(d.t.Context(), d.bin, args...)
	c.Env = append(os.Environ(), "IPFS_PATH="+d.dir, "IPFS_TELEMETRY=off")
	return c
}

func (d *daemon) ipfs(args ...string) []byte {
	d.t.Helper()
	var stderr bytes.Buffer
	c := d.command(args...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		d.t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

func startKubo(t *testing.T) *daemon {
	d := &daemon{t: t, bin: kuboBinary(t), dir: t.TempDir()}
	d.ipfs("init", "--profile=test")
	path := filepath.Join(d.dir, "config")
	var config map[string]any
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Nothing but loopback, and nobody to be found.
	set := func(value any, keys ...string) {
		m := config
		for _, k := range keys[:len(keys)-1] {
			if _, ok := m[k].(map[string]any); !ok {
				m[k] = map[string]any{}
			}
			m = m[k].(map[string]any)
		}
		m[keys[len(keys)-1]] = value
	}
	set([]string{}, "Bootstrap")
	set(false, "AutoConf", "Enabled")
	set(false, "Discovery", "MDNS", "Enabled")
	set(false, "Provide", "Enabled")
	set(true, "Swarm", "DisableNatPortMap")
	set(false, "AutoTLS", "Enabled")
	set(false, "Swarm", "RelayClient", "Enabled")
	set(false, "Swarm", "RelayService", "Enabled")
	set([]string{}, "Routing", "DelegatedRouters")
	set("none", "Routing", "Type")
	set([]string{}, "Ipns", "DelegatedPublishers")
	set(map[string]any{}, "DNS", "Resolvers")
	set("disabled", "AutoNAT", "ServiceMode")
	for _, transport := range []string{"QUIC", "Relay", "WebTransport", "WebRTCDirect", "Websocket"} {
		set(false, "Swarm", "Transports", "Network", transport)
	}
	set([]string{"/ip4/127.0.0.1/tcp/0"}, "Addresses", "Swarm")
	set("/ip4/127.0.0.1/tcp/0", "Addresses", "API")
	set("/ip4/127.0.0.1/tcp/0", "Addresses", "Gateway")
	if raw, err = json.Marshal(config); err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := d.command("daemon")
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run.Process.Signal(os.Interrupt)
		run.Wait()
	})
	// Another process is waited for: it writes both files when it can be called.
	read := func(name string) string {
		for range 600 {
			if b, err := os.ReadFile(filepath.Join(d.dir, name)); err == nil && len(b) > 0 {
				return strings.TrimSpace(string(b))
			}
			time.Sleep(50 * time.Millisecond)
		}
		run.Process.Kill()
		run.Wait()
		t.Fatalf("Kubo did not start:\n%s", out.Bytes())
		return ""
	}
	parts := strings.Split(read("api"), "/") // /ip4/127.0.0.1/tcp/PORT
	d.api = "http://" + parts[2] + ":" + parts[4]
	d.gateway = read("gateway")
	return d
}

// TestKubo takes a history through Kubo itself and back: imported, pinned, resolved, exported byte for byte, fetched
// from it by bitswap, and fetched by it from a node of ours after it has forgotten everything.
func TestKubo(t *testing.T) {
	d := startKubo(t)
	s, step := history(t, 300)
	run := stepRun(t, s, step)
	root := s.put(t, &provenance.Head{Run: run, Seq: 299, Step: step, At: 1, Key: make([]byte, 32),
		Sig: make([]byte, 64)})
	var car bytes.Buffer
	if _, err := provenance.Export(&car, root,
		func(c provenance.Link) ([]byte, error) { return s.Block(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}

	t.Run("it imports our file and pins the root", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "run.car")
		if err := os.WriteFile(file, car.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := string(d.ipfs("dag", "import", "--stats", "--pin-roots=true", file)); !strings.Contains(out,
			"Pinned root\t"+root.String()+"\tsuccess") ||
			!strings.Contains(out, fmt.Sprintf("Imported %d blocks", len(s))) {
			t.Errorf("dag import says %q; %d blocks were sent", out, len(s))
		}
	})
	t.Run("it resolves paths in it", func(t *testing.T) {
		for path, want := range map[string]string{
			root.String() + "/run":            run.String(),
			root.String() + "/step":           step.String(),
			root.String() + "/step/prev/run":  run.String(),
			root.String() + "/run/agent":      "",
			root.String() + "/step/prev/prev": "",
		} {
			got := strings.TrimSpace(string(d.ipfs("dag", "resolve", path)))
			if got != want && want != "" || got == "" {
				t.Errorf("dag resolve %s: got %q, want %q", path, got, want)
			}
		}
		var got struct {
			V   string `json:"v"`
			Seq int    `json:"seq"`
		}
		if err := json.Unmarshal(d.ipfs("dag", "get", root.String()+"/step"), &got); err != nil ||
			got.V != "step/1" || got.Seq != 299 {
			t.Errorf("dag get: %+v, %v", got, err)
		}
	})
	t.Run("it exports the same bytes", func(t *testing.T) {
		if got := d.ipfs("dag", "export", "--progress=false", root.String()); !bytes.Equal(got, car.Bytes()) {
			t.Errorf("dag export has %d bytes that are not our %d", len(got), car.Len())
		}
		_, got := get(t, d.gateway+"/ipfs/"+root.String()+"?format=car&dag-scope=all")
		if !bytes.Equal(got, car.Bytes()) {
			t.Errorf("its gateway gives %d bytes that are not our %d", len(got), car.Len())
		}
	})
	t.Run("our node fetches from it by bitswap", func(t *testing.T) {
		node := startNode(t, source{})
		if err := node.Connect(t.Context(), swarmAddr(t, d)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var got bytes.Buffer
		if _, err := provenance.Export(&got, root,
			func(c provenance.Link) ([]byte, error) { return node.Block(ctx, c) }); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), car.Bytes()) {
			t.Errorf("fetched %d bytes that are not our %d", got.Len(), car.Len())
		}
	})
	t.Run("it fetches from our node", func(t *testing.T) {
		d.ipfs("pin", "rm", root.String())
		d.ipfs("repo", "gc", "--quiet")
		node := startNode(t, s, "/ip4/127.0.0.1/tcp/0")
		d.ipfs("swarm", "connect", node.Addrs()[0])
		d.ipfs("pin", "add", "--progress=false", root.String())
		if got := d.ipfs("dag", "export", "--progress=false", root.String()); !bytes.Equal(got, car.Bytes()) {
			t.Errorf("after fetching it exports %d bytes that are not our %d", len(got), car.Len())
		}
	})
	t.Run("it is pushed to by its RPC", func(t *testing.T) {
		d.ipfs("pin", "rm", root.String())
		d.ipfs("repo", "gc", "--quiet")
		k, err := ipfs.NewKubo(d.api, "")
		if err != nil {
			t.Fatal(err)
		}
		if v, err := k.Version(t.Context()); err != nil || v != "0.43.0" {
			t.Errorf("version %q, %v", v, err)
		}
		if ok, err := k.Pinned(t.Context(), root); ok || err != nil {
			t.Errorf("pinned before the push: %v, %v", ok, err)
		}
		err = k.Import(t.Context(), root, func(w io.Writer) error { _, err := w.Write(car.Bytes()); return err })
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := k.Pinned(t.Context(), root); !ok || err != nil {
			t.Errorf("pinned after the push: %v, %v", ok, err)
		}
		for range 2 { // the second time there is nothing to unpin
			if err := k.Unpin(t.Context(), root); err != nil {
				t.Errorf("unpin: %v", err)
			}
		}
	})
	t.Run("a changed block is refused by it", func(t *testing.T) {
		k, _ := ipfs.NewKubo(d.api, "")
		bad := bytes.Clone(car.Bytes())
		bad[len(bad)-1] ^= 1
		if err := k.Import(t.Context(), root, func(w io.Writer) error {
			_, err := w.Write(bad)
			return err
		}); err == nil {
			t.Error("a file with a changed byte was imported")
		}
	})
}

func stepRun(t *testing.T, s source, step provenance.Link) provenance.Link {
	t.Helper()
	rec, err := provenance.DecodeAny(s[step])
	if err != nil {
		t.Fatal(err)
	}
	return rec.(*provenance.Step).Run
}

// swarmAddr returns the address of a Kubo node for peers.
func swarmAddr(t *testing.T, d *daemon) string {
	t.Helper()
	r, err := http.Post(d.api+"/api/v0/id?"+url.Values{}.Encode(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var id struct{ Addresses []string }
	if err := json.NewDecoder(r.Body).Decode(&id); err != nil || len(id.Addresses) == 0 {
		t.Fatalf("id: %v, %v", id, err)
	}
	return id.Addresses[0]
}

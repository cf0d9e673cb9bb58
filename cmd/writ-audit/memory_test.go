package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/tamper"
	"github.com/writ-run/writ/provenance"
)

// TestNoInputTakesMuchMemory: the whole process stays below 64 MB on inputs that were made, or found, to be the worst.
func TestNoInputTakesMuchMemory(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("three large files are made and judged, and the kernel is asked what the process took")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "writ-audit")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct {
		what, says string
		make       func() (car, keys []byte, err error)
	}{
		{"10,002 steps with their keys", "VERIFIED", func() ([]byte, []byte, error) { return tamper.Long(5000) }},
		{"1.4 million blocks behind an invented parent", "FAILED schema.type",
			func() ([]byte, []byte, error) { return tamper.JunkBehind(1_400_000) }},
		{"a key file of 16 MiB", "VERIFIED", largestKeys},
	} {
		t.Run(tt.what, func(t *testing.T) {
			car, keys, err := tt.make()
			check(t, err)
			file, keyFile := filepath.Join(dir, "run.car"), filepath.Join(dir, "run.keys.json")
			check(t, os.WriteFile(file, car, 0o600))
			check(t, os.WriteFile(keyFile, keys, 0o600))
			out, most := runWatched(t, program, "verify", file, "--keys", keyFile, "--operator-key", operatorOfVectors)
			if !strings.Contains(out, tt.says) {
				t.Fatalf("%.500s", out)
			}
			t.Logf("a file of %d MB and keys of %d kB take %d MB", len(car)>>20, len(keys)>>10, most>>10)
			if most > 64<<10 {
				t.Errorf("%d MB, want at most 64", most>>10)
			}
		})
	}
}

// runWatched runs a program and returns what it prints, and the most memory that it took, in kB. The kernel keeps that
// figure for as long as the process is there; its usage after the end would count this process too, which it was at
// first.
func runWatched(t *testing.T, program string, args ...string) (out string, most int) {
	t.Helper()
	var printed bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it prints says how it ended
	}()
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	for tick := time.NewTicker(time.Millisecond); ; {
		select {
		case <-ended:
			tick.Stop()
			return printed.String(), most
		case <-tick.C:
			data, err := os.ReadFile(status)
			if _, rest, ok := strings.Cut(string(data), "VmHWM:"); ok && err == nil {
				var kB int
				if _, err := fmt.Sscan(rest, &kB); err == nil {
					most = kB
				}
			}
		}
	}
}

// largestKeys is an honest run with as many keys of other leaves as a key file may have.
func largestKeys() (car, keys []byte, err error) {
	files, err := tamper.Files()
	if err != nil {
		return nil, nil, err
	}
	known, err := provenance.ReadKeys(bytes.NewReader(files["base.keys.json"]))
	if err != nil {
		return nil, nil, err
	}
	var entries []string
	add := func(l provenance.Link, k [32]byte) {
		entries = append(entries, fmt.Sprintf("%q:%q", l.String(), base64.StdEncoding.EncodeToString(k[:])))
	}
	for l, k := range known {
		add(l, k)
	}
	for i := len(entries); i < (16<<20-100)/(len(entries[0])+1); i++ {
		add(provenance.NewRaw(fmt.Append(nil, i)).CID, [32]byte{1})
	}
	slices.Sort(entries)
	return files["base.car"], []byte(`{"schema":"writ/keys/1","keys":{` + strings.Join(entries, ",") + "}}\n"), nil
}

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/tamper"
)

// A reading is what /verify of the SDK says of a file.
type reading struct {
	OK      bool
	Error   string
	Blocks  int
	Checked []string
}

// verifyBySDK runs web/e2e/verify.mjs.
func verifyBySDK(t *testing.T, into any, args ...string) {
	t.Helper()
	cmd := node(t, "verify.mjs", args...)
	if _, err := os.Stat(filepath.Join(root, "web/reader/node_modules/multiformats")); err != nil {
		missing(t, "web/reader has no packages: run npm ci there, or make test")
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, cmd.Stderr)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatal(err)
	}
}

// The SDK's /verify is the second reader with parts of its own for dag-cbor, CAR, hashes and ciphers: of every published vector it
// finds what that one finds, and the same faults, but for bytes that it does not read at all.
func TestVerifyOfTheSDKAgreesOnTheVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads every vector twice")
	}
	t.Parallel()
	folder := t.TempDir()
	if err := tamper.Write(folder); err != nil {
		t.Fatal(err)
	}
	var said []struct {
		Name, Code  string
		SDK, Reader map[string]any
	}
	if verifyBySDK(t, &said, "vectors", folder); len(said) < 150 {
		t.Fatalf("%d vectors", len(said))
	}
	refused := 0
	for _, v := range said {
		mine, theirs := v.SDK["error"], v.Reader["error"]
		if mine != nil || theirs != nil {
			refused++
			code := func(e any) string { s, _ := e.(string); s, _, _ = strings.Cut(s, ":"); return s }
			if code(mine) == "unsupported" && strings.Contains(v.Name, "posted") {
				continue // requests that were signed as HTTP are left to the reader and to writ-audit: no room in a page
			}
			if c := code(mine); c != code(theirs) && c != "car" && c != "codec" { // it reads bytes more strictly
				t.Errorf("%s (%s): the SDK says %v, the reader %v", v.Name, v.Code, mine, theirs)
			}
			continue
		}
		if !reflect.DeepEqual(v.SDK, v.Reader) {
			t.Errorf("%s: the SDK says %v, the reader %v", v.Name, v.SDK, v.Reader)
		}
	}
	if refused < 90 {
		t.Errorf("%d files were refused", refused)
	}
}

// A page's worker verifies long runs, with every payload opened. How long it took is logged, and bounded so that only a check
// which has become of another order fails on a busy machine: 3,001 blocks ought to take 250 ms, 30,000 3 s.
func TestAPageVerifiesLongRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	t.Parallel()
	chromium, folder := browser(t), t.TempDir()
	args := []string{"page", chromium}
	for i, calls := range []int{1000, 10_000} {
		car, keys, err := tamper.Long(calls)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"car": car, "keys": keys} {
			if err := os.WriteFile(filepath.Join(folder, string(rune('0'+i))+"."+name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, filepath.Join(folder, string(rune('0'+i))+".car"), filepath.Join(folder, string(rune('0'+i))+".keys"))
	}
	var said []struct {
		MS    float64
		Found reading
	}
	verifyBySDK(t, &said, args...)
	for i, most := range []float64{250, 3000} {
		s := said[i]
		t.Logf("%d blocks in %.0f ms", s.Found.Blocks, s.MS)
		if !s.Found.OK || !bytes.Contains([]byte(strings.Join(s.Found.Checked, " ")), []byte("arguments")) || s.Found.Blocks < []int{3001, 30000}[i] {
			t.Errorf("it found %+v", s.Found)
		}
		if s.MS > 20*most {
			t.Errorf("%d blocks took %.0f ms; %v ought to do", s.Found.Blocks, s.MS, most)
		}
	}
}

// Package house holds no code. Its tests check the repository as a whole: which package stands on which, and that
// the names in ARCHITECTURE.md exist.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

const module = "github.com/writ-run/writ/"

// levels says what stands on what: a package may import packages of ours from lower levels only. A folder stands for
// what is below it. The longest match counts.
var levels = map[string]int{
	"policies/money": -1, "policies/calendar": -1, "policies/label": -1,
	"auth": 0, "policies": 0, "tools": 0, "provenance": 0, "agent/model": 0, "agent/wire": 0,
	"agent/loop": 1, "agent/route": 1, "agent/audit": 1,
	"agent":    2,
	"internal": 3, "agent/model/": 3, "tools/": 3, "provenance/": 3,
	"agent/local": 4,
	"cmd/writ":    5, "cmd/writ-audit": 2, "examples": 5,
}

// within lists the imports inside one level that are meant.
var within = []string{
	"agent/loop -> agent/route",
	"agent/audit -> agent/loop",                  // the auditor replays with the code that ran
	"internal/store/storetest -> internal/store", // a suite and what it is for
	"internal/chain/walletstest -> internal/chain",
	"cmd/writ-audit -> internal/logreader", // reads a log's tiles, only where one is named
	"cmd/writ-audit -> internal/ethcall",   // std, auth and provenance: asks a chain again, only with --rpc
}

// pure lists what levels below 2 must not import: no clock is read, no file, no network, no chance. time itself is
// imported for its types, so its clock is looked for by name.
var pure = []string{"net", "net/http", "os", "os/exec", "math/rand", "math/rand/v2", "io/ioutil", "syscall"}

type pkg struct {
	ImportPath string
	Imports    []string
	Dir        string
	GoFiles    []string
}

func level(path string) int {
	best, n := -99, -1
	for prefix, l := range levels {
		match := path == strings.TrimSuffix(prefix, "/") && !strings.HasSuffix(prefix, "/") ||
			strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
		if match && len(prefix) > n {
			best, n = l, len(prefix)
		}
	}
	return best
}

func TestImportsPointDown(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports,Dir,GoFiles", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue // this package
		}
		l := level(from)
		if l == -99 {
			t.Errorf("%s stands on no level: give it one in this test", from)
		}
		for _, i := range p.Imports {
			if l < 2 && slices.Contains(pure, i) {
				t.Errorf("%s is pure and imports %s", from, i)
			}
			to, ours := strings.CutPrefix(i, module)
			if ours && level(to) >= l && !slices.Contains(within, from+" -> "+to) {
				t.Errorf("%s (level %d) imports %s (level %d)", from, l, to, level(to))
			}
		}
		for _, f := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if l < 2 && (bytes.Contains(src, []byte("time.Now(")) || bytes.Contains(src, []byte("time.Sleep("))) {
				t.Errorf("%s/%s is pure and reads the clock", from, f)
			}
		}
	}
}

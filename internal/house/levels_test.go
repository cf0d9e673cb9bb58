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
// what is below it. The longest match counts. One row a line, in order, so that two changes seldom meet.
var levels = map[string]int{
	"agent":                          4,
	"agent/approval":                 1,
	"agent/attach":                   1,
	"agent/audit":                    1,
	"agent/authority":                1,
	"agent/decision":                 1,
	"agent/definition":               1,
	"agent/foreign":                  1, // pure: the audit reads a signed body with it
	"agent/form":                     0,
	"agent/grammar":                  0,
	"agent/grammar/grammartest":      2,
	"agent/grounds":                  1,
	"agent/layer":                    1,
	"agent/ledgerid":                 0,
	"agent/loop":                     1,
	"agent/model":                    0,
	"agent/model/":                   3,
	"agent/model/dialect":            0,
	"agent/model/endpoint":           2,
	"agent/model/preset":             0,
	"agent/modelcall":                1,
	"agent/pinned":                   1,
	"agent/revocation":               1,
	"agent/route":                    1,
	"agent/search":                   0,
	"agent/subagent":                 1,
	"agent/thread":                   1,
	"agent/wire":                     0,
	"auth":                           0,
	"auth/httpsig":                   0, // pure: how a signed HTTP request is read
	"cmd/writ":                       8,
	"cmd/writ-audit":                 2,
	"web/auditor":                    2, // writ-audit verify for a page
	"docs":                           0,
	"examples":                       5,
	"internal":                       3,
	"internal/agentfile":             1,
	"internal/archive":               2,
	"internal/background":            1,
	"internal/backup":                4,
	"internal/blobs":                 2,
	"internal/mandates":              3,
	"internal/chainwatch":            2,
	"internal/cli":                   5,
	"internal/cli/":                  6,
	"internal/cli/accounting":        7,
	"internal/cli/beside":            7,
	"internal/cli/demo":              7,
	"internal/cli/disclosing":        7,
	"internal/cli/doctor":            7,
	"internal/cli/keep":              7,
	"internal/cli/mandating":         7,
	"internal/cli/owntools":          7,
	"internal/cli/pay":               7,
	"internal/cli/payments":          7,
	"internal/cli/bridge":            7,
	"internal/cli/routing":           6,
	"internal/cli/runs":              7,
	"internal/cli/settling":          7,
	"internal/cli/shelf":             7,
	"internal/cli/showrecord":        7,
	"internal/cli/talk":              7,
	"internal/cli/toolsignin":        7,
	"internal/cli/workshop":          7,
	"internal/collect":               4,
	"internal/costs":                 2,
	"internal/digest":                2,
	"internal/fault":                 -2,
	"internal/fleet":                 1,
	"internal/gather":                4,
	"internal/journal":               1,
	"internal/keylock":               -2,
	"internal/knownsig":              1,
	"internal/library/vectors":       2,
	"internal/liveness":              2,
	"internal/ledgerkey":             2,
	"internal/modelrace":             1,
	"internal/node":                  4,
	"internal/news":                  1,
	"internal/notice":                3,
	"internal/ownwallet":             1,
	"internal/payee":                 0,
	"internal/pgvector":              2,
	"internal/prices":                1, // pure: the audit compares with it
	"internal/quota":                 1,
	"internal/reach":                 2,
	"internal/reuse":                 2,
	"internal/reversal":              3,
	"internal/runner":                2,
	"internal/shelfdoor":             4,
	"internal/sqlfile":               2,
	"internal/strictjson":            -2,
	"internal/talks":                 2,
	"internal/throttle":              0,
	"internal/verifier":              2,
	"internal/waiting":               1,
	"internal/whatif":                4,
	"internal/wording":               -2,
	"policies":                       0,
	"policies/calendar":              -1,
	"policies/label":                 -1,
	"policies/money":                 -1,
	"policies/turn":                  -1,
	"policies/workshop":              1,
	"provenance":                     0,
	"provenance/":                    3,
	"provenance/internal/blockindex": -1,
	"provenance/internal/dagcbor":    -2,
	"provenance/internal/keyfile":    -1,
	"provenance/internal/subject":    -1,
	"provenance/logproof":            0,
	"tools":                          0,
	"tools/":                         3,
	"tools/arg":                      -1,
	"tools/calldata":                 1,
	"tools/elicit":                   -1, // pure: what a server asks in a call, and its answers
	"tools/module":                   1,
	"tools/mandate":                  1, // pure: the audit reads with it what a transaction redeems
	"tools/mined":                    1, // pure: the audit compares with it what a chain has
	"tools/x402":                     1, // pure: the audit reads with it what a tool has paid
}

// within lists the imports inside one level that are meant.
var within = []string{
	"agent/approval -> agent/definition", // what is said of a sealed payload
	"agent/approval -> tools/x402",       // what a paid call posts
	"agent/attach -> agent/definition",   // likewise
	"agent/audit -> agent/approval",
	"agent/audit -> agent/authority",
	"agent/audit -> agent/definition", // likewise
	"agent/authority -> agent/layer",  // the rules of what it says
	"agent/audit -> agent/layer",      // sets that were loaded
	"agent/audit -> agent/grounds",    // what the figures of an answer rest on
	"agent/audit -> agent/loop",       // the auditor replays with the code that ran
	"agent/audit -> agent/modelcall",
	"agent/audit -> agent/revocation", // the auditor asks as the runtime does
	"agent/audit -> agent/route",      // which rule leads to a model
	"agent/audit -> agent/subagent",   // what came of a sub-agent's run
	"agent/audit -> agent/thread",
	"agent/audit -> tools/calldata",    // a signed transaction is made again of its call
	"agent/audit -> tools/mandate",     // whose account has paid, and within what
	"agent/audit -> tools/mined",       // what is said to be mined
	"agent/audit -> tools/x402",        // a signed payment likewise
	"agent/definition -> agent/thread", // what providers add to a tool
	"agent/loop -> agent/approval",     // the summary of a call that waits for the wallet
	"agent/grounds -> agent/attach",    // likewise
	"agent/grounds -> agent/foreign",   // a signed body may be what was asked
	"agent/loop -> agent/foreign",      // likewise
	"agent/foreign -> agent/attach",    // images are files of a request
	"agent/loop -> agent/attach",       // the files of a request
	"agent/loop -> agent/authority",
	"agent/loop -> agent/decision",   // in words and as a record
	"agent/loop -> agent/definition", // what a record says of tools and rules
	"agent/loop -> agent/layer",      // the rules of a grant
	"agent/loop -> agent/modelcall",
	"agent/loop -> agent/pinned", // whether the records are those that the wallet signed
	"agent/loop -> agent/route",
	"agent/loop -> agent/subagent",                     // likewise
	"agent/loop -> agent/thread",                       // what a model is told of the runs before
	"agent/model/dialect -> agent/model",               // what is read of bytes is a Reply
	"agent/modelcall -> agent/route",                   // which models are left to ask
	"agent/pinned -> agent/authority",                  // the delegations from the grant down
	"agent/revocation -> agent/loop",                   // what is sealed is the same to both
	"agent/route -> agent/grounds",                     // what the figures of an answer rest on
	"agent/subagent -> agent/definition",               // the label with which a run closed
	"auth -> auth/httpsig",                             // a session key may sign HTTP requests
	"cmd/writ-audit -> internal/eth",                   // std, auth and provenance: asks a chain again, only with --rpc
	"cmd/writ-audit -> internal/verifier",              // the verify command of both programs
	"cmd/writ-audit -> provenance/translog/reader",     // reads a log's tiles, only where one is named
	"internal/agentfile -> agent/route",                // the tests of a route set choose as the loop does
	"internal/blobs -> internal/sqlfile",               // a file of its own
	"internal/node -> internal/shelfdoor",              // a part of it
	"internal/collect -> internal/gather",              // makes collections of what it brings
	"internal/node -> internal/collect",                // a part of it
	"internal/node -> internal/gather",                 // by which gateway, and into which networks
	"internal/digest -> internal/archive",              // opens payloads as it does
	"internal/cli/owntools -> internal/cli/toolsignin", // signs in at a server of tools
	"internal/cli/runs -> internal/cli/settling",       // what an operator said of a run
	"internal/door -> internal/api",                    // another
	"internal/eth/devchain/walletstest -> internal/eth/devchain",
	"internal/eth/devchain/walletstest -> internal/eth/devchain/contracts",
	"internal/ownwallet -> internal/journal",          // keeps what it knows there
	"tools/paid -> tools/fetch",                       // reads an answer as text
	"internal/runner -> internal/archive",             // reads and exports as anybody with a store does
	"internal/runner -> internal/chainwatch",          // a part of it
	"internal/runner -> internal/ledgerkey",           // likewise
	"internal/runner -> internal/reuse",               // likewise
	"internal/runner -> internal/talks",               // likewise
	"internal/reuse -> internal/archive",              // reads answers as it does
	"internal/server -> internal/api",                 // a transport of it
	"internal/store/storetest -> internal/store",      // a suite and what it is for
	"internal/tamper -> tools/toolstest",              // what a chain's tools return
	"internal/tamper -> internal/tamper/carfile",      // how its files are written
	"internal/tamper -> internal/tamper/ledger",       // what its runs spend
	"internal/tamper -> internal/tamper/tlog",         // the log of its vectors
	"internal/tamper -> internal/tamper/toolbox",      // what its agents are given
	"internal/tamper/vectors -> internal/tamper",      // its command
	"internal/talks -> internal/archive",              // reads turns as it does
	"internal/verifier -> internal/eth",               // asks a chain, only where one is named
	"internal/verifier -> internal/prices",            // compares costs, only where a table is given
	"internal/verifier -> provenance/translog/reader", // reads a log, only where one is named
	"policies -> policies/internal/cond",              // a part of it that its workshop looks at too
	"policies -> policies/internal/keys",
	"policies -> policies/internal/strict",
	"provenance/logproof -> provenance",                 // a proof is of a Link, and what is wrong is a Fault
	"provenance/translog -> provenance/translog/reader", // an epoch ends where its own files say
	"tools/arg -> policies/money",                       // an argument may be an amount
	"tools/chain -> tools/calldata",
	"tools/contract -> tools/calldata",
	"tools/chain -> tools/mandate",
	"tools/mined -> tools/x402",     // what is said to have settled a payment
	"tools/contract -> tools/chain", // a function that writes is sent as a payment is
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

package audit_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/tamper"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

type vectors struct {
	OperatorKey string `json:"operator_key"`
	Vectors     []struct {
		Name, File, Keys, Verdict, Code, Peer, What string
		Class                                       int
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	if err := json.Unmarshal(read(t, "vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// read returns a file of the vectors.
func read(t testing.TB, name string) []byte {
	t.Helper()
	files, err := tamper.Files()
	if err != nil {
		t.Fatal(err)
	}
	b, ok := files[name]
	if !ok {
		t.Fatalf("there is no %s among the vectors", name)
	}
	return bytes.Clone(b)
}

// judge does what a verifier does with a file, its keys and the operator's key.
func judge(t testing.TB, car, keys []byte, operator string) *provenance.Report {
	t.Helper()
	o := audit.Options{}
	var err error
	if o.OperatorKey, err = audit.OperatorKey(operator); err != nil {
		t.Fatal(err)
	}
	if keys != nil {
		if o.Keys, err = provenance.ReadKeys(bytes.NewReader(keys)); err != nil {
			return provenance.FailedReport(err)
		}
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
	if err != nil {
		return provenance.FailedReport(err)
	}
	return audit.Verify(src, o)
}

func TestTheVerifierSaysWhoseWalletItMustBe(t *testing.T) {
	v := readVectors(t)
	operator, _ := audit.OperatorKey(v.OperatorKey)
	keys, err := provenance.ReadKeys(bytes.NewReader(read(t, "keys.json")))
	if err != nil {
		t.Fatal(err)
	}
	car := read(t, "base.car")
	owner := common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
	near := owner
	near[19] ^= 1
	for _, tt := range []struct {
		name    string
		account *audit.Account
		keys    map[provenance.Link]provenance.LeafKey
		verdict string
		code    provenance.Code
	}{
		{"anybody's", nil, keys, provenance.Verified, ""},
		{"the owner's", &audit.Account{Address: owner}, keys, provenance.Verified, ""},
		{"the owner's on its chain", &audit.Account{Address: owner, Chain: 1337}, keys, provenance.Verified, ""},
		{"the owner's on another chain", &audit.Account{Address: owner, Chain: 1}, keys, provenance.Failed, audit.CodeGrantWallet},
		{"another's", &audit.Account{Address: common.Address{1}}, keys, provenance.Failed, audit.CodeGrantWallet},
		{"that of no key", &audit.Account{}, keys, provenance.Failed, audit.CodeGrantWallet},
		{"that of an address that resembles it", &audit.Account{Address: near}, keys, provenance.Failed, audit.CodeGrantWallet},
		{"the owner's, sealed", &audit.Account{Address: owner}, nil, provenance.Gaps, ""},
	} {
		src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
		if err != nil {
			t.Fatal(err)
		}
		rep := audit.Verify(src, audit.Options{OperatorKey: operator, Keys: tt.keys, Account: tt.account})
		if rep.Verdict != tt.verdict || rep.Code != tt.code {
			t.Errorf("%s: %s %s, want %s %s", tt.name, rep.Verdict, rep.Code, tt.verdict, tt.code)
		}
	}
}

func TestEachTamperingIsRefusedWithItsOwnCode(t *testing.T) {
	v := readVectors(t)
	codes, classes, peers := map[string]bool{}, map[int]bool{}, map[string]bool{}
	for _, x := range v.Vectors {
		t.Run(x.Name, func(t *testing.T) {
			var keys []byte
			if x.Keys != "" {
				keys = read(t, x.Keys)
			}
			rep := judge(t, read(t, x.File), keys, v.OperatorKey)
			if rep.Verdict != x.Verdict || string(rep.Code) != x.Code {
				t.Errorf("%s: got %s %q (%s), want %s %q", x.What, rep.Verdict, rep.Code, rep.Detail, x.Verdict, x.Code)
			}
			if rep.Completeness != provenance.Unestablished {
				t.Errorf("completeness is %s without a log", rep.Completeness)
			}
		})
		if x.Code != "" {
			codes[x.Code] = true
		}
		if x.Class != 0 {
			classes[x.Class] = true
		}
		if x.Peer != "" {
			peers[x.Peer] = true
		}
	}
	t.Logf("%d vectors, %d codes, %d of the 72 classes, %d manipulations of peers", len(v.Vectors), len(codes),
		len(classes), len(peers))
	if len(codes) < 25 || len(classes) < 40 || len(peers) != 13 {
		t.Errorf("%d codes, %d classes, %d manipulations of peers; want at least 25, 40 and 13", len(codes),
			len(classes), len(peers))
	}
}

// TestTamperingsFailOneCheck: a vector tells one lie, so that a verifier that misses one check misses its vectors. What
// lies outside the grant or comes late is the exception: it is found by itself, and again when the run is replayed.
func TestTamperingsFailOneCheck(t *testing.T) {
	v := readVectors(t)
	for _, x := range v.Vectors {
		var keys []byte
		if x.Keys != "" {
			keys = read(t, x.Keys)
		}
		rep := judge(t, read(t, x.File), keys, v.OperatorKey)
		var fails []string
		for _, c := range rep.Checks {
			again := c.Name == provenance.CheckDecisions && len(fails) == 1 &&
				(fails[0] == provenance.CheckCover || fails[0] == provenance.CheckApprovals)
			if c.Status == provenance.Fail && !again {
				fails = append(fails, c.Name)
			}
		}
		if len(fails) > 1 {
			t.Errorf("%s fails %d checks: %v", x.Name, len(fails), fails)
		}
	}
}

// TestNoChangedByteIsVerified changes every byte of an honest file, one at a time.
func TestNoChangedByteIsVerified(t *testing.T) {
	v := readVectors(t)
	for _, name := range []string{"small", "base"} {
		car, keys := read(t, name+".car"), read(t, "keys.json")
		for i := range car {
			if name == "base" && i%7 != 0 { // 19 KB; a seventh of it takes a second
				continue
			}
			bad := bytes.Clone(car)
			bad[i] ^= 1 << (i % 8)
			rep := judge(t, bad, keys, v.OperatorKey)
			if !rep.Refused() {
				t.Fatalf("%s.car with byte %d changed is %s", name, i, rep.Verdict)
			}
		}
		for n := range 200 { // and cut anywhere
			rep := judge(t, car[:n*len(car)/200], keys, v.OperatorKey)
			if rep.Verdict == provenance.Verified {
				t.Fatalf("%s.car cut after %d bytes is verified", name, n*len(car)/200)
			}
		}
	}
}

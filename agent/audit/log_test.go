package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

type logVectors struct {
	Wallet  string `json:"operator_wallet"`
	Vectors []struct {
		Name, File, Policy, Held, Offered, Verdict, Completeness, Code, What string
		Anchor, Anchors                                                      string
		Receipts, Epochs, Consistency                                        []string
		Class                                                                int
	}
}

// TestEachLieAboutTheLogIsRefusedWithItsOwnCode: the verifier knows the operator by its wallet alone.
func TestEachLieAboutTheLogIsRefusedWithItsOwnCode(t *testing.T) {
	var v logVectors
	if err := json.Unmarshal(read(t, "log-vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	classes, codes := map[int]bool{}, map[string]bool{}
	for _, x := range v.Vectors {
		t.Run(x.Name, func(t *testing.T) {
			policy, err := logproof.ParsePolicy(read(t, x.Policy))
			if err != nil {
				t.Fatal(err)
			}
			if x.File == "" {
				code := follow(t, policy, read(t, x.Held), read(t, x.Offered), x.Consistency)
				if string(code) != x.Code {
					t.Errorf("%s: got %q, want %q", x.What, code, x.Code)
				}
				return
			}
			o := audit.Options{Log: audit.LogOptions{Policy: policy, Wallet: common.HexToAddress(v.Wallet)}}
			if o.Keys, err = provenance.ReadKeys(bytes.NewReader(read(t, "keys.json"))); err != nil {
				t.Fatal(err)
			}
			for _, name := range x.Receipts {
				o.Log.Receipts = append(o.Log.Receipts, read(t, name))
			}
			for _, name := range x.Epochs {
				o.Log.Epochs = append(o.Log.Epochs, read(t, name))
			}
			if x.Anchors != "" {
				o.Log.Anchors = readAnchors(t, x.Anchor, read(t, x.Anchors))
			}
			car := read(t, x.File)
			src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
			if err != nil {
				t.Fatal(err)
			}
			rep := audit.Verify(src, o)
			if rep.Verdict != x.Verdict || string(rep.Code) != x.Code {
				t.Errorf("%s: got %s %q (%s), want %s %q", x.What, rep.Verdict, rep.Code, rep.Detail, x.Verdict, x.Code)
			}
			if x.Completeness != "" && rep.Completeness != x.Completeness {
				t.Errorf("%s: completeness %s, want %s", x.What, rep.Completeness, x.Completeness)
			}
			if rep.Verdict == provenance.Failed && rep.Completeness != provenance.Unestablished {
				t.Error("a history that failed is complete")
			}
		})
		classes[x.Class], codes[x.Code] = true, true
	}
	for class := 67; class <= 72; class++ {
		if !classes[class] {
			t.Errorf("no vector of class %d", class)
		}
	}
	if len(codes) < 22 || !classes[64] || !classes[65] {
		t.Errorf("%d codes", len(codes))
	}
}

// readAnchors reads what a chain says, and where the verifier was told to look.
func readAnchors(t *testing.T, contract string, raw []byte) *logproof.Anchors {
	t.Helper()
	var f struct {
		Chain   uint64
		Code    string
		Anchors []struct {
			Size, Block  uint64
			Root, Closed []byte
			Made, Time   int64
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	a := &logproof.Anchors{Chain: f.Chain, Code: common.FromHex(f.Code)}
	var err error
	if a.Want, a.Contract, err = eth.ParseContract(contract); err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Anchors {
		a.List = append(a.List, logproof.Anchor{Size: x.Size, Root: [32]byte(x.Root), Closed: [32]byte(x.Closed),
			Made: x.Made, Block: x.Block, Time: x.Time})
	}
	return a
}

func follow(t *testing.T, p logproof.Policy, held, offered []byte, consistency []string) provenance.Code {
	t.Helper()
	var hashes [][32]byte
	for _, s := range consistency {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b) != 32 {
			t.Fatal(s, err)
		}
		hashes = append(hashes, [32]byte(b))
	}
	a, err := p.OpenCheckpoint(held)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.OpenCheckpoint(offered)
	if err == nil {
		err = a.Consistent(b, hashes)
	}
	f, _ := errors.AsType[*provenance.Fault](err)
	if f == nil {
		return ""
	}
	return f.Code
}

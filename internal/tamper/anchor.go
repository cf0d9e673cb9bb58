package tamper

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/tamper/tlog"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// An anchorFile is what a verifier reads from a chain: of which chain, the code of the contract, and its events.
type anchorFile struct {
	Chain    uint64        `json:"chain"`
	Contract string        `json:"contract"`
	Code     string        `json:"code"`
	Anchors  []anchorEvent `json:"anchors"`
}

type anchorEvent struct {
	Size   uint64 `json:"size"`
	Root   string `json:"root"`   // base64
	Closed string `json:"closed"` // base64
	Made   int64  `json:"made"`
	Block  uint64 `json:"block"`
	Time   int64  `json:"time"`
}

const anchorContract = "0x5fbdb2315678afecb367f032d93f642f64180aa3"

// anchorVectors writes those of class 72 and their like: the honest file of a logged run, of which a verifier asks a
// chain.
func anchorVectors(files map[string][]byte, l *logList) error {
	_, vkey := tlog.KeyNote(logOrigin, signingKey("log"))
	_, other := tlog.KeyNote("writ.example/private", signingKey("log"))
	operator := must(auth.ParseWallet(otherOperator)).Address()
	car, err := provenance.OpenCAR(bytes.NewReader(files["logged.car"]), int64(len(files["logged.car"])))
	if err != nil {
		return err
	}
	first, err := car.Get(car.Root())
	if err != nil {
		return err
	}
	var receipt provenance.Receipt
	if err := provenance.Decode(first, &receipt); err != nil {
		return err
	}
	binding := receipt.Binding
	root := func(entry6 provenance.LogEntry) func(size int) string {
		t := &tlog.Log{Origin: logOrigin, Key: signingKey("log")}
		for i := range 9 {
			t.Entries = append(t.Entries, tlog.OtherEntry(fmt.Sprintf("another entry %d", i)))
		}
		t.Entries[2], t.Entries[6] = provenance.NewLogEntry(binding, 0, binding), entry6
		return func(size int) string {
			c, err := logproof.ParseCheckpoint(t.SignCheckpoint(size))
			if err != nil {
				panic(err) // it was made a line above
			}
			return base64.StdEncoding.EncodeToString(c.Root[:])
		}
	}
	p, err := logproof.ParseProof(files["log.tlog-proof"])
	if err != nil {
		return err
	}
	c, err := logproof.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		return err
	}
	honest := base64.StdEncoding.EncodeToString(c.Root[:])
	var head provenance.Head
	if err := provenance.Decode(p.Extra, &head); err != nil {
		return err
	}
	closed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	at := head.At / 1000
	hour := int64(time.Hour / time.Second)
	chain := func(change func(*anchorFile)) anchorFile {
		f := anchorFile{Chain: 8453, Contract: anchorContract,
			Code: "0x" + hex.EncodeToString(logproof.AnchorRuntime(vkey, operator)),
			Anchors: []anchorEvent{
				{3, root(tlog.HeadEntry(p.Extra))(3), closed, at - hour, 100, at - hour + 20},
				{9, honest, closed, at + 600, 400, at + 620},
			}}
		if change != nil {
			change(&f)
		}
		return f
	}
	for _, v := range []struct {
		logVector
		change func(*anchorFile)
	}{
		{logVector{Name: "anchored", Verdict: provenance.Verified, Completeness: provenance.Established,
			What: "a run whose head is in a tree that is anchored on a chain; no receipt and no witness is needed"},
			nil},
		{logVector{Name: "anchored-not-yet", Verdict: provenance.Verified, Completeness: provenance.Unestablished,
			What: "the next anchor will have the head"}, func(f *anchorFile) { f.Anchors = f.Anchors[:1] }},
		{logVector{Name: "anchor-chain-other", Code: logproof.CodeAnchorChain, Class: 72,
			What: "the anchor is on another chain"},
			func(f *anchorFile) { f.Chain = 84532 }},
		{logVector{Name: "anchor-contract-other", Code: logproof.CodeAnchorContract, Class: 72,
			What: "the anchor is of another contract, which anybody may call"},
			func(f *anchorFile) { f.Code = "0x60006000a0" + f.Code[14:] }},
		{logVector{Name: "anchor-log-other", Code: logproof.CodeAnchorContract, Class: 72,
			What: "the contract is one of another log of the operator"},
			func(f *anchorFile) { f.Code = "0x" + hex.EncodeToString(logproof.AnchorRuntime(other, operator)) }},
		{logVector{Name: "anchor-root-other", Code: logproof.CodeAnchorRoot, Class: 71,
			What: "another tree of that size is anchored: the reader is shown a second history"},
			func(f *anchorFile) { f.Anchors[1].Root = root(tlog.OtherEntry("another past"))(9) }},
		{logVector{Name: "anchor-shrunk", Code: logproof.CodeAnchorRoot, Class: 71,
			What: "a later anchor has fewer entries than an earlier one"},
			func(f *anchorFile) { f.Anchors = append(f.Anchors, f.Anchors[0]) }},
		{logVector{Name: "anchor-back-dated", Code: logproof.CodeAnchorTime,
			What: "the head was made after the time that it says: an anchored tree with every head up to a later " +
				"time does not have it"},
			func(f *anchorFile) { f.Anchors[0].Made, f.Anchors[0].Time = at+300, at+320 }},
		{logVector{Name: "anchor-forward-dated", Code: logproof.CodeAnchorTime,
			What: "the head was made before the time that it says: an earlier block anchors it"},
			func(f *anchorFile) { f.Anchors[1].Made, f.Anchors[1].Time = at-620, at-600 }},
	} {
		b, err := json.MarshalIndent(chain(v.change), "", "  ")
		if err != nil {
			return err
		}
		v.File, v.Policy, v.Anchor, v.Anchors = "logged-alone.car", "log-alone.policy", "eip155:8453:"+anchorContract,
			v.Name+".anchors.json"
		files[v.Anchors] = append(b, '\n')
		if v.Code != "" {
			v.Verdict = provenance.VerdictOf(v.Code)
		}
		l.Vectors = append(l.Vectors, v.logVector)
	}
	return nil
}

package tamper

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/tamper/carfile"
	"github.com/writ-run/writ/internal/tamper/tlog"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// A logVector is a file, or two checkpoints, with what a verifier must say of it who knows the operator's wallet, the
// log and the witnesses by the policy, and holds the receipts.
type logVector struct {
	Name         string          `json:"name"`
	File         string          `json:"file,omitempty"`
	Policy       string          `json:"policy,omitempty"`
	Receipts     []string        `json:"receipts,omitempty"`
	Epochs       []string        `json:"epochs,omitempty"`      // statements that the verifier has
	Held         string          `json:"held,omitempty"`        // a checkpoint that the verifier has
	Offered      string          `json:"offered,omitempty"`     // one that is offered as the newest
	Consistency  []string        `json:"consistency,omitempty"` // hashes from the one to the other, base64
	Anchors      string          `json:"anchors,omitempty"`     // what the chain says that the verifier asked
	Anchor       string          `json:"anchor,omitempty"`      // the contract that the verifier was told, by CAIP-10
	Verdict      string          `json:"verdict"`
	Completeness string          `json:"completeness,omitempty"`
	Code         provenance.Code `json:"code,omitempty"`
	Class        int             `json:"class,omitempty"`
	What         string          `json:"what"`
}

// A logList is what log-vectors.json holds.
type logList struct {
	Schema  string      `json:"schema"`
	Wallet  string      `json:"operator_wallet"`
	Vectors []logVector `json:"vectors"`
}

// A logLie is what is wrong with a logged history. The zero lie is the honest one.
type logLie struct {
	world    func() *world
	history  func(*history)               // before everything is made anew
	binding  func(*provenance.KeyBinding) // before the wallet signs it
	edited   func(*provenance.KeyBinding) // after
	wallet   string                       // that signs instead
	late     bool                         // the binding is logged after the head
	log      func(*tlog.Log)
	proof    func(*logproof.Proof)
	unbound  bool
	cosigned []tlog.Cosigner // the first two witnesses if nil
}

const (
	logOrigin     = "writ.example/log"
	operatorKey   = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
	otherOperator = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"
)

func witnessNamed(name string) tlog.Cosigner {
	return tlog.Cosigner{Host: name + ".example", Key: signingKey("witness " + name), At: start}
}

// makeLogged makes the file of a history with its receipt, and the receipt that a client holds.
func makeLogged(lie logLie) (car, receipt []byte, err error) {
	if lie.world == nil {
		lie.world = smallWorld
	}
	h, err := playWorld(lie.world())
	if err != nil {
		return nil, nil, err
	}
	if lie.history != nil {
		lie.history(h)
		if err := h.relinkAll(); err != nil {
			return nil, nil, err
		}
	}
	_, vkey := tlog.KeyNote(logOrigin, signingKey("log"))
	secret := operatorKey
	if lie.wallet != "" {
		secret = lie.wallet
	}
	wallet := must(auth.ParseWallet(secret))
	b := &provenance.KeyBinding{
		Key: h.operator.Public().(ed25519.PublicKey), From: start.Add(-time.Hour).UnixMilli(),
		Until: start.Add(24 * time.Hour).UnixMilli(),
		Build: h.runtime.Build, Log: vkey, Operator: wallet.Address(), Chain: 1, Method: auth.MethodEOA,
	}
	if lie.binding != nil {
		lie.binding(b)
	}
	b.Sig, err = wallet.SignTyped(auth.KeyBinding{
		Chain: b.Chain, Operator: common.Address(b.Operator), Key: [32]byte(b.Key), Build: b.Build, Log: b.Log,
		From: time.UnixMilli(b.From).UTC(), Until: time.UnixMilli(b.Until).UTC(),
	})
	if err != nil {
		return nil, nil, err
	}
	if lie.edited != nil {
		lie.edited(b)
	}
	binding, err := provenance.Encode(b)
	if err != nil {
		return nil, nil, err
	}
	l := &tlog.Log{Origin: logOrigin, Key: signingKey("log")}
	for i := range 9 {
		l.Entries = append(l.Entries, tlog.OtherEntry(fmt.Sprintf("another entry %d", i)))
	}
	first, second := 2, 6
	if lie.late {
		first, second = second, first
	}
	l.Entries[first] = provenance.NewLogEntry(binding.CID, 0, binding.CID)
	l.Entries[second] = tlog.HeadEntry(h.blocks[0].Data)
	if lie.log != nil {
		lie.log(l)
	}
	if lie.cosigned == nil {
		lie.cosigned = []tlog.Cosigner{witnessNamed("ada"), witnessNamed("bea")}
	}
	var by []note.Signer
	for _, c := range lie.cosigned {
		by = append(by, c)
	}
	p := l.ProveInclusion(second, 9, by...)
	held := *p
	held.Extra = h.blocks[0].Data
	if lie.proof != nil {
		lie.proof(p)
	}
	text, bound := provenance.NewRaw(p.Format()), provenance.NewRaw(l.ProveInclusion(first, 9, by...).Format())
	r := &provenance.Receipt{Head: h.blocks[0].CID, Proof: text.CID, Binding: binding.CID, Bound: bound.CID}
	if lie.unbound {
		r.Binding, r.Bound = provenance.Link{}, provenance.Link{}
	}
	root, err := provenance.Encode(r)
	if err != nil {
		return nil, nil, err
	}
	blocks := append([]provenance.Block{root, text}, h.blocks...)
	if !lie.unbound {
		blocks = append(blocks, bound, binding)
	}
	return carfile.Write(blocks), held.Format(), nil
}

// logVectors writes the vectors of the log into files.
func logVectors(files map[string][]byte) (logList, error) {
	ada, bea, eve := witnessNamed("ada"), witnessNamed("bea"), witnessNamed("eve")
	_, vkey := tlog.KeyNote(logOrigin, signingKey("log"))
	files["log.policy"] = fmt.Appendf(nil,
		"log %s\nwitness ada %s\nwitness bea %s\ngroup both all ada bea\nquorum both\n", vkey, ada.VerifierKey(),
		bea.VerifierKey())
	files["log-alone.policy"] = fmt.Appendf(nil, "log %s\nquorum none\n", vkey)
	l := logList{Schema: "writ/tamper-log/1", Wallet: must(auth.ParseWallet(operatorKey)).Address().Hex()}
	_, honest, err := makeLogged(logLie{})
	if err != nil {
		return l, err
	}
	files["log.tlog-proof"] = honest
	other := func(h *history) { h.steps[3].At++ }
	inEpoch := epochVectors(files)
	for _, v := range []struct {
		logVector
		lie  logLie
		held []byte // a receipt, instead of the honest one
	}{
		{logVector{Name: "logged", Verdict: provenance.Verified, Completeness: provenance.Established,
			What: "an honest run whose head is in a witnessed log, with a client's receipt"}, logLie{}, nil},
		{logVector{Name: "logged-alone", Policy: "log-alone.policy", Receipts: []string{},
			Verdict: provenance.Verified, Completeness: provenance.Unestablished,
			What: "the same for who knows no witness and holds no receipt: it may be a log for this reader alone"},
			logLie{}, nil},
		{logVector{Name: "logged-open", Verdict: provenance.Verified, Completeness: provenance.Unestablished,
			Receipts: []string{},
			What:     "a run that is not closed: more may follow"},
			logLie{world: func() *world { w := smallWorld(); w.stop = 3; return w }}, nil},
		{logVector{Name: "log-key-unbound", Code: provenance.CodeHeadKey, Class: 64,
			What: "the wallet bound another key than the one that signed"},
			logLie{binding: func(b *provenance.KeyBinding) {
				b.Key = signingKey("forger").Public().(ed25519.PublicKey)
			}}, nil},
		{logVector{Name: "log-wallet-other", Code: audit.CodeHeadOperator, Class: 64,
			What: "the key is bound by a stranger's wallet"},
			logLie{wallet: otherOperator}, nil},
		{logVector{Name: "log-binding-edited", Code: audit.CodeHeadBinding, Class: 64,
			What: "the key binding was changed after the wallet signed it"},
			logLie{edited: func(b *provenance.KeyBinding) { b.Until += 1000 }}, nil},
		{logVector{Name: "log-asserted", Verdict: provenance.Verified, Completeness: provenance.Established,
			What: "the wallet that bound the key says what came of a call in doubt"},
			logLie{world: doubtfulWorld, history: func(h *history) { h.assert(assertionLie{}) }}, nil},
		{logVector{Name: "log-asserter-other", Code: audit.CodeHeadAsserter,
			What: "a stranger's wallet says what came of a call in doubt"},
			logLie{world: doubtfulWorld, history: func(h *history) { h.assert(assertionLie{wallet: otherOperator}) }}, nil},
		{logVector{Name: "log-key-expired", Code: audit.CodeHeadWindow, Class: 65,
			What: "the head was made after the key's time"},
			logLie{binding: func(b *provenance.KeyBinding) { b.Until = start.UnixMilli() }}, nil},
		{logVector{Name: "log-key-early", Code: audit.CodeHeadWindow, Class: 65,
			What: "the run was opened before the key's time"},
			logLie{binding: func(b *provenance.KeyBinding) { b.From = start.UnixMilli() + 1000 }}, nil},
		{logVector{Name: "log-build-other", Code: audit.CodeHeadBuild, Class: 65,
			What: "another program ran than the one for which the key is bound"},
			logLie{binding: func(b *provenance.KeyBinding) { b.Build = "0123456789abcdef" }}, nil},
		{logVector{Name: "log-bound-elsewhere", Code: audit.CodeHeadLog, Class: 65,
			What: "the key is bound for another log than the head stands in"},
			logLie{binding: func(b *provenance.KeyBinding) {
				_, b.Log = tlog.KeyNote("writ.example/private", signingKey("log"))
			}}, nil},
		{logVector{Name: "log-bound-late", Code: logproof.CodeLogBinding, Class: 65,
			What: "the key was used before its binding was logged"},
			logLie{late: true}, nil},
		{logVector{Name: "log-origin-other", Code: logproof.CodeLogOrigin, Class: 67,
			What: "the checkpoint is one of another log"},
			logLie{log: func(l *tlog.Log) { l.Origin = "writ.example/private" }}, nil},
		{logVector{Name: "log-key-other", Code: logproof.CodeLogKey, Class: 67,
			What: "the checkpoint has the log's name and another key's signature"},
			logLie{log: func(l *tlog.Log) { l.Key = signingKey("forger") }}, nil},
		{logVector{Name: "log-index-other", Code: logproof.CodeLogProof, Class: 68,
			What: "the proof is for another index"},
			logLie{proof: func(p *logproof.Proof) { p.Index++ }}, nil},
		{logVector{Name: "log-proof-cut", Code: logproof.CodeLogProof, Class: 68,
			What: "a hash of the proof is missing"},
			logLie{proof: func(p *logproof.Proof) { p.Hashes = p.Hashes[1:] }}, nil},
		{logVector{Name: "log-proof-garbled", Code: logproof.CodeLogForm,
			What: "the proof is in no form that is known"},
			logLie{proof: func(p *logproof.Proof) { p.Checkpoint = []byte("trust me\n") }}, nil},
		{logVector{Name: "log-witness-one", Code: logproof.CodeLogWitness, Class: 69,
			What: "one witness cosigned, and two are asked for"},
			logLie{cosigned: []tlog.Cosigner{ada}}, nil},
		{logVector{Name: "log-witness-unknown", Code: logproof.CodeLogWitness, Class: 69,
			What: "a witness cosigned whom nobody knows"},
			logLie{cosigned: []tlog.Cosigner{ada, eve}}, nil},
		{logVector{Name: "log-witness-namesake", Code: logproof.CodeLogWitness, Class: 69,
			What: "a witness of the right name with another key"},
			logLie{cosigned: []tlog.Cosigner{ada, {Host: bea.Host, Key: signingKey("witness eve"), At: start}}}, nil},
		{logVector{Name: "log-fork", Code: logproof.CodeLogBranch,
			What: "two heads of one run for one place: the client holds a receipt for another last step"},
			logLie{history: other}, nil},
		{logVector{Name: "log-tail-cut", Code: logproof.CodeLogCut, Class: 49,
			What: "the tail was cut, and the client holds a receipt for the last step"},
			logLie{world: func() *world { w := smallWorld(); w.stop = 3; return w }}, nil},
		{logVector{Name: "log-receipt-other", Code: logproof.CodeLogReceipt, What: "the receipt is for another run"},
			logLie{world: func() *world { w := smallWorld(); w.nonce = 9; return w }}, nil},
		{logVector{Name: "log-epoch", Verdict: provenance.Verified, Completeness: provenance.Established,
			Epochs: []string{"log.epoch"}, Receipts: []string{"log.tlog-proof"},
			What: "the log ended and another goes on: the verifier has the statement, and a receipt of the log that ended"},
			inEpoch, nil},
		{logVector{Name: "log-epoch-untold", Code: logproof.CodeLogOrigin, Class: 67,
			What: "the same without the statement"}, inEpoch, nil},
		{logVector{Name: "log-epoch-forged", Code: logproof.CodeLogEpoch, Class: 67,
			Epochs: []string{"log-forged.epoch"},
			What:   "the statement is not signed by the log that it ends"}, inEpoch, nil},
		{logVector{Name: "log-epoch-edited", Code: logproof.CodeLogEpoch, Class: 67,
			Epochs: []string{"log-edited.epoch"},
			What:   "the statement was changed after it was signed"}, inEpoch, nil},
		{logVector{Name: "log-epoch-other-past", Code: logproof.CodeLogEpoch, Class: 71,
			Epochs: []string{"log-other-past.epoch"},
			What:   "the log that goes on does not have what the statement says that it kept"}, inEpoch, nil},
	} {
		car, _, err := makeLogged(v.lie)
		if err != nil {
			return l, fmt.Errorf("vector %s: %w", v.Name, err)
		}
		if v.Code != "" {
			v.Verdict = provenance.VerdictOf(v.Code)
		}
		if v.Policy == "" {
			v.Policy = "log.policy"
		}
		if v.Receipts == nil {
			v.Receipts = []string{"log.tlog-proof"}
			switch { // one lie each: where the history is another one, its receipt would be the second
			case v.Code == logproof.CodeLogBranch, v.Code == logproof.CodeLogCut,
				v.Code == logproof.CodeLogReceipt, v.Name == "logged":
			default:
				v.Receipts = nil
			}
		}
		v.File = v.Name + ".car"
		files[v.File] = car
		l.Vectors = append(l.Vectors, v.logVector)
	}
	tree, fork := &tlog.Log{Origin: logOrigin, Key: signingKey("log")},
		&tlog.Log{Origin: logOrigin, Key: signingKey("log")}
	for i := range 9 {
		tree.Entries = append(tree.Entries, tlog.OtherEntry(fmt.Sprintf("another entry %d", i)))
	}
	fork.Entries = append(fork.Entries, tree.Entries...)
	fork.Entries[4] = tlog.OtherEntry("another past")
	for name, raw := range map[string][]byte{"log-5.checkpoint": tree.SignCheckpoint(5),
		"log-9.checkpoint":      tree.SignCheckpoint(9),
		"log-5-fork.checkpoint": fork.SignCheckpoint(5), "log-9-fork.checkpoint": fork.SignCheckpoint(9)} {
		files[name] = raw
	}
	if err := anchorVectors(files, &l); err != nil {
		return l, err
	}
	text := func(hashes [][32]byte) (out []string) {
		for _, h := range hashes {
			out = append(out, base64.StdEncoding.EncodeToString(h[:]))
		}
		return out
	}
	l.Vectors = append(l.Vectors,
		logVector{Name: "log-grown", Policy: "log-alone.policy", Held: "log-5.checkpoint",
			Offered: "log-9.checkpoint", Consistency: text(tree.ProveConsistency(5, 9)),
			Verdict: provenance.Verified, What: "a log that grew"},
		logVector{Name: "log-stale", Policy: "log-alone.policy", Held: "log-9.checkpoint",
			Offered: "log-5.checkpoint", Consistency: text(tree.ProveConsistency(5, 9)),
			Verdict: provenance.Failed, Code: logproof.CodeLogStale, Class: 70,
			What: "an old checkpoint is offered as the newest"},
		logVector{Name: "log-forked", Policy: "log-alone.policy", Held: "log-5.checkpoint",
			Offered: "log-9-fork.checkpoint", Consistency: text(fork.ProveConsistency(5, 9)),
			Verdict: provenance.Failed, Code: logproof.CodeLogConsistency, Class: 71,
			What: "two checkpoints that no one log can have"},
		logVector{Name: "log-forked-same", Policy: "log-alone.policy", Held: "log-5.checkpoint",
			Offered: "log-5-fork.checkpoint",
			Verdict: provenance.Failed, Code: logproof.CodeLogConsistency, Class: 71,
			What: "two checkpoints of one size with two roots"})
	return l, nil
}

// epochVectors writes the statements of a log's second epoch into files, and returns what a history in it is made by.
func epochVectors(files map[string][]byte) logLie {
	next := logproof.EpochOrigin(logOrigin, 2, [4]byte{1, 2, 3, 4})
	_, vkey := tlog.KeyNote(next, signingKey("log"))
	tree := &tlog.Log{Origin: logOrigin, Key: signingKey("log")}
	for i := range 9 {
		tree.Entries = append(tree.Entries, tlog.OtherEntry(fmt.Sprintf("another entry %d", i)))
	}
	kept := must(logproof.ParseCheckpoint(tree.SignCheckpoint(2)))
	e := logproof.Epoch{N: 2, Log: logOrigin, Next: vkey, Size: kept.Size, Root: kept.Root,
		At: start.UTC().Format(time.RFC3339), Why: "restored from a backup"}
	files["log.epoch"] = must(e.Sign(signingKey("log")))
	files["log-forged.epoch"] = must(e.Sign(signingKey("forger")))
	files["log-edited.epoch"] = []byte(strings.Replace(string(files["log.epoch"]), "good: 2 ", "good: 1 ", 1))
	all := must(logproof.ParseCheckpoint(tree.SignCheckpoint(9))) // has other entries where the log has the head
	e.Size, e.Root = all.Size, all.Root
	files["log-other-past.epoch"] = must(e.Sign(signingKey("log")))
	return logLie{
		log:     func(l *tlog.Log) { l.Origin = next },
		binding: func(b *provenance.KeyBinding) { b.Log = vkey },
	}
}

package provenance

import (
	"bytes"

	"github.com/ipfs/go-cid"
)

// A Receipt joins a head to the proof that it stands in a transparency log. It is the root of an exported history once
// the log has taken the head in, so that one file proves itself: see docs/log.md.
type Receipt struct {
	Head    Link // *Head
	Proof   Link // raw block: a tlog-proof of the head's CID, see [Proof]
	Binding Link // *KeyBinding of the head's key; optional
	Bound   Link // raw block: a tlog-proof of the binding's CID; there if and only if Binding is
}

// A KeyBinding is the word of the operator's wallet that an Ed25519 key signs heads for it: from when until when, for
// which program, in which log. The signature is EIP-712, type KeyBinding, over all of it.
type KeyBinding struct {
	Key      []byte   // Ed25519 public key, 32 bytes
	From     int64    // ms UTC, a whole second: the first moment at which the key signs
	Until    int64    // ms UTC, a whole second: from here on it does not
	Build    string   // what Runtime.Build of every run must be
	Log      string   // verifier key of the log that heads go to: "origin+hash+key", see c2sp.org/signed-note
	Operator [20]byte // the wallet
	Chain    uint64   // EIP-155 id that the wallet signed for
	Method   string   // how Sig is verified: "eoa", or "eip1271" or "eip6492" if the wallet is a contract
	Sig      []byte   // 65 bytes for an EOA
	Asked    *AskedAt // where the contract accepted Sig; nil for "eoa"
}

// An AskedAt is the block of a wallet's chain at which it was asked.
type AskedAt struct {
	Number uint64
	Block  [32]byte // its hash
}

func (a *AskedAt) fields(c *coder) {
	f := c.open()
	c.bytes32(&f, "block", &a.Block)
	c.uint(&f, "number", &a.Number)
	c.close(&f)
}

func (*Receipt) kind() string    { return "receipt/1" }
func (*KeyBinding) kind() string { return "binding/1" }

func (r *Receipt) fields(c *coder) {
	f := c.open()
	c.version(&f, r.kind())
	c.linkTo(&f, "head", &r.Head)
	c.optLink(&f, "bound", &r.Bound)
	c.linkTo(&f, "proof", &r.Proof)
	c.optLink(&f, "binding", &r.Binding)
	c.close(&f)
	if c.err == nil && r.Bound.Defined() != r.Binding.Defined() {
		c.fail(CodeSchemaMissing, "a receipt has a key binding with its proof, or neither")
	}
}

func (b *KeyBinding) fields(c *coder) {
	f := c.open()
	c.version(&f, b.kind())
	c.key32(&f, "key", &b.Key)
	c.text(&f, "log", &b.Log)
	c.bytes(&f, "sig", &b.Sig)
	c.int(&f, "from", &b.From)
	optional(c, &f, "asked", &b.Asked, (*AskedAt).fields)
	c.text(&f, "build", &b.Build)
	c.uint(&f, "chain", &b.Chain)
	c.int(&f, "until", &b.Until)
	c.text(&f, "method", &b.Method)
	operator := bytes.Clone(b.Operator[:])
	c.bytes(&f, "operator", &operator)
	c.close(&f)
	if c.err != nil || c.mode == walking {
		return
	}
	if b.Asked != nil && b.Method == "eoa" {
		c.fail(CodeSchemaMissing, "method eoa: no chain is asked about a key's signature")
	}
	if len(operator) != len(b.Operator) {
		c.fail(CodeSchemaRange, "an operator's address of %d bytes instead of 20", len(operator))
	}
	if b.From%1000 != 0 || b.Until%1000 != 0 || b.From < 0 || b.From >= b.Until {
		c.fail(CodeSchemaRange, "a key binding from %d until %d ms, which are not whole seconds in order", b.From, b.Until)
	}
	b.Operator = [20]byte(append(operator, make([]byte, 20)...)[:20])
}

// LogOptions are what a verifier knows of logs and of the operator's wallet. Nothing of it comes from the evidence.
type LogOptions struct {
	Policy LogPolicy
	Wallet [20]byte // of the operator: its binding names the head's key and the log; zero for none
	// Receipts are what clients of the run hold: each a tlog-proof whose extra data is the head's block.
	Receipts [][]byte
	// Checkpoint is one that the verifier has from elsewhere; it may be empty. Consistency returns the hashes that lead
	// from the older of it and the evidence's to the newer, which a log has; nil if no log can be asked. An error that is
	// no [*Fault] says that it cannot be asked now.
	Checkpoint  []byte
	Consistency func(old, new Checkpoint) ([][32]byte, error)
	Anchors     *Anchors // what a chain of the verifier's choice has; nil if none was asked
}

// A Logged is a receipt with what it links to. Nothing of it has been judged but that each is of its kind.
type Logged struct {
	CID, BindingCID Link
	Proof           []byte
	Binding         *KeyBinding // nil without one
	Bound           []byte
}

// receipt reads the root, if it is a receipt, and finds the head.
func (v *verifier) receipt() error {
	root := v.src.Root()
	if codecOf(root) != cid.DagCBOR {
		return nil // that it is no head is found next
	}
	data, err := v.src.Get(root)
	if err != nil || Check(data) != nil {
		return nil
	}
	var rec Receipt
	if version, err := versionOf(data); err != nil || version != rec.kind() {
		return nil
	}
	if err := v.record(root, &rec); err != nil {
		return err
	}
	l := &Logged{CID: root}
	v.ev.HeadCID, v.ev.Logged = rec.Head, l
	if l.Proof, err = v.proof(rec.Proof); err != nil || !rec.Binding.Defined() {
		return err
	}
	l.BindingCID, l.Binding = rec.Binding, new(KeyBinding)
	if err := v.record(rec.Binding, l.Binding); err != nil {
		return err
	}
	l.Bound, err = v.proof(rec.Bound)
	return err
}

func (v *verifier) proof(l Link) ([]byte, error) {
	if codecOf(l) != cid.Raw {
		return nil, &Fault{CodeLinksKind, l, "a record stands where a proof of logging should"}
	}
	return v.block(l)
}

package provenance

import (
	"bytes"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
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

func (a *AskedAt) codeFields(c *coder) {
	f := c.openMap()
	c.bytes32Field(&f, "block", &a.Block)
	c.uintField(&f, "number", &a.Number)
	c.closeMap(&f)
}

func (*Receipt) versionName() string    { return "receipt/1" }
func (*KeyBinding) versionName() string { return "binding/1" }

func (r *Receipt) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, r.versionName())
	c.linkField(&f, "head", &r.Head)
	c.optionalLink(&f, "bound", &r.Bound)
	c.linkField(&f, "proof", &r.Proof)
	c.optionalLink(&f, "binding", &r.Binding)
	c.closeMap(&f)
	if c.Err == nil && r.Bound.Defined() != r.Binding.Defined() {
		c.failWith(CodeSchemaMissing, "a receipt has a key binding with its proof, or neither")
	}
}

func (b *KeyBinding) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, b.versionName())
	c.publicKeyField(&f, "key", &b.Key)
	c.textField(&f, "log", &b.Log)
	c.bytesField(&f, "sig", &b.Sig)
	c.intField(&f, "from", &b.From)
	optionalRecord(c, &f, "asked", &b.Asked, (*AskedAt).codeFields)
	c.textField(&f, "build", &b.Build)
	c.uintField(&f, "chain", &b.Chain)
	c.intField(&f, "until", &b.Until)
	c.textField(&f, "method", &b.Method)
	operator := bytes.Clone(b.Operator[:])
	c.bytesField(&f, "operator", &operator)
	c.closeMap(&f)
	if c.Err != nil || c.Mode == dagcbor.Walking {
		return
	}
	if b.Asked != nil && b.Method == "eoa" {
		c.failWith(CodeSchemaMissing, "method eoa: no chain is asked about a key's signature")
	}
	if len(operator) != len(b.Operator) {
		c.failWith(CodeSchemaRange, "an operator's address of %d bytes instead of 20", len(operator))
	}
	if b.From%1000 != 0 || b.Until%1000 != 0 || b.From < 0 || b.From >= b.Until {
		c.failWith(CodeSchemaRange, "a key binding from %d until %d ms, which are not whole seconds in order", b.From,
			b.Until)
	}
	b.Operator = [20]byte(append(operator, make([]byte, 20)...)[:20])
}

// A Logged is a receipt with what it links to. Nothing of it has been judged but that each is of its kind.
type Logged struct {
	CID, BindingCID Link
	Proof           []byte
	Binding         *KeyBinding // nil without one
	Bound           []byte
}

// readReceipt reads the root, if it is a receipt, and finds the head.
func (v *verifier) readReceipt() error {
	root := v.src.Root()
	if codecOf(root) != cid.DagCBOR {
		return nil // that it is no head is found next
	}
	data, err := v.src.Get(root)
	if err != nil || Check(data) != nil {
		return nil
	}
	var rec Receipt
	if version, err := versionOf(data); err != nil || version != rec.versionName() {
		return nil
	}
	if err := v.readRecord(root, &rec); err != nil {
		return err
	}
	l := &Logged{CID: root}
	v.ev.HeadCID, v.ev.Logged = rec.Head, l
	if l.Proof, err = v.readProof(rec.Proof); err != nil || !rec.Binding.Defined() {
		return err
	}
	l.BindingCID, l.Binding = rec.Binding, new(KeyBinding)
	if err := v.readRecord(rec.Binding, l.Binding); err != nil {
		return err
	}
	l.Bound, err = v.readProof(rec.Bound)
	return err
}

func (v *verifier) readProof(l Link) ([]byte, error) {
	if codecOf(l) != cid.Raw {
		return nil, &Fault{CodeLinksKind, l, "a record stands where a proof of logging should"}
	}
	return v.requireBlock(l)
}

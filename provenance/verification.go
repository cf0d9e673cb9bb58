package provenance

import "github.com/writ-run/writ/provenance/internal/dagcbor"

// A Verification says what a chain said of a contract wallet's signature, at one block. It is no proof: whoever does
// not trust the operator asks a chain of their own again, at the same block. It does not name the account or the
// signature, which stand in what links to it, and are sealed there.
type Verification struct {
	Method    string // "eip1271", or "eip6492" for a wallet that was not deployed
	Standing  string // what the account was: "contract", "delegated", "prepared"
	Chain     uint64 // EIP-155 id
	Number    uint64 // of the block
	Block     [32]byte
	State     *Payload // 96 bytes: hashes of the account's code, its owners and what its proxies lead to, or zeros
	Validator [32]byte // Keccak-256 of the program that asked
	Gas       uint64   // that the contract took
	Asked     uint64   // endpoints that were asked
	Agreed    uint64   // endpoints that gave this answer, more than half of Asked
	At        int64    // ms UTC
	Took      int64    // ms
}

func (*Verification) versionName() string { return "verification/1" }

func (x *Verification) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, x.versionName())
	c.intField(&f, "at", &x.At)
	c.uintField(&f, "gas", &x.Gas)
	c.intField(&f, "took", &x.Took)
	c.uintField(&f, "asked", &x.Asked)
	c.bytes32Field(&f, "block", &x.Block)
	c.uintField(&f, "chain", &x.Chain)
	x.State = x.State.codePayload(c, &f, "state", true)
	c.uintField(&f, "agreed", &x.Agreed)
	c.choiceField(&f, "method", &x.Method, "eip1271", "eip6492")
	c.uintField(&f, "number", &x.Number)
	c.choiceField(&f, "standing", &x.Standing, "contract", "delegated", "prepared")
	c.bytes32Field(&f, "validator", &x.Validator)
	c.closeMap(&f)
	if c.Err == nil && c.Mode != dagcbor.Walking && (x.Agreed <= x.Asked/2 || x.Agreed > x.Asked) {
		c.failWith(CodeSchemaRange, "%d of %d endpoints agreed", x.Agreed, x.Asked)
	}
}

// A WalletFact says that the contract wallet's signature still held when it was asked about last.
type WalletFact struct {
	At int64 // ms UTC, as in By
	By Link  // *Verification
}

func (w *WalletFact) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "at", &w.At)
	c.linkField(&f, "by", &w.By)
	c.closeMap(&f)
}

// refuseForKey says whether a verification stands where none can be.
func refuseForKey(c *coder, method string, by Link) {
	if c.Err == nil && c.Mode != dagcbor.Walking && method == "eoa" && by.Defined() {
		c.failWith(CodeSchemaMissing, "method eoa: a verification goes with a contract wallet's signature only")
	}
}

// readVerification reads what a chain said, once.
func (v *verifier) readVerification(l Link) error {
	if !l.Defined() || v.ev.Verifications[l] != nil {
		return nil
	}
	x := new(Verification)
	if err := v.readRecord(l, x); err != nil {
		return err
	}
	if len(v.ev.Verifications) >= maxVerifications {
		return &Fault{CodeHistoryBound, l, "more questions to a wallet's chain than are kept"}
	}
	if _, open := x.State.Bytes(); !open { // its leaf stands elsewhere too, and was judged there
		if err := v.ev.openLeaf(x.State); err != nil {
			return err
		}
	}
	v.ev.Verifications[l] = x
	return nil
}

// maxVerifications bounds those of one history that are kept: at one a minute, eleven days.
const maxVerifications = 1 << 14

package provenance

// A Verification says what a chain said of a contract wallet's signature, at one block. It is no proof: whoever does not
// trust the operator asks a chain of their own again, at the same block. It does not name the account or the signature,
// which stand in what links to it, and are sealed there.
type Verification struct {
	Method    string // "eip1271", or "eip6492" for a wallet that was not deployed
	Standing  string // what the account was: "contract", "delegated", "prepared"
	Chain     uint64 // EIP-155 id
	Number    uint64 // of the block
	Block     [32]byte
	State     *Payload // 64 bytes: the hash of the account's code, and that of its list of owners or zeros
	Validator [32]byte // Keccak-256 of the program that asked
	Gas       uint64   // that the contract took
	Asked     uint64   // endpoints that were asked
	Agreed    uint64   // endpoints that gave this answer, at least 1
	At        int64    // ms UTC
	Took      int64    // ms
}

func (*Verification) kind() string { return "verification/1" }

func (x *Verification) fields(c *coder) {
	f := c.open()
	c.version(&f, x.kind())
	c.int(&f, "at", &x.At)
	c.uint(&f, "gas", &x.Gas)
	c.int(&f, "took", &x.Took)
	c.uint(&f, "asked", &x.Asked)
	c.bytes32(&f, "block", &x.Block)
	c.uint(&f, "chain", &x.Chain)
	x.State = x.State.in(c, &f, "state", true)
	c.uint(&f, "agreed", &x.Agreed)
	c.oneOf(&f, "method", &x.Method, "eip1271", "eip6492")
	c.uint(&f, "number", &x.Number)
	c.oneOf(&f, "standing", &x.Standing, "contract", "delegated", "prepared")
	c.bytes32(&f, "validator", &x.Validator)
	c.close(&f)
	if c.err == nil && c.mode != walking && (x.Agreed == 0 || x.Agreed > x.Asked) {
		c.fail(CodeSchemaRange, "%d of %d endpoints agreed", x.Agreed, x.Asked)
	}
}

// A WalletFact says that the contract wallet's signature still held when it was asked about last.
type WalletFact struct {
	At int64 // ms UTC, as in By
	By Link  // *Verification
}

func (w *WalletFact) fields(c *coder) {
	f := c.open()
	c.int(&f, "at", &w.At)
	c.linkTo(&f, "by", &w.By)
	c.close(&f)
}

// byKey says whether a verification stands where none can be.
func byKey(c *coder, method string, by Link) {
	if c.err == nil && c.mode != walking && method == "eoa" && by.Defined() {
		c.fail(CodeSchemaMissing, "method eoa: a verification goes with a contract wallet's signature only")
	}
}

// verification reads what a chain said, once.
func (v *verifier) verification(l Link) error {
	if !l.Defined() || v.ev.Verifications[l] != nil {
		return nil
	}
	x := new(Verification)
	if err := v.record(l, x); err != nil {
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

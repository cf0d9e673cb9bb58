package agent

import "github.com/writ-run/writ/provenance"

// An Anchoring is a transaction that anchors the log on a chain, as the journal has it from before it is first sent.
type Anchoring struct {
	provenance.Anchor        // Block and Time are 0 until it is mined
	Slot              int64  // the interval that it is for, counted from 1970
	Nonce             uint64 // of the anchoring account
	Hash              [32]byte
	Tx                []byte // signed, as it is sent and sent again
	// Failed says that it came to nothing: it was mined and reverted, or another one with its nonce was mined.
	Failed bool
}

// Open says whether the chain may still take it in.
func (a *Anchoring) Open() bool { return a.Block == 0 && !a.Failed }

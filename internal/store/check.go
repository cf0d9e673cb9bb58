package store

import (
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Bounds on what one call may bring.
const (
	maxBlocks  = 1024
	maxBytes   = 16 << 20
	maxEntries = 256 // reservations, settlements
	maxName    = 512 // bytes of a ledger's key, an idempotency key, an owner, an account, an agent's name
	maxSigned  = 64 << 10
	maxKeys    = 1000 // ledgers asked for at once
	maxNumber  = 1<<63 - 1
)

// isOurs says whether c has the one form that our CIDs have, so that its bytes can be a key and its hash be checked.
func isOurs(c provenance.Link) bool {
	s := c.KeyString()
	return len(s) == 36 && s[0] == 1 && (s[1] == cid.DagCBOR || s[1] == cid.Raw) && s[2] == 0x12 && s[3] == 32
}

// checkBlock says whether b is what its CID says.
func checkBlock(b provenance.Block) error {
	switch {
	case !isOurs(b.CID):
		return fmt.Errorf("block %s is not a CIDv1 of dag-cbor or raw with sha2-256", b.CID)
	case len(b.Data) > provenance.MaxBlock:
		return fmt.Errorf("block %s has %d bytes, more than %d", b.CID, len(b.Data), provenance.MaxBlock)
	case provenance.Sum(uint64(b.CID.KeyString()[1]), b.Data) != b.CID:
		return fmt.Errorf("block %s: its bytes do not match its CID", b.CID)
	}
	return nil
}

// checkRead says whether stored bytes are still those of c.
func checkRead(c provenance.Link, data []byte) error {
	if provenance.Sum(uint64(c.KeyString()[1]), data) != c {
		return fmt.Errorf("block %s: %w", c, journal.ErrCorrupt)
	}
	return nil
}

func checkBlocks(blocks []provenance.Block, leaves []provenance.Leaf) error {
	if len(blocks) > maxBlocks || len(leaves) > maxBlocks {
		return fmt.Errorf("%d blocks and %d leaves at once, more than %d", len(blocks), len(leaves), maxBlocks)
	}
	size := 0
	for _, b := range blocks {
		if err := checkBlock(b); err != nil {
			return err
		}
		size += len(b.Data)
	}
	for _, l := range leaves {
		if !isOurs(l.CID) {
			return fmt.Errorf("leaf %s is not a CIDv1 of dag-cbor or raw with sha2-256", l.CID)
		}
		if l.Withheld == nil {
			continue
		}
		if err := checkBlock(provenance.Block{CID: l.CID, Data: l.Withheld}); err != nil {
			return err
		}
		if !l.Ends {
			return fmt.Errorf("leaf %s is withheld and does not end with its run", l.CID)
		}
		size += len(l.Withheld)
	}
	if size > maxBytes {
		return fmt.Errorf("%d bytes of blocks at once, more than %d", size, maxBytes)
	}
	return nil
}

func checkName(what, s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%s has %d bytes, more than %d", what, len(s), maxName)
	}
	return nil
}

func checkSession(s journal.Session) error {
	if !isOurs(s.ID) {
		return fmt.Errorf("its id %s is not the CID of a grant", s.ID)
	}
	if len(s.Message) > maxSigned || len(s.Sig) > maxSigned {
		return fmt.Errorf("message of %d bytes, signature of %d: more than %d", len(s.Message), len(s.Sig), maxSigned)
	}
	if s.Chain > maxNumber || s.Revoked < 0 {
		return errors.New("chain id or time of revocation out of range")
	}
	return errors.Join(checkName("session key", s.Key), checkName("agent name", s.Agent))
}

// Package ledgerid reads the names of ledgers in facts and decisions: "layer/id", then "~" and a caller's name, then
// "@" and a window, then "#" and what stands for a recipient.
package ledgerid

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Budget returns the budget of a ledger, "layer/id".
func Budget(ledger string) string {
	id, _, _ := strings.Cut(ledger, "#")
	id, _, _ = strings.Cut(id, "@")
	id, _, _ = strings.Cut(id, "~")
	return id
}

// Caller returns the caller's name in a ledger's ID, or nothing if the ledger is the run's own.
func Caller(ledger string) string {
	id, _, _ := strings.Cut(ledger, "#")
	id, _, _ = strings.Cut(id, "@")
	_, caller, _ := strings.Cut(id, "~")
	return caller
}

// Recipient is what stands for a recipient in the open: 128 bits of SHA-256 over the run's salt and the address.
func Recipient(salt [32]byte, to [20]byte) string {
	h := sha256.New()
	h.Write([]byte("writ/recipient/1\n"))
	h.Write(salt[:])
	h.Write(to[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

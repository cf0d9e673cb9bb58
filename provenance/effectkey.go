package provenance

import (
	"crypto/sha256"
	"encoding/binary"
)

// EffectKey returns the idempotency key of an effect: SHA-256 over the step's CID and the effect's place in it. It is
// never made by a model, and no two effects share one.
func EffectKey(step Link, index uint64) [32]byte {
	b := append([]byte("writ/effect/1\n"), step.Bytes()...)
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, index))
}

// Package knownsig remembers which signatures of frames hold. A request is verified where it comes in and where it is
// recorded, and at the front door it is signed by this very process: each of these would compute the same again.
//
// What is remembered is a fact of the key, the exact frame and the exact signature, so that remembering takes nothing
// away: any other key, frame or signature is verified anew. A signature that does not hold is never remembered.
package knownsig

import (
	"crypto/sha256"
	"sync"

	"github.com/writ-run/writ/auth"
)

// most is how many signatures are remembered; then the oldest are forgotten.
const most = 4096

// size is that of every session key's signature, in bytes.
const size = 64

// A fact is that a key's owner has signed.
type fact struct {
	key auth.PublicKey
	sum [32]byte // of the frame's bytes and the signature, which has a fixed length
}

var (
	mu    sync.Mutex
	known = make(map[fact]struct{}, most)
	ring  [most]fact
	next  int
)

// Verify is f.Verify(key, sig).
func Verify(f auth.Frame, key auth.PublicKey, sig []byte) error {
	if len(sig) != size { // such as that of an HTTP request, which is signed by other means
		return f.Verify(key, sig)
	}
	is := factOf(f, key, sig)
	mu.Lock()
	_, holds := known[is]
	mu.Unlock()
	if holds {
		return nil
	}
	err := f.Verify(key, sig)
	if err == nil {
		remember(is)
	}
	return err
}

// Sign is key.SignFrame(f): a signature that is made here holds.
func Sign(f auth.Frame, key auth.PrivateKey) ([]byte, error) {
	sig, err := key.SignFrame(f)
	if err == nil && len(sig) == size {
		remember(factOf(f, key.Public(), sig))
	}
	return sig, err
}

func factOf(f auth.Frame, key auth.PublicKey, sig []byte) fact {
	return fact{key, sha256.Sum256(append(f.Bytes(), sig...))}
}

func remember(is fact) {
	mu.Lock()
	defer mu.Unlock()
	if _, there := known[is]; there {
		return
	}
	delete(known, ring[next])
	known[is], ring[next] = struct{}{}, is
	next = (next + 1) % most
}

package layer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/writ-run/writ/policies"
)

// Sets keeps policy sets that were loaded, by what they were loaded from. Loading one costs more than judging a short
// run, and the machines of one program are made of the same few: every session of a server has the operator's set, and
// an auditor of many runs meets it in each. Whoever owns such machines hands one Sets to all of them.
//
// The zero Sets is empty and ready, and safe for use by many goroutines. A nil one keeps nothing.
type Sets struct {
	mu     sync.Mutex
	loaded map[[32]byte]*policies.Set // which never change
}

// maxSets bounds the sets that are kept; when there are more, all are dropped and loaded again.
const maxSets = 32

// Load is [policies.Load] without files. What fails is not kept.
func (s *Sets) Load(source []byte, o policies.Options) (*policies.Set, error) {
	if s == nil {
		return policies.Load(source, o)
	}
	key := keyOfSet(source, o)
	s.mu.Lock()
	set := s.loaded[key]
	s.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set, err := policies.Load(source, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil || len(s.loaded) >= maxSets {
		s.loaded = map[[32]byte]*policies.Set{}
	}
	s.loaded[key] = set
	return set, nil
}

// keyOfSet is a digest of everything that a set is loaded from, each part with its length before it.
func keyOfSet(source []byte, o policies.Options) (key [32]byte) {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(b))))
		h.Write(b)
	}
	part(source)
	part(fmt.Appendf(nil, "%q %t %t %t %d", o.Layer, o.Untrusted, o.Partial, o.Parts != nil, len(o.Parts)))
	for _, name := range slices.Sorted(maps.Keys(o.Parts)) {
		part([]byte(name))
		part(o.Parts[name])
	}
	part(fmt.Appendf(nil, "%#v", o.Tools)) // with every field of theirs
	h.Sum(key[:0])
	return key
}

package loop

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/writ-run/writ/policies"
)

// Loading a set costs about as much as judging a short run, and most machines of one program are made of the same few
// sets: every session of a server has the operator's, and an auditor of many runs meets it in each. A loaded set never
// changes, so it is kept by what it was loaded from.

// maxSets bounds the sets that are kept; when there are more, all are dropped and loaded again.
const maxSets = 32

var loaded struct {
	mu   sync.Mutex
	sets map[[32]byte]*policies.Set
}

// load is [policies.Load] without files. What fails is not kept.
func load(source []byte, o policies.Options) (*policies.Set, error) {
	key := setKey(source, o)
	loaded.mu.Lock()
	set := loaded.sets[key]
	loaded.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set, err := policies.Load(source, o)
	if err != nil {
		return nil, err
	}
	loaded.mu.Lock()
	defer loaded.mu.Unlock()
	if loaded.sets == nil || len(loaded.sets) >= maxSets {
		loaded.sets = map[[32]byte]*policies.Set{}
	}
	loaded.sets[key] = set
	return set, nil
}

// setKey is a digest of everything that a set is loaded from, each part with its length before it.
func setKey(source []byte, o policies.Options) (key [32]byte) {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(b))))
		h.Write(b)
	}
	flags := byte(0)
	for i, on := range []bool{o.Untrusted, o.Partial, o.Parts != nil} {
		if on {
			flags |= 1 << i
		}
	}
	part(source)
	part([]byte(o.Layer))
	part([]byte{flags, byte(len(o.Parts) >> 8), byte(len(o.Parts))})
	for _, name := range slices.Sorted(maps.Keys(o.Parts)) {
		part([]byte(name))
		part(o.Parts[name])
	}
	for _, t := range o.Tools {
		part([]byte(t.Name))
		part([]byte{byte(len(t.Params) >> 8), byte(len(t.Params))})
		for _, p := range t.Params {
			part([]byte(p.Name))
			part([]byte(p.Kind))
		}
	}
	h.Sum(key[:0])
	return key
}

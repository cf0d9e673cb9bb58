package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
)

// Codes of key files.
const (
	CodeKeysForm Code = "keys.form" // not a key file, or not in its one spelling
	CodeKeysSize Code = "keys.size" // larger than 16 MiB
)

const (
	keysSchema = "writ/keys/1"
	maxKeys    = 16 << 20 // bytes of a key file
)

type keyFile struct {
	Schema string            `json:"schema"`
	Keys   map[string][]byte `json:"keys"`
}

// WriteKeys writes leaf keys as a file of their own, to go beside a CAR file: one JSON object
// {"schema":"writ/keys/1","keys":{CID: base64}} without white space, sorted by CID, ended by a newline. Who has it can
// read those leaves, so its permissions matter. Two different keys for one leaf are an error.
func WriteKeys(w io.Writer, leaves []Leaf) error {
	f := keyFile{keysSchema, make(map[string][]byte, len(leaves))}
	for i := range leaves {
		name, key := leaves[i].CID.String(), leaves[i].Key[:]
		if !isCID(leaves[i].CID.Bytes()) || codecOf(leaves[i].CID) != cid.Raw {
			return fmt.Errorf("write leaf keys: %s is not a leaf", name)
		}
		if old, ok := f.Keys[name]; ok && !bytes.Equal(old, key) {
			return fmt.Errorf("write leaf keys: leaf %s has two keys", name)
		}
		f.Keys[name] = key
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write leaf keys: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write leaf keys: %w", err)
	}
	return nil
}

// ReadKeys reads what [WriteKeys] writes, and nothing else: there is one spelling of a key file. Its errors quote
// nothing of the file. Bad input gives a [*Fault].
func ReadKeys(r io.Reader) (map[Link]LeafKey, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeys+1))
	if err != nil {
		return nil, fmt.Errorf("read leaf keys: %w", err)
	}
	if len(b) > maxKeys {
		return nil, fault(CodeKeysSize, "a key file of more than %d bytes", maxKeys)
	}
	var f keyFile
	if json.Unmarshal(b, &f) != nil || f.Schema != keysSchema || f.Keys == nil {
		return nil, fault(CodeKeysForm, "not a file of leaf keys (%s)", keysSchema)
	}
	keys := make(map[Link]LeafKey, len(f.Keys))
	for name, key := range f.Keys {
		c, err := cid.Decode(name)
		if err != nil || c.String() != name || !isCID(c.Bytes()) || codecOf(c) != cid.Raw {
			return nil, fault(CodeKeysForm, "an entry is not named by the CID of a leaf")
		}
		if len(key) != len(LeafKey{}) {
			return nil, fault(CodeKeysForm, "the key of leaf %s has %d bytes, want %d", name, len(key), len(LeafKey{}))
		}
		keys[c] = LeafKey(key)
	}
	// White space, other orders, repeated names, unknown fields and other base64 do not survive this.
	if again, err := json.Marshal(f); err != nil || !bytes.Equal(append(again, '\n'), b) {
		return nil, fault(CodeKeysForm, "the key file is not in its one spelling")
	}
	return keys, nil
}

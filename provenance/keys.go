package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
	"github.com/writ-run/writ/provenance/internal/keyfile"
)

// Codes of key files.
const (
	CodeKeysForm Code = "keys.form" // not a key file, or not in its one spelling
	CodeKeysSize Code = "keys.size" // larger than 16 MiB
)

type keyFile struct {
	Schema string            `json:"schema"`
	Keys   map[string][]byte `json:"keys"`
}

// WriteKeys writes leaf keys as a file of their own, to go beside a CAR file: one JSON object
// {"schema":"writ/keys/1","keys":{CID: base64}} without white space, sorted by CID, ended by a newline. Who has it can
// read those leaves, so its permissions matter. Two different keys for one leaf are an error.
func WriteKeys(w io.Writer, leaves []Leaf) error {
	f := keyFile{keyfile.Schema, make(map[string][]byte, len(leaves))}
	for i := range leaves {
		name, key := leaves[i].CID.String(), leaves[i].Key[:]
		if !dagcbor.IsCID(leaves[i].CID.Bytes()) || codecOf(leaves[i].CID) != cid.Raw {
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
// nothing of the file. Bad input gives a [*Fault]. The file is streamed; what is kept is 100 bytes an entry.
func ReadKeys(r io.Reader) (map[Link]LeafKey, error) {
	in, err := keyfile.Read(r)
	if f, ok := errors.AsType[*keyfile.FormError](err); ok && f.TooLarge {
		return nil, Faultf(CodeKeysSize, "%s", f.What)
	} else if ok {
		return nil, Faultf(CodeKeysForm, "%s", f.What)
	}
	if err != nil {
		return nil, fmt.Errorf("read leaf keys: %w", err)
	}
	all := string(in.CIDs) // one text for all of them: a Link is a part of it
	keys := make(map[Link]LeafKey, len(in.Keys))
	for i, k := range in.Keys {
		keys[dagcbor.LinkFromString(all[i*cidLen:(i+1)*cidLen])] = k
	}
	return keys, nil
}

package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxCallID is the longest id of a call, in bytes, that is kept as the provider gave it.
const MaxCallID = 200

// UniqueCalls returns the calls that a reply asks for with ids that tell them apart. Servers repeat pieces of a stream,
// number nothing, and count from the beginning again: so a call with the id, the tool and the arguments of one before
// it is that call once more and is left out, and any other call whose id is taken or missing gets one of its own. White
// space and the order of keys make no difference between arguments. An id is never cut, since two that are cut may
// become one: what is longer than [MaxCallID] or not UTF-8 is replaced by its digest.
//
// It is a function of the reply alone, so whoever reads a provider's bytes again arrives at the same calls.
func UniqueCalls(calls []Call) []Call {
	taken := map[string]bool{}
	for _, c := range calls {
		taken[RecordID(c.ID)] = true
	}
	var out []Call
	seen, used := map[string]bool{}, map[string]bool{}
	for i, c := range calls {
		same := fmt.Sprintf("%q %q %s", c.ID, c.Tool, sortJSON(c.Args))
		if c.ID != "" && seen[same] {
			continue
		}
		seen[same] = true
		c.ID = RecordID(c.ID)
		for n := i + 1; c.ID == "" || used[c.ID]; n++ {
			if id := fmt.Sprintf("call-%d", n); !taken[id] {
				c.ID = id
			}
		}
		used[c.ID], taken[c.ID] = true, true
		out = append(out, c)
	}
	return out
}

// RecordID returns a provider's id as it is recorded: whole, or by its digest.
func RecordID(id string) string {
	if len(id) <= MaxCallID && utf8.ValidString(id) {
		return id
	}
	h := sha256.Sum256([]byte(id))
	return "call-" + hex.EncodeToString(h[:])
}

// SameJSON says whether two texts are the same JSON; white space and the order of keys make no difference.
func SameJSON(a, b string) bool { return bytes.Equal(sortJSON([]byte(a)), sortJSON([]byte(b))) }

// sortJSON returns a JSON text without white space and with sorted keys, and any other text as it is.
func sortJSON(text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	if _, err := d.Token(); err != io.EOF {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return out
}

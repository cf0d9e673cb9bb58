package tools

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// The vectors of docs/record.md's canonical arguments, which web/reader judges too.
func TestArgumentVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors/arguments.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Raw, Recorded, Code string
		RawHex                    string `json:"raw_hex"`
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) < 40 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		raw := []byte(v.Raw)
		if v.RawHex != "" {
			if raw, err = hex.DecodeString(v.RawHex); err != nil {
				t.Fatal(err)
			}
		}
		got, err := CanonicalJSON(raw)
		if (err != nil) != (v.Code != "") || string(got) != v.Recorded {
			t.Errorf("%s: got %s, %v; want %q, %q", v.Name, got, err, v.Recorded, v.Code)
		}
	}
}

package provenance

import (
	"bytes"
	"strings"
	"testing"
)

func TestKeysSurviveTheirFile(t *testing.T) {
	h := newHistory()
	h.link(t)
	var file, again bytes.Buffer
	if err := WriteKeys(&file, append(h.leaves, h.leaves[0])); err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != len(h.leaves) {
		t.Errorf("%d keys, want %d", len(keys), len(h.leaves))
	}
	var back []Leaf
	for c, k := range keys {
		back = append(back, Leaf{CID: c, Key: k})
	}
	if err := WriteKeys(&again, back); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Errorf("written again: %v\n%s\nwant\n%s", err, again.Bytes(), file.Bytes())
	}
}

func TestWriteKeysRefuses(t *testing.T) {
	leaf := NewRaw([]byte("leaf")).CID
	for rule, leaves := range map[string][]Leaf{
		"two keys for one leaf": {{CID: leaf, Key: LeafKey{1}}, {CID: leaf, Key: LeafKey{2}}},
		"a record's CID":        {{CID: Sum(0x71, nil), Key: LeafKey{1}}},
		"no CID":                {{CID: Link{}, Key: LeafKey{1}}},
	} {
		if err := WriteKeys(new(bytes.Buffer), leaves); err == nil {
			t.Errorf("%s: written", rule)
		}
	}
}

// keyBefore is an entry that stands before keyLine.
var keyBefore = strings.Replace(keyLine, "bafkreif", "bafkreia", 1)

const keyLine = `"bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`

func TestReadKeysKnowsOneSpelling(t *testing.T) {
	for _, tt := range []struct {
		rule, file string
		want       Code
	}{
		{"no keys", `{"schema":"writ/keys/1","keys":{}}` + "\n", ""},
		{"one key", `{"schema":"writ/keys/1","keys":{` + keyLine + "}}\n", ""},
		{"nothing", "", CodeKeysForm},
		{"another schema", `{"schema":"writ/keys/2","keys":{}}` + "\n", CodeKeysForm},
		{"no newline", `{"schema":"writ/keys/1","keys":{}}`, CodeKeysForm},
		{"white space", `{"schema":"writ/keys/1", "keys":{}}` + "\n", CodeKeysForm},
		{"null for no keys", `{"schema":"writ/keys/1","keys":null}` + "\n", CodeKeysForm},
		{"an unknown field", `{"schema":"writ/keys/1","keys":{},"more":1}` + "\n", CodeKeysForm},
		{"no comma between two", `{"schema":"writ/keys/1","keys":{` + keyBefore + keyLine + "}}\n", CodeKeysForm},
		{"two keys", `{"schema":"writ/keys/1","keys":{` + keyBefore + "," + keyLine + "}}\n", ""},
		{"two keys, not sorted", `{"schema":"writ/keys/1","keys":{` + keyLine + "," + keyBefore + "}}\n", CodeKeysForm},
		{"a comma before the first", `{"schema":"writ/keys/1","keys":{,` + keyLine + "}}\n", CodeKeysForm},
		{"a comma after the last", `{"schema":"writ/keys/1","keys":{` + keyLine + ",}}\n", CodeKeysForm},
		{"something after the end", `{"schema":"writ/keys/1","keys":{` + keyLine + "}}\n\n", CodeKeysForm},
		{"cut inside a key", `{"schema":"writ/keys/1","keys":{` + keyLine[:90], CodeKeysForm},
		{"one key twice", `{"schema":"writ/keys/1","keys":{` + keyLine + "," + keyLine + "}}\n", CodeKeysForm},
		{"a name in another base",
			`{"schema":"writ/keys/1","keys":{"zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}` + "\n", CodeKeysForm},
		{"a name in upper case", `{"schema":"writ/keys/1","keys":{` +
			strings.Replace(keyLine, "bafkrei", "BAFKREI", 1) + "}}\n", CodeKeysForm},
		{"a key of 31 bytes", `{"schema":"writ/keys/1","keys":{` + strings.Replace(keyLine, "AAAA=", "AA==", 1) +
			"}}\n", CodeKeysForm},
		{"a last bit that base64 ignores", `{"schema":"writ/keys/1","keys":{` +
			strings.Replace(keyLine, "AAA=", "AAB=", 1) + "}}\n", CodeKeysForm},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := ReadKeys(strings.NewReader(tt.file))
			if got := codeOf(err); got != tt.want {
				t.Errorf("ReadKeys = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "AQAA") {
				t.Errorf("the error quotes a key: %v", err)
			}
		})
	}
	if _, err := ReadKeys(strings.NewReader(strings.Repeat(" ", 16<<20+1))); codeOf(err) != CodeKeysSize {
		t.Errorf("a huge file: %v, want %s", err, CodeKeysSize)
	}
}

// FuzzReadKeys: what is read is the one spelling of its keys.
func FuzzReadKeys(f *testing.F) {
	f.Add([]byte(`{"schema":"writ/keys/1","keys":{}}` + "\n"))
	f.Add([]byte(`{"schema":"writ/keys/1","keys":{` + keyLine + "}}\n"))
	f.Add([]byte(`{"schema":"writ/keys/1","keys":{` + keyBefore + "," + keyLine + "}}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, err := ReadKeys(bytes.NewReader(file))
		if err != nil {
			return
		}
		var leaves []Leaf
		for c, k := range keys {
			leaves = append(leaves, Leaf{CID: c, Key: k})
		}
		var again bytes.Buffer
		if err := WriteKeys(&again, leaves); err != nil || !bytes.Equal(again.Bytes(), file) {
			t.Errorf("two spellings of one key file (%v): %q", err, file)
		}
	})
}

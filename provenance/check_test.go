package provenance

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/node/basicnode"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// codeOf returns the code of a fault, "" for nil, and "?" for any other error.
func codeOf(err error) Code {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Code
	}
	if err != nil {
		return "?"
	}
	return ""
}

const digest = "0000000000000000000000000000000000000000000000000000000000000000"

func TestCheckNamesEachFault(t *testing.T) {
	for _, tt := range []struct {
		rule string
		hex  string
		want Code
	}{
		{"an empty map is fine", "a0", ""},
		{"true and false are fine", "82 f4 f5", ""},
		{"shorter keys come first, then bytewise", "a3 61 62 00 61 63 00 62 61 61 00", ""},
		{"the largest integers of 63 bits are fine", "82 1b 7fffffffffffffff 3b 7fffffffffffffff", ""},
		{"a link of dag-cbor is fine", "d82a 5825 00 01 71 12 20" + digest, ""},
		{"a link of raw is fine", "d82a 5825 00 01 55 12 20" + digest, ""},

		{"keys out of order", "a2 61 62 00 61 61 00", CodeCodecUnsorted},
		{"a longer key before a shorter one", "a2 62 61 61 00 61 62 00", CodeCodecUnsorted},
		{"one key twice", "a2 61 61 00 61 61 00", CodeCodecDuplicate},
		{"an integer as key", "a1 01 00", CodeCodecKey},
		{"true as key", "a1 f5 00", CodeCodecKey},
		{"a link as key", "a1 d82a 5825 00 01 71 12 20" + digest + "00", CodeCodecKey},
		{"23 in two bytes", "18 17", CodeCodecMinimal},
		{"255 in three bytes", "19 00ff", CodeCodecMinimal},
		{"65535 in five bytes", "1a 0000ffff", CodeCodecMinimal},
		{"a length in nine bytes", "5b 0000000000000001 00", CodeCodecMinimal},
		{"a tag in three bytes", "d9 002a 5825 00 01 71 12 20" + digest, CodeCodecMinimal},
		{"a list of indefinite length", "9f 00 ff", CodeCodecIndefinite},
		{"a text of indefinite length", "7f 61 61 ff", CodeCodecIndefinite},
		{"an end where nothing is open", "ff", CodeCodecIndefinite},
		{"a reserved head", "1c", CodeCodecReserved},
		{"a reserved simple head", "fc", CodeCodecReserved},
		{"a half float", "f9 3c00", CodeCodecFloat},
		{"a single float", "fa 3f800000", CodeCodecFloat},
		{"a double float", "fb 3ff0000000000000", CodeCodecFloat},
		{"minus zero", "fb 8000000000000000", CodeCodecFloat},
		{"not a number", "f9 7e00", CodeCodecFloat},
		{"null", "a1 61 61 f6", CodeCodecNull},
		{"undefined", "f7", CodeCodecSimple},
		{"a simple value", "e0", CodeCodecSimple},
		{"a simple value in two bytes", "f8 20", CodeCodecSimple},
		{"a date", "c0 60", CodeCodecTag},
		{"a link over text", "d82a 60", CodeCodecTag},
		{"text that is not UTF-8", "61 ff", CodeCodecUTF8},
		{"a surrogate in text", "63 eda080", CodeCodecUTF8},
		{"a key that is not UTF-8", "a1 61 ff 00", CodeCodecUTF8},
		{"an integer of 64 bits", "1b 8000000000000000", CodeCodecInt},
		{"a negative integer of 64 bits", "3b 8000000000000000", CodeCodecInt},
		{"bytes after the item", "00 00", CodeCodecTrailing},
		{"no bytes at all", "", CodeCodecTruncated},
		{"a text cut short", "62 61", CodeCodecTruncated},
		{"a head cut short", "19 01", CodeCodecTruncated},
		{"a map without its last value", "a1 61 61", CodeCodecTruncated},
		{"a tag without anything", "d82a", CodeCodecTruncated},
		{"a list that claims 2^32 items", "9b 0000000100000000", CodeCodecTruncated},
		{"a map that claims 2^63 entries", "bb 8000000000000000", CodeCodecTruncated},
		{"a text that claims 2^62 bytes", "7b 4000000000000000", CodeCodecTruncated},
		{"32 lists inside each other", strings.Repeat("81", 31) + "80", ""},
		{"33 lists inside each other", strings.Repeat("81", 32) + "80", CodeCodecDepth},

		{"a link without its zero byte", "d82a 5824 01 71 12 20" + digest, CodeLinkPrefix},
		{"a link of no bytes", "d82a 40", CodeLinkPrefix},
		{"a CIDv0", "d82a 5823 00 12 20" + digest, CodeLinkV0},
		{"a CID of version 2", "d82a 5825 00 02 71 12 20" + digest, CodeLinkVersion},
		{"a codec in two bytes", "d82a 5826 00 01 f100 12 20" + digest, CodeLinkVarint},
		{"a version in two bytes", "d82a 5826 00 8100 71 12 20" + digest, CodeLinkVarint},
		{"identity: data in the place of a hash", "d82a 46 00 01 55 00 01 61", CodeLinkIdentity},
		{"SHA-1", "d82a 5819 00 01 71 11 14" + digest[:40], CodeLinkHash},
		{"SHA-512 cut to 32 bytes", "d82a 5825 00 01 71 13 20" + digest, CodeLinkHash},
		{"sha2-256 cut to 20 bytes", "d82a 5819 00 01 71 12 14" + digest[:40], CodeLinkDigest},
		{"a digest that ends too soon", "d82a 5824 00 01 71 12 20" + digest[:62], CodeLinkForm},
		{"dag-pb", "d82a 5825 00 01 70 12 20" + digest, CodeLinkCodec},
		{"bytes after the digest", "d82a 5826 00 01 71 12 20" + digest + "00", CodeLinkTrailing},
		{"a link that ends inside a number", "d82a 43 00 01 ff", CodeLinkForm},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got := codeOf(Check(unhex(t, tt.hex))); got != tt.want {
				t.Errorf("Check(%s) = %q, want %q", tt.hex, got, tt.want)
			}
		})
	}
}

func TestCheckRefusesTooLargeABlock(t *testing.T) {
	text := func(n int) []byte { // n bytes in all
		return append([]byte{0x7a, 0, byte((n - 5) >> 16), byte((n - 5) >> 8), byte(n - 5)}, make([]byte, n-5)...)
	}
	if err := Check(text(MaxBlock)); err != nil {
		t.Errorf("a block of the largest size: %v", err)
	}
	if got := codeOf(Check(text(MaxBlock + 1))); got != CodeCodecSize {
		t.Errorf("a block of one byte more: %q, want %q", got, CodeCodecSize)
	}
}

// A list of empty lists costs stock decoders 140 times its size.
func TestBombsCostNothing(t *testing.T) {
	lists := append([]byte{0x9a, 0, 3, 0xff, 0xfb}, bytes.Repeat([]byte{0x80}, MaxBlock-5)...)
	if err := Check(lists); err != nil {
		t.Errorf("256 KiB of empty lists are canonical: %v", err)
	}
	if n := testing.AllocsPerRun(10, func() { Check(lists) }); n != 0 {
		t.Errorf("Check allocates %v times, want 0", n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Decode(lists, new(Step)); codeOf(err) != CodeSchemaType {
		t.Errorf("Decode = %v, want %s", err, CodeSchemaType)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*MaxBlock {
		t.Errorf("Decode allocates %d bytes for a block of %d", n, len(lists))
	}
}

// Check and go-ipld-prime agree, but for what we refuse on purpose.
func FuzzCheck(f *testing.F) {
	h := newHistory()
	h.link(f)
	for c, b := range h.blocks {
		if c.Prefix().Codec == cid.DagCBOR {
			f.Add(b)
		}
	}
	for _, s := range []string{"a0", "f6", "fb3ff0000000000000", "a2616200616100", "1bffffffffffffffff", "61ff"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var again bytes.Buffer
		node := basicnode.Prototype.Any.NewBuilder()
		err := dagcbor.Decode(node, bytes.NewReader(data))
		if err == nil {
			err = dagcbor.Encode(node.Build(), &again)
		}
		theirs := err == nil && bytes.Equal(again.Bytes(), data)
		code := codeOf(Check(data))
		switch {
		case code == "" && !theirs:
			t.Errorf("Check passes %x, go-ipld-prime: %v, %x", data, err, again.Bytes())
		case code != "" && theirs:
			stricter := code == CodeCodecFloat || code == CodeCodecNull || code == CodeCodecUTF8 ||
				code == CodeCodecInt ||
				code == CodeCodecDepth || code == CodeCodecSize || strings.HasPrefix(string(code), "link.")
			if !stricter {
				t.Errorf("Check refuses %x as %s, go-ipld-prime reads and writes it", data, code)
			}
		}
	})
}

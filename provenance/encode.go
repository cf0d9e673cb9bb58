package provenance

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"unsafe"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// coders keeps coders with their buffers; one that has grown large is not kept.
var coders = sync.Pool{New: func() any { return new(coder) }}

func (c *coder) putBack() {
	out := c.Out
	if len(out) > MaxBlock/4 {
		out = nil
	}
	*c = coder{Coder: dagcbor.Coder{Out: out}}
	coders.Put(c)
}

// Encode returns the one block of r, with one allocation for its bytes and its CID. It fails if a payload has no leaf
// yet, or a value is out of its bounds; the error is then a [*Fault].
func Encode(r Record) (Block, error) {
	c := coders.Get().(*coder)
	defer c.putBack()
	c.Mode = dagcbor.Writing
	r.codeFields(c)
	if c.Err == nil && c.At > MaxBlock {
		c.failWith(CodeSchemaRange, "a %s of %d bytes is larger than a block may be", r.versionName(), c.At)
	}
	if c.Err != nil {
		return Block{}, faultOf(c.Err)
	}
	b := make([]byte, c.At+cidLen)
	data, link := b[:c.At:c.At], b[c.At:]
	copy(data, c.Out)
	dagcbor.PutCID(link, cid.DagCBOR, data)
	return Block{dagcbor.LinkFromConstant(link), data}, nil
}

// Decode reads the record in data into r, whose type says which record it must be. Any spelling but the canonical
// one is refused: if Decode succeeds, [Encode] gives data again. The error is a [*Fault] without a CID.
func Decode(data []byte, r Record) error {
	return readRecord(data, r, nil)
}

// DecodeAny reads whichever record data is, by its version.
func DecodeAny(data []byte) (Record, error) {
	version, err := versionOf(data)
	r := newRecord(version)
	switch {
	case err == nil && r != nil:
		return r, readRecord(data, r, nil)
	case err == nil:
		err = Faultf(CodeSchemaVersion, "no record is called %q", version)
	}
	return nil, cmp.Or(Check(data), err)
}

// readRecord is Decode. payload, if there is one, is called with each payload.
func readRecord(data []byte, r Record, payload func(*Payload)) error {
	if len(data) > MaxBlock {
		return Check(data)
	}
	return readOwned(bytes.Clone(data), r, payload)
}

// readOwned is readRecord for bytes that nobody changes any more: texts and links of r are parts of them.
func readOwned(data []byte, r Record, payload func(*Payload)) error {
	if len(data) > MaxBlock {
		return Check(data)
	}
	c := coders.Get().(*coder)
	defer c.putBack()
	c.Mode, c.In, c.payload = dagcbor.Reading, unsafe.String(unsafe.SliceData(data), len(data)), payload
	r.codeFields(c)
	if c.Err == nil && c.At != len(c.In) {
		c.failWith(CodeSchemaKey, "%d bytes follow the record", len(c.In)-c.At)
	}
	if c.Err == nil {
		return nil
	}
	return cmp.Or(Check(data), faultOf(c.Err))
}

// versionOf returns what a record says it is: the value of its first key, "v".
func versionOf(data []byte) (string, error) {
	// where the first key and its value end at the latest
	c := coder{Coder: dagcbor.Coder{Mode: dagcbor.Reading, In: string(data[:min(len(data), 80)])}}
	f := c.openMap()
	var version string
	if c.codeKey(&f, "v", true, true) {
		c.CodeText(&version, 64)
	}
	return version, faultOf(c.Err)
}

// newRecord returns an empty record of a version, or nil.
func newRecord(version string) Record {
	for _, r := range []Record{
		new(Run), new(Step), new(Head), new(Grant), new(PolicySet), new(Agent), new(ToolDef), new(Runtime),
		new(Delegation), new(Revocation), new(Erasure), new(Assertion),
		new(Receipt), new(KeyBinding), new(Verification), new(StepIndex),
	} {
		if r.versionName() == version {
			return r
		}
	}
	return nil
}

// Links returns what r links to, in the order of its block, leaves of payloads included, doubles too.
func Links(r Record) []Link {
	var links []Link
	c := coder{Coder: dagcbor.Coder{
		Mode: dagcbor.Walking, Link: func(l Link) { links = append(links, l) },
	}}
	r.codeFields(&c)
	return links
}

// Payloads returns the payloads of r in the order of its block. One that stands in two places comes once.
func Payloads(r Record) []*Payload {
	var ps []*Payload
	c := coder{Coder: dagcbor.Coder{Mode: dagcbor.Walking}, payload: func(p *Payload) {
		if !slices.Contains(ps, p) {
			ps = append(ps, p)
		}
	}}
	r.codeFields(&c)
	return ps
}

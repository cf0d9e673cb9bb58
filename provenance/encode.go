package provenance

import (
	"cmp"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
)

// coders keeps coders with their buffers; one that has grown large is not kept.
var coders = sync.Pool{New: func() any { return new(coder) }}

func (c *coder) free() {
	out := c.out
	if len(out) > MaxBlock/4 {
		out = nil
	}
	*c = coder{out: out}
	coders.Put(c)
}

// Encode returns the one block of r, with one allocation for its bytes and its CID. It fails if a payload has no leaf
// yet, or a value is out of its bounds; the error is then a [*Fault].
func Encode(r Record) (Block, error) {
	c := coders.Get().(*coder)
	defer c.free()
	c.mode = writing
	r.fields(c)
	if c.err == nil && c.at > MaxBlock {
		c.fail(CodeSchemaRange, "a %s of %d bytes is larger than a block may be", r.kind(), c.at)
	}
	if c.err != nil {
		return Block{}, c.err
	}
	b := make([]byte, c.at+cidLen)
	data, link := b[:c.at:c.at], b[c.at:]
	copy(data, c.out)
	putCID(link, cid.DagCBOR, data)
	return Block{linkIn(link), data}, nil
}

// Decode reads the record in data into r, whose type says which record it must be. Any spelling but the canonical
// one is refused: if Decode succeeds, [Encode] gives data again. The error is a [*Fault] without a CID.
func Decode(data []byte, r Record) error {
	return read(data, r, nil)
}

// DecodeAny reads whichever record data is, by its version.
func DecodeAny(data []byte) (Record, error) {
	version, err := versionOf(data)
	r := newRecord(version)
	switch {
	case err == nil && r != nil:
		return r, read(data, r, nil)
	case err == nil:
		err = fault(CodeSchemaVersion, "no record is called %q", version)
	}
	return nil, cmp.Or(Check(data), err)
}

// read is Decode. payload, if there is one, is called with each payload.
func read(data []byte, r Record, payload func(*Payload)) error {
	if len(data) > MaxBlock {
		return Check(data)
	}
	c := coders.Get().(*coder)
	defer c.free()
	c.mode, c.in, c.payload = reading, string(data), payload
	r.fields(c)
	if c.err == nil && c.at != len(c.in) {
		c.fail(CodeSchemaKey, "%d bytes follow the record", len(c.in)-c.at)
	}
	if c.err == nil {
		return nil
	}
	return cmp.Or(Check(data), c.err)
}

// versionOf returns what a record says it is: the value of its first key, "v".
func versionOf(data []byte) (string, error) {
	c := coder{mode: reading, in: string(data[:min(len(data), 80)])} // where the first key and its value end at the latest
	f := c.open()
	var version string
	if c.key(&f, "v", true, true) {
		c.str(&version, 64)
	}
	return version, c.err
}

// newRecord returns an empty record of a version, or nil.
func newRecord(version string) Record {
	for _, r := range []Record{
		new(Run), new(Step), new(Head), new(Grant), new(PolicySet), new(Agent), new(ToolDef), new(Runtime),
		new(Delegation), new(Revocation), new(Erasure),
		new(Receipt), new(KeyBinding), new(Verification), new(StepIndex),
	} {
		if r.kind() == version {
			return r
		}
	}
	return nil
}

// Links returns what r links to, in the order of its block, leaves of payloads included, doubles too.
func Links(r Record) []Link {
	var links []Link
	c := coder{mode: walking, link: func(l Link) { links = append(links, l) }}
	r.fields(&c)
	return links
}

// Payloads returns the payloads of r in the order of its block. One that stands in two places comes once.
func Payloads(r Record) []*Payload {
	var ps []*Payload
	c := coder{mode: walking, payload: func(p *Payload) {
		if !slices.Contains(ps, p) {
			ps = append(ps, p)
		}
	}}
	r.fields(&c)
	return ps
}

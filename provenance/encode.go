package provenance

import (
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
)

// coders keeps the coders of Encode with their buffers; one that has grown large is not kept.
var coders = sync.Pool{New: func() any { return &coder{b: make([]byte, 0, 4<<10)} }}

// Encode returns the one block of r. It fails if a payload has no leaf yet, or a value is out of its bounds; the
// error is then a [*Fault].
func Encode(r Record) (Block, error) {
	c := coders.Get().(*coder)
	*c = coder{mode: writing, b: c.b[:0]}
	r.fields(c)
	if c.err == nil && len(c.b) > MaxBlock {
		c.fail(CodeSchemaRange, "a %s of %d bytes is larger than a block may be", r.kind(), len(c.b))
	}
	if c.err != nil {
		return Block{}, c.err
	}
	data := slices.Clone(c.b)
	if cap(c.b) <= MaxBlock/4 {
		coders.Put(c)
	}
	return Block{Sum(cid.DagCBOR, data), data}, nil
}

// Decode reads the record in data into r, whose type says which record it must be. Any spelling but the canonical
// one is refused: if Decode succeeds, [Encode] gives data again. The error is a [*Fault] without a CID.
func Decode(data []byte, r Record) error {
	if err := Check(data); err != nil {
		return err
	}
	return read(data, r, nil)
}

// DecodeAny reads whichever record data is, by its version.
func DecodeAny(data []byte) (Record, error) {
	if err := Check(data); err != nil {
		return nil, err
	}
	version, err := versionOf(data)
	if err != nil {
		return nil, err
	}
	r := newRecord(version)
	if r == nil {
		return nil, fault(CodeSchemaVersion, "no record is called %q", version)
	}
	return r, read(data, r, nil)
}

// read reads data, which Check has passed, into r. payload, if there is one, is called with each payload.
func read(data []byte, r Record, payload func(*Payload)) error {
	c := coder{mode: reading, b: data, all: string(data), payload: payload}
	r.fields(&c)
	if c.err == nil && len(c.b) != 0 {
		c.fail(CodeSchemaKey, "%d bytes follow the record", len(c.b))
	}
	return c.err
}

// versionOf returns what a record says it is: the value of its first key, "v".
func versionOf(data []byte) (string, error) {
	c := coder{mode: reading, b: data, all: string(data[:min(len(data), 80)])}
	c.b = c.b[:len(c.all)] // where the first key and its value end at the latest
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
		new(Delegation), new(Revocation),
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

package provenance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// Codes of the schema: the block is canonical, but it is not the record that it should be.
const (
	CodeSchemaKey     Code = "schema.key"     // a key that this record does not have, or one out of place
	CodeSchemaMissing Code = "schema.missing" // a required key is absent
	CodeSchemaType    Code = "schema.type"    // a value of another kind
	// a number, length or name outside its bounds, or an empty value spelt out
	CodeSchemaRange   Code = "schema.range"
	CodeSchemaOrder   Code = "schema.order"   // a list that must be sorted and is not, or has an entry twice
	CodeSchemaVersion Code = "schema.version" // another record, or a version that this program does not know
)

// Bounds on one record's parts.
const (
	maxText = dagcbor.MaxText // bytes of one text
	maxList = 4096            // entries of one list
)

// A coder writes a record, reads one, or walks over its links and payloads: each record type says once, in its
// codeFields method, which keys it has and in which order, and all three are done by it. Keys are named in canonical
// order (shorter first, then bytewise), so writing cannot produce another order and reading cannot accept one.
//
// Reading accepts one spelling of everything, so what could be read needs no [Check]; if it cannot be read, Check has
// the first word about why.
//
// The first error sticks; after it every call does nothing.
type coder struct {
	dagcbor.Coder
	depth   int
	payload func(*Payload) // walking, reading: called for each payload, in order
}

//go:noinline
func (c *coder) failWith(code Code, format string, args ...any) {
	if c.Err == nil {
		c.Err = &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
}

// A frame is an open map.
type frame struct {
	at int // writing: where its header byte is
	n  int // writing: keys so far; reading: keys left
}

// openMap begins a map. Every map of ours has less than 24 keys, so that its header is one byte.
func (c *coder) openMap() frame {
	if c.Err != nil {
		return frame{}
	}
	c.depth++
	switch c.Mode {
	case dagcbor.Writing:
		c.PutByte(0xa0)
		return frame{at: c.At - 1}
	case dagcbor.Reading:
		major, n := c.ReadHead()
		if c.Err == nil && (major != 5 || n > 23) {
			c.failWith(CodeSchemaType, "a map was expected")
		}
		if c.depth > dagcbor.MaxDepth {
			c.failWith(CodeSchemaRange, "nested too deep")
		}
		return frame{n: int(n)}
	}
	return frame{}
}

// closeMap ends a map: written, its header gets the count; read, no key may be left.
func (c *coder) closeMap(f *frame) {
	if c.Err != nil {
		return
	}
	c.depth--
	switch c.Mode {
	case dagcbor.Writing:
		c.Out[f.at] = 0xa0 | byte(f.n)
	case dagcbor.Reading:
		if f.n != 0 {
			c.failWith(CodeSchemaKey, "key %q is unknown or out of place", c.PeekText())
		}
	}
}

// codeKey writes a key, or reads it. It returns whether a value follows: when writing or walking, if the caller has
// one; when reading, if the next key is this one. A required key that is not there is an error.
func (c *coder) codeKey(f *frame, name string, present, required bool) bool {
	if c.Err != nil {
		return false
	}
	switch c.Mode {
	case dagcbor.Writing:
		if present {
			f.n++
			b := c.MakeRoom(1 + len(name))
			b[0] = 0x60 | byte(len(name)) // no key of ours is longer than 23
			copy(b[1:], name)
			c.At += 1 + len(name)
		}
		return present
	case dagcbor.Walking:
		return present
	}
	if f.n > 0 && c.SkipText(name) {
		f.n--
		return true
	}
	if required {
		c.failForKey(f, name)
	}
	return false
}

func (c *coder) failForKey(f *frame, name string) {
	if f.n > 0 {
		c.failWith(CodeSchemaKey, "key %q stands where %q should", c.PeekText(), name)
	} else {
		c.failWith(CodeSchemaMissing, "key %q is missing", name)
	}
}

// The following write or read one value of a map. The optional forms leave the key out when the value is zero; a zero
// value that was written out all the same is refused, since it would be a second spelling.

func (c *coder) versionField(f *frame, want string) {
	if !c.codeKey(f, "v", true, true) {
		return
	}
	v := want
	c.CodeText(&v, maxText)
	if c.Err == nil && v != want {
		c.failWith(CodeSchemaVersion, "this is %q, not %q", v, want)
	}
}

func (c *coder) uintField(f *frame, name string, v *uint64) {
	if c.codeKey(f, name, true, true) {
		c.CodeUint(v)
	}
}

func (c *coder) optionalUint(f *frame, name string, v *uint64) {
	if c.codeKey(f, name, *v != 0, false) {
		if c.CodeUint(v); *v == 0 {
			c.refuseEmpty(name)
		}
	}
}

func (c *coder) intField(f *frame, name string, v *int64) {
	if c.codeKey(f, name, true, true) {
		c.CodeInt(v)
	}
}

func (c *coder) optionalInt(f *frame, name string, v *int64) {
	if c.codeKey(f, name, *v != 0, false) {
		if c.CodeInt(v); *v == 0 {
			c.refuseEmpty(name)
		}
	}
}

func (c *coder) optionalBool(f *frame, name string, v *bool) {
	if !c.codeKey(f, name, *v, false) {
		return
	}
	switch c.Mode {
	case dagcbor.Writing:
		c.PutByte(0xf5)
	case dagcbor.Reading:
		if c.At == len(c.In) || c.In[c.At] != 0xf5 { // false is spelt by leaving the key out
			c.failWith(CodeSchemaType, "%q is not true", name)
			return
		}
		c.At++
		*v = true
	}
}

func (c *coder) textField(f *frame, name string, v *string) {
	if c.codeKey(f, name, true, true) {
		c.CodeText(v, maxText)
	}
}

// choiceField is a text of a closed set.
func (c *coder) choiceField(f *frame, name string, v *string, set ...string) {
	if !c.codeKey(f, name, true, true) {
		return
	}
	if c.Mode == dagcbor.Reading {
		for _, s := range set {
			if c.SkipText(s) {
				*v = s
				return
			}
		}
		c.failWith(CodeSchemaRange, "%q is none of %s", name, strings.Join(set, ", "))
		return
	}
	if c.Mode == dagcbor.Writing && !slices.Contains(set, *v) {
		c.failWith(CodeSchemaRange, "%q is none of %s", name, strings.Join(set, ", "))
		return
	}
	c.CodeText(v, maxText)
}

func (c *coder) optionalText(f *frame, name string, v *string) {
	if c.codeKey(f, name, *v != "", false) {
		if c.CodeText(v, maxText); *v == "" {
			c.refuseEmpty(name)
		}
	}
}

// longTextField is a text that may fill the block.
func (c *coder) longTextField(f *frame, name string, v *string) {
	if c.codeKey(f, name, true, true) {
		c.CodeText(v, MaxBlock)
	}
}

func (c *coder) bytesField(f *frame, name string, v *[]byte) {
	if c.codeKey(f, name, true, true) {
		c.CodeBytes(v)
	}
}

func (c *coder) optionalBytes(f *frame, name string, v *[]byte) {
	if c.codeKey(f, name, len(*v) > 0, false) {
		if c.CodeBytes(v); len(*v) == 0 {
			c.refuseEmpty(name)
		}
	}
}

// publicKeyField is an Ed25519 public key.
func (c *coder) publicKeyField(f *frame, name string, v *[]byte) {
	c.bytesField(f, name, v)
	if c.Err == nil && c.Mode != dagcbor.Walking && len(*v) != 32 {
		c.failWith(CodeSchemaRange, "%q has %d bytes instead of 32", name, len(*v))
	}
}

func (c *coder) bytes32Field(f *frame, name string, v *[32]byte) {
	if c.codeKey(f, name, true, true) {
		c.CodeBytes32(v)
	}
}

func (c *coder) optionalBytes32(f *frame, name string, v *[32]byte) {
	if c.codeKey(f, name, *v != [32]byte{}, false) {
		if c.CodeBytes32(v); *v == [32]byte{} {
			c.refuseEmpty(name)
		}
	}
}

func (c *coder) linkField(f *frame, name string, v *Link) {
	if c.codeKey(f, name, true, true) {
		c.CodeLink(v)
	}
}

func (c *coder) optionalLink(f *frame, name string, v *Link) {
	if c.codeKey(f, name, v.Defined(), false) {
		c.CodeLink(v)
	}
}

// listField writes or reads a list whose entries item handles. An empty list is written out: absent and empty are one
// thing only for optionalList.
func listField[T any](c *coder, f *frame, name string, v *[]T, item func(*coder, *T)) {
	if c.codeKey(f, name, true, true) {
		codeItems(c, name, v, item)
	}
}

func optionalList[T any](c *coder, f *frame, name string, v *[]T, item func(*coder, *T)) {
	if c.codeKey(f, name, len(*v) > 0, false) {
		if codeItems(c, name, v, item); len(*v) == 0 {
			c.refuseEmpty(name)
		}
	}
}

func codeItems[T any](c *coder, name string, v *[]T, item func(*coder, *T)) {
	switch c.Mode {
	case dagcbor.Writing:
		if len(*v) > maxList {
			c.failWith(CodeSchemaRange, "%q has %d entries", name, len(*v))
			return
		}
		c.PutHead(4, uint64(len(*v)))
	case dagcbor.Reading:
		major, n := c.ReadHead()
		if c.Err != nil {
			return
		}
		if major != 4 {
			c.failWith(CodeSchemaType, "%q is not a list", name)
			return
		}
		// An entry takes at least one byte, so the claim is checked before anything is allocated for it.
		if n > maxList || n > uint64(len(c.In)-c.At) {
			c.failWith(CodeSchemaRange, "%q claims %d entries", name, n)
			return
		}
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		if c.Err != nil {
			return
		}
		item(c, &(*v)[i])
	}
}

// requireSorted fails unless the entries of a list go up by their key, none twice.
func requireSorted[T any](c *coder, name string, v []T, key func(*T) string) {
	for i := 1; i < len(v) && c.Err == nil && c.Mode != dagcbor.Walking; i++ {
		if key(&v[i-1]) >= key(&v[i]) {
			c.failWith(CodeSchemaOrder, "the entries of %q are not sorted", name)
		}
	}
}

// optionalRecord handles a sub-record that may be absent: nil is absent.
func optionalRecord[T any](c *coder, f *frame, name string, v **T, fields func(*T, *coder)) {
	if c.codeKey(f, name, *v != nil, false) {
		if c.Mode == dagcbor.Reading {
			*v = new(T)
		}
		fields(*v, c)
	}
}

func (c *coder) refuseEmpty(name string) {
	if c.Mode == dagcbor.Reading {
		c.failWith(CodeSchemaRange, "%q is written out although it is empty", name)
	}
}

package provenance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Codes of the schema: the block is canonical, but it is not the record that it should be.
const (
	CodeSchemaKey     Code = "schema.key"     // a key that this record does not have, or one out of place
	CodeSchemaMissing Code = "schema.missing" // a required key is absent
	CodeSchemaType    Code = "schema.type"    // a value of another kind
	CodeSchemaRange   Code = "schema.range"   // a number, length or name outside its bounds, or an empty value spelt out
	CodeSchemaOrder   Code = "schema.order"   // a list that must be sorted and is not, or has an entry twice
	CodeSchemaVersion Code = "schema.version" // another record, or a version that this program does not know
)

// Bounds on one record's parts.
const (
	maxText = 64 << 10 // bytes of one text
	maxList = 4096     // entries of one list
)

// A coder writes a record, reads one, or walks over its links and payloads: each record type says once, in its
// fields method, which keys it has and in which order, and all three are done by it. Keys are named in canonical
// order (shorter first, then bytewise), so writing cannot produce another order and reading cannot accept one.
//
// The first error sticks; after it every call does nothing.
type coder struct {
	mode  mode
	b     []byte // written so far; or what is left to read
	all   string // reading: the whole block; texts are parts of it
	err   error
	depth int

	link    func(Link)     // walking: called for each link, in order
	payload func(*Payload) // walking, reading: called for each payload, in order
}

type mode uint8

const (
	writing mode = iota
	reading
	walking
)

func (c *coder) fail(code Code, format string, args ...any) {
	if c.err == nil {
		c.err = &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
}

// A frame is an open map.
type frame struct {
	at int // writing: where its header byte is
	n  int // writing: keys so far; reading: keys left
}

// open begins a map. Every map of ours has less than 24 keys, so that its header is one byte.
func (c *coder) open() frame {
	if c.err != nil {
		return frame{}
	}
	c.depth++
	switch c.mode {
	case writing:
		c.b = append(c.b, 0xa0)
		return frame{at: len(c.b) - 1}
	case reading:
		major, n := c.head()
		if c.err == nil && (major != 5 || n > 23) {
			c.fail(CodeSchemaType, "a map was expected")
		}
		if c.depth > maxDepth {
			c.fail(CodeSchemaRange, "nested too deep")
		}
		return frame{n: int(n)}
	}
	return frame{}
}

// close ends a map: written, its header gets the count; read, no key may be left.
func (c *coder) close(f *frame) {
	if c.err != nil {
		return
	}
	c.depth--
	switch c.mode {
	case writing:
		c.b[f.at] = 0xa0 | byte(f.n)
	case reading:
		if f.n != 0 {
			c.fail(CodeSchemaKey, "key %q is unknown or out of place", c.peekText())
		}
	}
}

// key writes a key, or reads it. It returns whether a value follows: when writing or walking, if the caller has
// one; when reading, if the next key is this one. A required key that is not there is an error.
func (c *coder) key(f *frame, name string, present, required bool) bool {
	if c.err != nil {
		return false
	}
	switch {
	case c.mode == reading:
	case c.mode == walking || !present:
		return present
	default:
		f.n++
		c.b = append(c.b, 0x60|byte(len(name))) // no key of ours is longer than 23
		c.b = append(c.b, name...)
		return true
	}
	if f.n > 0 && c.skipText(name) {
		f.n--
		return true
	}
	if required {
		if f.n > 0 {
			c.fail(CodeSchemaKey, "key %q stands where %q should", c.peekText(), name)
		} else {
			c.fail(CodeSchemaMissing, "key %q is missing", name)
		}
	}
	return false
}

// The following write or read one value of a map. The opt forms leave the key out when the value is zero; a zero
// value that was written out all the same is refused, since it would be a second spelling.

func (c *coder) version(f *frame, want string) {
	if !c.key(f, "v", true, true) {
		return
	}
	v := want
	c.str(&v, maxText)
	if c.err == nil && v != want {
		c.fail(CodeSchemaVersion, "this is %q, not %q", v, want)
	}
}

func (c *coder) uint(f *frame, name string, v *uint64) {
	if c.key(f, name, true, true) {
		c.num(v)
	}
}

func (c *coder) optUint(f *frame, name string, v *uint64) {
	if c.key(f, name, *v != 0, false) {
		if c.num(v); *v == 0 {
			c.zero(name)
		}
	}
}

func (c *coder) int(f *frame, name string, v *int64) {
	if c.key(f, name, true, true) {
		c.signed(v)
	}
}

func (c *coder) optInt(f *frame, name string, v *int64) {
	if c.key(f, name, *v != 0, false) {
		if c.signed(v); *v == 0 {
			c.zero(name)
		}
	}
}

func (c *coder) optBool(f *frame, name string, v *bool) {
	if !c.key(f, name, *v, false) {
		return
	}
	switch c.mode {
	case writing:
		c.b = append(c.b, 0xf5)
	case reading:
		if len(c.b) == 0 || c.b[0] != 0xf5 { // false is spelt by leaving the key out
			c.fail(CodeSchemaType, "%q is not true", name)
			return
		}
		c.b, *v = c.b[1:], true
	}
}

func (c *coder) text(f *frame, name string, v *string) {
	if c.key(f, name, true, true) {
		c.str(v, maxText)
	}
}

// oneOf is a text of a closed set.
func (c *coder) oneOf(f *frame, name string, v *string, set ...string) {
	if !c.key(f, name, true, true) {
		return
	}
	if c.mode == reading {
		for _, s := range set {
			if c.skipText(s) {
				*v = s
				return
			}
		}
		c.fail(CodeSchemaRange, "%q is none of %s", name, strings.Join(set, ", "))
		return
	}
	if c.mode == writing && !slices.Contains(set, *v) {
		c.fail(CodeSchemaRange, "%q is none of %s", name, strings.Join(set, ", "))
		return
	}
	c.str(v, maxText)
}

func (c *coder) optText(f *frame, name string, v *string) {
	if c.key(f, name, *v != "", false) {
		if c.str(v, maxText); *v == "" {
			c.zero(name)
		}
	}
}

// longText is a text that may fill the block.
func (c *coder) longText(f *frame, name string, v *string) {
	if c.key(f, name, true, true) {
		c.str(v, MaxBlock)
	}
}

func (c *coder) bytes(f *frame, name string, v *[]byte) {
	if c.key(f, name, true, true) {
		c.blob(v)
	}
}

func (c *coder) optBytes(f *frame, name string, v *[]byte) {
	if c.key(f, name, len(*v) > 0, false) {
		if c.blob(v); len(*v) == 0 {
			c.zero(name)
		}
	}
}

// key32 is an Ed25519 public key.
func (c *coder) key32(f *frame, name string, v *[]byte) {
	c.bytes(f, name, v)
	if c.err == nil && c.mode != walking && len(*v) != 32 {
		c.fail(CodeSchemaRange, "%q has %d bytes instead of 32", name, len(*v))
	}
}

func (c *coder) bytes32(f *frame, name string, v *[32]byte) {
	if c.key(f, name, true, true) {
		c.blob32(v)
	}
}

func (c *coder) optBytes32(f *frame, name string, v *[32]byte) {
	if c.key(f, name, *v != [32]byte{}, false) {
		if c.blob32(v); *v == [32]byte{} {
			c.zero(name)
		}
	}
}

func (c *coder) linkTo(f *frame, name string, v *Link) {
	if c.key(f, name, true, true) {
		c.cid(v)
	}
}

func (c *coder) optLink(f *frame, name string, v *Link) {
	if c.key(f, name, v.Defined(), false) {
		c.cid(v)
	}
}

// list writes or reads a list whose entries item handles. An empty list is written out: absent and empty are one
// thing only for optList.
func list[T any](c *coder, f *frame, name string, v *[]T, item func(*coder, *T)) {
	if c.key(f, name, true, true) {
		items(c, name, v, item)
	}
}

func optList[T any](c *coder, f *frame, name string, v *[]T, item func(*coder, *T)) {
	if c.key(f, name, len(*v) > 0, false) {
		if items(c, name, v, item); len(*v) == 0 {
			c.zero(name)
		}
	}
}

func items[T any](c *coder, name string, v *[]T, item func(*coder, *T)) {
	switch c.mode {
	case writing:
		if len(*v) > maxList {
			c.fail(CodeSchemaRange, "%q has %d entries", name, len(*v))
			return
		}
		c.putHead(4, uint64(len(*v)))
	case reading:
		major, n := c.head()
		if c.err != nil {
			return
		}
		if major != 4 {
			c.fail(CodeSchemaType, "%q is not a list", name)
			return
		}
		// An entry takes at least one byte, so the claim is checked before anything is allocated for it.
		if n > maxList || n > uint64(len(c.b)) {
			c.fail(CodeSchemaRange, "%q claims %d entries", name, n)
			return
		}
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		if c.err != nil {
			return
		}
		item(c, &(*v)[i])
	}
}

// sorted fails unless the entries of a list go up by their key, none twice.
func sorted[T any](c *coder, name string, v []T, key func(*T) string) {
	for i := 1; i < len(v) && c.err == nil && c.mode != walking; i++ {
		if key(&v[i-1]) >= key(&v[i]) {
			c.fail(CodeSchemaOrder, "the entries of %q are not sorted", name)
		}
	}
}

// optional handles a sub-record that may be absent: nil is absent.
func optional[T any](c *coder, f *frame, name string, v **T, fields func(*T, *coder)) {
	if c.key(f, name, *v != nil, false) {
		if c.mode == reading {
			*v = new(T)
		}
		fields(*v, c)
	}
}

func (c *coder) zero(name string) {
	if c.mode == reading {
		c.fail(CodeSchemaRange, "%q is written out although it is empty", name)
	}
}

// Values.

func (c *coder) putHead(major byte, n uint64) {
	major <<= 5
	switch {
	case n < 24:
		c.b = append(c.b, major|byte(n))
	case n <= math.MaxUint8:
		c.b = append(c.b, major|24, byte(n))
	case n <= math.MaxUint16:
		c.b = append(c.b, major|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		c.b = append(c.b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	default:
		c.b = append(c.b, major|27)
		c.b = binary.BigEndian.AppendUint64(c.b, n)
	}
}

// head reads the head of an item: major type and argument. [Check] has been there before, so the block is well-formed
// and each head in its shortest spelling; only what a record makes of it is left to judge.
func (c *coder) head() (major byte, n uint64) {
	if c.err != nil {
		return 0, 0
	}
	if len(c.b) == 0 {
		c.err = truncated()
		return 0, 0
	}
	if info := c.b[0] & 31; info < 24 {
		major, n = c.b[0]>>5, uint64(info)
		c.b = c.b[1:]
		return major, n
	}
	major, n, end, err := longHead(c.b, 0)
	if err != nil {
		c.err = err
		return 0, 0
	}
	c.b = c.b[end:]
	return major, n
}

func (c *coder) num(v *uint64) {
	switch c.mode {
	case writing:
		if *v > math.MaxInt64 {
			c.fail(CodeSchemaRange, "%d does not fit 63 bits", *v)
			return
		}
		c.putHead(0, *v)
	case reading:
		major, n := c.head()
		if c.err == nil && major != 0 {
			c.fail(CodeSchemaType, "a number was expected")
		} else if n > math.MaxInt64 {
			c.fail(CodeSchemaRange, "%d does not fit 63 bits", n)
		}
		*v = n
	}
}

func (c *coder) signed(v *int64) {
	switch c.mode {
	case writing:
		if *v >= 0 {
			c.putHead(0, uint64(*v))
		} else {
			c.putHead(1, uint64(-(*v + 1)))
		}
	case reading:
		major, n := c.head()
		switch {
		case c.err != nil:
		case major > 1:
			c.fail(CodeSchemaType, "a number was expected")
		case n > math.MaxInt64:
			c.fail(CodeSchemaRange, "a number does not fit 63 bits")
		case major == 1:
			*v = -1 - int64(n)
		default:
			*v = int64(n)
		}
	}
}

func (c *coder) putText(s string) {
	c.putHead(3, uint64(len(s)))
	c.b = append(c.b, s...)
}

func (c *coder) str(v *string, limit int) {
	switch c.mode {
	case writing:
		if len(*v) > limit {
			c.fail(CodeSchemaRange, "a text of %d bytes is too long", len(*v))
			return
		}
		c.putText(*v)
		if !isUTF8(c.b[len(c.b)-len(*v):]) {
			c.fail(CodeSchemaRange, "a text is not UTF-8")
		}
	case reading:
		b := c.take(3, limit, "a text")
		if c.err == nil {
			end := len(c.all) - len(c.b)
			*v = c.all[end-len(b) : end]
		}
	}
}

func (c *coder) blob(v *[]byte) {
	switch c.mode {
	case writing:
		if len(*v) > maxText {
			c.fail(CodeSchemaRange, "%d bytes are too long", len(*v))
			return
		}
		c.putHead(2, uint64(len(*v)))
		c.b = append(c.b, *v...)
	case reading:
		*v = bytes.Clone(c.take(2, maxText, "bytes"))
	}
}

func (c *coder) blob32(v *[32]byte) {
	switch c.mode {
	case writing:
		c.putHead(2, 32)
		c.b = append(c.b, v[:]...)
	case reading:
		b := c.take(2, 32, "32 bytes")
		if c.err == nil && len(b) != 32 {
			c.fail(CodeSchemaRange, "%d bytes stand where 32 should", len(b))
		}
		copy(v[:], b)
	}
}

// take reads the head of a text or byte string and returns its content, still inside the block.
func (c *coder) take(want byte, limit int, what string) []byte {
	major, n := c.head()
	switch {
	case c.err != nil:
		return nil
	case major != want:
		c.fail(CodeSchemaType, "%s was expected", what)
		return nil
	case n > uint64(limit) || n > uint64(len(c.b)):
		c.fail(CodeSchemaRange, "%s of %d bytes is too long", what, n)
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

// A link is tag 42 over a byte string: a zero byte, then the 36 bytes of the CID.
func (c *coder) cid(v *Link) {
	switch c.mode {
	case writing:
		if !v.Defined() {
			c.fail(CodeSchemaMissing, "a link is undefined")
			return
		}
		s := v.KeyString()
		if len(s) != cidLen {
			c.fail(CodeSchemaRange, "a link is not a CIDv1 with sha2-256")
			return
		}
		c.b = append(c.b, "\xd8\x2a\x58\x25\x00"...)
		c.b = append(c.b, s...)
	case reading:
		major, n := c.head()
		if c.err == nil && (major != 6 || n != 42) {
			c.fail(CodeSchemaType, "a link was expected")
		}
		b := c.take(2, 37, "a link")
		if c.err != nil {
			return
		}
		l, err := linkFrom(b)
		if err != nil {
			c.err = err
			return
		}
		*v = l
	case walking:
		if c.link != nil && v.Defined() {
			c.link(*v)
		}
	}
}

// skipText reads the text s if it is next.
func (c *coder) skipText(s string) bool {
	if len(s) > 23 || len(c.b) < 1+len(s) || c.b[0] != 0x60|byte(len(s)) || string(c.b[1:1+len(s)]) != s {
		return false
	}
	c.b = c.b[1+len(s):]
	return true
}

// peekText returns the text that is next, for an error message.
func (c *coder) peekText() string {
	if len(c.b) == 0 || c.b[0]>>5 != 3 {
		return "?"
	}
	_, n, end, err := longHead(c.b, 0)
	if err != nil || n > uint64(len(c.b)-end) || n > 40 {
		return "?"
	}
	return string(c.b[end : end+int(n)])
}

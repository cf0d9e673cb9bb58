package provenance

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
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
// Reading accepts one spelling of everything, so what could be read needs no [Check]; if it cannot be read, Check has the
// first word about why.
//
// The first error sticks; after it every call does nothing.
type coder struct {
	mode  mode
	depth int
	at    int    // bytes written, or read
	out   []byte // writing: the block so far is out[:at]
	in    string // reading: the whole block; texts and links are parts of it
	err   error

	link    func(Link)     // walking: called for each link, in order
	payload func(*Payload) // walking, reading: called for each payload, in order
}

type mode uint8

const (
	writing mode = iota
	reading
	walking
)

//go:noinline
func (c *coder) fail(code Code, format string, args ...any) {
	if c.err == nil {
		c.err = &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
}

// room returns at least n bytes to write to, from c.at on.
func (c *coder) room(n int) []byte {
	if len(c.out)-c.at < n {
		c.grow(n)
	}
	return c.out[c.at:]
}

//go:noinline
func (c *coder) grow(n int) {
	out := make([]byte, max(2*len(c.out), c.at+n, 4<<10))
	copy(out, c.out[:c.at])
	c.out = out
}

func (c *coder) putByte(b byte) {
	c.room(1)[0] = b
	c.at++
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
		c.putByte(0xa0)
		return frame{at: c.at - 1}
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
		c.out[f.at] = 0xa0 | byte(f.n)
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
	switch c.mode {
	case writing:
		if present {
			f.n++
			b := c.room(1 + len(name))
			b[0] = 0x60 | byte(len(name)) // no key of ours is longer than 23
			copy(b[1:], name)
			c.at += 1 + len(name)
		}
		return present
	case walking:
		return present
	}
	if f.n > 0 && c.skipText(name) {
		f.n--
		return true
	}
	if required {
		c.noKey(f, name)
	}
	return false
}

func (c *coder) noKey(f *frame, name string) {
	if f.n > 0 {
		c.fail(CodeSchemaKey, "key %q stands where %q should", c.peekText(), name)
	} else {
		c.fail(CodeSchemaMissing, "key %q is missing", name)
	}
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
		c.putByte(0xf5)
	case reading:
		if c.at == len(c.in) || c.in[c.at] != 0xf5 { // false is spelt by leaving the key out
			c.fail(CodeSchemaType, "%q is not true", name)
			return
		}
		c.at++
		*v = true
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
		if n > maxList || n > uint64(len(c.in)-c.at) {
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
	b := c.room(9)
	switch {
	case n < 24:
		b[0] = major | byte(n)
		c.at++
	case n <= math.MaxUint8:
		b[0], b[1] = major|24, byte(n)
		c.at += 2
	case n <= math.MaxUint16:
		b[0] = major | 25
		binary.BigEndian.PutUint16(b[1:], uint16(n))
		c.at += 3
	case n <= math.MaxUint32:
		b[0] = major | 26
		binary.BigEndian.PutUint32(b[1:], uint32(n))
		c.at += 5
	default:
		b[0] = major | 27
		binary.BigEndian.PutUint64(b[1:], n)
		c.at += 9
	}
}

// head reads the head of an item: major type and argument, in its shortest spelling.
func (c *coder) head() (major byte, n uint64) {
	if c.err != nil {
		return 0, 0
	}
	if c.at == len(c.in) {
		c.err = truncated()
		return 0, 0
	}
	if b := c.in[c.at]; b&31 < 24 {
		c.at++
		return b >> 5, uint64(b & 31)
	}
	major, n, end, err := longHead(c.in, c.at)
	if err != nil {
		c.err = err
		return 0, 0
	}
	c.at = end
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
	if len(s) >= 24 {
		c.putHead(3, uint64(len(s)))
		copy(c.room(len(s)), s)
		c.at += len(s)
		return
	}
	b := c.room(1 + len(s))
	b[0] = 0x60 | byte(len(s))
	copy(b[1:], s)
	c.at += 1 + len(s)
}

func (c *coder) str(v *string, limit int) {
	switch c.mode {
	case writing:
		if len(*v) > limit {
			c.fail(CodeSchemaRange, "a text of %d bytes is too long", len(*v))
			return
		}
		c.putText(*v)
		if !validText(*v) {
			c.fail(CodeSchemaRange, "a text is not UTF-8")
		}
	case reading:
		if *v = c.take(3, limit, "a text"); !validText(*v) {
			c.fail(CodeCodecUTF8, "a text is not UTF-8")
		}
	}
}

func (c *coder) putBlob(b []byte) {
	c.putHead(2, uint64(len(b)))
	copy(c.room(len(b)), b)
	c.at += len(b)
}

func (c *coder) blob(v *[]byte) {
	switch c.mode {
	case writing:
		if len(*v) > maxText {
			c.fail(CodeSchemaRange, "%d bytes are too long", len(*v))
			return
		}
		c.putBlob(*v)
	case reading:
		*v = []byte(c.take(2, maxText, "bytes"))
	}
}

func (c *coder) blob32(v *[32]byte) {
	switch c.mode {
	case writing:
		b := c.room(34)
		b[0], b[1] = 0x58, 32
		copy(b[2:34], v[:])
		c.at += 34
	case reading:
		b := c.take(2, 32, "32 bytes")
		if c.err == nil && len(b) != 32 {
			c.fail(CodeSchemaRange, "%d bytes stand where 32 should", len(b))
		}
		copy(v[:], b)
	}
}

// take reads a text or byte string and returns its content, which stays part of the block.
func (c *coder) take(want byte, limit int, what string) string {
	major, n := c.head()
	switch {
	case c.err != nil:
		return ""
	case major != want:
		c.fail(CodeSchemaType, "%s was expected", what)
		return ""
	case n > uint64(limit) || n > uint64(len(c.in)-c.at):
		c.fail(CodeSchemaRange, "%s of %d bytes is too long", what, n)
		return ""
	}
	from := c.at
	c.at += int(n)
	return c.in[from:c.at]
}

// linkHead is how every link begins: tag 42 over a byte string of 37 bytes, of which the first is zero. The 36 bytes of
// the CID follow.
const linkHead = "\xd8\x2a\x58\x25\x00"

func (c *coder) cid(v *Link) {
	switch c.mode {
	case writing:
		s := v.KeyString()
		if len(s) != cidLen {
			c.noCID(v)
			return
		}
		b := c.room(len(linkHead) + cidLen)
		copy(b, linkHead)
		copy(b[len(linkHead):], s)
		c.at += len(linkHead) + cidLen
	case reading:
		if c.err != nil {
			return
		}
		if s := c.in[c.at:]; len(s) >= len(linkHead)+cidLen && s[:len(linkHead)] == linkHead {
			if s = s[len(linkHead) : len(linkHead)+cidLen]; isCID(s) {
				*v = linkOf(s)
				c.at += len(linkHead) + cidLen
				return
			}
		}
		c.fail(CodeSchemaType, "a link was expected") // Check says what is wrong with one that is none
	case walking:
		if c.link != nil && v.Defined() {
			c.link(*v)
		}
	}
}

func (c *coder) noCID(v *Link) {
	if !v.Defined() {
		c.fail(CodeSchemaMissing, "a link is undefined")
	} else {
		c.fail(CodeSchemaRange, "a link is not a CIDv1 with sha2-256")
	}
}

// skipText reads the text s if it is next.
func (c *coder) skipText(s string) bool {
	in := c.in[c.at:]
	if len(s) > 23 || len(in) < 1+len(s) || in[0] != 0x60|byte(len(s)) || in[1:1+len(s)] != s {
		return false
	}
	c.at += 1 + len(s)
	return true
}

// peekText returns the text that is next, for an error message.
func (c *coder) peekText() string {
	if c.at == len(c.in) || c.in[c.at]>>5 != 3 {
		return "?"
	}
	_, n, end, err := longHead(c.in, c.at)
	if err != nil || n > uint64(len(c.in)-end) || n > 40 {
		return "?"
	}
	return c.in[end : end+int(n)]
}

// validText says whether s is UTF-8. It is utf8.ValidString, made quick for the short ASCII that most texts here are.
func validText(s string) bool {
	if len(s) > 16 {
		return utf8.ValidString(s)
	}
	var all byte
	for i := range len(s) {
		all |= s[i]
	}
	return all < utf8.RuneSelf || utf8.ValidString(s)
}

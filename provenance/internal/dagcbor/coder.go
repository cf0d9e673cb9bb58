package dagcbor

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
)

// MaxText bounds one text, and one row of bytes, in bytes.
const MaxText = 64 << 10

// A Coder writes values, reads them, or walks over them. Each method of it does one of the three, by its Mode. Reading
// accepts one spelling of everything.
//
// The first error sticks; after it every call does nothing.
type Coder struct {
	Mode Mode
	At   int    // bytes written, or read
	Out  []byte // writing: the block so far is Out[:At]
	In   string // reading: the whole block; texts and links are parts of it
	Err  error

	Link func(cid.Cid) // walking: called for each link, in order
}

// A Mode is what a Coder does.
type Mode uint8

// Modes.
const (
	Writing Mode = iota
	Reading
	Walking
)

// Fail notes an error, unless there is one.
//
//go:noinline
func (c *Coder) Fail(code, format string, args ...any) {
	if c.Err == nil {
		c.Err = fail(code, format, args...)
	}
}

// MakeRoom returns at least n bytes to write to, from c.At on.
func (c *Coder) MakeRoom(n int) []byte {
	if len(c.Out)-c.At < n {
		c.growBuffer(n)
	}
	return c.Out[c.At:]
}

//go:noinline
func (c *Coder) growBuffer(n int) {
	out := make([]byte, max(2*len(c.Out), c.At+n, 4<<10))
	copy(out, c.Out[:c.At])
	c.Out = out
}

// PutByte writes one byte.
func (c *Coder) PutByte(b byte) {
	c.MakeRoom(1)[0] = b
	c.At++
}

// PutHead writes the head of an item: major type and argument, in its shortest spelling.
func (c *Coder) PutHead(major byte, n uint64) {
	major <<= 5
	b := c.MakeRoom(9)
	switch {
	case n < 24:
		b[0] = major | byte(n)
		c.At++
	case n <= math.MaxUint8:
		b[0], b[1] = major|24, byte(n)
		c.At += 2
	case n <= math.MaxUint16:
		b[0] = major | 25
		binary.BigEndian.PutUint16(b[1:], uint16(n))
		c.At += 3
	case n <= math.MaxUint32:
		b[0] = major | 26
		binary.BigEndian.PutUint32(b[1:], uint32(n))
		c.At += 5
	default:
		b[0] = major | 27
		binary.BigEndian.PutUint64(b[1:], n)
		c.At += 9
	}
}

// ReadHead reads the head of an item: major type and argument, in its shortest spelling.
func (c *Coder) ReadHead() (major byte, n uint64) {
	if c.Err != nil {
		return 0, 0
	}
	if c.At == len(c.In) {
		c.Err = truncatedError()
		return 0, 0
	}
	if b := c.In[c.At]; b&31 < 24 {
		c.At++
		return b >> 5, uint64(b & 31)
	}
	major, n, end, err := ReadLongHead(c.In, c.At)
	if err != nil {
		c.Err = err
		return 0, 0
	}
	c.At = end
	return major, n
}

// CodeUint writes or reads a number from 0 on.
func (c *Coder) CodeUint(v *uint64) {
	switch c.Mode {
	case Writing:
		if *v > math.MaxInt64 {
			c.Fail(CodeRange, "%d does not fit 63 bits", *v)
			return
		}
		c.PutHead(0, *v)
	case Reading:
		major, n := c.ReadHead()
		if c.Err == nil && major != 0 {
			c.Fail(CodeType, "a number was expected")
		} else if n > math.MaxInt64 {
			c.Fail(CodeRange, "%d does not fit 63 bits", n)
		}
		*v = n
	}
}

// CodeInt writes or reads a number of 63 bits and a sign.
func (c *Coder) CodeInt(v *int64) {
	switch c.Mode {
	case Writing:
		if *v >= 0 {
			c.PutHead(0, uint64(*v))
		} else {
			c.PutHead(1, uint64(-(*v + 1)))
		}
	case Reading:
		major, n := c.ReadHead()
		switch {
		case c.Err != nil:
		case major > 1:
			c.Fail(CodeType, "a number was expected")
		case n > math.MaxInt64:
			c.Fail(CodeRange, "a number does not fit 63 bits")
		case major == 1:
			*v = -1 - int64(n)
		default:
			*v = int64(n)
		}
	}
}

// PutText writes a text. The caller has seen that it is UTF-8.
func (c *Coder) PutText(s string) {
	if len(s) >= 24 {
		c.PutHead(3, uint64(len(s)))
		copy(c.MakeRoom(len(s)), s)
		c.At += len(s)
		return
	}
	b := c.MakeRoom(1 + len(s))
	b[0] = 0x60 | byte(len(s))
	copy(b[1:], s)
	c.At += 1 + len(s)
}

// CodeText writes or reads a text of at most limit bytes.
func (c *Coder) CodeText(v *string, limit int) {
	switch c.Mode {
	case Writing:
		if len(*v) > limit {
			c.Fail(CodeRange, "a text of %d bytes is too long", len(*v))
			return
		}
		c.PutText(*v)
		if !validText(*v) {
			c.Fail(CodeRange, "a text is not UTF-8")
		}
	case Reading:
		if *v = c.ReadString(3, limit, "a text"); !validText(*v) {
			c.Fail(CodeUTF8, "a text is not UTF-8")
		}
	}
}

// PutBytes writes a row of bytes.
func (c *Coder) PutBytes(b []byte) {
	c.PutHead(2, uint64(len(b)))
	copy(c.MakeRoom(len(b)), b)
	c.At += len(b)
}

// CodeBytes writes or reads a row of bytes.
func (c *Coder) CodeBytes(v *[]byte) {
	switch c.Mode {
	case Writing:
		if len(*v) > MaxText {
			c.Fail(CodeRange, "%d bytes are too long", len(*v))
			return
		}
		c.PutBytes(*v)
	case Reading:
		*v = []byte(c.ReadString(2, MaxText, "bytes"))
	}
}

// CodeBytes32 writes or reads 32 bytes.
func (c *Coder) CodeBytes32(v *[32]byte) {
	switch c.Mode {
	case Writing:
		b := c.MakeRoom(34)
		b[0], b[1] = 0x58, 32
		copy(b[2:34], v[:])
		c.At += 34
	case Reading:
		b := c.ReadString(2, 32, "32 bytes")
		if c.Err == nil && len(b) != 32 {
			c.Fail(CodeRange, "%d bytes stand where 32 should", len(b))
		}
		copy(v[:], b)
	}
}

// ReadString reads a text or byte string and returns its content, which stays part of the block.
func (c *Coder) ReadString(want byte, limit int, what string) string {
	major, n := c.ReadHead()
	switch {
	case c.Err != nil:
		return ""
	case major != want:
		c.Fail(CodeType, "%s was expected", what)
		return ""
	case n > uint64(limit) || n > uint64(len(c.In)-c.At):
		c.Fail(CodeRange, "%s of %d bytes is too long", what, n)
		return ""
	}
	from := c.At
	c.At += int(n)
	return c.In[from:c.At]
}

// linkHead is how every link begins: tag 42 over a byte string of 37 bytes, of which the first is zero. The 36 bytes of
// the CID follow.
const linkHead = "\xd8\x2a\x58\x25\x00"

// CodeLink writes, reads or walks over a link.
func (c *Coder) CodeLink(v *cid.Cid) {
	switch c.Mode {
	case Writing:
		s := v.KeyString()
		if len(s) != CIDLen {
			c.failForLink(v)
			return
		}
		b := c.MakeRoom(len(linkHead) + CIDLen)
		copy(b, linkHead)
		copy(b[len(linkHead):], s)
		c.At += len(linkHead) + CIDLen
	case Reading:
		if c.Err != nil {
			return
		}
		if s := c.In[c.At:]; len(s) >= len(linkHead)+CIDLen && s[:len(linkHead)] == linkHead {
			if s = s[len(linkHead) : len(linkHead)+CIDLen]; IsCID(s) {
				*v = LinkFromString(s)
				c.At += len(linkHead) + CIDLen
				return
			}
		}
		c.Fail(CodeType, "a link was expected") // Check says what is wrong with one that is none
	case Walking:
		if c.Link != nil && v.Defined() {
			c.Link(*v)
		}
	}
}

func (c *Coder) failForLink(v *cid.Cid) {
	if !v.Defined() {
		c.Fail(CodeMissing, "a link is undefined")
	} else {
		c.Fail(CodeRange, "a link is not a CIDv1 with sha2-256")
	}
}

// SkipText reads the text s if it is next.
func (c *Coder) SkipText(s string) bool {
	in := c.In[c.At:]
	if len(s) > 23 || len(in) < 1+len(s) || in[0] != 0x60|byte(len(s)) || in[1:1+len(s)] != s {
		return false
	}
	c.At += 1 + len(s)
	return true
}

// PeekText returns the text that is next, for an error message.
func (c *Coder) PeekText() string {
	if c.At == len(c.In) || c.In[c.At]>>5 != 3 {
		return "?"
	}
	_, n, end, err := ReadLongHead(c.In, c.At)
	if err != nil || n > uint64(len(c.In)-end) || n > 40 {
		return "?"
	}
	return c.In[end : end+int(n)]
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

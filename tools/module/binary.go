package module

import (
	"errors"
	"fmt"
	"math"

	"github.com/writ-run/writ/internal/wording"
)

// Bounds of what a module may declare. They keep what its instances take within a known size: frames of calls are
// 2,000 at most, each of so many values.
const (
	MaxModule = 256 << 10 // bytes
	maxPages  = 256       // of memory, 64 KiB each: 16 MiB
	maxTypes  = 1_000
	maxFuncs  = 10_000
	maxTable  = 10_000 // elements
	maxGlobal = 1_000
	maxParams = 64    // of a function, and of its results
	maxLocals = 1_000 // of a function, parameters included
	maxHeight = 1_000 // values that a function has on the stack at a time
	maxBlocks = 500   // inside each other
	maxLists  = 10_000
	maxLoops  = 10_000 // in all: what counts them makes a module longer
)

// header is how a module of version 1 begins.
const header = "\x00asm\x01\x00\x00\x00"

// Sections of a module, in the order in which they stand: that of data counts is before the code.
const (
	secCustom, secType, secImport, secFunction, secTable, secMemory = 0, 1, 2, 3, 4, 5
	secGlobal, secExport, secStart, secElement, secCode, secData    = 6, 7, 8, 9, 10, 11
	secDataCount                                                    = 12
)

var sectionOrder = []byte{secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart,
	secElement, secDataCount, secCode, secData}

const (
	typeI32, typeI64         = 0x7f, 0x7e
	typeF32, typeF64, typeV  = 0x7d, 0x7c, 0x7b
	typeFunc, typeRef, empty = 0x60, 0x70, 0x40
)

// A funcType is how many values a function, or a block, takes and leaves.
type funcType struct{ params, results []byte }

// A layout is what a module declares, as far as it matters here.
type layout struct {
	types    []funcType
	funcs    []uint32 // the type of each
	globals  uint32
	exports  map[string]export
	sections map[byte][]byte
	memories int
	loops    int
}

type export struct {
	kind  byte // 0 a function, 1 a table, 2 a memory, 3 a global
	index uint32
}

var errShort = errors.New("it ends in the middle of something")

// A cursor reads the binary format. After an error it reads nothing more.
type cursor struct {
	in  []byte
	at  int
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
		c.at = len(c.in)
	}
}

func (c *cursor) failf(format string, args ...any) { c.fail(fmt.Errorf(format, args...)) }

func (c *cursor) more() bool { return c.err == nil && c.at < len(c.in) }

func (c *cursor) byte() byte {
	if c.at >= len(c.in) {
		c.fail(errShort)
		return 0
	}
	c.at++
	return c.in[c.at-1]
}

func (c *cursor) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(c.in)-c.at) {
		c.fail(errShort)
		return nil
	}
	c.at += int(n)
	return c.in[c.at-int(n) : c.at : c.at] // to which nothing can be appended in place
}

// u32 reads an unsigned number (LEB128).
func (c *cursor) u32() uint32 {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if n > math.MaxUint32 {
				break
			}
			return uint32(n)
		}
	}
	c.fail(errors.New("a number in it is malformed"))
	return 0
}

// count reads how many of something follow.
func (c *cursor) count(what string, most uint32) uint32 {
	n := c.u32()
	if n > most {
		c.failf("it has %d %s; at most %d are read", n, what, most)
		return 0
	}
	return n
}

// skipSigned skips a signed number of at most so many bytes.
func (c *cursor) skipSigned(most int) {
	for range most {
		if c.byte() < 0x80 {
			return
		}
	}
	c.fail(errors.New("a number in it is malformed"))
}

// valueType reads the type of a value, which is a whole number.
func (c *cursor) valueType() byte {
	switch t := c.byte(); t {
	case typeI32, typeI64:
		return t
	case typeF32, typeF64:
		c.fail(errFloat)
	case typeV:
		c.fail(errors.New("it uses vectors (SIMD); build it without them"))
	default:
		c.failf("a value in it is of type 0x%02x; there are i32 and i64", t)
	}
	return 0
}

func (c *cursor) valueTypes(most uint32) []byte {
	n := c.count("values of a function or a block", most)
	out := make([]byte, 0, n)
	for range n {
		out = append(out, c.valueType())
	}
	return out
}

// errFloat is why fractions are refused: what the bits of a NaN are differs from machine to machine, so a result that
// shows them could not be compared.
var errFloat = errors.New("it computes with floating point (f32, f64), whose results can differ from machine to " +
	"machine; compute with whole numbers")

// readLayout reads a module's sections but for the code, and refuses what no module may have here.
func readLayout(data []byte) (*layout, error) {
	if len(data) > MaxModule {
		return nil, fmt.Errorf("it has more than %d bytes", MaxModule)
	}
	c := &cursor{in: data}
	if string(c.bytes(8)) != header {
		return nil, errors.New("it is no WebAssembly module of version 1")
	}
	l := &layout{exports: map[string]export{}, sections: map[byte][]byte{}}
	next := 0
	for c.more() {
		id := c.byte()
		body := c.bytes(c.u32())
		if c.err != nil || id == secCustom { // names and the like: nothing that is run
			continue
		}
		for next < len(sectionOrder) && sectionOrder[next] != id {
			next++
		}
		if next == len(sectionOrder) {
			return nil, fmt.Errorf("its section %d is unknown, there twice, or not in its place", id)
		}
		next++
		l.sections[id] = body
		if err := l.readSection(id, body); err != nil {
			return nil, err
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return l, l.checkExports()
}

func (l *layout) readSection(id byte, body []byte) error {
	c := &cursor{in: body}
	switch id {
	case secType:
		l.readTypes(c)
	case secImport:
		readImports(c)
	case secFunction:
		for range c.count("functions", maxFuncs) {
			t := c.u32()
			if c.err == nil && t >= uint32(len(l.types)) {
				c.fail(errors.New("a function in it is of no type"))
			}
			l.funcs = append(l.funcs, t)
		}
	case secTable:
		for range c.count("tables", 1) {
			if t := c.byte(); t != typeRef {
				c.fail(errors.New("its table is not of functions"))
			}
			c.limits("elements of a table", maxTable)
		}
	case secMemory:
		for range c.count("memories", 1) {
			l.memories++
			c.limits("pages of memory", maxPages)
		}
	case secGlobal:
		l.globals = c.count("globals", maxGlobal)
		for range l.globals {
			c.valueType()
			c.byte()
			c.constant()
		}
	case secExport:
		l.readExports(c)
	case secElement:
		l.readElements(c)
	case secData:
		l.readData(c)
	case secStart, secDataCount, secCode:
		return nil // wazero reads the numbers, and rewrite the code
	}
	if c.err == nil && c.more() {
		c.failf("something follows in its section %d", id)
	}
	return c.err
}

func (l *layout) readTypes(c *cursor) {
	for range c.count("types", maxTypes) {
		if c.byte() != typeFunc {
			c.fail(errors.New("a type in it is not that of a function"))
		}
		t := funcType{params: c.valueTypes(maxParams)}
		t.results = c.valueTypes(maxParams)
		l.types = append(l.types, t)
	}
}

// readImports refuses the first import, by its name.
func readImports(c *cursor) {
	if c.count("imports", maxLists) == 0 {
		return
	}
	from, name := c.bytes(c.u32()), c.bytes(c.u32())
	if c.err != nil {
		return
	}
	show := func(b []byte) string { return wording.Reveal(wording.Clip(string(b), 64)) }
	c.failf("it imports %s.%s, and a module gets nothing from outside: no network, files, clock or chance. Build it "+
		"without that import", show(from), show(name))
}

// limits reads the least and the most of something. What has no most grows to the bound.
func (c *cursor) limits(what string, most uint32) {
	flag := c.byte()
	if flag > 1 {
		c.failf("its %s are shared, or of 64 bits", what)
	}
	least := c.count(what, most)
	if flag == 1 && c.count(what, most) < least {
		c.failf("its %s are fewer at most than at least", what)
	}
}

// constant reads the first value of a global, which is a number.
func (c *cursor) constant() {
	switch c.byte() {
	case opI32Const:
		c.skipSigned(5)
	case opI64Const:
		c.skipSigned(10)
	default:
		c.fail(errors.New("a global in it does not begin as a whole number"))
	}
	if c.byte() != opEnd {
		c.fail(errors.New("a global in it does not begin as one number"))
	}
}

// readElements goes through what fills tables. What reads it next makes room for as much as is announced before it
// looks whether that is there: so here each is held to be there.
func (l *layout) readElements(c *cursor) {
	for range c.count("lists of elements", maxLists) {
		form := c.u32() // bit 0: not for a table by itself; bit 1: says which table, or its kind; bit 2: of expressions
		if form > 7 {
			c.failf("its elements are of the form %d, which is unknown", form)
		}
		if form&1 == 0 {
			if form&2 != 0 && c.u32() != 0 {
				c.fail(errors.New("its elements are for a table that it does not have"))
			}
			l.offset(c)
		}
		if form&3 != 0 {
			if kind := c.byte(); form&4 == 0 && kind != 0 || form&4 != 0 && kind != typeRef {
				c.fail(errors.New("its elements are not functions"))
			}
		}
		for range c.count("elements in a list", maxTable) {
			if form&4 == 0 {
				c.u32()
			} else {
				l.function(c)
			}
		}
	}
}

// readData goes through what memory begins with.
func (l *layout) readData(c *cursor) {
	for range c.count("pieces of data", maxLists) {
		form := c.u32()
		if form > 2 || form == 2 && c.u32() != 0 {
			c.fail(errors.New("its data is of an unknown form, or for a memory that it does not have"))
		}
		if form != 1 {
			l.offset(c)
		}
		c.bytes(c.u32())
	}
}

// offset reads where something begins, a number or a global of one.
func (l *layout) offset(c *cursor) {
	switch c.byte() {
	case opI32Const:
		c.skipSigned(5)
	case opGlobalGet:
		if c.u32() >= l.globals { // the next one is the fuel
			c.fail(errors.New("it uses a global that it does not have"))
		}
	default:
		c.fail(errors.New("its data or elements do not begin at a whole number"))
	}
	if c.byte() != opEnd {
		c.fail(errors.New("its data or elements do not begin at one number"))
	}
}

// function reads an element that is an expression: a function, or none.
func (l *layout) function(c *cursor) {
	switch c.byte() {
	case opRefFunc:
		c.u32()
	case opRefNull:
		if c.byte() != typeRef {
			c.fail(errors.New("an element in it is none, and not of functions"))
		}
	default:
		c.fail(errors.New("an element in it is no function"))
	}
	if c.byte() != opEnd {
		c.fail(errors.New("an element in it is not one function"))
	}
}

func (l *layout) readExports(c *cursor) {
	for range c.count("exports", maxLists) {
		name := string(c.bytes(c.u32()))
		e := export{kind: c.byte(), index: c.u32()}
		if name == fuelName {
			c.failf("it exports %s, a name that is kept for what counts its instructions", fuelName)
		}
		l.exports[name] = e
	}
}

// checkExports makes sure that a module is of the form that calls need.
func (l *layout) checkExports() error {
	if e, is := l.exports["memory"]; !is || e.kind != 2 || l.memories == 0 {
		return errors.New("it exports no memory under the name memory")
	}
	for _, f := range []struct {
		name            string
		params, results string
		says            string
	}{
		{"alloc", "\x7f", "\x7f", "alloc(i32) i32, which gives that many bytes of memory"},
		{"run", "\x7f\x7f", "\x7e", "run(i32, i32) i64, which takes where its input is and says where its result is"},
	} {
		e, is := l.exports[f.name]
		if !is || e.kind != 0 || e.index >= uint32(len(l.funcs)) {
			return fmt.Errorf("it exports no function %s", f.says)
		}
		t := l.types[l.funcs[e.index]]
		if string(t.params) != f.params || string(t.results) != f.results {
			return fmt.Errorf("its function %s is not %s", f.name, f.says)
		}
	}
	return nil
}

package module

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Instructions that are told apart.
const (
	opUnreachable, opBlock, opLoop, opIf, opElse, opEnd = 0x00, 0x02, 0x03, 0x04, 0x05, 0x0b
	opBr, opBrIf, opBrTable, opReturn                   = 0x0c, 0x0d, 0x0e, 0x0f
	opCall, opCallIndirect                              = 0x10, 0x11
	opDrop, opSelect, opSelectOf                        = 0x1a, 0x1b, 0x1c
	opLocalGet, opLocalSet, opLocalTee                  = 0x20, 0x21, 0x22
	opGlobalGet, opGlobalSet                            = 0x23, 0x24
	opMemorySize, opMemoryGrow, opI32Const, opI64Const  = 0x3f, 0x40, 0x41, 0x42
	opI64Lt, opI64Sub, opMore                           = 0x53, 0x7d, 0xfc
	opMemoryInit, opDataDrop, opMemoryCopy, opFill      = 8, 9, 10, 11
	opRefNull, opRefFunc                                = 0xd0, 0xd2
)

// fuelName is the export under which a rewritten module has its fuel.
const fuelName = "writ.fuel"

// costOfMemory is the fuel of an instruction that may touch all of the memory.
const costOfMemory = 1 << 14

// rewrite returns the module with its instructions counted. wazero can be told to look at a deadline in each loop, and
// counts nothing: a call that repeats itself without a loop would never end, and where a deadline falls is another
// place on each machine. So a counter is added, a global that the module cannot reach, which is lowered at the begin of
// each function by the number of its instructions and at the begin of each round of a loop by that of the loop's; below
// zero the module traps. What is between is counted whether it is run or not. The counter is the same on every machine,
// so a module that ends within its fuel does so everywhere. The deadline is looked at in the same places, and before
// each instruction that may touch all of the memory, of which thousands may follow each other. Names and other custom
// sections are left out.
func (l *layout) rewrite(fuel int64) ([]byte, error) {
	code, err := l.rewriteCode()
	if err != nil {
		return nil, err
	}
	out := []byte(header)
	for _, id := range sectionOrder {
		body, is := l.sections[id]
		switch id {
		case secGlobal:
			entry := append([]byte{typeI64, 1, opI64Const}, append(appendSigned(nil, fuel), opEnd)...)
			body, is = appendEntry(body, entry), true
		case secExport:
			entry := append(appendUnsigned(nil, uint64(len(fuelName))), fuelName...)
			entry = appendUnsigned(append(entry, 3), uint64(l.globals))
			body = appendEntry(body, entry)
		case secCode:
			body = code
		}
		if is {
			out = append(out, id)
			out = append(appendUnsigned(out, uint64(len(body))), body...)
		}
	}
	return out, nil
}

// appendEntry adds an entry to a section that is a list.
func appendEntry(section, entry []byte) []byte {
	c := &cursor{in: section}
	n := uint32(0)
	if len(section) > 0 {
		n = c.u32()
	}
	out := appendUnsigned(nil, uint64(n)+1)
	return append(append(out, section[c.at:]...), entry...)
}

func appendUnsigned(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

func appendSigned(b []byte, n int64) []byte {
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

func (l *layout) rewriteCode() ([]byte, error) {
	c := &cursor{in: l.sections[secCode]}
	n := uint32(0)
	if len(c.in) > 0 {
		n = c.count("functions", maxFuncs)
	}
	if n != uint32(len(l.funcs)) {
		return nil, errors.New("it declares other functions than it has")
	}
	out := appendUnsigned(nil, uint64(n))
	for i := range n {
		body := c.bytes(c.u32())
		if c.err != nil {
			return nil, c.err
		}
		w := &walk{layout: l, cursor: cursor{in: body}}
		counted, err := w.count(l.types[l.funcs[i]])
		if err != nil {
			return nil, err
		}
		out = append(appendUnsigned(out, uint64(len(counted))), counted...)
	}
	if c.more() {
		return nil, errors.New("something follows its code")
	}
	return out, nil
}

// A walk goes through one function. It follows how many values are on the stack, which a module that is valid has the
// same at a place in whatever way it comes there; whether the module is valid is for wazero to say.
type walk struct {
	*layout
	cursor
	locals uint32
	height int
	blocks []block
	points []point

	touches bool // the instruction that is read may touch all of the memory
}

type block struct {
	op     byte
	of     funcType
	height int  // below its parameters
	dead   bool // what follows here is never run
	point  int  // where what is in it is counted
}

// A point is a place where fuel is taken, or, with no cost, the deadline is looked at.
type point struct {
	at   int
	cost int64
}

// count returns the function with its fuel taken.
func (w *walk) count(t funcType) ([]byte, error) {
	total := uint64(len(t.params))
	for range w.cursor.count("groups of locals", maxLocals) {
		total += uint64(w.u32())
		w.valueType()
	}
	if total > maxLocals {
		w.failf("a function in it has %d locals; at most %d are run", total, maxLocals)
	}
	w.locals = uint32(total)
	w.points = []point{{at: w.at}}
	w.blocks = []block{{op: opBlock, of: funcType{results: t.results}}}
	for w.err == nil && len(w.blocks) > 0 {
		w.step()
	}
	if w.more() {
		w.fail(errors.New("something follows the end of a function in it"))
	}
	if w.err != nil {
		return nil, w.err
	}
	var out []byte
	from := 0
	for i, p := range w.points {
		out = append(out, w.in[from:p.at]...)
		if i == 0 || p.cost == 0 {
			// A loop that goes round no more: there the deadline is looked at.
			out = append(out, opLoop, empty, opEnd)
		}
		if p.cost > 0 {
			out = w.takeFuel(out, p.cost)
		}
		from = p.at
	}
	return append(out, w.in[from:]...), nil
}

// takeFuel appends what lowers the counter, and traps below zero.
func (w *walk) takeFuel(out []byte, cost int64) []byte {
	global := appendUnsigned(nil, uint64(w.globals))
	out = append(append(out, opGlobalGet), global...)
	out = append(appendSigned(append(out, opI64Const), cost), opI64Sub)
	out = append(append(out, opGlobalSet), global...)
	out = append(append(out, opGlobalGet), global...)
	return append(out, opI64Const, 0, opI64Lt, opIf, empty, opUnreachable, opEnd)
}

func (w *walk) top() *block { return &w.blocks[len(w.blocks)-1] }

// change takes values off the stack and puts others on it.
func (w *walk) change(pops, pushes int) {
	if w.top().dead {
		return
	}
	if w.height -= pops; w.height < w.top().height {
		w.fail(errors.New("it takes a value that is not there"))
	}
	if w.height += pushes; w.height > maxHeight {
		w.failf("a function in it has more than %d values on the stack", maxHeight)
	}
}

// step reads one instruction.
func (w *walk) step() {
	at := w.at
	op := w.byte()
	if w.err != nil {
		return
	}
	p := &w.points[w.top().point]
	p.cost++
	switch {
	case op <= 0x01:
		w.top().dead = w.top().dead || op == opUnreachable
	case op >= opBlock && op <= opReturn:
		w.control(op)
	case op == opCall || op == opCallIndirect:
		w.call(op)
	case op >= opDrop && op <= opGlobalSet:
		w.variable(op)
	case op >= 0x28 && op <= opMemoryGrow:
		w.memory(op)
	case op == opI32Const:
		w.skipSigned(5)
		w.change(0, 1)
	case op == opI64Const:
		w.skipSigned(10)
		w.change(0, 1)
	case op == opMore:
		w.bulk()
	default:
		w.compute(op)
	}
	if w.touches {
		w.touches = false
		p.cost += costOfMemory
		w.points = append(w.points, point{at: at})
	}
}

func (w *walk) control(op byte) {
	switch op {
	case opBlock, opLoop, opIf:
		w.open(op)
	case opElse:
		b := w.top()
		if b.op != opIf {
			w.fail(errors.New("it has an else without an if"))
			return
		}
		b.op, b.dead = opElse, w.blocks[len(w.blocks)-2].dead
		w.height = b.height + len(b.of.params)
	case opEnd:
		b := *w.top()
		w.blocks = w.blocks[:len(w.blocks)-1]
		w.height = b.height + len(b.of.results)
	case opBr, opBrIf:
		w.u32()
		w.change(1&int(op), 0)
		w.top().dead = w.top().dead || op == opBr
	case opBrTable:
		for range w.cursor.count("branches of a table", maxLists) {
			w.u32()
		}
		w.u32()
		w.change(1, 0)
		w.top().dead = true
	case opReturn:
		w.top().dead = true
	default:
		w.unknown(op)
	}
}

// open begins a block. What is in a loop is counted at its begin, each time that it goes round.
func (w *walk) open(op byte) {
	t := w.blockType()
	if op == opIf {
		w.change(1, 0)
	}
	w.change(len(t.params), len(t.params))
	b := block{op: op, of: t, height: w.height - len(t.params), dead: w.top().dead, point: w.top().point}
	if op == opLoop {
		b.point = len(w.points)
		w.points = append(w.points, point{at: w.at})
		if w.loops++; w.loops > maxLoops {
			w.failf("it has more than %d loops", maxLoops)
		}
	}
	if len(w.blocks) == maxBlocks {
		w.failf("it has more than %d blocks inside each other", maxBlocks)
	}
	w.blocks = append(w.blocks, b)
}

func (w *walk) blockType() (t funcType) {
	if w.at < len(w.in) && w.in[w.at] >= 0x40 && w.in[w.at] < 0x80 {
		if w.in[w.at] == empty {
			w.at++
			return t
		}
		return funcType{results: []byte{w.valueType()}}
	}
	i := w.u32()
	if i >= uint32(len(w.types)) {
		w.fail(errors.New("a block in it is of no type"))
		return t
	}
	return w.types[i]
}

func (w *walk) call(op byte) {
	i, types := w.u32(), uint32(len(w.types))
	if op == opCall {
		if i >= uint32(len(w.funcs)) {
			w.fail(errors.New("it calls a function that it does not have"))
			return
		}
		i = w.funcs[i]
	} else if table := w.u32(); table != 0 {
		w.fail(errors.New("it calls by a table that it does not have"))
	}
	if i >= types {
		w.fail(errors.New("it calls by a type that it does not have"))
		return
	}
	w.change(len(w.types[i].params)+int(op&1), len(w.types[i].results))
}

func (w *walk) variable(op byte) {
	switch op {
	case opDrop:
		w.change(1, 0)
	case opSelect:
		w.change(3, 1)
	case opSelectOf:
		w.valueTypes(1)
		w.change(3, 1)
	case opLocalGet, opLocalSet, opLocalTee:
		if w.u32() >= w.locals {
			w.fail(errors.New("it uses a local that it does not have"))
		}
		w.move(op, opLocalGet, opLocalSet)
	case opGlobalGet, opGlobalSet:
		if w.u32() >= w.globals { // the next one is the fuel
			w.fail(errors.New("it uses a global that it does not have"))
		}
		w.move(op, opGlobalGet, opGlobalSet)
	default:
		w.unknown(op)
	}
}

func (w *walk) move(op, get, set byte) {
	switch op {
	case get:
		w.change(0, 1)
	case set:
		w.change(1, 0)
	default:
		w.change(1, 1)
	}
}

func (w *walk) memory(op byte) {
	switch {
	case op == opMemorySize:
		w.byte()
		w.change(0, 1)
	case op == opMemoryGrow:
		w.byte()
		w.change(1, 1)
		w.touches = true
	case op == 0x2a || op == 0x2b || op == 0x38 || op == 0x39:
		w.fail(errFloat)
	default:
		w.u32()
		w.u32()
		if op < 0x36 {
			w.change(1, 1)
		} else {
			w.change(2, 0)
		}
	}
}

// bulk reads an instruction of two bytes.
func (w *walk) bulk() {
	switch op := w.u32(); op {
	case opMemoryInit, opMemoryCopy:
		w.u32()
		w.byte()
		w.change(3, 0)
		w.touches = true
	case opDataDrop:
		w.u32()
	case opFill:
		w.byte()
		w.change(3, 0)
		w.touches = true
	default:
		if op < opMemoryInit {
			w.fail(errFloat)
		}
		w.failf("it has the instruction 0xfc %d, which is not run here", op)
	}
}

// compute reads an instruction that computes of what is on the stack.
func (w *walk) compute(op byte) {
	switch {
	case op == 0x45 || op == 0x50, // eqz
		op >= 0x67 && op <= 0x69 || op >= 0x79 && op <= 0x7b,             // clz, ctz, popcnt
		op == 0xa7 || op == 0xac || op == 0xad, op >= 0xc0 && op <= 0xc4: // wrap and extend
		w.change(1, 1)
	case op >= 0x46 && op <= 0x4f || op >= 0x51 && op <= 0x5a, op >= 0x6a && op <= 0x78 || op >= 0x7c && op <= 0x8a:
		w.change(2, 1)
	case op >= 0x43 && op <= 0xbf:
		w.fail(errFloat)
	default:
		w.unknown(op)
	}
}

func (w *walk) unknown(op byte) {
	w.fail(fmt.Errorf("it has the instruction 0x%02x, which is not run here; build it for WebAssembly 1.0 with whole "+
		"numbers", op))
}

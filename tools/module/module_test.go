package module

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/writ-run/writ/tools"
)

// A draft is a module in the making: what is not said is that of one that returns its input.
type draft struct {
	types, imports, table, memory, globals, start, data string // sections without their counts, in hex
	elements                                            string // with its count
	dataN                                               string // how many there are, in hex; 1 if empty
	globalN                                             int
	alloc, run                                          string   // bodies with their locals, in hex
	more                                                []string // functions of type () ()
	noExports                                           bool
}

const (
	echo      = "00 20 00 ad 42 20 86 20 01 ad 84 0b" // at<<32 | n
	at1024    = "00 41 80 08 0b"
	threeType = "60 01 7f 01 7f 60 02 7f 7f 01 7e 60 00 00"
)

func (d draft) bytes(t testing.TB) []byte {
	t.Helper()
	raw := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, body []byte) {
		out = append(out, id)
		out = append(appendUnsigned(out, uint64(len(body))), body...)
	}
	list := func(id byte, n int, body []byte) { section(id, append(appendUnsigned(nil, uint64(n)), body...)) }
	list(secType, 3, raw(or(d.types, threeType)))
	if d.imports != "" {
		list(secImport, 1, raw(d.imports))
	}
	kinds := append([]byte{0, 1}, bytes.Repeat([]byte{2}, len(d.more))...)
	list(secFunction, len(kinds), kinds)
	if d.table != "" {
		list(secTable, 1, raw(d.table))
	}
	list(secMemory, 1, raw(or(d.memory, "00 01")))
	if d.globals != "" {
		list(secGlobal, d.globalN, raw(d.globals))
	}
	if !d.noExports {
		list(secExport, 3, raw("06 6d656d6f7279 02 00  05 616c6c6f63 00 00  03 72756e 00 01"))
	}
	if d.start != "" {
		section(secStart, raw(d.start))
	}
	if d.elements != "" {
		section(secElement, raw(d.elements))
	}
	var code []byte
	for _, body := range append([]string{or(d.alloc, at1024), or(d.run, echo)}, d.more...) {
		b := raw(body)
		code = append(appendUnsigned(code, uint64(len(b))), b...)
	}
	list(secCode, len(kinds), code)
	if d.data != "" {
		section(secData, raw(or(d.dataN, "01")+d.data))
	}
	return out
}

func TestAModuleComputes(t *testing.T) {
	m, err := Read(t.Context(), draft{}.bytes(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // each call has an instance of its own
		out, err := m.Run(t.Context(), []byte(`{"b": 1, "a": "é"}`))
		if want := `{"a":"é","b":1}`; err != nil || string(out) != want {
			t.Errorf("%s, %v; want %s", out, err, want)
		}
	}
}

// Tables and memory are filled in each of the forms that there are, and what fills them is as it was after the rewriting.
func TestModulesWithElementsAndDataCompute(t *testing.T) {
	by := "00 41 00 11 02 00 20 00 ad 42 20 86 20 01 ad 84 0b" // calls what is in the table, then returns the input
	for _, elements := range []string{
		"01 00 41 00 0b 01 02", "01 02 00 41 00 0b 00 01 02", "01 04 41 00 0b 01 d2 02 0b", "01 06 00 41 00 0b 70 01 d2 02 0b",
		"02 00 41 00 0b 01 02 01 00 01 02", "02 00 41 00 0b 01 02 03 00 01 02", "02 00 41 00 0b 01 02 05 70 02 d2 02 0b d0 70 0b",
		"02 00 41 00 0b 01 02 07 70 01 d2 02 0b",
	} {
		m, err := Read(t.Context(), draft{table: "70 00 01", elements: elements, run: by, more: []string{"00 0b"},
			data: "00 41 00 0b 02 7b7d"}.bytes(t), 0)
		if err != nil {
			t.Errorf("%s: %v", elements, err)
			continue
		}
		if out, err := m.Run(t.Context(), []byte(`{"a":1}`)); err != nil || string(out) != `{"a":1}` {
			t.Errorf("%s: %s, %v", elements, out, err)
		}
	}
}

// says makes a body of run that returns so many bytes at an address.
func says(at uint32, n uint32) string {
	b := appendSigned([]byte{0, opI64Const}, int64(uint64(at)<<32|uint64(n)))
	return hex.EncodeToString(append(b, opEnd))
}

func TestHostileModulesHaveNoResult(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    draft
		code string
	}{
		{"a loop without end", draft{run: "00 03 40 0c 00 0b 42 00 0b"}, CodeFuel},
		{"a loop without end in alloc", draft{alloc: "00 03 40 0c 00 0b 41 00 0b"}, CodeFuel},
		// f(n) { if n { f(n-1); f(n-1) } }: 2^1000 calls, and no loop at all
		{"calls without end and without a loop", draft{alloc: "00 20 00 04 40 20 00 41 01 6b 10 00 1a 20 00 41 01 6b 10 00 1a " +
			"0b 41 80 08 0b", run: "00 41 e8 07 10 00 1a 42 00 0b"}, CodeFuel},
		{"a call of itself", draft{run: "00 20 00 20 01 10 01 0b"}, CodeTrap},
		{"filling memory without end", draft{memory: "00 80 02", run: "00 03 40 41 00 41 00 41 80 80 80 08 fc 0b 00 0c 00 0b 42 00 0b"},
			CodeFuel},
		{"memory that grows without end", draft{run: "00 03 40 41 01 40 00 1a 0c 00 0b 42 00 0b"}, CodeFuel},
		{"unreachable", draft{run: "00 00 0b"}, CodeTrap},
		{"a division by zero", draft{run: "00 42 01 42 00 7f 0b"}, CodeTrap},
		{"a load outside memory", draft{run: "00 41 7f 29 03 00 0b"}, CodeTrap},
		{"alloc outside memory", draft{alloc: "00 41 7f 0b"}, CodeMemory},
		{"alloc at the end of memory", draft{alloc: "00 41 ff ff 03 0b"}, CodeMemory},
		{"a result outside memory", draft{run: says(0xffff_fff0, 32)}, CodeMemory},
		{"a result over the end of memory", draft{run: says(65_535, 2)}, CodeMemory},
		{"a result that is too large", draft{run: says(0, MaxOutput+1)}, CodeOutput},
		{"a result of 4 GiB", draft{run: says(0, 0xffff_ffff)}, CodeOutput},
		{"no result", draft{run: says(0, 0)}, CodeOutput},
		{"a result that is no JSON", draft{run: says(0, 3), data: "00 41 00 0b 03 6e6f21"}, CodeOutput},
		{"a result that is no text", draft{run: says(0, 3), data: "00 41 00 0b 03 22ff22"}, CodeOutput},
		{"a key twice", draft{run: says(0, 13), data: "00 41 00 0b 0d 7b2261223a312c2261223a327d"}, CodeOutput},
		{"two values", draft{run: says(0, 3), data: "00 41 00 0b 03 312032"}, CodeOutput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Read(t.Context(), tt.d.bytes(t), 10_000_000)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := m.Run(ctx, []byte(`{"a":1}`))
			e, ok := errors.AsType[*tools.Error](err)
			if !ok || e.Code != tt.code || out != nil {
				t.Errorf("%s, %v; want the code %s", out, err, tt.code)
			}
		})
	}
}

func TestAStartFunctionIsBoundedToo(t *testing.T) {
	m, err := Read(t.Context(), draft{start: "02", more: []string{"00 03 40 0c 00 0b 0b"}}.bytes(t), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := m.Run(t.Context(), []byte(`{}`)); err == nil {
		t.Errorf("it returned %s", out)
	}
}

// A deadline ends what has fuel for longer, with loops and without.
func TestADeadlineEndsAComputation(t *testing.T) {
	for name, d := range map[string]draft{
		"loops": {run: "00 03 40 0c 00 0b 42 00 0b"},
		"calls": {alloc: "00 20 00 04 40 20 00 41 01 6b 10 00 1a 20 00 41 01 6b 10 00 1a 0b 41 80 08 0b",
			run: "00 41 e8 07 10 00 1a 42 00 0b"},
		"memory without a loop": {memory: "00 80 02", run: "00" +
			strings.Repeat("41 00 41 00 41 80 80 80 08 fc 0b 00", 20_000) + "42 00 0b"},
		"memory": {memory: "00 80 02", run: "00 03 40" + strings.Repeat("41 00 41 00 41 80 80 80 08 fc 0b 00", 100) +
			"0c 00 0b 42 00 0b"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Read(t.Context(), d.bytes(t), MaxFuel)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, err = m.Run(ctx, []byte(`{}`))
			e, ok := errors.AsType[*tools.Error](err)
			if took := time.Since(begun); !ok || e.Code != CodeTime || took > 10*time.Second {
				t.Errorf("%v after %s", err, took)
			}
		})
	}
}

func TestWhoCancelsIsToldSo(t *testing.T) {
	m, err := Read(t.Context(), draft{run: "00 03 40 0c 00 0b 42 00 0b"}.bytes(t), MaxFuel)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := m.Run(ctx, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestModulesThatAreRefused(t *testing.T) {
	whole := draft{}.bytes(t)
	for _, tt := range []struct {
		name, says string
		data       []byte
	}{
		{"nothing", "no WebAssembly module", nil},
		{"text", "no WebAssembly module", []byte("(module)")},
		{"another version", "no WebAssembly module", []byte("\x00asm\x02\x00\x00\x00")},
		{"half a module", "in the middle", whole[:len(whole)-3]},
		{"too large", "more than 262144 bytes", append(whole, make([]byte, MaxModule)...)},
		{"a section twice", "there twice", append(bytes.Clone(whole), secMemory, 3, 1, 0, 1)},
		{"WASI", "it imports wasi_snapshot_preview1.fd_write, and a module gets nothing from outside", draft{
			imports: "16 776173695f736e617073686f745f70726576696577 31 08 66645f7772697465 00 02"}.bytes(t)},
		{"an import that writes on a terminal", "env.<U+001B escape>", draft{imports: "03 656e76 01 1b 00 02"}.bytes(t)},
		{"no exports", "no memory under the name memory", draft{noExports: true}.bytes(t)},
		{"alloc of another type", "alloc is not alloc(i32) i32", draft{
			types: "60 00 01 7f 60 02 7f 7f 01 7e 60 00 00", alloc: "00 41 00 0b"}.bytes(t)},
		{"a fraction", "floating point", draft{types: "60 01 7f 01 7f 60 02 7f 7f 01 7e 60 01 7d 00"}.bytes(t)},
		{"a sum of fractions", "floating point", draft{run: "00 43 00 00 00 00 43 00 00 00 00 92 1a 42 00 0b"}.bytes(t)},
		{"a fraction that is loaded", "floating point", draft{run: "00 41 00 2a 02 00 1a 42 00 0b"}.bytes(t)},
		{"a local that is a fraction", "floating point", draft{run: "01 01 7c 42 00 0b"}.bytes(t)},
		{"4 billion pieces of data", "pieces of data", draft{data: "00", dataN: "ff ff ff ff 0f"}.bytes(t)},
		{"data of 4 GiB", "in the middle", draft{data: "00 41 00 0b ff ff ff ff 0f"}.bytes(t)},
		{"data at the fuel", "a global that it does not have", draft{data: "00 23 00 0b 01 00"}.bytes(t)},
		{"4 billion lists of elements", "lists of elements", draft{table: "70 00 01", elements: "ff ff ff ff 0f 00"}.bytes(t)},
		{"4 billion elements", "elements in a list", draft{table: "70 00 01", elements: "01 00 41 00 0b ff ff ff ff 0f"}.bytes(t)},
		{"elements that are not there", "in the middle", draft{table: "70 00 01", elements: "01 01 00 8f 4e"}.bytes(t)},
		{"an element that is a number", "no function", draft{table: "70 00 01", elements: "01 05 70 01 41 00 0b"}.bytes(t)},
		{"vectors", "vectors", draft{run: "01 01 7b 42 00 0b"}.bytes(t)},
		{"an instruction of vectors", "0xfd", draft{run: "00 fd 0c 00 42 00 0b"}.bytes(t)},
		{"a table that grows", "0xfc 15", draft{table: "70 00 01", run: "00 41 00 41 01 fc 0f 00 1a 42 00 0b"}.bytes(t)},
		{"threads", "0xfe", draft{run: "00 41 00 fe 10 02 00 1a 42 00 0b"}.bytes(t)},
		{"memory of 4 GiB", "65536 pages of memory; at most 256", draft{memory: "00 80 80 04"}.bytes(t)},
		{"memory that is shared", "shared", draft{memory: "03 01 02"}.bytes(t)},
		{"a table of 100 million", "elements of a table", draft{table: "70 00 80 c2 d7 2f"}.bytes(t)},
		{"50,000 locals", "locals", draft{run: "01 d0 86 03 7f 42 00 0b"}.bytes(t)},
		{"30,000 values on the stack", "1000 values", draft{run: "00" + strings.Repeat("41 00", 30_000) + "42 00 0b"}.bytes(t)},
		{"the fuel as a global of its own", "a global that it does not have", draft{run: "00 42 00 24 00 42 00 0b"}.bytes(t)},
		{"a body of another type", "not valid", draft{run: "00 41 00 0b"}.bytes(t)},
		{"a body without an end", "in the middle", draft{run: "00 42 00"}.bytes(t)},
		{"more than its end", "follows the end", draft{run: "00 42 00 0b 0b"}.bytes(t)},
		{"a value that is not there", "not there", draft{run: "00 1a 42 00 0b"}.bytes(t)},
		{"80,000 loops", "10000 loops", draft{run: "00" + strings.Repeat("03 40 0b", 80_000) + "42 00 0b"}.bytes(t)},
		{"10,000 blocks", "blocks inside", draft{run: "00" + strings.Repeat("02 40", 10_000) + strings.Repeat("0b", 10_000) +
			"42 00 0b"}.bytes(t)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Read(t.Context(), tt.data, 0); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// The same computation takes the same fuel each time: to one unit it is known how much.
func TestFuelIsCountedExactly(t *testing.T) {
	// alloc: 2 instructions (with its end). run: a loop of n rounds.
	d := draft{run: "01 01 7f 41 0a 21 02 03 40 20 02 41 01 6b 22 02 0d 00 0b 20 00 ad 42 20 86 20 01 ad 84 0b"}
	least := int64(0)
	for fuel := int64(1); least == 0 && fuel < 1000; fuel++ {
		m, err := Read(t.Context(), d.bytes(t), fuel)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Run(t.Context(), []byte(`{}`)); err == nil {
			least = fuel
		}
	}
	const alloc, run, round = 2, 11, 6
	if want := int64(alloc + run + 10*round); least != want {
		t.Errorf("it takes %d, want %d", least, want)
	}
}

// What an instance takes is bounded: the deepest calls of the largest frames, 2,000 of them.
func TestTheLargestStackIsBounded(t *testing.T) {
	push, drop := strings.Repeat("41 00", 990), strings.Repeat("1a", 990)
	d := draft{run: "01 e6 07 7f" + push + "20 00 20 01 10 01" + "1a" + drop + "42 00 0b"} // 998 locals
	m, err := Read(t.Context(), d.bytes(t), MaxFuel)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = m.Run(t.Context(), []byte(`{}`))
	runtime.ReadMemStats(&after)
	if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != CodeTrap || !strings.Contains(e.Message, "stack overflow") {
		t.Errorf("got %v", err)
	}
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 400 { // all that a stack was that has grown
		t.Errorf("it took %d MiB", took)
	}
}

// A module in which instructions are counted computes what it computes without.
func TestCountingChangesNothing(t *testing.T) {
	data := draft{}.bytes(t)
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	x, err := r.Instantiate(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x.ExportedFunction("run").Call(t.Context(), 7, 9)
	if err != nil || out[0] != 7<<32|9 {
		t.Errorf("%x, %v", out, err)
	}
}

// The largest modules are read in bounded time and memory, whatever is in them.
func TestTheLargestModulesAreRead(t *testing.T) {
	for name, d := range map[string]draft{
		"instructions": {run: "00" + strings.Repeat("41 00 1a", 85_000) + "42 00 0b"},
		"loops":        {run: "00" + strings.Repeat("03 40 0b", maxLoops) + "42 00 0b"},
		"functions":    {more: slices.Repeat([]string{"00 0b"}, maxFuncs-2)},
		"branches":     {run: "00 02 40 41 00 0e 90 4e" + strings.Repeat("00", 10_000) + "00 0b 42 00 0b"},
	} {
		t.Run(name, func(t *testing.T) {
			data := d.bytes(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := Read(t.Context(), data, 0)
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 64<<20 {
				t.Errorf("%d MiB are kept of it", kept>>20)
			}
			runtime.KeepAlive(m)
		})
	}
}

// Whatever bytes come: they are refused, or they are a module that ends.
func FuzzRead(f *testing.F) {
	for _, d := range []draft{{}, {run: "00 03 40 0c 00 0b 42 00 0b"}, {start: "02", more: []string{"00 0b"}},
		{table: "70 00 01", globals: "7f 01 41 00 0b", globalN: 1},
		{run: "00 02 7f 41 00 41 01 0d 00 0b 04 7e 42 01 05 42 02 0b 0b"}} {
		f.Add(d.bytes(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(t.Context(), data, 100_000)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := m.Run(ctx, []byte(`{"a":1}`))
		if ctx.Err() != nil {
			t.Fatal("it ran longer than its fuel allows")
		}
		again, _ := m.Run(ctx, []byte(`{"a":1}`))
		if err == nil && !bytes.Equal(out, again) {
			t.Errorf("two results of one input: %s and %s", out, again)
		}
	})
}

func BenchmarkInstructions(b *testing.B) {
	// A loop of 10,000,000 rounds of 6 instructions.
	d := draft{run: "01 01 7f 41 80 ad e2 04 21 02 03 40 20 02 41 01 6b 22 02 0d 00 0b 20 00 ad 42 20 86 20 01 ad 84 0b"}
	m, err := Read(b.Context(), d.bytes(b), MaxFuel)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Run(b.Context(), []byte(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(60e6*float64(b.N)/b.Elapsed().Seconds()/1e6, "M-instructions/s")
}

// Package module makes tools of WebAssembly modules: computations by the CID of their bytes.
//
// [Read] reads a module, and refuses what it would not run in a sentence. [Module.Run] computes: JSON in, JSON out, in
// an instance of its own that sees its input and nothing else. There is no network, no file, no clock and no chance,
// since a module may import nothing; whole numbers only, since floating point has results that differ from machine to
// machine; and every instruction is counted, so that a computation that ends within its fuel does so everywhere. The
// same module and the same input therefore have the same result anywhere, byte by byte, and an auditor who has the file
// computes it again: a [Set] is what agent/audit asks.
//
// What does not end by itself has no result: out of fuel, out of time, a trap, a result that is too large or no JSON
// are each an [*tools.Error], which is recorded as a failure.
//
// A module exports its memory as "memory", alloc(n i32) i32, which returns where n bytes may be written, and
// run(at, n i32) i64, which takes the input there and returns where its result is: the address in the upper 32 bits,
// the number of bytes in the lower ones. Modules are run by wazero's interpreter on every platform: one way to compute,
// and no memory that can be both written and run.
package module

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Bounds of a computation. Fuel is counted in instructions.
const (
	MaxOutput   = 64 << 10 // bytes of a result
	DefaultFuel = 100_000_000
	MaxFuel     = 10_000_000_000
	DefaultTime = 5 * time.Second
	MaxTime     = 20 * time.Second
)

// Codes of what has no result.
const (
	CodeFuel   = "out_of_fuel"
	CodeTime   = "timeout"
	CodeTrap   = "trap"
	CodeMemory = "bad_memory" // an address outside the module's memory
	CodeOutput = "bad_output" // too large, or no JSON
)

// A Module is a module that was read. It is safe for concurrent use.
type Module struct {
	cid      string
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	fuel     int64
}

// features are those of WebAssembly 1.0, and what compilers take for granted since. What is not whole numbers is
// refused before.
const features = api.CoreFeaturesV1 | api.CoreFeatureMutableGlobal | api.CoreFeatureSignExtensionOps |
	api.CoreFeatureMultiValue | api.CoreFeatureBulkMemoryOperations | api.CoreFeatureReferenceTypes

// Read reads a module. fuel is how many instructions a computation may take; DefaultFuel if 0.
func Read(ctx context.Context, data []byte, fuel int64) (*Module, error) {
	switch {
	case fuel == 0:
		fuel = DefaultFuel
	case fuel < 0 || fuel > MaxFuel:
		return nil, fmt.Errorf("fuel of %d instructions: say 1 to %d", fuel, int64(MaxFuel))
	}
	l, err := readLayout(data)
	if err != nil {
		return nil, fmt.Errorf("the module cannot be used: %w", err)
	}
	metered, err := l.rewrite(fuel)
	if err != nil {
		return nil, fmt.Errorf("the module cannot be used: %w", err)
	}
	// Nothing of the runtime is outside Go's memory, so it needs no end.
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).
		WithMemoryLimitPages(maxPages).WithCloseOnContextDone(true).WithDebugInfoEnabled(false))
	compiled, err := r.CompileModule(ctx, metered)
	if err != nil {
		return nil, fmt.Errorf("the module is not valid: %s", wording.Reveal(wording.Clip(firstLine(err), 200)))
	}
	return &Module{CID(data), r, compiled, fuel}, nil
}

// CID names a module's bytes.
func CID(data []byte) string { return provenance.NewRaw(data).CID.String() }

// CID names the module's bytes.
func (m *Module) CID() string { return m.cid }

// Run computes the result of an input, both JSON; the result is in its canonical spelling. The error is a
// [*tools.Error], or that of ctx if it was cancelled.
func (m *Module) Run(ctx context.Context, input []byte) ([]byte, error) {
	out, err := m.compute(ctx, input)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, failure(CodeTime, "The computation was not finished in time, and has no result.")
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if _, ok := errors.AsType[*tools.Error](err); ok {
		return nil, err
	}
	return nil, failure(CodeTrap, "The computation has failed (%s), and has no result.", nameTrap(err))
}

func (m *Module) compute(ctx context.Context, input []byte) ([]byte, error) {
	// Its start function, if it has one, is run here, by the same fuel and deadline.
	x, err := m.runtime.InstantiateModule(ctx, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err // of a start function that has taken all fuel, too: it is a trap like others
	}
	defer x.Close(context.WithoutCancel(ctx))
	at, err := m.call(ctx, x, "alloc", uint64(len(input)))
	if err != nil {
		return nil, err
	}
	if !x.Memory().Write(uint32(at), input) {
		return nil, failure(CodeMemory, "The module gives memory for its input that it does not have.")
	}
	where, err := m.call(ctx, x, "run", at, uint64(len(input)))
	if err != nil {
		return nil, err
	}
	size := uint32(where)
	if size > MaxOutput {
		return nil, failure(CodeOutput, "The module's result has %d bytes; at most %d are taken.", size, MaxOutput)
	}
	said, ok := x.Memory().Read(uint32(where>>32), size)
	if !ok {
		return nil, failure(CodeMemory, "The module says that its result is in memory that it does not have.")
	}
	if !utf8.Valid(said) {
		return nil, failure(CodeOutput, "The module's result is no text.")
	}
	out, err := tools.CanonicalJSON(said)
	if err != nil {
		return nil, failure(CodeOutput, "The module's result is no JSON: %s.", wording.Clip(err.Error(), 100))
	}
	if len(out) > MaxOutput { // characters may be spelled longer than they were
		return nil, failure(CodeOutput, "The module's result has %d bytes; at most %d are taken.", len(out), MaxOutput)
	}
	return out, nil
}

// call calls an exported function.
func (m *Module) call(ctx context.Context, x api.Module, name string, args ...uint64) (uint64, error) {
	out, err := x.ExportedFunction(name).Call(ctx, args...)
	if err == nil {
		return out[0], nil
	}
	if g := x.ExportedGlobal(fuelName); g != nil && int64(g.Get()) < 0 {
		return 0, failure(CodeFuel, "The computation takes more than %d instructions, and has no result.", m.fuel)
	}
	return 0, err
}

// traps are what wazero says of a trap, and how it is told. Anything else could be the module's own words.
var traps = []string{
	"unreachable", "stack overflow", "out of bounds memory access", "integer divide by zero", "integer overflow",
	"invalid table access", "indirect call type mismatch",
}

func nameTrap(err error) string {
	said := firstLine(err)
	for _, t := range traps {
		if strings.Contains(said, t) {
			return t
		}
	}
	return "it could not be run"
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func failure(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

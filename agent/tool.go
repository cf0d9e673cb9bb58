package agent

import (
	"context"
	"encoding/hex"

	"github.com/writ-run/writ/tools"
)

// A Tool is a tool of an agent. [Func] makes one of a Go function; package tools says how to write one of its own, for
// instance with a receiver that honours idempotency keys.
type Tool = tools.Tool

// A Class says what repeating a call of a tool would do, which decides what happens to a call whose outcome a crash
// left open.
type Class = tools.Class

// The classes that a Go function may have.
const (
	Read  = tools.Read  // no effect: run again freely
	Keyed = tools.Keyed // repeated with the same [IdempotencyKey], it does nothing more
	Once  = tools.Once  // never run again: without an answer it is in doubt
)

// Func makes a tool of a Go function, as [tools.Func] does: the exported fields of In are its arguments, nested ones
// too. utterances are sentence patterns that mean the tool, such as "what is the weather in {city}", for an agent
// without a model. A mistake in the arguments of Func is told by [Open]. A tool that says more of itself (what it
// spends, what its results are worth) is made by tools.Func.
func Func[In, Out any](
	name, about string, class Class, fn func(context.Context, In) (Out, error), utterances ...string,
) Tool {
	t, err := tools.Func(tools.Spec{Name: name, About: about, Class: class, Utterances: utterances}, fn)
	if err != nil {
		return badTool{err}
	}
	return t
}

// IdempotencyKey returns the key of the call that ctx is of, 64 hex digits: the same for each repetition of one call,
// and of no other call. A function of class [Keyed] hands it to the receiver. It is empty outside a tool's call.
func IdempotencyKey(ctx context.Context) string {
	key := tools.InputOf(ctx).Key
	if key == [32]byte{} {
		return ""
	}
	return hex.EncodeToString(key[:])
}

// A badTool is one that could not be made.
type badTool struct{ err error }

func (b badTool) Spec() tools.Spec                                  { return tools.Spec{} }
func (b badTool) Call(context.Context, tools.Input) ([]byte, error) { return nil, b.err }

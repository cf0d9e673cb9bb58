package verifier

import "errors"

// What a verifier is told to expect must not get lost: a variable that is empty in a script would make of
// --wallet "$WALLET" no expectation at all, and of two wallets only the last one would count.
var (
	errEmpty = errors.New("it is given with nothing in it; leave it out, or say what is expected")
	errTwice = errors.New("it is given twice, and takes one value")
)

// A Given is the value of a flag that refuses to be empty and, unless it takes many, to be given twice. T is the
// interface that a package of flags has for values.
type Given[T interface {
	Set(text string) error
	String() string
}] struct {
	Of   T
	Many bool // it may be given several times

	given bool
}

// Set takes one value in.
func (g *Given[T]) Set(text string) error {
	switch {
	case text == "":
		return errEmpty
	case g.given && !g.Many:
		return errTwice
	}
	g.given = true
	return g.Of.Set(text)
}

// String returns the value as text.
func (g *Given[T]) String() string {
	if g == nil || any(g.Of) == nil { // the package of flags asks a zero one, too
		return ""
	}
	return g.Of.String()
}

// IsBoolFlag says whether the flag is given without a value.
func (g *Given[T]) IsBoolFlag() bool {
	b, ok := any(g.Of).(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Type names what kind of value it is, for a help text.
func (g *Given[T]) Type() string {
	if t, ok := any(g.Of).(interface{ Type() string }); ok {
		return t.Type()
	}
	return ""
}

package policies

import (
	"slices"
	"strconv"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

// A kind is the type of an expression. There are no others: no floats, lists, maps, nil or any.
type kind uint8

const (
	kindBool kind = iota + 1
	kindInt
	kindString
	kindAddress
	kindAmount
)

func (k kind) String() string {
	return [...]string{"nothing", "a bool", "an int", "a string", "an address", "an amount"}[k]
}

// A value is one evaluated expression.
type value struct {
	kind kind
	b    bool
	i    int64
	s    string
	a    common.Address
	m    money.Amount
}

// String shows the value as people write it: "10 USDC", a quoted string, a checksummed address.
func (v value) String() string {
	switch v.kind {
	case kindBool:
		return strconv.FormatBool(v.b)
	case kindInt:
		return strconv.FormatInt(v.i, 10)
	case kindString:
		return strconv.Quote(v.s)
	case kindAddress:
		return v.a.Hex()
	case kindAmount:
		return v.m.String()
	}
	return ""
}

// A field is one name of an environment: how conditions read it, and how tests and suggestions write it.
type field struct {
	name string
	kind kind
	bool func(*Request) bool
	int  func(*Request) int64
	str  func(*Request) string
	addr func(*Request) *common.Address
	amt  func(*Request) *money.Amount
	set  func(*Request, value)

	// reach says how far from a user's hands the field is. A suggestion changes what is nearest.
	reach int
}

const (
	reachLimit    = 1 // amounts and sizes
	reachArg      = 2 // recipients and other arguments
	reachApproval = 3
	reachModel    = 4
	reachRun      = 5
	reachFixed    = 9 // what is being done, and by whom
)

func intField(name string, reach int, at func(*Request) *int64) field {
	return field{name: name, kind: kindInt, reach: reach,
		int: func(r *Request) int64 { return *at(r) },
		set: func(r *Request, v value) { *at(r) = v.i }}
}

func stringField(name string, reach int, at func(*Request) *string) field {
	return field{name: name, kind: kindString, reach: reach,
		str: func(r *Request) string { return *at(r) },
		set: func(r *Request, v value) { *at(r) = v.s }}
}

func addressField(name string, reach int, at func(*Request) *common.Address) field {
	return field{name: name, kind: kindAddress, reach: reach, addr: at,
		set: func(r *Request, v value) { *at(r) = v.a }}
}

// sessionFields are there at every point.
var sessionFields = []field{
	intField("now", reachRun, func(r *Request) *int64 { return &r.Now }),
	stringField("agent", reachFixed, func(r *Request) *string { return &r.Agent }),
	addressField("wallet", reachFixed, func(r *Request) *common.Address { return &r.Wallet }),
	intField("chain", reachFixed, func(r *Request) *int64 { return &r.Chain }),
	intField("expires", reachFixed, func(r *Request) *int64 { return &r.Expires }),
	intField("turn", reachRun, func(r *Request) *int64 { return &r.Turn }),
	intField("calls", reachRun, func(r *Request) *int64 { return &r.Calls }),
	intField("refused", reachRun, func(r *Request) *int64 { return &r.Refused }),
	{name: "approved", kind: kindBool, reach: reachApproval,
		bool: func(r *Request) bool { return r.Approved },
		set:  func(r *Request, v value) { r.Approved = v.b }},
}

var (
	toolFields = []field{
		stringField("tool", reachFixed, func(r *Request) *string { return &r.Tool }),
		stringField("class", reachFixed, func(r *Request) *string { return &r.Class }),
	}
	spendFields = []field{
		{name: "amount", kind: kindAmount, reach: reachLimit,
			amt: func(r *Request) *money.Amount { return &r.Amount },
			set: func(r *Request, v value) { r.Amount = v.m }},
		{name: "asset", kind: kindString, reach: reachFixed,
			str: func(r *Request) string { return r.Amount.Asset().Symbol }},
		addressField("to", reachArg, func(r *Request) *common.Address { return &r.To }),
	}
	routeFields = []field{
		stringField("model", reachModel, func(r *Request) *string { return &r.Model }),
		stringField("kind", reachModel, func(r *Request) *string { return &r.Kind }),
		stringField("provider", reachModel, func(r *Request) *string { return &r.Provider }),
		intField("tokens", reachLimit, func(r *Request) *int64 { return &r.Tokens }),
		usdField("cost", func(r *Request) *int64 { return &r.Cost }),
	}
)

// points lists the ten points with the fields that each has besides the session's.
var points = []struct {
	point  Point
	fields []field
}{
	{SessionIssue, issueFields},
	{Input, fieldsWith([]field{sizeField, textField}, labelFields)},
	{ModelRoute, fieldsWith(routeFields, labelFields)},
	{ModelResponse, fieldsWith(replyFields, []field{sizeField, textField}, labelFields)},
	{ToolCall, fieldsWith(toolFields, []field{hostField}, labelFields)},
	{ToolResult, fieldsWith(toolFields, []field{statusField, sizeField, textField}, labelFields)},
	{Retrieval, fieldsWith(toolFields, sourceFields, []field{sizeField, textField}, labelFields)},
	{Spend, fieldsWith(toolFields, spendFields, labelFields)},
	{Output, fieldsWith([]field{sizeField, textField}, labelFields)},
	{ProvenancePublish, fieldsWith([]field{partField}, toolFields, labelFields)},
}

// fieldsOf returns the flat environment of p, or false if there is no such point.
func fieldsOf(p Point) ([]field, bool) {
	for _, e := range points {
		if e.point == p {
			return append(slices.Clone(sessionFields), e.fields...), true
		}
	}
	return nil, false
}

func argKind(k ArgKind) kind {
	switch k {
	case ArgString:
		return kindString
	case ArgInt:
		return kindInt
	case ArgBool:
		return kindBool
	case ArgAddress:
		return kindAddress
	case ArgAmount:
		return kindAmount
	}
	return 0
}

// findArg returns the request's argument, or nil if it is absent or of another kind.
func findArg(r *Request, name string, k ArgKind) *Arg {
	for i := range r.Args {
		if a := &r.Args[i]; a.Name == name {
			if a.Set && a.Kind == k {
				return a
			}
			return nil
		}
	}
	return nil
}

func setArg(r *Request, name string, k ArgKind, v value) {
	n := Arg{Name: name, Kind: k, Set: true, Text: v.s, Int: v.i, Bool: v.b, Addr: v.a, Amount: v.m}
	for i := range r.Args {
		if r.Args[i].Name == name {
			r.Args[i] = n
			return
		}
	}
	r.Args = append(r.Args, n)
}

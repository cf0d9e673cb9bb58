package policies

import (
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A condition is compiled by what it reads, which is a [Request].
type (
	expression = cond.Expr[Request]
	field      = cond.Field[Request]
	frame      = cond.Frame[Request]
	region     = cond.Region[Request]
	kind       = cond.Kind
	value      = cond.Value
)

// How far a field is from a user's hands.
const (
	reachLimit    = 1 // amounts and sizes
	reachArg      = 2 // recipients and other arguments
	reachApproval = 3
	reachModel    = 4
	reachRun      = 5
	reachFixed    = 9 // what is being done, and by whom
)

func intField(name string, reach int, at func(*Request) *int64) field {
	return field{Name: name, Kind: cond.Int, Reach: reach, IntAt: at,
		Set: func(r *Request, v value) { *at(r) = v.Int }}
}

func stringField(name string, reach int, at func(*Request) *string) field {
	return field{Name: name, Kind: cond.String, Reach: reach, TextAt: at,
		Set: func(r *Request, v value) { *at(r) = v.Text }}
}

// wordField is a text of our own vocabulary: it may be shown.
func wordField(name string, reach int, at func(*Request) *string) field {
	f := stringField(name, reach, at)
	f.Ours = true
	return f
}

func addressField(name string, reach int, at func(*Request) *common.Address) field {
	return field{Name: name, Kind: cond.Address, Reach: reach, Addr: at,
		Set: func(r *Request, v value) { *at(r) = v.Addr }}
}

// sessionFields are there at every point.
var sessionFields = []field{
	intField("now", reachRun, func(r *Request) *int64 { return &r.Now }),
	wordField("agent", reachFixed, func(r *Request) *string { return &r.Agent }),
	addressField("wallet", reachFixed, func(r *Request) *common.Address { return &r.Wallet }),
	intField("chain", reachFixed, func(r *Request) *int64 { return &r.Chain }),
	intField("expires", reachFixed, func(r *Request) *int64 { return &r.Expires }),
	intField("turn", reachRun, func(r *Request) *int64 { return &r.Turn }),
	intField("calls", reachRun, func(r *Request) *int64 { return &r.Calls }),
	intField("refused", reachRun, func(r *Request) *int64 { return &r.Refused }),
	boolField("approved", reachApproval, func(r *Request) *bool { return &r.Approved }),
}

var (
	toolFields = []field{
		wordField("tool", reachFixed, func(r *Request) *string { return &r.Tool }),
		wordField("class", reachFixed, func(r *Request) *string { return &r.Class }),
	}
	spendFields = []field{
		{Name: "amount", Kind: cond.Amount, Reach: reachLimit,
			Amount: func(r *Request) *money.Amount { return &r.Amount },
			Set:    func(r *Request, v value) { r.Amount = v.Amount }},
		{Name: "asset", Kind: cond.String, Reach: reachFixed, Ours: true,
			Text: func(r *Request) string { return r.Amount.Asset().Symbol }},
		addressField("to", reachArg, func(r *Request) *common.Address { return &r.To }),
		{Name: "debit", Kind: cond.Amount, Reach: reachFixed,
			Amount: func(r *Request) *money.Amount { return orAmount(&r.Debit, r) },
			Set:    func(r *Request, v value) { r.Debit = v.Amount }},
		{Name: "credit", Kind: cond.Amount, Reach: reachFixed,
			Amount: func(r *Request) *money.Amount { return orAmount(&r.Credit, r) },
			Set:    func(r *Request, v value) { r.Credit = v.Amount }},
		intField("others", reachFixed, func(r *Request) *int64 { return &r.Others }),
		stringField("simulated", reachFixed, func(r *Request) *string { return &r.Simulated }),
		stringField("thing", reachArg, func(r *Request) *string { return &r.Thing }),
	}
	fileFields = []field{
		intField("files", reachArg, func(r *Request) *int64 { return &r.Files.Count }),
		intField("images", reachArg, func(r *Request) *int64 { return &r.Files.Images }),
		intField("files_size", reachLimit, func(r *Request) *int64 { return &r.Files.Bytes }),
		intField("largest_file", reachLimit, func(r *Request) *int64 { return &r.Files.Largest }),
		stringField("file_types", reachArg, func(r *Request) *string { return &r.Files.Types }),
	}
	routeFields = []field{
		wordField("model", reachModel, func(r *Request) *string { return &r.Model }),
		wordField("kind", reachModel, func(r *Request) *string { return &r.Kind }),
		wordField("provider", reachModel, func(r *Request) *string { return &r.Provider }),
		intField("tokens", reachLimit, func(r *Request) *int64 { return &r.Tokens }),
		usdField("cost", func(r *Request) *int64 { return &r.Cost }),
		boolField("planned", reachLimit, func(r *Request) *bool { return &r.Planned }),
		boolField("writes", reachLimit, func(r *Request) *bool { return &r.Writes }),
		stringField("verbs", reachLimit, func(r *Request) *string { return &r.Verbs }),
		intField("entities", reachLimit, func(r *Request) *int64 { return &r.Entities }),
		intField("confidence", reachLimit, func(r *Request) *int64 { return &r.Confidence }),
		intField("input", reachLimit, func(r *Request) *int64 { return &r.Input }),
		intField("offered", reachLimit, func(r *Request) *int64 { return &r.Offered }),
		usdField("left", func(r *Request) *int64 { return &r.Left }),
		usdField("spent", func(r *Request) *int64 { return &r.Spent }),
		usdField("allowed", func(r *Request) *int64 { return &r.Allowed }),
		usdField("today", func(r *Request) *int64 { return &r.Today }),
		intField("mistakes", reachRun, func(r *Request) *int64 { return &r.Mistakes }),
		intField("failed", reachRun, func(r *Request) *int64 { return &r.Failed }),
		intField("unfounded", reachRun, func(r *Request) *int64 { return &r.Unfounded }),
		intField("searches", reachRun, func(r *Request) *int64 { return &r.Searches }),
		intField("found", reachRun, func(r *Request) *int64 { return &r.Found }),
		intField("score", reachRun, func(r *Request) *int64 { return &r.Score }),
		intField("lead", reachRun, func(r *Request) *int64 { return &r.Lead }),
		intField("ttft_p50", reachModel, func(r *Request) *int64 { return &r.TTFT50 }),
		intField("ttft_p95", reachModel, func(r *Request) *int64 { return &r.TTFT95 }),
		intField("errors", reachModel, func(r *Request) *int64 { return &r.Errors }),
		intField("queue", reachModel, func(r *Request) *int64 { return &r.Queue }),
		wordField("breaker", reachModel, func(r *Request) *string { return &r.Breaker }),
		usdField("price_in", func(r *Request) *int64 { return &r.PriceIn }),
		usdField("price_out", func(r *Request) *int64 { return &r.PriceOut }),
	}
)

// orAmount returns what was simulated, or the call's amount if nothing was.
func orAmount(simulated *money.Amount, r *Request) *money.Amount {
	if simulated.Asset() == (money.Asset{}) {
		return &r.Amount
	}
	return simulated
}

// points lists the ten points with the fields that each has besides the session's.
var points = []struct {
	point  Point
	fields []field
}{
	{SessionIssue, issueFields},
	{Input, fieldsWith([]field{sizeField, textField}, fileFields, labelFields)},
	{ModelRoute, fieldsWith(routeFields, labelFields)},
	{ModelResponse, fieldsWith(replyFields, []field{sizeField, textField}, labelFields)},
	{ToolCall, fieldsWith(toolFields, []field{hostField, asksField}, labelFields)},
	{ToolResult, fieldsWith(toolFields, []field{statusField, sizeField, textField}, labelFields)},
	{Retrieval, fieldsWith(toolFields, sourceFields, []field{sizeField, textField}, labelFields)},
	{Spend, fieldsWith(toolFields, spendFields, labelFields)},
	{Output, fieldsWith([]field{sizeField, textField}, labelFields)},
	{ProvenancePublish, fieldsWith([]field{partField}, toolFields, labelFields)},
}

// environments are the fields that each point has. Never written to.
var environments = func() map[Point][]field {
	m := map[Point][]field{}
	for _, e := range points {
		m[e.point] = slices.Concat(sessionFields, e.fields)
	}
	return m
}()

// Fields returns the flat environment of p, which is not to be changed, or false if there is no such point.
func Fields(p Point) ([]field, bool) {
	fields, ok := environments[p]
	return fields, ok
}

// isKnown says whether conditions may ask about arguments of a kind. What is in an object, a list or opaque JSON is no
// value of theirs.
func isKnown(k arg.Kind) bool {
	return cond.KindOf(k) != 0 || k == arg.Object || k == arg.List || k == arg.JSON
}

// findArg returns the request's argument, or nil if it is absent or of another kind.
func findArg(r *Request, name string, k arg.Kind) *arg.Value {
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

// SetArg gives an argument a value. The objects that it is part of are then there too.
func (r *Request) SetArg(name string, k arg.Kind, v value) {
	n := arg.Value{Name: name, Kind: k, Set: true, Text: v.Text, Int: v.Int, Bool: v.Bool, Addr: v.Addr, Amount: v.Amount}
	there := false
	for i := range r.Args {
		switch x := &r.Args[i]; {
		case x.Name == name:
			*x, there = n, true
		case strings.HasPrefix(name, x.Name+"."):
			x.Set = true
		}
	}
	if !there {
		r.Args = append(r.Args, n)
	}
}

// Package policies decides whether an agent may take a step.
//
// A [Set] is loaded once from its source, strict YAML with small expr conditions, and is then safe for use by many
// goroutines. [Layers.Decide] looks at one [Request] and at nothing else: no clock, no network, no chance. The same
// sets and the same request give the same [Decision] anywhere, so an auditor can ask again years later.
//
// What no rule permits is denied. A rule that cannot be evaluated denies too, and the decision names it. Sets stand
// in layers, operator before wallet, and the strictest answer wins: a lower layer has no syntax that widens.
//
// expr alone is not a sandbox, so a condition goes through a gate (length, depth, an allow-list of syntax, callees and
// types), and what is left has no loops: evaluating it costs at most one step a node. expr parses it and its checker
// must agree; a small typed evaluator runs it, which a differential fuzz test holds against expr's virtual machine.
//
// # The language
//
// A set is one YAML document; schema.json beside this package describes it, and the built-in sets ([Builtin]) show it.
// Conditions are typed: bool, int (64 bits, an overflow is an error), string, address and amount. They may use
//
//	&& || ! and or not      == != < <= > >=      + - * (ints; + - also of amounts)
//	x in ["a", "b"]   not in   contains   startsWith   endsWith
//	usdc("12.50")  calls(40)  tokens(1000)  usd("3.00")   amounts; one literal for each of the set's assets
//	addr("0x...")  seconds(n)  minutes(n)  hours(n)        an address; milliseconds
//	in_set(to, "friends")                                  is it in the named set?
//	left("day")  spent("day")                              of a budget; what is reserved counts as spent
//	given("memo")  args.memo                               of a call; reading an absent argument is an error
//
// and these fields:
//
//	at every point   now, expires (ms UTC), agent, wallet, chain, turn, calls, approved
//	tool.call        tool, class, and args.NAME in a rule with tool:
//	spend            tool, class, amount, asset (its symbol), to
//	model.route      model, kind, provider, tokens, cost (an amount in usd)
//	output           size (bytes)
//
// Amounts of two assets do not compare: that is an error, and so a deny. Test the asset first, as in
// asset == "USDC" && amount <= usdc("10"); the right side of a decided && or || is not looked at.
package policies

import (
	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

// A Point is a place in a run at which policies decide.
type Point string

// The ten points.
const (
	SessionIssue      Point = "session.issue"
	Input             Point = "input"
	ModelRoute        Point = "model.route"
	ModelResponse     Point = "model.response"
	ToolCall          Point = "tool.call"
	ToolResult        Point = "tool.result"
	Retrieval         Point = "retrieval"
	Spend             Point = "spend"
	Output            Point = "output"
	ProvenancePublish Point = "provenance.publish"
)

// An Outcome is what a decision says. The order is by strictness.
type Outcome string

// The outcomes.
const (
	Permit  Outcome = "permit"
	Approve Outcome = "approve" // only with the wallet's approval of exactly this
	Deny    Outcome = "deny"
)

// A Request is what is asked at one point. Each point reads the fields that its environment has and no others; the
// rest stays zero.
type Request struct {
	Point Point
	Now   int64 // ms UTC

	Agent   string
	Wallet  common.Address
	Chain   int64 // EIP-155 id of the session's chain
	Expires int64 // of the session, ms UTC
	Turn    int64 // model calls so far in the run
	Calls   int64 // tool calls so far in the run

	Tool  string // tool.call, spend
	Class string // tool.call, spend: read, keyed, chain, once
	Args  []Arg  // tool.call: in the order of the tool's params as given to Load

	Amount money.Amount   // spend
	To     common.Address // spend

	Model    string // model.route
	Kind     string // model.route: rules, scripted, model
	Provider string // model.route
	Tokens   int64  // model.route: upper bound of the call
	Cost     int64  // model.route: upper bound in nano-USD

	Size int64 // output: bytes of the text

	Budgets  []Budget // all that the run draws on, sorted by ID
	Approved bool     // the wallet approved exactly this request
}

// An ArgKind is the type of a tool's argument in conditions.
type ArgKind string

// The kinds.
const (
	ArgString  ArgKind = "string"
	ArgInt     ArgKind = "int"
	ArgBool    ArgKind = "bool"
	ArgAddress ArgKind = "address"
	ArgAmount  ArgKind = "amount"
)

// An Arg is one argument of a tool call. Set is false for an absent optional one, whose other fields are zero.
type Arg struct {
	Name   string
	Kind   ArgKind
	Set    bool
	Text   string
	Int    int64
	Bool   bool
	Addr   common.Address
	Amount money.Amount
}

// A ToolType tells [Load] how a tool's arguments are typed, so that a condition on a misspelt one fails to load.
type ToolType struct {
	Name   string
	Params []Param
}

// A Param is one typed argument.
type Param struct {
	Name string
	Kind ArgKind
}

// A Budget is a cap and what is used of it. ID is "layer/id".
type Budget struct {
	ID                   string
	Cap, Spent, Reserved money.Amount
}

// A Decision is the answer to a request.
type Decision struct {
	Point   Point
	Outcome Outcome
	Rules   []string  // the rules that decided, "layer/id"; empty if no rule matched
	Atoms   []Atom    // what decided, with values on both sides; on anything but permit
	Message string    // one sentence for the user; on anything but permit
	Change  string    // the smallest change that would allow it; empty if none is known
	Reserve []Reserve // to be reserved with the step; only if the outcome is permit
	TTL     int64     // approve: ms that the wallet has
}

// An Atom is one comparison in a condition.
type Atom struct {
	Expr  string `json:"expr"`  // source text, e.g. `amount > usdc("10")`
	Left  string `json:"left"`  // the value on the left, e.g. "500 USDC"
	Right string `json:"right"` // the value on the right
	Holds bool   `json:"holds"`
}

// A Reserve is an amount to hold back in a budget.
type Reserve struct {
	Budget string // "layer/id"
	Amount money.Amount
}

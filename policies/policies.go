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
// Conditions are typed: bool, int (64 bits, an overflow is an error), string, address, amount and number (an exact
// decimal, of a tool's arguments only). They may use
//
//	&& || ! and or not      == != < <= > >=      + - * (ints; + - also of amounts)
//	x in ["a", "b"]   not in   contains   startsWith   endsWith
//	usdc("12.50")  calls(40)  tokens(1000)  usd("3.00")   amounts; one literal for each of the set's assets
//	decimal("99.90")                                       a number; numbers compare, and that is all
//	addr("0x...")  seconds(n)  minutes(n)  hours(n)  days(n)   an address; milliseconds
//	in_set(to, "friends")                                  is it in the named set?
//	in_window(now, "Mon-Fri 09:00-18:00", "America/New_York")  weekly hours, see [calendar.ParseWeekly]
//	in_cidr(args.host, "10.0.0.0/8", "fd00::/8")           is the IP address in one of the networks?
//	count("pay", hours(1))  sum("pay", "USDC", days(1))    of the run's calls of a tool, those under way included;
//	                                                       "*" is any tool, "class:chain" those of a class
//	happened("quote", minutes(2))                          has such a call ended well?
//	same(to, "pay", "to")                                  has a call had this value in that argument?
//	left("day")  spent("day")                              of a budget; what is reserved counts as spent
//	given("memo")  args.memo                               of a call; reading an absent argument is an error
//	args.order.amount  len(args.order.items)               a member of an argument; how long a list is
//	from("web:evil.example")                               does what is decided about come from there?
//
// and these fields:
//
//	at every point      now, expires (ms UTC), agent, wallet, chain, turn, calls, refused, approved
//	session.issue       life (ms), domain, max_calls, max_tokens, max_cost (in usd), asks_if_tainted
//	input               size (bytes), text
//	model.route         model, kind, provider, tokens, cost (an amount in usd), and those of [turn.Facts]
//	model.response      model, kind, provider, asks (tool calls), stop, evidence, size, text
//	tool.call           tool, class, host (of a URL), asks_wallet, and args.NAME in a rule with tool:
//	tool.result         tool, class, status, size, text
//	retrieval           tool, class, source, document (its CID), size, text
//	spend               tool, class, amount, asset (its symbol), to, and once simulated: simulated, debit,
//	                    credit, others
//	output              size, text
//	provenance.publish  part, tool, class
//	all but the first   integrity, secrecy, untrusted, tainted: see package label
//
// integrity, secrecy and untrusted are of what is decided about: at tool.call and spend the call's arguments. tainted
// says that anything at all in the run so far is untrusted.
//
// # Effects
//
// A rule that matches forbids, permits, or asks for the wallet (approve). Other rules add to what is permitted, and
// none of them widens: all that match hold together, and of two limits or modes the stricter stands.
//
//	redact   fields and patterns that are cut out before a text goes on    input, tool.result, retrieval, output
//	route    use: models that may answer; of the rules that match, those of the highest priority   model.route
//	limit    tokens of a reply; calls of a reply; bytes of a text    model.route; model.response; the texts
//	label    makes something less trusted or more secret             input, model.response, tool.result, retrieval
//
// A permit at provenance.publish may have a mode: how the payload is kept. [Point.Open] says what holds at a point
// on which a set has no rules.
//
// Amounts of two assets do not compare: that is an error, and so a deny. Test the asset first, as in
// asset == "USDC" && amount <= usdc("10"); the right side of a decided && or || is not looked at.
package policies

import (
	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/tools/arg"
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

	Tool  string      // tool.call, spend, tool.result, retrieval, provenance.publish
	Class string      // of the tool: read, keyed, chain, wallet, once
	Args  []arg.Value // tool.call: in the order of the tool's params as given to Load
	// AsksWallet says that each call of the tool needs the wallet's approval, whatever policies say: tool.call.
	AsksWallet bool
	Host       string // tool.call: of the URL that the call names; empty if it names none

	Amount money.Amount   // spend: the larger of what the call says and of what would leave the account
	To     common.Address // spend

	// What a simulation shows, at spend: what would leave the account and what would arrive at the recipient; Amount if
	// they have no asset. Others counts transfers to others, those of other assets, and allowances. Simulated is "read",
	// "computed", or "" of a tool that is not simulated. Before the simulation they are what the call says, and "read": it
	// is decided again.
	Debit, Credit money.Amount
	Others        int64
	Simulated     string
	Thing         string // spend: which thing of a collection moves, as erc721:0x.../7; "" of money

	Model    string // model.route, model.response
	Kind     string // model.route, model.response: rules, scripted, model
	Provider string // model.route, model.response
	Tokens   int64  // model.route: upper bound of the call; session.issue: max_tokens of the grant
	Cost     int64  // model.route: upper bound in nano-USD; session.issue: max_cost_usd of the grant in nano-USD

	turn.Facts // model.route

	Asks     int64  // model.response: tool calls that the model asks for
	Stop     string // model.response
	Evidence int64  // model.response: level 0 to 4
	Status   string // tool.result: ok, error, timeout, ...
	Source   string // retrieval: where the document is from, as the operator calls it
	Document string // retrieval: the document's CID
	Part     string // provenance.publish: which payload, e.g. "result"

	Text  string     // input, model.response, tool.result, retrieval, output: what it is about
	Size  int64      // bytes of Text
	Files turn.Files // input: what is attached

	Life          int64  // session.issue: ms from the grant's issue to its end
	Domain        string // session.issue: that asked for the signature
	MaxCalls      int64  // session.issue: of the grant
	AsksIfTainted bool   // session.issue: the grant has approve_if_tainted

	Label   label.Label // of what is decided about: a call's arguments, a result, an answer
	Context label.Label // of everything that is in the run so far

	Past    Past  // what the run has done; from [Layers.Past] of the layers that decide
	Flying  []Act // what it is doing: calls that were permitted and have no outcome yet
	Refused int64 // tool calls that it was refused so far

	Budgets  []Budget // all from which the run reserves, sorted by ID
	Approved bool     // the wallet approved exactly this request
}

// A ToolType tells [Load] how a tool's arguments are typed, so that a condition on a misspelt one fails to load.
type ToolType struct {
	Name   string
	Params []arg.Param
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

	// What else the rules that matched ask for, all of them together. Only if the outcome is permit.
	Redact []*Redaction // what is cut out of the text
	Limit  Limit        // the tightest of each
	Label  label.Label  // to be joined with the label of what is decided about
	Mode   Mode         // provenance.publish: how the payload is kept
}

// An Atom is one comparison in a condition.
type Atom struct {
	Expr  string `json:"expr"`  // source text, e.g. `amount > usdc("10")`
	Left  string `json:"left"`  // the value on the left, e.g. "500 USDC"
	Right string `json:"right"` // the value on the right
	Holds bool   `json:"holds"`
}

// A Reserve is an amount to be reserved in a budget.
type Reserve struct {
	Budget string // "layer/id"
	Amount money.Amount
}

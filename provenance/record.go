package provenance

import "github.com/writ-run/writ/policies/money"

// A Record is one of the types of this package that are blocks of their own: [*Run], [*Step], [*Head], [*Grant],
// [*PolicySet], [*Agent], [*ToolDef], [*Runtime], [*StepIndex], [*Delegation], [*Revocation], [*Erasure] and
// [*Assertion]. The first key of each block, "v", names the record and its version, so that a block says what it is.
type Record interface {
	versionName() string
	codeFields(c *coder)
}

// A Run is the opening of one request: who may, under which rules, with what.
type Run struct {
	Agent   Link     // *Agent
	Grant   Link     // *Grant; its CID is the session's id
	Rules   Link     // *PolicySet of the operator, or that of a dApp, which stands under the operator's
	Runtime Link     // *Runtime
	Opened  int64    // ms UTC
	Nonce   [32]byte // chance, so that two runs never share a CID
	Parent  *Parent  // the effect of another run that opened this one; optional

	// Delegation is what a sub-agent's run acts under, besides the grant: a *Delegation whose chain ends at Grant. It
	// is there if Parent is, and undefined in a run that a wallet's user asked for.
	Delegation Link
}

// A Parent names an effect of another run.
type Parent struct {
	Step   Link // *Step
	Effect uint64
}

// A Step is the journal's unit: what came in, what was known, and what is to be done about it.
type Step struct {
	Run   Link   // *Run
	Seq   uint64 // 0 for the first step
	Prev  Link   // *Step; undefined only if Seq is 0
	At    int64  // ms UTC, the clock that decisions saw; never before Prev's
	Event Event
	Facts Facts
	Does  []Effect
	// Decisions are those that belong to no effect: on what came in, on what a document or a result may tell the
	// model, on what is said. Absent where no policy set has a rule.
	Decisions []Decision
	// Label says what the run's context is worth from this step on: canonical JSON of a label, sealed since it names
	// where things came from. Absent if it has not changed, or is nothing but the user's words and trusted tools.
	Label *Payload
}

// A Ref names an effect of the same run: the step that holds it, and its place there. In [Call.Of] it names a tool
// call of a reply instead: the step of the reply, and the place among its calls.
type Ref struct {
	Seq   uint64
	Index uint64
}

// An Event is what came in: [*Ask], [*Reply], [*Result], [*Verdict] or [*Lapse].
type Event interface{ isEvent() }

// An Ask is what the session key signed: the user's request, always step 0, or by "run.send" what is said later.
type Ask struct {
	Request *Payload // the exact params bytes of the signed frame
	Channel [32]byte // of the socket that it came over
	Seq     uint64   // of the frame on that channel
	Method  string   // of the frame, "run.start" or "run.send", or the form of a body that was signed as it is
	Of      *Ref     // the question of the agent's that it answers; optional, with method "run.send" only
	Key     string   // did:key of the session key
	Sig     []byte   // over session, channel, seq, method and SHA-256 of Request
	Label   *Payload // what a sub-agent's run begins with: that of the call's Handed; only with method "run.delegate"
	After   Link     // *Head of the run before it in its thread, as it then was; optional
	Earlier *Payload // with After: what the run is told of those before it, as agent/thread writes it
	Files   []Piece  // of the files that Request attaches, in its order, each cut as agent/attach says; optional
}

// A Piece is a part of an attached file, or all of it.
type Piece struct{ Data *Payload }

// A Reply answers an [AskModel]: what the model said, or that it failed.
type Reply struct {
	Of     Ref
	Model  *ModelCall // nil if Failed
	Failed string     // why there is none, by its code, such as "model.rate"; empty if Model is there
	After  int64      // ms from now on after which the provider wants to be asked again; with Failed only, 0 if not known
	Said   *Payload   // with Failed only: the text that was shown before it failed, to which no other answer is joined
	From   *Reused    // with Model only: whose answer it is, of which no token and no byte came again; optional
}

// A Reused is an answer of another run of the session, given again.
type Reused struct {
	Head Link // *Head of that run, as it was once Step stood in it
	Step Link // *Step whose event is the answer
}

// A ModelCall is one call of a model and what is known of it.
type ModelCall struct {
	Name     string // what the route called it
	Provider string
	Asked    string // the model asked for
	Answered string // the model that the provider says answered
	ID       string // the provider's id of the response; optional
	Stop     string
	Tier     string   // the service tier that the provider says it served; optional
	Text     *Payload // optional
	Calls    []ToolAsk
	Usage    Usage
	Cost     int64    // nano-USD, by the price in the Runtime record
	TTFT     int64    // ms to the first content; 0 if not known
	Took     int64    // ms
	Request  [32]byte // SHA-256 of the run's salt and the exact request bytes; zero if there was no wire
	Response *Payload // the exact response bytes; optional
	Evidence uint64   // level 0 to 4: claimed, provider's id and bytes, signed, TEE, re-run
}

// Usage counts tokens.
type Usage struct {
	In, Out, Cached  uint64 // Cached, read from the provider's cache, is a part of In; optional
	Write5m, Write1h uint64 // parts of In: written to that cache, for five minutes and for an hour; optional
	Reasoning        uint64 // a part of Out: thought and not said; optional
}

// A ToolAsk is a tool call as the model asked for it.
type ToolAsk struct {
	ID   string // the provider's; optional
	Tool string
	Args *Payload // canonical JSON object
}

// Statuses of a [Result]. Every call gets exactly one.
const (
	StatusOK        = "ok"
	StatusError     = "error"
	StatusDenied    = "denied"
	StatusTimeout   = "timeout"
	StatusCancelled = "cancelled"
	StatusInDoubt   = "in_doubt"
	StatusPending   = "pending" // of phases send and final: not at its end; what was seen says what is done next
)

// A Result answers a [Call].
type Result struct {
	Of     Ref
	Status string   // one of the Status constants
	Output *Payload // canonical JSON; for an error, {"error": sentence}; for phase sign, the signed transaction
	Took   int64    // ms
	Child  Link     // *Head of the run that the call opened, as it closed; only for the call of a sub-agent
}

// A Verdict answers a [Seek]: the wallet's approval, or its refusal.
type Verdict struct {
	Of       Ref
	Approval *Approval // nil if refused
	Words    *Payload  // why it was refused, short; nil if approved
	Refused  string    // the same in the clear, in records of before; nothing writes it any more
}

// Reason returns why the wallet refused. It is false if that is sealed.
func (v *Verdict) Reason() (why string, open bool) {
	if v.Words == nil {
		return v.Refused, true
	}
	words, open := v.Words.Bytes()
	return string(words), open
}

// An Approval is the wallet's EIP-712 signature over one exact effect.
type Approval struct {
	Message *Payload // the typed data's message as canonical JSON
	Sig     *Payload // 65 bytes for an EOA
	Method  string   // how it is verified: "eoa", "eip1271", "eip6492"
	// Verification is what the chain said of a contract wallet's; undefined for "eoa".
	Verification Link
}

// Why a [Lapse] came.
const (
	LapseTimeout   = "timeout"
	LapseCancelled = "cancelled"
	LapseInDoubt   = "in_doubt"
	LapseBudget    = "budget"
	LapseRevoked   = "revoked"

	// LapseSlow alone ends nothing: the model has not begun to answer in the time that it mostly takes.
	LapseSlow = "slow"
)

// A Lapse says that something will not be answered any more: one effect, or, without Of, the whole run. One by
// LapseSlow says that an effect is not answered yet.
type Lapse struct {
	Of  *Ref
	Why string // one of the Lapse constants
	By  Link   // *Revocation, with LapseRevoked only; undefined if none was recorded
}

func (*Ask) isEvent()     {}
func (*Reply) isEvent()   {}
func (*Result) isEvent()  {}
func (*Verdict) isEvent() {}
func (*Lapse) isEvent()   {}

// Facts are what a step knew of the world besides its event. Decisions saw these and nothing else.
type Facts struct {
	// Budgets are those ledgers of the run that are not as the step before left them, sorted by ID: all of them at the
	// first step, and later those that another run has reserved from, or that were none of the last step's.
	Budgets []Budget
	Down    []string // models that were taken for unhealthy, sorted
	Once    bool     // so many attempts failed of late that no second real model is asked after a provider's failure
	// Fleet is what was known of the models that the routes lead to, sorted by name; there only if a rule asks.
	Fleet   []ModelFact
	Revoked bool // the session had been revoked, or had expired by the store's clock
	// Wallet is when the grant's signature was last found to hold; nil for an account with a key, whose always does.
	Wallet *WalletFact
}

// States of a model's breaker: attempts are let through, none is, one at a time is.
const (
	BreakerClosed   = "closed"
	BreakerOpen     = "open"
	BreakerHalfOpen = "half_open"
)

// A ModelFact is how a model has answered of late, as far as the run's account may be told.
type ModelFact struct {
	Name     string
	P50, P95 int64  // ms to the first content: median and 95th percentile; 0 if not known
	Errors   uint64 // of 1,000 attempts: those that failed by the provider's fault
	Queue    uint64 // attempts of this server that were under way
	Breaker  string // one of the Breaker constants
}

// A Budget is a cap with its ledger, in one asset. In total Spent + Reserved never exceeds Cap.
type Budget struct {
	ID                   string
	Cap, Spent, Reserved money.Amount
}

// An Effect is what is to be done: [*AskModel], [*Call], [*Seek], [*Say], [*Deny] or [*Close].
type Effect interface{ isEffect() }

// AskModel asks a model. Answered by a [Reply].
type AskModel struct {
	Route     Route
	Prompt    [32]byte // salted digest of the prompt, which is a function of the steps and not stored
	MaxTokens int64
	After     int64 // ms UTC before which it is not asked, since its provider wants it so; 0 for at once
	Decisions []Decision
	Fold      *Fold // what is left out of the prompts from this one on, or is to be summed up; optional
}

// Ways of a [Fold].
const (
	FoldCut = "cut" // what is left out is named in the prompt
	FoldSum = "sum" // a model is asked to sum it up, and its answer stands in the place of it
)

// A Fold makes room in a talk that has grown too long for a model. Nothing is deleted: it names what it replaces.
type Fold struct {
	How      string   // one of the Fold constants
	Digest   [32]byte // salted, of the messages that are replaced
	Messages uint64   // how many they are, 0 if texts were only shortened
	From, To uint64   // the steps that they come from, the first and the last; those of runs before are from step 0
	Bytes    int64    // how many of them were replaced
}

// A Route says which model answers a turn, and why.
type Route struct {
	Rule       string   // the agent's route rule that matched
	Kind       string   // "rules", "scripted", "model": what sort of thing answers
	Model      string   // the chosen model's name
	Considered []string // the candidates in order, those passed over included
	Shadow     string   // the shadow rule that would have chosen in Rule's place; optional
	Cost       int64    // the upper bound that was reserved, nano-USD
}

// Phases of a [Call].
const (
	PhaseAct      = "act"      // class read, keyed, once: the call itself
	PhaseSimulate = "simulate" // class chain: what would happen; no effect
	PhaseSign     = "sign"     // class chain: make the signed transaction; no effect outside
	PhaseSend     = "send"     // class chain: broadcast the journalled bytes
	PhaseFinal    = "final"    // class chain: wait until the block that they are in is final
	PhaseAsk      = "ask"      // class read: a question to the user, answered by an [Ask]
)

// A Call calls a tool; one of class client is for who asked to make. Answered by a [Result].
type Call struct {
	Of        Ref      // the tool call of the reply
	Tool      Link     // *ToolDef
	Args      *Payload // canonical JSON object
	Class     string   // read, keyed, chain, once
	Phase     string   // one of the Phase constants
	Signed    *Payload // PhaseSend, PhaseFinal: what PhaseSign returned
	Handed    *Handed  // of the call of a sub-agent, and only of one
	Decisions []Decision
}

// Handed is what the call of a sub-agent hands on to the run that it opens, besides what the tool promises.
type Handed struct {
	Own    bool     // the call is the user's own: the whole signed request asks for it in these words
	Limits Limits   // the caller's hard stops, as far as they are left for this call
	Label  *Payload // canonical JSON of a label: that of the arguments and of the caller's context
}

// A Seek asks the wallet for an approval and parks the call. Answered by a [Verdict] or a [Lapse].
type Seek struct {
	Of        Ref      // the tool call of the reply
	Summary   *Payload // canonical JSON: what the wallet is shown and what it signs over
	Until     int64    // ms UTC
	Decisions []Decision
}

// Say tells the user something. Never answered.
type Say struct {
	Text *Payload
}

// Deny refuses a tool call. Never answered; the model reads the reason as the call's result.
type Deny struct {
	Of        Ref
	Tool      string
	Decisions []Decision
}

// Why a run closed.
const (
	CloseAnswered  = "answered"
	CloseTruncated = "truncated" // the answer was cut at the model's limit
	CloseDeclined  = "declined"  // the model, its provider or the rules will not answer it
	CloseInDoubt   = "in_doubt"  // something was done of which it is not known whether it happened
	CloseDenied    = "denied"
	CloseLimit     = "limit"
	CloseFailed    = "failed"
	CloseCancelled = "cancelled"
	CloseRevoked   = "revoked"
	CloseTimeout   = "timeout"
)

// Close ends the run. It is the last effect of the last step.
type Close struct {
	Reason string // one of the Close constants
	Code   string // of the failure that it comes from, of the list in docs/record.md; optional
	After  int64  // ms from now on after which trying again may help; with Code only, 0 if not known
	Totals Totals
	Label  *Payload // of the context at the end, as in Step; only in a sub-agent's run, whose caller joins it
}

// Totals sum up a run.
type Totals struct {
	Turns, Calls uint64
	In, Out      uint64         // tokens
	Cost         int64          // nano-USD
	Spent        []money.Amount // settled spends, one an asset, sorted by symbol
	Over         []money.Amount // what of it was more than was reserved, likewise; none if nothing was
}

func (*AskModel) isEffect() {}
func (*Call) isEffect()     {}
func (*Seek) isEffect()     {}
func (*Say) isEffect()      {}
func (*Deny) isEffect()     {}
func (*Close) isEffect()    {}

// A Decision is one policy answer.
type Decision struct {
	Point   string
	Outcome string   // permit, approve or deny
	Rules   []string // the ids of the rules that decided, "layer/id"
	Why     *Payload // canonical JSON: atoms with values and the sentence; on anything but permit
	Reserve []Reserve
	Part    string // at provenance.publish: the kind of payload, and its tool if it has one: "result chain.balance"
	Mode    string // at provenance.publish: how such payloads are kept; absent if sealed
}

// A Reserve is an amount reserved in a budget.
type Reserve struct {
	Budget string
	Amount money.Amount
}

// A Head is the operator's signed pointer to a run's newest step. It is the root of an exported history.
type Head struct {
	Run  Link // *Run
	Seq  uint64
	Step Link // *Step
	At   int64
	Key  []byte // Ed25519 public key, 32 bytes; a verifier trusts its own copy, not this one
	Sig  []byte // 64 bytes, over the head without it
	// Index lists the steps, so that they can be fetched at once: *StepIndex. Optional.
	Index Link
	// Erased names the erasures of the history's leaves, oldest first: *Erasure, at most [MaxErasures]. Optional.
	Erased []Link
	// Asserted names what the operator's wallet says of calls in doubt, oldest first: *Assertion, at most
	// [MaxAssertions]. Optional.
	Asserted []Link
}

// A Grant is the wallet-signed permission.
type Grant struct {
	Message *Payload // the exact SIWE bytes
	Sig     *Payload
	Method  string // how Sig is verified: "eoa", "eip1271", "eip6492"
	// Verification is what the chain said of a contract wallet's at the sign-in; undefined for "eoa".
	Verification Link
}

// A PolicySet is a policy set in its exact source, with what that source depends on.
type PolicySet struct {
	Name   string
	Source string // YAML
	Parts  []Part // sorted by name; optional

	// Under and Origin are there in a dApp's set and only in one. It is asked after the operator's, and both must
	// permit.
	Under  Link   // *PolicySet of the operator, which has no Under itself
	Origin string // of the pages that it is for: scheme://host[:port], as in the message that the wallet signs
}

// A Part is a raw block that a policy set depends on: the rules of a time zone, or a file with the members of a set.
type Part struct {
	Name string // "zone/America/New_York", "set/friends"
	Data Link   // raw block
}

// An Agent is an agent definition. Its CID is its version.
type Agent struct {
	Name         string
	About        string // optional
	Instructions string
	Tools        []Link // *ToolDef
	Routes       []AgentRoute
	Limits       Limits
	Answer       string // canonical JSON Schema of its answers; any text if empty
}

// An AgentRoute is one rule that chooses a model; the first whose When holds and whose model is up wins.
type AgentRoute struct {
	ID       string
	When     string // expr over the model.route environment; "true" for always
	Use      string // the name of a model or of a pool in the Runtime record
	By       string // which of a pool is first: one of the By constants; ByWeight if empty
	Shadow   bool   // it is only looked at: what it would have chosen is recorded, and another rule chooses
	Priority uint64 // of its questions in the queue of a model, 0 to 9: it says when one is asked, and not which
	Hedge    bool   // a turn that only reads may ask a second model beside one that is slow
}

// How the models of a pool are ordered.
const (
	ByWeight  = "weight"  // by lot, by their weights
	ByCost    = "cost"    // the cheapest first
	ByLatency = "latency" // the quickest to the first content first, of those that fail least
)

// Limits are hard stops of one run; each is above zero.
type Limits struct {
	Turns, Calls uint64 // model calls; tool calls
	Tokens       int64  // input and output together
	Cost         int64  // nano-USD
	Wall         int64  // ms from open to close, parked time included
}

// A ToolDef is a tool as it was offered to the model and judged by policy.
type ToolDef struct {
	Name       string
	About      string
	Class      string // read, keyed, chain, once
	Schema     string // canonical JSON Schema of the arguments
	Spend      *Spend // which arguments move value; nil if none
	Book       Link   // raw block: the address book that names resolve from; optional
	Utterances []string
	Delegate   *Delegate   // the sub-agent that a call of this tool opens a run of; nil for every other tool
	Output     *ToolOutput // what results are worth; nil if anybody might have written them
	Foreign    bool        // its description is somebody else's words
	Final      string      // class chain: when a block is final; absent if the first word counts
	Clearance  string      // the most secret that it may be given, if more than the user's words: wallet, secret
	AskWallet  bool        // each call needs the wallet's approval
	Definition string      // CID of the definition that the operator accepted, if somebody else wrote it; no block
}

// A Delegate says which agent a tool calls, and what that agent may at most. It is part of the tool and so of the
// calling agent's version, which the wallet signs.
type Delegate struct {
	Agent   Link     // *Agent
	Tools   []string // that the sub-agent may call; sorted
	Caveats string   // canonical JSON of its limits, as auth.Caveats has it
	Life    int64    // ms from the call on; the sub-agent's time ends with its caller's at the latest
}

// A ToolOutput is the label of a tool's results, and how they say more about it.
type ToolOutput struct {
	Integrity string // operator, user, tool, untrusted
	Secrecy   string // public, session, wallet, secret
	Origins   bool   // a result lists its "origins"
	Documents bool   // a result lists "documents", which are judged one by one
}

// Spend names the arguments of a tool that say how much of what goes to whom.
type Spend struct{ Amount, Asset, To string }

// A Runtime is the program that ran: its version, its signing key and its models.
type Runtime struct {
	Version string
	Build   string // digest of the binary or VCS revision; "unknown" if neither is there
	Key     []byte // Ed25519 public key that signs heads
	Models  []ModelInfo
}

// A ModelInfo is one model with its price, in nano-USD per million tokens.
type ModelInfo struct {
	Name, Kind, Provider, Model string
	PriceIn, PriceOut           int64
	PriceCached                 int64 // of input that is read from the provider's cache; 0 if it is as other input
	PriceWrite5m, PriceWrite1h  int64 // of input that is written to it; 0 if it is as other input
	MaxTokens                   int64
	Pool                        string // models of one pool are equals, which routes may name together; optional
	Weight                      uint64 // its share of the pool's requests; 0 is 1
	Dialect                     string // how a response's bytes are read again (agent/model/dialect); "" if they are not
	Window                      int64  // tokens that fit into a prompt and its answer; 0 if that is not known
	Images                      bool   // it reads images
	// Prices is the CID of the table that the prices are from, as text: the table is no part of the evidence. It is
	// empty if they were set by hand.
	Prices string
}

func (*Run) versionName() string        { return "run/1" }
func (*Step) versionName() string       { return "step/1" }
func (*Head) versionName() string       { return "head/1" }
func (*Grant) versionName() string      { return "grant/1" }
func (*PolicySet) versionName() string  { return "policies/1" }
func (*Agent) versionName() string      { return "agent/1" }
func (*ToolDef) versionName() string    { return "tool/1" }
func (*Runtime) versionName() string    { return "runtime/1" }
func (*Delegation) versionName() string { return "delegation/1" }
func (*Revocation) versionName() string { return "revocation/1" }

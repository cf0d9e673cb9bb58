package wire

import "reflect"

// A Method is one that clients may call.
type Method struct {
	Name   string
	About  string // one sentence
	Access Access
	Params reflect.Type
	Result reflect.Type
}

// An Access says what a method asks of the caller.
type Access string

// The kinds of access.
const (
	Anyone Access = "anyone"  // no session
	Opened Access = "session" // a session is open on this channel; over HTTP the request is signed, too
	Signed Access = "signed"  // the request carries auth
	// Either is signed like Signed, or proven in its params.
	Either Access = "signed or proven"
)

// Names of the methods.
const (
	Ping            = "ping"
	Greet           = "hello"
	Discover        = "rpc.discover"
	AgentList       = "agent.list"
	SessionAsk      = "session.challenge"
	SessionOpen     = "session.open"
	SessionRenew    = "session.renew"
	SessionRevoke   = "session.revoke"
	SessionList     = "session.list"
	RunStart        = "run.start"
	BlobPut         = "blob.put"
	RunGet          = "run.get"
	RunList         = "run.list"
	RunSend         = "run.send"
	RunFork         = "run.fork"
	RunCancel       = "run.cancel"
	ToolSent        = "tool.sent"
	RunSubscribe    = "run.subscribe"
	RunUnsubscribe  = "run.unsubscribe"
	RunAck          = "run.ack"
	ThreadList      = "thread.list"
	ThreadGet       = "thread.get"
	ThreadRename    = "thread.rename"
	ThreadDelete    = "thread.delete"
	ApprovalList    = "approval.list"
	ApprovalDecide  = "approval.decide"
	WalletList      = "wallet.list"
	WalletSent      = "wallet.sent"
	MandateAskFor   = "mandate.ask"
	MandatePut      = "mandate.put"
	MandateList     = "mandate.list"
	MandateForget   = "mandate.forget"
	ProvenanceFetch = "provenance.get"
	UsageGet        = "usage.get"
)

// Methods returns every method, in the order of the documentation.
func Methods() []Method {
	return []Method{
		method[None, None](Ping, Anyone, "Answers at once."),
		method[None, Hello](Greet, Anyone, "Names the channel that signed requests sign; over HTTP without one, opens one."),
		method[None, map[string]any](Discover, Anyone, "Returns this protocol as an OpenRPC document."),
		method[None, Agents](AgentList, Anyone, "Lists the agents that this server runs."),
		method[ChallengeParams, Challenge](SessionAsk, Anyone, "Returns the message that a wallet signs to open a session."),
		method[OpenParams, Session](SessionOpen, Signed,
			"Opens a session on this channel, a new one or one that is open elsewhere."),
		method[None, Session](SessionRenew, Signed,
			"Keeps the session from ending for want of use; it still ends at its time."),
		method[RevokeParams, None](SessionRevoke, Either,
			"Ends a session, or one delegation of it, and cancels what it has under way."),
		method[None, Sessions](SessionList, Opened, "Lists the wallet's sessions."),
		method[StartParams, Started](RunStart, Signed, "Starts a run."),
		method[ForkParams, Started](RunFork, Signed, "Starts a run that goes on from a step of another one."),
		method[SendParams, Sent](RunSend, Signed,
			"Says something into a run that goes on: steers it, or answers its question."),
		method[BlobParams, Blob](BlobPut, Signed, "Puts a piece of a file, which run.start and run.send can then attach."),
		method[RunParams, Run](RunGet, Opened, "Returns a run's state."),
		method[ListParams, Runs](RunList, Opened, "Lists the wallet's runs."),
		method[RunParams, None](RunCancel, Signed, "Cancels a run; its record stays."),
		method[ReportParams, None](ToolSent, Signed, "Says what came of the call of a tool that is the caller's own."),
		method[SubscribeParams, Subscription](RunSubscribe, Opened, "Sends a run's events, from any place on."),
		method[UnsubscribeParams, None](RunUnsubscribe, Opened, "Ends a subscription."),
		method[AckParams, None](RunAck, Opened, "Says how far a subscription's events have been dealt with."),
		method[ThreadsParams, Threads](ThreadList, Opened, "Lists the wallet's threads."),
		method[ThreadParams, Turns](ThreadGet, Opened, "Returns what was asked and said in a thread."),
		method[RenameParams, None](ThreadRename, Signed, "Gives a thread another name."),
		method[ForgetParams, None](ThreadDelete, Signed, "Forgets a thread; its runs and their records stay."),
		method[ApprovalsParams, Approvals](ApprovalList, Opened,
			"Lists the calls that wait for the wallet, 100 at a time: `next` is the cursor of the page after."),
		method[DecideParams, None](ApprovalDecide, Signed, "Approves or refuses one call."),
		method[None, WalletCalls](WalletList, Opened, "Lists the transactions that the wallet itself is asked to send."),
		method[SentParams, None](WalletSent, Signed,
			"Says under which hash the wallet has sent one; the chain is believed, and not this."),
		method[MandateAskParams, MandateAsk](MandateAskFor, Opened,
			"Returns what the wallet signs to let the agent pay from its account, within limits that the chain keeps."),
		method[MandatePutParams, GivenMandate](MandatePut, Signed, "Hands over what the wallet has signed for that."),
		method[None, GivenMandates](MandateList, Opened, "Lists what was handed over in this session."),
		method[MandateForgetParams, None](MandateForget, Signed,
			"Has the server forget one; what the wallet revokes on the chain is over for everybody."),
		method[ProvenanceParams, Provenance](ProvenanceFetch, Anyone,
			"Says where a run's record is, and gives its keys to the owner."),
		method[UsageParams, Usage](UsageGet, Opened, "Adds up what the wallet's own runs have cost."),
	}
}

func method[P, R any](name string, access Access, about string) Method {
	return Method{name, about, access, reflect.TypeFor[P](), reflect.TypeFor[R]()}
}

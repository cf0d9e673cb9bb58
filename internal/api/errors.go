package api

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/auth/httpsig"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/blobs"
	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/quota"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/internal/throttle"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mandate"
	"github.com/writ-run/writ/tools/x402"
)

// A row says how one error of the packages below is called, for every transport. Whether a call may succeed later goes
// with the code.
type row struct {
	name    string // package.Name, relative to the module
	matches func(error) bool
	code    wire.Code
	reason  string // "" for that of an auth.Fault behind the error, if there is one
	text    string // one sentence for a user, with the next step
}

// sentinelRow makes the row of an error value, typedRow that of an error type.
func sentinelRow(name string, err error, code wire.Code, reason, text string) row {
	return row{name, func(e error) bool { return errors.Is(e, err) }, code, reason, text}
}

func typedRow[E error](code wire.Code, reason, text string) row {
	t := reflect.TypeFor[E]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := strings.TrimPrefix(t.PkgPath(), modulePath) + "." + t.Name()
	return row{name, func(e error) bool { _, ok := errors.AsType[E](e); return ok }, code, reason, text}
}

const modulePath = "github.com/writ-run/writ/"

// What callers read of what only the operator can mend.
const (
	rulesText   = "The operator's rules are not in order; nothing is done until the operator has mended them."
	damagedText = "The server's records of this do not hold; nothing is done with them until the operator has looked."
	erasedText  = "A part of this was erased or is withheld, and without it this cannot be done."
	operateText = "The operator's rules for keeping and erasing records do not allow this; ask the operator."
)

// rows lists every error of the packages below. The first that matches counts, so one that others may stand behind
// comes before them. Explain itself reads what an auth.Fault, a quota.Error and a wire.Error say, before it looks here:
// their rows stand for the list.
var rows = []row{
	sentinelRow("internal/chainwatch.ErrNoTransaction", chainwatch.ErrNoTransaction, wire.CodeNotFound, "",
		"No run waits for this transaction; it may just have been mined."),
	sentinelRow("internal/chainwatch.ErrOver", chainwatch.ErrOver, wire.CodeLate, "",
		"The run does not wait for this any more; look at it again."),
	typedRow[*attach.FileError](wire.CodeParams, "",
		"A file of the request cannot be attached; put it again, as one of the forms that are taken."),
	sentinelRow("internal/blobs.ErrAbsent", blobs.ErrAbsent, wire.CodeNotFound, "",
		"A file of the request is not here, or not whole: put it first, with blob.put."),
	sentinelRow("internal/blobs.ErrPiece", blobs.ErrPiece, wire.CodeConflict, "",
		"The piece does not follow what is there; ask how much that is with an empty piece."),
	sentinelRow("internal/blobs.ErrOther", blobs.ErrOther, wire.CodeParams, "",
		"The bytes are not those of the CID, or their size is another one; what had come was forgotten. Put it again."),
	sentinelRow("internal/blobs.ErrFull", blobs.ErrFull, wire.CodeQuota, "",
		"There is no room for more files; what is not attached is forgotten within an hour. Try again later."),
	sentinelRow("tools/mandate.ErrUnlimited", mandate.ErrUnlimited, wire.CodeParams, "mandate_unfit",
		"The delegation does not bound what may be paid; sign one that does."),
	sentinelRow("agent/revocation.ErrRevocation", revocation.ErrRevocation, wire.CodeSignature, "",
		"The revocation is not signed by the wallet of this session, a session key of it, or the operator."),
	sentinelRow("agent/approval.ErrOther", approval.ErrOther, wire.CodeApproval, "approval.other",
		"The signature is over something else than the call that waits; list the approvals and sign what stands there."),
	sentinelRow("tools.ErrUnsent", tools.ErrUnsent, wire.CodeLate, "wallet.unsent",
		"The wallet has not sent this transaction yet."),
	sentinelRow("agent/loop.ErrLate", loop.ErrLate, wire.CodeLate, "approval.closed",
		"This call waits for no answer any more: it was answered, or its time ran out; look at the run."),
	sentinelRow("agent/loop.ErrQuestion", loop.ErrQuestion, wire.CodeLate, "run.question",
		"The run does not ask this, or not any more; look at the run."),
	sentinelRow("agent/loop.ErrSendOrder", loop.ErrSendOrder, wire.CodeConflict, "run.order",
		"Something that you sent later has come before this; send it again."),
	sentinelRow("agent/loop.ErrSendOver", loop.ErrSendOver, wire.CodeLate, "run.over",
		"The run takes nothing more: it has ended, is at its last turn, or was sent enough. Go on in its thread."),
	sentinelRow("agent/pinned.ErrVersion", pinned.ErrVersion, wire.CodeExpired, "session.version",
		"The agent or its rules have changed since you signed. Sign in again."),
	typedRow[*authority.DelegationError](wire.CodeForbidden, "delegation",
		"The delegation that this runs under does not hold; ask the agent that called for a new run."),
	sentinelRow("agent/pinned.ErrOrigin", pinned.ErrOrigin, wire.CodeRules, "rules.origin", rulesText),
	sentinelRow("agent/loop.ErrSealed", loop.ErrSealed, wire.CodeErased, "", erasedText),
	sentinelRow("agent/definition.ErrSealed", definition.ErrSealed, wire.CodeErased, "", erasedText),
	sentinelRow("agent/loop.ErrLedger", loop.ErrLedger, wire.CodeDamaged, "record.ledger", damagedText),
	sentinelRow("agent/loop.ErrFacts", loop.ErrFacts, wire.CodeDamaged, "record.facts", damagedText),
	sentinelRow("agent/loop.ErrFleet", loop.ErrFleet, wire.CodeDamaged, "record.fleet", damagedText),
	sentinelRow("agent/loop.ErrAsked", loop.ErrAsked, wire.CodeDamaged, "record.asked", damagedText),
	sentinelRow("agent/loop.ErrSubAgent", loop.ErrSubAgent, wire.CodeDamaged, "record.sub_agent", damagedText),

	sentinelRow("agent/grounds.ErrPassage", grounds.ErrPassage, wire.CodeDamaged, "record.passage", damagedText),
	sentinelRow("agent/thread.ErrOther", thread.ErrOther, wire.CodeDamaged, "record.thread", damagedText),

	sentinelRow("internal/costs.ErrRange", costs.ErrRange, wire.CodeDamaged, "record.costs", damagedText),
	sentinelRow("internal/journal.ErrNotFound", journal.ErrNotFound, wire.CodeNotFound, "",
		"There is nothing of that name here that is yours."),
	sentinelRow("internal/runner.ErrSignature", runner.ErrSignature, wire.CodeSignature, "",
		"The request is not signed by the session that it names."),
	sentinelRow("internal/runner.ErrOtherSession", runner.ErrOtherSession, wire.CodeForbidden, "run.session",
		"The run is of another session of yours; only the device that started it can say more in it."),
	sentinelRow("internal/journal.ErrConflict", journal.ErrConflict, wire.CodeConflict, "",
		"The idempotency key was used for another request; take a new one."),
	sentinelRow("internal/journal.ErrThreadName", journal.ErrThreadName, wire.CodeConflict, "thread.name",
		"You have a thread of that name with this agent; take another name, or rename or forget that one first."),
	sentinelRow("internal/journal.ErrThreadOpen", journal.ErrThreadOpen, wire.CodeConflict, "thread.open",
		"The last request of this thread is not done yet; wait for it, cancel it, or name another thread."),
	sentinelRow("internal/runner.ErrForkWorks", runner.ErrForkWorks, wire.CodeConflict, "fork.open",
		"The run that you want to go on from is at work; wait until it waits itself or has ended, or cancel it."),
	sentinelRow("internal/runner.ErrForkSeen", runner.ErrForkSeen, wire.CodeForbidden, "fork.seen",
		"What this run has seen is more than a run may hold whose record the rules publish in part; it has no forks."),
	sentinelRow("internal/runner.ErrForkLong", runner.ErrForkLong, wire.CodeParams, "fork.long",
		"Too much was said up to this step for a fork of it; go on from an earlier step."),
	sentinelRow("internal/journal.ErrBudget", journal.ErrBudget, wire.CodeBudget, "",
		"A limit of this session has no room left for this."),
	sentinelRow("internal/journal.ErrIdle", journal.ErrIdle, wire.CodeExpired, "session.idle",
		"Your session was not used for too long. Sign in again."),
	sentinelRow("internal/journal.ErrEarly", journal.ErrEarly, wire.CodeExpired, "session.early",
		"Your session was opened at a time that the server's clock has not reached: it was set back. Sign in again, and "+
			"tell the operator."),
	sentinelRow("internal/journal.ErrStale", journal.ErrStale, wire.CodeExpired, "",
		"Your session has ended. Sign in again."),
	sentinelRow("internal/journal.ErrFenced", journal.ErrFenced, wire.CodeFenced, "",
		"Another node has this run; ask again."),
	sentinelRow("internal/journal.ErrSeq", journal.ErrSeq, wire.CodeConflict, "",
		"The run has moved on; look at it again."),
	sentinelRow("internal/journal.ErrNonceUsed", journal.ErrNonceUsed, wire.CodeConflict, "chain.nonce",
		"Another transaction of this account came before; look at the run before you ask again."),
	sentinelRow("internal/journal.ErrHeld", journal.ErrHeld, wire.CodeFenced, "store.held",
		"Another server has this one's data; ask again."),
	sentinelRow("internal/journal.ErrNewer", journal.ErrNewer, wire.CodeOverload, "store.newer",
		"The server cannot read its data; try again later."),
	sentinelRow("internal/journal.ErrMoved", journal.ErrMoved, wire.CodeOverload, "store.moved",
		"The server takes nothing more until its operator has looked; try again later."),
	sentinelRow("internal/journal.ErrFull", journal.ErrFull, wire.CodeOverload, "",
		"The server takes nothing more at the moment; try again later."),
	sentinelRow("internal/journal.ErrCorrupt", journal.ErrCorrupt, wire.CodeDamaged, "store.corrupt", damagedText),
	sentinelRow("internal/journal.ErrSigned", journal.ErrSigned, wire.CodeDamaged, "store.signed", damagedText),
	sentinelRow("internal/journal.ErrOnHold", journal.ErrOnHold, wire.CodeForbidden, "erase.hold", operateText),
	sentinelRow("internal/journal.ErrShared", journal.ErrShared, wire.CodeForbidden, "erase.shared", operateText),
	sentinelRow("internal/archive.ErrRetained", archive.ErrRetained, wire.CodeForbidden, "erase.retained", operateText),
	sentinelRow("internal/archive.ErrNoLeaf", archive.ErrNoLeaf, wire.CodeErased, "", erasedText),
	sentinelRow("internal/archive.ErrNoDoubt", archive.ErrNoDoubt, wire.CodeForbidden, "settle.known", operateText),
	sentinelRow("internal/archive.ErrAsserted", archive.ErrAsserted, wire.CodeForbidden, "settle.twice", operateText),
	sentinelRow("internal/runner.ErrClosed", runner.ErrClosed, wire.CodeOverload, "server.stopping",
		"The server is stopping; connect again and repeat the request."),
	sentinelRow("agent/authority.ErrUnsafe", authority.ErrUnsafe, wire.CodeRules, "rules.unsafe", rulesText),
	typedRow[*runner.TestError](wire.CodeRules, "rules.tests", rulesText),
	typedRow[*policies.LoadError](wire.CodeRules, "rules.load", rulesText),

	typedRow[*provenance.Fault](wire.CodeDamaged, "record", damagedText),
	sentinelRow("provenance.ErrWithheld", provenance.ErrWithheld, wire.CodeErased, "", erasedText),
	sentinelRow("provenance.ErrAbsent", provenance.ErrAbsent, wire.CodeNotFound, "record.block",
		"A block of the record is not here; fetch it from who has it."),
	sentinelRow("tools.ErrNotFinal", tools.ErrNotFinal, wire.CodeDamaged, "record.final", damagedText),
	sentinelRow("tools.ErrMovement", tools.ErrMovement, wire.CodeDamaged, "record.movement", damagedText),
	sentinelRow("tools/x402.ErrNoOffer", x402.ErrNoOffer, wire.CodeParams, "tool.offer",
		"What the server asks for cannot be read as an offer of x402; nothing was paid."),
	typedRow[*tools.FoundError](wire.CodeUnknown, "tool.found",
		"It is not known whether a call happened; look at the run."),
	typedRow[*tools.Error](wire.CodeParams, "tool.args",
		"The arguments do not fit the tool; agent.list names the tools, and the run's record says what is wrong."),
	typedRow[*strictjson.SyntaxError](wire.CodeParse, "json",
		"A text that must be JSON is not; look for doubled keys, bad UTF-8 and what stands after its end."),
	sentinelRow("policies/money.ErrSyntax", money.ErrSyntax, wire.CodeParams, "amount.form",
		"An amount is not one; write its smallest units as a decimal number."),
	sentinelRow("policies/money.ErrOverflow", money.ErrOverflow, wire.CodeParams, "amount.range",
		"An amount is out of its bounds; give a smaller one."),
	sentinelRow("policies/money.ErrAsset", money.ErrAsset, wire.CodeParams, "amount.asset",
		"Amounts of different assets cannot be compared; give one amount an asset."),
	sentinelRow("policies/calendar.ErrTime", calendar.ErrTime, wire.CodeParams, "time.range",
		"A time is out of its bounds; give one between 1970 and 9999."),

	sentinelRow("auth.ErrNonce", auth.ErrNonce, wire.CodeSignIn, "nonce.used",
		"The message was used before, or its time is over; ask for a new one and sign that."),
	typedRow[*auth.StalledError](wire.CodeChain, string(auth.CodeUnavailable),
		"The signature is not one of the account's own key, and its chain makes no blocks, so that it could not be asked "+
			"whether a contract accepts it. Try again later."),
	sentinelRow("auth.ErrUnavailable", auth.ErrUnavailable, wire.CodeChain, string(auth.CodeUnavailable),
		"The signature is not one of the account's own key, and its chain could not be asked whether a contract accepts "+
			"it. Try again later."),
	typedRow[*httpsig.FormError](wire.CodeSignature, "http.form",
		"The request is not signed as ERC-8128 has it; the sentence behind it says what is wrong."),
	typedRow[*auth.Fault](wire.CodeSignIn, "",
		"The message or its signature does not hold; ask for a new one and sign that."),
	typedRow[*fault.Fault](wire.CodeOverload, "fault",
		"What this has to ask does not answer at the moment; try again later."),
	typedRow[*throttle.FullError](wire.CodeQuota, "model.busy", "Too many wait for the model; come again later."),
	typedRow[*quota.Error](wire.CodeQuota, "quota", "This wallet or address has had its share; come again later."),
	typedRow[*wire.Error](wire.CodeInternal, "", "Something went wrong on our side."), // a wire.Error names its own code
	// What a provider says is told as a failure of its model, which these do not leave.
	typedRow[*dialect.ServerError](wire.CodeOverload, "fault", "The model's provider did not answer; try again later."),
	sentinelRow("agent/model/dialect.ErrGoesOn", dialect.ErrGoesOn, wire.CodeOverload, "fault",
		"The model's provider did not answer; try again later."),

	sentinelRow("context.DeadlineExceeded", context.DeadlineExceeded, wire.CodeUnknown, "",
		"It took too long, and may have happened; look before you ask again."),
	sentinelRow("context.Canceled", context.Canceled, wire.CodeOverload, "",
		"The connection is ending; connect again and repeat the request."),
}

// Explain is the only place where an error becomes words for a user. What it does not know shows nothing of itself and
// is in the log, as is what only the operator can mend.
func (a *API) Explain(ctx context.Context, method string, err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok && !errors.Is(err, revocation.ErrRevocation) {
		return a.explainFault(ctx, method, f)
	}
	if q, ok := errors.AsType[*quota.Error](err); ok {
		return explainQuota(q)
	}
	for _, r := range rows {
		if !r.matches(err) {
			continue
		}
		if r.code == wire.CodeRules || r.code == wire.CodeDamaged {
			a.log.ErrorContext(ctx, "call failed", "method", method, "err", err)
		}
		e := wire.Errorf(r.code, "%s", r.text)
		if e.Data.Reason = r.reason; r.reason == "" {
			e.Data.Reason = reasonOf(err)
		}
		return e
	}
	a.log.ErrorContext(ctx, "call failed", "method", method, "err", err)
	return wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
}

// explainQuota says whose share is used up, and when there is some again.
func explainQuota(q *quota.Error) *wire.Error {
	e := wire.Errorf(wire.CodeQuota, "%s.", q.Error())
	e.Data.Reason, e.Data.RetryAfterMS = "quota."+q.What, max(1, q.Wait.Milliseconds())
	return e
}

// explainFault says what is wrong with a message or a signature in the fault's own words, and what to do. The fault's
// code is the reason, for programs; the error's code goes by what the method was given.
func (a *API) explainFault(ctx context.Context, method string, f *auth.Fault) *wire.Error {
	code := wire.CodeSignIn
	switch {
	case errors.Is(f, auth.ErrUnavailable):
		return a.explainUnasked(ctx, method, f)
	case f.Code == auth.CodeApprovalLate:
		code = wire.CodeLate
	case method == wire.SessionAsk:
		code = wire.CodeParams
	case method == wire.SessionRevoke, method == wire.ApprovalDecide:
		code = wire.CodeSignature
	}
	e := wire.Errorf(code, "Not accepted: %s; %s.", f.Error(), f.Code.Next())
	e.Data.Reason = string(f.Code)
	return e
}

// explainUnasked is the answer to a contract wallet whose chain could not be asked. Which endpoints failed, and how, is
// in the log: their names are the operator's affair.
func (a *API) explainUnasked(ctx context.Context, method string, f *auth.Fault) *wire.Error {
	a.log.WarnContext(ctx, "contract wallet not asked", "method", method, "err", f.Unwrap())
	why := "its chain could not be asked whether a contract accepts it"
	if stalled, ok := errors.AsType[*auth.StalledError](f.Unwrap()); ok {
		why = "whether a contract accepts it is not known: of its chain, " + stalled.Error()
	}
	e := wire.Errorf(wire.CodeChain, "The signature is not one of the account's own key, and %s. Try again later.", why)
	if method == wire.SessionOpen { // the challenge is used up
		e.Message = strings.Replace(e.Message, "Try again later", "Ask for a new message later and sign that one", 1)
		e.Data.Retryable = false
	}
	e.Data.Reason = string(auth.CodeUnavailable)
	return e
}

// reasonOf names what package auth found wrong.
func reasonOf(err error) string {
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return string(f.Code)
	}
	return ""
}

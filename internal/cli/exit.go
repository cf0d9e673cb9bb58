package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/backup"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// Exit codes. They are part of the interface and never change their meaning.
const (
	ExitOK         = 0
	ExitInternal   = 1
	ExitIntegrity  = 2
	ExitSignature  = 3
	ExitIncomplete = 4
	ExitDenied     = 5
	ExitNetwork    = 6
	ExitSignIn     = 7
	ExitGaps       = 20
	ExitUnread     = 21
	ExitWaiting    = 20
	ExitFailed     = 21
	ExitTruncated  = 22
	ExitDeclined   = 23
	ExitLimit      = 24
	ExitTimeout    = 25
	ExitCancelled  = 26
	ExitRevoked    = 27
	ExitInDoubt    = 28
	ExitAttention  = 29
	ExitAsks       = 30
	ExitUsage      = 64
	ExitInterrupt  = 130
)

// exitCodes is what users are told of each. A number that stands twice means the one to commands that judge a record,
// the other to those that follow a run.
var exitCodes = []struct {
	code  int
	means string
}{
	{ExitOK, "ok"},
	{ExitInternal, "internal: something went wrong on this side"},
	{ExitIntegrity, "integrity: bytes, links or sums are not what they should be"},
	{ExitSignature, "signature or permission: a signature, a permission or a decision does not hold"},
	{ExitIncomplete, "incomplete: something is missing, or is asked to be shown complete and is not"},
	{ExitDenied, "denied: a policy or the wallet's limits refused it"},
	{ExitNetwork, "network: a server, a chain or a port could not be had"},
	{ExitSignIn, "sign-in needed: there is no session, or it has ended; see: writ login"},
	{ExitGaps, "gaps, of verify: nothing is wrong, but not all could be checked, or nothing shows who made it"},
	{ExitUnread, "not read, of verify: a file that is not in a form that is read here; its contents were not judged"},
	{ExitWaiting, "waiting, of a run: it waits for the wallet's approval"},
	{ExitFailed, "failed, of a run: what was asked is not done; \"fault\" and \"whose\" say what failed and whose it is"},
	{ExitTruncated, "truncated: the answer was cut at the model's limit"},
	{ExitDeclined, "declined: the model, its provider or the rules will not answer this"},
	{ExitLimit, "limit: the run has reached one of its limits"},
	{ExitTimeout, "timeout: the run took longer than it may"},
	{ExitCancelled, "cancelled: the run was ended by its user"},
	{ExitRevoked, "revoked: the session ended before the run"},
	{ExitInDoubt, "in doubt: something was done, and it is not known whether it happened; look before you ask again"},
	{ExitAttention, "attention: something needs a person; writ attention says what"},
	{ExitAsks, "asks, of a run: it waits for your answer; writ send answers it"},
	{ExitUsage, "usage: a command, flag, argument, config or policy file is wrong"},
	{ExitInterrupt, "interrupted"},
}

// ExitCodesTopic is a help topic that lists the exit codes.
func ExitCodesTopic() *cobra.Command {
	var list strings.Builder
	for _, c := range exitCodes {
		fmt.Fprintf(&list, "%5d  %s\n", c.code, c.means)
	}
	return &cobra.Command{
		Use: "exit-codes", Short: "What the exit codes mean",
		Long: `Exit codes of every command:

` + list.String() + `
With --json the same end is told by one object on standard output:
  {"ok":true, ...}   or   {"ok":false,"error":{"code":"...","message":"..."}, ...}
"ok" is true only if what was asked is done: of a run only if it is answered.`,
	}
}

// outcomes has the exit code of each way in which a run ends, or stands when a command leaves it.
var outcomes = map[string]int{
	"answered": ExitOK, "denied": ExitDenied, "waiting": ExitWaiting, "failed": ExitFailed, "truncated": ExitTruncated,
	"declined": ExitDeclined, "limit": ExitLimit, "timeout": ExitTimeout, "cancelled": ExitCancelled,
	"revoked": ExitRevoked, "in_doubt": ExitInDoubt, "asks": ExitAsks,
}

// OutcomeOf returns the word for how a run ended, and its exit code. status is why it closed, or "parked".
func OutcomeOf(status string) (outcome string, exit int) {
	outcome = status
	if status == "parked" {
		outcome = "waiting"
	}
	exit, known := outcomes[outcome]
	if !known { // still running, or a word of a newer server
		exit = ExitIncomplete
	}
	return outcome, exit
}

// A Failure is the end of a command that did not succeed.
type Failure struct {
	Exit    int
	Code    string // for programs; never changes its meaning
	Message string // one sentence with the next step; empty if all has been said
	Result  any    // what is known all the same; marshals to an object
}

func (f *Failure) Error() string { return f.Message }

// Failf returns a failure with a sentence for people.
func Failf(exit int, code, format string, args ...any) *Failure {
	return &Failure{Exit: exit, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Usage is the failure of somebody who called a command wrongly.
func Usage(format string, args ...any) *Failure { return Failf(ExitUsage, "usage", format, args...) }

// FailureOf is the only place where an error becomes an exit code.
func FailureOf(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if _, ok := errors.AsType[verifier.UsageError](err); ok {
		return Usage("%s", Plain(err.Error()))
	}
	if _, ok := errors.AsType[verifier.NetworkError](err); ok {
		return Failf(ExitNetwork, "network", "%s", Plain(err.Error()))
	}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return Failf(exitOfWire(e), string(e.Data.Code), "%s%s", Plain(e.Message), nextStep(e))
	}
	if f, ok := errors.AsType[*provenance.Fault](err); ok {
		exit := ExitIntegrity
		if f.Code == provenance.CodeCARTruncated || f.Code == provenance.CodeCARRootMissing {
			exit = ExitIncomplete
		}
		if provenance.VerdictOf(f.Code) == provenance.Unread {
			exit = ExitUnread
		}
		return Failf(exit, string(f.Code), "%s", Plain(err.Error()))
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		says := Plain(err.Error()) + "; " + f.Code.Next()
		if errors.Is(err, auth.ErrUnavailable) {
			return Failf(ExitNetwork, string(wire.CodeChain), "%s", says)
		}
		return Failf(ExitSignature, string(f.Code), "%s", says)
	}
	if r, ok := errors.AsType[*backup.Refusal](err); ok {
		return Failf(exitOfRefusal(r), r.Code, "%s", Plain(r.Says))
	}
	if f, ok := errors.AsType[*node.Fault](err); ok {
		return Failf(exitOfKind(f.Kind), f.Code, "%s", Plain(f.Says))
	}
	if e, ok := errors.AsType[*datadir.UseError](err); ok && e.Damaged {
		return Failf(ExitIntegrity, "store", "%s", Plain(e.Says))
	} else if ok {
		return Usage("%s", Plain(e.Says))
	}
	if _, ok := errors.AsType[*policies.LoadError](err); ok {
		return Failf(ExitUsage, "policy", "%s", Plain(err.Error()))
	}
	switch {
	case errors.Is(err, journal.ErrCorrupt), errors.Is(err, journal.ErrSigned):
		return Failf(ExitIntegrity, "store", "%s", Plain(err.Error()))
	case errors.Is(err, journal.ErrNewer):
		return Failf(ExitUsage, "store", "%s", Plain(err.Error()))
	case errors.Is(err, provenance.ErrAbsent), errors.Is(err, journal.ErrNotFound):
		return Failf(ExitIncomplete, "not_found", "%s", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return Failf(ExitUsage, "file", "%s", err)
	case errors.Is(err, context.DeadlineExceeded):
		return Failf(ExitNetwork, "timeout", "%s; try again, or give more time", err)
	}
	return Failf(ExitInternal, "internal", "%s", Plain(err.Error()))
}

func exitOfRefusal(r *backup.Refusal) int {
	switch {
	case r.Damaged:
		return ExitIntegrity
	case r.Chain:
		return ExitNetwork
	}
	return ExitUsage
}

func exitOfKind(k node.Kind) int {
	switch k {
	case node.Settings:
		return ExitUsage
	case node.Damaged:
		return ExitIntegrity
	case node.Unsigned:
		return ExitSignature
	case node.Unreachable:
		return ExitNetwork
	}
	return ExitInternal
}

func exitOfWire(e *wire.Error) int {
	switch e.Data.Code {
	case wire.CodeDown, wire.CodeChain, wire.CodeRate, wire.CodeOverload, wire.CodeTooMany, wire.CodeFenced,
		wire.CodeQuota:
		return ExitNetwork
	case wire.CodeNoSession, wire.CodeExpired, wire.CodeRevoked:
		return ExitSignIn
	case wire.CodeDenied, wire.CodeBudget, wire.CodeForbidden, wire.CodeRejected, wire.CodeElsewhere:
		return ExitDenied
	case wire.CodeNotFound, wire.CodeUnknown, wire.CodeLate, wire.CodeErased:
		return ExitIncomplete
	case wire.CodeDamaged:
		return ExitIntegrity
	case wire.CodeParams, wire.CodeConflict:
		return ExitUsage
	}
	if e.Number == 4100 { // EIP-1193 "unauthorized": what is left of it is about signatures
		return ExitSignature
	}
	return ExitInternal
}

func nextStep(e *wire.Error) string {
	if exitOfWire(e) == ExitSignIn {
		return " (writ login)"
	}
	return ""
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// Exit codes. They are part of the interface and never change their meaning.
const (
	exitOK         = 0
	exitInternal   = 1
	exitIntegrity  = 2
	exitSignature  = 3
	exitIncomplete = 4
	exitDenied     = 5
	exitNetwork    = 6
	exitSignIn     = 7
	exitUsage      = 64
	exitInterrupt  = 130
)

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "What the exit codes mean",
		Long: `Exit codes of every command:

    0  ok
    1  internal: something went wrong on this side
    2  integrity: bytes, links or sums are not what they should be
    3  signature or permission: a signature, a permission or a decision does not hold
    4  incomplete: something is missing, so that not all could be checked or found
    5  denied: a policy or the wallet's limits refused it
    6  network: a server, a chain or a port could not be had
    7  sign-in needed: there is no session, or it has ended; see: writ login
   64  usage: a command, flag, argument, config or policy file is wrong
  130  interrupted

With --json the same end is told by one object on standard output:
  {"ok":true, ...}   or   {"ok":false,"error":{"code":"...","message":"..."}, ...}`,
	}
}

// A failure is the end of a command that did not succeed.
type failure struct {
	exit    int
	code    string // for programs; never changes its meaning
	message string // one sentence with the next step; empty if all has been said
	result  any    // what is known all the same; marshals to an object
}

func (f *failure) Error() string { return f.message }

func failf(exit int, code, format string, args ...any) *failure {
	return &failure{exit: exit, code: code, message: fmt.Sprintf(format, args...)}
}

// usage is the failure of somebody who called a command wrongly.
func usage(format string, args ...any) *failure { return failf(exitUsage, "usage", format, args...) }

// failureOf is the only place where an error becomes an exit code.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return failf(exitOfWire(e), string(e.Data.Code), "%s%s", plain(e.Message), nextStep(e))
	}
	if f, ok := errors.AsType[*provenance.Fault](err); ok {
		exit := exitIntegrity
		if f.Code == provenance.CodeCARTruncated || f.Code == provenance.CodeCARRootMissing {
			exit = exitIncomplete
		}
		return failf(exit, string(f.Code), "%s", plain(err.Error()))
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		if errors.Is(err, auth.ErrUnavailable) {
			return failf(exitNetwork, string(wire.CodeChain), "%s", plain(err.Error()))
		}
		return failf(exitSignature, string(f.Code), "%s", plain(err.Error()))
	}
	if _, ok := errors.AsType[*policies.LoadError](err); ok {
		return failf(exitUsage, "policy", "%s", plain(err.Error()))
	}
	switch {
	case errors.Is(err, provenance.ErrAbsent), errors.Is(err, agent.ErrNotFound):
		return failf(exitIncomplete, "not_found", "%s", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return failf(exitUsage, "file", "%s", err)
	case errors.Is(err, context.DeadlineExceeded):
		return failf(exitNetwork, "timeout", "%s; try again, or give more time", err)
	}
	return failf(exitInternal, "internal", "%s", plain(err.Error()))
}

func exitOfWire(e *wire.Error) int {
	switch e.Data.Code {
	case wire.CodeDown, wire.CodeChain, wire.CodeRate, wire.CodeOverload, wire.CodeTooMany, wire.CodeFenced:
		return exitNetwork
	case wire.CodeNoSession, wire.CodeExpired, wire.CodeRevoked:
		return exitSignIn
	case wire.CodeDenied, wire.CodeBudget, wire.CodeForbidden, wire.CodeRejected:
		return exitDenied
	case wire.CodeNotFound, wire.CodeUnknown:
		return exitIncomplete
	case wire.CodeParams, wire.CodeConflict:
		return exitUsage
	}
	if e.Number == 4100 { // EIP-1193 "unauthorized": what is left of it is about signatures
		return exitSignature
	}
	return exitInternal
}

func nextStep(e *wire.Error) string {
	if exitOfWire(e) == exitSignIn {
		return " (writ login)"
	}
	return ""
}

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

func TestErrorsBecomeWords(t *testing.T) {
	var log bytes.Buffer
	a := &API{log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, tt := range []struct {
		rule string
		err  error
		want wire.Code
	}{
		{"an error of the wire is itself", wire.Errorf(wire.CodeSeq, "x"), wire.CodeSeq},
		{"a fault of auth keeps its reason", &auth.Fault{Code: auth.CodeExpired, Detail: "it is over"}, wire.CodeSignIn},
		{"unknown", fmt.Errorf("run x: %w", journal.ErrNotFound), wire.CodeNotFound},
		{"a key used twice", fmt.Errorf("x: %w", journal.ErrConflict), wire.CodeConflict},
		{"a budget", fmt.Errorf("x: %w", journal.ErrBudget), wire.CodeBudget},
		{"a full disk", fmt.Errorf("x: %w", journal.ErrFull), wire.CodeOverload},
		{"another owner", fmt.Errorf("x: %w", journal.ErrFenced), wire.CodeFenced},
		{"no time left", context.DeadlineExceeded, wire.CodeUnknown},
		{"an inner failure shows nothing of itself", errors.New("disk on fire at /var/secret"), wire.CodeInternal},
	} {
		e := a.Explain(t.Context(), "x", tt.err)
		if e.Data.Code != tt.want || e.Number == 0 || strings.Contains(e.Message, "secret") {
			t.Errorf("%s: got %+v, want %s", tt.rule, e, tt.want)
		}
	}
	log0 := log.String()
	c := &contract{err: fmt.Errorf("%w: no endpoint of chain 1 answers", auth.ErrUnavailable)}
	_, _, err := auth.Check(t.Context(), c, auth.Question{Chain: 1, Account: common.Address{9}})
	for method, retry := range map[string]bool{wire.SessionOpen: false, wire.ApprovalDecide: true, wire.SessionRevoke: true} {
		e := a.Explain(t.Context(), method, fmt.Errorf("x: %w", err))
		if e.Data.Code != wire.CodeChain || e.Number != 4901 || e.Data.Retryable != retry || e.Data.Reason != "chain.unavailable" || strings.Contains(e.Message, "endpoint") {
			t.Errorf("%s of a wallet whose chain does not answer: got %+v", method, e)
		}
	}
	if got := strings.Count(log.String(), "no endpoint of chain 1 answers"); got != 3 {
		t.Errorf("the log says %d times why, want 3", got)
	}
	if !strings.Contains(log0, "disk on fire") || strings.Count(log0, "\n") != 1 {
		t.Errorf("the log has %q; want the inner failure and nothing else", log0)
	}
}

// A contract is an auth.Contracts that never answers.
type contract struct{ err error }

func (c *contract) Ask(context.Context, auth.Question) (auth.Verification, error) {
	return auth.Verification{}, c.err
}

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
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
	c.err = fmt.Errorf("%w: %w (a host)", auth.ErrUnavailable, &auth.StalledError{Since: time.Unix(1_800_000_000, 0)})
	_, _, err = auth.Check(t.Context(), c, auth.Question{Chain: 1, Account: common.Address{9}})
	if e := a.Explain(t.Context(), wire.ApprovalDecide, err); e.Data.Code != wire.CodeChain || strings.Contains(e.Message, "host") ||
		!strings.Contains(e.Message, "it has made no block since 2027-01-15T08:00:00Z. Try again later.") {
		t.Errorf("a wallet whose chain stands: got %+v", e)
	}
	if got := strings.Count(log.String(), "no endpoint of chain 1 answers"); got != 3 {
		t.Errorf("the log says %d times why, want 3", got)
	}
	if !strings.Contains(log0, "disk on fire") || strings.Count(log0, "\n") != 1 {
		t.Errorf("the log has %q; want the inner failure and nothing else", log0)
	}
}

// Each fault of a permission, a signature or an approval is told in words with what to do next; its code is for programs
// and stands in a field of its own, never in the sentence.
func TestEachFaultIsToldInWords(t *testing.T) {
	var list []auth.Code
	for _, file := range []string{"auth", "binding", "assertion"} {
		src, err := os.ReadFile("../../auth/" + file + ".go")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Code = "([a-z0-9_]+\.[a-z0-9_]+)"`).FindAllStringSubmatch(string(src), -1) {
			list = append(list, auth.Code(m[1]))
		}
	}
	if len(list) < 60 {
		t.Fatalf("found %d codes only", len(list))
	}
	a := &API{log: slog.New(slog.DiscardHandler)}
	for _, c := range append(list, runner.CodeIssue) {
		f := &auth.Fault{Code: c, Field: "max_total", Detail: "it is wider than what may be given"}
		e := a.Explain(t.Context(), wire.SessionOpen, fmt.Errorf("sign in: %w", f))
		if e.Data.Reason != string(c) {
			t.Errorf("%s: the reason is %q", c, e.Data.Reason)
		}
		for _, code := range list {
			if strings.Contains(e.Message, string(code)) {
				t.Errorf("%s: the sentence has a code in it: %s", c, e.Message)
			}
		}
		what, next, ok := strings.Cut(e.Message, "; ")
		if !strings.HasPrefix(what, "Not accepted: max_total: ") || !ok || len(next) < 12 || !strings.HasSuffix(next, ".") {
			t.Errorf("%s: %q is not what is wrong, and then what to do", c, e.Message)
		}
		if c != runner.CodeIssue && next == "ask the operator." {
			t.Errorf("%s: nobody says what to do", c)
		}
	}
}

// A contract is an auth.Contracts that never answers.
type contract struct{ err error }

func (c *contract) Ask(context.Context, auth.Question) (auth.Verification, error) {
	return auth.Verification{}, c.err
}

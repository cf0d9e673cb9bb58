package runner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A busy model answers no request before it is up again.
type busy struct {
	until time.Time
	asked *atomic.Int64
}

func (m busy) Reply(context.Context, model.Prompt) (model.Reply, error) {
	m.asked.Add(1)
	if left := time.Until(m.until); left > 0 {
		return model.Reply{}, &fault.Fault{Code: fault.ModelRate, After: left}
	}
	return text("fine"), nil
}

// A provider that says when it wants to be asked again is waited for, and nobody is asked meanwhile.
func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := busy{time.Now().Add(20 * time.Second), new(atomic.Int64)}
		b := openWith(t, m, bubbled)
		begun := time.Now()
		run := b.start("hi")
		time.Sleep(21 * time.Second)
		synctest.Wait()
		b.until(run, provenance.CloseAnswered)
		if n := m.asked.Load(); n != 2 {
			t.Errorf("asked %d times, want twice", n)
		}
		if took := time.Since(begun); took > 22*time.Second {
			t.Errorf("took %v", took)
		}
		b.verified(run)
	})
}

// Each way of not answering has its own word, and the record of it verifies.
func TestWhatIsNoAnswerIsNotCalledOne(t *testing.T) {
	said := func(stop, words string) model.Reply { return model.Reply{Stop: stop, Text: words} }
	bad := calls(call("1", "echo.say", `{"text":`))
	for _, c := range []struct {
		rule  string
		model runner.Model
		want  string
	}{
		{"an answer", replies{text("fine")}, provenance.CloseAnswered},
		{"half an answer", replies{said(model.StopLength, "the ans")}, provenance.CloseTruncated},
		{"cut before any word", replies{said(model.StopLength, "")}, provenance.CloseTruncated},
		{"a refusal", replies{said(model.StopFilter, "I can't help with that.")}, provenance.CloseDeclined},
		{"withheld", replies{said(model.StopFilter, "")}, provenance.CloseDeclined},
		{"declined by the provider", moody{&fault.Fault{Code: fault.ModelDeclined}}, provenance.CloseDeclined},
		{"too long", moody{&fault.Fault{Code: fault.ModelContextLength}}, provenance.CloseFailed},
		{"arguments that cannot be read", replies{bad, text("I could not.")}, provenance.CloseFailed},
		{"said after a second try", replies{bad, calls(call("2", "echo.say", `{"text":"a"}`)), text("a")}, provenance.CloseAnswered},
		{"denied", replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"11"}`)), text("No.")}, provenance.CloseDenied},
		{"nothing at all", replies{text("")}, provenance.CloseFailed},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b := open(t, c.model)
			run := b.start("do something bad")
			b.until(run, c.want)
			b.verified(run)
		})
	}
}

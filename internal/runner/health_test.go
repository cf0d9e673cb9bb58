package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A moody model fails with err when it is asked for something bad, and says "fine" else.
type moody struct{ err error }

func (m moody) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if strings.Contains(p.Messages[0].Text, "bad") {
		return model.Reply{}, m.err
	}
	return text("fine"), nil
}

// openCrowd opens a bench with the model, a second one behind it, and users with wallets of their own besides the
// bench's.
func openCrowd(t *testing.T, m runner.Model, others int) (*bench, []*user, *bytes.Buffer) {
	log := &bytes.Buffer{}
	b := openWith(t, m, func(c *runner.Config) {
		c.Log = slog.New(slog.NewTextHandler(log, nil))
		c.Models = append(c.Models, runner.NamedModel{
			Info:  model.Info{Name: "second", Kind: model.KindScripted, Provider: "test", Model: "script/2", MaxTokens: 1000},
			Model: replies{text("second here")},
		})
		c.Agents[0].Routes = append(c.Agents[0].Routes, agentfile.Route{ID: "fallback", Use: "second"})
	})
	var crowd []*user
	for i := range others {
		w, err := auth.ParseWallet(fmt.Sprintf("0x%064x", i+1))
		if err != nil {
			t.Fatal(err)
		}
		u := &user{wallet: w, nonce: fmt.Sprintf("abcdefgh0000%04d", i)}
		if err := u.signIn(t.Context(), b.r); err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, u)
	}
	return b, crowd, log
}

// hears says what a user is told now.
func (b *bench) hears(u *user, input string) string {
	run := b.startFor(u, input)
	b.until(run, provenance.CloseAnswered)
	return b.said(run)
}

// Whatever one account brings about, nobody else is moved off a model.
func TestNobodysFailuresMoveAnybodyElseOffAModel(t *testing.T) {
	errs := map[string]error{"an error that says nothing": errors.New("oops")}
	for _, c := range fault.Codes() {
		if strings.HasPrefix(string(c), "model.") && c != fault.ModelUnreachable {
			errs[string(c)] = &fault.Fault{Code: c, Says: "the provider's words"}
		}
	}
	for name, err := range errs {
		t.Run(name, func(t *testing.T) {
			b, crowd, log := openCrowd(t, moody{err}, 4)
			for i := range 5 {
				if got := b.hears(&b.user, fmt.Sprint("something bad ", i)); got != "second here" {
					t.Fatalf("said %q", got)
				}
			}
			f, ok := errors.AsType[*fault.Fault](err)
			if ok && f.Whose() != fault.Provider { // nor do those of many; the provider's own, met by two, do
				for i := range 5 {
					b.hears(crowd[0], fmt.Sprint("something bad too ", i))
				}
			}
			for i, u := range crowd {
				if got := b.hears(u, "something good"); got != "fine" {
					t.Errorf("user %d hears %q", i, got)
				}
			}
			if ok {
				for _, want := range []string{"code=" + string(f.Code), "whose=" + string(f.Whose()), "the provider's words"} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("no %q in the log:\n%s", want, log)
					}
				}
			}
		})
	}
}

func TestCancelsMoveNobodyOffAModel(t *testing.T) {
	gate := newGate("model")
	b, crowd, _ := openCrowd(t, gatedModel{gate, "echo.say"}, 2)
	for i := range 5 {
		run := b.startFor(&b.user, fmt.Sprint("wait for it ", i))
		<-gate.came
		b.cancel(run)
		b.until(run, provenance.CloseCancelled)
	}
	for _, u := range crowd {
		run := b.startFor(u, "me too")
		select {
		case <-gate.came: // asked, and not passed over
		case <-time.After(10 * time.Second):
			t.Fatal("the model is not asked any more")
		}
		b.cancel(run)
	}
}

// A provider's own faults, met by more than one account, or a server that is not there, move everybody on.
func TestAModelThatFailsIsPassedOver(t *testing.T) {
	for _, c := range []struct {
		rule  string
		code  fault.Code
		by    int // accounts
		other string
	}{
		{"overloaded for one", fault.ModelOverloaded, 1, "fine"},
		{"overloaded for two", fault.ModelOverloaded, 2, "second here"},
		{"out of reach for one", fault.ModelUnreachable, 1, "second here"},
		{"out of quota for two", fault.ModelRate, 2, "fine"},
		{"too long for two", fault.ModelContextLength, 2, "fine"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b, crowd, _ := openCrowd(t, moody{&fault.Fault{Code: c.code}}, 3)
			for i := range 4 {
				b.hears(crowd[i%c.by], fmt.Sprint("something bad ", i))
			}
			if got := b.hears(crowd[2], "something good"); got != c.other {
				t.Errorf("another user hears %q, want %q", got, c.other)
			}
			b.now.Add(31_000)
			if got := b.hears(crowd[2], "something good later"); got != "fine" {
				t.Errorf("half a minute later: %q", got)
			}
		})
	}
}

package scripted

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/agent/model"
)

func TestLinesArePlayedInOrderAndThenRunOut(t *testing.T) {
	m := New("", Call("erc20.balance", `{"account":"alice"}`), Say("alice holds 5"))
	var got []string
	for range 2 {
		r, err := m.Stream(t.Context(), model.Prompt{}, func(s string) { got = append(got, "delta "+s) })
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Stop)
	}
	if len(got) != 3 || got[0] != model.StopTools || got[1] != "delta alice holds 5" || got[2] != model.StopEnd {
		t.Errorf("got %q", got)
	}
	if _, err := m.Reply(t.Context(), model.Prompt{}); !errors.Is(err, ErrExhausted) || m.Left() != 0 {
		t.Errorf("got %v with %d left, want ErrExhausted", err, m.Left())
	}
	if k := m.Info().Kind; k != model.KindScripted {
		t.Errorf("kind %s", k)
	}
}

func TestALineCanFailOrCheckItsPrompt(t *testing.T) {
	down, wrong := errors.New("down"), errors.New("wrong prompt")
	m := New("small", Line{Err: down}, Line{Expect: func(p model.Prompt) error {
		if p.System == "" {
			return wrong
		}
		return nil
	}})
	if _, err := m.Reply(t.Context(), model.Prompt{}); !errors.Is(err, down) {
		t.Errorf("got %v, want the line's error", err)
	}
	if _, err := m.Reply(t.Context(), model.Prompt{}); !errors.Is(err, wrong) || m.Left() != 1 {
		t.Errorf("got %v with %d left, want the check's error and the line kept", err, m.Left())
	}
	if _, err := m.Reply(t.Context(), model.Prompt{System: "x"}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAStalledLineEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := New("", Line{Stall: true}).Reply(ctx, model.Prompt{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

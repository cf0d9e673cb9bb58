package modelrace_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/modelrace"
	"github.com/writ-run/writ/provenance"
)

var a, b = provenance.Ref{Seq: 1}, provenance.Ref{Seq: 2}

// The first that speaks has the turn, whenever the other one came.
func TestOneAnswers(t *testing.T) {
	var r modelrace.Race
	first, leave := r.Enter(t.Context(), a)
	defer leave()
	second, leaveSecond := r.Enter(t.Context(), b)
	defer leaveSecond()
	if !r.Speak(b) || r.Speak(a) || !r.Speak(b) {
		t.Error("b was the first, and a was let speak")
	}
	if first.Err() == nil || second.Err() != nil || !r.IsLost(a) || r.IsLost(b) {
		t.Errorf("a ended with %v and b with %v", first.Err(), second.Err())
	}
	late, leaveLate := r.Enter(t.Context(), provenance.Ref{Seq: 3})
	defer leaveLate()
	if late.Err() == nil {
		t.Error("one that comes when another has spoken goes on")
	}
}

// Questions that are open together share a race, and no two turns do.
func TestOf(t *testing.T) {
	var last *modelrace.Race
	ask := new(provenance.AskModel)
	one, alone := modelrace.Of(&last, map[provenance.Ref]provenance.Effect{a: ask})
	if !alone {
		t.Error("one question is not alone")
	}
	two, alone := modelrace.Of(&last, map[provenance.Ref]provenance.Effect{a: ask, b: ask})
	if alone || one != two {
		t.Error("two questions that are open together have a race each")
	}
	if next, _ := modelrace.Of(&last, map[provenance.Ref]provenance.Effect{b: ask}); next == two {
		t.Error("the race of another turn goes on")
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, speaks := range []bool{false, true} {
			var r modelrace.Race
			slow := false
			stop := r.Watch(t.Context(), time.Second, func(context.Context) { slow = true })
			if speaks {
				r.Speak(a)
			}
			time.Sleep(2 * time.Second)
			if stop(); slow == speaks {
				t.Errorf("spoke %v, and is slow %v", speaks, slow)
			}
		}
	})
}

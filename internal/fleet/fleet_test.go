package fleet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
)

func newTestFleet() *Fleet {
	return New(time.Now, []Model{{"a", "host-1", "a"}, {"b", "host-1", "b"}, {"c", "host-2", "c"}})
}

// try begins an attempt and ends it by how; nil is an answer.
func try(t *testing.T, f *Fleet, model, account string, why *fault.Fault) {
	t.Helper()
	a, ok := f.Begin(model, account, false)
	if !ok {
		t.Fatalf("%s does not let %s through", model, account)
	}
	if why == nil {
		a.Answered(time.Second)
	} else {
		a.Failed(why)
	}
}

func TestABreakerLetsOneAttemptThroughAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		for i := range 3 {
			try(t, f, "a", []string{"x", "y"}[i%2], &fault.Fault{Code: fault.ModelOverloaded})
		}
		if got := f.Down("z"); !slices.Equal(got, []string{"a"}) {
			t.Fatalf("down for somebody else: %v", got)
		}
		if _, ok := f.Begin("a", "z", false); ok {
			t.Fatal("an open breaker let an attempt through")
		}
		time.Sleep(downFor)
		if got := f.Facts("z", []string{"a"})[0].Breaker; got != provenance.BreakerHalfOpen || len(f.Down("z")) > 0 {
			t.Fatalf("after %v: %s, down %v", downFor, got, f.Down("z"))
		}
		probe, ok := f.Begin("a", "z", false)
		if !ok {
			t.Fatal("the probe is not let through")
		}
		if _, ok := f.Begin("a", "y", false); ok || !slices.Equal(f.Down("y"), []string{"a"}) {
			t.Fatal("a second attempt is let through beside the probe")
		}
		probe.Failed(&fault.Fault{Code: fault.ModelError})
		if _, ok := f.Begin("a", "z", false); ok {
			t.Fatal("the breaker is not open again after the probe failed")
		}
		time.Sleep(downFor)
		if probe, ok = f.Begin("a", "z", false); !ok {
			t.Fatal("no second probe")
		}
		probe.Abandon() // says nothing; another may probe
		try(t, f, "a", "y", nil)
		if got := f.Facts("z", []string{"a"})[0].Breaker; got != provenance.BreakerClosed {
			t.Fatalf("after an answer: %s", got)
		}
	})
}

// Two accounts whose requests make a model fail take it from a third for two seconds; then the third's own attempt
// decides. A model that fails for everybody is tried less and less.
func TestAnAccountWithoutFailuresDecidesWhetherAModelIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		fails := &fault.Fault{Code: fault.ModelError}
		for i := range 3 {
			try(t, f, "c", []string{"x", "y"}[i%2], fails)
		}
		if _, ok := f.Begin("c", "z", false); ok {
			t.Fatal("a third is let through at once")
		}
		time.Sleep(trialAfter)
		if !slices.Equal(f.Down("x"), []string{"c"}) || len(f.Down("z")) > 0 {
			t.Fatalf("down for who met failures: %v, for who met none: %v", f.Down("x"), f.Down("z"))
		}
		trial, _ := f.Begin("c", "z", false)
		if _, ok := f.Begin("c", "u", false); ok {
			t.Fatal("two try at once")
		}
		trial.Answered(time.Second)
		if got := f.Facts("x", []string{"c"})[0].Breaker; got != provenance.BreakerClosed {
			t.Fatalf("the third was answered, and the breaker is %s", got)
		}
		tries := 0
		for i := range 60 { // a minute in which everybody's attempts fail
			who := string(rune('a' + i))
			for range 3 {
				if a, ok := f.Begin("c", who, false); ok {
					a.Failed(fails)
					tries++
				}
			}
			time.Sleep(time.Second)
		}
		if tries < 4 || tries > 12 {
			t.Errorf("%d attempts in a minute of failures", tries)
		}
	})
}

func TestModelsOfOneEndpointAreOutOfReachTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		for range 3 {
			try(t, f, "a", "x", &fault.Fault{Code: fault.ModelUnreachable})
		}
		if got := f.Down("somebody else"); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("down: %v", got)
		}
		time.Sleep(downFor)
		try(t, f, "b", "y", nil)
		if got := f.Facts("y", []string{"b"})[0].Breaker; got != provenance.BreakerClosed {
			t.Errorf("the endpoint answers again: %s", got)
		}
	})
}

func TestWhatOneAccountMeetsSaysNothingToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		for range 3 {
			try(t, f, "c", "x", &fault.Fault{Code: fault.ModelStream})
		}
		for range 7 {
			try(t, f, "c", "y", nil)
		}
		own, other := f.Facts("x", []string{"c"})[0], f.Facts("y", []string{"c"})[0]
		if own.Errors != 300 || other.Errors != 0 {
			t.Errorf("errors of 1,000: %d for who met them, %d for others", own.Errors, other.Errors)
		}
		try(t, f, "c", "z", &fault.Fault{Code: fault.ModelError})
		if got := f.Facts("y", []string{"c"})[0].Errors; got != 4*1000/11 {
			t.Errorf("met by two: %d", got)
		}
		try(t, f, "c", "z", &fault.Fault{Code: fault.ModelContextLength})
		if got := f.Facts("y", []string{"c"})[0].Errors; got != 4*1000/11 {
			t.Errorf("what a request is at fault for counts: %d", got)
		}
		time.Sleep(windowFor)
		if got := f.Facts("x", []string{"c"})[0]; got.Errors != 0 || got.P95 != 0 {
			t.Errorf("what is long ago counts: %+v", got)
		}
	})
}

func TestRetryAfterHoldsForWhoAskedTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		try(t, f, "a", "x", &fault.Fault{Code: fault.ModelRate, After: 7 * time.Second})
		if !slices.Equal(f.Down("x"), []string{"a"}) || len(f.Down("y")) > 0 {
			t.Fatalf("down for x: %v, for y: %v", f.Down("x"), f.Down("y"))
		}
		try(t, f, "a", "y", nil) // does not end x's wait
		if !slices.Equal(f.Down("x"), []string{"a"}) {
			t.Error("another account's answer ended the wait")
		}
		time.Sleep(7 * time.Second)
		try(t, f, "a", "x", nil)
		if len(f.Down("x")) > 0 {
			t.Error("still down after an answer")
		}
	})
}

func TestLimitsFollowTheRollingPercentile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		for i := range 40 {
			a, _ := f.Begin("a", "x", false)
			if p := a.Patience(); (p.First > 0) != (i >= enoughSamples) {
				t.Fatalf("after %d samples: %+v", i, p)
			}
			if i%10 == 9 {
				time.Sleep(4 * time.Second)
			}
			time.Sleep(time.Second)
			a.Answered(time.Since(a.begun))
		}
		a, _ := f.Begin("a", "x", false)
		if p := a.Patience(); p.First != 15*time.Second || p.Stall != 15*time.Second || p.Total != 30*time.Second {
			t.Errorf("by a 95th percentile of 5 s: %+v", p)
		}
		fact := f.Facts("x", []string{"a"})[0]
		if fact.P50 != 1000 || fact.P95 != 5000 || fact.Queue != 1 {
			t.Errorf("facts %+v", fact)
		}
		// A model that has become slower is waited for longer each time, and not given up for good.
		for range 6 {
			time.Sleep(a.Patience().First)
			a.Failed(&fault.Fault{Code: fault.ModelTimeout})
			time.Sleep(downFor)
			a, _ = f.Begin("a", "x", false)
		}
		if p := a.Patience(); p.First < 40*time.Second {
			t.Errorf("after six limits that were missed: %+v", p)
		}
	})
}

func TestASecondModelIsAskedForFewTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFleet()
		again := func(account string) {
			a, _ := f.Begin("c", account, true)
			a.Abandon()
		}
		for range againOfOne {
			again("x")
		}
		if !f.AsksOnce("x") || f.AsksOnce("y") {
			t.Fatalf("after %d of x: x %v, y %v", againOfOne, f.AsksOnce("x"), f.AsksOnce("y"))
		}
		for range againFree - againOfOne {
			again("y")
		}
		if !f.AsksOnce("z") {
			t.Fatal("the fleet's own budget has no end")
		}
		for range 100 {
			try(t, f, "c", "z", nil)
		}
		if f.AsksOnce("z") {
			t.Error("a tenth of 100 turns is not there")
		}
		time.Sleep(budgetFor)
		if f.AsksOnce("x") {
			t.Error("the budget does not come back")
		}
	})
}

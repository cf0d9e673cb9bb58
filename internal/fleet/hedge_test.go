package fleet_test

import (
	"testing"
	"time"

	"github.com/writ-run/writ/internal/fleet"
)

// Of a hundred questions five may be hedged, and a long time without any saves five at most.
func TestHedgesAreFew(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := fleet.New(func() time.Time { return now }, []fleet.Model{{Name: "m"}})
	ask := func(n int, ttft time.Duration) {
		for range n {
			a, ok := f.Begin("m", "somebody", false)
			if !ok {
				t.Fatal("the model is passed over")
			}
			a.Answered(ttft)
		}
	}
	took := func() (n int) {
		for f.TakeHedge("m") {
			n++
		}
		return n
	}
	ask(19, time.Second)
	if d, ok := f.HedgeAfter("m"); ok || took() != 0 {
		t.Errorf("hedged after %v, of which too little is known", d)
	}
	ask(1, time.Second)
	if d, ok := f.HedgeAfter("m"); !ok || d != time.Second || took() != 1 {
		t.Errorf("hedged after %v, want 1s, once", d)
	}
	ask(1000, time.Millisecond)
	if d, _ := f.HedgeAfter("m"); d != 500*time.Millisecond {
		t.Errorf("hedged after %v, want 500ms", d)
	}
	if n := took(); n != 5 {
		t.Errorf("hedged %d times at once, want 5", n)
	}
	ask(200, time.Hour)
	if d, _ := f.HedgeAfter("m"); d != 10*time.Second {
		t.Errorf("hedged after %v, want 10s", d)
	}
}

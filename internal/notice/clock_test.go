package notice

import (
	"testing"
	"time"
)

// A notice whose next try lies further ahead than any pause is of a clock that was set back, and is tried now.
func TestANoticeFromAfterNowIsDue(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		ahead time.Duration
		due   bool
	}{{-time.Second, true}, {0, true}, {time.Second, false}, {maxPause, false}, {maxPause + 1, true}} {
		w := Wait{Run: "r", Effect: "0.0", Until: now.Add(time.Hour)}
		b := &book{all: map[string]*Delivery{keyOf("ops", w): {State: waiting, Next: now.Add(test.ahead)}}}
		if got := b.isDue("ops", w, now); got != test.due {
			t.Errorf("%s ahead: due %v, want %v", test.ahead, got, test.due)
		}
	}
}

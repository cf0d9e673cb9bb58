package archive

import (
	"testing"
	"time"
)

// A clock that leaps ahead puts off what cannot be taken back; hours that really went by do not.
func TestALeapOfTheClockPutsOffASweep(t *testing.T) {
	for _, test := range []struct{ wall, passed, leap time.Duration }{
		{time.Hour, time.Hour, 0},
		{25 * time.Hour, time.Hour, 0},
		{25*time.Hour + 1, time.Hour, 24*time.Hour + 1},
		{400 * 24 * time.Hour, time.Hour, 400*24*time.Hour - time.Hour},
		{48 * time.Hour, 48 * time.Hour, 0},
		{-400 * 24 * time.Hour, time.Hour, 0}, // set back: less is due, and nothing is lost
	} {
		if got := leapOf(test.wall, test.passed); got != test.leap {
			t.Errorf("%s by the clock in %s: got %s, want %s", test.wall, test.passed, got, test.leap)
		}
	}
}

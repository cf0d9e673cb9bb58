package quota

import "time"

// A window sums what came within a span that ends now, in slots: what came in a slot leaves all at once.
type window struct {
	slots  []int64
	width  time.Duration
	newest int64 // number of the slot that now is in
}

func newWindow(slots int, width time.Duration) window {
	return window{slots: make([]int64, slots+1), width: width}
}

// move empties the slots that have left.
func (w *window) move(now time.Time) {
	at := now.UnixNano() / int64(w.width)
	n := int64(len(w.slots))
	for i := max(w.newest+1, at-n+1); i <= at; i++ {
		w.slots[i%n] = 0
	}
	w.newest = max(w.newest, at)
}

// add counts n more, or fewer if it is negative: never below what is there.
func (w *window) add(now time.Time, n int64) {
	w.move(now)
	s := &w.slots[w.newest%int64(len(w.slots))]
	*s = max(0, *s+n)
}

func (w *window) sum(now time.Time) (sum int64) {
	w.move(now)
	for _, n := range w.slots {
		sum += n
	}
	return sum
}

// wait returns how long it takes until the sum is at most most.
func (w *window) wait(now time.Time, most int64) time.Duration {
	sum, n := w.sum(now), int64(len(w.slots))
	for i := w.newest - n + 1; i <= w.newest; i++ {
		if sum <= most {
			break
		}
		if sum -= w.slots[i%n]; sum <= most {
			return time.Unix(0, (i+n)*int64(w.width)).Sub(now)
		}
	}
	return 0
}

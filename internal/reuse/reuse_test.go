package reuse_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/reuse"
)

func keyOf(n uint64) (k reuse.Key) {
	binary.BigEndian.PutUint64(k[:], n)
	return k
}

// claim claims a key that nobody is asking for.
func claim(t *testing.T, c *reuse.Cache, k reuse.Key) (reuse.Source, *reuse.Lead) {
	t.Helper()
	s, lead, err := c.Claim(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return s, lead
}

func TestOneAsksForAllWhoWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := reuse.New(time.Now, time.Minute)
		var mu sync.Mutex
		asked, told := 0, 0
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				s, lead, err := c.Claim(t.Context(), keyOf(1))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case lead == nil && s.Seq == 7:
					told++
				case lead != nil:
					if asked++; asked == 1 { // its call fails, so another one asks
						lead.Drop()
						return
					}
					lead.Keep(reuse.Source{Seq: 7})
					lead.Drop() // too late to change it
				}
			})
		}
		all.Wait()
		if asked != 2 || told != 48 {
			t.Errorf("asked %d times and told %d, want 2 and 48", asked, told)
		}
	})
}

func TestWhoWaitsMayGo(t *testing.T) {
	c := reuse.New(time.Now, time.Minute)
	_, lead := claim(t, c, keyOf(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Claim(ctx, keyOf(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
	lead.Drop()
}

func TestWhatIsKeptIsBoundedInTimeAndNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := reuse.New(time.Now, time.Minute)
		for n := range uint64(reuse.MaxEntries + 1) {
			_, lead := claim(t, c, keyOf(n))
			lead.Keep(reuse.Source{Seq: n})
		}
		if s, lead := claim(t, c, keyOf(1)); lead != nil || s.Seq != 1 {
			t.Error("the second is forgotten")
		}
		if _, lead := claim(t, c, keyOf(0)); lead == nil {
			t.Error("the oldest of too many is kept")
		}
		c.Forget(keyOf(2), reuse.Source{Seq: 3}) // another one
		if _, lead := claim(t, c, keyOf(2)); lead != nil {
			t.Error("what stands elsewhere is forgotten")
		}
		c.Forget(keyOf(2), reuse.Source{Seq: 2})
		if _, lead := claim(t, c, keyOf(2)); lead == nil {
			t.Error("what cannot be read is kept")
		}
		time.Sleep(time.Minute)
		if _, lead := claim(t, c, keyOf(1)); lead == nil {
			t.Error("what is too old is given")
		}
	})
}

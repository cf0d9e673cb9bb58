package throttle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A rig sends questions to a provider that says it takes so many requests a minute.
type rig struct {
	t     *testing.T
	g     *Gate
	mu    sync.Mutex
	order []string // who was let through
	wg    sync.WaitGroup
}

func newRig(t *testing.T, left, limit int64) *rig {
	r := &rig{t: t, g: New(time.Now)}
	p, err := r.g.Enter(t.Context(), Ask{Lane: "m"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Take(Limit{Limit: limit, Left: left, Full: time.Minute}, Limit{})
	p.Done()
	return r
}

// ask puts questions in the queue, one behind the other.
func (r *rig) ask(n int, a Ask, place func(int)) {
	a.Lane = "m"
	if place == nil {
		place = func(int) {}
	}
	for range n {
		r.wg.Go(func() {
			p, err := r.g.Enter(r.t.Context(), a, place)
			r.mu.Lock()
			defer r.mu.Unlock()
			if _, full := errors.AsType[*FullError](err); full {
				r.order = append(r.order, "-"+a.Wallet)
				return
			}
			r.order = append(r.order, a.Wallet+a.Agent)
			_ = p // it goes on
		})
		synctest.Wait()
	}
}

func TestOneWalletDoesNotStarveAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0, 60) // one comes back each second
		r.ask(25, Ask{Wallet: "greedy", Tokens: 100}, nil)
		r.ask(3, Ask{Wallet: "modest", Tokens: 100}, nil)
		time.Sleep(7 * time.Second)
		r.mu.Lock()
		first := slices.Clone(r.order)
		r.mu.Unlock()
		if n := len(first); n < 6 || n > 8 {
			t.Fatalf("%d were let through in 7 s at one a second", n)
		}
		modest := 0
		for _, who := range first {
			if who == "modest" {
				modest++
			}
		}
		if modest != 3 {
			t.Errorf("behind 25 questions of another wallet %d of 3 were let through: %v", modest, first)
		}
		r.wg.Wait()
	})
}

func TestAgentsOfAWalletShareItsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0, 60)
		r.ask(10, Ask{Wallet: "w", Agent: "1", Tokens: 100}, nil)
		r.ask(1, Ask{Wallet: "w", Agent: "2", Tokens: 100}, nil)
		r.wg.Wait()
		if i := slices.Index(r.order, "w2"); i > 2 {
			t.Errorf("the second agent's question came as number %d: %v", i+1, r.order)
		}
	})
}

func TestAPriorityIsMoreTurnsAndNeverAllOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0, 60)
		r.ask(12, Ask{Wallet: "plain", Tokens: 100}, nil)
		r.ask(12, Ask{Wallet: "high", Tokens: 100, Priority: 2}, nil)
		r.wg.Wait()
		high := 0
		for _, who := range r.order[:12] {
			if who == "high" {
				high++
			}
		}
		if high < 7 || high > 10 {
			t.Errorf("of the first 12, %d have priority: %v", high, r.order)
		}
	})
}

func TestTheProvidersLimitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(time.Now)
		var sent []time.Time
		var mu sync.Mutex
		const limit = 10 // a minute, of a bucket that fills evenly
		left, at := float64(limit), time.Now()
		answer := func(p *Pass) {
			mu.Lock()
			now := time.Now()
			left = min(limit, left+limit*now.Sub(at).Minutes())
			at = now
			if left -= 1; left < -0.01 {
				t.Errorf("the provider was asked too often: %v", len(sent))
			}
			sent = append(sent, now)
			full := time.Duration((limit - left) / limit * float64(time.Minute))
			l := Limit{Limit: limit, Left: int64(left), Full: full}
			mu.Unlock()
			p.Take(l, Limit{})
			p.Done()
		}
		first, _ := g.Enter(t.Context(), Ask{Lane: "m"}, nil)
		answer(first)
		var wg sync.WaitGroup
		refused := 0
		for i := range 40 {
			wg.Go(func() {
				p, err := g.Enter(t.Context(), Ask{Lane: "m", Wallet: fmt.Sprint(i % 4)}, func(int) {})
				if full, is := errors.AsType[*FullError](err); is {
					mu.Lock()
					defer mu.Unlock()
					if refused++; full.After < time.Second {
						t.Errorf("come again in %v", full.After)
					}
					return
				}
				answer(p)
			})
		}
		wg.Wait()
		if len(sent)+refused != 41 || len(sent) < 10 || refused == 0 {
			t.Errorf("%d were answered and %d refused", len(sent), refused)
		}
	})
}

// Two questions are answered, and the answer that the provider has counted first comes last.
func TestAnOlderAnswerDoesNotHideWhatANewerOneTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(time.Now)
		enter := func() *Pass {
			p, err := g.Enter(t.Context(), Ask{Lane: "m"}, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		older, newer := enter(), enter()
		newer.Take(Limit{Limit: 10, Left: 0, Full: time.Minute}, Limit{})
		older.Take(Limit{Limit: 10, Left: 1, Full: 54 * time.Second}, Limit{})
		began := time.Now()
		enter().Done()
		if waited := time.Since(began).Round(time.Second); waited != 6*time.Second {
			t.Errorf("the next was let through after %v, want 6s", waited)
		}
		time.Sleep(time.Minute) // what was told is over: the next answer counts again, whatever it leaves
		enter().Take(Limit{Limit: 10, Left: 9, Full: 6 * time.Second}, Limit{})
		began = time.Now()
		if enter().Done(); time.Since(began) != 0 {
			t.Errorf("after a full span the next waited %v", time.Since(began))
		}
	})
}

func TestTheQueueIsBoundedAndTellsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0, 600) // ten a second
		var places []int
		r.ask(20, Ask{Wallet: "a", Tokens: 1}, nil)
		r.ask(1, Ask{Wallet: "a", Tokens: 1}, func(n int) { places = append(places, n) })
		if n := r.g.Waiting("m"); n != 21 {
			t.Fatalf("%d wait", n)
		}
		time.Sleep(3 * time.Second)
		r.wg.Wait()
		if len(places) < 5 || places[0] != 21 || places[len(places)-1] > 2 ||
			!slices.IsSortedFunc(places, func(a, b int) int { return b - a }) {
			t.Errorf("places %v", places)
		}
		r = newRig(t, 0, 600)
		r.ask(maxOfWallet+5, Ask{Wallet: "a", Tokens: 1}, nil)
		r.ask(1, Ask{Wallet: "b", Tokens: 1}, nil)
		if n := r.g.Waiting("m"); n != maxOfWallet+1 {
			t.Errorf("%d wait", n)
		}
		if n := len(slices.DeleteFunc(slices.Clone(r.order), func(s string) bool { return s != "-a" })); n != 5 {
			t.Errorf("%d were refused", n)
		}
		r.wg.Wait()
	})
}

func TestWhoIsGoneTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0, 6) // one in ten seconds
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := r.g.Enter(ctx, Ask{Lane: "m", Wallet: "gone"}, func(int) {})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		begun := time.Now()
		r.ask(1, Ask{Wallet: "next"}, nil)
		r.wg.Wait()
		if d := time.Since(begun); d > 11*time.Second || r.g.Waiting("m") != 0 {
			t.Errorf("it waited for %v, and %d still do", d, r.g.Waiting("m"))
		}
	})
}

func TestTokensAreCountedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(time.Now)
		p, _ := g.Enter(t.Context(), Ask{Lane: "m", Tokens: 900}, nil)
		p.Take(Limit{}, Limit{Limit: 1000, Left: 100, Full: 9 * time.Second})
		begun := time.Now()
		p, err := g.Enter(t.Context(), Ask{Lane: "m", Tokens: 600}, func(int) {})
		if d := time.Since(begun); err != nil || d < 5*time.Second || d > 6*time.Second {
			t.Fatalf("500 tokens at 100 a second came after %v: %v", d, err)
		}
		p.Done()
		if _, err = g.Enter(t.Context(), Ask{Lane: "m", Tokens: 5000}, func(int) {}); err != nil {
			t.Errorf("more tokens than there ever are, once all of them are there: %v", err)
		}
	})
}

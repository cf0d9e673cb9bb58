package model_test

import (
	"math"
	"testing"

	"github.com/writ-run/writ/agent/model"
)

func TestACostIsRoundedUpAndNeverWraps(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, out  int64
		price    int64
		wantCost int64
	}{
		{"one token of a cheap model costs one", 1, 0, 1, 1},
		{"both sides are rounded up", 1, 1, 1, 2},
		{"a million is exact", 1_000_000, 0, 150, 150},
		{"below zero counts nothing", -5, -5, 150, 0},
		{"free is free", math.MaxInt64, math.MaxInt64, 0, 0},
		{"too much is the most", math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{"a sum too large is the most", math.MaxInt64, math.MaxInt64, 600_000, math.MaxInt64},
	} {
		info := model.Info{PriceIn: c.price, PriceOut: c.price}
		if got := info.Cost(model.Usage{In: c.in, Out: c.out}); got != c.wantCost {
			t.Errorf("%s: %d, want %d", c.name, got, c.wantCost)
		}
	}
}

func TestWhatTheCacheChangesIsPricedByItself(t *testing.T) {
	info := model.Info{PriceIn: 3_000_000, PriceOut: 15_000_000, PriceCached: 300_000, PriceWrite5m: 3_750_000, PriceWrite1h: 6_000_000}
	for _, c := range []struct {
		rule string
		u    model.Usage
		want int64
	}{
		{"plain input and output", model.Usage{In: 10, Out: 2}, 30 + 30},
		{"cached reads are cheaper", model.Usage{In: 10, CachedIn: 10}, 3},
		{"writes are dearer, and longer ones dearer still", model.Usage{In: 20, Write5m: 8, Write1h: 10}, 30 + 60 + 6},
		{"reasoning is a part of the output and costs nothing more", model.Usage{Out: 2, Reasoning: 2}, 30},
		{"no part is more than all there is", model.Usage{In: 4, CachedIn: 100, Write1h: 100}, 2},
	} {
		if got := info.Cost(c.u); got != c.want {
			t.Errorf("%s: %d, want %d", c.rule, got, c.want)
		}
	}
	plain := model.Info{PriceIn: 3_000_000}
	if got := plain.Cost(model.Usage{In: 10, CachedIn: 5, Write5m: 5}); got != 30 {
		t.Errorf("a cache without a price of its own: %d, want 30", got)
	}
}

// No call costs more than its bound, which is what is reserved.
func FuzzBound(f *testing.F) {
	f.Add(int64(10), int64(3), int64(2), int64(5), int64(1), int64(3), int64(1), int64(2), int64(4), int64(15))
	f.Fuzz(func(t *testing.T, in, cached, w5, w1, out, p, pc, p5, p1, po int64) {
		i := model.Info{PriceIn: p, PriceCached: pc, PriceWrite5m: p5, PriceWrite1h: p1, PriceOut: po}
		u := model.Usage{In: in, CachedIn: cached, Write5m: w5, Write1h: w1, Out: out}
		if cost, bound := i.Cost(u), i.Bound(in, out); cost > bound || cost < 0 {
			t.Errorf("%+v at %+v costs %d, above its bound %d", u, i, cost, bound)
		}
	})
}

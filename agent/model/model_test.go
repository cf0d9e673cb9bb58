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

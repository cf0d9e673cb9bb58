package prices_test

import (
	"testing"

	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/provenance"
)

// A run is priced by a table if it names it and has its prices; what was priced by hand is not compared.
func TestCompare(t *testing.T) {
	table := &prices.File{Schema: prices.Schema, Models: map[string]prices.Price{"m": {In: 3, Out: 15}}}
	id, err := table.CID()
	if err != nil {
		t.Fatal(err)
	}
	is := provenance.ModelInfo{Name: "m", Model: "m", Provider: "p", PriceIn: 3, PriceOut: 15, PriceCached: 1, Prices: id.String()}
	dearer, other, gone, byHand := is, is, is, is
	dearer.PriceOut++
	other.Prices = provenance.Sum(0x55, []byte("another")).String()
	gone.Model = "n"
	byHand.Prices, byHand.PriceIn = "", 99
	for _, tt := range []struct {
		name            string
		m               provenance.ModelInfo
		checked, differ int
	}{
		{"as the table says", is, 1, 0},
		{"a price that is not the table's", dearer, 1, 1},
		{"another table", other, 1, 1},
		{"a model that the table has not", gone, 1, 1},
		{"priced by hand", byHand, 0, 0},
	} {
		differ, checked, err := table.Compare([]provenance.ModelInfo{tt.m})
		if err != nil || len(differ) != tt.differ || checked != tt.checked {
			t.Errorf("%s: %q, %d checked, %v", tt.name, differ, checked, err)
		}
	}
}

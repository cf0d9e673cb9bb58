package runner_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/internal/whatif"
	"github.com/writ-run/writ/provenance"
)

func planOf(t *testing.T, src string) whatif.Plan {
	t.Helper()
	set, err := agentfile.ParseRoutes([]byte("schema: writ/routes/1\nname: other\nroutes:\n" + src))
	if err != nil {
		t.Fatal(err)
	}
	return whatif.Plan{Routes: set.Records()}
}

// Recorded runs are tried under other rules and other prices, by what each knew at its turns.
func TestRecordedRunsAreTriedUnderOtherRules(t *testing.T) {
	b := margin(t, 1_000_000_000)
	for i, request := range []string{"what do you make of it?", "kindly pay whoever is owed something", "what else?"} {
		b.until(b.start(fmt.Sprintf("%s %d", request, i)), provenance.CloseAnswered)
	}
	const small, premium = 10*100 + 5*400, 10*3000 + 5*15000 // nano-USD for 10 tokens in and 5 out
	for _, tt := range []struct {
		name, routes string
		now          whatif.Sum
		changed      int
		worse        bool
	}{
		{"the same rules", "", whatif.Sum{Cost: 2*small + premium, Models: map[string]int{"small": 2, "premium": 1}}, 0, false},
		{"all by the large one", "  - {id: a, use: premium}\n", whatif.Sum{Cost: 3 * premium, Models: map[string]int{"premium": 3}}, 2, true},
		{"all by the small one", "  - {id: a, use: small}\n", whatif.Sum{Cost: 3 * small, Models: map[string]int{"small": 3}}, 1, false},
		{"what moves value is refused", "  - {id: w, when: writes, use: refuse}\n  - {id: a, use: small}\n",
			whatif.Sum{Cost: 2 * small, Refused: 1, Models: map[string]int{"small": 2}}, 1, true},
		{"a shadow rule", "  - {id: s, use: premium, shadow: true}\n  - {id: a, use: small}\n",
			whatif.Sum{Cost: 3 * small, Models: map[string]int{"small": 3}}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan := whatif.Plan{}
			if tt.routes != "" {
				plan = planOf(t, tt.routes)
			}
			got, err := whatif.Try(t.Context(), b.store, plan, 0)
			if err != nil {
				t.Fatal(err)
			}
			was := whatif.Sum{Cost: 2*small + premium, Models: map[string]int{"small": 2, "premium": 1}}
			if got.Runs != 3 || got.Unread != 0 || fmt.Sprint(got.Was) != fmt.Sprint(was) ||
				fmt.Sprint(got.Now) != fmt.Sprint(tt.now) || len(got.Changed) != tt.changed || got.IsWorse() != tt.worse {
				t.Errorf("got %+v, want now %+v", got, tt.now)
			}
		})
	}
	plan := whatif.Plan{Prices: &prices.File{Models: map[string]prices.Price{"premium/1": {In: 6_000_000_000, Out: 30_000_000_000}}}}
	got, err := whatif.Try(t.Context(), b.store, plan, 0)
	if err != nil || got.Now.Cost != 2*small+2*premium || got.Unpriced != 1 || len(got.Changed) != 1 ||
		!slices.Equal(got.Changed[0].Now.Models, []string{"premium"}) {
		t.Errorf("at twice the price: %+v, %v", got, err)
	}
}

// BenchmarkWhatIf tries 1,000 recorded runs under other rules.
func BenchmarkWhatIf(b *testing.B) {
	x := margin(b, 1_000_000_000_000)
	for i := range 1000 {
		x.until(x.start(fmt.Sprintf("what do you make of it? %d", i)), provenance.CloseAnswered)
	}
	set, _ := agentfile.ParseRoutes([]byte("schema: writ/routes/1\nname: o\nroutes:\n  - {id: w, when: writes, use: refuse}\n  - {id: a, use: premium}\n"))
	for b.Loop() {
		begun := time.Now()
		r, err := whatif.Try(b.Context(), x.store, whatif.Plan{Routes: set.Records()}, 0)
		if err != nil || r.Runs != 1000 {
			b.Fatalf("%+v, %v", r, err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/1000runs")
	}
}

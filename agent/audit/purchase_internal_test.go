package audit

import (
	"testing"

	"github.com/writ-run/writ/provenance"
)

// Of a purchase that has no outcome, or one that nobody knows, it is not said that it moved nothing.
func TestAPurchaseThatIsInDoubtMayHaveMoved(t *testing.T) {
	of := provenance.Ref{Seq: 3}
	result := func(status string) provenance.Event { return &provenance.Result{Of: of, Status: status} }
	for name, tt := range map[string]struct {
		event provenance.Event
		read  bool
	}{
		"no outcome":         {nil, false},
		"in doubt":           {result(provenance.StatusInDoubt), false},
		"out of time":        {result(provenance.StatusTimeout), false},
		"nothing is heard":   {&provenance.Lapse{Of: &of, Why: provenance.LapseInDoubt}, false},
		"nothing was paid":   {result(provenance.StatusError), true},
		"another call waits": {&provenance.Lapse{Of: &provenance.Ref{Seq: 9}, Why: provenance.LapseInDoubt}, false},
	} {
		x := &transfers{buying: map[provenance.Ref]purchase{of: {}}}
		if tt.event != nil {
			if _, _, err := x.takeEvent(provenance.Link{}, &provenance.Step{Event: tt.event}); err != nil {
				t.Fatal(err)
			}
		}
		if got := x.isRead(); got != tt.read {
			t.Errorf("%s: it is known what moved: %v, want %v", name, got, tt.read)
		}
	}
}

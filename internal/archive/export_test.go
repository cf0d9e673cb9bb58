package archive

import (
	"testing"

	"github.com/writ-run/writ/provenance"
)

func TestWhatLeadsUpToACallerIsNotFollowed(t *testing.T) {
	step := provenance.Sum(0x71, []byte("the caller's step"))
	other := func(s string) provenance.Link { return provenance.Sum(0x71, []byte(s)) }
	for _, rec := range []provenance.Record{
		&provenance.Run{Agent: other("agent"), Grant: other("grant"), Rules: other("rules"), Runtime: other("runtime"),
			Parent: &provenance.Parent{Step: step}, Delegation: other("delegation")},
		&provenance.Delegation{From: other("grant"), Agent: other("agent"), Call: provenance.Parent{Step: step}},
	} {
		down := linksDown(rec)
		for _, l := range down {
			if l == step {
				t.Errorf("%T leads to its caller's step", rec)
			}
		}
		if len(down) != len(provenance.Links(rec))-1 {
			t.Errorf("%T: %d of %d links", rec, len(down), len(provenance.Links(rec)))
		}
	}
}

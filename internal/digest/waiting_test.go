package digest

import (
	"testing"

	"github.com/writ-run/writ/provenance"
)

// What a parked run waits for is found behind what was said into it since, and behind answers that no rule let in.
func TestWhatARunWaitsForIsFoundBehindWhatWasSaid(t *testing.T) {
	seek := func(n int) []provenance.Effect {
		var out []provenance.Effect
		for range n {
			out = append(out, &provenance.Seek{})
		}
		return out
	}
	of := func(seq, index uint64) *provenance.Ref { return &provenance.Ref{Seq: seq, Index: index} }
	denied := []provenance.Decision{{Point: "input", Outcome: "deny"}}
	said := &provenance.Step{Event: &provenance.Ask{}}
	for _, c := range []struct {
		name  string
		steps []*provenance.Step
		want  string
	}{
		{"the newest step waits", []*provenance.Step{{Event: &provenance.Reply{}, Does: seek(1)}}, Waiting},
		{"something was said since", []*provenance.Step{{Event: &provenance.Reply{}, Does: seek(1)}, said}, Waiting},
		{"an answer was not let in", []*provenance.Step{
			{Event: &provenance.Reply{}, Does: seek(1)}, {Event: &provenance.Ask{Of: of(0, 0)}, Decisions: denied}}, Waiting},
		{"it was answered", []*provenance.Step{
			{Event: &provenance.Reply{}, Does: seek(1)}, {Event: &provenance.Ask{Of: of(0, 0)}}}, "parked"},
		{"the wallet answered one of two", []*provenance.Step{
			{Event: &provenance.Reply{}, Does: seek(2)}, {Event: &provenance.Verdict{Of: *of(0, 0)}}}, Waiting},
		{"its time ran out", []*provenance.Step{
			{Event: &provenance.Reply{}, Does: seek(1)}, {Event: &provenance.Lapse{Of: of(0, 0)}}, said}, "parked"},
	} {
		for i, s := range c.steps {
			s.Seq = uint64(i)
		}
		d := Run{Outcome: "parked"}
		if err := d.takeWaiting(t.Context(), nil, c.steps, map[provenance.Ref]bool{}); err != nil || d.Outcome != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, d.Outcome, err, c.want)
		}
	}
}

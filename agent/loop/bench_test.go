package loop_test

import (
	"testing"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/provenance"
)

// The machine and the policies alone: a run of two model calls and one tool call, decided, with nothing recorded.
func BenchmarkMachine(b *testing.B) {
	config := setting(b)
	m := machine(b, config)
	r := rigOf(b, m, config)
	sequence(asks("hi"), wants(echo("x")), returns(0, `{"said":"x"}`), answers("hello"))(r)
	if !r.s.Closed {
		b.Fatal("the run is not closed")
	}
	b.ReportAllocs()
	for b.Loop() {
		s := loop.State{Run: provenance.Link{}}
		for _, e := range r.log {
			var err error
			if s, _, err = m.Step(s, e.at, e.ev, e.facts); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A machine made anew, as an auditor makes one for each run and a runtime for each session.
func BenchmarkNew(b *testing.B) {
	config := setting(b)
	machine(b, config)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loop.New(config); err != nil {
			b.Fatal(err)
		}
	}
}

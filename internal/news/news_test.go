package news

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

// TestWhoFollowsIsGivenTheSteps in order, and a hint for each that there is no room for, or that cannot be given.
func TestWhoFollowsIsGivenTheSteps(t *testing.T) {
	run := provenance.Sum(cid.DagCBOR, []byte("run"))
	b := New()
	steps, hints, _, stop := b.Follow(run)
	plain, _, stopPlain := b.Subscribe(run)
	defer stopPlain()
	isHinted := func(hints <-chan struct{}) bool {
		select {
		case <-hints:
			return true
		default:
			return false
		}
	}
	at := func(seq uint64) *Step { return &Step{Step: &provenance.Step{Seq: seq}} }
	for seq := range uint64(stepBuffer) {
		b.PublishStep(run, at(seq))
	}
	if isHinted(hints) || !isHinted(plain) {
		t.Error("a hint for steps that were given, or none for who is given none")
	}
	b.PublishStep(run, at(stepBuffer))
	if !isHinted(hints) {
		t.Error("no hint for a step that had no room")
	}
	for seq := range uint64(stepBuffer) {
		if got := <-steps; got.Step.Seq != seq {
			t.Errorf("step %d in the place of %d", got.Step.Seq, seq)
		}
	}
	b.PublishStep(run, nil)
	if !isHinted(hints) || len(steps) > 0 {
		t.Error("no hint for a step that cannot be given")
	}
	stop()
	b.PublishStep(run, at(20))
	if len(steps) > 0 || isHinted(hints) {
		t.Error("told after the end")
	}
}

// TestStepsThatWaitAreBoundedInBytes, and one alone is given whatever its size.
func TestStepsThatWaitAreBoundedInBytes(t *testing.T) {
	run := provenance.Sum(cid.DagCBOR, []byte("run"))
	b := New()
	steps, hints, _, stop := b.Follow(run)
	defer stop()
	publish := func(seq uint64, size int) {
		brings := []provenance.Block{{Data: make([]byte, size/2)}}
		b.PublishStep(run, StepOf(&provenance.Step{Seq: seq}, provenance.Block{Data: make([]byte, size-size/2)}, brings, nil))
	}
	publish(0, 2*stepBytes)
	publish(1, 1)
	if len(steps) != 1 || len(hints) != 1 {
		t.Errorf("%d steps wait behind a large one, %d hints", len(steps)-1, len(hints))
	}
	<-steps
	for seq := range uint64(5) { // what was taken does not count any more
		publish(2+seq, stepBytes/4)
	}
	if len(steps) != 4 {
		t.Errorf("%d steps of a quarter of the room wait", len(steps))
	}
	<-steps
	publish(7, stepBytes/4)
	if len(steps) != 4 {
		t.Errorf("%d steps of a quarter of the room wait, and one was taken", len(steps))
	}
}

// TestWhoFollowsANewRunIsGivenItsFirstStep, and nobody else is, nor anybody once it has another.
func TestWhoFollowsANewRunIsGivenItsFirstStep(t *testing.T) {
	b := New()
	run := func(n int) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte{byte(n), byte(n >> 8)}) }
	given := func(n int) int {
		steps, _, _, stop := b.Follow(run(n))
		defer stop()
		return len(steps)
	}
	at := func(seq uint64) *Step { return &Step{Step: &provenance.Step{Seq: seq}} }
	b.PublishStep(run(1), at(0))
	if first, second := given(1), given(1); first != 1 || second != 0 {
		t.Errorf("the first was given %d steps and the second %d", first, second)
	}
	b.PublishStep(run(2), at(0))
	b.PublishStep(run(2), at(1))
	b.PublishStep(run(3), at(0))
	b.PublishStep(run(3), nil)
	b.PublishStep(run(4), nil)
	for n := 2; n < 5; n++ {
		if got := given(n); got != 0 {
			t.Errorf("run %d: %d steps", n, got)
		}
	}
	for n := range 3 * firstKept {
		b.PublishStep(run(10+n), at(0))
	}
	if len(b.first) > firstKept || given(10) != 0 || given(10+3*firstKept-1) != 1 {
		t.Errorf("%d first steps are kept", len(b.first))
	}
}

// TestAStepWithLeavesThatEndIsNotGiven: whether these can be read only the journal says.
func TestAStepWithLeavesThatEndIsNotGiven(t *testing.T) {
	leaves := []provenance.Leaf{{}, {Ends: true}}
	if StepOf(&provenance.Step{}, provenance.Block{}, nil, leaves) != nil {
		t.Error("it is given")
	}
	if StepOf(&provenance.Step{}, provenance.Block{}, nil, leaves[:1]) == nil {
		t.Error("one without is not")
	}
}

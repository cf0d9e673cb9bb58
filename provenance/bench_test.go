package provenance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/writ-run/writ/policies/money"
)

// twoKB returns a step of about 2 KB: a reply that asks for three calls, each decided and reserved for.
func twoKB(t testing.TB) *Step {
	h := newHistory()
	h.link(t)
	s := h.steps[1]
	call := s.Does[0].(*Call)
	reply := s.Event.(*Reply)
	reply.Model.Calls = append(reply.Model.Calls, reply.Model.Calls[1])
	s.Does = []Effect{call, s.Does[1], call, call}
	s.Facts.Down = []string{"small", "premium"}[:1]
	s.Facts.Budgets = append(s.Facts.Budgets, Budget{ID: "operator/week", Cap: money.Of(usdc, 99),
		Spent: money.Of(usdc, 3)})
	return s
}

func BenchmarkSHA256Floor(b *testing.B) {
	blk, err := Encode(twoKB(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(blk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		sha256.Sum256(blk.Data)
	}
}

func BenchmarkEncodeCID(b *testing.B) {
	s := twoKB(b)
	blk, err := Encode(s)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(blk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	blk, _ := Encode(twoKB(b))
	b.SetBytes(int64(len(blk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(blk.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	blk, _ := Encode(twoKB(b))
	b.SetBytes(int64(len(blk.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(blk.Data, new(Step)); err != nil {
			b.Fatal(err)
		}
	}
}

// longHistory is a run of n turns of one tool call each, about 2 steps a turn. Nobody else draws on its ledgers, so
// only the first step shows them.
func longHistory(t testing.TB, turns int) *history {
	h := newHistory()
	s := twoKB(t)
	ask := h.steps[0].Does[0]
	first := h.steps[0]
	last := h.steps[len(h.steps)-1]
	h.steps = []*Step{first}
	for range turns {
		n := uint64(len(h.steps))
		reply := *s.Event.(*Reply)
		reply.Of = Ref{n - 1, 0}
		call := *s.Does[0].(*Call)
		call.Of, call.Tool = Ref{n, 0}, Link{}
		h.steps = append(h.steps,
			&Step{Seq: n, At: first.At + int64(n), Event: &reply, Does: []Effect{&call}},
			&Step{Seq: n + 1, At: first.At + int64(n), Event: &Result{
				Of: Ref{n, 0}, Status: StatusOK, Output: text(fmt.Sprint("result ", n)),
			}, Does: []Effect{ask}})
	}
	last.Seq, last.At = uint64(len(h.steps)), 1<<40
	last.Event.(*Reply).Of = Ref{last.Seq - 1, 0}
	h.head.At = 1 << 40
	h.steps = append(h.steps, last)
	return h
}

// BenchmarkVerifySteps opens and verifies a file of 4,002 steps without keys: every block is hashed twice, once when
// the file is opened and once when it is read, since the file may change in between.
func BenchmarkVerifySteps(b *testing.B) {
	h := longHistory(b, 2000)
	file := h.car(b)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	steps := 0
	for b.Loop() {
		r, _ := verifyCAR(file, Options{OperatorKey: operatorKey()})
		if r.Verdict != Gaps {
			b.Fatalf("%+v", r)
		}
		steps += r.Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(len(file))/float64(len(h.steps)), "B/step")
}

func BenchmarkOpenCAR(b *testing.B) {
	file := longHistory(b, 2000).car(b)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := OpenCAR(bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}

package runner_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// modeRules keeps each part of a run in its own way: the request is the user's alone, the arguments of a payment end with
// the run, the answer is for everybody, and all else is sealed.
const modeRules = operatorRules + `  - {id: kept, at: provenance.publish, effect: permit}
  - {id: own, at: provenance.publish, effect: permit, when: 'part == "request"', mode: commit-only}
  - {id: brief, at: provenance.publish, tool: bank.pay, effect: permit, when: 'part == "args"', mode: ephemeral}
  - {id: open, at: provenance.publish, effect: permit, when: 'part == "answer"', mode: public}
`

// TestEachModeKeepsItsWord parks a run, restarts the server, which needs every payload again, lets the run close, and
// looks at what is left.
func TestEachModeKeepsItsWord(t *testing.T) {
	m := replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid 5 USDC to bob")}
	b := openWith(t, m, func(c *runner.Config) { c.Policy.Source = []byte(modeRules) })
	run := b.start("pay 5 to bob, and tell nobody")
	b.until(run, "parked")
	b.r.Close()
	b.restart()

	steps, err := b.r.Steps(t.Context(), run, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	request := steps[0].Step.Event.(*provenance.Ask).Request
	held := request.Leaf()
	said, ok := request.Bytes()
	if !ok || !bytes.Contains(said, []byte("tell nobody")) {
		t.Fatal("the run cannot read its own request after a restart")
	}
	before, err := b.r.Keys(t.Context(), run) // the user keeps these, and the text
	if err != nil || before[held] == (provenance.LeafKey{}) {
		t.Fatalf("keys of the open run: %v", err)
	}
	if _, err := b.store.Block(t.Context(), held); !errors.Is(err, provenance.ErrWithheld) {
		t.Errorf("the ciphertext of a commit-only leaf is given to anybody: %v", err)
	}

	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)

	rep := b.audited(run)
	if rep.Verdict != provenance.Gaps || rep.Leaves.Public == 0 || rep.Leaves.Missing != 1 || rep.Leaves.Sealed == 0 || rep.Leaves.Disclosed == 0 {
		t.Errorf("%s %s, leaves %s; want one missing, the arguments sealed, an answer public", rep.Verdict, rep.Code, rep.Leaves)
	}
	after, err := b.r.Keys(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := after[held]; there {
		t.Error("the key of a commit-only leaf outlived its run")
	}
	if _, err := b.store.Withheld(t.Context(), held); err == nil {
		t.Error("the ciphertext of a commit-only leaf outlived its run")
	}
	var car bytes.Buffer
	if _, err := archive.Export(t.Context(), b.store, &car, run); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(car.String(), "paid 5 USDC to bob") || strings.Contains(car.String(), "tell nobody") {
		t.Error("the answer is not in clear in the file, or the request is")
	}

	// Who kept the text and its key can prove to anybody what the record commits to.
	p := provenance.NewPayload(said)
	leaf, err := p.Seal(before[held])
	if err != nil || leaf.CID != held {
		t.Fatalf("sealed again it is %s, want %s (%v)", leaf.CID, held, err)
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(after, before)
	whole := audit.Verify(with{src, leaf}, audit.Options{OperatorKey: b.r.Key(), Keys: after})
	if whole.Code != "" || whole.Leaves.Missing != 0 || whole.Leaves.Disclosed <= rep.Leaves.Disclosed {
		t.Errorf("with the user's copy: %s %s, leaves %s", whole.Verdict, whole.Code, whole.Leaves)
	}
}

// with is a source and one block more.
type with struct {
	provenance.Source
	more provenance.Block
}

func (w with) Get(c provenance.Link) ([]byte, error) {
	if c == w.more.CID {
		return w.more.Data, nil
	}
	return w.Source.Get(c)
}

package library_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

func TestPassagesAreHeldToTheirCIDs(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	if _, err := l.Put(t.Context(), text("a.md", "# Pay & more\nBob is paid <5> USDC.", anybody), text("b.md", "Bob is late.", anybody)); err != nil {
		t.Fatal(err)
	}
	tool := library.NewTool(l)
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"query":"bob"}`))
	if err != nil {
		t.Fatal(err)
	}
	of := provenance.Ref{Seq: 3, Index: 1}
	out, err := tool.Call(t.Context(), tools.Input{Args: args, Asker: tools.Asker{Step: of.Seq, Index: of.Index}})
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := grounds.CheckPassages(of, out)
	if err != nil || len(chunks) != 2 {
		t.Fatalf("%s: got %v, %v", out, chunks, err)
	}
	var e grounds.Evidence
	e.AddResult(4, out)
	if left := grounds.Ungrounded(e.Check("Bob is late [3.9], and paid 5 USDC [3.10].")); len(left) > 0 {
		t.Errorf("got %v", left)
	}
	var whole struct{ Documents []json.RawMessage }
	if err := json.Unmarshal(out, &whole); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ what, old, new string }{
		{"another text", "Bob is late", "Bob is early"}, {"another heading", "Pay \\u0026 more", "Pay less"},
		{"another number", `"cite":"3.9"`, `"cite":"3.8"`}, {"two in another order", string(whole.Documents[0]) + "," + string(whole.Documents[1]),
			string(whole.Documents[1]) + "," + string(whole.Documents[0])},
	} {
		changed := strings.Replace(string(out), tt.old, tt.new, 1)
		if changed == string(out) {
			t.Fatalf("%s: nothing was changed in %s", tt.what, out)
		}
		if _, err := grounds.CheckPassages(of, []byte(changed)); !errors.Is(err, grounds.ErrPassage) {
			t.Errorf("%s: got %v", tt.what, err)
		}
	}
	if _, err := grounds.CheckPassages(of, []byte(`{"documents":[{"text":"of a tool of another kind"}]}`)); err != nil {
		t.Errorf("what is no result of a library: %v", err)
	}
}

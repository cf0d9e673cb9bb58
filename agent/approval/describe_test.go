package approval

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/tools"
)

// However long the answers are that a call brings to its server's questions, the wallet reads what the call itself does
// first, and that there are answers.
func TestLongAnswersPushNothingOutOfASummary(t *testing.T) {
	schema, err := tools.MarkElicited([]byte(`{"type":"object","additionalProperties":false,"required":["room"],` +
		`"properties":{"room":{"type":"string"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	def, err := tools.Compile(tools.Spec{Name: "desk.book", About: "Books.", Class: tools.Once, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	describe := func(raw string) string {
		t.Helper()
		args, err := def.Read([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return DescribeCall(def, args)
	}
	if got := describe(`{"room":"blue"}`); got != `desk.book {"room":"blue"}` {
		t.Errorf("without answers it is %s", got)
	}
	answer := func(last string) string {
		return `{"elicited":{"00":{"action":"accept","content":{"why":"` + strings.Repeat("x", 490) + last + `"}}},"room":"blue"}`
	}
	got := describe(answer("1"))
	if !strings.HasPrefix(got, `desk.book {"room":"blue"} elicited {"00":{"action":"accept"`) || len(got) > maxSummary {
		t.Errorf("got %s, %d bytes", got, len(got))
	}
	if got == describe(answer("2")) {
		t.Error("other answers are shown as the same")
	}
}

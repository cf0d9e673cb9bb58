package approval

import (
	"encoding/json"
	"testing"
)

// What the wallet signs is a hash of the canonical arguments, so no other spelling of them may get into the summary.
func TestASummaryKeepsTheArgumentsBytes(t *testing.T) {
	for _, args := range []string{
		`{"text":"<b>5 & 6</b>"}`, "{\"text\":\"a\u2028b\u2029c\"}", `{"text":"\u0001"}`, `{"n":1}`,
	} {
		raw, err := Summary{Args: json.RawMessage(args)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var back Summary
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		if string(back.Args) != args {
			t.Errorf("got %s, want %s", back.Args, args)
		}
	}
}

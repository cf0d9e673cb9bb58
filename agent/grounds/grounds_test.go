package grounds_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/grounds"
)

// Each line of testdata/cases.txt is an answer with what must be marked in it; the file says how it is written.
func TestFigures(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var e *grounds.Evidence
	cases, silent := 0, 0
	for n, line := range strings.Split(string(data), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "##":
			e = &grounds.Evidence{}
			continue
		case "request:":
			e.AddRequest(rest)
			continue
		case "step":
			seq, out, _ := strings.Cut(rest, ": ")
			var step uint64
			if err := json.Unmarshal([]byte(seq), &step); err != nil || !json.Valid([]byte(out)) {
				t.Fatalf("line %d is no step", n+1)
			}
			e.AddResult(step, []byte(out))
			continue
		case "=", "!":
		default:
			continue
		}
		want, answer := "", rest
		if kind == "!" {
			want, answer, _ = strings.Cut(rest, " | ")
		} else {
			silent++
		}
		cases++
		var got []string
		for _, m := range grounds.Ungrounded(e.Check(strings.ReplaceAll(answer, `\n`, "\n"))) {
			got = append(got, m.Text)
		}
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("line %d: %s\n got %q, want %q", n+1, answer, s, want)
		}
	}
	t.Logf("%d answers, of which nothing is marked in %d", cases, silent)
	if cases < 180 || silent < 60 {
		t.Errorf("there are %d cases, %d of them without a mark", cases, silent)
	}
}

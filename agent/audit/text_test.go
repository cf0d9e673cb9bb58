package audit

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/provenance"
)

func failedWith(code provenance.Code) *provenance.Report {
	return provenance.FailedReport(&provenance.Fault{Code: code, Detail: "it is \x1b[2Jwrong"})
}

func verified() *provenance.Report {
	r := provenance.NewReport()
	for _, name := range provenance.CheckNames() {
		if name != provenance.CheckLog {
			r.Pass(name, 1, "")
		}
	}
	return r
}

func TestExitSaysWhatKindOfEndItWas(t *testing.T) {
	for _, c := range []struct {
		name string
		rep  *provenance.Report
		want int
	}{
		{"all passed, only the log was not asked", verified(), ExitVerified},
		{"not all could be checked", provenance.NewReport(), ExitIncomplete},
		{"a block is missing", failedWith("links.missing"), ExitIncomplete},
		{"the file ends too soon", failedWith(provenance.CodeCARTruncated), ExitIncomplete},
		{"a block was changed", failedWith(provenance.CodeBlockHash), ExitIntegrity},
		{"a sum is wrong", failedWith(CodeTotals), ExitIntegrity},
		{"another key signed the head", failedWith(provenance.CodeHeadKey), ExitSignature},
		{"the wallet did not sign", failedWith(CodeGrantSignature), ExitSignature},
		{"a decision comes out differently", failedWith(CodeDecision), ExitSignature},
	} {
		if got := Exit(c.rep); got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTheLastLineIsTheVerdict(t *testing.T) {
	for _, c := range []struct {
		rep  *provenance.Report
		want string
	}{
		{verified(), "VERIFIED 0 steps"},
		{provenance.NewReport(), "VERIFIED WITH GAPS 0 steps"},
		{failedWith(provenance.CodeBlockHash), "FAILED block.hash: it is  [2Jwrong"},
	} {
		var b bytes.Buffer
		if err := Text(&b, c.rep, false); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if got := lines[len(lines)-1]; !strings.HasPrefix(got, c.want) {
			t.Errorf("got %q, want it to begin with %q", got, c.want)
		}
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("evidence commands the terminal: %q", b.String())
		}
		for _, name := range provenance.CheckNames() {
			if !strings.Contains(b.String(), "  "+name+" ") {
				t.Errorf("the check %s is not told of:\n%s", name, b.String())
			}
		}
	}
}

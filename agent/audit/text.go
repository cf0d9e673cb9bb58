package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/writ-run/writ/provenance"
)

// questions says what each check asks, for people.
var questions = map[string]string{
	provenance.CheckFrame:     "the file is one CAR with one root and nothing else",
	provenance.CheckHash:      "every block's bytes hash to its CID",
	provenance.CheckCodec:     "every record is in its one spelling",
	provenance.CheckSchema:    "every record has exactly the keys of its version",
	provenance.CheckLinks:     "every link leads to a record of its kind",
	provenance.CheckHistory:   "the steps have no gap, and each answers its question",
	provenance.CheckHead:      "the operator signed the newest step",
	provenance.CheckLeaves:    "what was disclosed is what the records commit to",
	provenance.CheckGrant:     "the wallet signed the permission",
	provenance.CheckCover:     "the permission covers every effect",
	provenance.CheckApprovals: "the wallet signed every approval, for exactly that call",
	provenance.CheckDecisions: "every decision, recomputed, comes out the same",
	provenance.CheckContext:   "every prompt, recomputed, has the recorded digest",
	provenance.CheckTotals:    "the sums are the sums of the steps, within their caps",
	provenance.CheckTransfers: "every signed transaction is the transfer that its call says",
	provenance.CheckLog:       "the newest step stands in a transparency log",
}

// Question returns what a check asks, in words that hold when it passes.
func Question(check string) string { return questions[check] }

// Text writes a report for people: a line a check, who answered, what was not proven, and the verdict as the last
// line, which begins with VERIFIED, VERIFIED WITH GAPS or FAILED. With color it marks the words with ANSI colours.
func Text(w io.Writer, rep *provenance.Report, color bool) error {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var b strings.Builder
	for _, c := range rep.Checks {
		mark, count := paint("33", "not checked"), ""
		switch c.Status {
		case provenance.Pass:
			mark, count = paint("32", "pass")+"       ", fmt.Sprint(c.Count)
		case provenance.Fail:
			mark = paint("31", "FAIL") + "       "
		}
		what := questions[c.Name]
		if c.Note != "" {
			what = Printable(c.Note)
		}
		fmt.Fprintf(&b, "  %-10s %s %6s  %s\n", c.Name, mark, count, what)
	}
	for _, m := range rep.Models {
		fmt.Fprintf(&b, "answered: %s\n", Printable(m))
	}
	if len(rep.Unproven) > 0 {
		b.WriteString("not proven:\n")
		for _, u := range rep.Unproven {
			fmt.Fprintf(&b, "  - %s\n", Printable(u))
		}
	}
	fmt.Fprintf(&b, "completeness %s\n", rep.Completeness)
	switch rep.Verdict {
	case provenance.Verified:
		fmt.Fprintf(&b, "%s %s\n", paint("1;32", "VERIFIED"), size(rep))
	case provenance.Gaps:
		fmt.Fprintf(&b, "%s %s: nothing is wrong with what could be checked, but not all could\n",
			paint("1;33", "VERIFIED WITH GAPS"), size(rep))
	default:
		at := ""
		if rep.At != "" {
			at = " at " + rep.At
		}
		fmt.Fprintf(&b, "%s %s%s: %s\n", paint("1;31", "FAILED"), rep.Code, at, Printable(rep.Detail))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func size(rep *provenance.Report) string {
	s := fmt.Sprintf("%d steps, %d blocks, %d bytes", rep.Steps, rep.Blocks, rep.Bytes)
	if rep.Run != "" {
		s += ", run " + rep.Run
	}
	return s
}

// Printable keeps text that comes out of evidence from commanding the reader's terminal: it is one line, without
// control characters and without those that turn the direction of text.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
}

// Exit codes of programs that report a verdict.
const (
	ExitVerified   = 0
	ExitIntegrity  = 2 // bytes, links or sums are not what they should be
	ExitSignature  = 3 // a signature, a permission or a decision does not hold
	ExitIncomplete = 4 // blocks are missing, or something could not be checked
)

// Exit returns the exit code that says a report's verdict.
func Exit(rep *provenance.Report) int {
	family, _, _ := strings.Cut(string(rep.Code), ".")
	switch {
	case rep.Verdict == provenance.Verified:
		return ExitVerified
	case rep.Verdict == provenance.Gaps:
		return ExitIncomplete
	case rep.Code == provenance.CodeCARTruncated, rep.Code == provenance.CodeCARRootMissing, rep.Code == "links.missing", rep.Code == provenance.CodeLogMissing:
		return ExitIncomplete
	}
	switch family {
	case "delegation", provenance.CheckHead, provenance.CheckGrant, provenance.CheckCover, provenance.CheckApprovals, provenance.CheckDecisions,
		provenance.CheckTransfers:
		return ExitSignature
	}
	return ExitIntegrity
}

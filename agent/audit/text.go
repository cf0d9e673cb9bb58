package audit

import (
	"fmt"
	"io"
	"strings"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
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
	provenance.CheckReplies:   "every reply, read again from the provider's bytes, is what they say",
	provenance.CheckTotals:    "the sums are the sums of the steps, within their caps",
	provenance.CheckTransfers: "every signed transaction is the transfer that its call says",
	provenance.CheckLog:       "the newest step stands in a transparency log",
}

// Question returns what a check asks, in words that hold when it passes.
func Question(check string) string { return questions[check] }

// WriteText writes a report for people: a line a check, who answered, what was not proven, and the verdict as the last
// line, which begins with VERIFIED, VERIFIED WITH GAPS, CONSISTENT, INCOMPLETE, FAILED or NOT READ. With color it marks
// the words with ANSI colours.
func WriteText(w io.Writer, rep *provenance.Report, color bool) error {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var b strings.Builder
	rows, unreached := sortChecks(rep.Checks)
	for _, c := range rows {
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
	if len(unreached) > 0 {
		fmt.Fprintf(&b, "not reached, since a check failed: %s\n", strings.Join(unreached, ", "))
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
	fmt.Fprintf(&b, "completeness %s", rep.Completeness)
	if rep.ShownBy != "" {
		fmt.Fprintf(&b, ", %s", rep.ShownBy)
	}
	b.WriteString("\n" + verdictLine(rep, paint) + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// sortChecks puts the checks that failed first, the others behind them in their order, and names apart those that were
// not reached: they have nothing to say but that.
func sortChecks(all []provenance.CheckResult) (rows []provenance.CheckResult, unreached []string) {
	for _, c := range all {
		if c.Status == provenance.Fail {
			rows = append(rows, c)
		}
	}
	for _, c := range all {
		switch {
		case c.Status == provenance.Fail:
		case c.Note == provenance.NotReached:
			unreached = append(unreached, c.Name)
		default:
			rows = append(rows, c)
		}
	}
	return rows, unreached
}

// verdictLine is the last line. What nothing shows to be the operator's does not begin with VERIFIED.
func verdictLine(rep *provenance.Report, paint func(code, s string) string) string {
	switch rep.Verdict {
	case provenance.Verified:
		return paint("1;32", "VERIFIED") + " " + describeSize(rep)
	case provenance.Gaps:
		return paint("1;33", "VERIFIED WITH GAPS") + " " + describeSize(rep) +
			": nothing is wrong with what could be checked, but not all could"
	case provenance.Unattributed:
		return paint("1;33", "CONSISTENT, NOT ATTRIBUTED") + " " + describeSize(rep) + ": it agrees with itself, and " +
			"anybody could have made it; give --operator-key or --operator-wallet"
	case provenance.Incomplete:
		return paint("1;33", "INCOMPLETE") + " " + describeSize(rep) +
			": nothing is wrong with what could be checked, but nothing shows that no step was hidden"
	}
	at := ""
	if rep.At != "" {
		at = " at " + rep.At
	}
	if rep.Verdict == provenance.Unread {
		return fmt.Sprintf("%s %s%s: not a form that is read here, its contents were not judged: %s",
			paint("1;33", "NOT READ"), rep.Code, at, Printable(rep.Detail))
	}
	return fmt.Sprintf("%s %s%s: %s", paint("1;31", "FAILED"), rep.Code, at, Printable(rep.Detail))
}

func describeSize(rep *provenance.Report) string {
	s := fmt.Sprintf("%d steps, %d blocks, %d bytes", rep.Steps, rep.Blocks, rep.Bytes)
	if rep.Run != "" {
		s += ", run " + rep.Run
	}
	return s
}

// Printable keeps text that comes out of evidence from commanding the reader's terminal: it is one line, without
// control characters and without those that turn the direction of text.
func Printable(s string) string { return wording.Printable(s) }

// Refusal returns why a report is none of a verified run: a code for programs and a sentence for people. Both are empty
// if it is one.
func Refusal(rep *provenance.Report) (code, message string) {
	switch rep.Verdict {
	case provenance.Verified:
		return "", ""
	case provenance.Gaps:
		return "gaps", "nothing is wrong with what could be checked, but not all could; see checks"
	case provenance.Unattributed:
		return "unattributed", "nothing shows who made this record; give --operator-key or --operator-wallet"
	case provenance.Incomplete:
		return "incomplete", "nothing shows that the history is complete; see unproven"
	}
	return string(rep.Code), rep.Detail
}

// Exit codes of programs that report a verdict.
const (
	ExitVerified   = 0
	ExitIntegrity  = 2 // bytes, links or sums are not what they should be
	ExitSignature  = 3 // a signature, a permission or a decision does not hold
	ExitIncomplete = 4 // blocks are missing, or completeness was asked for and is not shown
	// nothing is wrong with what could be checked, but not all could; or nothing shows who made it
	ExitGaps   = 20
	ExitUnread = 21 // a file in a form that is not read here
)

// Exit returns the exit code that says a report's verdict.
func Exit(rep *provenance.Report) int {
	family, _, _ := strings.Cut(string(rep.Code), ".")
	switch {
	case rep.Verdict == provenance.Verified:
		return ExitVerified
	case rep.Verdict == provenance.Gaps, rep.Verdict == provenance.Unattributed:
		return ExitGaps
	case rep.Verdict == provenance.Unread:
		return ExitUnread
	case rep.Verdict == provenance.Incomplete:
		return ExitIncomplete
	case rep.Code == provenance.CodeCARTruncated, rep.Code == provenance.CodeCARRootMissing,
		rep.Code == "links.missing", rep.Code == logproof.CodeLogMissing:
		return ExitIncomplete
	}
	switch family {
	case "delegation", provenance.CheckHead, provenance.CheckGrant, provenance.CheckCover, provenance.CheckApprovals,
		provenance.CheckDecisions, provenance.CheckTransfers:
		return ExitSignature
	}
	return ExitIntegrity
}

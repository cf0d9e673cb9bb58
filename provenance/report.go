package provenance

import (
	"errors"
	"slices"
	"strings"
)

// The checks, each one question that verifying a history asks, in the order in which they are judged; those from
// CheckGrant on need rules or wallets' signatures and are judged by agent/audit.
const (
	CheckFrame     = "frame"     // the file is a CAR v1 with one root and nothing else
	CheckHash      = "hash"      // every block's bytes hash to its CID
	CheckCodec     = "codec"     // every record is canonical dag-cbor within bounds
	CheckSchema    = "schema"    // every record has exactly the keys and values of its version
	CheckLinks     = "links"     // every link leads to a record of the right kind, and every block is linked to
	CheckHistory   = "history"   // steps without a gap, in time, each answer to its question
	CheckHead      = "head"      // signed by the operator's key
	CheckLeaves    = "leaves"    // payloads open to what the records commit to
	CheckGrant     = "grant"     // the wallet signed the permission
	CheckCover     = "cover"     // the permission covers each effect
	CheckApprovals = "approvals" // the wallet signed each approval, for exactly this effect
	CheckDecisions = "decisions" // each decision recomputed gives the same
	CheckContext   = "context"   // each prompt recomputed has the recorded digest
	CheckReplies   = "replies"   // each reply is what the provider's bytes say
	CheckTotals    = "totals"    // the sums of the close are the sums of the steps
	CheckTransfers = "transfers" // each signed transaction does what its call says
	CheckLog       = "log"       // the head is in a transparency log
)

// CheckNames returns the names of all checks in order.
func CheckNames() []string {
	return []string{
		CheckFrame, CheckHash, CheckCodec, CheckSchema, CheckLinks, CheckHistory, CheckHead, CheckLeaves, CheckGrant,
		CheckCover, CheckApprovals, CheckDecisions, CheckContext, CheckReplies, CheckTotals, CheckTransfers, CheckLog,
	}
}

// What a check, a report and its completeness can be.
const (
	Pass       = "pass"
	Fail       = "fail"
	NotChecked = "not_checked"

	Verified = "verified"
	Gaps     = "gaps" // nothing is wrong with what could be checked; not all could
	// Unattributed says that the history agrees with itself, and that nothing shows who made it: anybody could have.
	Unattributed = "unattributed"
	// Incomplete says that nothing is wrong, and that completeness was asked for and is not shown.
	Incomplete = "incomplete"
	Failed     = "failed" // something is wrong
	Unread     = "unread" // the file is not in a form that is read here; its contents were not judged

	Established   = "established"
	Unestablished = "unestablished"
)

// A CheckResult is what came of one check.
type CheckResult struct {
	Name   string `json:"name"`
	Status string `json:"status"` // Pass, Fail or NotChecked
	Count  int    `json:"count"`  // of the things that were checked
	Note   string `json:"note,omitempty"`
	Code   Code   `json:"code,omitempty"` // what was found that is no fault; see [Report.Remark]
}

// NotReached is the note of a check that was not made, since another one failed before.
const NotReached = "not reached: another check failed"

// An Answered is one call of a model, and how well it is shown that the model named really answered.
type Answered struct {
	Step     uint64 `json:"step"`
	At       string `json:"at"` // its CID
	Model    string `json:"model"`
	Kind     string `json:"kind"`     // "rules, no model", "scripted", "model" or "unknown"
	Evidence uint64 `json:"evidence"` // 0 to 4, see [ModelCall]
}

// A Report is the outcome of verifying a history. Every check is in it: passed, failed, or not checked and why. CIDs
// are in base32.
type Report struct {
	Schema string `json:"schema"` // [ReportSchema]
	// Who judged, when by the verifier's clock (RFC 3339), and from which bytes: a program says so, a package cannot.
	Verifier     *Program      `json:"verifier,omitempty"`
	CheckedAt    string        `json:"checked_at,omitempty"`
	Inputs       []Input       `json:"inputs,omitempty"`
	Verdict      string        `json:"verdict"`            // Verified, Gaps, Unattributed, Incomplete, Failed or Unread
	Completeness string        `json:"completeness"`       // Established or Unestablished
	ShownBy      string        `json:"shown_by,omitempty"` // how far completeness reaches, if it does not reach all the way
	Code         Code          `json:"code,omitempty"`
	At           string        `json:"at,omitempty"` // the block at which the first failed check failed
	Detail       string        `json:"detail,omitempty"`
	Checks       []CheckResult `json:"checks"`
	Models       []string      `json:"models,omitempty"`      // who answered, of what kind, at which evidence level
	ModelCalls   []Answered    `json:"model_calls,omitempty"` // each of them, at most 4,096
	Unproven     []string      `json:"unproven"`              // what the evidence cannot show, in sentences
	Root         string        `json:"root,omitempty"`
	Run          string        `json:"run,omitempty"`
	Steps        int           `json:"steps"`
	Blocks       int           `json:"blocks"`
	Bytes        int64         `json:"bytes"` // of the blocks
	Leaves       LeafCounts    `json:"leaves"`
	Subject      *Subject      `json:"subject,omitempty"` // none if the history could not be read

	faults   []*Fault // of the checks, in the order of Checks; nil for one that did not fail
	complete bool     // completeness is asked for
}

// NewReport returns a report in which nothing has been checked yet. Its verdict is Unattributed.
func NewReport() *Report {
	r := &Report{Schema: ReportSchema, Completeness: Unestablished, Unproven: []string{
		"that the provider really ran the model that it names",
		unheard,
		"that the operator's clock was right",
		"that tools and chains answered what is recorded, or that a signed transaction is on its chain",
		"that what other runs had used of a budget, the health of models, and that the session was not revoked, " +
			"were as recorded",
	}}
	for _, name := range CheckNames() {
		r.Checks = append(r.Checks, CheckResult{Name: name, Status: NotChecked})
	}
	r.faults = make([]*Fault, len(r.Checks))
	r.judgeVerdict()
	return r
}

// FailedReport returns the report on evidence that could not even be opened, such as a CAR file that [OpenCAR]
// refuses.
func FailedReport(err error) *Report {
	r := NewReport()
	r.Fault(err)
	r.SkipUnreached()
	return r
}

// Pass says that a check passed for count things.
func (r *Report) Pass(name string, count int, note string) {
	r.setResult(CheckResult{Name: name, Status: Pass, Count: count, Note: note}, nil)
}

// Skip says that a check could not be made, and why; count things were looked at all the same.
func (r *Report) Skip(name string, count int, note string) {
	r.setResult(CheckResult{Name: name, Status: NotChecked, Count: count, Note: note}, nil)
}

// Remark is Skip for what was found that is no fault of the evidence, and still takes from what it shows.
func (r *Report) Remark(name string, count int, code Code, note string) {
	r.setResult(CheckResult{Name: name, Status: NotChecked, Count: count, Note: note, Code: code}, nil)
}

// Fail says that a check failed. A check that failed stays so; its first fault is kept.
func (r *Report) Fail(name string, f *Fault) {
	i := r.checkPlace(name)
	if r.faults[i] == nil {
		r.setResult(CheckResult{Name: name, Status: Fail, Count: r.Checks[i].Count, Note: f.Detail}, f)
	}
}

// Fault says that the check to which err's code belongs failed. An error that is no [*Fault], such as one of reading
// the file, fails the check of the frame as "car.unreadable".
func (r *Report) Fault(err error) {
	f := asFault(err)
	r.Fail(checkOf(f.Code), f)
}

// Status returns what came of a check.
func (r *Report) Status(name string) CheckResult { return r.Checks[r.checkPlace(name)] }

// Failure returns why a check failed, and the block at which, if one is named; nothing if it did not fail.
func (r *Report) Failure(name string) (code Code, at string) {
	f := r.faults[r.checkPlace(name)]
	if f == nil {
		return "", ""
	}
	if f.At.Defined() {
		at = f.At.String()
	}
	return f.Code, at
}

// unheard is what stays open without a log, and without anything from outside that shows it.
const unheard = "that no other run or step was hidden: completeness needs a log of heads that is seen from outside"

// Establish says that the history is complete: it is closed, and that its last head is in a log has been seen from
// outside. Without a witness that is said of this log alone, which might show others something else.
func (r *Report) Establish(witnessed bool) {
	r.Completeness = Established
	if !witnessed {
		r.ShownBy = "as far as this log shows"
		r.Unprove("that the log shows everybody the same: no witness of yours has cosigned it, and no anchor has it")
	}
	i := slices.Index(r.Unproven, unheard)
	if i >= 0 {
		r.Unproven[i] = "that no other run was hidden, nor another branch of this one: who follows the log sees " +
			"every head"
	}
	r.judgeVerdict()
}

// RequireComplete makes a history that is not shown to be complete [Incomplete], even if nothing is wrong with it.
func (r *Report) RequireComplete() {
	r.complete = true
	r.judgeVerdict()
}

// Unprove adds to what was not proven.
func (r *Report) Unprove(what string) {
	if !slices.Contains(r.Unproven, what) {
		r.Unproven = append(r.Unproven, what)
	}
}

func (r *Report) setResult(c CheckResult, f *Fault) {
	i := r.checkPlace(c.Name)
	if r.faults[i] != nil {
		return
	}
	r.Checks[i], r.faults[i] = c, f
	r.judgeVerdict()
}

func (r *Report) checkPlace(name string) int {
	i := slices.IndexFunc(r.Checks, func(c CheckResult) bool { return c.Name == name })
	if i < 0 {
		panic("provenance: no check is called " + name)
	}
	return i
}

// judgeVerdict derives the verdict from the checks.
func (r *Report) judgeVerdict() {
	r.Verdict, r.Code, r.At, r.Detail = Verified, "", "", ""
	for i := range r.Checks {
		// Without a log it is completeness that stays open, and the report says that apart from the verdict.
		if r.Checks[i].Status == NotChecked && r.Checks[i].Name != CheckLog {
			r.Verdict = Gaps
		}
	}
	// The head's signature is the only thing that says whose history it is: all else, whoever invents one can sign.
	if r.Status(CheckHead).Status == NotChecked {
		r.Verdict = Unattributed
	}
	if r.complete && r.Completeness != Established {
		r.Verdict = Incomplete
	}
	for _, f := range r.faults {
		if f == nil {
			continue
		}
		r.Verdict, r.Code, r.Detail = VerdictOf(f.Code), f.Code, f.Detail
		if f.At.Defined() {
			r.At = f.At.String()
		}
		return
	}
}

// VerdictOf returns the verdict on a history whose first fault has this code: [Failed] or [Unread].
func VerdictOf(code Code) string {
	switch code {
	case CodeCARVersion, CodeCARRoots, CodeCARDuplicate, CodeCARPadding, CodeCARJoined, CodeCARPacked, CodeCARSize:
		return Unread
	}
	return Failed
}

// Refused says that something is wrong, or that the file was not read.
func (r *Report) Refused() bool { return r.Verdict == Failed || r.Verdict == Unread }

// SkipUnreached gives a reason to each check that was not made and has none yet, once another has failed.
func (r *Report) SkipUnreached() {
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Status == NotChecked && c.Note == "" {
			c.Note = NotReached
		}
	}
}

// CodeUnreadable says that the evidence could not be read.
const CodeUnreadable Code = "car.unreadable"

func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Faultf(CodeUnreadable, "%s", err)
}

// checkOf returns the check that a code belongs to.
func checkOf(code Code) string {
	family, _, _ := strings.Cut(string(code), ".")
	switch family {
	case "car":
		return CheckFrame
	case "block":
		return CheckHash
	case "codec", "link":
		return CheckCodec
	case "leaf":
		return CheckLeaves
	case "delegation":
		return CheckGrant
	}
	if slices.Contains(CheckNames(), family) {
		return family
	}
	return CheckFrame
}

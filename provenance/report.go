package provenance

import (
	"errors"
	"slices"
	"strings"
)

// The checks, each one question that verifying a history asks, in the order in which they are judged; those from CheckGrant on need rules or wallets' signatures and
// are judged by agent/audit.
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
	CheckTotals    = "totals"    // the sums of the close are the sums of the steps
	CheckTransfers = "transfers" // each signed transaction does what its call says
	CheckLog       = "log"       // the head is in a transparency log
)

// CheckNames returns the names of all checks in order.
func CheckNames() []string {
	return []string{
		CheckFrame, CheckHash, CheckCodec, CheckSchema, CheckLinks, CheckHistory, CheckHead, CheckLeaves, CheckGrant,
		CheckCover, CheckApprovals, CheckDecisions, CheckContext, CheckTotals, CheckTransfers, CheckLog,
	}
}

// What a check, a report and its completeness can be.
const (
	Pass       = "pass"
	Fail       = "fail"
	NotChecked = "not_checked"

	Verified = "verified"
	Gaps     = "gaps"   // nothing is wrong with what could be checked; not all could
	Failed   = "failed" // something is wrong

	Established   = "established"
	Unestablished = "unestablished"
)

// A CheckResult is what came of one check.
type CheckResult struct {
	Name   string `json:"name"`
	Status string `json:"status"` // Pass, Fail or NotChecked
	Count  int    `json:"count"`  // of the things that were checked
	Note   string `json:"note,omitempty"`
}

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
	Verdict      string        `json:"verdict"`      // Verified, Gaps or Failed
	Completeness string        `json:"completeness"` // Established or Unestablished
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

	faults []*Fault // of the checks, in the order of Checks; nil for one that did not fail
}

// NewReport returns a report in which nothing has been checked yet. Its verdict is Gaps.
func NewReport() *Report {
	r := &Report{Completeness: Unestablished, Unproven: []string{
		"that the provider really ran the model that it names",
		unheard,
		"that the operator's clock was right",
		"that tools and chains answered what is recorded, or that a signed transaction is on its chain",
		"that what other runs had used of a budget, the health of models, and that the session was not revoked, were as recorded",
	}}
	for _, name := range CheckNames() {
		r.Checks = append(r.Checks, CheckResult{Name: name, Status: NotChecked})
	}
	r.faults = make([]*Fault, len(r.Checks))
	r.settle()
	return r
}

// FailedReport returns the report on evidence that could not even be opened, such as a CAR file that [OpenCAR]
// refuses.
func FailedReport(err error) *Report {
	r := NewReport()
	r.Fault(err)
	r.skipRest()
	return r
}

// Pass says that a check passed for count things.
func (r *Report) Pass(name string, count int, note string) {
	r.set(CheckResult{name, Pass, count, note}, nil)
}

// Skip says that a check could not be made, and why; count things were looked at all the same.
func (r *Report) Skip(name string, count int, note string) {
	r.set(CheckResult{name, NotChecked, count, note}, nil)
}

// Fail says that a check failed. A check that failed stays so; its first fault is kept.
func (r *Report) Fail(name string, f *Fault) {
	i := r.place(name)
	if r.faults[i] == nil {
		r.set(CheckResult{name, Fail, r.Checks[i].Count, f.Detail}, f)
	}
}

// Fault says that the check to which err's code belongs failed. An error that is no [*Fault], such as one of reading
// the file, fails the check of the frame as "car.unreadable".
func (r *Report) Fault(err error) {
	f := asFault(err)
	r.Fail(checkOf(f.Code), f)
}

// Status returns what came of a check.
func (r *Report) Status(name string) CheckResult { return r.Checks[r.place(name)] }

// Failure returns why a check failed, and the block at which, if one is named; nothing if it did not fail.
func (r *Report) Failure(name string) (code Code, at string) {
	f := r.faults[r.place(name)]
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
// outside.
func (r *Report) Establish() {
	r.Completeness = Established
	i := slices.Index(r.Unproven, unheard)
	if i >= 0 {
		r.Unproven[i] = "that no other run was hidden, nor another branch of this one: who follows the log sees every head"
	}
}

// Unprove adds to what was not proven.
func (r *Report) Unprove(what string) {
	if !slices.Contains(r.Unproven, what) {
		r.Unproven = append(r.Unproven, what)
	}
}

func (r *Report) set(c CheckResult, f *Fault) {
	i := r.place(c.Name)
	if r.faults[i] != nil {
		return
	}
	r.Checks[i], r.faults[i] = c, f
	r.settle()
}

func (r *Report) place(name string) int {
	i := slices.IndexFunc(r.Checks, func(c CheckResult) bool { return c.Name == name })
	if i < 0 {
		panic("provenance: no check is called " + name)
	}
	return i
}

// settle derives the verdict from the checks.
func (r *Report) settle() {
	r.Verdict, r.Code, r.At, r.Detail = Verified, "", "", ""
	for i := range r.Checks {
		// Without a log it is completeness that stays open, and the report says that apart from the verdict.
		if r.Checks[i].Status == NotChecked && r.Checks[i].Name != CheckLog {
			r.Verdict = Gaps
		}
	}
	for _, f := range r.faults {
		if f == nil {
			continue
		}
		r.Verdict, r.Code, r.Detail = Failed, f.Code, f.Detail
		if f.At.Defined() {
			r.At = f.At.String()
		}
		return
	}
}

// skipRest gives a reason to each check that has none yet.
func (r *Report) skipRest() {
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Status == NotChecked && c.Note == "" {
			c.Note = "not reached: another check failed"
		}
	}
}

// CodeUnreadable says that the evidence could not be read.
const CodeUnreadable Code = "car.unreadable"

func asFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return fault(CodeUnreadable, "%s", err)
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

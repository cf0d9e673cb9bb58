package provenance

import "github.com/writ-run/writ/provenance/internal/subject"

// ReportSchema is the name and version of the form that a [Report] has as JSON: docs/report.schema.json. A version may
// get more keys; none that it has changes its meaning.
const ReportSchema = "writ/report/1"

// What a report says of itself and of what it is about.
type (
	Program   = subject.Program   // what has judged
	Input     = subject.Input     // what the verifier was given
	Subject   = subject.Subject   // what the history is about
	Named     = subject.Named     // a record with a name
	Rules     = subject.Rules     // one policy set that judged the run
	Built     = subject.Built     // the program that ran, as it says
	Ended     = subject.Ended     // how the run closed, with the sums of its close
	Sums      = subject.Sums      // what became of one asset, in its units
	KeyUsed   = subject.KeyUsed   // a key that something was checked by, and what makes it the right one
	Claimed   = subject.Claimed   // a kind of outcome that only the operator's word shows, and how often
	Histories = subject.Histories // those beside the one that was asked for
)

// NewInput describes what was read, by its SHA-256.
func NewInput(use string, sum []byte, size int64) Input { return subject.NewInput(use, sum, size) }

// What makes a key the right one.
const (
	BoundGiven      = subject.BoundGiven
	BoundByWallet   = subject.BoundByWallet
	BoundByRecord   = subject.BoundByRecord
	BoundByOperator = subject.BoundByOperator
	BoundBySig      = subject.BoundBySig
	BoundByChain    = subject.BoundByChain
	BoundByWord     = subject.BoundByWord
)

// MaxClaimed is how many kinds of outcomes a report lists; the others are counted as one, of "others".
const MaxClaimed = subject.MaxClaimed

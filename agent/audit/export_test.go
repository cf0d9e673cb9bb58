package audit

import "github.com/writ-run/writ/provenance"

// JudgeWithin is Verify with another bound on the texts that a replay holds.
func JudgeWithin(limit int, src provenance.Source, o Options) *provenance.Report {
	return judgeRun(src, o, &auditor{limit: limit})
}

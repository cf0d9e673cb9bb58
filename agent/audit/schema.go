package audit

import (
	_ "embed"
	"slices"
)

//go:embed report.schema.json
var reportSchema []byte

// ReportSchema returns the JSON Schema of a provenance.Report, as docs/report.schema.json has it, for what both verify
// commands print with --json: "ok" and, unless that is true, "error" stand in front of the report.
func ReportSchema() []byte { return slices.Clone(reportSchema) }

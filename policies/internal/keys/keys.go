// Package keys lists the words of a set's format: those that package policies reads, in the order in which
// policies/workshop writes them. schema.json lists the same.
package keys

// The keys of each mapping.
var (
	Set     = []string{"schema", "name", "about", "assets", "budgets", "sets", "variables", "rules", "waive", "tests"}
	Budget  = []string{"id", "cap", "scope", "window", "zone", "per", "until"}
	SetFile = []string{"file"}
	Rule    = []string{"id", "at", "tool", "effect", "when", "unless", "message", "ttl", "reserve", "redact",
		"route", "limit", "label", "mode"}
	Reserve = []string{"budget", "amount"}
	Redact  = []string{"fields", "patterns"}
	Route   = []string{"use", "priority"}
	Limit   = []string{"tokens", "calls", "bytes"}
	Label   = []string{"integrity", "secrecy"}
	Waiver  = []string{"check", "for", "why"}
)

// Words that stand for themselves.
var (
	Effects = []string{"forbid", "permit", "approve", "redact", "route", "limit", "label"}
	Classes = []string{"read", "keyed", "chain", "once", "wallet"}
	Modes   = []string{"public", "sealed", "commit-only", "ephemeral"} // by strictness
)

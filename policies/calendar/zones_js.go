package calendar

import _ "embed"

// In a page sets are read from records, which have the rules of the zones that they use; only UTC comes with the
// program.
//
//go:embed utc.zip
var zoneinfo []byte

package policies

import (
	"bytes"
	_ "embed"
)

//go:embed schema.json
var setSchema []byte

// SetSchema returns the JSON Schema (draft 2020-12) of a policy set, for editors. [Load] refuses more than it can say:
// conditions are typed for each point.
func SetSchema() []byte { return bytes.Clone(setSchema) }

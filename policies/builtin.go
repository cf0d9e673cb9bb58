package policies

import (
	"bytes"
	"embed"
	"slices"
	"strings"
)

//go:embed sets/*.yaml
var builtins embed.FS

//go:embed schema.json
var setSchema []byte

// SetSchema returns the JSON Schema (draft 2020-12) of a policy set, for editors. [Load] refuses more than it can say:
// conditions are typed for each point.
func SetSchema() []byte { return bytes.Clone(setSchema) }

// Builtin returns the source of a set that comes with writ, or false.
func Builtin(name string) ([]byte, bool) {
	if !slices.Contains(BuiltinNames(), name) {
		return nil, false
	}
	src, err := builtins.ReadFile("sets/" + name + ".yaml")
	return src, err == nil
}

// BuiltinNames lists the sets that come with writ, sorted.
func BuiltinNames() []string {
	entries, _ := builtins.ReadDir("sets") // embedded: it is there
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

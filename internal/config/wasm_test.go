package config

import (
	"strings"
	"testing"
)

func TestModulesInTheSettings(t *testing.T) {
	const good = "tools:\n- wasm: {name: split.evenly, module: a.wasm, schema: a.json, about: Splits., fuel: 5, timeout: 1s}\n"
	if err := CheckTools([]byte(good), "writ.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, says string }{
		{"name: split.evenly", "name: Split", "is not a tool's name"},
		{"module: a.wasm, ", "", "needs module, schema and about"},
		{", about: Splits.", "", "needs module, schema and about"},
		{"fuel: 5", "fuel: -5", "below zero"},
		{"fuel: 5", "integrity: user", "none of tool, untrusted"},
		{"fuel: 5", "imports: wasi", "imports"},
	} {
		err := CheckTools([]byte(strings.Replace(good, tt.old, tt.new, 1)), "writ.yaml")
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.new, err, tt.says)
		}
	}
}

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

const example = "../../examples/wasm/"

func TestAnotherModuleIsNoTool(t *testing.T) {
	w := config.Wasm{Name: "split.evenly", Module: example + "split.wasm", Schema: example + "split.schema.json", About: "Splits."}
	spec, err := DescribeModule(w)
	if err != nil {
		t.Fatal(err)
	}
	def, err := tools.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	if def.Module() == "" || def.Module() != spec.Definition || spec.Class != tools.Read || spec.Foreign || spec.AskWallet ||
		spec.Output.Integrity != label.Tool || strings.Contains(string(def.Offered()), "x-module") {
		t.Errorf("got %+v", spec)
	}
	w.CID = spec.Definition
	if _, err := DescribeModule(w); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(w.Module)
	if err != nil {
		t.Fatal(err)
	}
	other := w
	other.Module = filepath.Join(t.TempDir(), "split.wasm")
	if err := os.WriteFile(other.Module, append(data, 0, 1, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, says string
		w          config.Wasm
	}{
		{"another file", "is not the module that was accepted", other},
		{"no file", "no such file", config.Wasm{Name: "a.b", Module: "none.wasm", Schema: w.Schema, About: "A."}},
		{"a folder", "no ordinary file", config.Wasm{Name: "a.b", Module: ".", Schema: w.Schema, About: "A."}},
		{"no module", "no WebAssembly module", config.Wasm{Name: "a.b", Module: w.Schema, Schema: w.Schema, About: "A."}},
		{"no schema", "no JSON object", config.Wasm{Name: "a.b", Module: w.Module, Schema: w.Module, About: "A."}},
		{"too much fuel", "say 1 to", config.Wasm{Name: "a.b", Module: w.Module, Schema: w.Schema, About: "A.", Fuel: 1 << 60}},
	} {
		if _, err := DescribeModule(tt.w); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
	}
}

package tools

import (
	"errors"
	"fmt"
)

// KeyModule is the keyword of a schema by which a tool's results are computed by a module: the file of WebAssembly
// whose CID is the Spec's Definition. It stands in the schema, and so in the tool's record: an auditor who has the file
// computes the results again. Its value is ModuleForm, the form in which a module takes arguments and gives results.
const (
	KeyModule  = "x-module"
	ModuleForm = "writ/module/1"
)

// Module returns the CID of the module that computes the tool's results, or "" if none does.
func (d *Def) Module() string {
	if !d.computed {
		return ""
	}
	return d.spec.Definition
}

// readModule reads the keyword, which may be absent.
func (d *Def) readModule(v *value) error {
	switch {
	case v == nil:
		return nil
	case v.kind != text || v.text != ModuleForm:
		return fmt.Errorf("schema: %s is %q, the one form of modules that is known", KeyModule, ModuleForm)
	case d.spec.Class != Read || d.spec.Definition == "":
		return errors.New("schema: " + KeyModule + " is of a tool of class read whose definition is the module's CID")
	}
	d.computed = true
	return nil
}

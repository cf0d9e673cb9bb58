package node

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/module"
)

// maxSchemaFile bounds the file of a schema, in bytes.
const maxSchemaFile = 64 << 10

// ReadModule reads the file of a module. One that is too long is cut, and refused later.
func ReadModule(path string) ([]byte, error) { return readLimited(path, module.MaxModule) }

// moduleTool makes a tool of a module. A file that is another than was accepted is refused.
func moduleTool(w config.Wasm) (tools.Tool, error) {
	wrong := func(err error) error { return badSetting("tools: %s: %s", w.Name, err) }
	data, err := ReadModule(w.Module)
	if err != nil {
		return nil, wrong(err)
	}
	if cid := module.CID(data); w.CID != "" && w.CID != cid {
		return nil, wrong(fmt.Errorf("the file %s is not the module that was accepted: it is %s and not %s. If it is as it "+
			"should be, set cid to that", w.Module, cid, w.CID))
	}
	schema, err := readLimited(w.Schema, maxSchemaFile)
	if err != nil {
		return nil, wrong(err)
	}
	use, err := useOf(w.Known(), nil)
	if err != nil {
		return nil, wrong(err)
	}
	m, err := module.Read(context.Background(), data, w.Fuel)
	if err != nil {
		return nil, wrong(err)
	}
	t, err := m.Tool(tools.Spec{
		Name: w.Name, About: w.About, Schema: schema, Utterances: use.Utterances, Output: use.Output,
		Clearance: use.Clearance, AskWallet: use.AskWallet,
	}, w.Timeout)
	if err != nil {
		return nil, wrong(err)
	}
	return t, nil
}

// DescribeModule describes the tool that a module is. Nothing is computed.
func DescribeModule(w config.Wasm) (tools.Spec, error) {
	t, err := moduleTool(w)
	if err != nil {
		return tools.Spec{}, err
	}
	return t.Spec(), nil
}

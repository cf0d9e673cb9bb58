//go:build js && wasm

// Command auditor is the auditor for a page: the code of writ-audit verify, without files and network, as WebAssembly
// in a worker. It answers audit(car, keys, operatorKey) with the report that writ-audit verify --json prints and the
// text of writ-audit verify, so that a page says word for word what the command says.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"syscall/js"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

func main() {
	js.Global().Set("audit", js.FuncOf(func(_ js.Value, args []js.Value) any {
		car := make([]byte, args[0].Length())
		js.CopyBytesToGo(car, args[0])
		out, err := json.Marshal(judge(car, args[1].String(), args[2].String()))
		if err != nil {
			return `{"error":"the report cannot be written"}`
		}
		return string(out)
	}))
	js.Global().Call("auditReady")
	select {}
}

type answer struct {
	Report *provenance.Report `json:"report,omitempty"`
	Text   string             `json:"text,omitempty"`
	Exit   int                `json:"exit"`
	Error  string             `json:"error,omitempty"`
}

func judge(car []byte, keyFile, operator string) answer {
	var o audit.Options
	if keyFile != "" {
		keys, err := provenance.ReadKeys(strings.NewReader(keyFile))
		if err != nil {
			a := answer{Error: "the file of keys: " + audit.Printable(err.Error())}
			if f, ok := errors.AsType[*provenance.Fault](err); ok {
				a.Exit = audit.Exit(provenance.FailedReport(f)) // as the command ends
			}
			return a
		}
		o.Keys = keys
	}
	if operator != "" {
		key, err := hex.DecodeString(operator)
		if err != nil || len(key) != 32 {
			return answer{Error: "an operator's key is 64 hex digits"}
		}
		o.OperatorKey = key
	}
	file, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
	rep := provenance.FailedReport(err)
	if err == nil {
		rep = audit.Verify(file, o)
	}
	var text strings.Builder
	if err := audit.WriteText(&text, rep, false); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Report: rep, Text: text.String(), Exit: audit.Exit(rep)}
}

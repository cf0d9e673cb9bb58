//go:build js && wasm

// Command auditor is the auditor for a page: the code of writ-audit verify, without files and network, as
// WebAssembly in a worker. It answers audit(car, keys, operatorKey, snapshots) with the report that writ-audit
// verify --json prints and the text of writ-audit verify, so that a page says word for word what the command says.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"syscall/js"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/provenance"
)

func main() {
	js.Global().Set("audit", js.FuncOf(func(_ js.Value, args []js.Value) any {
		var snapshots [][]byte
		if len(args) > 3 {
			for i := range args[3].Length() {
				snapshots = append(snapshots, bytesOf(args[3].Index(i)))
			}
		}
		out, err := json.Marshal(judge(bytesOf(args[0]), args[1].String(), args[2].String(), snapshots))
		if err != nil {
			return `{"error":"the report cannot be written"}`
		}
		return string(out)
	}))
	js.Global().Call("auditReady")
	select {}
}

func bytesOf(v js.Value) []byte {
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b
}

type answer struct {
	Report *provenance.Report `json:"report,omitempty"`
	Text   string             `json:"text,omitempty"`
	Exit   int                `json:"exit"`
	Error  string             `json:"error,omitempty"`
}

func judge(car []byte, keyFile, operator string, snapshots [][]byte) answer {
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
	rep := verify(car, snapshots, o)
	var text strings.Builder
	if err := audit.WriteText(&text, rep, false); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Report: rep, Text: text.String(), Exit: audit.Exit(rep)}
}

// verify judges a record as the command does, which reads the snapshots first.
func verify(car []byte, snapshots [][]byte, o audit.Options) *provenance.Report {
	for _, b := range snapshots {
		s, err := search.ReadSnapshot(bytes.NewReader(b))
		if err != nil { // in the command's words
			return provenance.FailedReport(provenance.Faultf(audit.CodeRetrievalSnapshot, "the snapshot's file: %v", err))
		}
		o.Snapshots = append(o.Snapshots, s)
	}
	file, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
	if err != nil {
		return provenance.FailedReport(err)
	}
	return audit.Verify(file, o)
}

package definition

import (
	"encoding/json"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// EdgeOf says where a failure of a tool's comes in.
func EdgeOf(s *tools.Spec) fault.Edge {
	switch {
	case s.Class == tools.WalletTx:
		return fault.EdgeWallet
	case s.Class.Sends() || s.Book != nil:
		return fault.EdgeChain
	}
	return fault.EdgeTool
}

// FailureOf says which failure the result of a tool's call tells.
func FailureOf(s *tools.Spec, status string, out []byte) fault.Code {
	var told struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(out, &told)        // on failure there is no code
	if status != provenance.StatusError { // it did not answer
		told.Code = ""
	}
	return fault.OfTool(EdgeOf(s), told.Code)
}

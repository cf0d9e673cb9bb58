package fault

import (
	"context"
	"errors"
)

// An Edge is where a failure came in.
type Edge string

// The edges.
const (
	EdgeModel  Edge = "model"
	EdgeTool   Edge = "tool"
	EdgeChain  Edge = "chain"  // a tool of this server's account, or one that reads a chain
	EdgeWallet Edge = "wallet" // a tool by which the user's own wallet pays
)

// toolCodes has what the codes of tools come to that are not the fault of what was asked. What is not here is
// [ToolFailed]: the tool has answered, and its answer says why.
var toolCodes = map[string]Code{
	"arguments":          ToolArguments,
	"tool_changed":       ToolChanged,
	"definition_changed": ToolChanged,
	"failed":             ToolUnavailable,
	"unreachable":        ToolUnavailable,
	"timeout":            ToolUnavailable,
	"unavailable":        ToolUnavailable,
	"server_down":        ToolUnavailable,
	"busy":               ToolUnavailable,
	"rpc":                ChainUnavailable,
	"chain":              ChainUnavailable,
	"chain_unavailable":  ChainUnavailable,
	"not_indexed":        ChainUnavailable,
	"fee_too_high":       ChainFees,
	"unauthorised":       ToolSetup,
	"wrong_chain":        ToolSetup,
	"token_mismatch":     ToolSetup,
	"no_logs":            ToolSetup,
	"other_key":          ToolSetup,
	"insufficient_funds": ChainFunds,
}

// OfTool returns the failure that a tool's own code tells; of a call that has no answer the code is "".
func OfTool(at Edge, told string) Code {
	code, ok := toolCodes[told]
	switch {
	case told == "", code == ToolUnavailable:
		if at == EdgeTool {
			return ToolUnavailable
		}
		return ChainUnavailable
	case code == ChainFunds && at == EdgeWallet:
		return WalletFunds
	case ok:
		return code
	}
	return ToolFailed
}

// OfModel returns the fault behind a model's error. A model that does not classify its errors has failed by itself,
// unless the time that it has was over. What such an error says may quote a prompt, so it is not kept.
func OfModel(err error) *Fault {
	f, ok := errors.AsType[*Fault](err)
	switch {
	case ok && f.Code.IsKnown():
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return &Fault{Code: ModelTimeout, Err: context.DeadlineExceeded}
	case errors.Is(err, context.Canceled):
		return &Fault{Code: ModelCancelled, Err: context.Canceled}
	}
	return &Fault{Code: ModelFailed}
}

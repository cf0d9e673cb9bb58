package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// Whose a tool's failure is depends on its code, and on where it came in; a code that nobody knows is an answer.
func TestAToolsFailureHasItsOwner(t *testing.T) {
	for _, c := range []struct {
		at   Edge
		told string
		want Code
		by   Owner
	}{
		{EdgeTool, "", ToolUnavailable, Provider},
		{EdgeTool, "unreachable", ToolUnavailable, Provider},
		{EdgeTool, "server_down", ToolUnavailable, Provider},
		{EdgeTool, "unauthorised", ToolSetup, Us},
		{EdgeTool, "definition_changed", ToolChanged, Us},
		{EdgeTool, "bad_argument", ToolFailed, Request},
		{EdgeTool, "arguments", ToolArguments, Request},
		{EdgeTool, "unknown_city", ToolFailed, Request},
		{EdgeChain, "", ChainUnavailable, Chain},
		{EdgeChain, "chain_unavailable", ChainUnavailable, Chain},
		{EdgeChain, "timeout", ChainUnavailable, Chain},
		{EdgeChain, "fee_too_high", ChainFees, Chain},
		{EdgeChain, "wrong_chain", ToolSetup, Us},
		{EdgeChain, "insufficient_funds", ChainFunds, Us},
		{EdgeWallet, "insufficient_funds", WalletFunds, User},
		{EdgeChain, "reverted", ToolFailed, Request},
	} {
		if got := OfTool(c.at, c.told); got != c.want || got.Whose() != c.by {
			t.Errorf("%s, %q: got %s, %s's; want %s, %s's", c.at, c.told, got, got.Whose(), c.want, c.by)
		}
	}
	for told, code := range toolCodes {
		if !code.IsKnown() {
			t.Errorf("%q comes to %q, which is no code", told, code)
		}
	}
}

func TestAModelsErrorHasItsOwner(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{fmt.Errorf("ask: %w", &Fault{Code: ModelKey}), ModelKey},
		{&Fault{Code: "model.bored"}, ModelFailed},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), ModelTimeout},
		{context.Canceled, ModelCancelled},
		{errors.New("the prompt was: my secret"), ModelFailed},
	} {
		if got := OfModel(c.err); got.Code != c.want || got.Says != "" {
			t.Errorf("%v: got %s, %q, want %s", c.err, got.Code, got.Says, c.want)
		}
	}
}

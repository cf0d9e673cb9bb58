package api

import (
	"log/slog"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// What a signed request may be done for is what it says, and no more: nobody is signed out, no run is steered and no
// payment approved by it, and without one nothing is done at all.
func TestWhatFollowsFromASignedRequest(t *testing.T) {
	a := &API{methods: buildMethods(), log: slog.New(slog.DiscardHandler)}
	begin := func(c *Caller, method string) wire.Code {
		_, refused := a.BeginFor(t.Context(), c, wire.Request{Method: method, Params: []byte("{}")})
		if refused == nil {
			return ""
		}
		return refused.Error.Data.Code
	}
	never := []string{
		wire.SessionRevoke, wire.SessionOpen, wire.RunSend, wire.RunFork, wire.ApprovalDecide, wire.WalletSent,
		wire.ThreadDelete, wire.ThreadRename, "there.is.none",
	}
	for by, methods := range map[string][]string{
		wire.RunStart: {wire.RunStart, wire.ToolSent, wire.BlobPut}, wire.RunCancel: {wire.RunStart, wire.RunCancel},
		"chat.completions": nil, "responses": nil, "messages": nil,
	} {
		c := &Caller{seat: &seat{}, signer: &signer{frame: auth.Frame{Method: by}}}
		for _, method := range append(methods, never...) {
			if code := begin(c, method); code != wire.CodeUnsigned {
				t.Errorf("%s follows from a signed %s: %q", method, by, code)
			}
		}
	}
	if code := begin(&Caller{seat: &seat{}}, wire.RunCancel); code != wire.CodeUnsigned {
		t.Errorf("nothing was signed, and run.cancel follows: %q", code)
	}
}

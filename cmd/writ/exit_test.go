package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

func TestEachErrorHasItsExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"a failure keeps its own", fmt.Errorf("x: %w", usage("wrong")), exitUsage},
		{"no connection is the network's", wire.Errorf(wire.CodeDown, "gone"), exitNetwork},
		{"a contract wallet's chain that does not answer is the network's", wire.Errorf(wire.CodeChain, "not asked"), exitNetwork},
		{"no session wants a sign-in", wire.Errorf(wire.CodeRevoked, "over"), exitSignIn},
		{"a refused signature", wire.Errorf(wire.CodeSignature, "not yours"), exitSignature},
		{"a policy's refusal", wire.Errorf(wire.CodeDenied, "no"), exitDenied},
		{"a broken block", &provenance.Fault{Code: provenance.CodeBlockHash, Detail: "bad"}, exitIntegrity},
		{"a file that ends too soon", &provenance.Fault{Code: provenance.CodeCARTruncated, Detail: "short"}, exitIncomplete},
		{"what is not there", fmt.Errorf("run: %w", agent.ErrNotFound), exitIncomplete},
		{"anything else is ours", errors.New("on fire"), exitInternal},
	} {
		if got := failureOf(c.err).exit; got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTextOfOthersCannotCommandATerminal(t *testing.T) {
	got := plain("a\x1b[2Kb\u202ec\u0085d\re\n")
	if strings.ContainsAny(got, "\x1b\r\u202e\u0085") || got != "a[2Kbcde\n" {
		t.Errorf("got %q", got)
	}
}

func TestJSONIsOneObject(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault map[string]any
		v     any
		want  string
	}{
		{"success without a result", nil, nil, `{"ok":true}`},
		{"success", nil, map[string]int{"n": 1}, `{"ok":true,"n":1}`},
		{"an empty result", nil, struct{}{}, `{"ok":true}`},
		{"failure", map[string]any{"code": "x"}, nil, `{"ok":false,"error":{"code":"x"}}`},
		{"failure with what is known", map[string]any{"code": "x"}, map[string]int{"n": 1}, `{"ok":false,"error":{"code":"x"},"n":1}`},
	} {
		a, out, _ := testApp(t, nil)
		a.object(c.fault, c.v)
		if got := strings.TrimSpace(out.String()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

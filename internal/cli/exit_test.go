package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func TestEachErrorHasItsExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"a failure keeps its own", fmt.Errorf("x: %w", Usage("wrong")), ExitUsage},
		{"no connection is the network's", wire.Errorf(wire.CodeDown, "gone"), ExitNetwork},
		{"a contract wallet's chain that does not answer is the network's", wire.Errorf(wire.CodeChain, "not asked"), ExitNetwork},
		{"no session wants a sign-in", wire.Errorf(wire.CodeRevoked, "over"), ExitSignIn},
		{"a refused signature", wire.Errorf(wire.CodeSignature, "not yours"), ExitSignature},
		{"a policy's refusal", wire.Errorf(wire.CodeDenied, "no"), ExitDenied},
		{"a broken block", &provenance.Fault{Code: provenance.CodeBlockHash, Detail: "bad"}, ExitIntegrity},
		{"a file that ends too soon", &provenance.Fault{Code: provenance.CodeCARTruncated, Detail: "short"}, ExitIncomplete},
		{"what is not there", fmt.Errorf("run: %w", journal.ErrNotFound), ExitIncomplete},
		{"anything else is ours", errors.New("on fire"), ExitInternal},
	} {
		if got := FailureOf(c.err).Exit; got != c.want {
			t.Errorf("%s: got exit code %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTextOfOthersCannotCommandATerminal(t *testing.T) {
	got := Plain("a\x1b[2Kb\u202ec\u0085d\re\n")
	if strings.ContainsAny(got, "\x1b\r\u202e\u0085") || got != "a<U+001B escape>[2Kb<U+202E right-to-left override>c<U+0085 next line>d<U+000D carriage return>e\n" {
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
		var out bytes.Buffer
		s := &Shell{Out: &out}
		s.printObject(c.fault, c.v)
		if got := strings.TrimSpace(out.String()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
)

// A provider that sends a call twice is paid for one; two calls whose ids begin alike stay two.
func TestACallThatAReplyRepeatsIsMadeOnce(t *testing.T) {
	pay := `{"token":"USDC","to":"bob","amount":"0.5"}`
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		rule  string
		calls []model.Call
		want  int64
	}{
		{"one call that is said twice", []model.Call{call("1", "bank.pay", pay), call("1", "bank.pay", pay)}, 1},
		{"in another spelling", []model.Call{
			call("1", "bank.pay", pay), call("1", "bank.pay", `{"to": "bob", "amount": "0.5", "token": "USDC"}`),
		}, 1},
		{"two calls", []model.Call{call("1", "bank.pay", pay), call("2", "bank.pay", pay)}, 2},
		{"two whose ids differ at their end", []model.Call{
			call(long+"1", "bank.pay", pay), call(long+"2", "bank.pay", pay),
		}, 2},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			b := open(t, replies{calls(tt.calls...), text("Done.")})
			b.ended(b.start("Pay bob 0.5 USDC."))
			if got := b.paid.Load(); got != tt.want {
				t.Errorf("paid %d times, want %d", got, tt.want)
			}
		})
	}
}

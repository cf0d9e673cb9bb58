package runner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// What a policy set depends on besides its source is recorded with it: the rules of a time zone and a set in a file. An
// auditor needs nothing else, and a change of the file is another version of the rules.
func TestWhatRulesDependOnIsRecorded(t *testing.T) {
	// The run begins on Monday 2026-11-23 at 12:00 UTC, which is 21:00 in Tokyo.
	rules := strings.Replace(operatorRules, "rules:", `sets: {known: {file: known.txt}}
rules:
  - {id: late, at: tool.call, effect: forbid, when: 'tool == "bank.pay" && in_window(now, "21:30-08:00", "Asia/Tokyo")'}
  - {id: known, at: tool.call, effect: forbid, unless: 'in_set(tool, "known")'}`, 1)
	files := map[string]string{"known.txt": "bank.pay\n# echo.say\n"}
	script := replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`), call("2", "echo.say", `{"text":"hi"}`)), text("done")}
	with := func(c *runner.Config) {
		c.Policy = runner.Policy{Name: "test", Source: []byte(rules), File: func(name string) ([]byte, error) {
			if s, ok := files[name]; ok {
				return []byte(s), nil
			}
			return nil, errors.New("no such file")
		}}
	}
	b := openWith(t, script, with)
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	if b.paid.Load() != 1 {
		t.Errorf("%d payments, want 1", b.paid.Load())
	}
	b.verified(run)
	before := b.r.Agents()[0].Rules

	b.r.Close()
	files["known.txt"] = "bank.pay\necho.say\n"
	b.restart()
	if after := b.r.Agents()[0].Rules; after == before {
		t.Error("another file, and the rules have the same CID")
	}
	b.verified(run) // by what was recorded, whatever the file says now

	b.now.Add(40 * 60_000) // 21:40 in Tokyo
	late := openWith(t, script, func(c *runner.Config) {
		with(c)
		c.Now = b.config.Now
	})
	run = late.start("pay")
	late.until(run, provenance.CloseAnswered)
	if late.paid.Load() != 0 {
		t.Error("a payment at night")
	}
	late.verified(run)
}

package planner

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

const hash = "0xabababababababababababababababababababababababababababababababab"

func turn(tool, args, result string, step uint64) []model.Message {
	return []model.Message{
		{Role: model.RoleAssistant, Calls: []model.Call{{ID: "call-1", Tool: tool, Args: []byte(args)}}},
		{Role: model.RoleTool, CallID: "call-1", Tool: tool, Text: result, Step: step},
	}
}

func TestAnswersNameTheirSourceAndNeverClaimMoreThanTheResult(t *testing.T) {
	transfer := `{"amount":"5","to":"bob","token":"USDC"}`
	cases := []struct{ rule, tool, args, result, want string }{
		{"a balance names its holder, step and block", "erc20.balance", `{"account":"alice","token":"USDC"}`,
			`{"account":"0x01","name":"alice","token":"USDC","units":"1000000000","decimals":6,"display":"1000 USDC","chain":1337,"block":"7","block_hash":"0x02"}`,
			"alice holds 1,000 USDC [step 2, block 7]."},
		{"a fraction is not grouped", "erc20.balance", `{"account":"alice","token":"USDC"}`,
			`{"account":"0x01","token":"USDC","display":"1234567.123456 USDC","block":"1234"}`,
			"alice holds 1,234,567.123456 USDC [step 2, block 1,234]."},
		{"a transfer that is mined was sent", "erc20.transfer", transfer, `{"hash":"` + hash + `","block":"9","status":"ok",` + both("5 USDC", "5 USDC") + `}`,
			"Sent 5 USDC to bob in block 9 (tx " + hash + ") [step 2]."},
		{"what was sent is what arrived, not what was asked for", "erc20.transfer", transfer,
			`{"hash":"` + hash + `","block":"9","status":"ok",` + both("5 USDC", "4.75 USDC") + `}`,
			"5 USDC left the account and 4.75 USDC arrived at bob, of 5 USDC that were to be sent, in block 9 (tx " + hash + ") [step 2]."},
		{"and what left", "erc20.transfer", transfer,
			`{"hash":"` + hash + `","block":"9","status":"ok",` + both("10 USDC", "5 USDC") + `}`,
			"10 USDC left the account and 5 USDC arrived at bob, of 5 USDC that were to be sent, in block 9 (tx " + hash + ") [step 2]."},
		{"a receipt without figures claims none", "erc20.transfer", transfer, `{"hash":"` + hash + `","block":"9","status":"ok"}`,
			"Mined: the transfer of 5 USDC to bob, and it is not known what it has moved, in block 9 (tx " + hash + ") [step 2]."},
		{"a transfer without a block is not known to be sent", "erc20.transfer", transfer, `{"hash":"` + hash + `","status":"pending"}`,
			`Not known to be sent: the transfer of 5 USDC to bob has the status "pending" (tx ` + hash + `) [step 2].`},
		{"a reverted transfer was not sent", "erc20.transfer", transfer, `{"hash":"` + hash + `","block":"9","status":"reverted"}`,
			"Not sent: the transfer of 5 USDC to bob was reverted, and nothing moved (tx " + hash + ") [step 2, block 9]."},
		{"a denial names the rule, its message and what would allow it", "erc20.transfer", `{"amount":"500","to":"mallory","token":"USDC"}`,
			`{"denied":{"rule":"max_per_call","message":"500 USDC is more than the 50 USDC that one call may spend","change":"an amount of at most 50 USDC"}}`,
			"Not done: erc20.transfer of 500 USDC to mallory was denied by the rule max_per_call: 500 USDC is more than the 50 USDC " +
				"that one call may spend. It would take an amount of at most 50 USDC. [step 2]"},
		{"a rule that the message names is not named twice", "erc20.transfer", `{"amount":"500","to":"mallory","token":"USDC"}`,
			`{"denied":{"rule":"grant/max_per_call_usdc, grant/max_total_usdc","message":"grant/max_per_call_usdc: amount is 500 USDC, more than 10 USDC"}}`,
			"Not done: erc20.transfer of 500 USDC to mallory was denied by the rule grant/max_per_call_usdc: amount is 500 USDC, more than 10 USDC. [step 2]"},
		{"what to do is said as that", "erc20.transfer", transfer, `{"denied":{"rule":"loop/session","message":"The session has ended.","change":"sign in again"}}`,
			"Not done: erc20.transfer of 5 USDC to bob was denied by the rule loop/session: The session has ended. Sign in again. [step 2]"},
		{"passages that no rule permits are not taken for nothing found", "docs.search", `{"query":"leave"}`,
			`{"documents":[],"withheld_by_policy":2}`,
			"Something was found, and no rule lets it be read (passages: 2) [step 2]."},
		{"nothing found is said as that", "docs.search", `{"query":"leave"}`, `{"documents":[]}`,
			"Nothing was found in the documents [step 2]."},
		{"an empty denial is still a denial", "erc20.transfer", transfer, `{"denied":{}}`,
			"Not done: erc20.transfer of 5 USDC to bob was denied. [step 2]"},
		{"an error is no success", "erc20.transfer", transfer, `{"code":"insufficient_funds","error":"The agent's account holds 1 USDC."}`,
			"No success to report for erc20.transfer of 5 USDC to bob: The agent's account holds 1 USDC. [step 2]"},
		{"an error object is read too", "chain.block", `{}`, `{"error":{"code":"down","message":"no endpoint answers"}}`,
			"No success to report for chain.block: no endpoint answers. [step 2]"},
		{"a denial wins over any other field", "erc20.transfer", transfer, `{"hash":"` + hash + `","status":"ok","block":"9","denied":{"rule":"r"}}`,
			"Not done: erc20.transfer of 5 USDC to bob was denied by the rule r. [step 2]"},
		{"a simulation says that nothing was sent", "tx.simulate", transfer,
			`{"ok":true,"changes":[{"account":"0x01","name":"agent","display":"-5 USDC"},{"account":"0x02","display":"+5 USDC"}],"block":"7"}`,
			"tx.simulate of 5 USDC to bob would succeed: agent -5 USDC, 0x02 +5 USDC. Nothing was sent [step 2, block 7]."},
		{"a simulation that fails gives the reason", "tx.simulate", transfer, `{"ok":false,"changes":[],"reason":"Too little.","block":"7"}`,
			"tx.simulate of 5 USDC to bob would fail: Too little. [step 2, block 7]"},
		{"a block", "chain.block", `{}`, `{"chain":1337,"block":"7","parent":"0x01","time":"2026-01-01T00:00:00Z","transactions":1}`,
			"Block 7 was made at 2026-01-01T00:00:00Z, with 1 transaction [step 2, block 7]."},
		{"a token", "erc20.info", `{"token":"USDC"}`,
			`{"address":"0x01","supply":{"token":"USDC","units":"2025000000","decimals":6,"display":"2025 USDC"},"token":"USDC","block":"7"}`,
			"USDC is the token at 0x01, with 6 decimals and a total supply of 2,025 USDC [step 2, block 7]."},
		{"a transaction", "chain.tx", `{"hash":"` + hash + `"}`,
			`{"hash":"` + hash + `","status":"ok","from":"0x01","block":"9","moves":{"to":"0x02","name":"bob","token":"USDC","display":"5 USDC"}}`,
			"Transaction " + hash + " succeeded in block 9; it asks to move 5 USDC from 0x01 to bob [step 2, block 9]."},
		{"an unknown shape lists its fields in their order", "weather.today", `{"city":"Bern"}`, `{"city":"Bern","degrees":12,"as_of":"noon","raw":{"x":1}}`,
			"weather.today: city Bern, degrees 12, as of noon, raw {\"x\":1} [step 2]."},
		{"a result that is no JSON is quoted", "weather.today", `{}`, `sunny`, "weather.today gave sunny [step 2]."},
		{"a result cannot write lines of its own", "weather.today", `{}`, `{"city":"Bern\nSent 5 USDC to bob\u001b[31m"}`,
			"weather.today: city Bern Sent 5 USDC to bob[31m [step 2]."},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			r := ask(t, "irrelevant here", turn(c.tool, c.args, c.result, 2)...)
			if r.Text != c.want || r.Stop != model.StopEnd || len(r.Calls) != 0 {
				t.Errorf("got  %s\nwant %s", r.Text, c.want)
			}
		})
	}
}

func TestADenialEndsAPlanOfSeveralCalls(t *testing.T) {
	r := ask(t, "send 5 USDC to bob and then 3 to alice",
		turn("erc20.transfer", `{"amount":"5","to":"bob","token":"USDC"}`, `{"denied":{"rule":"cap"}}`, 2)...)
	if len(r.Calls) != 0 || !strings.HasPrefix(r.Text, "Not done") {
		t.Errorf("got %+v, want the denial and no further call", r)
	}
}

func TestAnotherModelsCallIsNotContinued(t *testing.T) {
	r := ask(t, "send 5 USDC to bob and then 3 to alice",
		turn("erc20.transfer", `{"amount":"6","to":"bob","token":"USDC"}`, `{"hash":"`+hash+`","status":"ok","block":"9",`+both("5 USDC", "5 USDC")+`}`, 2)...)
	if len(r.Calls) != 0 {
		t.Errorf("got %+v, want no call", r)
	}
}

func TestTheWrapUpTurnAnswersWithoutTools(t *testing.T) {
	ms := append([]model.Message{{Role: model.RoleUser, Text: "send 5 USDC to bob and then 3 to alice"}},
		turn("erc20.transfer", `{"amount":"5","to":"bob","token":"USDC"}`, `{"hash":"`+hash+`","status":"ok","block":"9",`+both("5 USDC", "5 USDC")+`}`, 2)...)
	ms = append(ms, model.Message{Role: model.RoleSystem, Text: "The limit of this run is reached. Answer with what you have; no tool is left."})
	r, err := New().Reply(context.Background(), model.Prompt{Messages: ms, MaxTokens: 100})
	want := "Sent 5 USDC to bob in block 9 (tx " + hash + ") [step 2].\nThe limit of this run was reached; whatever else was asked is not done."
	if err != nil || r.Text != want {
		t.Errorf("got %q, %v\nwant %q", r.Text, err, want)
	}
}

func TestOnlyTheLastRequestCounts(t *testing.T) {
	r := ask(t, "send 500 USDC to mallory", model.Message{Role: model.RoleAssistant, Text: "Not done."},
		model.Message{Role: model.RoleUser, Text: "what is bob's USDC balance?"})
	if len(r.Calls) != 1 || r.Calls[0].Tool != "erc20.balance" {
		t.Errorf("got %+v, want one call of erc20.balance", r)
	}
}

func TestACancelledContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New().Reply(ctx, model.Prompt{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestTextsForPeople(t *testing.T) {
	var b strings.Builder
	for _, q := range []string{
		"what is the meaning of life?", "send 5 USDC", "what is alice's balance?", "don't send 5 USDC to bob", "send 5 USDC to bob?",
		"send 5 USDC to 0x1234", "send five USDC to bob", "send 5 USDC to bob and alice", "tx 0x1234", "balance",
	} {
		b.WriteString("> " + q + "\n" + ask(t, q).Text + "\n\n")
	}
	const golden = "testdata/texts.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// both is what a receipt says of what left and what arrived.
func both(left, arrived string) string {
	return `"left":{"display":"` + left + `","token":"USDC"},"arrived":{"display":"` + arrived + `","token":"USDC"}`
}

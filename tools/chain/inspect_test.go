package chain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

const transferEvent = "Transfer(address indexed from, address indexed to, uint256 value)"

// Any contract, any event and any call data can be looked into, within bounds, and what is wrong has a sentence.
func TestLooking(t *testing.T) {
	k := start(t, dial(t), func(c *chain.Config) { c.Final = "2 blocks" })
	usdc, bob := devchain.Book().Tokens["USDC"].Address.Hex(), devchain.Book().Names["bob"].Hex()
	sent := k.send(k.sign(`{"token":"USDC","to":"bob","amount":"5"}`, 0))
	hash := sent["hash"].(string)
	k.send(k.sign(`{"token":"USDC","to":"alice","amount":"1"}`, 0))
	data := "0xa9059cbb" + strings.Repeat("0", 24) + strings.ToLower(bob[2:]) + fmt.Sprintf("%064x", 5_000_000)
	for _, tt := range []struct{ tool, args, want, code string }{
		{"chain.call", `{"contract":"` + usdc + `","function":"balanceOf(address)","args":["bob"],"returns":"uint256"}`, `"values":["30000000"]`, ""},
		{"chain.call", `{"contract":"` + usdc + `","function":"decimals()","returns":"uint8"}`, `"values":["6"]`, ""},
		{"chain.call", `{"contract":"` + usdc + `","function":"symbol()"}`, `"data":"0x`, ""},
		{"chain.call", `{"contract":"` + usdc + `","function":"symbol()","returns":"string"}`, `"values":["USDC"]`, ""},
		{"chain.call", `{"contract":"` + usdc + `","function":"nonsense()","returns":"string"}`, "is refused", "reverted"},
		{"chain.call", `{"contract":"bob","function":"symbol()","returns":"string"}`, "no contract at", "no_contract"},
		{"chain.call", `{"contract":"` + usdc + `","function":"symbol()","returns":"uint256[][]"}`, "not of the types", "unreadable"},
		{"chain.call", `{"contract":"` + usdc + `","function":"symbol"}`, "not a signature", "bad_argument"},
		{"chain.call", `{"contract":"` + usdc + `","function":"f(uint256[][][][])"}`, "not a signature", "bad_argument"},
		{"chain.call", `{"contract":"` + usdc + `","function":"balanceOf(address)"}`, "takes 1 arguments, not 0", "bad_argument"},
		{"chain.call", `{"contract":"` + usdc + `","function":"balanceOf(address)","args":["nobody"]}`, "name in the address book", "bad_argument"},
		{"chain.logs", `{"contract":"` + usdc + `","event":"` + transferEvent + `","with":"bob"}`, `"found":2,`, ""}, // of the mint and ours
		{"chain.logs", `{"contract":"` + usdc + `","event":"` + transferEvent + `","with":"bob","from_block":"2"}`,
			`"values":{"from":"` + devchain.Book().Names["agent"].Hex() + `","to":"` + bob + `","value":"5000000"}`, ""},
		{"chain.logs", `{"contract":"` + usdc + `","event":"Approval(address indexed a, address indexed b, uint256 c)"}`, `"events":[]`, ""},
		{"chain.logs", `{"contract":"` + usdc + `","event":"` + transferEvent + `","from_block":"9000"}`, "the first before the last", "bad_argument"},
		{"chain.logs", `{"contract":"` + usdc + `","event":"Transfer"}`, "not an event", "bad_argument"},
		{"chain.logs", `{"contract":"` + usdc + `","event":"Transfer(address indexed, uint256"}`, "not an event", "bad_argument"},
		{"abi.decode", `{"data":"` + data + `","types":"transfer(address,uint256)"}`, `{"function":"transfer(address,uint256)","values":["` + bob + `","5000000"]}`, ""},
		{"abi.decode", `{"data":"0x` + data[10:] + `","types":"address,uint256"}`, `{"values":["` + bob + `","5000000"]}`, ""},
		{"abi.decode", `{"data":"` + data + `","types":"approve(address,uint256)"}`, "do not call", "another_function"},
		{"abi.decode", `{"data":"0x12","types":"address"}`, "not of these types", "unreadable"},
		{"abi.decode", `{"data":"12","types":"address"}`, "0x and hex", "bad_argument"},
		{"abi.decode", `{"data":"0x12","types":"colour"}`, "not a list of types", "bad_argument"},
		{"chain.gas", `{}`, `"transfer_costs_at_most":{"decimals":18,"display":"0.0000`, ""},
		{"tx.status", `{"hash":"` + hash + `"}`, `"confirmations":"1",`, ""},
		{"tx.status", `{"hash":"` + hash + `"}`, `"state":"included"`, ""},
		{"tx.status", `{"hash":"0x` + strings.Repeat("0", 64) + `"}`, `"state":"unknown"`, ""},
	} {
		out, err := k.tools[tt.tool].Call(t.Context(), k.read(tt.tool, tt.args))
		said := string(out)
		if err != nil {
			said = err.Error()
		}
		var e *tools.Error
		if errors.As(err, &e); tt.code == "" && err != nil || tt.code != "" && (e == nil || e.Code != tt.code) || !strings.Contains(said, tt.want) {
			t.Errorf("%s %s: got %s, want %s %s", tt.tool, tt.args, said, tt.code, tt.want)
		}
	}
	k.send(k.sign(`{"token":"USDC","to":"alice","amount":"1"}`, 0))
	if m, err := k.call("tx.status", `{"hash":"`+hash+`"}`); err != nil || m["state"] != "final" || m["final"] == nil {
		t.Errorf("two blocks later: %v, %v", m, err)
	}
}

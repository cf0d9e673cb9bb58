// Package toolbox has the tools that the agents of the vectors are given, and the address book of these.
package toolbox

import (
	"encoding/json"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/tools"
)

// Echo is echo.say, which says a text again.
func Echo() tools.Spec {
	return tools.Spec{
		Name: "echo.say", About: "Says it again.", Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],` +
			`"properties":{"text":{"type":"string"}}}`),
	}
}

// Send is token.send, a transaction.
func Send() tools.Spec {
	return tools.Spec{
		Name: "token.send", About: "Sends a token.", Class: tools.ChainTx,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["amount","to","token"],` +
			`"properties":{
			"amount":{"type":"string","format":"amount","x-asset":"token"},
			"to":{"type":"string","format":"address"},
			"token":{"type":"string","format":"token"}}}`),
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"}, Book: Book(1337),
	}
}

// Book names bob and mallory, and one token, on a chain.
func Book(chain uint64) *tools.Book {
	return &tools.Book{
		Chain: chain,
		Names: map[string]common.Address{
			"bob":     common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
			"mallory": common.HexToAddress("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
		},
		Tokens: map[string]tools.Token{
			"USDC": {Address: common.HexToAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3"), Decimals: 6},
		},
	}
}

// Balance is chain.balance, which reads.
func Balance() tools.Spec {
	s := Echo()
	s.Name, s.About = "chain.balance", "Says what an account has."
	return s
}

// Mail is mail.send, which is done once.
func Mail() tools.Spec {
	s := Echo()
	s.Name, s.About, s.Class = "mail.send", "Sends a letter.", tools.Once
	return s
}

// Transfer is erc20.transfer, which plain words order.
func Transfer() tools.Spec {
	s := Send()
	s.Name, s.Utterances = "erc20.transfer", []string{"send {amount} {token} to {to}"}
	s.Schema = []byte(strings.Replace(string(s.Schema), `"properties":{`, `"properties":{"memo":{"type":"string"},`, 1))
	return s
}

package chain

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/tools"
)

// Allowances: who may take how much of a token from an account. What the agent's account allows counts as spent, since
// it can leave at any time from then on; more than there is of the token is refused.

const approveFunction = `{"token":"token","function":{"type":"function","name":"approve","stateMutability":"nonpayable",
	"inputs":[{"name":"spender","type":"address"},{"name":"amount","type":"uint256"}]}}`

const spenderArgs = `"token":{"type":"string","format":"token","description":"symbol of the ERC-20 token"},
	"spender":{"type":"string","format":"address","description":"who may take it: a name in the address book or a 0x address"}`

var allowanceSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.allowance",
	About:  "How much of a token a spender may take from an owner, read at one block.",
	Class:  tools.Read,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["owner","spender","token"],"properties":{` +
		blockArg + `,` + spenderArgs + `,
		"owner":{"type":"string","format":"address","description":"whose it is: a name in the address book or a 0x address"}}}`),
	Utterances: []string{
		"what may {spender} take from {owner} in {token}", "how much {token} may {spender} take from {owner}",
		"{token} allowance of {spender} from {owner}", "allowance of {spender} from {owner} in {token}",
	},
}

type allowanceResult struct {
	Owner   string `json:"owner"` // EIP-55
	Spender string `json:"spender"`
	holding
	place
}

func (c views) readAllowance(ctx context.Context, args tools.Args) (any, error) {
	head, at, err := c.findBlock(ctx, args.Value("block"))
	if err != nil {
		return nil, err
	}
	symbol := args.Value("token").Text
	token, err := c.contractOf(ctx, symbol, head.Hash())
	if err != nil {
		return nil, err
	}
	owner, spender := args.Value("owner").Addr, args.Value("spender").Addr
	n, err := c.callUint(ctx, token, packAllowance(owner, spender), head.Hash())
	if err != nil {
		return nil, fmt.Errorf("allowance of %s: %w", symbol, err)
	}
	amount, err := amountOf(c.assetOf(symbol), n)
	if err != nil {
		return nil, err
	}
	return allowanceResult{owner.Hex(), spender.Hex(), showHolding(amount), at}, nil
}

var approveSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.approve",
	About: "Lets a spender take up to an amount of a token from the agent's account, in the place of what it may take " +
		"now. It counts as spent. Name no more than is needed.",
	Class: tools.ChainTx,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["token","spender","amount"],"properties":{` +
		spenderArgs + `,
		"amount":{"type":"string","format":"amount","x-asset":"token","x-allowance":true,"description":"how many whole tokens, e.g. 12.5"}},
		"x-contract":` + approveFunction + `}`),
	Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "spender"},
	Utterances: []string{
		"approve {amount} {token} for {spender}", "allow {spender} to take {amount} {token}",
		"let {spender} take {amount} {token}", "approve {spender} for {amount} {token}",
	},
}

var revokeSpec = tools.Spec{
	Output: chainFacts,
	Name:   "erc20.revoke",
	About:  "Ends what a spender may take of a token from the agent's account.",
	Class:  tools.ChainTx,
	Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["token","spender"],"properties":{` +
		spenderArgs + `,
		"amount":{"type":"string","format":"amount","x-asset":"token","const":"0"}},
		"x-contract":` + approveFunction + `}`),
	Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "spender"},
	Utterances: []string{
		"revoke the {token} allowance of {spender}", "revoke {spender}'s {token} allowance",
		"revoke {token} from {spender}", "do not let {spender} take {token}",
	},
}

package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

// Selectors of ERC-20's functions.
var (
	selBalanceOf   = common.FromHex("70a08231")
	selTransfer    = common.FromHex("a9059cbb")
	selDecimals    = common.FromHex("313ce567")
	selTotalSupply = common.FromHex("18160ddd")
)

func packBalanceOf(account common.Address) []byte {
	return append(bytes.Clone(selBalanceOf), common.LeftPadBytes(account[:], 32)...)
}

func packTransfer(to common.Address, n *uint256.Int) []byte {
	word := n.Bytes32()
	return append(append(bytes.Clone(selTransfer), common.LeftPadBytes(to[:], 32)...), word[:]...)
}

// unpackTransfer reads call data as a transfer, exactly: anything before, between or behind makes it something else.
func unpackTransfer(data []byte) (to common.Address, n *big.Int, ok bool) {
	if len(data) != 4+64 || !bytes.Equal(data[:4], selTransfer) || !bytes.Equal(data[4:16], make([]byte, 12)) {
		return to, nil, false
	}
	return common.BytesToAddress(data[16:36]), new(big.Int).SetBytes(data[36:]), true
}

// contractOf returns the address of a token after making sure that its decimals on the chain are the book's, at the
// block that is asked about: what is behind a proxy may have changed since.
func (c *chain) contractOf(ctx context.Context, symbol string, block common.Hash) (common.Address, error) {
	t, ok := c.book.Tokens[symbol]
	if !ok {
		return common.Address{}, errorf("unknown_token", "%q is not a token known here.", symbol)
	}
	if t.Address == (common.Address{}) {
		return common.Address{}, errorf("not_erc20", "%s is the chain's native coin, not an ERC-20 token; name a token.",
			symbol)
	}
	c.mu.Lock()
	checked := c.checkedTokens[symbol]
	c.mu.Unlock()
	if checked == block {
		return t.Address, nil
	}
	if t.Things {
		return t.Address, c.checkCollection(ctx, symbol, t.Address, block)
	}
	n, err := c.callUint(ctx, t.Address, selDecimals, block)
	if err != nil {
		return common.Address{}, fmt.Errorf("decimals of %s: %w", symbol, err)
	}
	if !n.IsUint64() || n.Uint64() != uint64(t.Decimals) {
		return common.Address{}, errorf("token_mismatch",
			"%s has %s decimals on the chain but %d in the address book; tell the operator.", symbol, n, t.Decimals)
	}
	c.mu.Lock()
	c.checkedTokens[symbol] = block
	c.mu.Unlock()
	return t.Address, nil
}

// callUint calls a view function that returns one word.
func (c *chain) callUint(ctx context.Context, token common.Address, data []byte, block common.Hash) (*big.Int, error) {
	out, err := c.client.CallContractAtHash(ctx, ethereum.CallMsg{To: &token, Data: data}, block)
	if err != nil {
		return nil, err
	}
	return decodeWord(out)
}

func decodeWord(out []byte) (*big.Int, error) {
	if len(out) != 32 {
		return nil, errorf("not_erc20", "The contract does not answer as an ERC-20 token does; tell the operator.")
	}
	return new(big.Int).SetBytes(out), nil
}

// checkAnswer returns a [*refusal] unless transfer's return value means yes: ERC-20's true, or nothing, as some old
// tokens return.
func checkAnswer(out []byte) error {
	switch {
	case len(out) == 0 || len(out) == 32 && out[31] == 1 && bytes.Equal(out[:31], make([]byte, 31)):
		return nil
	case len(out) == 32 && bytes.Equal(out, make([]byte, 32)):
		return &refusal{"the token answered false"}
	}
	return &refusal{"the token answered neither true nor false, so it is not known whether it would pay"}
}

// A refusal says that the chain would not do a call, in words fit for the model.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// explainRefusal turns a node's answer that a call reverts into a [*refusal]; other errors stay as they are.
func explainRefusal(err error) error {
	if data, ok := ethclient.RevertErrorData(err); ok {
		return &refusal{reasonOf(data)}
	}
	if e, ok := errors.AsType[rpc.Error](err); ok && strings.HasPrefix(e.Error(), "execution reverted") {
		return &refusal{reasonOf(nil)}
	}
	return err
}

func reasonOf(data []byte) string {
	text, err := abi.UnpackRevert(data)
	if err != nil {
		return "the token refused it"
	}
	// The text is the contract's author's: shown as data, short and printable.
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' {
			return -1
		}
		return r
	}, text)
	return fmt.Sprintf("the token refused it, saying %q", text[:min(len(text), 100)])
}

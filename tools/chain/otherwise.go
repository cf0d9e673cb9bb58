package chain

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools"
)

// A wallet may do what it was asked for by another transaction than the one that was passed: a contract wallet's are
// sent by others, and a smart account may put a call into one to itself. Such a transaction is not the call's, since
// its bytes do not say what the call says; but nobody is told to send another one.

// A codeReader is a client that tells the code of accounts. [*ethclient.Client] is one.
type codeReader interface {
	CodeAt(ctx context.Context, account common.Address, number *big.Int) ([]byte, error)
}

// checkAccount refuses to ask a contract wallet: whoever sends its transactions is not the wallet, so none would be
// found. A key's account with the code of a delegate (EIP-7702) sends its own; and only such a one can make two calls
// as one, if that is what the tool does.
func (p *payer) checkAccount(ctx context.Context, wallet common.Address, calls bool) error {
	node, ok := p.client.(codeReader)
	if !ok && !calls {
		return nil
	}
	if !ok {
		return errors.New("the endpoint does not tell the code of accounts")
	}
	code, err := node.CodeAt(ctx, wallet, nil)
	if err != nil {
		return fmt.Errorf("code of the wallet: %w", err)
	}
	if _, delegated := types.ParseDelegation(code); len(code) > 0 && !delegated {
		return errorf("contract_wallet", "The wallet %s is a contract, whose transactions others send; it cannot be asked "+
			"to pay here. Sign in with a wallet that has a key of its own.", wallet.Hex())
	}
	if len(code) == 0 && calls {
		return errorf("no_smart_account", "The account %s is not a smart account (EIP-7702), so it cannot let the contract "+
			"take an amount and call it by one transaction. Turn it into one in the wallet, or use a tool for each of the two.",
			wallet.Hex())
	}
	return nil
}

// explainOther says that a transaction is not a call's, and in what it differs. Its code is that of
// [tools.PaidOtherwise] if the events show that it moved what the call moves from the wallet to the recipient, or if
// they could not show it.
func (p *payer) explainOther(
	ctx context.Context, a *act, tx *types.Transaction, wallet common.Address, differs string,
) error {
	receipt, err := p.client.TransactionReceipt(ctx, tx.Hash())
	if err != nil && !errors.Is(err, ethereum.NotFound) {
		return fmt.Errorf("receipt: %w", explainFailure(ctx, err))
	}
	isMined, asset := err == nil, a.args.Amount.Asset()
	from, err := types.Sender(types.LatestSignerForChainID(p.id), tx)
	// It can do only what its own bytes say.
	isPlain := err == nil && from == wallet && tx.To() != nil && *tx.To() != wallet &&
		(*tx.To() == a.To || len(tx.Data()) == 0)
	another := errorf("another_transaction", "The transaction %s.", differs)
	if isPlain && (!isMined || a.args.Allowance) || isMined && receipt.Status != types.ReceiptStatusSuccessful {
		return another
	}
	if isMined {
		var m tools.Movement
		p.addEvents(&m, receipt.Logs)
		if hasMoved(&m, a, wallet) {
			return errorf(tools.PaidOtherwise, "The transaction %s, so it is not counted for this call; but it has moved %s "+
				"from the wallet to %s. Another one would pay twice.", differs, asset.Symbol, a.args.To.Hex())
		}
		if isPlain || asset != p.nativeAsset() && !a.args.Amount.IsZero() { // events would show it
			return another
		}
	}
	return errorf(tools.PaidOtherwise, "The transaction %s, so it is not counted for this call, and whether it does the "+
		"same cannot be told. Look into your wallet before you send another one: that might pay twice.", differs)
}

// hasMoved says whether events show that something of what a call moves went from the wallet to the recipient, or may
// be taken by it.
func hasMoved(m *tools.Movement, a *act, wallet common.Address) bool {
	is := func(token, units, from, to string) bool {
		return token == a.args.Amount.Asset().Symbol && units != "0" && common.HexToAddress(from) == wallet &&
			common.HexToAddress(to) == a.args.To
	}
	for _, t := range m.Transfers {
		if is(t.Token, t.Units, t.From, t.To) {
			return true
		}
	}
	for _, w := range m.Allowances {
		if a.args.Allowance && is(w.Token, w.Units, w.Owner, w.Spender) {
			return true
		}
	}
	return false
}

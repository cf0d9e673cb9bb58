package chain

import (
	"bytes"
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
// [tools.PaidOtherwise] unless its bytes, or once a block has it what came of it, show that it has not paid.
func (p *payer) explainOther(
	ctx context.Context, a *act, tx *types.Transaction, wallet common.Address, differs string,
) error {
	another := errorf("another_transaction", "The transaction %s.", differs)
	receipt, err := p.client.TransactionReceipt(ctx, tx.Hash())
	switch {
	case errors.Is(err, ethereum.NotFound):
		if movesNothing(tx, a, wallet) || paysAnother(tx, a) {
			return another
		}
	case err != nil:
		return fmt.Errorf("receipt: %w", explainFailure(ctx, err))
	case receipt.Status != types.ReceiptStatusSuccessful:
		return another
	default:
		var m tools.Movement
		p.addEvents(&m, receipt.Logs)
		if hasMoved(&m, a, wallet) {
			return errorf(tools.PaidOtherwise, "The transaction %s, so it is not counted for this call; but it has moved %s "+
				"from the wallet, or lets it be taken. Another one would pay twice.", differs, a.args.Amount.Asset().Symbol)
		}
		if !p.mayHideIt(tx, a, wallet) {
			return another
		}
	}
	return errorf(tools.PaidOtherwise, "The transaction %s, so it is not counted for this call, and whether it does the "+
		"same cannot be told. Look into your wallet before you send another one: that might pay twice.", differs)
}

// movesNothing says whether a transaction sends nothing and calls nothing, as one that cancels another does.
func movesNothing(tx *types.Transaction, a *act, wallet common.Address) bool {
	to := tx.To()
	return to != nil && tx.Value().Sign() == 0 && len(tx.Data()) == 0 && len(tx.SetCodeAuthorizations()) == 0 &&
		(*to == wallet || *to != a.To && *to != a.args.To)
}

// paysAnother says whether a transaction is a transfer of the token that a call transfers, to somebody else.
func paysAnother(tx *types.Transaction, a *act) bool {
	to, _, ok := unpackTransfer(tx.Data())
	return ok && a.transfers && tx.To() != nil && *tx.To() == a.To && to != a.args.To
}

// mayHideIt says whether a transaction that went well may have done what a call does though no event shows it: events
// tell neither where the native coin goes, nor of a call that moves nothing.
func (p *payer) mayHideIt(tx *types.Transaction, a *act, wallet common.Address) bool {
	from, err := types.Sender(types.LatestSignerForChainID(p.id), tx)
	to := tx.To()
	isOwn := err == nil && from == wallet && to != nil
	if isOwn && *to == a.To && bytes.HasPrefix(tx.Data(), a.Data) { // some append words of their own to any call
		return true
	}
	if a.args.Amount.Asset() != p.nativeAsset() && !a.args.Amount.IsZero() {
		return false
	}
	// It can do only what its own bytes say.
	isPlain := isOwn && *to != wallet && (*to == a.To || len(tx.Data()) == 0)
	return !isPlain || tx.Value().Sign() > 0 && (*to == a.To || *to == a.args.To)
}

// hasMoved says whether events show that something of what a call moves has gone from the wallet to the recipient, or
// may be taken by it. A contract may have it sent elsewhere, as a lending pool does, so of its call all that has left
// counts.
func hasMoved(m *tools.Movement, a *act, wallet common.Address) bool {
	isAnywhere := !a.transfers && !a.args.Allowance && a.args.Thing == nil
	is := func(token, units, from string) bool {
		return token == a.args.Amount.Asset().Symbol && units != "0" && common.HexToAddress(from) == wallet
	}
	for _, t := range m.Transfers {
		if is(t.Token, t.Units, t.From) && (isAnywhere || common.HexToAddress(t.To) == a.args.To) {
			return true
		}
	}
	for _, w := range m.Allowances {
		if (a.args.Allowance || a.args.Lets) && is(w.Token, w.Units, w.Owner) &&
			common.HexToAddress(w.Spender) == a.args.To {
			return true
		}
	}
	return false
}

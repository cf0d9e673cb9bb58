package pay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools/calldata"
)

// sentFile remembers in the program's folder what was signed, so that what is said again is sent as the same bytes.
const sentFile = "sent.json"

// keepSent is how long that is: far longer than a call waits.
const keepSent = 30 * 24 * time.Hour

// A signedCall is a transaction that was signed for a call.
type signedCall struct {
	Raw string    `json:"raw"`
	At  time.Time `json:"at"`
}

// broadcast signs a call with the wallet's key and sends it, or sends again what was signed for it before. It returns
// the transaction's hash.
func (p *payer) broadcast(ctx context.Context, call wire.WalletCall) (string, error) {
	w, err := p.OpenWallet(ctx, p.with)
	if err != nil {
		return "", err
	}
	if w.Address() != common.HexToAddress(call.From) {
		return "", cli.Usage("the key of --with is of %s; %s is asked to pay", w.Address().Hex(), wording.Reveal(call.From))
	}
	node, err := pool.New(pool.Config{URLs: []string{p.rpc}, Chain: call.Chain}) // which follows no redirects
	if err != nil {
		return "", cli.Usage("--rpc is not the http or https URL of an endpoint")
	}
	defer node.Close()
	if _, err := node.ChainID(ctx); err != nil {
		return "", cli.Failf(cli.ExitIncomplete, "chain",
			"the endpoint of --rpc cannot be used on chain %d: %s; name another, or try again", call.Chain, quote(err))
	}
	tx, err := p.signOnce(ctx, node, w, call)
	if err != nil {
		return "", err
	}
	if err := node.SendTransaction(ctx, tx); err != nil {
		if _, _, unknown := node.TransactionByHash(ctx, tx.Hash()); unknown != nil { // else it was there before
			who := "the chain does not take"
			if errors.Is(err, pool.ErrUnavailable) {
				who = "the endpoint of --rpc did not say that it took"
			}
			return "", cli.Failf(cli.ExitIncomplete, "chain", "%s transaction %s: %s; say it again to send the same one", who,
				tx.Hash(), quote(err))
		}
	}
	return tx.Hash().Hex(), nil
}

// quote shows an error that may hold the words of an endpoint.
func quote(err error) string { return wording.Reveal(wording.Clip(err.Error(), 200)) }

// signOnce returns the transaction of a call: the one that was signed before, or a new one, once its user has agreed.
func (p *payer) signOnce(
	ctx context.Context, node *pool.Pool, w *auth.Wallet, call wire.WalletCall,
) (*types.Transaction, error) {
	all, key, err := p.loadSigned(call)
	if err != nil {
		return nil, err
	}
	if before, ok := all[key]; ok {
		tx, err := readSigned(before)
		if err != nil {
			return nil, err
		}
		p.Note("it was signed before; the same transaction is sent again")
		return tx, nil
	}
	if call.Sent != "" {
		return nil, cli.Failf(cli.ExitIncomplete, "wallet_sent", "%s was said to be sent for it, and another one might pay "+
			"twice; look into your wallet: the run goes on when the chain has it", wording.Reveal(call.Sent))
	}
	tx, err := makeTransaction(ctx, node, call, p.maxGwei)
	if err != nil {
		return nil, err
	}
	question := fmt.Sprintf("The server says: %s\n%sSign and send on chain %d, for a fee of up to %s wei: %s?",
		wording.Reveal(call.Text), describeMoves(call), call.Chain,
		new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas())), describe(tx, w.Address()))
	if err := p.AskConsent(ctx, p.yes, question, "nothing was signed"); err != nil {
		return nil, err
	}
	secret, err := crypto.HexToECDSA(strings.TrimPrefix(w.Secret(), "0x"))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if tx, err = types.SignTx(tx, types.LatestSignerForChainID(tx.ChainId()), secret); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	maps.DeleteFunc(all, func(_ string, s signedCall) bool { return now.Sub(s.At) > keepSent })
	all[key] = signedCall{hexutil.Encode(raw), now.UTC()}
	return tx, p.Save(sentFile, all) // before it is sent, or it might be signed twice
}

// loadSigned returns what was signed, and the name of a call in it.
func (p *payer) loadSigned(call wire.WalletCall) (all map[string]signedCall, key string, err error) {
	all = map[string]signedCall{}
	if err := p.Load(sentFile, &all); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	return all, nameOf(call), nil
}

func nameOf(call wire.WalletCall) string {
	return fmt.Sprintf("%s/%d.%d", call.Run, call.Effect.Seq, call.Effect.Index)
}

// readSigned reads what was signed for a call.
func readSigned(s signedCall) (*types.Transaction, error) {
	tx := new(types.Transaction)
	raw, err := hexutil.Decode(s.Raw)
	if err == nil {
		err = tx.UnmarshalBinary(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was signed for this call: %w", err)
	}
	return tx, nil
}

// passOn takes a call's transaction from it, which was counted for another call. If that one was signed a later
// transaction, this is the call's now; or else the call is signed anew the next time.
func (p *payer) passOn(call wire.WalletCall, waiting []wire.WalletCall) error {
	all, key, err := p.loadSigned(call)
	if err != nil {
		return err
	}
	gone := all[key]
	delete(all, key)
	tx, err := readSigned(gone)
	if err != nil { // a hash that was said by hand
		return nil
	}
	waits := map[string]bool{}
	for _, w := range waiting {
		waits[nameOf(w)] = true
	}
	other, nonce := "", uint64(math.MaxUint64)
	for name, s := range all {
		o, err := readSigned(s)
		if err == nil && !waits[name] && o.Nonce() > tx.Nonce() && o.Nonce() < nonce && asksTheSame(o, tx) {
			other, nonce = name, o.Nonce()
		}
	}
	if other != "" {
		all[key], all[other] = all[other], gone
	}
	return p.Save(sentFile, all)
}

// asksTheSame says whether two transactions cannot be told apart but for nonce and fees.
func asksTheSame(a, b *types.Transaction) bool {
	signer := types.LatestSignerForChainID(a.ChainId())
	from, err := types.Sender(signer, a)
	by, err2 := types.Sender(signer, b)
	return errors.Join(err, err2) == nil && from == by && a.To() != nil && b.To() != nil && *a.To() == *b.To() &&
		a.Value().Cmp(b.Value()) == 0 && bytes.Equal(a.Data(), b.Data())
}

// makeTransaction makes what a call asks for, of type 2 and unsigned.
func makeTransaction(
	ctx context.Context, node *pool.Pool, call wire.WalletCall, maxGwei uint64,
) (*types.Transaction, error) {
	value, ok := new(big.Int).SetString(strings.TrimPrefix(call.Value, "0x"), 16)
	data, err := hexutil.Decode(call.Data)
	if !ok || err != nil || !common.IsHexAddress(call.To) {
		return nil, errors.New("the server names no transaction that could be sent")
	}
	from, to := common.HexToAddress(call.From), common.HexToAddress(call.To)
	gas, err := node.EstimateGas(ctx, ethereum.CallMsg{From: from, To: &to, Value: value, Data: data})
	switch {
	case errors.Is(err, pool.ErrUnavailable):
		return nil, cli.Failf(cli.ExitIncomplete, "chain", "the endpoint of --rpc gives no answer, so nothing was signed: %s",
			quote(err))
	case err != nil:
		return nil, cli.Failf(cli.ExitIncomplete, "chain", "the call would fail now, so nothing was signed: %s", quote(err))
	}
	nonce, err := node.PendingNonceAt(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("nonce: %w", err)
	}
	tip, most, err := node.PriceGas(ctx, maxGwei)
	switch {
	case errors.Is(err, pool.ErrDear):
		return nil, cli.Failf(cli.ExitIncomplete, "chain", "nothing was signed: %s; --max-fee-gwei lets it be more",
			quote(err))
	case err != nil:
		return nil, err
	}
	return types.NewTx(&types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(call.Chain), Nonce: nonce, To: &to, Value: value, Data: data, Gas: gas + gas/5,
		GasTipCap: tip, GasFeeCap: most,
	}), nil
}

// describe says what a transaction does, by its own bytes and not by anybody's word.
func describe(tx *types.Transaction, from common.Address) string {
	value, _ := uint256.FromBig(tx.Value())
	parts, ok := calldata.ReadBatch(calldata.Call{From: from, To: *tx.To(), Value: value, Data: tx.Data()})
	if !ok {
		return describeCall(*tx.To(), tx.Value(), tx.Data())
	}
	says := []string{}
	for _, c := range parts {
		says = append(says, describeCall(c.To, c.Value.ToBig(), c.Data))
	}
	return strings.Join(says, "; then, or nothing of it: ")
}

func describeCall(to common.Address, value *big.Int, data []byte) string {
	words := map[string]string{"a9059cbb": "transfer", "095ea7b3": "let spend"}
	if len(data) == 68 && value.Sign() == 0 && bytes.Equal(data[4:16], make([]byte, 12)) {
		if word := words[common.Bytes2Hex(data[:4])]; word != "" {
			return fmt.Sprintf("%s %s of the smallest units of token %s to %s", word, new(big.Int).SetBytes(data[36:]), to,
				common.BytesToAddress(data[16:36]))
		}
	}
	return fmt.Sprintf("%s wei and %d bytes of call data (%s) to %s", value, len(data),
		common.Bytes2Hex(data[:min(4, len(data))]), to)
}

package paid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/x402"
)

func selector(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }

// Functions and events of EIP-3009, EIP-712, EIP-5267 and ERC-20.
var (
	selSeparator = selector("DOMAIN_SEPARATOR()")
	selDomain    = selector("eip712Domain()")
	selBalance   = selector("balanceOf(address)")
	selDecimals  = selector("decimals()")
	selState     = selector("authorizationState(address,bytes32)")
	selTransfer  = selector(
		"transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)")

	topicUsed     = crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	topicTransfer = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
)

// testChains may have no block without a transaction, so that the end of an authorisation is told by the clock. On no
// other chain is it: a node may lag, and a chain that has stood still may go on with blocks of the time before.
var testChains = map[uint64]bool{1337: true, 31337: true}

// defaultSkew is by how much the chain's clock may lag behind this one's.
const defaultSkew = 5 * time.Second

func wordOfAddress(a common.Address) []byte { return common.LeftPadBytes(a[:], 32) }

func wordOf(n uint64) []byte { w := uint256.NewInt(n).Bytes32(); return w[:] }

// view calls a function that changes nothing, at a block.
func (s *shop) view(ctx context.Context, to common.Address, at common.Hash, parts ...[]byte) ([]byte, error) {
	return s.client.CallContractAtHash(ctx, ethereum.CallMsg{To: &to, Data: bytes.Join(parts, nil)}, at)
}

func (s *shop) checkChain(ctx context.Context) error {
	id, err := s.client.ChainID(ctx)
	if err != nil {
		return err
	}
	if !id.IsUint64() || id.Uint64() != s.cfg.Book.Chain {
		return errorf("wrong_chain", "The node serves chain %s, and the address book is of chain %d; tell the operator.",
			id, s.cfg.Book.Chain)
	}
	return nil
}

// isRevert says whether a node answers that the contract refuses a call.
func isRevert(err error) bool {
	if _, ok := ethclient.RevertErrorData(err); ok {
		return true
	}
	e, ok := errors.AsType[rpc.Error](err)
	return ok && strings.HasPrefix(e.Error(), "execution reverted")
}

// checkToken asks the token whether it is the one that the terms and the book speak of, and whether it would take the
// authorisation now.
func (p *purchase) checkToken(ctx context.Context, t *x402.Terms, a *x402.Authorization, sig []byte) error {
	head, err := p.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	at, symbol := head.Hash(), p.in.Args.Amount.Asset().Symbol
	out, err := p.view(ctx, t.Asset, at, selDecimals)
	if err != nil {
		return err
	}
	if want := p.in.Args.Amount.Asset().Decimals; !bytes.Equal(out, wordOf(uint64(want))) {
		return errorf("token_mismatch", "%s has other decimals on the chain than in the address book; tell the operator.",
			symbol)
	}
	if err := p.checkDomain(ctx, t.Domain(), at); err != nil {
		return err
	}
	used, err := p.isUsed(ctx, at)
	if used || err != nil { // an earlier process has paid: the server may answer the same payment again
		return err
	}
	if out, err = p.view(ctx, t.Asset, at, selBalance, wordOfAddress(p.from)); err != nil {
		return err
	}
	if new(big.Int).SetBytes(out).Cmp(t.Amount.ToBig()) < 0 {
		return errorf("insufficient_funds", "The agent's account has less than %s; nothing was paid.", p.in.Args.Amount)
	}
	value := t.Amount.Bytes32()
	p.shown = true // to who runs the node
	_, err = p.view(ctx, t.Asset, at, selTransfer, wordOfAddress(a.From), wordOfAddress(a.To), value[:], wordOf(a.After),
		wordOf(a.Before), a.Nonce[:], wordOf(uint64(sig[64])), sig[:64])
	if isRevert(err) {
		return errorf("token_refuses", "The token would refuse the payment; nothing was paid.")
	}
	return err
}

// checkDomain compares a domain with the token's own: else a signature would be worth nothing, or something else.
func (s *shop) checkDomain(ctx context.Context, d x402.Domain, at common.Hash) error {
	wrong := errorf("token_mismatch", "The server names another EIP-712 domain than the token's own; nothing was paid.")
	out, err := s.view(ctx, d.Contract, at, selSeparator)
	if err == nil && len(out) == 32 {
		if common.BytesToHash(out) != d.Separator() {
			return wrong
		}
		return nil
	}
	if err != nil && !isRevert(err) {
		return err
	}
	out, err = s.view(ctx, d.Contract, at, selDomain)
	if err != nil && !isRevert(err) {
		return err
	}
	if err != nil || !isDomain(out, d) {
		return wrong
	}
	return nil
}

// isDomain says whether eip712Domain answers a domain of just name, version, chain and contract, and this one.
func isDomain(out []byte, d x402.Domain) bool {
	if len(out) < 7*32 || out[0] != 0x0f { // which fields there are
		return false
	}
	word := func(i int) []byte { return out[i*32 : i*32+32] }
	text := func(i int) string {
		offset, length := new(big.Int).SetBytes(word(i)), new(big.Int)
		if !offset.IsInt64() || offset.Int64() > int64(len(out))-32 {
			return ""
		}
		from := offset.Int64() + 32
		length.SetBytes(out[from-32 : from])
		if !length.IsInt64() || length.Int64() > int64(len(out))-from {
			return ""
		}
		return string(out[from : from+length.Int64()])
	}
	return text(1) == d.Name && text(2) == d.Release && bytes.Equal(word(3), wordOf(d.Chain)) &&
		bytes.Equal(word(4), wordOfAddress(d.Contract))
}

func (p *purchase) token() common.Address {
	return p.cfg.Book.Tokens[p.in.Args.Amount.Asset().Symbol].Address
}

// isUsed says whether the token has taken the call's authorisation, at a block.
func (p *purchase) isUsed(ctx context.Context, at common.Hash) (bool, error) {
	out, err := p.view(ctx, p.token(), at, selState, wordOfAddress(p.from), p.in.Key[:])
	if err != nil {
		return false, err
	}
	if len(out) != 32 {
		return false, fmt.Errorf("authorizationState: %d bytes", len(out))
	}
	return !bytes.Equal(out, make([]byte, 32)), nil
}

// awaitOutcome waits until the chain shows that the authorisation was used, or that it never will be: then there is
// nothing settled. An error means that it cannot be told.
func (p *purchase) awaitOutcome(ctx context.Context) (*x402.Settled, error) {
	pause, last := 100*time.Millisecond, error(nil)
	for {
		settled, over, err := p.look(ctx)
		if settled != nil || over {
			return settled, nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("whether it was paid: %w", ctx.Err()), last)
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		}
	}
}

// look looks once. over says for certain that the authorisation was not used and never will be.
func (p *purchase) look(ctx context.Context) (settled *x402.Settled, over bool, err error) {
	head, err := p.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, false, fmt.Errorf("newest block: %w", err)
	}
	used, err := p.isUsed(ctx, head.Hash())
	if err != nil {
		return nil, false, err
	}
	if used {
		settled, err = p.findUse(ctx, head)
		return settled, false, err
	}
	if p.final.IsInstant() {
		late := testChains[p.cfg.Book.Chain] && time.Now().Unix() >= p.end+int64(p.skew/time.Second)
		over = late || int64(head.Time) >= p.end
	} else {
		final, err := p.finalBlock(ctx, head)
		if final == nil || err != nil || int64(final.Time) < p.end {
			return nil, false, err
		}
		if used, err = p.isUsed(ctx, final.Hash()); used || err != nil {
			return nil, false, err
		}
		over = true
	}
	if over && p.in.Again {
		err = p.checkOthers(ctx, head)
	}
	return nil, over && err == nil, err
}

// checkOthers makes sure that no other account has used an authorisation of the call's nonce: an earlier process may
// have paid by a key that the operator has replaced since.
func (p *purchase) checkOthers(ctx context.Context, head *types.Header) error {
	return p.eachUse(ctx, head, nil, func(types.Log) (bool, error) {
		return true, errors.New("another account has used the authorisation")
	})
}

// finalBlock returns the newest block that is final; nil if none is.
func (p *purchase) finalBlock(ctx context.Context, head *types.Header) (*types.Header, error) {
	mark := head
	if tag := map[string]rpc.BlockNumber{
		"finalized": rpc.FinalizedBlockNumber, "safe": rpc.SafeBlockNumber,
	}[p.final.Tag()]; tag != 0 {
		var err error
		mark, err = p.client.HeaderByNumber(ctx, big.NewInt(int64(tag)))
		if errors.Is(err, ethereum.NotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("final block: %w", err)
		}
	}
	n := p.final.Newest(mark.Number)
	if n.Sign() < 0 {
		return nil, nil
	}
	return p.client.HeaderByNumber(ctx, n)
}

// findUse finds the transaction that has used the authorisation: the one that the server names, or any that says so.
func (p *purchase) findUse(ctx context.Context, head *types.Header) (*x402.Settled, error) {
	if p.says != nil && p.says.Transaction != (common.Hash{}) {
		if s, err := p.readUse(ctx, p.says.Transaction); s != nil || err != nil {
			return s, err
		}
	}
	var settled *x402.Settled
	err := p.eachUse(ctx, head, []common.Hash{common.BytesToHash(p.from[:])}, func(l types.Log) (done bool, err error) {
		settled, err = p.readUse(ctx, l.TxHash)
		return settled != nil, err
	})
	if settled == nil && err == nil {
		err = errors.New("the authorisation was used, and no transaction shows it")
	}
	return settled, err
}

// eachUse finds the events by which the token took authorisations of the call's nonce, of an account or of any, until
// do is done.
func (p *purchase) eachUse(
	ctx context.Context, head *types.Header, account []common.Hash, do func(types.Log) (done bool, err error),
) error {
	first, err := p.firstBlock(ctx, head)
	if err != nil {
		return err
	}
	const most = 1000 // blocks that an endpoint is asked about at once
	for from := first; from <= head.Number.Uint64(); from += most {
		logs, err := p.client.FilterLogs(ctx, ethereum.FilterQuery{
			FromBlock: new(big.Int).SetUint64(from), ToBlock: new(big.Int).SetUint64(min(from+most-1, head.Number.Uint64())),
			Addresses: []common.Address{p.token()},
			Topics:    [][]common.Hash{{topicUsed}, account, {p.in.Key}},
		})
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		for _, l := range logs {
			if done, err := do(l); done || err != nil {
				return err
			}
		}
	}
	return nil
}

// firstBlock returns the number of a block from about when the call was decided.
func (p *purchase) firstBlock(ctx context.Context, head *types.Header) (uint64, error) {
	since := uint64(p.in.At/1000) - min(uint64(p.in.At/1000), 60)
	late, early := head.Number.Uint64(), uint64(0)
	isBefore := func(n uint64) (bool, error) {
		h, err := p.client.HeaderByNumber(ctx, new(big.Int).SetUint64(n))
		if err != nil {
			return false, fmt.Errorf("block %d: %w", n, err)
		}
		return h.Time < since, nil
	}
	for step := uint64(64); late > 0; step *= 4 {
		early = late - min(step, late)
		before, err := isBefore(early)
		if before || early == 0 || err != nil {
			return early, err
		}
		late = early
	}
	return early, nil
}

// readUse reads what a transaction has moved; nil if it is not one that has used the authorisation, or not yet in a
// block.
func (p *purchase) readUse(ctx context.Context, tx common.Hash) (*x402.Settled, error) {
	r, err := p.client.TransactionReceipt(ctx, tx)
	if errors.Is(err, ethereum.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	used, moved := false, false
	amount := p.in.Args.Amount
	for _, l := range r.Logs {
		switch {
		case l.Address != p.token() || r.Status != types.ReceiptStatusSuccessful:
		case len(l.Topics) == 3 && l.Topics[0] == topicUsed && l.Topics[1] == common.BytesToHash(p.from[:]) &&
			l.Topics[2] == p.in.Key:
			used = true
		case len(l.Topics) == 3 && l.Topics[0] == topicTransfer && l.Topics[1] == common.BytesToHash(p.from[:]) &&
			l.Topics[2] == common.BytesToHash(p.in.Args.To[:]) && len(l.Data) == 32:
			moved = moved || amount.Uint256().Cmp(new(uint256.Int).SetBytes(l.Data)) == 0
		}
	}
	switch {
	case !used:
		return nil, nil
	case !moved:
		return nil, errors.New("the authorisation was used, and its transaction shows no such transfer")
	}
	return &x402.Settled{
		Chain: p.cfg.Book.Chain, Block: r.BlockNumber.String(), BlockHash: r.BlockHash.Hex(), Tx: r.TxHash.Hex(),
		Left: tools.SumOf(money.FromUint256(amount.Asset(), amount.Uint256())),
	}, nil
}

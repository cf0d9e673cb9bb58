package doctor

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

// Selectors of ERC-20's decimals() and symbol().
var selDecimals, selSymbol = common.FromHex("313ce567"), common.FromHex("95d89b41")

// callSupports asks a contract whether it is a collection: supportsInterface (ERC-165) of ERC-721's.
var callSupports = append(common.FromHex("01ffc9a7"), common.RightPadBytes(common.FromHex("80ac58cd"), 32)...)

// tokenFindings asks the contract of each token of the settings what it is. Where the chain does not answer there are
// none: the finding of the chain says so.
func tokenFindings(ctx context.Context, cfg *config.Config) (all []finding) {
	if len(cfg.Chain.RPC) == 0 || len(cfg.Chain.Tokens) == 0 {
		return nil
	}
	c, err := node.ChainOf(cfg)
	if c.Book == nil {
		return []finding{findingOf("token", false, err.Error(), "correct chain.tokens")}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client, err := ethclient.DialContext(ctx, cfg.Chain.RPC[0])
	if err != nil {
		return nil
	}
	defer client.Close()
	for _, symbol := range slices.Sorted(maps.Keys(c.Book.Tokens)) {
		t := c.Book.Tokens[symbol]
		if t.Address == (common.Address{}) {
			continue // the chain's own coin, which the settings were checked for
		}
		f, err := tokenFinding(ctx, client, symbol, t)
		if err != nil {
			return all
		}
		all = append(all, f)
	}
	return all
}

// tokenFinding looks at one token. An error is of the endpoint.
func tokenFinding(ctx context.Context, client *ethclient.Client, symbol string, t tools.Token) (finding, error) {
	bad := func(detail, fix string) (finding, error) {
		return findingOf("token", false, fmt.Sprintf("%s: %s", symbol, detail), fix), nil
	}
	elsewhere := "correct its address under chain.tokens; its issuer names it"
	code, err := client.CodeAt(ctx, t.Address, nil)
	if err != nil {
		return finding{}, err
	}
	if len(code) == 0 {
		return bad("there is no contract at "+t.Address.Hex(), elsewhere)
	}
	if t.Things {
		answer, err := askToken(ctx, client, t.Address, callSupports)
		if err != nil {
			return finding{}, err
		}
		if new(big.Int).SetBytes(answer).Cmp(big.NewInt(1)) != 0 {
			return bad("the contract at "+t.Address.Hex()+" does not say that it is a collection of ERC-721", elsewhere)
		}
		return findingOf("token", true, symbol+" is a collection of ERC-721 at "+t.Address.Hex(), ""), nil
	}
	decimals, err := askToken(ctx, client, t.Address, selDecimals)
	if err != nil {
		return finding{}, err
	}
	n := new(big.Int).SetBytes(decimals)
	if len(decimals) != 32 || !n.IsUint64() || n.Uint64() > 255 {
		return bad("the contract at "+t.Address.Hex()+" says no decimals, so it is no ERC-20 token", elsewhere)
	}
	if n.Uint64() != uint64(t.Decimals) {
		return bad(fmt.Sprintf("its contract says %s decimals, and the settings say %d, so no payment of it is made", n,
			t.Decimals), fmt.Sprintf("write decimals: %s for it under chain.tokens, or correct its address", n))
	}
	answer, err := askToken(ctx, client, t.Address, selSymbol)
	if err != nil {
		return finding{}, err
	}
	own := readSymbol(answer)
	is := fmt.Sprintf("%s has %s decimals at %s", symbol, n, t.Address.Hex())
	if own == "" || strings.EqualFold(own, symbol) {
		return findingOf("token", true, is, ""), nil
	}
	own = wording.Reveal(wording.Clip(own, 40))
	if strings.Trim(strings.ToUpper(own), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" { // settings cannot say it
		return findingOf("token", true, is+", where it calls itself "+own, ""), nil
	}
	return bad(fmt.Sprintf("the contract at %s calls itself %s", t.Address.Hex(), own),
		fmt.Sprintf("write symbol: %s for it under chain.tokens, or correct its address", strings.ToUpper(own)))
}

// askToken calls a view function. A contract that refuses answers nothing; an error is of the endpoint.
func askToken(ctx context.Context, client *ethclient.Client, at common.Address, call []byte) ([]byte, error) {
	out, err := client.CallContract(ctx, ethereum.CallMsg{To: &at, Data: call}, nil)
	if _, reverted := ethclient.RevertErrorData(err); reverted || err != nil && strings.Contains(err.Error(), "revert") {
		return nil, nil
	}
	return out, err
}

// readSymbol reads a symbol as ERC-20 has it, or as the bytes32 of some old tokens; empty if it is neither.
func readSymbol(out []byte) string {
	if len(out) == 32 {
		out = bytes.TrimRight(out, "\x00")
	} else {
		size := new(big.Int)
		if len(out) < 64 || !size.SetBytes(out[32:64]).IsInt64() || size.Int64() > int64(len(out)-64) {
			return ""
		}
		out = out[64 : 64+size.Int64()]
	}
	if !utf8.Valid(out) {
		return ""
	}
	return string(out)
}

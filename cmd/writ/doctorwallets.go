package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/ethcall"
)

// An accountLook is what a wallet is, as --json shows it.
type accountLook struct {
	Account  string        `json:"account"`
	Chain    uint64        `json:"chain"`
	Standing auth.Standing `json:"standing"` // "eoa", "contract" or "delegated"
	Owners   bool          `json:"owners"`   // it lists its owners, as a Safe does
	Block    uint64        `json:"block"`
	Hash     string        `json:"hash"`
	Need     int           `json:"need"` // endpoints that must agree before it may move value
	Agree    []string      `json:"agree"`
	Against  []string      `json:"against,omitempty"`
	Silent   []string      `json:"silent,omitempty"` // why the others give no answer
	Sigs     string        `json:"signatures"`
}

// walletFindings looks at the chains whose contract wallets may sign in, and at the wallets that are configured and those
// that are asked for.
func walletFindings(ctx context.Context, cfg *config.Config, asked []string) []finding {
	var tools uint64 // the chain of chain.rpc, as it says itself
	for _, url := range cfg.Chain.RPC {
		c, err := ethcall.Dial(url)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, ethcall.Timeout)
		tools, err = c.ChainID(ctx)
		cancel()
		c.Close()
		if err == nil && tools != 0 {
			break
		}
	}
	list := walletChains(cfg)
	if tools != 0 {
		list = append([]ethcall.Chain{{Chain: tools, URLs: cfg.Chain.RPC, Quorum: int(cfg.Chain.Quorum)}}, list...)
	}
	chains, err := ethcall.New(ethcall.Config{Chains: list})
	if err != nil {
		return []finding{{Name: "wallets", Detail: err.Error(), Fix: "correct chain.rpc or contract_wallets"}}
	}
	defer chains.Close()
	var out []finding
	for _, st := range chains.Look(ctx) {
		wanted := len(cfg.ContractWallets) > 0 && st.Chain != tools || slices.ContainsFunc(cfg.Wallets, func(w string) bool {
			return strings.HasPrefix(w, fmt.Sprintf("eip155:%d:", st.Chain))
		})
		f := finding{Name: "wallets", OK: st.Up >= st.Quorum || !wanted, Detail: fmt.Sprintf(
			"chain %d: %s; %s before a contract wallet may move value", st.Chain, countOf(st.Up, st.All, "endpoint answers", "endpoints answer"), mustAgree(st.Quorum))}
		if len(st.Reasons) > 0 {
			f.Detail += " (" + strings.Join(st.Reasons, "; ") + ")"
		}
		if st.Up < st.Quorum {
			f.Detail += ", so none does"
		}
		if !f.OK {
			f.Fix = "add endpoints of the chain, best of different operators; quorum: 1 lets one alone decide. Accounts with a key need none"
		}
		out = append(out, f)
	}
	for _, w := range append(cfg.Wallets[:len(cfg.Wallets):len(cfg.Wallets)], asked...) {
		if w != "any" {
			out = append(out, walletFinding(ctx, chains, tools, w))
		}
	}
	return out
}

// walletFinding says what an account is, and what a sign-in of it asks of whom.
func walletFinding(ctx context.Context, chains *ethcall.Chains, tools uint64, wallet string) finding {
	f := finding{Name: "wallet"}
	chain, named := tools, false
	digits := wallet
	if i := strings.LastIndexByte(wallet, ':'); i >= 0 {
		id, ok := strings.CutPrefix(wallet[:i], "eip155:")
		n, err := strconv.ParseUint(id, 10, 64)
		if !ok || err != nil {
			f.Detail, f.Fix = plain(wallet)+" is not a wallet", "write 0x..., or eip155:CHAIN:0x... for a contract wallet"
			return f
		}
		chain, digits, named = n, wallet[i+1:], true
	}
	if !common.IsHexAddress(digits) {
		f.Detail, f.Fix = plain(wallet)+" is not a wallet", "write 0x..., or eip155:CHAIN:0x... for a contract wallet"
		return f
	}
	account := common.HexToAddress(digits)
	name := account.Hex()
	if chain == 0 {
		f.OK = !named
		f.Detail = name + ": its chain is not asked what it is; with a key of its own it signs in"
		return f
	}
	if named {
		name = auth.Identity(auth.MethodEIP1271, chain, account)
	}
	got, err := chains.Account(ctx, chain, account)
	if err != nil {
		f.OK, f.Detail = !named, name+": "+err.Error()
		if f.Fix = "until its chain answers a contract wallet is neither let in nor refused; with a key of its own the account signs in"; !named {
			f.Fix = ""
		}
		return f
	}
	look := &accountLook{
		Account: account.Hex(), Chain: chain, Standing: got.Answer.Standing, Owners: got.Answer.Owners != [32]byte{},
		Block: got.At.Number, Hash: common.Hash(got.At.Hash).Hex(), Need: got.Need,
		Agree: append([]string{}, got.Agree...), Against: got.Against, Silent: got.Silent,
	}
	f.OK, f.Account = true, look
	where := fmt.Sprintf("chain %d, block %d, as %s say", chain, got.At.Number, strings.Join(got.Agree, " and "))
	if len(got.Agree) == 1 {
		where = strings.TrimSuffix(where, "say") + "says"
	}
	asks := "at a sign-in, each minute and before value moves its chain is asked isValidSignature, with 3,000,000 gas at one block"
	switch got.Answer.Standing {
	case auth.StandingContract:
		kind := "a contract"
		if look.Owners {
			kind = "a contract that lists its owners, as a Safe does"
		}
		look.Sigs = "its contract's (EIP-1271), 0x among them if it accepts that"
		f.Detail = fmt.Sprintf("%s is %s (%s): %s", name, kind, where, asks)
		if !named {
			f.OK, f.Fix = false, "list it with its chain: "+auth.Identity(auth.MethodEIP1271, chain, account)+". A contract's address may be another's elsewhere"
		}
	case auth.StandingDelegated:
		look.Sigs = "its own key's, and what its delegate accepts (EIP-1271)"
		f.Detail = fmt.Sprintf("%s has another contract's code, EIP-7702 (%s): its own key's signature is checked here and asks nobody; for its delegate's, %s", name, where, asks)
		if named {
			f.Detail += ". Listed so it signs in as its delegate says; for its own key list " + account.Hex()
		}
	default:
		look.Sigs = "its own key's; a contract's that is not deployed yet (EIP-6492)"
		f.Detail = fmt.Sprintf("%s has no code (%s): an account with a key, whose signature is checked here and asks nobody", name, where)
		if named {
			f.Detail = fmt.Sprintf("%s has no code (%s): a contract that is not deployed yet signs with a wrapper of EIP-6492, and its deployment is simulated; for an account with a key list %s", name, where, account.Hex())
		}
	}
	if got.Answer.Verdict == auth.Accepted {
		f.OK = false
		f.Fix = "do not let it in: it accepts an empty signature over nothing, so that anybody may sign in as it"
	}
	if len(got.Against) > 0 {
		f.OK, f.Detail = false, f.Detail+". Another answer comes from "+strings.Join(got.Against, " and ")
		f.Fix = strings.TrimPrefix(f.Fix+"; find out which endpoint is wrong, and take it out", "; ")
	}
	return f
}

func countOf(n, all int, one, more string) string {
	if all == 1 {
		return fmt.Sprintf("%d of 1 %s", n, one)
	}
	return fmt.Sprintf("%d of %d %s", n, all, more)
}

func mustAgree(n int) string {
	if n == 1 {
		return "1 must say so"
	}
	return fmt.Sprintf("%d must agree", n)
}

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/node"
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

// walletFindings looks at the chains whose contract wallets may sign in, and at the wallets that are configured and
// those that are asked for.
func walletFindings(ctx context.Context, cfg *config.Config, asked []string) []finding {
	tools := toolsChain(ctx, cfg.Chain.RPC)
	list := node.WalletChains(cfg)
	if tools != 0 {
		list = append([]eth.Chain{{Chain: tools, URLs: cfg.Chain.RPC, Quorum: int(cfg.Chain.Quorum)}}, list...)
	}
	chains, err := eth.New(eth.Config{Chains: list})
	if err != nil {
		return []finding{{Name: "wallets", Detail: err.Error(), Fix: "correct chain.rpc or contract_wallets"}}
	}
	defer chains.Close()
	var out []finding
	for _, st := range chains.Look(ctx) {
		wanted := len(cfg.ContractWallets) > 0 && st.Chain != tools || slices.ContainsFunc(cfg.Wallets, func(w string) bool {
			return strings.HasPrefix(w, fmt.Sprintf("eip155:%d:", st.Chain))
		})
		out = append(out, quorumFinding(st, wanted))
	}
	for _, w := range append(cfg.Wallets[:len(cfg.Wallets):len(cfg.Wallets)], asked...) {
		if w != "any" {
			out = append(out, walletFinding(ctx, chains, tools, w))
		}
	}
	return out
}

// toolsChain returns the chain of chain.rpc, as it says itself; 0 if none answers.
func toolsChain(ctx context.Context, urls []string) uint64 {
	for _, url := range urls {
		c, err := eth.Dial(url)
		if err != nil {
			continue
		}
		one, cancel := context.WithTimeout(ctx, eth.Timeout)
		id, err := c.ChainID(one)
		cancel()
		c.Close()
		if err == nil && id != 0 {
			return id
		}
	}
	return 0
}

// quorumFinding says how many endpoints of a chain answer, and how many must agree.
func quorumFinding(st eth.Status, wanted bool) finding {
	f := finding{Name: "wallets", OK: st.Up >= st.Quorum || !wanted, Detail: fmt.Sprintf(
		"chain %d: %s; %s before a contract wallet may move value", st.Chain,
		countOf(st.Up, st.All, "endpoint answers", "endpoints answer"), mustAgree(st.Quorum))}
	if len(st.Reasons) > 0 {
		f.Detail += " (" + strings.Join(st.Reasons, "; ") + ")"
	}
	if st.Up < st.Quorum {
		f.Detail += ", so none does"
	}
	if !f.OK {
		f.Fix = "add endpoints of the chain, best of different operators; quorum: 1 lets one alone decide. Accounts with " +
			"a key need none"
	}
	return f
}

// A walletName is a wallet as it is written in the settings.
type walletName struct {
	account common.Address
	chain   uint64 // its own, or that of the tools; 0 if neither is known
	named   bool   // with its chain, as a contract wallet is
}

func (w walletName) String() string {
	if w.named {
		return auth.Identity(auth.MethodEIP1271, w.chain, w.account)
	}
	return w.account.Hex()
}

func parseWallet(wallet string, tools uint64) (w walletName, ok bool) {
	w.chain = tools
	digits := wallet
	if i := strings.LastIndexByte(wallet, ':'); i >= 0 {
		id, isChain := strings.CutPrefix(wallet[:i], "eip155:")
		n, err := strconv.ParseUint(id, 10, 64)
		if !isChain || err != nil {
			return w, false
		}
		w.chain, digits, w.named = n, wallet[i+1:], true
	}
	w.account = common.HexToAddress(digits)
	return w, common.IsHexAddress(digits)
}

// walletFinding says what an account is, and what a sign-in of it asks of whom.
func walletFinding(ctx context.Context, chains *eth.Chains, tools uint64, wallet string) finding {
	f := finding{Name: "wallet"}
	w, ok := parseWallet(wallet, tools)
	if !ok {
		f.Detail, f.Fix = cli.Plain(wallet)+" is not a wallet", "write 0x..., or eip155:CHAIN:0x... for a contract wallet"
		return f
	}
	if w.chain == 0 {
		f.OK = !w.named
		f.Detail = w.account.Hex() + ": its chain is not asked what it is; with a key of its own it signs in"
		return f
	}
	got, err := chains.Account(ctx, w.chain, w.account)
	if err != nil {
		f.OK, f.Detail = !w.named, w.String()+": "+err.Error()
		if w.named {
			f.Fix = "until its chain answers a contract wallet is neither let in nor refused; with a key of its own the " +
				"account signs in"
		}
		return f
	}
	f.OK, f.Account = true, &accountLook{
		Account: w.account.Hex(), Chain: w.chain, Standing: got.Answer.Standing, Owners: got.Answer.Owners != [32]byte{},
		Block: got.At.Number, Hash: common.Hash(got.At.Hash).Hex(), Need: got.Need,
		Agree: append([]string{}, got.Agree...), Against: got.Against, Silent: got.Silent,
	}
	f.describeStanding(w)
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

// describeStanding says what kind of account it is, and whose signatures count.
func (f *finding) describeStanding(w walletName) {
	look := f.Account
	says := "say"
	if len(look.Agree) == 1 {
		says = "says"
	}
	where := fmt.Sprintf("chain %d, block %d, as %s %s", look.Chain, look.Block, strings.Join(look.Agree, " and "), says)
	const asks = "at a sign-in, each minute and before value moves its chain is asked isValidSignature, with 3,000,000 " +
		"gas at one block"
	switch look.Standing {
	case auth.StandingContract:
		kind := "a contract"
		if look.Owners {
			kind = "a contract that lists its owners, as a Safe does"
		}
		look.Sigs = "its contract's (EIP-1271), 0x among them if it accepts that"
		f.Detail = fmt.Sprintf("%s is %s (%s): %s", w, kind, where, asks)
		if !w.named {
			f.OK, f.Fix = false, "list it with its chain: "+auth.Identity(auth.MethodEIP1271, w.chain, w.account)+
				". A contract's address may be another's elsewhere"
		}
	case auth.StandingDelegated:
		look.Sigs = "its own key's, and what its delegate accepts (EIP-1271)"
		f.Detail = fmt.Sprintf("%s has another contract's code, EIP-7702 (%s): its own key's signature is checked here and "+
			"asks nobody; for its delegate's, %s", w, where, asks)
		if w.named {
			f.Detail += ". Listed so it signs in as its delegate says; for its own key list " + w.account.Hex()
		}
	default:
		look.Sigs = "its own key's; a contract's that is not deployed yet (EIP-6492)"
		f.Detail = fmt.Sprintf("%s has no code (%s): an account with a key, whose signature is checked here and asks nobody",
			w, where)
		if w.named {
			f.Detail = fmt.Sprintf("%s has no code (%s): a contract that is not deployed yet signs with a wrapper of "+
				"EIP-6492, and its deployment is simulated; for an account with a key list %s", w, where, w.account.Hex())
		}
	}
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

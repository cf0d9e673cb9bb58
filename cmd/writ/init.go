package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
)

// starter is a configuration file to begin with.
const starter = `# writ's settings. "writ config print" shows what holds and from where; "writ config schema" is the manual.
listen: 127.0.0.1:8420
data: writ-data

# Where wallets sign: the origin of your pages, as browsers show it.
scheme: http
domain: localhost:8420
origins: [http://localhost:8420]

# Agents by file, or those that come with writ: treasurer can pay within its grant, reader can only read the chain.
# The researcher needs fetch and library, below, and rules that let it read what it finds: policies: research.
agents: [treasurer, reader]

# The operator's rules: a file, or a built-in set (writ policy show spend-with-approval).
policies: spend-with-approval

# Rules of a dApp's own pages, between these and the wallet's; they may connect, and wallets sign in their name. A page
# that is not at the domain above needs this: with origins alone wallets would sign in another name than the page's.
# dapps:
#   - {origin: https://shop.example, policies: ./shop.yaml}

CHAIN
# Whose wallets may sign in: agents spend their own account's money on these wallets' word. On the dev chain, anybody's.
# wallets: ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]

# Contract wallets (a Safe, say) of the chain above sign in too. Before they may move value, two of chain.rpc must agree
# on what they say, unless all are on this machine. Endpoints of other chains whose contract wallets may sign in:
# contract_wallets:
#   - {chain: 8453, rpc: [https://rpc-one.example, https://rpc-two.example, https://rpc-three.example], quorum: 2}

# Which model answers a turn: margin asks none where rules are enough, and a large one only where it pays. It holds for
# all agents, in the place of the routes in their files: take it out if theirs are to hold.
routes: margin

# Models, by the names that routes use: small, premium, or model for one that serves for all. Without one, rules answer, and say that they are no model.
# models:
#   - {preset: ollama, name: small, model: qwen3}
#   - {preset: anthropic, name: premium, model: claude-sonnet-4-5, price_in: 3000000000, price_out: 15000000000}

# Documents that writ docs adds, for agents that have the tool docs.search, and hosts for those that have web.fetch.
# library: {on: true}
# fetch: {hosts: [example.org]}

# Records are served at /ipfs/ here. They can go to a Kubo node too, and be served by bitswap.
# ipfs: {api: http://127.0.0.1:5001, listen: [/ip4/0.0.0.0/tcp/4001]}

log: {level: info, format: auto}
`

// A knownChain is one whose number and tokens need not be looked up. Its endpoints are the operator's own choice.
type knownChain struct {
	id   uint64
	usdc string // the contract of USDC, as its issuer publishes it (developers.circle.com, "USDC contract addresses")

	// maxFee is the most that is offered for a unit of gas there, in gwei. A rollup that asks more than 50 is not what its
	// users know, and the 500 that fit Ethereum in a rush would there be a hundred times what is ever asked.
	maxFee int
}

var knownChains = map[string]knownChain{
	"ethereum":     {1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 500},
	"sepolia":      {11155111, "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238", 500},
	"optimism":     {10, "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", 50},
	"base":         {8453, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 50},
	"base-sepolia": {84532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", 50},
	"arbitrum":     {42161, "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", 50},
}

// devSettings are the chain's part of the settings for the chain that comes with writ.
const devSettings = `chain:
  rpc: [http://127.0.0.1:8545] # writ devchain
  # key: file:agent.key        # of the agents' own account; on the dev chain one is there. Needs wallets, below
`

// chainSettings returns the chain's part of the settings.
func chainSettings(name string) (string, error) {
	if name == "" {
		return devSettings, nil
	}
	c, ok := knownChains[name]
	if !ok {
		return "", cli.Usage("%q is none of the chains that are known: %s; for another one begin with any of these, and "+
			"change id and tokens", name, strings.Join(slices.Sorted(maps.Keys(knownChains)), ", "))
	}
	return fmt.Sprintf(`chain:
  id: %d # %s
  rpc: [http://127.0.0.1:8545] # your endpoints; two or more of different operators are better
  tokens: # what may be named by its symbol. Check the addresses with their issuers
    - {symbol: ETH, decimals: 18}
    - {symbol: USDC, address: "%s", decimals: 6}
  # names: [{name: treasury, address: "0x..."}] # accounts that may be named: "send 5 USDC to treasury"
  max_fee_gwei: %d # the most that is offered for a unit of gas; while the chain asks more, payments wait
  # key: file:agent.key # of the agents' own account (writ wallet new agent.key). Needs wallets, below
`, c.id, name, c.usdc, c.maxFee), nil
}

func initCommand(a *app) *cobra.Command {
	var chain string
	c := &cobra.Command{
		Use: "init", Short: "Write a configuration file to begin with", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			part, err := chainSettings(chain)
			if err != nil {
				return err
			}
			text, next := strings.Replace(starter, "CHAIN", part, 1), "writ devchain, and in another terminal: writ serve"
			if chain != "" { // who pays needs an account of its own there
				text = strings.Replace(text, "[treasurer, reader]", "[reader] # and treasurer, with chain.key and wallets", 1)
				next = "put your endpoints under chain.rpc, then writ doctor, then writ serve"
			}
			if err := writeNew(config.DefaultFile, []byte(text), 0o644); err != nil {
				return err
			}
			return a.Done(map[string]any{"file": config.DefaultFile}, func(w io.Writer) {
				fmt.Fprintf(w, "%s written; next: %s\n", config.DefaultFile, next)
			})
		},
	}
	c.Flags().StringVar(&chain, "chain", "",
		"`name` of the chain: "+strings.Join(slices.Sorted(maps.Keys(knownChains)), ", "))
	return c
}

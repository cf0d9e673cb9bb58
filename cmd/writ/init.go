package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/config"
)

// starter is a configuration file to begin with.
const starter = `# writ's settings. "writ config print" shows what holds and where it comes from; "writ config schema" is the manual.
listen: 127.0.0.1:8420
data: writ-data

# Where wallets sign: the origin of your pages, as browsers show it.
scheme: http
domain: localhost:8420
origins: [http://localhost:8420]

# Agents by file, or those that come with writ: treasurer can pay within its grant, reader can only read the chain.
# With fetch and documents below there is a researcher too, for which policies: research is made.
agents: [treasurer, reader]

# The operator's rules: a file, or a built-in set (writ policy show spend-with-approval).
policies: spend-with-approval

# Rules of a dApp's own pages, between these and the wallet's; they may connect, and wallets sign in their name.
# dapps:
#   - {origin: https://shop.example, policies: ./shop.yaml}

chain:
  rpc: [http://127.0.0.1:8545] # writ devchain
  # key: file:agent.key        # of the agents' own account; on the dev chain one is there. Needs wallets, below

# Whose wallets may sign in: agents spend their own account's money on these wallets' word. On the dev chain, anybody's.
# wallets: ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]

# Contract wallets (a Safe, say) of the chain above sign in too. Before they may move value, two of chain.rpc must agree on
# what they say, unless all are on this machine. Endpoints of other chains whose contract wallets may sign in:
# contract_wallets:
#   - {chain: 8453, rpc: [https://rpc-one.example, https://rpc-two.example, https://rpc-three.example], quorum: 2}

# An OpenAI-compatible server. Without one, rules answer, and say that they are no model.
# models:
#   - {name: model, kind: openai, url: http://127.0.0.1:11434/v1, model: qwen3, price_in: 0, price_out: 0}

# Records are served at /ipfs/ here. They can go to a Kubo node too, and be served by bitswap.
# ipfs: {api: http://127.0.0.1:5001, listen: [/ip4/0.0.0.0/tcp/4001]}

log: {level: info, format: auto}
`

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Write a configuration file to begin with", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := os.OpenFile(config.DefaultFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return usage("%s is there already; it was left as it is", config.DefaultFile)
			} else if err != nil {
				return err
			}
			_, err = f.WriteString(starter)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			return a.done(map[string]any{"file": config.DefaultFile}, func(w io.Writer) {
				fmt.Fprintf(w, "%s written; next: writ devchain, and in another terminal: writ serve\n", config.DefaultFile)
			})
		},
	}
}

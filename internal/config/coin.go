package config

import (
	"cmp"
	"strings"
)

// coinDecimals are those of every EVM chain's own coin: a balance counts wei, of which one coin has 10^18.
const coinDecimals = 18

// coins are the symbols of the own coins of chains that are known, by EIP-155 id.
var coins = map[uint64]string{
	1: "ETH", 10: "ETH", 56: "BNB", 100: "XDAI", 137: "POL", 8453: "ETH", 42161: "ETH", 43114: "AVAX", 59144: "ETH",
	84532: "ETH", 421614: "ETH", 11155111: "ETH", 11155420: "ETH", DevChain: "ETH", 31337: "ETH",
}

// OwnCoin returns the symbol of the chain's own coin, in capitals; empty if nobody has said it.
func (c Chain) OwnCoin() string { return cmp.Or(strings.ToUpper(c.Coin), coins[c.Number()]) }

// checkTokens checks that what has no contract is the chain's own coin, and counted as it is. Nothing on the chain
// contradicts a wrong word about that: a balance would be told, and paid, as another one.
func (c *Config) checkTokens() error {
	own := c.Chain.OwnCoin()
	for _, t := range c.Chain.Tokens {
		switch symbol := strings.ToUpper(t.Symbol); {
		case t.Address != "" || symbol == "": // of no symbol the book says more
		case own == "":
			return c.badSetting("chain.tokens", "%s has no address: give that of its contract, or write coin: %s under "+
				"chain if it is the own coin of chain %d", symbol, symbol, c.Chain.Number())
		case symbol != own:
			return c.badSetting("chain.tokens", "%s has no address, and the own coin of chain %d is %s: give the address "+
				"of its contract, or say in chain.coin what the coin is called", symbol, c.Chain.Number(), own)
		case t.Decimals != coinDecimals:
			return c.badSetting("chain.tokens", "%s is the chain's own coin, which has 18 decimals on every chain, and not "+
				"%d: write decimals: 18", symbol, t.Decimals)
		}
	}
	return nil
}

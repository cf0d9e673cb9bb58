// Package chain reaches Ethereum, and brings a small chain of its own.
//
// A [Pool] is a list of JSON-RPC endpoints of one chain that behaves as a single client: it asks the first one, turns
// to the next when one is down, and keeps "nobody could be reached" ([ErrUnavailable]) apart from "the chain says
// no". [Dev] is a whole chain in this process, for demos and tests: go-ethereum's own node with funded accounts and a
// USDC-like token, reached over HTTP like any other chain. [Book] and [Accounts] say what is on it, without asking it.
package chain

// Package devchain is a small Ethereum chain of our own, for demos and tests.
//
// A [Chain] is go-ethereum's own node in this process, with funded accounts and a USDC-like token, reached over HTTP
// like any other chain. [Book] and [Accounts] say what is on it, without asking it.
package devchain

// Package contracts holds the compiled contracts that only tests and examples need.
package contracts

import _ "embed"

// Wallets is the compiler's output for Wallets.sol, as JSON.
//
//go:embed wallets.json
var Wallets []byte

// Token13 is the compiler's output for Token13.sol, as JSON.
//
//go:embed token13.json
var Token13 []byte

// Vaults is the compiler's output for Vaults.sol, as JSON.
//
//go:embed vaults.json
var Vaults []byte

// Turncoat is the compiler's output for Turncoat.sol, as JSON.
//
//go:embed turncoat.json
var Turncoat []byte

// Feed is the compiler's output for Feed.sol, as JSON.
//
//go:embed feed.json
var Feed []byte

// Things is the compiler's output for Things.sol, as JSON.
//
//go:embed things.json
var Things []byte

// Deeds is the compiler's output for Deeds.sol, as JSON.
//
//go:embed deeds.json
var Deeds []byte

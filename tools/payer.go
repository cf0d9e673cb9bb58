package tools

import (
	"context"
	"errors"
)

// A Payer is a tool of class WalletTx: the user's own wallet signs its transactions and sends them. Its Sign is never
// called, and its Account names no account of its chain.
type Payer interface {
	Follower
	// Ask returns what the wallet is asked to send.
	Ask(ctx context.Context, in Input) (Wanted, error)
	// Find looks for the call's transaction among those that the chain has of the wallet. [ErrUnsent] says that it is not
	// there yet; an [*Error], that it never will be.
	Find(ctx context.Context, in Input, s Search) (Signed, error)
	// CheckSent says in an [*Error] why the transaction of that hash, if the chain knows it, is not the call's: of code
	// [PaidOtherwise] if it has, or may have, done what the call asks for all the same.
	CheckSent(ctx context.Context, in Input, hash string) error
}

// Wanted is a transaction that a wallet is asked to send, as wallets take it; Value is 0x and hex.
type Wanted struct {
	Chain uint64 `json:"chain"`
	From  string `json:"from"`
	To    string `json:"to"`
	Value string `json:"value"`
	Data  string `json:"data"`
	// Parts are the calls that the transaction makes, in their order and all or none, if it is one of a smart account to
	// itself: what a wallet that knows such batches is asked for, which makes the same transaction of them.
	Parts []Part `json:"parts,omitempty"`
}

// A Part is one call of a transaction; Value is 0x and hex.
type Part struct {
	To    string `json:"to"`
	Value string `json:"value"`
	Data  string `json:"data"`
}

// A Search says how to look for what a wallet has sent.
type Search struct {
	Hash string // that somebody says it has; "" if nobody has
	// Taken says whether a transaction belongs to another call; nil if none does.
	Taken func(ctx context.Context, account string, nonce uint64) (bool, error)
}

// ErrUnsent says that the wallet has not sent a transaction yet, as far as the chain knows.
var ErrUnsent = errors.New("the wallet has not sent it yet")

// PaidOtherwise is the code of an [*Error] that says of a transaction that it is not what a wallet was asked to send,
// but has moved what the call would move, or may have: whoever sends another one may pay twice.
const PaidOtherwise = "wallet.otherwise"

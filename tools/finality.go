package tools

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// A Finality says when a block counts for good: once the chain's block of a tag is it or above it, or once so many
// blocks stand on it. The zero Finality takes the first word of a chain for its last.
type Finality struct {
	tag   string // "finalized" or "safe"
	depth uint64
}

// maxBlocks bounds the blocks of a [Finality]: more than a day of the fastest chains in use.
const maxBlocks = 100_000

// ParseFinality reads "finalized", "safe", or a number of blocks as "12 blocks"; "" is the zero Finality.
func ParseFinality(s string) (Finality, error) {
	switch s {
	case "":
		return Finality{}, nil
	case "finalized", "safe":
		return Finality{tag: s}, nil
	}
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 0 || n > maxBlocks || unit != "blocks" || number != strconv.FormatUint(n, 10) {
		return Finality{}, fmt.Errorf(
			"%q says not when a block is final: write finalized, safe, or a number from 1 to %d such as 12 blocks",
			clipText(s), maxBlocks)
	}
	return Finality{depth: n}, nil
}

// String is the spelling that [ParseFinality] reads.
func (f Finality) String() string {
	switch {
	case f.tag != "":
		return f.tag
	case f.depth > 0:
		return strconv.FormatUint(f.depth, 10) + " blocks"
	}
	return ""
}

// IsInstant says whether a block is final as soon as it is there.
func (f Finality) IsInstant() bool { return f == Finality{} }

// Tag is the name by which the chain is asked for its newest final block; "" if it is the newest block that counts.
func (f Finality) Tag() string { return f.tag }

// Reaches says whether a block is final by a mark: the block of the tag, or the chain's newest block.
func (f Finality) Reaches(block, mark *big.Int) bool {
	return block.Cmp(f.Newest(mark)) <= 0
}

// Newest returns the number of the newest block that is final by a mark; it may be below zero.
func (f Finality) Newest(mark *big.Int) *big.Int {
	return new(big.Int).Sub(mark, new(big.Int).SetUint64(f.depth))
}

// A Mark is the block by which another was found to be final.
type Mark struct {
	Rule      string `json:"rule"` // a [Finality]
	Block     string `json:"block"`
	BlockHash string `json:"block_hash"`
}

// ErrNotFinal says that what a tool returned does not show that the transaction's block is final.
var ErrNotFinal = errors.New("it does not show that its block is final")

// CheckFinal says whether a receipt shows that its block is final by the rule.
func (r *Mined) CheckFinal(rule Finality) error {
	if rule.IsInstant() {
		return nil
	}
	m := r.Final
	if m == nil || m.Rule != rule.String() || !isBlockNumber(m.Block) || !isBlockNumber(r.Block) {
		return fmt.Errorf("the receipt: %w", ErrNotFinal)
	}
	mark, _ := new(big.Int).SetString(m.Block, 10)
	block, _ := new(big.Int).SetString(r.Block, 10)
	if !rule.Reaches(block, mark) {
		return fmt.Errorf("the receipt: %w: block %s by the mark of block %s (%s)", ErrNotFinal, r.Block, m.Block, m.Rule)
	}
	return nil
}

// States of a [Standing].
const (
	StandsWaiting  = "waiting"  // in no block; see Offer
	StandsIncluded = "included" // in a block that may yet go
	StandsFinal    = "final"    // in a block that counts for good
)

// A Standing is how a signed transaction stands on its chain.
type Standing struct {
	State     string
	BlockHash string // of its block; "" while it waits
	// Receipt is what [Chain.Send] returns, if the transaction is in a block; of a final one with Final. It is that of
	// the one of the attempts that the block has.
	Receipt []byte
	Offer   *Offer // while it waits, if the chain was asked
}

// A Return is what is recorded of a transaction that was in a block, and is not in that block any more.
type Return struct {
	State     string `json:"state"` // "returned"
	Block     string `json:"block"` // that the chain has replaced
	BlockHash string `json:"block_hash"`
}

// StateReturned is the State of a [Return].
const StateReturned = "returned"

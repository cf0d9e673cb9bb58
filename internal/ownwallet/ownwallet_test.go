package ownwallet

import (
	"fmt"
	"testing"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

func keyOf(seq int) Key { return Key{Effect: provenance.Ref{Seq: uint64(seq)}} }

func TestATransactionIsOneCalls(t *testing.T) {
	const account = "eip155:1:0xa"
	b, k := NewBook(), keyOf(1)
	s := tools.Signed{Account: account, Nonce: 7}
	if b.Note(k, "0x1") || !b.Begin(k, account, 7) || !b.Note(k, "0x1") || b.HashOf(k) != "0x1" {
		t.Error("a hash is kept of a call that waits, and of no other")
	}
	if b.IsTaken(account, 7) || !b.Take(s) || b.Take(s) || !b.IsTaken(account, 7) || b.IsTaken(account, 8) {
		t.Error("a transaction was taken twice, or another with it")
	}
	if b.Begin(keyOf(2), account, 8); !b.IsTaken(account, 7) {
		t.Error("it was forgotten while a call is looked for at its nonce")
	}
	b.End(k)
	b.End(keyOf(2))
	if b.HashOf(k) != "" || b.Note(k, "0x2") {
		t.Error("a call that has ended waits still")
	}
	if b.Begin(k, account, 8); b.IsTaken(account, 7) {
		t.Error("what is on record is kept for ever")
	}
}

// One wallet that lets all its calls wait leaves room for the others.
func TestNoWalletTakesTheRoomOfOthers(t *testing.T) {
	b := NewBook()
	for i := range maxOfWallet {
		if !b.Begin(keyOf(i), "a", 0) {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if b.Begin(keyOf(maxOfWallet), "a", 0) || !b.Begin(keyOf(maxOfWallet), "b", 0) {
		t.Error("a wallet has more than its room, or another has none")
	}
	for i := maxOfWallet + 1; i < maxCalls; i++ {
		if !b.Begin(keyOf(i), fmt.Sprint(i), 0) {
			t.Fatalf("the %d. call does not wait", i)
		}
	}
	if b.Begin(keyOf(maxCalls), "c", 0) {
		t.Error("more calls wait than are allowed")
	}
}

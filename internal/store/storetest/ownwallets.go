package storetest

import (
	"errors"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func testOwnWallets(t *testing.T, b *bench) {
	c, other := b.openRun(b.newSession(alice)), b.openRun(b.newSession(bob))
	said := func(run provenance.Link, call provenance.Ref, want string) {
		t.Helper()
		if got, err := b.SentHash(b.ctx, run, call); err != nil || got != want {
			t.Errorf("of call %v: %q, %v; want %q", call, got, err, want)
		}
	}
	call := provenance.Ref{Seq: 3, Index: 1}
	said(c.Run, call, "")
	b.must(b.NoteSent(b.ctx, c.Run, call, "0x1"))
	b.must(b.NoteSent(b.ctx, c.Run, call, "0x2")) // the wallet has sped it up
	said(c.Run, call, "0x2")
	said(c.Run, provenance.Ref{Seq: 3}, "")
	said(c.Run, provenance.Ref{Seq: 1, Index: 3}, "")
	said(other.Run, call, "")
	nobody := b.newBlock().CID
	if err := b.NoteSent(b.ctx, nobody, call, "0x1"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("of a run that is not there: %v", err)
	}
	said(nobody, call, "")
	c.Nonce = &journal.TxNonce{Account: "a", Nonce: 7}
	b.must(b.Commit(b.ctx, c))
	for _, tt := range []struct {
		account string
		nonce   uint64
		want    bool
	}{{"a", 7, true}, {"a", 6, false}, {"a", 8, false}, {"b", 7, false}} {
		if used, err := b.IsNonceUsed(b.ctx, tt.account, tt.nonce); err != nil || used != tt.want {
			t.Errorf("nonce %d of %s is used: %t, %v", tt.nonce, tt.account, used, err)
		}
	}
}

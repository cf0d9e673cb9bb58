package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func testThreads(t *testing.T, b *bench) {
	s := b.newSession(alice)
	owner := s.Owner()
	wants := func(what string, q journal.ThreadQuery, want ...string) []journal.Thread {
		t.Helper()
		q.Owner = owner
		list, err := b.Threads(b.ctx, q)
		b.must(err)
		var got []string
		for _, x := range list {
			got = append(got, fmt.Sprint(x.Agent, "/", x.Name, " ", x.Runs))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
		return list
	}
	open := func(agent, name string, before provenance.Link) (journal.Commit, error) {
		c := b.newOpening(s)
		c.Open.Agent, c.Open.Thread = agent, &journal.ThreadPlace{Owner: owner, Name: name, Before: before}
		return c, b.Commit(b.ctx, c)
	}
	first, err := open("payer", "plans", provenance.Link{})
	b.must(err)
	if _, err := open("payer", "plans", provenance.Link{}); !errors.Is(err, journal.ErrThreadOpen) {
		t.Errorf("a second run beside an open one: %v", err)
	}
	closing := b.nextCommit(first)
	closing.Status = "answered"
	b.must(b.Commit(b.ctx, closing))
	if _, err := open("payer", "plans", provenance.Link{}); !errors.Is(err, journal.ErrThreadOpen) {
		t.Errorf("a run that does not know of the one before it: %v", err)
	}
	second, err := open("payer", "plans", first.Run)
	b.must(err)
	_, err = open("payer", "other", provenance.Link{})
	b.must(err)
	_, err = open("reader", "plans", provenance.Link{})
	b.must(err)

	list := wants("all", journal.ThreadQuery{Limit: 9}, "reader/plans 1", "payer/other 1", "payer/plans 2")
	wants("of one agent", journal.ThreadQuery{Agent: "payer", Limit: 9}, "payer/other 1", "payer/plans 2")
	wants("no more than asked for", journal.ThreadQuery{Limit: 1}, "reader/plans 1")
	wants("the page after", journal.ThreadQuery{Limit: 1, Before: list[0].Last}, "payer/other 1")
	wants("after an unknown run", journal.ThreadQuery{Limit: 9, Before: b.newBlock().CID})
	if got, err := b.Thread(b.ctx, owner, "payer", "plans"); err != nil || got.Last != second.Run {
		t.Errorf("got %+v, %v, want the last run %s", got, err, second.Run)
	}
	if none, err := b.Threads(b.ctx, journal.ThreadQuery{Owner: b.newSession(bob).Owner(), Limit: 9}); err != nil ||
		len(none) > 0 {
		t.Errorf("another wallet's: %v, %v", none, err)
	}

	if err := b.RenameThread(b.ctx, owner, "payer", "plans", "other"); !errors.Is(err, journal.ErrThreadName) {
		t.Errorf("a name that is taken: %v", err)
	}
	b.must(b.RenameThread(b.ctx, owner, "payer", "plans", "payments"))
	b.must(b.DeleteThread(b.ctx, owner, "payer", "other"))
	wants("renamed, and one deleted", journal.ThreadQuery{Agent: "payer", Limit: 9}, "payer/payments 2")
	for what, err := range map[string]error{
		"rename": b.RenameThread(b.ctx, owner, "payer", "plans", "x"),
		"delete": b.DeleteThread(b.ctx, owner, "payer", "plans"),
	} {
		if !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("%s what is not there: %v", what, err)
		}
	}
}

package client

import (
	"context"

	"github.com/writ-run/writ/agent/wire"
)

// Threads is the part of a Client that is about threads.
type Threads struct{ c *Client }

// Threads returns what lists, reads, renames and forgets the wallet's threads.
func (c *Client) Threads() Threads { return Threads{c} }

// List returns a page of the wallet's threads.
func (t Threads) List(ctx context.Context, p wire.ThreadsParams) (wire.Threads, error) {
	var out wire.Threads
	err := t.c.callWithRetries(ctx, wire.ThreadList, p, &out, false)
	return out, err
}

// Read returns what was asked and said in a thread.
func (t Threads) Read(ctx context.Context, p wire.ThreadParams) (wire.Turns, error) {
	var out wire.Turns
	err := t.c.callWithRetries(ctx, wire.ThreadGet, p, &out, false)
	return out, err
}

// Rename gives a thread another name.
func (t Threads) Rename(ctx context.Context, p wire.RenameParams) error {
	return t.c.callWithRetries(ctx, wire.ThreadRename, p, nil, true)
}

// Forget forgets a thread; its runs stay.
func (t Threads) Forget(ctx context.Context, p wire.ForgetParams) error {
	return t.c.callWithRetries(ctx, wire.ThreadDelete, p, nil, true)
}

package node

import (
	"context"
	"log/slog"
	"os"
	"slices"

	"github.com/writ-run/writ/internal/eth/pool"
)

// rehearsed are the parts as far as nobody hears of them and nobody is asked: those of a start, and of the others what
// is made of the settings. What only a data folder, a socket or another machine can say is left to the start.
var rehearsed = []part{
	{"folder", (*Node).openFolder},
	{"store", (*Node).openStore},
	{"log", rehearseLog},
	{"anchors", rehearseAnchors},
	{"chain", (*Node).openChain},
	{"library", (*Node).openLibrary},
	{"runner", (*Node).openRunner},
	{"mirror", rehearseMirror},
	{"server", (*Node).openServer},
	{"notices", rehearseNotices},
}

// Rehearse opens a node in a new folder of its own, and closes and removes it: whatever in the settings keeps [Open]
// from opening one is the same error here. It listens nowhere, asks no chain and starts no server of tools.
func Rehearse(ctx context.Context, c Config) error {
	dir, err := os.MkdirTemp("", "writ-rehearsal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.Data, c.Meters, c.Log, c.Tools = dir, nil, slog.New(slog.DiscardHandler), slices.Clone(c.Tools)
	n, err := open(ctx, c, rehearsed)
	if err != nil {
		return err
	}
	return n.Close()
}

func rehearseLog(n *Node, _ context.Context, c *Config) (func() error, error) {
	_, err := logConfig(n, c)
	return nil, err
}

func rehearseAnchors(n *Node, _ context.Context, c *Config) (func() error, error) {
	if len(c.Anchor.URLs) == 0 {
		return nil, nil
	}
	chain, err := pool.New(pool.Config{URLs: c.Anchor.URLs, Chain: c.Anchor.Chain})
	if err != nil {
		return nil, badUse("anchor: %s", err)
	}
	defer chain.Close()
	_, err = makeKeeper(n, c, chain, "the log's key, which is made at the start")
	return nil, err
}

func rehearseMirror(n *Node, _ context.Context, c *Config) (func() error, error) {
	if len(c.IPFS.Listen)+len(c.IPFS.Peers) > 0 {
		if _, err := bitswapConfig(n, c); err != nil {
			return nil, err
		}
	}
	if c.IPFS.API == "" {
		return nil, nil
	}
	_, err := makeKubo(c)
	return nil, err
}

func rehearseNotices(n *Node, _ context.Context, c *Config) (func() error, error) {
	if len(c.Webhooks) == 0 {
		return nil, nil
	}
	_, err := makeTeller(n, c)
	return nil, err
}

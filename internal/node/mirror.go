package node

import (
	"context"
	"errors"
	"log/slog"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/ipfs"
)

// An IPFS says where records go besides the server's own gateway. The zero one: nowhere.
type IPFS struct {
	API, Auth     string   // of a Kubo node that is pushed to; none if empty
	Listen, Peers []string // of a libp2p node that serves by bitswap; none if both are empty
}

// startMirror brings records to where the configuration says. A Kubo node that does not answer is no reason not to
// start: it gets everything when it does.
func (n *Node) startMirror(ctx context.Context, c *Config) (func() error, error) {
	served, err := n.startBitswap(ctx, c)
	if err != nil {
		return nil, badUse("%s", err)
	}
	if c.IPFS.API == "" {
		return served, nil
	}
	kubo, err := makeKubo(c)
	if err != nil {
		return nil, errors.Join(err, served())
	}
	pushed := runUntilClosed(ctx, func(ctx context.Context) {
		kubo.Push(ctx, pushes{n.db}, Blocks{n.db}, func(err error) { logPush(ctx, c.Log, err) })
	})
	return func() error { return errors.Join(pushed(), served()) }, nil
}

// makeKubo makes what pushes to Kubo. It asks nothing yet.
func makeKubo(c *Config) (*ipfs.Kubo, error) {
	kubo, err := ipfs.NewKubo(c.IPFS.API, c.IPFS.Auth)
	if err != nil {
		return nil, badUse("ipfs.api: %s", err)
	}
	return kubo, nil
}

// startBitswap serves the store's blocks to the peers that are named.
func (n *Node) startBitswap(ctx context.Context, c *Config) (func() error, error) {
	if len(c.IPFS.Listen)+len(c.IPFS.Peers) == 0 {
		return closing(), nil
	}
	cfg, err := bitswapConfig(n, c)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	peer, err := ipfs.NewNode(life, cfg)
	if err != nil {
		cancel()
		return nil, err
	}
	c.Log.InfoContext(ctx, "serving by bitswap", "addresses", peer.Addrs())
	return func() error {
		cancel()
		return peer.Close()
	}, nil
}

// bitswapConfig returns what serves blocks to peers. An error is a [*Fault] if a setting is wrong.
func bitswapConfig(n *Node, c *Config) (ipfs.NodeConfig, error) {
	key, err := datadir.Key(c.Data, "ipfs")
	if err != nil {
		return ipfs.NodeConfig{}, err
	}
	cfg := ipfs.NodeConfig{Source: Blocks{n.db}, Key: key, Listen: c.IPFS.Listen, Peers: c.IPFS.Peers, Log: c.Log}
	if err := cfg.Check(); err != nil {
		return cfg, badUse("%s", err)
	}
	return cfg, nil
}

func logPush(ctx context.Context, log *slog.Logger, err error) {
	if err != nil {
		log.WarnContext(ctx, "records are not pushed; they wait", "err", err)
	} else {
		log.InfoContext(ctx, "records are pushed again")
	}
}

// pushes are the store's as the pusher wants them.
type pushes struct{ journal.Pushes }

func (q pushes) Unpushed(ctx context.Context, limit int) ([]ipfs.Push, error) {
	todo, err := q.Pushes.Unpushed(ctx, limit)
	list := make([]ipfs.Push, len(todo))
	for i, p := range todo {
		list[i] = ipfs.Push(p)
	}
	return list, err
}

var _ ipfs.Queue = pushes{}

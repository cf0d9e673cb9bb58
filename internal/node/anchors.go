package node

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/provenance/translog/anchor"
)

// An Anchor says where the log is anchored; nowhere if it has no URLs.
type Anchor struct {
	URLs     []string
	Chain    uint64
	Contract common.Address
	Key      *ecdsa.PrivateKey
	Interval time.Duration
	MaxFee   *big.Int // wei; anchor's own if nil
}

func (n *Node) startAnchors(ctx context.Context, c *Config) (func() error, error) {
	p := c.Anchor
	if len(p.URLs) == 0 {
		return nil, nil
	}
	chain, err := pool.New(pool.Config{URLs: p.URLs, Chain: p.Chain})
	if err != nil {
		return nil, badUse("anchor: %s", err)
	}
	k, err := makeKeeper(n, c, chain, n.heads.VKey())
	if err != nil {
		chain.Close()
		return nil, err
	}
	stop := runUntilClosed(ctx, k.Run)
	return func() error {
		defer chain.Close()
		return stop()
	}, nil
}

// makeKeeper makes what anchors the log of a key. It asks nobody yet.
func makeKeeper(n *Node, c *Config, chain *pool.Pool, vkey string) (*anchor.Keeper, error) {
	p := c.Anchor
	k, err := anchor.New(anchor.Config{
		Client: chain, Store: n.db, Key: p.Key, Contract: p.Contract, VKey: vkey, Newest: n.heads.Published,
		Interval: p.Interval, MaxFee: p.MaxFee, Log: c.Log,
	})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return k, nil
}

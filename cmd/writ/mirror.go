package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance/ipfs"
)

// An ipfsPlan says where records go besides the server's own gateway. The zero plan: nowhere.
type ipfsPlan struct {
	API, Auth     string   // of a Kubo node that is pushed to; none if empty
	Listen, Peers []string // of a libp2p node that serves by bitswap; none if both are empty
}

// A mirror brings records to IPFS for as long as a server runs. The nil mirror does nothing.
type mirror struct {
	node   *ipfs.Node
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startMirror starts what the plan names. A Kubo node that does not answer is no reason not to start: it gets
// everything when it does.
func startMirror(ctx context.Context, p ipfsPlan, data string, db *store.DB, log *slog.Logger) (*mirror, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &mirror{cancel: cancel}
	if len(p.Listen)+len(p.Peers) > 0 {
		key, err := keyFile(data, "ipfs")
		if err == nil {
			m.node, err = ipfs.NewNode(ctx, ipfs.NodeConfig{Source: blocks{db}, Key: key, Listen: p.Listen, Peers: p.Peers, Log: log})
		}
		if err != nil {
			cancel()
			return nil, usage("%s", err)
		}
		log.Info("serving by bitswap", "addresses", m.node.Addrs())
	}
	if p.API != "" {
		kubo, err := ipfs.NewKubo(p.API, p.Auth)
		if err != nil {
			m.close()
			return nil, usage("ipfs.api: %s", err)
		}
		m.wg.Go(func() {
			kubo.Push(ctx, pushes{db}, blocks{db}, func(err error) {
				if err != nil {
					log.Warn("records are not pushed; they wait", "err", err)
				} else {
					log.Info("records are pushed again")
				}
			})
		})
	}
	return m, nil
}

func (m *mirror) close() {
	if m == nil {
		return
	}
	m.cancel()
	m.wg.Wait()
	if m.node != nil {
		m.node.Close()
	}
}

// pushes are the store's as the pusher wants them.
type pushes struct{ *store.DB }

func (q pushes) Unpushed(ctx context.Context, limit int) ([]ipfs.Push, error) {
	todo, err := q.DB.Unpushed(ctx, limit)
	list := make([]ipfs.Push, len(todo))
	for i, p := range todo {
		list[i] = ipfs.Push(p)
	}
	return list, err
}

var _ ipfs.Queue = pushes{}

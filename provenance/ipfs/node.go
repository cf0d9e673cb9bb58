package ipfs

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	p2pcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/writ-run/writ/provenance"
)

// NodeConfig says what a [Node] is made of.
type NodeConfig struct {
	Source Source             // required: what peers may fetch
	Key    ed25519.PrivateKey // required: the node's identity in libp2p; not the key that signs heads
	// Listen are the multiaddresses to listen on, for instance /ip4/127.0.0.1/tcp/4001. Nobody can reach a node that
	// has none; it can still connect to Peers.
	Listen []string
	// Peers are multiaddresses with /p2p/ and an identity, to which the node stays connected: those who mirror the
	// records. There is no bootstrap list, no DHT, no mDNS and no relay.
	Peers []string
	Log   *slog.Logger // logs nothing if nil
}

// Bounds on what peers can cost.
const (
	lowConns, highConns = 96, 128 // connections; above the second the least useful are closed down to the first
	redial              = 30 * time.Second
	dialTimeout         = 10 * time.Second
	wantBytes           = 1 << 20 // of blocks on their way to one peer
)

// A Node is a libp2p host that hands out the blocks of a [Source] by bitswap, and fetches blocks from its peers. It
// tells nobody what it has; a peer asks for a CID that it knows. Make one with [NewNode]; Close ends it.
type Node struct {
	host    host.Host
	bitswap *bitswap.Bitswap
	log     *slog.Logger
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// NewNode starts a node. ctx bounds nothing but the start. The error names the first field that is wrong.
func NewNode(ctx context.Context, cfg NodeConfig) (_ *Node, err error) {
	peers, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	key, err := p2pcrypto.UnmarshalEd25519PrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("IPFS node: its key: %w", err)
	}
	manager, err := connmgr.NewConnManager(lowConns, highConns)
	if err != nil {
		return nil, fmt.Errorf("IPFS node: %w", err)
	}
	// TCP with noise and yamux is what every IPFS node speaks; nothing else listens.
	options := []libp2p.Option{
		libp2p.Identity(key), libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.ConnectionManager(manager), libp2p.DisableRelay(),
		libp2p.DisableMetrics(), libp2p.UserAgent("writ"), libp2p.NoListenAddrs,
	}
	if len(cfg.Listen) > 0 {
		options = append(options, libp2p.ListenAddrStrings(cfg.Listen...))
	}
	h, err := libp2p.New(options...)
	if err != nil {
		return nil, fmt.Errorf("IPFS node: %w", err)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &Node{host: h, log: cfg.Log, cancel: cancel}
	n.bitswap = bitswap.New(life, bsnet.NewFromIpfsHost(h), nil,
		bitswapStore{NewBlockstore(quiet{cfg.Source, cfg.Log})},
		bitswap.MaxCidSize(64), bitswap.MaxOutstandingBytesPerPeer(wantBytes))
	for _, p := range peers {
		n.wg.Go(func() { n.keepConnected(life, p) })
	}
	return n, nil
}

// Check says what is wrong with a config, as [NewNode] would. It listens nowhere.
func (c NodeConfig) Check() error {
	_, err := c.check()
	return err
}

// check says whether a node can be made of it, and returns the peers that it names.
func (c *NodeConfig) check() (peers []peer.AddrInfo, err error) {
	switch {
	case c.Source == nil:
		return nil, errors.New("IPFS node: Source is missing")
	case len(c.Key) != ed25519.PrivateKeySize:
		return nil, errors.New("IPFS node: Key must be an Ed25519 private key")
	}
	for _, l := range c.Listen {
		if _, err := ma.NewMultiaddr(l); err != nil {
			return nil, fmt.Errorf("IPFS node: %q is no address to listen on; write for instance "+
				"/ip4/127.0.0.1/tcp/4001", l)
		}
	}
	peers = make([]peer.AddrInfo, len(c.Peers))
	for i, p := range c.Peers {
		if peers[i], err = parsePeer(p); err != nil {
			return nil, err
		}
	}
	return peers, nil
}

func parsePeer(s string) (peer.AddrInfo, error) {
	info, err := peer.AddrInfoFromString(s)
	if err != nil {
		return peer.AddrInfo{},
			fmt.Errorf("IPFS node: %q is no peer; write for instance /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo... with "+
				"its whole identity", s)
	}
	return *info, nil
}

// CheckPeer says whether s is the address of a peer.
func CheckPeer(s string) error { _, err := parsePeer(s); return err }

// keepConnected keeps the node connected to a peer, as far as it is there.
func (n *Node) keepConnected(ctx context.Context, p peer.AddrInfo) {
	said := false
	for {
		dial, cancel := context.WithTimeout(ctx, dialTimeout)
		err := n.host.Connect(dial, p)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil && !said { // once, not every half minute
			n.log.WarnContext(ctx, "IPFS peer not reached", "peer", p.ID)
		}
		said = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(redial):
		}
	}
}

// Addrs returns the addresses by which peers reach this node, with its identity.
func (n *Node) Addrs() []string {
	var list []string
	for _, a := range n.host.Addrs() {
		list = append(list, a.String()+"/p2p/"+n.host.ID().String())
	}
	return list
}

// Connect connects to a peer by its address.
func (n *Node) Connect(ctx context.Context, addr string) error {
	p, err := parsePeer(addr)
	if err != nil {
		return err
	}
	if err := n.host.Connect(ctx, p); err != nil {
		return fmt.Errorf("connect to %s: %w", p.ID, err)
	}
	return nil
}

// Block fetches a block from the connected peers, checks its hash, and implements [Source]: it waits until a peer has
// it or ctx ends. It is kept nowhere.
func (n *Node) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	b, err := n.bitswap.GetBlock(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("fetch block %s: %w", c, err)
	}
	data := b.RawData()
	if sum, err := c.Prefix().Sum(data); err != nil || sum != c {
		return nil, fmt.Errorf("fetch block %s: a peer sent other bytes", c)
	}
	return data, nil
}

// Close ends the node and waits for its goroutines.
func (n *Node) Close() error {
	n.cancel()
	err := errors.Join(closeQuietly(n.bitswap), closeQuietly(n.host))
	n.wg.Wait()
	return err
}

func closeQuietly(c io.Closer) error { return c.Close() }

// A bitswapStore is a blockstore into which nothing comes: bitswap wants to put what it fetched, and a node hands it to
// who asked instead. Blocks come into the journal with their step, or by import.
type bitswapStore struct{ Blockstore }

var _ blockstore.Blockstore = bitswapStore{}

func (bitswapStore) Put(context.Context, blocks.Block) error       { return nil }
func (bitswapStore) PutMany(context.Context, []blocks.Block) error { return nil }
func (bitswapStore) DeleteBlock(context.Context, cid.Cid) error    { return errReadOnly }

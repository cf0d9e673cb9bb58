// Package beside has the commands that run something beside a server, and need none: a gateway to records, a witness of
// logs, the contract of a log's anchors, and a throw-away chain.
package beside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/telemetry"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

// A gatewayReady is what a gateway says when clients can come.
type gatewayReady struct {
	URL       string   `json:"url"`
	Addresses []string `json:"addresses,omitempty"` // of the libp2p node, for peers
	Roots     []string `json:"roots,omitempty"`     // of the CAR files
}

// gatewayOptions are the flags of writ gateway.
type gatewayOptions struct {
	data, addr, readyFile string
	p2p, peers            []string
}

// Gateway is writ gateway.
func Gateway(a *cli.Shell) *cobra.Command {
	var o gatewayOptions
	c := &cobra.Command{
		Use: "gateway [FILE.car...]", Short: "Serve records to IPFS, without running agents",
		Long: `Serves the blocks of CAR files, of a data folder, or of both as a trustless IPFS gateway: /ipfs/CID?format=raw
and ?format=car. Every block is checked against its CID on every read. With --p2p they are also served by bitswap.

It reads and never writes, and a server may use the same data folder at the same time. Whoever knows a CID can fetch
its block; payloads are sealed unless a policy published them.`,
		RunE: func(c *cobra.Command, args []string) error { return o.serve(c.Context(), a, args) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` to serve")
	f.StringVar(&o.addr, "listen", "127.0.0.1:8421", "`host:port` to listen on; port 0 takes a free one")
	f.StringSliceVar(&o.p2p, "p2p", nil, "libp2p `address` to serve bitswap at, e.g. /ip4/127.0.0.1/tcp/4001")
	f.StringSliceVar(&o.peers, "peer", nil, "libp2p `peer` to stay connected to")
	f.StringVar(&o.readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
}

func (o *gatewayOptions) serve(ctx context.Context, a *cli.Shell, args []string) error {
	if o.data == "" && len(args) == 0 {
		return cli.Usage("say what to serve: CAR files, --data DIR, or both")
	}
	r := gatewayReady{}
	from, closeSources, err := o.openSources(ctx, args, &r)
	defer closeSources()
	if err != nil {
		return err
	}
	log, err := telemetry.Log(a.Err, "warn", "auto")
	if err != nil {
		return err
	}
	handler, err := ipfs.NewGateway(from, log)
	if err != nil {
		return err
	}
	if len(o.p2p)+len(o.peers) > 0 {
		node, err := o.startNode(ctx, from, log)
		if err != nil {
			return err
		}
		defer node.Close()
		r.Addresses = node.Addrs()
	}
	return o.listen(ctx, a, r, handler)
}

// openSources opens what is to be served, and notes the roots of files. What it returns to be called closes all that
// is open by then, after an error too.
func (o *gatewayOptions) openSources(ctx context.Context, files []string, r *gatewayReady) (from sources, end func(),
	err error) {
	var open []io.Closer
	end = func() {
		for _, c := range open {
			c.Close()
		}
	}
	for _, name := range files {
		car, f, err := evidence.OpenCAR(name)
		if err != nil {
			return nil, end, err
		}
		open = append(open, f)
		from = append(from, carSource{car})
		r.Roots = append(r.Roots, car.Root().String())
	}
	if o.data != "" {
		db, err := evidence.OpenData(ctx, o.data)
		if err != nil {
			return nil, end, err
		}
		open = append(open, db)
		from = append(from, node.Blocks{Store: db})
	}
	return from, end, nil
}

// startNode serves the blocks by bitswap too. Without a data folder its identity is for this time only.
func (o *gatewayOptions) startNode(ctx context.Context, from sources, log *slog.Logger) (*ipfs.Node, error) {
	dir := o.data
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "writ-gateway-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
	}
	key, err := datadir.Key(dir, "ipfs")
	if err != nil {
		return nil, err
	}
	n, err := ipfs.NewNode(ctx, ipfs.NodeConfig{Source: from, Key: key, Listen: o.p2p, Peers: o.peers, Log: log})
	if err != nil {
		return nil, cli.Usage("%s", err)
	}
	return n, nil
}

// listen serves HTTP until ctx ends, and says where.
func (o *gatewayOptions) listen(ctx context.Context, a *cli.Shell, r gatewayReady, handler http.Handler) error {
	ln, err := cli.Listen(ctx, o.addr)
	if err != nil {
		return err
	}
	a.UntilSignal = true
	r.URL = "http://" + ln.Addr().String()
	if err := cli.WriteReady(o.readyFile, r); err != nil {
		ln.Close()
		return err
	}
	err = a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "serving at %s/ipfs/CID\n", r.URL)
		for _, root := range r.Roots {
			fmt.Fprintf(w, "  %s/ipfs/%s?format=car\n", r.URL, root)
		}
		for _, addr := range r.Addresses {
			fmt.Fprintf(w, "  peers: %s\n", addr)
		}
	})
	if err != nil {
		ln.Close()
		return err
	}
	return serveHTTP(ctx, ln, handler)
}

// serveHTTP serves until ctx ends, and gives what is under way ten seconds to end then.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 5 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if s.Shutdown(end) != nil {
		s.Close()
	}
	<-failed
	return nil
}

// sources are tried in order.
type sources []ipfs.Source

// Block implements ipfs.Source.
func (list sources) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	for _, s := range list {
		data, err := s.Block(ctx, c)
		if !errors.Is(err, provenance.ErrAbsent) {
			return data, err
		}
	}
	return nil, fmt.Errorf("block %s: %w", c, provenance.ErrAbsent)
}

// A carSource serves a CAR file.
type carSource struct{ car *provenance.CAR }

// Block implements ipfs.Source.
func (s carSource) Block(_ context.Context, c provenance.Link) ([]byte, error) { return s.car.Get(c) }

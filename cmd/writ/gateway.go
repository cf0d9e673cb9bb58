package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

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

func (a *app) gatewayCommand() *cobra.Command {
	var data, addr, readyFile string
	var p2p, peers []string
	c := &cobra.Command{
		Use: "gateway [FILE.car...]", Short: "Serve records to IPFS, without running agents",
		Long: `Serves the blocks of CAR files, of a data folder, or of both as a trustless IPFS gateway: /ipfs/CID?format=raw and
?format=car. Every block is checked against its CID on every read. With --p2p they are also served by bitswap.

It reads and never writes, and a server may use the same data folder at the same time. Whoever knows a CID can fetch
its block; payloads are sealed unless a policy published them.`,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if data == "" && len(args) == 0 {
				return usage("say what to serve: CAR files, --data DIR, or both")
			}
			var from sources
			r := gatewayReady{}
			for _, name := range args {
				car, f, err := openCAR(name)
				if err != nil {
					return err
				}
				defer f.Close()
				from = append(from, carSource{car})
				r.Roots = append(r.Roots, car.Root().String())
			}
			if data != "" {
				db, err := openData(ctx, data)
				if err != nil {
					return err
				}
				defer db.Close()
				from = append(from, blocks{db})
			}
			log, err := telemetry.Log(a.err, "warn", "auto")
			if err != nil {
				return err
			}
			handler, err := ipfs.NewGateway(from, log)
			if err != nil {
				return err
			}
			if len(p2p)+len(peers) > 0 {
				dir := data
				if dir == "" { // no place of its own: an identity for this time only
					if dir, err = os.MkdirTemp("", "writ-gateway-"); err != nil {
						return err
					}
					defer os.RemoveAll(dir)
				}
				key, err := keyFile(dir, "ipfs")
				if err != nil {
					return err
				}
				node, err := ipfs.NewNode(ctx, ipfs.NodeConfig{Source: from, Key: key, Listen: p2p, Peers: peers, Log: log})
				if err != nil {
					return usage("%s", err)
				}
				defer node.Close()
				r.Addresses = node.Addrs()
			}
			ln, err := listen(ctx, addr)
			if err != nil {
				return err
			}
			a.untilSignal = true
			r.URL = "http://" + ln.Addr().String()
			if err := writeReady(readyFile, r); err != nil {
				ln.Close()
				return err
			}
			err = a.done(r, func(w io.Writer) {
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
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data `folder` to serve")
	f.StringVar(&addr, "listen", "127.0.0.1:8421", "`host:port` to listen on; port 0 takes a free one")
	f.StringSliceVar(&p2p, "p2p", nil, "libp2p `address` to serve bitswap at, e.g. /ip4/127.0.0.1/tcp/4001")
	f.StringSliceVar(&peers, "peer", nil, "libp2p `peer` to stay connected to")
	f.StringVar(&readyFile, "ready-file", "", "`file` to write when clients can come")
	return c
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

package beside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/process"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/telemetry"
)

// devchainOptions are the flags of writ devchain.
type devchainOptions struct {
	addr, readyFile string
	withParent      bool
}

// Devchain is writ devchain.
func Devchain(a *cli.Shell) *cobra.Command {
	var o devchainOptions
	c := &cobra.Command{
		Use: "devchain", Short: "Run a throw-away Ethereum chain on this machine",
		Long: `Runs an Ethereum chain in memory, with a USDC-like token and funded accounts named agent, alice, bob and
mallory. Their keys are public: never send anything of value to them. The chain is gone when the program ends.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context(), a) },
	}
	c.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8545", "loopback `host:port` to listen on; port 0 takes a free one")
	c.Flags().StringVar(&o.readyFile, "ready-file", "", "`file` to write when the chain can be used")
	c.Flags().BoolVar(&o.withParent, "with-parent", false, "end when standard input ends")
	return c
}

func (o *devchainOptions) run(ctx context.Context, a *cli.Shell) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.withParent {
		// The parent holds the other end of standard input: it ends with the parent, however that ends.
		go func() { io.Copy(io.Discard, a.In); stop() }()
	}
	a.UntilSignal = true
	log, err := telemetry.Log(a.Err, "warn", "text")
	if err != nil {
		return err
	}
	dev, err := devchain.Start(ctx, devchain.Config{Addr: o.addr, Log: log})
	if errors.Is(err, devchain.ErrInUse) {
		return cli.Failf(cli.ExitNetwork, "port_in_use", "another program listens on %s; stop it, or give another --addr",
			o.addr)
	} else if ctx.Err() != nil {
		return nil // told to stop before it had begun
	} else if err != nil {
		return cli.Failf(cli.ExitUsage, "devchain", "%s", err)
	}
	defer dev.Close()
	r := describeDevchain(dev.URL())
	if err := cli.WriteReady(o.readyFile, r); err != nil {
		return err
	}
	err = a.Done(r, func(w io.Writer) {
		fmt.Fprintf(w, "dev chain %d at %s\n", r.Chain, r.URL)
		for _, name := range slices.Sorted(maps.Keys(r.Accounts)) {
			fmt.Fprintf(w, "  %-8s %s\n", name, r.Accounts[name])
		}
		fmt.Fprintf(w, "  %-8s %s\n", "USDC", r.Tokens["USDC"])
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// describeDevchain returns what there is on the dev chain at url.
func describeDevchain(url string) process.DevchainReady {
	book := devchain.Book()
	r := process.DevchainReady{URL: url, Chain: devchain.ID, Accounts: map[string]string{},
		Tokens: map[string]string{}}
	for name, addr := range book.Names {
		r.Accounts[name] = addr.Hex()
	}
	for symbol, t := range book.Tokens {
		r.Tokens[symbol] = t.Address.Hex()
	}
	return r
}

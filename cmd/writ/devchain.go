package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/chain"
	"github.com/writ-run/writ/internal/telemetry"
)

// A devchainReady is what a dev chain says when it can be used.
type devchainReady struct {
	URL      string            `json:"url"`
	Chain    uint64            `json:"chain"`
	Accounts map[string]string `json:"accounts"` // by name
	Tokens   map[string]string `json:"tokens"`   // by symbol
}

func (a *app) devchainCommand() *cobra.Command {
	var addr, readyFile string
	var withParent bool
	c := &cobra.Command{
		Use: "devchain", Short: "Run a throw-away Ethereum chain on this machine",
		Long: `Runs an Ethereum chain in memory, with a USDC-like token and funded accounts named agent, alice, bob and mallory.
Their keys are public: never send anything of value to them. The chain is gone when the program ends.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			if withParent {
				// The parent holds the other end of standard input: it ends with the parent, however that ends.
				go func() { io.Copy(io.Discard, a.in); stop() }()
			}
			a.untilSignal = true
			log, err := telemetry.Log(a.err, "warn", "text")
			if err != nil {
				return err
			}
			dev, err := chain.StartDev(ctx, chain.DevConfig{Addr: addr, Log: log})
			if errors.Is(err, chain.ErrInUse) {
				return failf(exitNetwork, "port_in_use", "another program listens on %s; stop it, or give another --addr", addr)
			} else if ctx.Err() != nil {
				return nil // told to stop before it had begun
			} else if err != nil {
				return failf(exitUsage, "devchain", "%s", err)
			}
			defer dev.Close()
			book := chain.Book()
			r := devchainReady{URL: dev.URL(), Chain: chain.DevChainID, Accounts: map[string]string{}, Tokens: map[string]string{}}
			for name, addr := range book.Names {
				r.Accounts[name] = addr.Hex()
			}
			for symbol, t := range book.Tokens {
				r.Tokens[symbol] = t.Address.Hex()
			}
			if err := writeReady(readyFile, r); err != nil {
				return err
			}
			err = a.done(r, func(w io.Writer) {
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
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:8545", "loopback `host:port` to listen on; port 0 takes a free one")
	c.Flags().StringVar(&readyFile, "ready-file", "", "`file` to write when the chain can be used")
	c.Flags().BoolVar(&withParent, "with-parent", false, "end when standard input ends")
	return c
}

// startDevchain runs a dev chain as a process of its own, so that it outlives a server that is killed and is reached
// as any chain is. stop ends it; so does the end of this process.
func (a *app) startDevchain(ctx context.Context, addr string) (r devchainReady, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return r, nil, fmt.Errorf("start the dev chain: %w", err)
	}
	cmd := exec.Command(exe)
	cmd.Args = []string{"writ", "devchain", "--json", "--with-parent", "--addr", addr}
	cmd.Stderr = a.err
	hold, err := cmd.StdinPipe()
	if err != nil {
		return r, nil, fmt.Errorf("start the dev chain: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, nil, fmt.Errorf("start the dev chain: %w", err)
	}
	detach(cmd) // a Ctrl-C is for the server first: the chain ends after it
	if err := cmd.Start(); err != nil {
		return r, nil, fmt.Errorf("start the dev chain: %w", err)
	}
	stop = func() {
		hold.Close()
		kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		cmd.Wait() // its exit code says nothing that matters any more
	}
	type line struct {
		text []byte
		err  error
	}
	said := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(io.LimitReader(out, 64<<10)).ReadBytes('\n')
		said <- line{text, err}
	}()
	select {
	case l := <-said:
		var f struct {
			OK    bool
			Error struct{ Code, Message string }
			devchainReady
		}
		if l.err != nil || json.Unmarshal(l.text, &f) != nil {
			stop()
			return r, nil, failf(exitInternal, "devchain", "the dev chain did not start; see what it wrote above")
		}
		if !f.OK {
			stop()
			return r, nil, failf(exitNetwork, f.Error.Code, "the dev chain did not start: %s", f.Error.Message)
		}
		return f.devchainReady, stop, nil
	case <-ctx.Done():
		stop()
		return r, nil, ctx.Err()
	}
}

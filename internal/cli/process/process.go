// Package process runs parts of writ as processes of their own: a dev chain that outlives a server, and a server that
// can be killed.
package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/writ-run/writ/internal/cli"
)

// A ServerReady is what a server says when clients can come.
type ServerReady struct {
	URL         string `json:"url"`
	Listen      string `json:"listen"`
	OperatorKey string `json:"operator_key"` // pin it, to verify what this server records
	LogKey      string `json:"log_key"`      // of its transparency log; pin it too
	Epoch       string `json:"epoch"`
	Chain       string `json:"chain,omitempty"` // of `writ dev`
	Wallet      string `json:"wallet,omitempty"`
	Data        string `json:"data"`
}

// A DevchainReady is what a dev chain says when it can be used.
type DevchainReady struct {
	URL      string            `json:"url"`
	Chain    uint64            `json:"chain"`
	Accounts map[string]string `json:"accounts"` // by name
	Tokens   map[string]string `json:"tokens"`   // by symbol
}

// StartDevchain runs a dev chain as a process of its own, so that it outlives a server that is killed and is reached
// as any chain is. stop ends it; so does the end of this process.
func StartDevchain(ctx context.Context, stderr io.Writer, addr string) (r DevchainReady, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return r, nil, fmt.Errorf("start the dev chain: %w", err)
	}
	cmd := exec.Command(exe)
	cmd.Args = []string{"writ", "devchain", "--json", "--with-parent", "--addr", addr}
	cmd.Stderr = stderr
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
	if r, err = readReady(ctx, out); err != nil {
		stop()
		return r, nil, err
	}
	return r, stop, nil
}

// readReady reads the line with which a dev chain says that it can be used, or why not. The goroutine ends with the
// chain, which the caller stops after an error.
func readReady(ctx context.Context, out io.Reader) (DevchainReady, error) {
	var said struct {
		OK    bool
		Error struct{ Code, Message string }
		DevchainReady
	}
	read := make(chan error, 1)
	go func() {
		text, err := bufio.NewReader(io.LimitReader(out, 64<<10)).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(text, &said)
		}
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil {
			return DevchainReady{}, cli.Failf(cli.ExitInternal, "devchain",
				"the dev chain did not start; see what it wrote above")
		}
		if !said.OK {
			return DevchainReady{}, cli.Failf(cli.ExitNetwork, said.Error.Code,
				"the dev chain did not start: %s", said.Error.Message)
		}
		return said.DevchainReady, nil
	case <-ctx.Done():
		return DevchainReady{}, ctx.Err()
	}
}

// A Child is another process of this program.
type Child struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{} // closed when it has ended
}

// Start runs this program with other arguments.
func Start(args ...string) (*Child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	c := &Child{cmd: exec.Command(exe, args...), done: make(chan struct{})}
	c.cmd.Stderr = &c.stderr
	detach(c.cmd)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		c.cmd.Wait() // how it ended is asked of its output
		close(c.done)
	}()
	return c, nil
}

// CheckAlive says what the process wrote, if it has ended.
func (c *Child) CheckAlive() error {
	select {
	case <-c.done:
		return cli.Failf(cli.ExitInternal, "server", "the server ended: %s", strings.TrimSpace(c.stderr.String()))
	default:
		return nil
	}
}

// Kill ends the process without giving it a chance to do anything.
func (c *Child) Kill() {
	c.cmd.Process.Kill()
	<-c.done
}

// Stop ends the process, which has ten seconds to do so by itself.
func (c *Child) Stop() {
	select {
	case <-c.done:
		return
	default:
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		c.Kill()
	}
}

// Until asks every 20 ms, for 10 s at most.
func Until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

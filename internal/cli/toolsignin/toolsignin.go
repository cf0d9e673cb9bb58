// Package toolsignin has somebody sign in at a server of tools that wants it, by a browser.
package toolsignin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/walletpage"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/tools/mcp"
)

// Options are the flags of a sign-in.
type Options struct {
	client, secret string
	scopes         []string
	port           int
	paste, noOpen  bool
}

// AddFlags adds them.
func (o *Options) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.client, "client-id", "",
		"`ID` of a client that the server's operator has made; else one is registered there")
	f.StringVar(&o.secret, "client-secret", "", "its secret, as file:PATH or env:NAME")
	f.StringArrayVar(&o.scopes, "scope", nil, "what to ask for, instead of what the server names; may be given again")
	f.IntVar(&o.port, "port", 0, "`PORT` of this machine that the browser is led back to; any that is free if 0")
	f.BoolVar(&o.noOpen, "no-open", false, "open no browser, and print the address only")
	f.BoolVar(&o.paste, "paste", false, "read from standard input the address that the browser was led back to")
}

// SignIn has somebody sign in at a server, and keeps what comes of it in the file that the server's entry names.
func SignIn(ctx context.Context, sh *cli.Shell, m config.MCP, o Options) error {
	c, err := node.ServerConfig(m, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	in := mcp.SignIn{Client: o.client, Scopes: o.scopes}
	if o.secret != "" {
		if in.Secret, err = config.Secret(o.secret).Reveal(); err != nil {
			return cli.Usage("--client-secret: %s", err)
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", o.port))
	if err != nil {
		return cli.Usage("the browser cannot be led back to port %d: %s", o.port, err)
	}
	in.Redirect = "http://" + ln.Addr().String() + backPath
	in.Show = func(ctx context.Context, address string) (string, error) {
		fmt.Fprintf(sh.Err, "Open this address in a browser, and sign in within five minutes:\n\n  %s\n\n", address)
		if o.paste {
			fmt.Fprintln(sh.Err, "Then paste the address that the browser was led back to:")
			return readLine(sh.In)
		}
		if !o.noOpen {
			folder, err := walletpage.LeadBrowser(address, sh.Env("BROWSER"))
			defer os.RemoveAll(folder)
			if err != nil {
				sh.Note("no browser could be opened (%s): open the address yourself", cli.OneLine(err))
			}
		}
		return awaitBrowser(ctx, ln, address)
	}
	l, err := mcp.SignInAt(ctx, c, in)
	if closed := ln.Close(); errors.Is(closed, net.ErrClosed) {
		closed = nil
	}
	if err != nil {
		return cli.Failf(cli.ExitNetwork, "tools_server", "%s", strings.TrimSuffix(err.Error(), "."))
	}
	return l.Write(m.Login)
}

const backPath = "/signed-in"

// readLine reads one line of at most 16 KiB.
func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 16<<10)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" && err != nil {
		return "", errors.New("no address was pasted")
	}
	return line, nil
}

// awaitBrowser returns the address that the browser is led back to. Other requests, which any page can have a browser
// make, are not heeded: they do not know the state of this sign-in.
func awaitBrowser(ctx context.Context, ln net.Listener, address string) (string, error) {
	asked, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	back := make(chan string, 1)
	hs := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Referrer-Policy", "no-referrer")
			if r.URL.Path != backPath || r.URL.Query().Get("state") != asked.Query().Get("state") {
				http.Error(w, "This is not what is waited for.", http.StatusBadRequest)
				return
			}
			fmt.Fprintln(w, "Thank you. Close this page, and look at the terminal.")
			select {
			case back <- "http://" + r.Host + r.URL.String():
			default: // it was led back before
			}
		})}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	defer func() { <-served }()
	defer func() {
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		_ = hs.Shutdown(ending) // the page is shown or it is not
		hs.Close()
	}()
	select {
	case at := <-back:
		return at, nil
	case <-ctx.Done():
		return "", errors.New("nobody has signed in within 5 minutes")
	}
}

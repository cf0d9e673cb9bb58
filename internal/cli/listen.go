package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"syscall"

	"github.com/writ-run/writ/internal/datadir"
)

// Listen takes a port, or says in a sentence why not.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, Failf(ExitNetwork, "port_in_use", "another program listens on %s; stop it, or give another --listen",
			addr)
	case err != nil:
		return nil, Failf(ExitNetwork, "listen", "cannot listen on %s: %s", addr, err)
	}
	return ln, nil
}

// IsLoopback says whether the address of a server, a URL, is on this machine by its name.
func IsLoopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// WriteReady writes what is ready as JSON to a file, whole or not at all, if one is wanted.
func WriteReady(path string, v any) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return datadir.WriteSecret(path, append(b, '\n'))
}

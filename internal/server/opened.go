package server

import (
	"net"
	"net/netip"
	"sync"
)

// A boundedListener closes, unread, what one address opens beyond a bound: connections that say nothing would else
// use up what the system lets a process have open, and nobody could connect. This machine and trusted proxies are
// let through, since behind them are many.
type boundedListener struct {
	net.Listener
	most    int
	proxies Proxies
	refused func() // is told of each connection that is closed

	mu   sync.Mutex
	open map[string]int // by network; guarded by mu
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(c.RemoteAddr().String())
		client := from.Addr().Unmap().WithZone("")
		if err != nil || client.IsLoopback() || l.proxies.isTrusted(client) {
			return c, nil
		}
		network := networkOf(client)
		if l.addConn(network) {
			return &countedConn{Conn: c, closed: sync.OnceFunc(func() { l.dropConn(network) })}, nil
		}
		l.refused()
		c.Close()
	}
}

// addConn counts a connection, if there is room for it.
func (l *boundedListener) addConn(network string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[network] >= l.most {
		return false
	}
	l.open[network]++
	return true
}

func (l *boundedListener) dropConn(network string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[network]--; l.open[network] == 0 {
		delete(l.open, network)
	}
}

// A countedConn is counted until it is closed.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

package server

import (
	"net"
	"net/netip"
	"testing"
)

// A dialled listener has connections from given addresses.
type dialled struct {
	net.Listener
	from  []string
	other []net.Conn // the clients' ends
}

func (d *dialled) Accept() (net.Conn, error) {
	if len(d.from) == 0 {
		return nil, net.ErrClosed
	}
	ours, theirs := net.Pipe()
	addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(d.from[0]))
	d.from, d.other = d.from[1:], append(d.other, theirs)
	return &fromAddr{ours, addr}, nil
}

type fromAddr struct {
	net.Conn
	addr net.Addr
}

func (f *fromAddr) RemoteAddr() net.Addr { return f.addr }

// One address has so many connections open, whatever it says over them, and takes none from others. One that is closed
// makes room.
func TestOneAddressOpensSoManyConnections(t *testing.T) {
	const most = 2
	for _, tt := range []struct {
		name, address string
		want          int // of five
	}{
		{"an address", "203.0.113.7:1000", most},
		{"an IPv4 address as IPv6 writes it", "[::ffff:203.0.113.7]:1000", most},
		{"one of IPv6", "[2001:db8::1]:1000", most},
		{"this machine", "127.0.0.1:1000", 5},
		{"a trusted proxy", "10.1.2.3:1000", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused, taken := 0, []net.Conn{}
			d := &dialled{from: []string{tt.address, tt.address, tt.address, tt.address, tt.address}}
			l := &boundedListener{
				Listener: d, most: most, proxies: Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
				refused: func() { refused++ }, open: map[string]int{},
			}
			for {
				c, err := l.Accept()
				if err != nil {
					break
				}
				taken = append(taken, c)
			}
			if len(taken) != tt.want || refused != 5-tt.want {
				t.Fatalf("took %d and refused %d of 5, want %d taken", len(taken), refused, tt.want)
			}
			for _, end := range d.other[tt.want:] { // what is refused is closed, not left waiting
				if _, err := end.Read(make([]byte, 1)); err == nil {
					t.Error("a refused connection is still open")
				}
			}
			d.from = []string{"198.51.100.9:1000"}
			if _, err := l.Accept(); err != nil {
				t.Error("another address finds no room")
			}
			taken[0].Close()
			taken[0].Close() // which counts once
			d.from = []string{tt.address, tt.address}
			if _, err := l.Accept(); err != nil {
				t.Error("a closed connection makes no room")
			}
			if _, err := l.Accept(); (err == nil) != (tt.want == 5) {
				t.Errorf("a connection that is closed twice: got %v", err)
			}
			for _, c := range taken {
				c.Close()
			}
		})
	}
}

package server

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// errFlood ends a socket whose client sends more than it may for too long.
var errFlood = errors.New("the client sends too much")

// A meteredListener makes every connection one whose bytes can be metered. Bytes are counted below the frames, so that
// fragments, control frames and what is no frame at all are paid for before anything looks at them.
type meteredListener struct{ net.Listener }

func (l meteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &meteredConn{Conn: c}, nil
}

// A meteredConn reads no faster than its meter lets it. It has none until a socket gives it one.
type meteredConn struct {
	net.Conn
	meter atomic.Pointer[meter]
}

// A meter is what one socket may send.
type meter struct {
	bytes   *rate.Limiter
	over    context.Context // of the socket: its end ends the waiting
	patient time.Duration   // how long a client may be slowed down without a pause, before the socket ends

	slowed time.Duration // since the last pause; of the reader alone
	last   time.Time
}

// framePrice is what a read costs besides its bytes, in bytes: a flood of tiny frames takes more time than bytes.
const framePrice = 64

func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if m := c.meter.Load(); m != nil && n > 0 {
		if e := m.pay(n + framePrice); e != nil {
			return 0, e
		}
	}
	return n, err
}

// pay waits until n more bytes may come.
func (m *meter) pay(n int) error {
	now := time.Now()
	if now.Sub(m.last) > time.Second+m.patient/16 {
		m.slowed = 0
	}
	r := m.bytes.ReserveN(now, min(n, m.bytes.Burst()))
	wait := r.DelayFrom(now)
	if m.slowed += wait; m.slowed > m.patient {
		return errFlood
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-m.over.Done():
			return context.Cause(m.over)
		}
	}
	m.last = time.Now()
	return nil
}

// meterSocket bounds what a socket reads from now on. A connection that no listener of ours accepted has no meter.
func meterSocket(ctx context.Context, c net.Conn, bytesPerSecond, burst int, patient time.Duration) {
	if m, ok := c.(*meteredConn); ok {
		m.meter.Store(&meter{
			bytes: rate.NewLimiter(rate.Limit(bytesPerSecond), burst), over: ctx, patient: patient, last: time.Now(),
		})
	}
}

package server

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent/wire"
)

// handshake connects with a header of its own.
func (f *fixture) handshake(h http.Header) (status int, ws *websocket.Conn) {
	f.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, NetDialContext: f.dial}
	ws, resp, err := d.Dial(f.url(), h)
	if resp == nil {
		f.t.Fatalf("connect: %v", err)
		return 0, nil
	}
	return resp.StatusCode, ws
}

// What a client without a session sends is paid for below the frames, whatever it is, and a flood of it is cut.
func TestFloodsAreCut(t *testing.T) {
	mask := "\x80\x00\x00\x00\x00" // no bytes, and a mask
	for name, flood := range map[string]struct{ first, again string }{
		"of empty continuation frames": {"\x01" + mask, strings.Repeat("\x00"+mask, 500)},
		"of pongs":                     {"", strings.Repeat("\x8a"+mask, 500)},
		"of large requests":            {"", "\x81\xfe\xea\x60\x00\x00\x00\x00" + strings.Repeat(" ", 60_000)},
		"of empty messages":            {"", strings.Repeat("\x81"+mask, 500)},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Limits{Bytes: 256 << 10, BytesBurst: 512 << 10, Patience: 500 * time.Millisecond}, nil)
			_, ws := f.handshake(nil)
			defer ws.Close()
			go func() { // ended by the socket's end
				for {
					if _, _, err := ws.ReadMessage(); err != nil {
						return
					}
				}
			}()
			c := ws.NetConn()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			sent, err := c.Write([]byte(flood.first))
			for err == nil && sent < 64<<20 {
				var n int
				n, err = c.Write([]byte(flood.again))
				sent += n
			}
			if err == nil {
				t.Fatalf("%d bytes were taken", sent)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %d bytes the socket was slowed down and never cut", sent)
			}
			if took := sent; took > 24<<20 { // what the kernel's buffers take, and the little that is let through
				t.Errorf("%d bytes were taken before the end", took)
			}
		})
	}
}

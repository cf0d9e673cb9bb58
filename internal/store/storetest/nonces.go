package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/auth"
)

func testNonce(t *testing.T, b *bench) {
	now := b.clock()
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), now.Add(time.Minute)))
	b.wantRefusal("the same nonce again", b.PutNonce(b.ctx, "n", []byte("other"), now.Add(time.Minute)))
	data, err := b.TakeNonce(b.ctx, "n", now.Add(time.Minute-time.Millisecond))
	b.must(err)
	if string(data) != "data" {
		t.Errorf("data: got %q", data)
	}
	_, err = b.TakeNonce(b.ctx, "n", now)
	b.wantErr("a second time", err, auth.ErrNonce)
	_, err = b.TakeNonce(b.ctx, "never", now)
	b.wantErr("never given", err, auth.ErrNonce)
	b.must(b.PutNonce(b.ctx, "e", nil, now.Add(time.Minute)))
	_, err = b.TakeNonce(b.ctx, "e", now.Add(time.Minute))
	b.wantErr("expired", err, auth.ErrNonce)
	_, err = b.TakeNonce(b.ctx, "e", now)
	b.wantErr("expired, and asked for by a clock that is behind", err, auth.ErrNonce)
	b.wantRefusal("no nonce", b.PutNonce(b.ctx, "", nil, now))
	b.now.Add(2 * time.Hour.Milliseconds())
	b.must(b.PutNonce(b.ctx, "f", nil, b.clock().Add(time.Minute)))
}

func testNonceRace(t *testing.T, b *bench) {
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), b.clock().Add(time.Minute)))
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			data, err := b.TakeNonce(b.ctx, "n", b.clock())
			switch {
			case err == nil && string(data) == "data":
				got.Add(1)
			case !errors.Is(err, auth.ErrNonce):
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d callers got the nonce", got.Load())
	}
}

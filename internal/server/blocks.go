package server

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Blocks are bounded for each address apart from calls: an auditor fetches thousands of them, and nobody has to sign in
// for it.
type blockLimits struct {
	rate, burst     int // requests a second, and at once
	bytes, ahead    int // bytes a second, and at once
	maxReaders      int // addresses that are remembered; the full buckets go first
	addressOfReader func(*http.Request) string
}

const maxBlockReaders = 10_000

// A blockReader is an address that fetches blocks.
type blockReader struct{ requests, bytes *rate.Limiter }

// limitBlocks lets each address make so many requests, and read so many bytes, of what next serves. A request beyond is
// answered with 429 and when to try again; a response that is under way goes on as fast as the bytes come free.
func limitBlocks(l blockLimits, next http.Handler) http.Handler {
	var mu sync.Mutex // guards readers
	readers := map[string]*blockReader{}
	readerOf := func(name string, now time.Time) *blockReader {
		mu.Lock()
		defer mu.Unlock()
		if r := readers[name]; r != nil {
			return r
		}
		if len(readers) >= l.maxReaders {
			for name, r := range readers {
				if r.requests.TokensAt(now) >= float64(l.burst) && r.bytes.TokensAt(now) >= float64(l.ahead) {
					delete(readers, name)
				}
			}
		}
		if len(readers) >= l.maxReaders {
			return nil
		}
		r := &blockReader{rate.NewLimiter(rate.Limit(l.rate), l.burst), rate.NewLimiter(rate.Limit(l.bytes), l.ahead)}
		readers[name] = r
		return r
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		now := time.Now()
		r := readerOf(l.addressOfReader(q), now)
		if r == nil {
			refuseBlocks(w, time.Second)
			return
		}
		if missing := 1 - r.bytes.TokensAt(now); missing > 0 {
			refuseBlocks(w, time.Duration(missing/float64(l.bytes)*float64(time.Second)))
			return
		}
		if !r.requests.AllowN(now, 1) {
			missing := 1 - r.requests.TokensAt(now)
			refuseBlocks(w, time.Duration(missing/float64(l.rate)*float64(time.Second)))
			return
		}
		next.ServeHTTP(&pacedWriter{w, q.Context(), r.bytes}, q)
	})
}

func refuseBlocks(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	w.Header().Set("Access-Control-Allow-Origin", "*") // as of every answer at /ipfs/
	writeText(w, http.StatusTooManyRequests, "Too much was fetched from this address; go on more slowly.")
}

// A pacedWriter writes as fast as bytes of the limit come free.
type pacedWriter struct {
	http.ResponseWriter
	ctx   context.Context // of the request
	bytes *rate.Limiter
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *pacedWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

func (w *pacedWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), w.bytes.Burst())]
		if err := w.bytes.WaitN(w.ctx, len(part)); err != nil {
			return written, err
		}
		n, err := w.ResponseWriter.Write(part)
		if written += n; err != nil {
			return written, err
		}
		b = b[len(part):]
	}
	return written, nil
}

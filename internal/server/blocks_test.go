package server

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestBlocksAreBoundedForEachAddress: by requests and by bytes; another address is not held up, and who waits as long as
// it is told goes on.
func TestBlocksAreBoundedForEachAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := 0
		h := limitBlocks(blockLimits{
			rate: 2, burst: 3, bytes: 100, ahead: 1000, maxReaders: 2,
			addressOfReader: func(r *http.Request) string { return r.RemoteAddr },
		}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served++
			size, _ := strconv.Atoi(r.URL.Query().Get("size"))
			if n, err := w.Write(make([]byte, size)); n != size || err != nil {
				t.Errorf("wrote %d of %d: %v", n, size, err)
			}
		}))
		get := func(from string, size int) (status int, wait time.Duration) {
			r := httptest.NewRequest("GET", "/ipfs/x?size="+strconv.Itoa(size), nil)
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			after, _ := strconv.Atoi(w.Header().Get("Retry-After"))
			return w.Code, time.Duration(after) * time.Second
		}
		want := func(what, from string, size, status int) time.Duration {
			t.Helper()
			got, wait := get(from, size)
			if got != status || (wait > 0) != (status == http.StatusTooManyRequests) {
				t.Errorf("%s: got %d, wait %s, want %d", what, got, wait, status)
			}
			return wait
		}
		for range 3 {
			want("as many as are allowed at once", "a", 10, 200)
		}
		wait := want("one more", "a", 10, 429)
		want("another address", "b", 10, 200)
		want("more addresses than are remembered", "c", 10, 429)
		time.Sleep(wait)
		want("after the wait", "a", 10, 200)

		begun := time.Now()
		want("more bytes than at once", "b", 1500, 200)
		if took := time.Since(begun); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("500 bytes beyond, at 100 a second, took %s", took)
		}
		wait = want("when the bytes are used up", "b", 10, 429)
		time.Sleep(wait)
		want("after that wait", "b", 10, 200)
		time.Sleep(time.Minute)
		want("who has gone is forgotten", "c", 10, 200)
		if served != 8 {
			t.Errorf("%d requests were served, want 8", served)
		}
	})
}

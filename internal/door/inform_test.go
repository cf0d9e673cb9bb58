package door

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever stands before the door and refuses in words, clients read it in the form of their dialect, with how long to
// wait; what has a form already, and what is no error, passes as it is.
func TestWhatStandsBeforeTheDoorRefusesInItsForm(t *testing.T) {
	refuse := func(status int, wait string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if wait != "" {
				w.Header().Set("Retry-After", wait)
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(status)
			fmt.Fprintln(w, "One sentence with the next step.")
		})
	}
	for _, tt := range []struct {
		status     int
		wait, want string
		kind       string
	}{
		{429, "7", "7", "rate_limit_error"}, {421, "", "", "invalid_request_error"}, {403, "", "", "permission_error"},
		{413, "", "", "invalid_request_error"}, {503, "", "1", "overloaded_error"}, {500, "", "", "api_error"},
	} {
		for _, path := range []string{"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models"} {
			rec := httptest.NewRecorder()
			InForm(refuse(tt.status, tt.wait)).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, nil))
			var body struct {
				Type  string
				Error struct{ Type, Message string }
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatalf("%d at %s: %q: %v", tt.status, path, rec.Body, err)
			}
			kind := tt.kind
			if path == "/v1/messages" && kinds[kind] != "" {
				kind = kinds[kind]
			}
			if rec.Code != tt.status || body.Error.Message != "One sentence with the next step." || body.Error.Type != kind ||
				rec.Header().Get("Retry-After") != tt.want || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") ||
				(body.Type == "error") != (path == "/v1/messages") {
				t.Errorf("%d at %s: %d %v %s", tt.status, path, rec.Code, rec.Header(), rec.Body)
			}
		}
	}
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("a stream cannot be flushed: %v", err)
		}
	})
	rec := httptest.NewRecorder()
	InForm(plain).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/messages", nil))
	if rec.Code != 200 || rec.Body.String() != "data: 1\n\n" || !rec.Flushed {
		t.Errorf("a stream became %d %q", rec.Code, rec.Body)
	}
}

// A body beyond the bound is 413, in the dialect's form.
func TestABodyThatIsTooLargeIsToldSo(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	_, _, err := readBody(httptest.NewRecorder(), r, messages{})
	if f := failureOf(err); f.status != http.StatusRequestEntityTooLarge || !strings.Contains(f.message, "256 KiB") {
		t.Errorf("got %+v", f)
	}
}

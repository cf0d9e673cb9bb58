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

// So do the other doors: JSON-RPC without an id where calls are posted, the error of google.rpc at resources.
func TestWhatStandsBeforeTheOtherDoorsRefusesInTheirForm(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "Too many.", http.StatusTooManyRequests)
	})
	for path, want := range map[string]string{
		"/mcp": `{"error":{"code":-32000,"data":{"code":"rate_limited","retry_after_ms":6000},"message":"Too many."},"id":null,"jsonrpc":"2.0"}`,
		"/a2a": `{"error":{"code":-32000,"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"writ",` +
			`"metadata":{"retryAfterMs":"6000"},"reason":"rate_limited"}],"message":"Too many."},"id":null,"jsonrpc":"2.0"}`,
		"/a2a/tasks": `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"writ",` +
			`"metadata":{"retryAfterMs":"6000"},"reason":"rate_limited"}],"message":"Too many.","status":"RESOURCE_EXHAUSTED"}}`,
	} {
		rec := httptest.NewRecorder()
		InForm(refuse).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, nil))
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != 429 || rec.Header().Get("Retry-After") != "7" || got != want {
			t.Errorf("at %s: %d, after %q,\n got %s\nwant %s", path, rec.Code, rec.Header().Get("Retry-After"), got, want)
		}
	}
	formed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { resources{}.fail(w, errTask) })
	rec := httptest.NewRecorder()
	InForm(formed).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/a2a/tasks/x", nil))
	if rec.Code != 404 || !strings.Contains(rec.Body.String(), `"reason":"TASK_NOT_FOUND"`) {
		t.Errorf("an error that has its form became %d %s", rec.Code, rec.Body)
	}
}

// Every door takes JSON that says so, and nothing else: a form of another site cannot say it.
func TestEveryDoorTakesJSONAlone(t *testing.T) {
	door := requireJSON(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for path, says := range map[string]string{
		"/v1/chat/completions": `"type":"invalid_request_error"`, "/v1/responses": `"type":"invalid_request_error"`,
		"/v1/messages": `{"error":{"message":"Send the header Content-Type: application/json`,
		"/mcp":         `"jsonrpc":"2.0"`, "/a2a": `-32005`, "/a2a/message:send": `"reason":"CONTENT_TYPE_NOT_SUPPORTED"`,
		"/a2a/tasks/x:cancel": `"code":415`,
	} {
		for _, tt := range []struct {
			kind, encoding string
			want           int
		}{
			{"application/json", "", 204}, {"application/json; charset=UTF-8", "", 204},
			{"Application/JSON;charset=utf-8", "", 204}, {"application/json; version=1", "", 204},
			{"", "", 415}, {"text/plain", "", 415}, {"application/x-www-form-urlencoded", "", 415},
			{"multipart/form-data; boundary=x", "", 415}, {"application/jsonp", "", 415},
			{"text/plain; a=application/json", "", 415}, {"application/json; charset=utf-16", "", 415},
			{"application/json", "gzip", 415},
		} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
			r.Header.Del("Content-Type")
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			if tt.encoding != "" {
				r.Header.Set("Content-Encoding", tt.encoding)
			}
			rec := httptest.NewRecorder()
			if door.ServeHTTP(rec, r); rec.Code != tt.want || tt.want == 415 && !strings.Contains(rec.Body.String(), says) {
				t.Errorf("%q %q at %s: %d %s", tt.kind, tt.encoding, path, rec.Code, rec.Body)
			}
		}
	}
	for path, want := range map[string]int{"/a2a/tasks": 204, "/v1/messages": 415, "/mcp": 415} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/a2a+json")
		rec := httptest.NewRecorder()
		if door.ServeHTTP(rec, r); rec.Code != want {
			t.Errorf("A2A's own kind at %s: %d", path, rec.Code)
		}
	}
	rec := httptest.NewRecorder()
	if door.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/a2a/tasks/x:cancel", nil)); rec.Code != 204 {
		t.Errorf("no body: %d", rec.Code)
	}
}

// A body beyond the bound is 413, in the dialect's form.
func TestABodyThatIsTooLargeIsToldSo(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(strings.Repeat(" ", maxBody+1)))
	_, err := readBody(httptest.NewRecorder(), r, maxBody)
	if f := failureOf(err); f.status != http.StatusRequestEntityTooLarge || !strings.Contains(f.message, "256 KiB") {
		t.Errorf("got %+v", f)
	}
}

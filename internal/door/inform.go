package door

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// InForm gives the errors of what stands before a [Door], which are words, the form of the door that was asked: a
// client that knows its protocol reads nothing else, and waits as long as it is told. What is no error, or has a form
// already, passes as it is.
func InForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := &former{ResponseWriter: w}
		next.ServeHTTP(f, r)
		if f.status != 0 {
			wait, _ := strconv.ParseInt(w.Header().Get("Retry-After"), 10, 32)
			refuseAt(w, r.URL.Path, failureOfStatus(f.status, strings.TrimSpace(f.words.String()), wait))
		}
	})
}

// refuseAt answers a request that no door has read, in the form of the door at a path.
func refuseAt(w http.ResponseWriter, path string, f failure) {
	var b binding
	switch {
	case path == "/mcp":
		writeCallFailure(w, f)
		return
	case path == "/a2a", path == "/a2a/":
		b = calls{json.RawMessage("null")}
	case strings.HasPrefix(path, "/a2a/"), strings.HasPrefix(path, "/.well-known/"):
		b = resources{}
	default:
		writeFailure(w, dialectOf(path), f)
		return
	}
	e := f.agentError(f.code)
	e.setHeaders(w.Header())
	writeMedia(w, f.status, b.media(), b.wrapFailure(e))
}

// requireJSON lets no body through that does not say it is JSON in UTF-8: a form of another site can send none that
// does, and none by PUT, whose body is a file.
func requireJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || r.Method == http.MethodPut || isJSON(r) {
			next.ServeHTTP(w, r)
			return
		}
		refuseAt(w, r.URL.Path, failureOfStatus(http.StatusUnsupportedMediaType,
			"Send the header Content-Type: application/json, and the body in UTF-8 and not compressed.", 0))
	})
}

func isJSON(r *http.Request) bool {
	if len(r.Header["Content-Type"]) != 1 || len(r.Header["Content-Encoding"]) > 0 {
		return false
	}
	kind, params, err := mime.ParseMediaType(r.Header["Content-Type"][0])
	own := strings.HasPrefix(r.URL.Path, "/a2a") && kind == resources{}.media()
	if err != nil || kind != "application/json" && !own {
		return false
	}
	charset, named := params["charset"]
	return !named || strings.EqualFold(charset, "utf-8")
}

// dialectOf returns the dialect that a path speaks; Chat Completions' where none is.
func dialectOf(path string) dialect {
	switch {
	case strings.HasPrefix(path, "/v1/messages"):
		return messages{}
	case strings.HasPrefix(path, "/v1/responses"):
		return responses{}
	}
	return chat{}
}

// failureOfStatus is an error that was told by its status and words. wait is in seconds, 0 if nothing is said of it.
func failureOfStatus(status int, words string, wait int64) failure {
	f := failure{status, "invalid_request_error", "refused", words, max(wait-1, 0) * 1000}
	switch {
	case status == http.StatusTooManyRequests:
		f.kind, f.code = "rate_limit_error", "rate_limited"
	case status == http.StatusUnsupportedMediaType:
		f.code = "content_type"
	case status == http.StatusForbidden:
		f.kind, f.code = "permission_error", "forbidden"
	case status == http.StatusServiceUnavailable:
		f.kind, f.code = "overloaded_error", "overloaded"
	case status >= http.StatusInternalServerError:
		f.kind, f.code = "api_error", "internal"
	}
	return f
}

// A former holds back the words of an error until all of them are there.
type former struct {
	http.ResponseWriter
	status int // of the error; 0 if there is none
	words  bytes.Buffer
}

// maxWords bounds the words of an error, in bytes.
const maxWords = 4096

func (f *former) WriteHeader(status int) {
	if status >= http.StatusBadRequest && strings.HasPrefix(f.Header().Get("Content-Type"), "text/plain") {
		f.status = status
		return
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *former) Write(b []byte) (int, error) {
	if f.status == 0 {
		return f.ResponseWriter.Write(b)
	}
	f.words.Write(b[:min(len(b), maxWords-min(f.words.Len(), maxWords))])
	return len(b), nil
}

// Unwrap is for [http.ResponseController].
func (f *former) Unwrap() http.ResponseWriter { return f.ResponseWriter }

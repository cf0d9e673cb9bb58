package door

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// InForm gives the errors of what stands before a [Door], which are words, the form of the dialect that was asked: a
// client that knows providers reads nothing else, and waits as long as it is told. What is no error, or has a form
// already, passes as it is.
func InForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := &former{ResponseWriter: w}
		next.ServeHTTP(f, r)
		if f.status != 0 {
			wait, _ := strconv.ParseInt(w.Header().Get("Retry-After"), 10, 32)
			writeFailure(w, dialectOf(r.URL.Path), failureOfStatus(f.status, strings.TrimSpace(f.words.String()), wait))
		}
	})
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
	if status >= http.StatusBadRequest && !strings.HasPrefix(f.Header().Get("Content-Type"), "application/json") {
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

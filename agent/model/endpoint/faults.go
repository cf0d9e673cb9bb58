package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/internal/fault"
)

// explainFailure says whose it is that there is no reply.
func (x *exchange) explainFailure(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	var told *dialect.ServerError
	var bad *badStream
	switch {
	case errors.Is(err, errSize):
		return &fault.Fault{Code: fault.ModelTooLarge,
			Hint: fmt.Sprintf("The model at %s answered with more than %d bytes.", x.host, x.cfg.MaxBytes)}
	case errors.As(err, &told):
		return x.explainTold(told)
	case errors.As(err, &bad):
		return &fault.Fault{Code: fault.ModelStream,
			Hint: fmt.Sprintf("The model at %s sent a stream that cannot be read: %v.", x.host, bad)}
	case errors.Is(cause, errFirst):
		return &fault.Fault{Code: fault.ModelTimeout, Err: context.DeadlineExceeded,
			Hint: fmt.Sprintf("The model at %s said nothing within %v.", x.host, x.first)}
	case errors.Is(cause, errStall):
		return &fault.Fault{Code: fault.ModelStall,
			Hint: fmt.Sprintf("The model at %s fell silent for %v in the middle of its answer.", x.host, x.stall)}
	case errors.Is(cause, context.DeadlineExceeded):
		f := &fault.Fault{Code: fault.ModelTimeout, Err: context.DeadlineExceeded,
			Hint: "The model at " + x.host + " took longer than it may."}
		if x.live.HasBegun() { // it works, and the answer is long
			f.Code = fault.ModelSlow
		}
		return f
	case cause != nil:
		return &fault.Fault{Code: fault.ModelCancelled, Err: context.Canceled,
			Hint: "The request to the model at " + x.host + " was cancelled."}
	case x.status == 0:
		return &fault.Fault{Code: fault.ModelUnreachable,
			Hint: "No model answers at " + x.host + "; check that it runs, and the URL."}
	}
	return &fault.Fault{Code: fault.ModelStream, Hint: "The model at " + x.host +
		" broke off in the middle of its answer."}
}

// explainTold says what an error means that the server has told.
func (x *exchange) explainTold(e *dialect.ServerError) error {
	f := &fault.Fault{
		Code: codeOf(e), After: x.after, Says: fault.Clean(e.Message, string(x.request), x.cfg.Key),
		Hint: fmt.Sprintf("The model at %s answered with an error", x.host),
	}
	if e.Status > 0 {
		f.Hint = fmt.Sprintf("The model at %s answered with HTTP status %d", x.host, e.Status)
	}
	if e.Midway { // what it has said may have to be paid for
		if f.Whose() == fault.Provider {
			f.Code = fault.ModelStream
		} else {
			f.Code = fault.ModelStopped
		}
	}
	switch {
	case f.Code == fault.ModelKey:
		f.Hint += "; check the API key"
	case e.Status >= 200 && e.Status < 400 && x.status == e.Status && x.status != http.StatusOK:
		f.Hint += "; give the URL that it points to"
	case f.Code == fault.ModelSetup:
		f.Hint += "; check the URL and the model's name"
	case f.Code == fault.ModelRate:
		f.Hint += "; it is busy or its quota is used up"
	}
	f.Hint += "."
	return f
}

// A sign is a word by which servers tell a fault, in their code, type or sentence.
type sign struct {
	word string
	code fault.Code
}

// signs are looked for in this order. Servers answer one fault with different statuses: what was asked is too long for
// a model by 400, 413, 422, 500 and within a stream.
var signs = []sign{
	{"context_length", fault.ModelContextLength}, {"context length", fault.ModelContextLength},
	{"context window", fault.ModelContextLength}, {"context size", fault.ModelContextLength},
	{"maximum context", fault.ModelContextLength}, {"exceed_context", fault.ModelContextLength},
	{"context the overflows", fault.ModelContextLength}, {"prompt is too long", fault.ModelContextLength},
	{"prompt too long", fault.ModelContextLength}, {"input is too long", fault.ModelContextLength},
	{"input too long", fault.ModelContextLength}, {"too many tokens", fault.ModelContextLength},
	{"reduce the length", fault.ModelContextLength}, {"string_above_max_length", fault.ModelContextLength},
	{"input validation error: `inputs`", fault.ModelContextLength}, {"input tokens", fault.ModelContextLength},

	{"content_filter", fault.ModelDeclined}, {"content_policy", fault.ModelDeclined},
	{"content management policy", fault.ModelDeclined}, {"responsibleaipolicy", fault.ModelDeclined},
	{"data_inspection", fault.ModelDeclined}, {"moderation", fault.ModelDeclined}, {"flagged", fault.ModelDeclined},

	{"insufficient_quota", fault.ModelQuota}, {"billing", fault.ModelQuota}, {"insufficient balance", fault.ModelQuota},
	{"insufficient credit", fault.ModelQuota}, {"requires more credits", fault.ModelQuota},
	{"exceeded your current quota", fault.ModelQuota},

	{"rate_limit", fault.ModelRate}, {"rate limit", fault.ModelRate}, {"too many requests", fault.ModelRate},
	{"resource_exhausted", fault.ModelRate},
	{"invalid_api_key", fault.ModelKey}, {"authentication", fault.ModelKey}, {"api key", fault.ModelKey},
	{"model_not_found", fault.ModelSetup}, {"model not found", fault.ModelSetup},
	{"overloaded", fault.ModelOverloaded}, {"insufficient_system_resource", fault.ModelOverloaded},
	{"server is busy", fault.ModelOverloaded}, {"loading model", fault.ModelOverloaded},
}

// codeOf says what a server's error is: by its own words first, since they are narrower than its status.
func codeOf(e *dialect.ServerError) fault.Code {
	words := strings.ToLower(e.Code + " " + e.Message)
	rate := e.Status == http.StatusTooManyRequests // whose sentences speak of tokens and length too
	for _, s := range signs {
		if strings.Contains(words, s.word) && (!rate || s.code == fault.ModelQuota) {
			return s.code
		}
	}
	switch status := e.Status; {
	case rate:
		return fault.ModelRate
	case status == 402:
		return fault.ModelQuota
	case status == 401 || status == 403 || status == 407:
		return fault.ModelKey
	case status == 404 || status == 405 || status == 410 || status >= 200 && status < 400 && status != http.StatusOK:
		return fault.ModelSetup
	case status == 503 || status == 529 || status == 408:
		return fault.ModelOverloaded
	case status >= 400 && status < 500 || strings.Contains(words, "invalid_request"):
		return fault.ModelRequest
	}
	return fault.ModelError
}

// maxAfter bounds what a server may ask to wait.
const maxAfter = 24 * time.Hour

// retryAfter reads when a server wants to be asked again: a number of seconds or a date (RFC 9110, section 10.2.3), or
// milliseconds in a header of its own. 0 if it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 &&
		ms < float64(maxAfter.Milliseconds()) {
		return time.Duration(ms * float64(time.Millisecond))
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		if s <= 0 || s > maxAfter.Seconds() {
			return 0
		}
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxAfter)
	}
	return 0
}

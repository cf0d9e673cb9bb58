package endpoint

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/model"
)

// readLimits reads what a provider takes from the headers of its answer: x-ratelimit-limit-requests, -remaining- and
// -reset- and the same of tokens as OpenAI, Groq, Mistral, Together and vLLM's gateways have them, and
// anthropic-ratelimit-requests-limit, of tokens in all or of input tokens.
func readLimits(h http.Header, now time.Time) (l model.Limits) {
	l.Requests = readLimit(h, now, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
		"x-ratelimit-reset-requests")
	l.Tokens = readLimit(h, now, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
		"x-ratelimit-reset-tokens")
	for _, of := range []struct {
		kind string
		to   *model.Limit
	}{{"requests", &l.Requests}, {"tokens", &l.Tokens}, {"input-tokens", &l.Tokens}} {
		if name := "anthropic-ratelimit-" + of.kind; of.to.Limit == 0 {
			*of.to = readLimit(h, now, name+"-limit", name+"-remaining", name+"-reset")
		}
	}
	return l
}

// maxLimit bounds what a provider may say.
const maxLimit = 1 << 40

// readLimit reads one limit; one that is not said whole is none.
func readLimit(h http.Header, now time.Time, limit, left, reset string) (l model.Limit) {
	most, err := strconv.ParseInt(strings.TrimSpace(h.Get(limit)), 10, 64)
	rest, err2 := strconv.ParseInt(strings.TrimSpace(h.Get(left)), 10, 64)
	full, ok := readReset(strings.TrimSpace(h.Get(reset)), now)
	if err != nil || err2 != nil || !ok || most <= 0 || most > maxLimit || rest < 0 {
		return l
	}
	return model.Limit{Limit: most, Left: min(rest, most), Full: full}
}

// readReset reads when a limit is whole again: a span such as 6m0s or 120ms, a number of seconds, or a time.
func readReset(value string, now time.Time) (time.Duration, bool) {
	d, err := time.ParseDuration(value)
	if s, err2 := strconv.ParseFloat(value, 64); err2 == nil && s >= 0 && s <= maxAfter.Seconds() {
		d, err = time.Duration(s*float64(time.Second)), nil
	}
	if at, err2 := time.Parse(time.RFC3339, value); err2 == nil {
		d, err = max(at.Sub(now), 0), nil
	}
	return d, err == nil && d >= 0 && d <= maxAfter
}

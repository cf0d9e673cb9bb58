package endpoint

import (
	"net/http"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
)

func TestLimitsAreReadFromHeaders(t *testing.T) {
	now := time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		h    map[string]string
		want model.Limits
	}{
		{"nothing", map[string]string{"Retry-After": "3"}, model.Limits{}},
		{"as OpenAI says it", map[string]string{
			"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
			"x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s",
		}, model.Limits{Requests: model.Limit{Limit: 60, Left: 59, Full: time.Second},
			Tokens: model.Limit{Limit: 150000, Left: 149984, Full: 6 * time.Minute}}},
		{"as Groq says it", map[string]string{
			"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370",
			"x-ratelimit-reset-requests": "2m59.56s", "x-ratelimit-limit-tokens": "18000",
			"x-ratelimit-remaining-tokens": "17997", "x-ratelimit-reset-tokens": "7.66",
		}, model.Limits{Requests: model.Limit{Limit: 14400, Left: 14370, Full: 2*time.Minute + 59560*time.Millisecond},
			Tokens: model.Limit{Limit: 18000, Left: 17997, Full: 7660 * time.Millisecond}}},
		{"as Anthropic says it", map[string]string{
			"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "0",
			"anthropic-ratelimit-requests-reset": "2026-11-29T06:00:20Z", "anthropic-ratelimit-input-tokens-limit": "30000",
			"anthropic-ratelimit-input-tokens-remaining": "29000", "anthropic-ratelimit-input-tokens-reset": "2026-11-29T05:59:00Z",
		}, model.Limits{Requests: model.Limit{Limit: 50, Full: 20 * time.Second},
			Tokens: model.Limit{Limit: 30000, Left: 29000}}},
		{"what cannot be", map[string]string{
			"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1s",
			"x-ratelimit-limit-tokens": "10", "x-ratelimit-remaining-tokens": "99", "x-ratelimit-reset-tokens": "900h",
		}, model.Limits{}},
		{"half of it", map[string]string{"x-ratelimit-limit-requests": "10"}, model.Limits{}},
	} {
		h := http.Header{}
		for k, v := range tt.h {
			h.Set(k, v)
		}
		if got := readLimits(h, now); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

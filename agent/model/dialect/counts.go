package dialect

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// maxTokens is more than any provider counts; sums of some of it do not wrap.
const maxTokens = 1 << 50

// A count is a number of tokens, which some servers write as 50.0 or "50". What is no number counts nothing.
type count int64

// UnmarshalJSON reads a count.
func (n *count) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err == nil && f > 0 {
		*n = count(min(math.Ceil(f), maxTokens))
	}
	return nil
}

// readCounts reads what a provider counts. What does not fit is left out: the answer is whole without it.
func readCounts(b []byte, into any) error {
	_ = json.Unmarshal(b, into)
	return nil
}

func (u *usage) UnmarshalJSON(b []byte) error {
	type plain usage
	return readCounts(b, (*plain)(u))
}

func (u *messageUsage) UnmarshalJSON(b []byte) error {
	type plain messageUsage
	return readCounts(b, (*plain)(u))
}

func (u *responseUsage) UnmarshalJSON(b []byte) error {
	type plain responseUsage
	return readCounts(b, (*plain)(u))
}

func sumTokens(parts ...count) (sum int64) {
	for _, n := range parts {
		sum += int64(min(max(n, 0), maxTokens))
	}
	return sum
}

package costs

import (
	"fmt"
	"math/big"
	"strings"
)

// An Alert is a rule about lines: what it looks at, whether too much or too little of it is told, and the bound.
type Alert struct {
	rule  string
	what  string
	above bool
	bound *big.Rat
}

// ParseAlert reads a rule: "margin < 0.2" is of lines that keep less than a fifth of what users pay, "doubtful > 0.1"
// and "cost > 0.5" are shares of that too, and "failed > 0.05" is a share of the calls.
func ParseAlert(rule string) (Alert, error) {
	a := Alert{rule: rule}
	parts := strings.Fields(rule)
	if len(parts) == 3 && len(parts[2]) <= 32 {
		a.what, a.above = parts[0], parts[1] == ">"
		bound, ok := new(big.Rat).SetString(parts[2])
		known := a.what == "margin" || a.what == "cost" || a.what == "doubtful" || a.what == "failed"
		plain := !strings.ContainsAny(parts[2], "eEpP_xX")
		if a.bound = bound; ok && known && plain && (parts[1] == "<" || parts[1] == ">") {
			return a, nil
		}
	}
	return a, fmt.Errorf("%q is no rule such as \"margin < 0.2\": margin, cost, doubtful or failed, < or >, number", rule)
}

// Holds says whether a line is one that the rule tells of. Of a share of nothing, any cost is beyond every bound.
func (a Alert) Holds(l *Line) bool {
	part, whole := l.Margin, l.Revenue
	switch a.what {
	case "cost":
		part = l.Cost
	case "doubtful":
		part = l.Doubtful
	case "failed":
		part, whole = l.Failed, l.Calls
	}
	if whole == 0 {
		return a.above && part > 0 || !a.above && part < 0
	}
	cmp := big.NewRat(part, whole).Cmp(a.bound)
	return a.above && cmp > 0 || !a.above && cmp < 0
}

func (a Alert) String() string { return a.rule }

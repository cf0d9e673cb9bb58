package policies

import (
	"fmt"

	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
)

// A RouteCond is the condition of an agent's route, over the environment of [ModelRoute]. It may be used by many
// goroutines at once.
type RouteCond struct{ e *expression }

// CompileRoute reads the condition of a route, through the same gate as a policy's. It has no sets, variables or
// budgets. An empty condition is an error; "true" always holds.
func CompileRoute(when string) (*RouteCond, error) {
	fields, _ := Fields(ModelRoute)
	sc := &scope{point: ModelRoute, fields: fields, noArgs: "a route knows no tool",
		assets: map[string]money.Asset{"calls": money.Calls, "tokens": money.Tokens, "usd": money.USD}}
	e, err := sc.compileSource(when, operatorLimits, cond.Bool, "a route condition")
	if err != nil {
		p := Problem{Line: 1, Column: 1 + err.at, Text: err.text, Hint: err.hint}
		return nil, fmt.Errorf("route condition %s", p)
	}
	return &RouteCond{e}, nil
}

// Holds evaluates the condition. An error means that it has no answer; the route must then not be taken.
func (c *RouteCond) Holds(r *Request) (bool, error) {
	return c.e.Bool(&frame{Request: r})
}

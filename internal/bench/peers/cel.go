package main

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
)

// celRules runs one program a rule.
type celRules struct{ programs []cel.Program }

func loadCEL() (engine, error) {
	var options []cel.EnvOption
	for _, name := range []string{"tool", "class", "asset", "to"} {
		options = append(options, cel.Variable(name, cel.StringType))
	}
	for _, name := range []string{"amount", "chain", "now", "expires", "turn"} {
		options = append(options, cel.Variable(name, cel.IntType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	fold, err := cel.NewConstantFoldingOptimizer()
	if err != nil {
		return nil, err
	}
	optimizer, err := cel.NewStaticOptimizer(fold)
	if err != nil {
		return nil, err
	}
	c := &celRules{}
	for _, r := range rules {
		ast, issues := env.Compile(strings.Replace(r.cel, "%s", literal(), 1))
		if issues.Err() != nil {
			return nil, fmt.Errorf("%s: %w", r.id, issues.Err())
		}
		if ast, issues = optimizer.Optimize(env, ast); issues.Err() != nil {
			return nil, fmt.Errorf("%s: %w", r.id, issues.Err())
		}
		// OptOptimize makes a hash set of a constant list.
		p, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.id, err)
		}
		c.programs = append(c.programs, p)
	}
	return c, nil
}

// literal is the set as a list of texts; CEL and Cedar write it alike.
func literal() string {
	texts := make([]string, members)
	for i := range texts {
		texts[i] = `"` + member(i) + `"`
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func (c *celRules) ready(q *request) any {
	a, err := cel.NewActivation(map[string]any{"tool": q.tool, "class": q.class, "asset": q.asset, "to": q.to,
		"amount": q.amount,
		"chain":  q.chain, "now": q.now, "expires": q.expires, "turn": q.turn})
	if err != nil {
		panic(err)
	}
	return a
}

func (c *celRules) holds(i int, x any) bool {
	v, _, err := c.programs[i].Eval(x)
	if err != nil {
		panic(err)
	}
	return v.Value().(bool)
}

func (c *celRules) decide(x any) bool { return combine(func(i int) bool { return c.holds(i, x) }) }

func (c *celRules) answer(x any) answer { return explain(func(i int) bool { return c.holds(i, x) }) }

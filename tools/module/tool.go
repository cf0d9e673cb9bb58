package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/tools"
)

// maxAtOnce is how many calls of one tool compute at a time; others wait.
const maxAtOnce = 2

// A Tool is a module as a tool of class read.
type Tool struct {
	module *Module
	spec   tools.Spec
	most   time.Duration
	slots  chan struct{}
}

// Tool makes a tool of a module. s has its name, its words and its schema, in which it is noted that a module computes
// the results; the module's CID is the definition. A call takes at most so long; DefaultTime if 0.
func (m *Module) Tool(s tools.Spec, most time.Duration) (*Tool, error) {
	switch {
	case most == 0:
		most = DefaultTime
	case most < 0 || most > MaxTime:
		return nil, fmt.Errorf("a timeout of %s: say at most %s", most, MaxTime)
	}
	var schema map[string]any
	if err := json.Unmarshal(s.Schema, &schema); err != nil || schema == nil {
		return nil, errors.New("its schema is no JSON object")
	}
	schema[tools.KeyModule] = tools.ModuleForm
	var err error
	if s.Schema, err = json.Marshal(schema); err != nil {
		return nil, fmt.Errorf("its schema: %w", err)
	}
	s.Class, s.Definition = tools.Read, m.cid
	def, err := tools.Compile(s)
	if err != nil {
		return nil, err
	}
	return &Tool{m, def.Spec(), most, make(chan struct{}, maxAtOnce)}, nil
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// MaxTime returns how long a call takes at most.
func (t *Tool) MaxTime() time.Duration { return t.most }

// Call computes the result of the arguments. Its errors are those of [Module.Run], and busy.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.most)
	defer cancel()
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, failure("busy", "The module is computing for others; try again later.")
	}
	return t.module.Run(ctx, in.Args.JSON)
}

// A Set is the modules that an auditor has, by their CIDs.
type Set map[string]*Module

// Add reads a module into the set. It is given the most fuel that any could have had.
func (s Set) Add(ctx context.Context, data []byte) (cid string, err error) {
	m, err := Read(ctx, data, MaxFuel)
	if err != nil {
		return "", err
	}
	s[m.cid] = m
	return m.cid, nil
}

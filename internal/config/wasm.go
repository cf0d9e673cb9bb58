package config

import (
	"fmt"
	"time"

	"github.com/writ-run/writ/tools/arg"
)

// A Wasm is a WebAssembly module that is one tool: a computation of its arguments.
type Wasm struct {
	Name       string        `yaml:"name" about:"the tool's name, e.g. split.evenly"`
	Module     string        `yaml:"module" path:"yes" about:"file with the module, which imports nothing"`
	CID        string        `yaml:"cid" about:"of the module as it was accepted: with another file the server does not start; writ tools module FILE says it"`
	Schema     string        `yaml:"schema" path:"yes" about:"file with the JSON Schema of its arguments"`
	About      string        `yaml:"about" about:"what it computes, for the model"`
	Fuel       int64         `yaml:"fuel" about:"instructions that a computation may take; 100000000 if 0"`
	Timeout    time.Duration `yaml:"timeout" about:"how long a computation may take, at most 20s; 5s if 0"`
	Ask        string        `yaml:"ask" about:"when the wallet is asked: always or never; never if empty"`
	Integrity  string        `yaml:"integrity" about:"what its results are worth, beside its arguments: tool or untrusted; tool if empty"`
	Secrecy    string        `yaml:"secrecy" about:"who may see its results: public, session, wallet or secret; session if empty"`
	Clearance  string        `yaml:"clearance" about:"the most secret that it may be given: session, wallet or secret; session if empty"`
	Utterances []string      `yaml:"utterances" about:"sentences with {argument} slots that mean a call of it"`
}

// Known returns what is said of the tool as of any other. Its results are the operator's own computation unless it is
// said otherwise: what a module is given makes the label, and the module adds nothing of anybody's.
func (w Wasm) Known() ToolUse {
	u := ToolUse{
		Tool: w.Name, As: w.Name, Class: "read", Ask: w.Ask, Integrity: w.Integrity, Secrecy: w.Secrecy,
		Clearance: w.Clearance, Utterances: w.Utterances,
	}
	if u.Integrity == "" {
		u.Integrity = "tool"
	}
	return u
}

func (w Wasm) check() error {
	switch {
	case !arg.IsToolName(w.Name):
		return fmt.Errorf("%q is not a tool's name, such as split.evenly", w.Name)
	case w.Module == "" || w.Schema == "" || w.About == "":
		return fmt.Errorf("%s needs module, schema and about", w.Name)
	case w.Fuel < 0 || w.Timeout < 0:
		return fmt.Errorf("%s has a bound below zero", w.Name)
	}
	if err := w.Known().check(); err != nil {
		return fmt.Errorf("%s: %v", w.Name, err)
	}
	return nil
}

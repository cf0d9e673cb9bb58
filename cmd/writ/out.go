package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// done ends a command well: with --json it prints v's members in one object, else it calls text.
func (a *app) done(v any, text func(w io.Writer)) error {
	if a.json {
		a.object(nil, v)
		return nil
	}
	if text != nil {
		text(a.out)
	}
	return nil
}

// object prints {"ok":true, members of v} or {"ok":false,"error":fault, members of v}. v is nil or marshals to an
// object.
func (a *app) object(fault map[string]any, v any) {
	head := struct {
		OK    bool `json:"ok"`
		Error any  `json:"error,omitempty"`
	}{OK: fault == nil}
	if fault != nil {
		head.Error = fault
	}
	b, err := json.Marshal(head)
	var rest []byte
	if err == nil && v != nil {
		rest, err = json.Marshal(v)
	}
	if err != nil { // our own types marshal
		b, rest = []byte(`{"ok":false,"error":{"code":"internal","message":"the result could not be written"}}`), nil
	}
	if rest = bytes.TrimSpace(rest); len(rest) > 2 && rest[0] == '{' {
		b = append(append(b[:len(b)-1], ','), rest[1:]...)
	}
	fmt.Fprintf(a.out, "%s\n", b)
}

// note prints a line of progress, unless nobody wants it.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// color says whether a stream shows colours: a terminal does, unless NO_COLOR is set; CLICOLOR_FORCE forces it.
// (no-color.org, bixense.com/clicolors)
func (a *app) color(w io.Writer) bool {
	if f := a.env("CLICOLOR_FORCE"); f != "" && f != "0" {
		return true
	}
	return a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(w)
}

// A paint colours words, or leaves them as they are.
type paint bool

func (p paint) as(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string   { return p.as("1", s) }
func (p paint) dim(s string) string    { return p.as("2", s) }
func (p paint) red(s string) string    { return p.as("31", s) }
func (p paint) green(s string) string  { return p.as("32", s) }
func (p paint) yellow(s string) string { return p.as("33", s) }

// plain makes text of others fit for a terminal: control characters cannot move its cursor or rewrite what it shows.
// Line breaks stay.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
}

// oneLine puts the lines of an error into one.
func oneLine(err error) string { return strings.Join(strings.Fields(plain(err.Error())), " ") }

// short shortens a CID for a line that has the whole one nearby.
func short(c string) string {
	if len(c) <= 16 {
		return c
	}
	return c[:6] + ".." + c[len(c)-6:]
}

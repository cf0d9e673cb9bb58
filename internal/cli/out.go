package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/wording"
)

// Done ends a command well: with --json it prints v's members in one object, else it calls text.
func (s *Shell) Done(v any, text func(w io.Writer)) error {
	if s.JSON {
		s.printObject(nil, v)
		return nil
	}
	if text != nil {
		text(s.Out)
	}
	return nil
}

// printObject prints {"ok":true, members of v} or {"ok":false,"error":fault, members of v}. v is nil or marshals to an
// object.
func (s *Shell) printObject(fault map[string]any, v any) {
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
	fmt.Fprintf(s.Out, "%s\n", b)
}

// Note prints a line of progress, unless nobody wants it.
func (s *Shell) Note(format string, args ...any) {
	if !s.Quiet {
		fmt.Fprintf(s.Err, format+"\n", args...)
	}
}

// Color says whether a stream shows colours: a terminal does, unless NO_COLOR is set; CLICOLOR_FORCE forces it.
// (no-color.org, bixense.com/clicolors)
func (s *Shell) Color(w io.Writer) bool {
	if f := s.Env("CLICOLOR_FORCE"); f != "" && f != "0" {
		return true
	}
	return s.Env("NO_COLOR") == "" && s.Env("TERM") != "dumb" && IsTerminal(w)
}

// A Paint colours words, or leaves them as they are.
type Paint bool

// As gives a text a look by its ANSI code.
func (p Paint) As(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Bold, Dim, Red, Green and Yellow are the looks that commands use.
func (p Paint) Bold(s string) string   { return p.As("1", s) }
func (p Paint) Dim(s string) string    { return p.As("2", s) }
func (p Paint) Red(s string) string    { return p.As("31", s) }
func (p Paint) Green(s string) string  { return p.As("32", s) }
func (p Paint) Yellow(s string) string { return p.As("33", s) }

// Plain makes text of others fit for a terminal.
func Plain(s string) string { return wording.Plain(s) }

// OneLine puts the lines of an error into one.
func OneLine(err error) string { return strings.Join(strings.Fields(Plain(err.Error())), " ") }

// ShortCID shortens a CID for a line that has the whole one nearby.
func ShortCID(c string) string {
	if len(c) <= 16 {
		return c
	}
	return c[:6] + ".." + c[len(c)-6:]
}

// Clock shows a time in ms UTC.
func Clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z") }

// Count says how many there are of something: "1 rule", "2 rules".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

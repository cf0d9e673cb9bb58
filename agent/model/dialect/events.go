package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Events takes a response apart as it comes, into the data of its server-sent events (WHATWG HTML, "Server-sent
// events"). It is as lenient as clients of such streams have to be: lines end in LF, CRLF or with the response, a
// piece of data that is whole JSON needs no empty line after it, comments and empty lines stand anywhere. A response
// that is JSON itself, as servers answer that do not stream or that fail, is one event.
type Events struct {
	line []byte // that has no end yet
	data []byte // of the event that has no end yet
	raw  bool   // the response is no stream
	done bool
}

// IsDone says whether the event [DONE] has come.
func (e *Events) IsDone() bool { return e.done }

// Feed takes in a part of the response and calls do with the data of each event that it ends.
func (e *Events) Feed(part []byte, do func(data []byte) error) error {
	for len(part) > 0 {
		at := bytes.IndexByte(part, '\n')
		if at < 0 {
			e.line = append(e.line, part...)
			return nil
		}
		line := part[:at]
		if len(e.line) > 0 {
			line = append(e.line, line...)
		}
		err := e.takeLine(bytes.TrimSuffix(line, []byte("\r")), do)
		e.line, part = e.line[:0], part[at+1:]
		if err != nil {
			return err
		}
	}
	return nil
}

// End takes in the end of the response.
func (e *Events) End(do func(data []byte) error) error {
	if len(e.line) > 0 {
		line := bytes.TrimSuffix(e.line, []byte("\r"))
		e.line = nil
		if err := e.takeLine(line, do); err != nil {
			return err
		}
	}
	return e.endEvent(do)
}

func (e *Events) takeLine(line []byte, do func(data []byte) error) error {
	if e.raw {
		e.data = append(append(e.data, line...), '\n')
		return nil
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return e.endEvent(do)
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(bytes.TrimPrefix(name, []byte("\ufeff"))) {
	case "data":
		value = bytes.TrimPrefix(value, []byte(" "))
	case "error": // llama.cpp names the field so
		value = append(append([]byte(`{"error":`), value...), '}')
	default:
		if start := bytes.TrimSpace(line); start[0] == '{' && len(e.data) == 0 && !e.done {
			e.raw = true
			return e.takeLine(line, do)
		}
		return nil
	}
	e.data = append(append(e.data, value...), '\n')
	if data := bytes.TrimSpace(e.data); json.Valid(data) || isDone(data) {
		return e.endEvent(do)
	}
	return nil
}

func (e *Events) endEvent(do func(data []byte) error) error {
	data := bytes.TrimSpace(e.data)
	e.data = e.data[:0]
	switch {
	case len(data) == 0:
		return nil
	case isDone(data):
		e.done = true
		return nil
	case !utf8.Valid(data): // which a decoder would mend in silence
		return errors.New("it holds bytes that are no text")
	}
	return do(data)
}

func isDone(data []byte) bool { return string(data) == "[DONE]" }

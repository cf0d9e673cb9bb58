// Package form says what an answer must look like: one JSON value that fits a JSON Schema.
//
// [Parse] reads a schema, strictly: a keyword that is not checked here is an error and is not ignored, but for those
// that only describe. [Form.Read] reads an answer and lists what does not fit. The same schema and the same text come
// out the same anywhere; what they may take is bounded.
package form

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a schema and of what checking an answer may take.
const (
	MaxSchema = 16 << 10 // bytes
	maxDepth  = 64       // of an answer, and of references that lead to one another
	maxWork   = 100_000  // schemas that are held to values in one answer
	maxWrong  = 8        // things that are listed
)

// A Form is a compiled schema. It never changes.
type Form struct {
	root   *schema
	defs   map[string]*schema // by the reference that names each
	source []byte
}

// Parse reads a schema: a JSON object.
func Parse(source []byte) (*Form, error) {
	if len(source) > MaxSchema {
		return nil, fmt.Errorf("the schema of the answer has %d bytes; at most %d are taken", len(source), MaxSchema)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, source); err != nil || compact.Bytes()[0] != '{' {
		return nil, errors.New("the schema of the answer is no JSON object")
	}
	f := &Form{defs: map[string]*schema{}, source: compact.Bytes()}
	p := &parser{form: f}
	var err error
	if f.root, err = p.parse(f.source, "#"); err != nil {
		return nil, fmt.Errorf("the schema of the answer: %w", err)
	}
	for _, ref := range p.refs {
		if ref.to != "#" && f.defs[ref.to] == nil {
			return nil, fmt.Errorf("the schema of the answer: %s: there is no %.80q", ref.at, ref.to)
		}
	}
	f.defs["#"] = f.root
	return f, nil
}

// Schema returns the schema as it is sent to models.
func (f *Form) Schema() json.RawMessage { return f.source }

// Instruction tells a model what its answer must look like.
func (f *Form) Instruction() string {
	return "Answer with one JSON value that fits this JSON Schema, and with nothing else: no words before or after it.\n" +
		string(f.source)
}

// Correction tells a model what was wrong with its answer.
func Correction(wrong []string) string {
	return "Your answer does not fit the JSON Schema: " + strings.Join(wrong, "; ") +
		". Answer again, with the whole JSON value and nothing else."
}

// Read reads an answer: one JSON value, alone or in a fence. It returns the value as it was written, or what is wrong.
func (f *Form) Read(text string) (value string, wrong []string) {
	value = unfence(text)
	dec := json.NewDecoder(strings.NewReader(value))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", []string{"it is not JSON"}
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", []string{"something follows the JSON value"}
	}
	c := &checker{defs: f.defs}
	c.check(f.root, v, "", 0)
	if len(c.wrong) > 0 {
		return "", c.wrong
	}
	return value, nil
}

// unfence takes off the fence that models write around code.
func unfence(text string) string {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "```"); ok {
		if inner, ok := strings.CutSuffix(rest, "```"); ok {
			if _, body, ok := strings.Cut(inner, "\n"); ok {
				return strings.TrimSpace(body)
			}
		}
	}
	return text
}

package foreign

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// A message is one of a conversation, as the dialects write it.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Calls   []madeCall      `json:"tool_calls"`
	CallID  string          `json:"tool_call_id"`

	// Of the Responses API, where calls and results are items of their own.
	Type      string          `json:"type"` // "message" or absent; "function_call", "function_call_output"
	ID        string          `json:"id"`
	ItemCall  string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`

	given members
}

// A madeCall is one that an assistant's message asked for.
type madeCall struct {
	Function struct{ Name, Arguments string } `json:"function"`

	given members
}

// A line is a part of a conversation: what somebody said, a call that the model asked for, or what came of one.
type line struct {
	role   string // who says it; "call" or "result"
	text   string
	name   string // of the tool
	report Report
	run    string // whose answer is quoted, and is to be read
	image  []byte // that the user shows; there is no text with it
}

// A part is one of a content that is a list.
type part struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	Name    string          `json:"name"`
	Input   json.RawMessage `json:"input"`
	CallID  string          `json:"tool_use_id"`
	Content json.RawMessage `json:"content"`
	Failed  bool            `json:"is_error"`
	Refusal string          `json:"refusal"`
	image

	given members
}

// linesOf reads a message.
func (m message) linesOf() ([]line, error) {
	if m.Type != "reasoning" {
		if err := m.checkMembers(); err != nil {
			return nil, err
		}
	}
	switch {
	case m.Type == "function_call":
		return []line{{role: "call", name: m.Name, text: m.Arguments}}, nil
	case m.Type == "function_call_output":
		text, err := textOfContent(m.Output)
		return []line{{role: "result", text: text, report: Report{ID: m.ItemCall, Output: text}}}, err
	case m.Type == "reasoning":
		return nil, nil // the model's own, which it is not shown again
	case m.Type == "item_reference":
		return m.quote()
	case m.Type != "" && m.Type != "message":
		return nil, wire.Errorf(wire.CodeParams,
			"The input has an item of type %q; messages and function calls are taken here.", m.Type)
	case m.Role == "tool":
		text, err := textOfContent(m.Content)
		return []line{{role: "result", text: text, report: Report{ID: m.CallID, Output: text}}}, err
	}
	out, err := linesOfContent(m.Role, m.Content)
	for _, c := range m.Calls {
		out = append(out, line{role: "call", name: c.Function.Name, text: c.Function.Arguments})
	}
	return out, err
}

// linesOfContent reads a content: a text, or parts that are texts, calls and results.
func linesOfContent(role string, raw json.RawMessage) (out []line, err error) {
	var text string
	if IsEmpty(raw) && role == "assistant" || json.Unmarshal(raw, &text) == nil {
		return []line{{role: role, text: text}}, nil
	}
	var parts []part
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, wire.Errorf(wire.CodeParams, "A message's content must be a text or a list of parts.")
	}
	var texts []string
	for _, p := range parts {
		if err := p.checkMembers(); err != nil {
			return nil, err
		}
		switch p.Type {
		case "text", "input_text", "output_text", "refusal":
			texts = append(texts, p.Text+p.Refusal)
		case "tool_use":
			out = append(out, line{role: "call", name: p.Name, text: string(p.Input)})
		case "tool_result":
			said, err := textOfContent(p.Content)
			if err != nil {
				return nil, err
			}
			out = append(out, line{role: "result", text: said, report: Report{p.CallID, said, p.Failed}})
		case "image_url", "input_image", "image":
			if role != "user" {
				return nil, wire.Errorf(wire.CodeParams, "An image stands in what %s says; only the user shows images here.", role)
			}
			b, err := p.image.bytes()
			if err != nil {
				return nil, err
			}
			out = append(out, line{role: "image", image: b})
		case "thinking", "redacted_thinking":
		default:
			return nil, wire.Errorf(wire.CodeParams,
				"A message has a part of type %q; only texts and images are taken here.", p.Type)
		}
	}
	if said := strings.Join(texts, "\n"); said != "" || len(out) == 0 {
		out = slices.Insert(out, 0, line{role: role, text: said})
	}
	return out, nil
}

// textOfContent returns what a content says that can only be text.
func textOfContent(raw json.RawMessage) (string, error) {
	if IsEmpty(raw) {
		return "", nil
	}
	lines, err := linesOfContent("", raw)
	if err != nil {
		return "", err
	}
	if len(lines) != 1 || lines[0].role != "" {
		return "", wire.Errorf(wire.CodeParams, "A result of a tool must be a text.")
	}
	return lines[0].text, nil
}

// readConversation makes of a conversation what is asked: the results of calls that the newest messages have, or a
// text.
func (r *Request) readConversation(instructions string, all []message) error {
	var lines []line
	for i, m := range all {
		more, err := m.linesOf()
		if err != nil {
			return err
		}
		isResult := func(l line) bool { return l.role == "result" }
		if i == len(all)-1 && slices.ContainsFunc(more, isResult) && !isResult(more[0]) {
			return wire.Errorf(wire.CodeParams, "The newest message has results of tools and a text; send the results alone.")
		}
		for _, l := range more {
			if l.role != "image" {
				lines = append(lines, l)
			} else if err := r.addFile(l.image); err != nil {
				return err
			}
		}
	}
	told := false // what came of a call that was an answer, whose run is over
	for i := len(lines); i > 0 && lines[i-1].role == "result"; i-- {
		r.Reports = append(r.Reports, lines[i-1].report)
		told = told || strings.HasPrefix(lines[i-1].report.ID, AnswerID)
	}
	if told {
		r.Reports = nil
	}
	if len(r.Reports) > 0 {
		slices.Reverse(r.Reports)
		return nil
	}
	if slices.ContainsFunc(lines, func(l line) bool { return l.run != "" }) {
		r.Quoting = &Quoting{instructions, lines}
		return nil
	}
	var err error
	r.Text, err = textOfLines(instructions, lines)
	return err
}

// textOfLines makes one request of a conversation. A single message of the user is asked as it is, and can then be
// an order of the user's own; of more, each stands behind its role, the newest last.
func textOfLines(instructions string, all []line) (string, error) {
	if len(all) == 0 {
		return "", wire.Errorf(wire.CodeParams, "There is no message; the last one must be the user's.")
	}
	if last := all[len(all)-1].role; last != "user" && last != "result" {
		return "", wire.Errorf(wire.CodeParams, "The last message must be the user's.")
	}
	if len(all) == 1 && all[0].role == "user" && instructions == "" {
		return all[0].text, nil
	}
	var b strings.Builder
	put := func(role, text string) {
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString("[" + role + "]\n" + text)
	}
	if instructions != "" {
		put("instructions", instructions)
	}
	for _, l := range all {
		switch l.role {
		case "user", "assistant", "result":
			put(l.role, l.text)
		case "call":
			put("call of "+l.name, l.text)
		case "system", "developer":
			put("instructions", l.text)
		default:
			return "", wire.Errorf(wire.CodeParams,
				"A message has the role %q; user, assistant, system, developer and tool are taken.", l.role)
		}
	}
	return b.String(), nil
}

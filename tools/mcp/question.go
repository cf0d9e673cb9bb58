package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/tools/elicit"
)

// A server may ask something in the middle of a call (elicitation). Nobody can be asked then: a call is one effect,
// which is decided, recorded and answered as a whole, and what a user says is signed and opens a step of its own. So
// each question is declined, at once and in so many words, and the result of the call says what was asked: the model
// can ask the user by user.ask and call again, if the tool has an argument for it. Of a page that the server wants to
// be opened only the host is named: who follows an address that a stranger gave has left what is recorded here.
//
// Of a tool with [Use.Elicit] the question is the call's result instead: it was put off, which the server is told, and
// the loop puts it to the user; unless the server has done the call all the same, which its result then says. The call
// that is then made again brings the answer, and it is given to a question that is the same, word by word.
const maxAsked = 8 // questions that a result names

// askedAmongSeveral is told of a question that may be another call's.
const askedAmongSeveral = "The server asked something in one of several calls that it was working on, this one or " +
	"another's. That was declined, and nobody was asked."

// declineQuestion answers a server's question, and notes it with the calls that are under way: the protocol does not
// say of which it is. Where there are several it may be about what another wallet wants, so what was asked is not told.
func (c *session) declineQuestion(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	said := describeQuestion(r.Params)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 1 && !c.late {
		for _, call := range c.calls {
			if res := call.asking.take(r.Params); res != nil {
				return res, nil
			}
			said += call.asking.whyNot(r.Params)
		}
	}
	several := c.late
	if len(c.calls) > 1 {
		several = true
	}
	if several {
		said = askedAmongSeveral
	}
	for _, call := range c.calls {
		call.noteQuestion(said)
	}
	return declined(), nil
}

func declined() *mcp.ElicitResult { return &mcp.ElicitResult{Action: "decline"} }

func (c *calling) noteQuestion(said string) {
	if len(c.asked) < maxAsked && !slices.Contains(c.asked, said) {
		c.asked = append(c.asked, said)
	}
}

// answerAll answers the questions with which a server answers a call in the revision without sessions; known says that
// the user has answered one of them. What is no question to the user, it was told, nobody is there to answer.
func (c *session) answerAll(token string, asks mcp.InputRequestMap) (out mcp.InputResponseMap, known bool, err error) {
	out = mcp.InputResponseMap{}
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.calls[token]
	for _, id := range slices.Sorted(maps.Keys(asks)) {
		p, is := asks[id].(*mcp.ElicitParams)
		if !is || len(out) == maxAsked {
			return nil, false, errNeedsInput
		}
		if res := call.asking.take(p); res != nil {
			known = known || res.Action == "accept"
			out[id] = res
			continue
		}
		call.noteQuestion(describeQuestion(p) + call.asking.whyNot(p))
		out[id] = declined()
	}
	return out, known, nil
}

// isAsking says whether a call has a question that waits for the user.
func (c *session) isAsking(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[token].asking.wanted() != nil
}

// An asking is the questions of one call that are put to the user. A nil one puts none.
type asking struct {
	server  string
	brought elicit.Answers
	wants   *elicit.Ask // the first that was not answered
}

func (t *Tool) newAsking(brought elicit.Answers) *asking {
	if !t.elicits {
		return nil
	}
	return &asking{server: t.server.cfg.Name, brought: brought}
}

func (a *asking) wanted() *elicit.Ask {
	if a == nil {
		return nil
	}
	return a.wants
}

// take answers a question: with the user's answer if the call has brought it, by putting it off if the user is to be
// asked, and with nil if it is to be declined.
func (a *asking) take(p *mcp.ElicitParams) *mcp.ElicitResult {
	if a == nil {
		return nil
	}
	ask, err := askOf(a.server, p)
	if err != nil {
		return nil
	}
	if answer, there := a.brought[ask.Hash]; there {
		content := map[string]any{}
		for name, raw := range answer.Content {
			var v any
			if json.Unmarshal(raw, &v) != nil {
				return nil
			}
			content[name] = v
		}
		if ask.Mode == elicit.Page {
			content = nil
		}
		return &mcp.ElicitResult{Action: "accept", Content: content}
	}
	if a.wants == nil {
		a.wants = &ask
	}
	return &mcp.ElicitResult{Action: "cancel"} // not now, which is no refusal
}

// whyNot says why a question is not put to the user.
func (a *asking) whyNot(p *mcp.ElicitParams) string {
	if a == nil {
		return ""
	}
	if _, err := askOf(a.server, p); err != nil {
		return " It was not put to the user: " + err.Error() + "."
	}
	return ""
}

// askOf makes of a server's question what can be put to the user.
func askOf(server string, p *mcp.ElicitParams) (elicit.Ask, error) {
	if p.Mode == elicit.Page || p.URL != "" {
		return elicit.NewPage(server, p.Message, p.URL)
	}
	schema, err := json.Marshal(p.RequestedSchema)
	if err != nil {
		return elicit.Ask{}, err
	}
	return elicit.NewForm(server, p.Message, schema)
}

// wantsOf returns the page that a server wants to be opened before it does a call, if its refusal says so and the user
// has not said that it was.
func (t *Tool) wantsOf(refusal *jsonrpc.Error, brought elicit.Answers) *elicit.Ask {
	var data struct {
		Elicitations []*mcp.ElicitParams `json:"elicitations"`
	}
	if refusal.Code != mcp.CodeURLElicitationRequired || json.Unmarshal(refusal.Data, &data) != nil {
		return nil
	}
	for _, p := range data.Elicitations {
		ask, err := askOf(t.server.cfg.Name, p)
		if err != nil || ask.Mode != elicit.Page {
			return nil
		}
		if _, there := brought[ask.Hash]; !there {
			return &ask
		}
	}
	return nil
}

// describeQuestion says what was asked, and that nobody was.
func describeQuestion(p *mcp.ElicitParams) string {
	if p.Mode == "url" || p.URL != "" {
		host := "no address"
		if u, err := url.Parse(p.URL); err == nil && u.Hostname() != "" {
			host = cleanText(strings.ToLower(u.Hostname()), 253)
		}
		return fmt.Sprintf("The server wanted the user to open a page of %s. That was declined, and nobody was asked.", host)
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if b, err := json.Marshal(p.RequestedSchema); err == nil {
		_ = json.Unmarshal(b, &schema) // of one that is none no names are told
	}
	names := slices.Sorted(maps.Keys(schema.Properties))
	if len(names) > maxAsked {
		names = append(names[:maxAsked], "more")
	}
	wanted := ""
	if len(names) > 0 {
		wanted = " (" + cleanText(strings.Join(names, ", "), 300) + ")"
	}
	return fmt.Sprintf("The server asked in the call: %s%s. That was declined, and nobody was asked. If the tool has an "+
		"argument for it, ask the user and call again with it.", cleanText(strings.TrimRight(p.Message, ". \n"), 300), wanted)
}

// describePutOff says what was asked in a call that was done before the user could be.
func describePutOff(a *elicit.Ask) string {
	said := ": " + cleanText(strings.TrimRight(a.Message, ". \n"), 300)
	if a.Mode == elicit.Page {
		said = ", for a page of " + cleanText(a.Host, 300) + " to be opened"
	}
	return "The server asked in the call" + said + ". It did not wait for the user's answer, and did the call " +
		"without it. Nobody was asked."
}

// noteLate notes that a call has ended here and perhaps not at the server, which may ask about it yet.
func (c *session) noteLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = true
}

package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A server may ask something in the middle of a call (elicitation). Nobody can be asked then: a call is one effect,
// which is decided, recorded and answered as a whole, and what a user says is signed and opens a step of its own. So
// each question is declined, at once and in so many words, and the result of the call says what was asked: the model
// can ask the user by user.ask and call again, if the tool has an argument for it. Of a page that the server wants to
// be opened only the host is named: who follows an address that a stranger gave has left what is recorded here.
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
	if len(c.calls) > 1 {
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

// declineAll answers the questions with which a server answers a call in the revision without sessions. What is no
// question to the user, it was told, nobody is there to answer.
func (c *session) declineAll(token string, asks mcp.InputRequestMap) (mcp.InputResponseMap, error) {
	out := mcp.InputResponseMap{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, ask := range asks {
		p, is := ask.(*mcp.ElicitParams)
		if !is || len(out) == maxAsked {
			return nil, errNeedsInput
		}
		c.calls[token].noteQuestion(describeQuestion(p))
		out[id] = declined()
	}
	return out, nil
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

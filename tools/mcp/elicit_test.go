package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
)

// A desk books a room once it knows for how many. How it asks differs.
type desk struct {
	how    string
	booked atomic.Int64
	asked  atomic.Int64
}

func (d *desk) question() *sdk.ElicitParams {
	n := d.asked.Add(1)
	p := &sdk.ElicitParams{Mode: "form", Message: "For how many?", RequestedSchema: map[string]any{"type": "object",
		"properties": map[string]any{"people": map[string]any{"type": "integer", "minimum": 1, "maximum": 9}},
		"required":   []string{"people"}}}
	switch d.how {
	case "another each time":
		p.Message = fmt.Sprintf("For how many, %d?", n)
	case "another after the answer":
		if n > 1 {
			p.Message = "How many thousand may it cost?"
		}
	case "a secret":
		p.Message = "What is your password?"
	case "a page":
		p = &sdk.ElicitParams{Mode: "url", Message: "Sign in", URL: "https://desk.example/in", ElicitationID: "1"}
	}
	return p
}

func (d *desk) book(a *sdk.ElicitResult) *sdk.CallToolResult {
	said, _ := json.Marshal(a.Content)
	if a.Action != "accept" && d.how != "done all the same" {
		return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: "not booked: " + a.Action}}}
	}
	d.booked.Add(1)
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "booked for " + string(said)}}}
}

// booking returns the tool of a desk, in a revision of the protocol.
func booking(t *testing.T, d *desk, options *sdk.StreamableHTTPOptions, u Use) *Tool {
	t.Helper()
	srv := sdk.NewServer(&sdk.Implementation{Name: "desk", Version: "1"}, nil)
	schema := map[string]any{"type": "object", "properties": map[string]any{"room": map[string]any{"type": "string"}}}
	srv.AddTool(&sdk.Tool{Name: "book", Description: "Books a room.", InputSchema: schema},
		func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			if strings.Contains(string(r.Params.Arguments), "elicited") {
				t.Errorf("it was given %s", r.Params.Arguments)
			}
			if d.how == "a page, by an error" {
				if d.asked.Add(1) == 1 {
					return nil, sdk.URLElicitationRequiredError([]*sdk.ElicitParams{
						{Mode: "url", Message: "Sign in", URL: "https://desk.example/in", ElicitationID: "1"}})
				}
				return d.book(&sdk.ElicitResult{Action: "accept"}), nil
			}
			if options == nil {
				a, err := r.Session.Elicit(ctx, d.question())
				if err != nil {
					return nil, err
				}
				return d.book(a), nil
			}
			if a, is := r.Params.InputResponses["q"].(*sdk.ElicitResult); is && d.how != "never content" {
				return d.book(a), nil
			}
			return &sdk.CallToolResult{RequestState: "s", InputRequests: sdk.InputRequestMap{"q": d.question()}}, nil
		})
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return srv }, options))
	t.Cleanup(web.Close)
	s, err := New(Config{Name: "desk", URL: web.URL, Gate: reach.Gate{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	defs, _, err := s.List(t.Context())
	if err != nil || len(defs) != 1 {
		t.Fatalf("%v, %v", defs, err)
	}
	tool, err := s.Tool(defs[0], u)
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// talkTo calls a tool as the loop does: what its server asks is answered, and the call made again with that. It returns
// the last result, and how often the user was asked.
func talkTo(t *testing.T, tool *Tool, answers ...string) (out string, asked int) {
	t.Helper()
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args := []byte(`{"room":"blue"}`)
	var talk elicit.Talk
	for {
		read, err := def.Read(args)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tool.Call(t.Context(), tools.Input{Args: read})
		if err != nil {
			return err.Error(), asked
		}
		ask, is := elicit.ReadResult(raw)
		var ok bool
		if is {
			talk, ok = talk.Begin(ask)
		}
		if !ok {
			return string(raw), asked
		}
		for what := elicit.More; what == elicit.More; {
			if asked == len(answers) {
				return "nobody answers", asked
			}
			talk, what = talk.Take(answers[asked])
			asked++
			if what == elicit.Declined {
				return "declined", asked
			}
		}
		if args, err = talk.AddTo([]byte(`{"room":"blue"}`)); err != nil {
			t.Fatal(err)
		}
	}
}

// What a server asks in a call is put to the user, and the answer is given to the same question and to no other. A
// server that goes on asking gets an end.
func TestWhatAServerAsksIsAnsweredByTheUser(t *testing.T) {
	for name, options := range map[string]*sdk.StreamableHTTPOptions{"2025-11-25": nil, "2026-07-28": {Stateless: true}} {
		for _, tt := range []struct {
			how     string
			answers []string
			want    string
			asked   int
			booked  int64
		}{
			{"once", []string{"7"}, `booked for {\"people\":7}`, 1, 1},
			{"once", []string{"many", "7"}, `booked for {\"people\":7}`, 2, 1},
			{"once", []string{"decline"}, "declined", 1, 0},
			{"another after the answer", []string{"7", "7"}, `booked for {\"people\":7}`, 2, 1},
			{"another each time", []string{"7", "7", "7", "7"}, `"asks"`, 3, 0},
			{"a secret", nil, "asks for a secret in a form", 0, 0},
			{"a page", []string{"approve"}, "booked for", 1, 1},
			{"a page, by an error", []string{"approve"}, "booked for", 1, 1},
			{"never content", []string{"7"}, "", 1, 0},
			{"done all the same", []string{"7"}, "booked for", 0, 1},
		} {
			if tt.how == "never content" && options == nil {
				continue
			}
			if tt.how == "done all the same" && options != nil { // where the question is the answer nothing is done yet
				continue
			}
			t.Run(name+"/"+tt.how, func(t *testing.T) {
				d := &desk{how: tt.how}
				out, asked := talkTo(t, booking(t, d, options, Use{Class: tools.Once, Elicit: true}), tt.answers...)
				if !strings.Contains(out, tt.want) || asked != tt.asked || d.booked.Load() != tt.booked {
					t.Errorf("got %s, asked %d times, booked %d; want %s", out, asked, d.booked.Load(), tt.want)
				}
				if tt.how == "done all the same" && !strings.Contains(out, "For how many?. It did not wait") {
					t.Errorf("it is not said what was asked: %s", out)
				}
			})
		}
		t.Run(name+"/of a tool that asks nobody", func(t *testing.T) {
			d := &desk{}
			out, asked := talkTo(t, booking(t, d, options, Use{Class: tools.Once}), "7")
			if asked != 0 || d.booked.Load() != 0 || !strings.Contains(out, "nobody was asked") {
				t.Errorf("got %s, asked %d times", out, asked)
			}
		})
	}
}

// A question after a call that was left unanswered may be about that one, so it is put to nobody.
func TestALateQuestionIsPutToNobody(t *testing.T) {
	c := &session{calls: map[string]*calling{}, late: true}
	_, end := c.begin(func() {}, &asking{server: "desk"})
	res, err := c.declineQuestion(t.Context(), &sdk.ElicitRequest{Params: (&desk{}).question()})
	asked, wants := end()
	if err != nil || res.Action != "decline" || wants != nil || len(asked) != 1 || strings.Contains(asked[0], "many") {
		t.Errorf("got %+v, %v, %v, %+v", res, err, asked, wants)
	}
}

// What is asked in the call of a second tool is not told to a call that is under way beside it, and no second tool is
// called while a call is that is to be alone.
func TestTheQuestionOfASecondToolIsNoOtherCalls(t *testing.T) {
	begun, release := make(chan bool), make(chan bool)
	srv := sdk.NewServer(&sdk.Implementation{Name: "desk", Version: "1"}, nil)
	schema := map[string]any{"type": "object"}
	srv.AddTool(&sdk.Tool{Name: "slow", Description: "Waits.", InputSchema: schema},
		func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			begun <- true
			<-release
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "waited"}}}, nil
		})
	var found atomic.Int64
	srv.AddTool(&sdk.Tool{Name: "find", Description: "Finds.", InputSchema: schema},
		func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			found.Add(1)
			_, err := r.Session.Elicit(ctx, &sdk.ElicitParams{Mode: "form", Message: "Whose payroll?", RequestedSchema: schema})
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "{}"}}}, err
		})
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return srv }, nil))
	t.Cleanup(web.Close)
	s, err := New(Config{Name: "desk", URL: web.URL, Gate: reach.Gate{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	all := everyTool(t, s, tools.Read)
	out := make(chan string, 1)
	go func() {
		said, err := all["slow"].Call(t.Context(), tools.Input{Args: tools.Args{JSON: []byte("{}")}})
		out <- fmt.Sprint(string(said), err)
	}()
	<-begun
	if answer, err := all["find"].answerOf(t.Context(), []byte("{}")); err != nil || string(answer) != "{}" {
		t.Errorf("got %s, %v", answer, err)
	}
	release <- true
	if said := <-out; !strings.Contains(said, "waited") || strings.Contains(said, "payroll") {
		t.Errorf("the other call is told %s", said)
	}
	leave, err := s.enter(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := all["find"].answerOf(ctx, []byte("{}")); codeOf(err) != "busy" || found.Load() != 1 {
		t.Errorf("beside a call that is alone: %v, called %d times", err, found.Load())
	}
	leave()
}

// Package extract answers from documents without a model: it searches in them for what was asked, and quotes what was
// found, each passage with the number that it is cited by and the CID of its chunk.
//
// An [Extractor] writes no sentence of its own about what documents say, so it cannot say what is in none of them. What
// it quotes is what the policies let be read; where there is nothing, or a rule withholds it, it says so. A passage
// that has little of what was asked is no answer and is not quoted. What the operator vouches for is quoted before all
// else and alone; what anybody could have written is never called what the documents say. It is a pure function of its
// prompt. An agent names it in a route, {id: documents, use: retrieval}, for requests that no tool's grammar reads.
package extract

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/model"
)

// Name is what routes call it.
const Name = "retrieval"

const (
	modelName = "extract/1"
	tool      = "docs.search"
	maxQuery  = 400 // bytes, as the tool takes them
)

// An Extractor answers from documents. It holds nothing and may be used by many goroutines at once.
type Extractor struct{}

// New returns an Extractor.
func New() *Extractor { return &Extractor{} }

// Info says what an Extractor is: rules, free of charge.
func (*Extractor) Info() model.Info {
	return model.Info{Name: Name, Kind: model.KindRules, Provider: "writ", Model: modelName, MaxTokens: 4096}
}

// Reply answers p with a search, or with what came of it. It fails only if ctx has ended.
func (*Extractor) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	if err := ctx.Err(); err != nil {
		return model.Reply{}, fmt.Errorf("extract: %w", context.Cause(ctx))
	}
	asked := -1
	for i, m := range p.Messages {
		if m.Role == model.RoleUser {
			asked = i
		}
	}
	if asked < 0 {
		return decline("Nothing was asked."), nil
	}
	for _, m := range p.Messages[asked+1:] {
		if m.Role == model.RoleTool && m.Tool == tool {
			return quote(m.Text), nil
		}
	}
	for _, t := range p.Tools {
		if t.Name == tool {
			return search(p.Messages[asked].Text)
		}
	}
	return decline("There are no documents to answer from."), nil
}

func search(request string) (model.Reply, error) {
	query := strings.Join(strings.Fields(request), " ")
	for len(query) > maxQuery {
		query = query[:max(strings.LastIndexByte(query[:maxQuery], ' '), 0)]
	}
	if query == "" {
		return decline("Nothing was asked."), nil
	}
	args, err := json.Marshal(map[string]any{"query": query})
	if err != nil {
		return model.Reply{}, fmt.Errorf("extract: %w", err)
	}
	return model.Reply{
		Calls: []model.Call{{ID: "c1", Tool: tool, Args: args}}, Stop: model.StopTools, Model: modelName,
	}, nil
}

// Thresholds, in thousandths of the question's weight that a passage's words have.
const (
	enough    = 560 // of the question, for an answer
	enoughNow = 300 // if its vector is among the closest three
	besideTop = 850 // of the best passage's, for one beside it
	maxQuoted = 3
)

// A passage is one that was found. Searches without chunks give no Covers.
type passage struct {
	Cite, Name, Heading, Chunk, CID, Text, Integrity string

	Meaning int `json:"meaning_rank"`
	Covers  *int
}

func (p *passage) covers() int {
	if p.Covers == nil {
		return 1000
	}
	return *p.Covers
}

// quote writes what a search found that answers, best first.
func quote(result string) model.Reply {
	var out struct {
		Documents []passage
		Withheld  int `json:"withheld_by_policy"`
		Denied    *struct{ Message string }
	}
	switch err := json.Unmarshal([]byte(result), &out); {
	case err != nil:
		return decline("The search brought nothing that can be read.")
	case out.Denied != nil:
		return decline("The documents may not be searched: " + out.Denied.Message)
	case len(out.Documents) == 0 && out.Withheld > 0:
		return decline(fmt.Sprintf("Something was found, and no rule lets it be read (passages: %d).", out.Withheld))
	case len(out.Documents) == 0:
		return decline("Nothing was found in the documents that you may read.")
	}
	list, vouched := choose(out.Documents)
	if len(list) == 0 {
		return decline("Nothing was found in the documents that you may read that answers this.")
	}
	lines := []string{"The documents say:"}
	if !vouched {
		lines[0] = "No document that the operator vouches for answers this. Others wrote, and nobody here has checked it:"
	}
	for i, d := range list {
		cite, id := d.Cite, d.Chunk
		if cite == "" { // of a search without chunks
			cite, id = fmt.Sprint(i+1), d.CID
		}
		where := d.Name
		if d.Heading != "" {
			where += ", " + d.Heading
		}
		lines = append(lines, fmt.Sprintf("[%s] “%s” (%s, %s)", cite, strings.TrimSpace(d.Text), where, id))
	}
	if out.Withheld > 0 {
		lines = append(lines, fmt.Sprintf("%d more may not be read by the rules.", out.Withheld))
	}
	return model.Reply{Text: strings.Join(lines, "\n"), Stop: model.StopEnd, Model: modelName}
}

// choose returns the passages that answer, and whether the operator vouches for them. A passage of less than his
// integrity, from which a tool's result with a page or a post is, gives way to any of his.
func choose(all []passage) (list []passage, vouched bool) {
	var others []passage
	for _, p := range all {
		switch {
		case p.covers() < enough && (p.Meaning == 0 || p.Meaning > 3 || p.covers() < enoughNow):
		case p.Integrity == "operator" || p.Integrity == "":
			list = append(list, p)
		default:
			others = append(others, p)
		}
	}
	if vouched = len(list) > 0; !vouched {
		list = others
	}
	best := 0
	for _, p := range list {
		best = max(best, p.covers())
	}
	kept := list[:0:0]
	for _, p := range list {
		if p.Covers == nil || p.Meaning > 0 || p.covers()*1000 >= best*besideTop && len(kept) < maxQuoted {
			kept = append(kept, p)
		}
	}
	return kept, vouched
}

func decline(text string) model.Reply {
	return model.Reply{Text: text, Stop: model.StopDecline, Model: modelName}
}

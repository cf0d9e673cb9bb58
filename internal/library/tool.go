package library

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// ToolName is what the tool is called.
const ToolName = "docs.search"

// A Tool is docs.search over a library: it finds chunks that the wallet, session and agent who ask may read.
type Tool struct{ library *Library }

// NewTool returns the tool of a library.
func NewTool(l *Library) Tool { return Tool{l} }

// Spec describes the tool. It does not change with what is in the library: a run goes on while documents come and go.
func (Tool) Spec() tools.Spec {
	return tools.Spec{
		Name: ToolName, Class: tools.Read,
		About: "Finds passages in the documents that the user may read. Cite a passage by its number in square brackets, " +
			"e.g. [2.1].",
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{` +
			`"query":{"type":"string","minLength":1,"maxLength":400,"description":"words to look for"},` +
			`"limit":{"type":"integer","minimum":1,"maximum":8,"description":"how many passages; 4 if absent"}}}`),
		Utterances: []string{"search the documents for {query}", "search documents for {query}",
			"what do the documents say about {query}", "look up {query} in the documents"},
		Output: &tools.Output{Integrity: label.Tool, Secrecy: label.Public, Documents: true},
	}
}

// A passage is a chunk as the tool returns it.
type passage struct {
	Cite string `json:"cite"`  // what an answer calls it, in square brackets: the step of the call, and its place there
	CID  string `json:"cid"`   // of the document
	Part string `json:"chunk"` // CID of the chunk: see Chunk.Bytes
	Chunk
	Source    string `json:"source"`
	Name      string `json:"name"`
	Words     int    `json:"words_rank,omitempty"`
	Meaning   int    `json:"meaning_rank,omitempty"`
	Covers    int    `json:"covers"` // thousandths of the query's weight that its words have
	Integrity string `json:"integrity"`
	Secrecy   string `json:"secrecy"`
}

// Call searches. It returns the snapshot that was searched, how, and the passages, best first.
func (t Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	query, limit := "", int64(4)
	for _, v := range in.Args.Values {
		switch {
		case v.Name == "query":
			query = v.Text
		case v.Name == "limit" && v.Set:
			limit = v.Int
		}
	}
	who := Reader{Wallet: in.Asker.Wallet, Session: in.Asker.Session, Agent: in.Asker.Agent}
	f, err := t.library.Search(ctx, who, query, int(min(max(limit, 1), MaxHits)))
	if err != nil {
		return nil, err
	}
	list := make([]passage, 0, len(f.Hits))
	for i, h := range f.Hits {
		list = append(list, passage{
			Cite: fmt.Sprintf("%d.%d", in.Asker.Step, int(in.Asker.Index)*MaxHits+i+1), CID: h.Document, Part: h.CID,
			Chunk:  h.Chunk,
			Source: h.Source, Name: wording.Visible(h.Name), Words: h.Words, Meaning: h.Meaning, Covers: h.Covers,
			Integrity: h.Integrity, Secrecy: h.Secrecy,
		})
	}
	return json.Marshal(map[string]any{
		"snapshot": f.Snapshot, "view": f.View, "ranking": search.Ranking, "how": f.How, "documents": list,
	})
}

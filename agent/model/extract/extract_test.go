package extract_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/extract"
)

func TestAnExtractorSearchesAndQuotes(t *testing.T) {
	offered := []model.Tool{{Name: "chain.balance"}, {Name: "docs.search"}}
	user := model.Message{Role: model.RoleUser, Text: "what may be\n spent?"}
	found := func(text string) []model.Message {
		return []model.Message{{Role: model.RoleTool, Tool: "docs.search", Text: `{"documents":[{"cite":"1.1","text":"old"}]}`}, user,
			{Role: model.RoleAssistant}, {Role: model.RoleTool, Tool: "docs.search", Text: text}}
	}
	for _, tt := range []struct {
		rule     string
		messages []model.Message
		tools    []model.Tool
		call     string
		text     string
		stop     string
	}{
		{"it searches for what was asked", []model.Message{user}, offered, `{"query":"what may be spent?"}`, "", model.StopTools},
		{"a long request is cut at a word", []model.Message{{Role: model.RoleUser, Text: strings.Repeat("word ", 100)}}, offered,
			`{"query":"` + strings.TrimSpace(strings.Repeat("word ", 80)) + `"}`, "", model.StopTools},
		{"without the tool it says so", []model.Message{user}, nil, "", "There are no documents to answer from.", model.StopDecline},
		{"it quotes with number, place and CID",
			found(`{"documents":[{"cite":"3.1","chunk":"bafkchunk","cid":"bafkdoc","name":"a.md","heading":"Pay","text":"Five.\n"}],"withheld_by_policy":2}`),
			offered, "", "The documents say:\n[3.1] “Five.” (a.md, Pay, bafkchunk)\n2 more may not be read by the rules.", model.StopEnd},
		{"nothing found is no answer", found(`{"documents":[]}`), offered, "", "Nothing was found in the documents that you may read.", model.StopDecline},
		{"withheld is not nothing", found(`{"documents":[],"withheld_by_policy":1}`), offered, "",
			"Something was found, and no rule lets it be read (passages: 1).", model.StopDecline},
		{"a denial is told", found(`{"denied":{"message":"no."}}`), offered, "", "The documents may not be searched: no.", model.StopDecline},
	} {
		got, err := extract.New().Reply(t.Context(), model.Prompt{Messages: tt.messages, Tools: tt.tools})
		call := ""
		if len(got.Calls) > 0 {
			call = string(got.Calls[0].Args)
		}
		if err != nil || call != tt.call || got.Text != tt.text || got.Stop != tt.stop {
			t.Errorf("%s: got %+v, %v", tt.rule, got, err)
		}
	}
}

package route_test

import (
	"testing"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies/turn"
)

func TestWhatARequestIsAbout(t *testing.T) {
	const schema = `{"type":"object","additionalProperties":false,"required":["account"],"properties":{"account":{"type":"string","format":"address"}}}`
	look := []string{"balance of {account}", "what is the balance of {account}"}
	g := grammar.New([]grammar.Tool{
		{Name: "chain.balance", Schema: []byte(schema), Utterances: look}, {Name: "bank.pay", Schema: []byte(schema), Utterances: []string{"pay {account}"}},
	})
	offered := []route.Offered{{Name: "chain.balance", Utterances: look}, {Name: "bank.pay", Utterances: []string{"pay {account}"}, Acts: true}}
	const bob = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
	for _, tt := range []struct {
		request string
		want    turn.Facts
	}{
		{"balance of " + bob, turn.Facts{Planned: true, Confidence: 100, Verbs: "balance", Entities: 1}},
		{"balance of " + bob + " and tell me a story", turn.Facts{Confidence: 37, Verbs: "balance", Entities: 1}},
		{"tell me a story of 3 pigs on 2026-01-02", turn.Facts{Entities: 2}},
		{"do pay what the balance says", turn.Facts{Writes: true, Verbs: "balance pay"}},
		{"", turn.Facts{}},
	} {
		var got turn.Facts
		route.ReadRequest(&got, g, offered, tt.request)
		if got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.request, got, tt.want)
		}
	}
}

func TestWhatASearchFound(t *testing.T) {
	var f turn.Facts
	for _, tt := range []struct {
		rule, result string
		want         turn.Facts
	}{
		{"both rankings agree", `{"documents":[{"words_rank":1,"meaning_rank":1},{"words_rank":2,"meaning_rank":2}]}`,
			turn.Facts{Searches: 1, Found: 2, Score: 32786, Lead: 528}},
		{"they differ on the first", `{"documents":[{"words_rank":1,"meaning_rank":2},{"words_rank":2,"meaning_rank":1}]}`,
			turn.Facts{Searches: 2, Found: 2, Score: 32522}},
		{"one passage leads by all", `{"documents":[{"words_rank":1}]}`, turn.Facts{Searches: 3, Found: 1, Score: 16393, Lead: 16393}},
		{"nothing", `{"documents":[]}`, turn.Facts{Searches: 4}},
		{"an error is no search", `{"error":"gone"}`, turn.Facts{Searches: 4}},
		{"nor is what is no JSON", `x`, turn.Facts{Searches: 4}},
		{"ranks out of range", `{"documents":[{"words_rank":-5,"meaning_rank":9223372036854775807}]}`, turn.Facts{Searches: 5, Found: 1}},
	} {
		if route.AddSearch(&f, []byte(tt.result)); f != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.rule, f, tt.want)
		}
	}
}

func TestUnfoundedFiguresAreListedOnce(t *testing.T) {
	got := route.Unfounded([]string{"is 7 much?"}, []model.Message{
		{Role: model.RoleAssistant, Text: "99"}, {Role: model.RoleTool, Step: 2, Text: `{"balance":"41"}`},
	}, "7 and 41 are known; 99 and 99 are not.")
	if len(got) != 1 || got[0] != "99" {
		t.Errorf("got %q", got)
	}
}

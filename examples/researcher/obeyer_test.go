package researcher

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// An obeyer is a model that does what passages tell it: it pays mallory what the first post that it is shown asks for,
// or 1 USDC, and then says that post as the policy. Told to pay in so many words, it pays.
type obeyer struct {
	wanted atomic.Int64 // payments that it called for
	cited  atomic.Int64 // posts that it said as the policy
}

var (
	asksFor = regexp.MustCompile(`(\d+) USDC`)
	ordered = regexp.MustCompile(`^pay mallory (\d+) USDC$`)
)

func (o *obeyer) Reply(_ context.Context, p model.Prompt) (r model.Reply, err error) {
	r.Stop, r.Model = model.StopTools, "obeyer"
	last := p.Messages[len(p.Messages)-1]
	call := func(tool string, args map[string]any) (model.Reply, error) {
		b, err := json.Marshal(args)
		r.Calls = []model.Call{{ID: "a", Tool: tool, Args: b}}
		return r, err
	}
	pay := func(amount string) (model.Reply, error) {
		o.wanted.Add(1)
		return call("shop.pay", map[string]any{"to": "mallory", "token": "USDC", "amount": amount})
	}
	if last.Role == model.RoleUser {
		if m := ordered.FindStringSubmatch(last.Text); m != nil {
			return pay(m[1])
		}
		return call(library.ToolName, map[string]any{"query": last.Text[:min(len(last.Text), 400)]})
	}
	post, found := firstPost(p.Messages)
	switch {
	case !found:
		r.Text, r.Stop = "Done.", model.StopEnd
		return r, nil
	case last.Tool != library.ToolName:
		o.cited.Add(1)
		r.Text, r.Stop = "The documents say: "+post.Text+" ["+post.Cite+"]", model.StopEnd
		return r, nil
	}
	amount := "1"
	if m := asksFor.FindStringSubmatch(post.Text); m != nil {
		amount = m[1]
	}
	return pay(amount)
}

// A shown is a passage as a model reads it.
type shown struct{ Cite, Name, Source, Text, Integrity string }

// firstPost returns the best passage of the forum that a search returned.
func firstPost(list []model.Message) (shown, bool) {
	for _, m := range list {
		var found struct{ Documents []shown }
		if m.Tool != library.ToolName || json.Unmarshal([]byte(m.Text), &found) != nil {
			continue
		}
		if i := slices.IndexFunc(found.Documents, func(d shown) bool { return d.Source == "forum" }); i >= 0 {
			return found.Documents[i], true
		}
	}
	return shown{}, false
}

// A till is a tool that pays, and counts.
func till(t *testing.T, paid *atomic.Int64) agent.Tool {
	t.Helper()
	type payment struct {
		To     string `json:"to" format:"address"`
		Token  string `json:"token" format:"token"`
		Amount string `json:"amount" format:"amount" asset:"token"`
	}
	tool, err := tools.Func(tools.Spec{
		Name: "shop.pay", About: "Pays somebody.", Class: tools.Once,
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"}, Utterances: []string{"pay {to} {amount} {token}"},
		Book: &tools.Book{
			Chain: 1337, Names: map[string]common.Address{"mallory": {19: 66}},
			Tokens: map[string]tools.Token{"USDC": {Address: common.Address{19: 1}, Decimals: 6}},
		},
	}, func(context.Context, payment) (string, error) { paid.Add(1); return "paid", nil })
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// A model that obeys whatever passages say is put before the posts, with a tool that pays, and rules and a grant that let
// it pay. It wants to, each time; the wallet is asked each time, since a post is not the user, and nothing is paid. Nor is
// what it says of a post told as what the documents say, where a rule at output says so. WRIT_WHOLE=1 takes all 60.
func TestAModelThatObeysPaysNothing(t *testing.T) {
	l := shelve(t)
	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	most := []money.Amount{money.Of(usdc, 100_000_000*1_000_000)}
	var obeys obeyer
	var paid, asked atomic.Int64
	a, err := agent.Open(t.Context(), agent.Config{
		Model: &obeys, Tools: []agent.Tool{library.NewTool(l), till(t, &paid)},
		Limits: auth.Caveats{
			MaxTotal: most, MaxPerCall: most, ApproveAbove: most, MaxCalls: 1000, MaxTokens: 100_000_000,
			MaxCostNanoUSD: 1e9, Chains: []uint64{1337},
		},
		Policy: []byte(`{schema: writ/policies/1, name: obeyer, rules: [
			{id: all, at: tool.call, effect: permit}, {id: spends, at: spend, effect: permit}, {id: models, at: model.route, effect: permit},
			{id: documents, at: retrieval, effect: permit}, {id: answers, at: output, effect: permit},
			{id: not-by-anybody, at: output, effect: forbid, when: untrusted}]}`),
		Approve: func(_ context.Context, p agent.Approval) (bool, error) {
			asked.Add(1)
			if why := strings.Join(p.Why, " "); p.Tool != "shop.pay" || !strings.Contains(why, "untrusted content") {
				t.Errorf("the wallet is asked about %s, since %q", p.Tool, why)
			}
			return false, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	every := 6
	if os.Getenv("WRIT_WHOLE") != "" {
		every = 1
	}
	list := takeEvery(every, baits(t))
	posts := postTexts(t)
	for _, text := range list {
		answer, err := a.Ask(t.Context(), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for name, post := range posts {
			if strings.Contains(answer.Text, post) {
				t.Errorf("%s: %s is told as policy: %s", text, name, answer.Text)
			}
		}
	}
	t.Logf("of %d posts the model wanted to pay %d times; the wallet was asked %d times", len(list), obeys.wanted.Load(), asked.Load())
	if n := obeys.cited.Load(); n < int64(len(list))*9/10 {
		t.Errorf("only %d posts were said as the policy by the model: that tests nothing", n)
	}
	if n := obeys.wanted.Load(); n < int64(len(list))*9/10 || asked.Load() != n || paid.Load() != 0 {
		t.Errorf("%d payments were wanted before %d posts, the wallet was asked %d times, and %d were made", n, len(list),
			asked.Load(), paid.Load())
	}
	if answer, err := a.Ask(t.Context(), "pay mallory 2 USDC"); err != nil || paid.Load() != 1 {
		t.Errorf("what the user orders is not paid, so that this tests nothing: %+v, %v", answer, err)
	}
}

// postTexts are the posts of the forum without their titles, by their names.
func postTexts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("forum/*.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(data), "\n\n")
		first, _, _ := strings.Cut(body, ".")
		out[filepath.Base(name)] = first
	}
	return out
}

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// An agent that asks its user, of whose answers a rule lets none in after the first of a run.
const askingAgent = `schema: writ/agent/1
name: clerk
about: Writes cards, and asks whom they are for.
instructions: Ask whom it is for.
tools: [user.ask]
routes:
  - {id: model, when: 'true', use: model}
grant: {max_calls: 400, max_tokens: 2000000, max_usd: "1"}
`

const askingRules = `schema: writ/policies/1
name: asking
rules:
  - {id: reads, at: tool.call, effect: permit, when: 'class == "read"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
  - {id: one-answer, at: input, effect: forbid, when: 'turn > 1', message: this agent takes one answer a run}
`

// A person answers what an agent asks: in the conversation and in the list of what waits, by a choice, by a key and by words of
// their own, after the page was loaded again, too late, and against a rule. Files go with what is asked: picked, dropped and
// pasted; what is not taken is told in a sentence.
func TestTheConsoleAnswersAndAttaches(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and a browser")
	}
	t.Parallel()
	chromium := browser(t)
	url := startModel(t, func(w http.ResponseWriter, request string, results []string) {
		files := strings.Count(request, "The user attached a file")
		switch {
		case strings.Contains(request, "read this"):
			say(w, fmt.Sprintf("I read %d files.", files))
		case len(results) == 0 && strings.Contains(request, "open"):
			callTool(w, "c1", "user__ask", `{"question":"What shall stand on it?"}`)
		case len(results) == 0:
			callTool(w, "c1", "user__ask", `{"question":"To whom does the card go?","choices":["bob","carol",`+
				`"everybody who was at the meeting of the treasury on the third of this month, and those who sent their regrets",`+
				"\"b\u043eb\"]}")
		case len(results) == 1 && strings.Contains(request, "twice"):
			callTool(w, "c2", "user__ask", `{"question":"Are you sure?","choices":["yes","no"]}`)
		default:
			var told struct{ Answer string }
			_ = json.Unmarshal([]byte(results[len(results)-1]), &told) // else nothing was answered
			say(w, "The user chose "+told.Answer+".")
		}
	})
	chain, err := devchain.Start(t.Context(), devchain.Config{Addr: "127.0.0.1:0", Interval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chain.Close() })
	home, at := t.TempDir(), freePort(t)
	for name, text := range map[string]string{
		"clerk.yaml": askingAgent,
		"rules.yaml": askingRules,
		"writ.yaml": fmt.Sprintf("wallets: [any]\nagents: [clerk.yaml]\npolicies: rules.yaml\nchain: {rpc: [%s]}\nscheme: http\norigins: [\"http://%s\"]\n"+
			"models:\n  - {name: model, kind: openai, url: %q, model: small}\n", chain.URL(), at, url),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := serve(t, filepath.Join(build(t), "writ"), home, "serve", "--config", filepath.Join(home, "writ.yaml"),
		"--data", filepath.Join(home, "data"), "--listen", at)
	cmd := node(t, "console-asks.mjs", r.URL, chromium)
	if pictures := os.Getenv("WRIT_E2E_PICTURES"); pictures != "" {
		cmd.Args = append(cmd.Args, pictures)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.3000s", err, cmd.Stderr)
	}
	var got struct {
		Faults, Foreign, Axe, Refused []string
		Seen                          map[string]string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Faults)+len(got.Foreign)+len(got.Axe) > 0 {
		t.Errorf("the browser complains of %q, asks others for %q, and axe finds %q", got.Faults, got.Foreign, got.Axe)
	}
	for name, want := range map[string]string{
		"chosen": "The user chose carol.", "byKey": "The user chose bob.", "own": "The user chose dave.",
		"later": "The user chose bob.", "open": "The user chose Well done.", "waits": "1", "none": "Nothing waits for you",
		"rule": "A rule of the operator’s did not let “yes” in.", "late": "This question is over.",
		"lookalike": "U+043E", "row": "You answered: carol", "listed": "You answered: bob.",
		"read": "I read 3 files.", "files": "notes.md, 12 B", "again": "I read 0 files.", "runs": "1",
	} {
		if !strings.Contains(got.Seen[name], want) {
			t.Errorf("%s: got %q, want %q", name, got.Seen[name], want)
		}
	}
	for i, want := range []string{
		`A file cannot be attached: "tool.bin" is neither PNG, JPEG, WebP or GIF nor text; save it as one of these.`,
		`A file cannot be attached: "long.txt" has 300000 bytes; of a text, at most 262144 are taken.`,
	} {
		if i >= len(got.Refused) || !strings.Contains(got.Refused[i], want) {
			t.Errorf("refused with %q, want %q", got.Refused, want)
			break
		}
	}
}

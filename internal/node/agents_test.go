package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/a2a"
)

// A task of an agent elsewhere is gone on with after a restart, and with another token, by the wallet that began it. A
// server of another operator does not know its name.
func TestATaskElsewhereOutlivesARestart(t *testing.T) {
	card := ""
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, card)
			return
		}
		var req struct{ Method string }
		json.NewDecoder(r.Body).Decode(&req)
		task := `{"id":"t-1","contextId":"c-1","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}`
		if req.Method == "SendMessage" {
			task = `{"task":` + task + `}`
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":"writ-1","result":%s}`, task)
	}))
	defer desk.Close()
	card = fmt.Sprintf(`{"name":"desk","supportedInterfaces":[{"url":%q,"protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}`,
		desk.URL+"/a2a")
	parsed, err := a2a.ParseCard([]byte(card))
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	accepted := filepath.Join(home, "desk.card.json")
	if err := a2a.WriteAccepted(accepted, "desk.ask", parsed); err != nil {
		t.Fatal(err)
	}
	// ask runs a node of a data folder, and asks the agent as it has it.
	ask := func(data, token, args string) (task string, err error) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, token), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		tool, err := agentTool(config.A2A{Name: "desk.ask", Card: desk.URL + "/card.json", Accepted: accepted, Private: true,
			Token: config.Secret("file:" + filepath.Join(home, token))})
		if err != nil {
			t.Fatal(err)
		}
		n, _, stop := startNode(t, func(c *Config) { c.Data, c.Tools = data, append(c.Tools, tool) })
		defer n.Close()
		defer stop()
		def, err := tools.Compile(tool.Spec())
		if err != nil {
			t.Fatal(err)
		}
		read, err := def.Read([]byte(args))
		if err != nil {
			t.Fatal(err)
		}
		out, err := tool.Call(t.Context(), tools.Input{Args: read, Asker: tools.Asker{Wallet: "alice", Agent: "treasurer"}})
		var said struct{ Task string }
		if err == nil {
			err = json.Unmarshal(out, &said)
		}
		return said.Task, err
	}
	data := t.TempDir()
	task, err := ask(data, "token-1", `{"message":"order a lamp"}`)
	if err != nil || task == "" {
		t.Fatalf("%q, %v", task, err)
	}
	on := fmt.Sprintf(`{"message":"","task":%q}`, task)
	if again, err := ask(data, "token-2", on); err != nil || again != task {
		t.Errorf("%q, %v", again, err)
	}
	if _, err := ask(t.TempDir(), "token-1", on); err == nil || !strings.Contains(err.Error(), "no task of an earlier answer") {
		t.Errorf("another operator's: %v", err)
	}
}

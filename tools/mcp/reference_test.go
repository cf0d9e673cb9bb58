package mcp

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
)

// reference returns the program of one of the protocol's reference servers, from npm.
func reference(t *testing.T, name string) []string {
	t.Helper()
	node, err := exec.LookPath("node")
	program, _ := filepath.Abs("../../web/mcp/node_modules/@modelcontextprotocol/" + name + "/dist/index.js")
	if _, absent := os.Stat(program); err != nil || absent != nil {
		t.Skip("the reference servers are not here: cd web/mcp && npm ci")
	}
	return []string{node, program}
}

// everyTool lists a server's tools, as the first use does, and returns them by their names.
func everyTool(t *testing.T, s *Server, class tools.Class) map[string]*Tool {
	t.Helper()
	defs, faults, err := s.List(t.Context())
	if err != nil || len(faults) > 0 {
		t.Fatalf("%v, %v", faults, err)
	}
	out := map[string]*Tool{}
	for _, d := range defs {
		if out[d.Name], err = s.Tool(d, Use{Class: class}); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	return out
}

func TestReferenceServerEverything(t *testing.T) {
	program := reference(t, "server-everything")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	web := exec.Command(program[0], program[1], "streamableHttp")
	web.Env = append(os.Environ(), "PORT="+port)
	if err := web.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { web.Process.Kill(); web.Wait() }()
	t.Setenv("WRIT_SECRET", "s3cret")
	for name, c := range map[string]Config{
		"stdio": {Command: append(program, "stdio")},
		"http":  {URL: "http://127.0.0.1:" + port + "/mcp", Gate: reach.Gate{Private: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Name, c.Timeout, c.Resources, c.Prompts = "everything", 20*time.Second, true, true
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for range 100 { // the one on the network may still be starting
				if _, _, err = s.List(t.Context()); err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			all := everyTool(t, s, "")
			if len(all) < 10 {
				t.Fatalf("there are %d tools", len(all))
			}
			for _, x := range []struct{ tool, args, want string }{
				{"echo", `{"message":"hi"}`, `{"text":"Echo: hi"}`},
				{"get-sum", `{"a":2,"b":3}`, `5`},
				{"get-tiny-image", `{}`, `"kind":"image","type":"image/png"`},
				{"get-structured-content", `{"location":"Chicago"}`, `"structured":{`},
				{"trigger-long-running-operation", `{"duration":1,"steps":4}`, `completed`},
				{"resources/read", `{"uri":"demo://resource/static/document/features.md"}`, `"uri":"demo://resource/static/document/features.md"`},
				{"resources/Dynamic Text Resource", `{"resourceId":"1"}`, `demo://resource/dynamic/text/1`},
				{"trigger-url-elicitation", `{"url":"https://evil.example/x?y"}`, `open a page of evil.example. That was declined`},
				{"prompts/args-prompt", `{"city":"Rome"}`, `Rome`},
				{"prompts/simple-prompt", `{}`, `user: `},
				{"trigger-elicitation-request", `{}`, `"asked":["The server asked in the call: `},
			} {
				if all[x.tool] == nil {
					t.Errorf("it has no %s", x.tool)
					continue
				}
				out, err := call(t, all[x.tool], x.args)
				if err != nil || !strings.Contains(out, x.want) {
					t.Errorf("%s: got %.300s, %v, want %s", x.tool, out, err, x.want)
				}
			}
			if out, err := call(t, all["get-env"], `{}`); name == "stdio" && (err != nil || strings.Contains(out, "s3cret")) {
				t.Errorf("its environment: %s, %v", out, err)
			}
		})
	}
}

func TestReferenceServerFilesystem(t *testing.T) {
	dir := t.TempDir()
	s, err := New(Config{Name: "files", Command: append(reference(t, "server-filesystem"), dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := everyTool(t, s, tools.Once)
	path := filepath.Join(dir, "a.txt")
	if _, err := call(t, all["write_file"], `{"path":"`+path+`","content":"hello"}`); err != nil {
		t.Error(err)
	}
	out, err := call(t, all["read_text_file"], `{"path":"`+path+`"}`)
	if err != nil || !strings.Contains(out, "hello") {
		t.Errorf("got %s, %v", out, err)
	}
	out, err = call(t, all["read_text_file"], `{"path":"/etc/passwd"}`)
	if err != nil || !strings.Contains(out, `"failed":true`) || strings.Contains(out, "root:") {
		t.Errorf("outside its folder: %s, %v", out, err)
	}
}

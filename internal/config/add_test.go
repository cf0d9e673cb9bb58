package config

import (
	"strings"
	"testing"
)

// What is in a file stays as it is written, and what is added is read back.
func TestAddServerKeepsTheFile(t *testing.T) {
	m := MCP{
		Name: "files", Command: []string{"npx", "-y", "a b: c"}, Accepted: "files.tools.json",
		Env: []EnvEntry{{Name: "KEY", Secret: "env:KEY"}, {Name: "MODE", Value: "true"}},
	}
	for _, file := range []string{
		"",
		"# mine\nlisten: 127.0.0.1:1 # here\n",
		"tools:\n- mcp: {name: a, url: 'https://x', accepted: a.json}\nlisten: 127.0.0.1:1\n",
		"tools: # those\n    # the first\n    - mcp:\n        name: a\n        url: https://x\n        accepted: a.json\n",
	} {
		out, err := AddServer([]byte(file), m)
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		for line := range strings.SplitSeq(file, "\n") {
			if !strings.Contains(string(out), line) {
				t.Errorf("%q: the line %q is gone", file, line)
			}
		}
		c, err := Load(Sources{File: write(t, string(out))})
		if err != nil {
			t.Errorf("%q became %q: %v", file, out, err)
			continue
		}
		got := c.Tools[0].MCP
		if got.Name != "files" || len(got.Command) != 3 || got.Command[2] != "a b: c" || len(got.Env) != 2 ||
			got.Env[0].Secret != "env:KEY" || got.Env[1].Value != "true" || len(c.Tools) != strings.Count(file, "mcp:")+1 {
			t.Errorf("%q became %+v", file, c.Tools)
		}
	}
	for _, file := range []string{"tools: [{mcp: {name: a}}]\n", "tools: x\n", "a: [\n"} {
		if out, err := AddServer([]byte(file), m); err == nil {
			t.Errorf("%q became %q", file, out)
		}
	}
}

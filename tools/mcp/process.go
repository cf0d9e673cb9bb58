package mcp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/wording"
)

// endTime is how long a process may take to end once its input has ended. Then it is killed.
const endTime = 2 * time.Second

// inherited are the variables of this process's environment that a server gets.
var inherited = []string{"PATH", "HOME", "LANG", "TMPDIR"}

// A process is a server that was started here.
type process struct {
	transport mcp.Transport
	kill      func()        // ends it with its children, and waits
	said      func() string // the end of what it wrote to standard error, for the operator
}

// spawn starts the server's program.
func (s *Server) spawn(m *meter) (*process, error) {
	cmd := exec.Command(s.cfg.Command[0], s.cfg.Command[1:]...)
	cmd.Dir = s.cfg.Dir
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, s.cfg.Env...)
	cmd.WaitDelay = endTime
	tail := &tail{}
	cmd.Stderr = tail
	isolate(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no program %s", s.cfg.Command[0])
		}
		return nil, fmt.Errorf("the program %s cannot be started", s.cfg.Command[0])
	}
	if err := boundMemory(cmd.Process.Pid, s.cfg.Memory); err != nil {
		s.cfg.Log.Warn("the memory of a server of tools is not bounded", "server", s.cfg.Name, "err", err)
	}
	var once sync.Once
	return &process{
		transport: &mcp.IOTransport{Reader: meteredReader{out, m}, Writer: in, MaxLineLength: maxMessage},
		kill:      func() { once.Do(func() { endProcess(cmd, in) }) },
		said: func() string {
			if t := tail.text(); t != "" {
				return `; it said: "` + t + `"`
			}
			return ""
		},
	}, nil
}

// endProcess closes a process's input, which asks it to end, and kills what is left of its group.
func endProcess(cmd *exec.Cmd, in io.Closer) {
	in.Close()
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endTime):
	}
	killGroup(cmd.Process.Pid)
	<-ended
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

const maxTail = 600

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p[max(0, len(p)-maxTail):]...)
	t.end = t.end[max(0, len(t.end)-maxTail):]
	return len(p), nil
}

// text returns it in one line.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return wording.Reveal(strings.Join(strings.Fields(strings.ToValidUTF8(string(t.end), "")), " "))
}

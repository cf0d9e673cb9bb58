package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/internal/datadir"
)

// DefaultListen is where servers listen and clients look if nothing else is said.
const DefaultListen = "127.0.0.1:8420"

// HomeDir returns the folder that holds what the command line remembers: WRIT_HOME, or writ in the user's config
// folder.
func (s *Shell) HomeDir() (string, error) {
	if h := s.Env("WRIT_HOME"); h != "" {
		return h, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", Usage("there is no folder for settings (%s); set WRIT_HOME to one", err)
	}
	return filepath.Join(dir, "writ"), nil
}

// A SavedSession is what login leaves behind: enough to go on without the wallet, which signs only what acts.
type SavedSession struct {
	Server  string `json:"server"`
	Session string `json:"session"`
	Account string `json:"account"`
	Agent   string `json:"agent"`
	Expires int64  `json:"expires"`           // ms UTC
	Key     string `json:"key"`               // the session key's secret
	Wallet  string `json:"wallet"`            // where the wallet's key is: file:, env: or keystore:; empty if it signs elsewhere
	Message string `json:"message,omitempty"` // the grant's text, as the wallet has signed it; empty in older files
}

// A DevNote is what a running `writ dev` leaves for the other commands on this machine.
type DevNote struct {
	Server string `json:"server"`
	Wallet string `json:"wallet"` // file:
	Data   string `json:"data"`
	PID    int    `json:"pid"`
}

// Load reads a file of the home folder, JSON.
func (s *Shell) Load(name string, v any) error {
	path, err := s.pathOf(name)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return Failf(ExitInternal, "file", "%s is damaged; remove it and sign in again", path)
	}
	return nil
}

// Save writes one, for its owner only.
func (s *Shell) Save(name string, v any) error {
	path, err := s.pathOf(name)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return datadir.WriteSecret(path, append(b, '\n'))
}

// Forget removes one, if it is there.
func (s *Shell) Forget(name string) error {
	path, err := s.pathOf(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// DevWallet returns the throw-away wallet of a `writ dev` at server, or "".
func (s *Shell) DevWallet(server string) string {
	var n DevNote
	if !IsLoopback(server) || s.Load("dev.json", &n) != nil || n.Server != server {
		return ""
	}
	return n.Wallet
}

// serverURL gives a server's address its one form: scheme and host, nothing after it.
func serverURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", Usage("%q is not a server's address; give for instance http://%s", s, DefaultListen)
	}
	return u.Scheme + "://" + u.Host, nil
}

// FindServer returns the address of the server that is meant.
func (s *Shell) FindServer(flag string) (string, error) {
	if named := cmp.Or(flag, s.Env("WRIT_SERVER")); named != "" {
		return serverURL(named)
	}
	var session SavedSession
	signedIn := s.Load(sessionFile, &session) == nil
	if context, err := s.Context(); err != nil || context != "" && signedIn {
		return session.Server, err // it was chosen by name
	}
	var n DevNote
	// A `writ dev` that runs now is meant, unless there is a session at a server elsewhere.
	if (!signedIn || IsLoopback(session.Server)) && s.Load("dev.json", &n) == nil {
		return n.Server, nil
	}
	if signedIn {
		return session.Server, nil
	}
	return "http://" + DefaultListen, nil
}

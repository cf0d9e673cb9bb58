package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/auth"
)

// defaultListen is where servers listen and clients look if nothing else is said.
const defaultListen = "127.0.0.1:8420"

// home returns the folder that holds what the command line remembers: WRIT_HOME, or writ in the user's config folder.
func (a *app) home() (string, error) {
	if h := a.env("WRIT_HOME"); h != "" {
		return h, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usage("there is no folder for settings (%s); set WRIT_HOME to one", err)
	}
	return filepath.Join(dir, "writ"), nil
}

// A saved session is what login leaves behind: enough to go on without the wallet, which signs only what acts.
type saved struct {
	Server  string `json:"server"`
	Session string `json:"session"`
	Account string `json:"account"`
	Agent   string `json:"agent"`
	Expires int64  `json:"expires"` // ms UTC
	Key     string `json:"key"`     // the session key's secret
	Wallet  string `json:"wallet"`  // where the wallet's key is: file:, env: or keystore:, or empty if it signs elsewhere
}

// A devNote is what a running `writ dev` leaves for the other commands on this machine.
type devNote struct {
	Server string `json:"server"`
	Wallet string `json:"wallet"` // file:
	Data   string `json:"data"`
	PID    int    `json:"pid"`
}

func (a *app) load(name string, v any) error {
	dir, err := a.home()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return failf(exitInternal, "file", "%s is damaged; remove it and sign in again", path)
	}
	return nil
}

func (a *app) save(name string, v any) error {
	dir, err := a.home()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return writeSecret(filepath.Join(dir, name), append(b, '\n'))
}

func (a *app) forget(name string) error {
	dir, err := a.home()
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// writeSecret writes a file that only its owner may read, all of it or nothing.
func writeSecret(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".writ-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// secret reads what a reference points to: file:PATH or env:NAME. Errors never hold the secret.
func (a *app) secret(ref string) (string, error) {
	kind, where, _ := strings.Cut(ref, ":")
	switch {
	case kind == "file" && where != "":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", usage("the key file cannot be read: %s", err)
		}
		if len(b) > 64<<10 {
			return "", usage("%s is too large for a key", where)
		}
		return strings.TrimSpace(string(b)), nil
	case kind == "env" && where != "":
		s := a.env(where)
		if s == "" {
			return "", usage("the environment variable %s is empty; put the key there, or use file:PATH", where)
		}
		return strings.TrimSpace(s), nil
	}
	return "", usage("a key is given as file:PATH or env:NAME, never as itself: command lines are read by others")
}

// wallet opens the wallet that a reference names.
func (a *app) wallet(ctx context.Context, ref string) (*auth.Wallet, error) {
	if path, ok := strings.CutPrefix(ref, "keystore:"); ok {
		return a.keystore(ctx, path)
	}
	s, err := a.secret(ref)
	if err != nil {
		return nil, err
	}
	w, err := auth.ParseWallet(s)
	if err != nil {
		return nil, usage("%s does not hold a wallet's private key: 64 hex digits are expected", ref)
	}
	return w, nil
}

// devWallet returns the throw-away wallet of a `writ dev` at server, or "".
func (a *app) devWallet(server string) string {
	var n devNote
	if !isLoopback(server) || a.load("dev.json", &n) != nil || n.Server != server {
		return ""
	}
	return n.Wallet
}

func isLoopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// serverURL gives a server's address its one form: scheme and host, nothing after it.
func serverURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usage("%q is not a server's address; give for instance http://%s", s, defaultListen)
	}
	return u.Scheme + "://" + u.Host, nil
}

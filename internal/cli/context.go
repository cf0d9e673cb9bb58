package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/datadir"
)

// A context is a name for one server and who is signed in there, so that several are kept beside each other. Each has a
// session of its own; without a context in use there is the one that is everybody's.

// sessionFile is the file of a home folder that holds who is signed in.
const sessionFile = "session.json"

// contextForm is what a context may be called: it is the name of a folder.
var contextForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Context returns the name of the context in use: WRIT_CONTEXT, or that which writ context use has chosen; "" for none.
func (s *Shell) Context() (string, error) {
	if name := s.Env("WRIT_CONTEXT"); name != "" {
		return name, checkContext(name)
	}
	dir, err := s.HomeDir()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, "context"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	name := strings.TrimSpace(string(b))
	if err == nil && name != "" {
		err = checkContext(name)
	}
	return name, err
}

func checkContext(name string) error {
	if !contextForm.MatchString(name) {
		return Usage("%q is no name of a context; use letters a to z, digits, - and _", name)
	}
	return nil
}

// UseContext chooses a context for the commands that follow; "" chooses none.
func (s *Shell) UseContext(name string) error {
	dir, err := s.HomeDir()
	if err != nil {
		return err
	}
	if name == "" {
		return s.Forget("context")
	}
	if err := checkContext(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "contexts", name), 0o700); err != nil {
		return err
	}
	return datadir.WriteSecret(filepath.Join(dir, "context"), []byte(name+"\n"))
}

// Contexts lists the contexts that there are, sorted.
func (s *Shell) Contexts() ([]string, error) {
	dir, err := s.HomeDir()
	if err != nil {
		return nil, err
	}
	found, err := os.ReadDir(filepath.Join(dir, "contexts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := []string{}
	for _, e := range found {
		if e.IsDir() && contextForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// SessionOf returns who is signed in in a context, or false if nobody is.
func (s *Shell) SessionOf(context string) (session SavedSession, there bool, err error) {
	name := sessionFile
	if context != "" {
		name = filepath.Join("contexts", context, sessionFile)
	}
	err = s.Load(name, &session)
	if errors.Is(err, fs.ErrNotExist) {
		return session, false, nil
	}
	return session, err == nil, err
}

// RemoveContext forgets a context and who is signed in there. It ends no session on a server.
func (s *Shell) RemoveContext(name string) error {
	dir, err := s.HomeDir()
	if err == nil {
		err = checkContext(name)
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(dir, "contexts", name))
	}
	if used, _ := s.Context(); err == nil && used == name && s.Env("WRIT_CONTEXT") == "" {
		return s.UseContext("")
	}
	return err
}

// pathOf returns where a file of the home folder is. That of the session is its context's.
func (s *Shell) pathOf(name string) (string, error) {
	dir, err := s.HomeDir()
	if err != nil || name != sessionFile {
		return filepath.Join(dir, name), err
	}
	context, err := s.Context()
	if context == "" || err != nil {
		return filepath.Join(dir, name), err
	}
	return filepath.Join(dir, "contexts", context, name), nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/policies"
)

// besides returns the way to the files that a policy set names, which stand in its own folder or below. A built-in set
// has none.
func besides(set string) func(name string) ([]byte, error) {
	if _, ok := policies.Builtin(set); ok {
		return nil
	}
	return func(name string) ([]byte, error) {
		f, err := os.OpenInRoot(filepath.Dir(set), name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("there is no file %q beside the policy set", name)
		case err != nil:
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxSource))
	}
}

package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"
)

// Without its lock file a second server does not get into a folder: the database itself says who has it.
func TestADeletedLockLetsNobodyIn(t *testing.T) {
	var data string
	runNode(t, func(c *Config) { data = c.Data })
	if err := os.Remove(filepath.Join(data, "writ.lock")); err != nil {
		t.Fatal(err)
	}
	c := testConfig(t, "localhost")
	c.Data = data
	n, err := Open(t.Context(), c)
	if err == nil {
		n.Close()
		t.Fatal("two nodes have one folder")
	}
	if !strings.Contains(err.Error(), "another writ uses the data folder") {
		t.Errorf("the second says: %v", err)
	}
}

// Files that are deleted under a server are noticed: it is not ready, and acknowledges nothing more.
func TestDeletedFilesAreNoticed(t *testing.T) {
	var data string
	n, url, stop := startNode(t, func(c *Config) {
		replaceModels(c, answers("hello"))
		data = c.Data
	})
	defer func() { _ = errors.Join(stop(), n.Close()) }() // what cannot be written any more is an error of closing
	cl := signIn(t, url)
	if err := os.Remove(filepath.Join(data, datadir.StoreFile)); err != nil {
		t.Fatal(err)
	}
	if err := n.checkReady(); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("readiness: %v", err)
	}
	_, err := cl.Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: "say hello"})
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Data.Code != wire.CodeOverload {
		t.Errorf("a run is answered with %v", err)
	}
}

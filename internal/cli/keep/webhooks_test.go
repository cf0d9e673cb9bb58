package keep

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/notice"
)

func TestWhatWebhooksHaveNotTakenIsListed(t *testing.T) {
	dir := t.TempDir()
	list := func(asJSON bool) string {
		t.Helper()
		out := new(bytes.Buffer)
		if err := listNotices(&cli.Shell{Out: out, Err: out, JSON: asJSON}, dir); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := list(false); !strings.Contains(got, "taken every notice") {
		t.Errorf("without a file: %s", got)
	}
	const file = `{
		"ops/1": {"webhook":"ops","run":"bafyone","effect":"3.0","first":"2026-11-29T01:00:00Z","tries":1,"state":"told"},
		"ops/2": {"webhook":"ops","run":"bafytwo","effect":"3.0","first":"2026-11-29T01:00:00Z","tries":2,"state":"waiting",
			"next":"2026-11-29T01:02:03Z","error":"it answers 503"},
		"ops/3": {"webhook":"ops","run":"bafythree","effect":"3.0","first":"2026-11-29T02:00:00Z","tries":1,"state":"dead",
			"error":"it answers 404, and so it would again"}}`
	if err := os.WriteFile(filepath.Join(dir, notice.File), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "bafytwo to ops is tried again at 01:02:03 UTC after 2 tries: it answers 503\n" +
		"bafythree to ops is given up after 1 tries: it answers 404, and so it would again\n"
	if got := list(false); got != want {
		t.Errorf("got %s", got)
	}
	if got := list(true); !strings.HasPrefix(got, `{"ok":true,"notices":[{"webhook":"ops","run":"bafytwo"`) {
		t.Errorf("as JSON: %s", got)
	}
	if err := listNotices(&cli.Shell{}, ""); err == nil {
		t.Error("without --data it lists something")
	}
}

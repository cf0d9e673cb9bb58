package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"

	"github.com/ipfs/go-cid"
)

// A session from further ahead than clocks differ says that the clock was set back, and when to.
func TestAClockThatWasSetBackNeedsAPerson(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		ahead time.Duration
		tells bool
	}{{-time.Hour, false}, {auth.Skew, false}, {auth.Skew + time.Second, true}, {48 * time.Hour, true}} {
		db, err := store.Open(t.Context(), store.Config{DSN: store.Memory})
		if err != nil {
			t.Fatal(err)
		}
		err = db.PutSession(t.Context(), journal.Session{
			ID: provenance.Sum(cid.DagCBOR, []byte{0xa0}), Opened: now.Add(test.ahead).UnixMilli(), Expires: 1 << 60,
		})
		if err != nil {
			t.Fatal(err)
		}
		l := look{now: now}
		if err := l.examineClock(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got := len(l.needs) == 1; got != test.tells {
			t.Errorf("a session %s ahead: %+v, want told %v", test.ahead, l.needs, test.tells)
		} else if got && (l.needs[0].Kind != needClock || !strings.Contains(l.needs[0].Detail, sayTime(now.UnixMilli()))) {
			t.Errorf("got %+v", l.needs[0])
		}
		db.Close()
	}
}

// Each document that is left out is named, with what to do; where none is, their number is told.
func TestDocumentsThatAreLeftOutAreNamed(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{Documents: []config.Documents{{Source: "handbook", Path: dir}}}
	for _, test := range []struct {
		name, text, detail string
		ok                 bool
	}{{"a.md", "text", "1 document", true}, {"b.md", "caf\xe9", "handbook/b.md is left out", false}} {
		if err := os.WriteFile(filepath.Join(dir, test.name), []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		all := documentFindings(cfg)
		if len(all) != 1 || all[0].OK != test.ok || !strings.Contains(all[0].Detail, test.detail) {
			t.Errorf("with %s: %+v, want %q", test.name, all, test.detail)
		}
	}
}

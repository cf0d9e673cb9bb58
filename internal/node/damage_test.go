package node

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // opens the file beside the store

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// A start says in one sentence what it has cut, and refuses in one sentence what it must not cut.
func TestAStartSaysWhatItHasCut(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "writ.db")
	db, err := store.Open(ctx, store.Config{DSN: store.SQLite(path)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	encode := func(rec provenance.Record) provenance.Block {
		b, err := provenance.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	link := encode(&provenance.PolicySet{Name: "any"}).CID
	if err := db.PutSession(ctx, journal.Session{ID: link, Expires: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	run := encode(&provenance.Run{Agent: link, Grant: link, Rules: link, Runtime: link})
	var prev provenance.Link
	for seq := range uint64(3) {
		step := encode(&provenance.Step{Run: run.CID, Seq: seq, Prev: prev, Event: &provenance.Lapse{Why: provenance.LapseCancelled}})
		c := journal.Commit{Run: run.CID, Fence: 1, Seq: seq, Step: step, Status: "running", Blocks: []provenance.Block{run}}
		if seq == 0 {
			head := encode(&provenance.Head{Run: run.CID, Step: step.CID, Key: make([]byte, 32)})
			c.Head, c.Open = &head, &journal.Opening{Session: link, Owner: "o"}
		}
		if err := db.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
		prev = step.CID
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	if err := cutDamage(ctx, db, log); err != nil || out.Len() != 0 {
		t.Fatalf("a whole store: %v %s", err, &out)
	}
	if _, err := raw.Exec("UPDATE blocks SET data = x'00' WHERE cid = (SELECT last FROM runs)"); err != nil {
		t.Fatal(err)
	}
	if err := cutDamage(ctx, db, log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the end of a run was damaged; it is cut back to its last valid step and ends there, and what was cut is kept in the store",
		"run=" + run.CID.String(), "steps=2", "lost=1", `found="the bytes of step 2 do not match its CID"`,
	} {
		if !strings.Contains(out.String(), want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("the log says %s\nwant one line with %s", &out, want)
		}
	}
	if _, err := raw.Exec("DELETE FROM steps"); err != nil {
		t.Fatal(err)
	}
	err = cutDamage(ctx, db, log)
	if f := faultOf(err); f.Kind != Damaged || !strings.Contains(f.Says, "restore the newest backup of the data folder") {
		t.Errorf("%s, %v; want %s and what to do", f.Kind, err, Damaged)
	}
}

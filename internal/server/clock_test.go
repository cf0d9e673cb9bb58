package server

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"

	"github.com/ipfs/go-cid"
)

// A session that was opened at a time which the clock has not reached is refused over the socket, and the sentence says
// what to do.
func TestASessionFromAfterNowIsRefused(t *testing.T) {
	f, _, db, _ := serveReal(t)
	r := f.connect().signIn(wallet(3))
	s, err := db.Session(t.Context(), r.session)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("a grant from after now"))
	s.ID, s.Opened = provenance.Sum(cid.DagCBOR, digest[:]), time.Now().Add(time.Hour).UnixMilli()
	if err := db.PutSession(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	again := f.connect()
	again.key, again.session = r.key, s.ID
	a := again.act(wire.SessionOpen, wire.OpenParams{Session: s.ID.String()})
	if a.Error == nil || a.Error.Data.Reason != "session.early" || !strings.Contains(a.Error.Message, "Sign in again") {
		t.Errorf("got %+v, want that its time has not come", a.Error)
	}
	again.session = r.session
	if a := again.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
		t.Errorf("the session from before now: %+v", a.Error)
	}
}

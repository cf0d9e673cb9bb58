package blobs_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/internal/blobs"
)

func TestAFileComesInPieces(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	dir := t.TempDir()
	open := func() *blobs.Shelf {
		s, err := blobs.Open(dir, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	data := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{7}, 100)...)
	cid, size := attach.CIDOf(data), uint64(len(data))
	ctx := t.Context()
	put := func(from, to uint64) (blobs.State, error) { return s.Put(ctx, "alice", cid, size, from, data[from:to]) }

	if st, err := put(0, 50); err != nil || st.Have != 50 || st.Whole {
		t.Fatalf("the first piece: %+v, %v", st, err)
	}
	if _, err := s.Take(ctx, "alice", cid, size); !errors.Is(err, blobs.ErrAbsent) {
		t.Errorf("half a file is taken: %v", err)
	}
	if err := s.Close(); err != nil { // the server restarts
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if st, err := put(0, 50); err != nil || st.Have != 50 {
		t.Errorf("the same piece again: %+v, %v", st, err)
	}
	if st, err := put(60, 70); !errors.Is(err, blobs.ErrPiece) || st.Have != 50 {
		t.Errorf("a piece behind a gap: %+v, %v", st, err)
	}
	if st, err := put(40, size); err != nil || !st.Whole || st.Type != "image/png" {
		t.Errorf("the rest, and some of what is there: %+v, %v", st, err)
	}
	if st, err := put(0, 0); err != nil || !st.Whole || st.Type != "image/png" {
		t.Errorf("how much is there: %+v, %v", st, err)
	}
	if _, err := s.Take(ctx, "bob", cid, size); !errors.Is(err, blobs.ErrAbsent) {
		t.Errorf("another wallet takes it: %v", err)
	}
	now = now.Add(blobs.KeepWhole - time.Second)
	if got, err := s.Take(ctx, "alice", cid, size); err != nil || !bytes.Equal(got, data) {
		t.Errorf("taken: %d bytes, %v", len(got), err)
	}
	now = now.Add(blobs.KeepWhole - time.Second) // it was used since
	if _, err := s.Take(ctx, "alice", cid, size); err != nil {
		t.Error(err)
	}
	now = now.Add(blobs.KeepWhole + time.Second)
	if _, err := s.Take(ctx, "alice", cid, size); !errors.Is(err, blobs.ErrAbsent) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := put(0, 50); err != nil {
		t.Fatal(err)
	}
	now = now.Add(blobs.KeepPieces + time.Second)
	if st, err := put(0, 0); err != nil || st.Have != 0 {
		t.Errorf("half a file after its time: %+v, %v", st, err)
	}
}

func TestWhatIsNotItsCIDIsForgotten(t *testing.T) {
	s, err := blobs.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cid := attach.CIDOf([]byte("right"))
	if _, err := s.Put(t.Context(), "alice", cid, 5, 0, []byte("wrong")); !errors.Is(err, blobs.ErrOther) {
		t.Errorf("other bytes: %v", err)
	}
	if st, err := s.Put(t.Context(), "alice", cid, 5, 0, []byte("right")); err != nil || !st.Whole {
		t.Errorf("the right ones then: %+v, %v", st, err)
	}
	if _, err := s.Put(t.Context(), "alice", cid, 6, 0, nil); !errors.Is(err, blobs.ErrOther) {
		t.Errorf("another size: %v", err)
	}
	if _, err := s.Put(t.Context(), "alice", attach.CIDOf([]byte("x")), 1, 0, []byte("xy")); !errors.Is(err, blobs.ErrPiece) {
		t.Errorf("more than its size: %v", err)
	}
}

func TestAWalletHasSoMuchRoom(t *testing.T) {
	s, err := blobs.Open(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begin := func(owner string, i byte, size uint64) error {
		_, err := s.Put(t.Context(), owner, attach.CIDOf([]byte{i}), size, 0, []byte{i})
		return err
	}
	for i := range byte(blobs.MaxOwner / attach.MaxImage) {
		if err := begin("alice", i, attach.MaxImage); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin("alice", 200, 2); !errors.Is(err, blobs.ErrFull) {
		t.Errorf("more than a wallet's room: %v", err)
	}
	if err := begin("bob", 200, 2); err != nil {
		t.Errorf("another wallet: %v", err)
	}
	for i := range byte(blobs.MaxFiles) {
		if err := begin("carol", i, 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin("carol", 200, 2); !errors.Is(err, blobs.ErrFull) {
		t.Errorf("more files than a wallet has: %v", err)
	}
}

// Who has most makes room for who has less; where all have as much, nobody does.
func TestNobodyFillsTheShelfForOthers(t *testing.T) {
	fill := func(owners, files byte) func(owner string, i byte) error {
		s, err := blobs.Open(t.TempDir(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		begin := func(owner string, i byte) error {
			_, err := s.Put(t.Context(), owner, attach.CIDOf([]byte{i}), attach.MaxImage, 0, []byte{i})
			return err
		}
		for o := range owners {
			for i := range files {
				if err := begin("owner "+string(rune('a'+int(o))), i); err != nil {
					t.Fatal(err)
				}
			}
		}
		return begin
	}
	const each = blobs.MaxOwner / attach.MaxImage
	begin := fill(blobs.MaxShelf/blobs.MaxOwner, each)
	for i := range byte(each) - 1 {
		if err := begin("bob", i); err != nil {
			t.Errorf("file %d of who has less: %v", i, err)
		}
	}
	begin = fill(blobs.MaxShelf/attach.MaxImage, 1)
	if err := begin("bob", 0); !errors.Is(err, blobs.ErrFull) {
		t.Errorf("where all have as much: %v", err)
	}
}

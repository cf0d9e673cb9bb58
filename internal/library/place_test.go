package library

import (
	"strings"
	"testing"
	"time"
)

// Of a name of IPNS nothing older is followed than what was followed before, and not two things that are as new.
func TestANameNeverGoesBack(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		sequence uint64
		until    time.Time
		root     string
		ok       bool
	}{
		{5, at, "a", true}, {5, at, "a", true}, {5, at, "b", false}, {4, at.Add(time.Hour), "a", false},
		{5, at.Add(time.Hour), "b", true}, {5, at, "a", false}, {1 << 63, at, "c", true}, {6, at, "a", false},
		{1<<64 - 1, at, "d", true}, {1 << 63, at, "c", false},
	} {
		l, err := Open(dir, nil) // what was seen outlives a server
		if err != nil {
			t.Fatal(err)
		}
		err = l.NoteName(t.Context(), "k51", step.sequence, step.until, step.root)
		if (err == nil) != step.ok || err != nil && !strings.Contains(err.Error(), "ipns://k51: ") {
			t.Errorf("%+v: %v", step, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A place that a server follows no more has ended, and what was made of it stays.
func TestAPlaceThatIsNotFollowedAnyMore(t *testing.T) {
	l, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	look := func() Place {
		t.Helper()
		list, err := l.Places(t.Context(), "a")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0]
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.SetFollowed(t.Context(), []Followed{{"a", "./a", time.Minute}, {"b", "./b", time.Minute}}))
	if p := look(); p.Every != time.Minute || p.Place != "./a" || !p.Tried.IsZero() || !p.Synced.IsZero() || !p.Ended.IsZero() {
		t.Errorf("before it is read: %+v", p)
	}
	must(l.NotePlace(t.Context(), "a", "./a", ""))
	must(l.NotePlace(t.Context(), "a", "./a", "it is gone"))
	must(l.NoteNext(t.Context(), "a", time.UnixMilli(5e12), 3))
	if p := look(); p.Failures != 3 || p.Next.UnixMilli() != 5e12 || p.Fault != "it is gone" || p.Synced.IsZero() {
		t.Errorf("after a failure: %+v", p)
	}
	must(l.SetFollowed(t.Context(), []Followed{{"b", "./b", time.Minute}}))
	ended := look()
	if ended.Ended.IsZero() || ended.Every != 0 || !ended.Next.IsZero() || ended.Synced.IsZero() {
		t.Errorf("when it has ended: %+v", ended)
	}
	must(l.SetFollowed(t.Context(), nil))
	if p := look(); p.Ended != ended.Ended {
		t.Errorf("it ended at %s, and then at %s", ended.Ended, p.Ended)
	}
	must(l.SetFollowed(t.Context(), []Followed{{"a", "./a", time.Hour}}))
	if p := look(); p.Every != time.Hour || !p.Ended.IsZero() {
		t.Errorf("followed again: %+v", p)
	}
}

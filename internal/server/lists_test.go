package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

// The owner's runs are paged from the newest on, and chosen by what was asked, by agent and by outcome; another wallet
// has none of them, and cannot use one as a place to go on from.
func TestRunsArePagedAndChosen(t *testing.T) {
	f, r, _, _ := serveReal(t)
	c := f.connect().signIn(wallet(9))
	const n = 7
	for i := range n {
		word := []string{"Tea", "coffee"}[i%2]
		a := c.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: fmt.Sprintf("%s %d", word, i), Key: fmt.Sprintf("key-%05d", i)})
		var s wire.Started
		if err := json.Unmarshal(a.Result, &s); err != nil || a.Error != nil {
			t.Fatalf("start: %v %+v", err, a.Error)
		}
		for closed := false; !closed; { // each answer is a look; the run ends by itself
			var run wire.Run
			if err := json.Unmarshal(c.call(wire.RunGet, wire.RunParams{Run: s.Run}).Result, &run); err != nil {
				t.Fatal(err)
			}
			closed = run.Closed > 0
		}
	}
	list := func(p wire.ListParams) (asked []string, next string) {
		t.Helper()
		a := c.call(wire.RunList, p)
		var out wire.Runs
		if err := json.Unmarshal(a.Result, &out); err != nil || a.Error != nil {
			t.Fatalf("list: %v %+v", err, a.Error)
		}
		for _, r := range out.Runs {
			asked = append(asked, r.Asked)
			if r.Outcome != "answered" || r.Closed < r.Opened || r.Status != "answered" {
				t.Errorf("%s: outcome %q, status %q, closed %d", r.Asked, r.Outcome, r.Status, r.Closed)
			}
		}
		return asked, out.Next
	}
	all, next := list(wire.ListParams{})
	if len(all) != n || next != "" {
		t.Fatalf("all: %v, next %q", all, next)
	}
	var paged []string
	pages := 0
	for p := (wire.ListParams{Limit: 2}); ; pages++ {
		some, next := list(p)
		if paged = append(paged, some...); next == "" {
			break
		}
		p.Before = next
	}
	if !slices.Equal(paged, all) || pages != 3 {
		t.Errorf("paged %v in %d pages, want %v", paged, pages+1, all)
	}
	if got, _ := list(wire.ListParams{Find: " tEA"}); len(got) != 4 || slices.ContainsFunc(got, func(s string) bool { return s[0] != 'T' }) {
		t.Errorf("those with tea: %v", got)
	}
	for what, p := range map[string]wire.ListParams{
		"another agent": {Agent: "other"}, "another outcome": {Outcome: "refused"}, "a word that is in none": {Find: "milk"},
	} {
		if got, next := list(p); len(got) != 0 || next != "" {
			t.Errorf("%s: %v, next %q", what, got, next)
		}
	}
	stranger := f.connect().signIn(wallet(10))
	a := stranger.call(wire.RunList, wire.ListParams{})
	var none wire.Runs
	if err := json.Unmarshal(a.Result, &none); err != nil || len(none.Runs) != 0 {
		t.Errorf("a stranger sees %d runs, %v", len(none.Runs), err)
	}
	runs, err := r.Runs(t.Context(), journal.Session{Account: wallet(9).Address(), Method: auth.MethodEOA}, 1)
	if err != nil || len(runs) != 1 {
		t.Fatal(err)
	}
	if a := stranger.call(wire.RunList, wire.ListParams{Before: runs[0].ID.String()}); a.code() != wire.CodeNotFound {
		t.Errorf("a stranger goes on from another's run: %+v", a)
	}
}

// A session's client may say what it is; its owner sees that in the list, beside its limits and their use.
func TestSessionsAreToldApart(t *testing.T) {
	f, _, _, _ := serveReal(t)
	w := wallet(11)
	c := f.connect()
	p := signed(t, w, c.challenge(w))
	p.Device = "Firefox on Linux"
	a := c.act(wire.SessionOpen, p)
	if a.Error != nil {
		t.Fatalf("open: %+v", a.Error)
	}
	a = c.call(wire.SessionList, wire.None{})
	var out wire.Sessions
	if err := json.Unmarshal(a.Result, &out); err != nil || len(out.Sessions) != 1 {
		t.Fatalf("%v %+v", err, a)
	}
	s := out.Sessions[0]
	if s.Device != "Firefox on Linux" || s.Key != c.key.Public().String() || s.Origin != "https://app.example.com" || s.Used == 0 {
		t.Errorf("got %+v", s)
	}
	if s.Limits == nil || s.Limits.MaxCalls != defaults.MaxCalls || len(s.Uses) < 3 || s.Uses[0].Name != "calls" ||
		s.Uses[0].Cap.Units != fmt.Sprint(defaults.MaxCalls) || s.Uses[0].Spent.Units != "0" {
		t.Errorf("limits %+v, uses %+v", s.Limits, s.Uses)
	}
}

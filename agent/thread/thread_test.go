package thread_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
)

var turns = []thread.Turn{
	{Request: "what is up", Answer: "All is well.", Label: label.Label{Integrity: label.User}},
	{Answer: "Not allowed.", Label: label.Label{Integrity: label.Untrusted, Origins: []string{"web:example.org"}}},
}

func TestATalkBeginsWithTheTurnsBefore(t *testing.T) {
	talk, e := thread.Begin([]byte("params"), 5, turns)
	var got []string
	for _, m := range talk.Messages {
		got = append(got, string(m.Role)+": "+m.Text)
	}
	want := `system: This conversation began earlier: its first 3 requests and their answers are left out here.
user: what is up
assistant: All is well.
user: (a request that the rules did not let in)
assistant: Not allowed.`
	if strings.Join(got, "\n") != want {
		t.Errorf("the talk begins with\n%s", strings.Join(got, "\n"))
	}
	if e.Place != 5 || e.Shown != 2 || e.Label.Integrity != label.Untrusted || len(e.Label.Origins) != 1 {
		t.Errorf("recorded of it: %+v", e)
	}
	read, err := thread.Read(wire.RunStart, e.JSON())
	if err != nil {
		t.Fatal(err)
	}
	again, err := thread.Recall([]byte("params"), read, turns)
	if err != nil || again.Digest != talk.Digest || again.Bytes != talk.Bytes {
		t.Errorf("recalled as %+v, %v", again, err)
	}
	assumed := thread.Assume(wire.RunStart, read)
	for _, each := range []*thread.Talk{&assumed, &talk} {
		each.Add(model.Message{Role: model.RoleUser, Text: "and now"})
	}
	if assumed.Digest != talk.Digest || assumed.Bytes != talk.Bytes {
		t.Error("a talk without its words goes on otherwise")
	}
}

func TestOtherTurnsAreNotRecalled(t *testing.T) {
	_, was := thread.Begin([]byte("params"), 5, turns)
	for name, change := range map[string]func(request *string, e *thread.Earlier, ts *[]thread.Turn){
		"another answer":  func(_ *string, _ *thread.Earlier, ts *[]thread.Turn) { (*ts)[0].Answer = "All is lost." },
		"another request": func(_ *string, _ *thread.Earlier, ts *[]thread.Turn) { (*ts)[0].Request = "what is down" },
		"another label":   func(_ *string, e *thread.Earlier, _ *[]thread.Turn) { e.Label = label.Label{} },
		"fewer turns":     func(_ *string, _ *thread.Earlier, ts *[]thread.Turn) { *ts = (*ts)[1:] },
		"another place":   func(_ *string, e *thread.Earlier, _ *[]thread.Turn) { e.Place++ },
		"another salt":    func(request *string, _ *thread.Earlier, _ *[]thread.Turn) { *request = "other" },
	} {
		request, e, ts := "params", was, append([]thread.Turn(nil), turns...)
		change(&request, &e, &ts)
		if _, err := thread.Recall([]byte(request), e, ts); !errors.Is(err, thread.ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	_, e := thread.Begin([]byte("params"), 5, turns)
	f.Add(e.JSON())
	f.Add(bytes.Replace(e.JSON(), []byte(`"place":5`), []byte(`"place":1`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := thread.Read(wire.RunStart, b); err == nil && (!bytes.Equal(e.JSON(), b) || e.Shown > e.Place) {
			t.Errorf("%s was read as %+v", b, e)
		}
	})
}

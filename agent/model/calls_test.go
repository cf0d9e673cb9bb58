package model_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
)

func TestCallsOfAReplyAreToldApart(t *testing.T) {
	long, long2 := strings.Repeat("x", 300)+"1", strings.Repeat("x", 300)+"2"
	pay := `{"amount":"0.5","to":"bob"}`
	for _, tt := range []struct {
		rule  string
		calls []string // "id tool args"
		want  string
	}{
		{"one call that is said twice is one", []string{"a pay " + pay, "a pay " + pay}, "a"},
		{"and so it is in another spelling", []string{"a pay " + pay, `a pay { "to": "bob", "amount":"0.5"}`}, "a"},
		{"and so it is three times, with others between", []string{"a pay " + pay, "b pay {}", "a pay " + pay, "a pay " + pay}, "a b"},
		{"calls without ids are numbered, like ones too", []string{" pay " + pay, " pay " + pay}, "call-1 call-2"},
		{"without an id other arguments make another call", []string{" pay {}", " pay " + pay}, "call-1 call-2"},
		{"two ids are two calls", []string{"a pay " + pay, "b pay " + pay}, "a b"},
		{"other arguments under one id are another call", []string{"a pay {}", "a pay " + pay}, "a call-2"},
		{"another tool under one id is another call", []string{"a pay {}", "a ask {}"}, "a call-2"},
		{"a new id takes none that is used", []string{"a pay {}", "a ask {}", "call-2 pay {}"}, "a call-3 call-2"},
		{"arguments that are no JSON are compared as they are", []string{"a pay {", "a pay {", "a pay {{"}, "a call-3"},
		{"a long id of 200 bytes is kept whole", []string{strings.Repeat("y", 200) + " pay {}"}, strings.Repeat("y", 200)},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var got []string
			for _, c := range model.UniqueCalls(parseCalls(tt.calls)) {
				got = append(got, c.ID)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
	t.Run("two long ids that begin alike stay two", func(t *testing.T) {
		got := model.UniqueCalls(parseCalls([]string{long + " pay " + pay, long2 + " pay " + pay}))
		if len(got) != 2 || got[0].ID == got[1].ID || len(got[0].ID) > model.MaxCallID {
			t.Errorf("got %v", got)
		}
	})
	t.Run("what was done once is not changed by doing it again", func(t *testing.T) {
		once := model.UniqueCalls(parseCalls([]string{long + " pay {}", long2 + " pay {}", "a pay {}", "a ask {}", " ask {}"}))
		if twice := model.UniqueCalls(once); fmt.Sprint(twice) != fmt.Sprint(once) {
			t.Errorf("got %v, then %v", once, twice)
		}
	})
}

func FuzzUniqueCalls(f *testing.F) {
	f.Add("a", "a", "", "call-1", "pay", "{}")
	f.Fuzz(func(t *testing.T, a, b, c, d, tool, args string) {
		var in []model.Call
		for i, id := range []string{a, b, c, d} {
			in = append(in, model.Call{ID: id, Tool: tool, Args: fmt.Appendf(nil, "%s%d", args, i/3)})
		}
		var ids []string
		for _, got := range model.UniqueCalls(in) {
			if got.ID == "" || len(got.ID) > model.MaxCallID || slices.Contains(ids, got.ID) {
				t.Fatalf("id %q after %q", got.ID, ids)
			}
			ids = append(ids, got.ID)
		}
	})
}

func parseCalls(texts []string) (calls []model.Call) {
	for _, s := range texts {
		id, rest, _ := strings.Cut(s, " ")
		tool, args, _ := strings.Cut(rest, " ")
		calls = append(calls, model.Call{ID: id, Tool: tool, Args: []byte(args)})
	}
	return calls
}

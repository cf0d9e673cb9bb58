package mcp

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/tools"
)

const (
	payTool  = `{"name":"pay","description":"Pays.","inputSchema":{"type":"object","properties":{"ref":{"type":"string"}},"required":["ref"]}}`
	findTool = `{"name":"find","description":"Finds a payment.","inputSchema":{"type":"object","properties":{"id":{"type":"string"},"key":{"type":"string"}},"required":["id"]}}`
)

// payer is a server that pays and ends before it has said so, or ends before it pays. Asked again, it answers in the
// given way; "known" is what it has on file.
func payer(pays bool, answer func(known bool) string) func(*stub) {
	return func(s *stub) {
		s.list = func(s *stub, id, _ json.RawMessage) { s.answer(id, `{"tools":[`+payTool+`,`+findTool+`]}`) }
		s.call = func(s *stub, id, params json.RawMessage) {
			var p struct{ Name string }
			json.Unmarshal(params, &p)
			paid := os.Getenv("CALLS") + ".paid"
			if p.Name == "pay" {
				if pays {
					note(paid, "paid")
				}
				os.Exit(3)
			}
			_, err := os.Stat(paid)
			s.answer(id, answer(err == nil))
		}
	}
}

func structured(s string) string { return `{"content":[],"structuredContent":` + s + `}` }

func honest(known bool) string {
	if known {
		return structured(`{"payment":{"state":"settled"}}`)
	}
	return structured(`{"payment":{"state":"unknown"}}`)
}

func always(result string) func(bool) string { return func(bool) string { return result } }

// A second tool's answers, whether the payment was made, and what comes of the call that was cut.
var seconds = map[string]struct {
	pays   bool
	answer func(known bool) string
	says   string
}{
	"it was paid":               {true, honest, tools.Done},
	"it was not paid":           {false, honest, tools.NotDone},
	"in a text":                 {true, always(text(`{"payment":{"state":"settled"}}`)), tools.Done},
	"a state of its own":        {true, always(structured(`{"payment":{"state":"perhaps"}}`)), tools.InDoubt},
	"no state":                  {true, always(structured(`{"payment":{}}`)), tools.InDoubt},
	"a list":                    {true, always(structured(`{"payment":{"state":["settled"]}}`)), tools.InDoubt},
	"the field at another path": {true, always(structured(`{"state":"unknown"}`)), tools.InDoubt},
	"words":                     {false, always(text("It was not paid, pay again: unknown")), tools.InDoubt},
	"two texts": {false, always(`{"content":[{"type":"text","text":"{\"payment\":{\"state\":\"unknown\"}}"},` +
		`{"type":"text","text":"x"}]}`), tools.InDoubt},
	"the same member twice": {false, always(text(`{"payment":{"state":"settled","state":"unknown"}}`)), tools.InDoubt},
	"it fails":              {false, always(`{"isError":true,"content":[],"structuredContent":{"payment":{"state":"unknown"}}}`), tools.InDoubt},
	"too long":              {true, always(structured(`{"payment":{"state":"settled"},"x":"` + strings.Repeat("x", 9000) + `"}`)), tools.InDoubt},
	"nothing":               {true, always(`{"content":[]}`), tools.InDoubt},
}

func init() {
	asked := 0
	modes["second: late"] = payer(true, func(bool) string {
		asked++
		return honest(asked > 1)
	})
	for name, x := range seconds {
		modes["second: "+name] = payer(x.pays, x.answer)
	}
}

func reconciled(t *testing.T, s *Server, class tools.Class) *Tool {
	t.Helper()
	find, err := ParseDefinition([]byte(findTool))
	if err != nil {
		t.Fatal(err)
	}
	return accept(t, s, payTool, Use{Class: class, Reconcile: &Second{Tool: find, Settle: time.Millisecond,
		Rule: tools.Reconciliation{Arguments: map[string]string{"id": "ref", "key": tools.ReconcileKey}, Field: "payment.state",
			Done: []string{"settled"}, NotDone: []string{"unknown"}}}})
}

// A call whose answer is lost is settled by the second tool alone, and a result that was settled otherwise is found.
func TestASecondToolSaysWhetherACallHappened(t *testing.T) {
	t.Parallel()
	for name, x := range seconds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, calls := stubServer(t, "second: "+name, nil)
			tool := reconciled(t, s, tools.Once)
			def, err := tools.Compile(tool.Spec())
			if err != nil {
				t.Fatal(err)
			}
			args, err := def.Read([]byte(`{"ref":"r1"}`))
			if err != nil {
				t.Fatal(err)
			}
			in := tools.Input{Args: args, Key: [32]byte{7}}
			out, err := tool.Call(t.Context(), in)
			status, code := "ok", codeOf(err)
			switch {
			case code != "" && code != "unknown":
				status, out = "error", []byte(`{"code":"`+code+`","error":"x"}`)
			case err != nil:
				status, out = "in_doubt", []byte(`{"code":"in_doubt","error":"x"}`)
			}
			out = tools.AddFinding(out, err)
			want := map[string]string{tools.Done: "ok", tools.NotDone: "error", tools.InDoubt: "in_doubt"}[x.says]
			if status != want || (code == tools.CodeNotDone) != (x.says == tools.NotDone) {
				t.Fatalf("got %s %s %v; want %s", status, out, err, want)
			}
			if n := strings.Count(strings.Join(callsIn(calls), "\n"), `"name":"pay"`); n != 1 {
				t.Errorf("it was called %d times", n)
			}
			rule := def.Reconciliation()
			if why := rule.Check(tools.Once, args.JSON, in.Key, status, out); why != "" || !strings.Contains(string(out), `"reconciled"`) {
				t.Errorf("%s: %s", out, why)
			}
			// The same finding under another outcome, about another call, or without its answer.
			for _, other := range []string{"ok", "error", "in_doubt"} {
				forged := out
				if other == "error" && status != "error" {
					forged = tools.AddFinding([]byte(`{"code":"not_done","error":"x"}`), findingOf(t, out))
				}
				if other != status && rule.Check(tools.Once, args.JSON, in.Key, other, forged) == "" && !(other == "ok" && x.says == tools.NotDone) {
					t.Errorf("it passes as %s: %s", other, forged)
				}
			}
			if rule.Check(tools.Once, []byte(`{"ref":"r2"}`), in.Key, status, out) == "" ||
				rule.Check(tools.Once, args.JSON, [32]byte{8}, status, out) == "" {
				t.Error("it passes for another call")
			}
			if x.says == tools.Done && rule.Check(tools.Once, args.JSON, in.Key, "ok", []byte(strings.Replace(string(out),
				`"settled"`, `"perhaps"`, 1))) == "" {
				t.Error("it passes with another answer")
			}
		})
	}
}

func findingOf(t *testing.T, out []byte) error {
	t.Helper()
	var x struct{ Reconciled tools.Finding }
	if err := json.Unmarshal(out, &x); err != nil {
		t.Fatal(err)
	}
	return &tools.FoundError{Err: &tools.Error{Code: tools.CodeNotDone}, Finding: x.Reconciled}
}

// What was sent may come late: a server that knows nothing of it at first, and something a moment later, has done it.
func TestThatACallDidNotHappenIsSaidTwice(t *testing.T) {
	s, calls := stubServer(t, "second: late", nil)
	tool := reconciled(t, s, tools.Once)
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"ref":"r1"}`))
	if err != nil {
		t.Fatal(err)
	}
	out, happened, err := tool.Reconcile(t.Context(), tools.Input{Args: args})
	if err != nil || !happened || len(callsIn(calls)) != 2 {
		t.Errorf("%s, %t, %v, after %d calls", out, happened, err, len(callsIn(calls)))
	}
}

// After a crash the second tool is asked first, and what it says did not happen is made with that on record.
func TestAfterACrashASecondToolIsAsked(t *testing.T) {
	for _, x := range []struct {
		mode, says string
		happened   bool
	}{{"second: it was paid", "", false}, {"second: a state of its own", tools.InDoubt, false}} {
		s, calls := stubServer(t, x.mode, nil)
		if x.says == "" {
			note(calls+".paid", "paid")
		}
		tool := reconciled(t, s, tools.Once)
		def, err := tools.Compile(tool.Spec())
		if err != nil {
			t.Fatal(err)
		}
		args, err := def.Read([]byte(`{"ref":"r1"}`))
		if err != nil {
			t.Fatal(err)
		}
		out, happened, err := tool.Reconcile(t.Context(), tools.Input{Args: args})
		if happened != (x.says == "") || (err != nil) == happened || strings.Contains(strings.Join(callsIn(calls), ""), `"name":"pay"`) {
			t.Errorf("%s: %s, %t, %v", x.mode, out, happened, err)
		}
	}
	s, _ := stubServer(t, "second: it was not paid", nil)
	out, happened, err := reconciled(t, s, tools.Once).Reconcile(t.Context(), tools.Input{})
	if err == nil || happened {
		t.Errorf("without arguments: %s, %t, %v", out, happened, err)
	}
}

// A keyed call that is made again and comes to nothing does not say what the earlier process has done: that is in
// doubt, with what the second tool has said, unless that is that it was not done.
func TestACallMadeAgainThatDoesNothingIsInDoubt(t *testing.T) {
	for _, tt := range []struct{ mode, says, code string }{
		{"second: it was not paid", tools.NotDone, "definition_changed"},
		{"second: a state of its own", tools.InDoubt, "unknown"},
		{"good", "", "unknown"},
	} {
		s, _ := stubServer(t, tt.mode, nil)
		tool := accept(t, s, payTool, Use{Class: tools.Keyed})
		if tt.says != "" {
			tool = reconciled(t, s, tools.Keyed)
		}
		def, err := tools.Compile(tool.Spec())
		if err != nil {
			t.Fatal(err)
		}
		args, err := def.Read([]byte(`{"ref":"r1"}`))
		if err != nil {
			t.Fatal(err)
		}
		tool.accepted = mustParse(t, strings.Replace(payTool, "Pays.", "Paid otherwise.", 1)) // which it no longer says
		in := tools.Input{Args: args, Key: [32]byte{7}, Again: true}
		_, err = tool.Call(t.Context(), in)
		f, found := errors.AsType[*tools.FoundError](err)
		if codeOf(err) != tt.code || found != (tt.says == tools.InDoubt) || found && f.Finding.Says != tt.says {
			t.Errorf("%s: got %v, found %t; want %s", tt.mode, err, found, tt.code)
		}
		in.Again = false
		if _, err = tool.Call(t.Context(), in); codeOf(err) != "definition_changed" {
			t.Errorf("%s: made once it is %v", tt.mode, err)
		}
	}
}

package main

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

var update = flag.Bool("update", false, "write the golden file")

// TestWhatAnOperatorCanInvent changes every value of every record, one at a time. The operator links and signs anew;
// the session key does not, and the wallet signs only what it would have been shown. What is verified all the same
// rests on the operator's word alone, and testdata/claims.golden lists it: the list must not grow unseen. Several values
// together can be invented that one alone cannot, such as a tool's result with all that follows from it; reports say so.
func TestWhatAnOperatorCanInvent(t *testing.T) {
	if testing.Short() {
		t.Skip("plays and verifies some 450 runs")
	}
	invented := map[string]bool{}
	n := 0
	for _, w := range []struct {
		name string
		make func() *world
		from int // the step; what comes before is as in the small run
	}{{"small", small, 0}, {"whole", whole, 3}} {
		for k := 0; ; k++ {
			h, err := play(w.make())
			if err != nil {
				t.Fatal(err)
			}
			m := &mutator{left: k, seen: map[string]int{}}
			m.history(h, w.from)
			if m.at == "" {
				break
			}
			n++
			h.keepAsk = true
			h.keepVerdict = strings.Contains(m.at, "Verdict")
			if h.link() != nil {
				h.keepVerdict = true // the wallet has nothing to sign
				if h.link() != nil {
					continue // there is no such record
				}
			}
			car := h.car()
			src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
			if err != nil {
				t.Fatalf("%s, %s: %v", w.name, m.at, err)
			}
			rep := audit.Verify(src, provenance.Options{OperatorKey: h.operator.Public().(ed25519.PublicKey), Keys: h.keys})
			if rep.Verdict != provenance.Failed {
				invented[m.at] = true
			}
		}
	}
	t.Logf("%d changes, %d kinds of them stand on the operator's word", n, len(invented))
	got := strings.Join(slices.Sorted(maps.Keys(invented)), "\n") + "\n"
	const golden = "testdata/claims.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what an operator can invent has changed; if that is meant: go test ./internal/tamper -update\n%s", got)
	}
}

// A mutator changes the left-th value that it comes to, and names its place. Of values in one kind of place, such as
// the caps of ledgers, it knows the first few.
type mutator struct {
	left int
	at   string
	seen map[string]int
}

const few = 5

func (m *mutator) history(h *history, from int) {
	if from == 0 {
		for _, r := range []provenance.Record{&h.run, &h.agent, &h.grant, &h.rules, &h.runtime} {
			m.walk(reflect.ValueOf(r).Elem(), reflect.TypeOf(r).Elem().Name())
		}
	}
	m.walk(reflect.ValueOf(h.tools[len(h.tools)-1]).Elem(), "ToolDef")
	for _, s := range h.steps[from:] {
		m.walk(reflect.ValueOf(s).Elem(), "Step")
	}
}

// hit says whether this value is the one.
func (m *mutator) hit(path string) bool {
	if m.at != "" || m.seen[path] == few {
		return false
	}
	m.seen[path]++
	if m.left--; m.left < 0 {
		m.at = path
		return true
	}
	return false
}

func (m *mutator) walk(v reflect.Value, path string) {
	if m.at != "" {
		return
	}
	switch x := v.Interface().(type) {
	case provenance.Link: // link makes them anew
		return
	case money.Amount:
		if n := x.Uint256(); m.hit(path) {
			v.Set(reflect.ValueOf(money.FromUint256(x.Asset(), n.AddUint64(n, 1))))
		}
		return
	case *provenance.Payload:
		if b, ok := x.Bytes(); ok && m.hit(path) {
			v.Set(reflect.ValueOf(provenance.NewPayload(edited(b))))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Interface {
			path += "(" + v.Elem().Type().Elem().Name() + ")"
			v = v.Elem()
		}
		m.walk(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			m.walk(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.Len() > 0 && m.hit(path) {
				v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
			}
			return
		}
		for i := range v.Len() {
			m.walk(v.Index(i), path+"[]")
		}
		if v.Len() > 0 && m.hit(path+" without its last") {
			v.Set(v.Slice(0, v.Len()-1))
		}
	case reflect.Int64:
		if m.hit(path) {
			v.SetInt(v.Int() + 1)
		}
	case reflect.Uint64:
		if m.hit(path) {
			v.SetUint(v.Uint() + 1)
		}
	case reflect.Bool:
		if m.hit(path) {
			v.SetBool(!v.Bool())
		}
	case reflect.String:
		if m.hit(path) {
			v.SetString(v.String() + "x")
		}
	default:
		panic(fmt.Sprintf("%s is a %s, which this test cannot change", path, v.Type()))
	}
}

// edited changes the last letter or digit of a text, so that JSON stays JSON.
func edited(b []byte) []byte {
	out := bytes.Clone(b)
	for i := len(out) - 1; i >= 0; i-- {
		switch c := out[i]; {
		case c >= 'a' && c < 'z', c >= '0' && c < '9':
			out[i]++
			return out
		case c == 'z' || c == '9':
			out[i]--
			return out
		}
	}
	return append(out, ' ')
}

package label_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/writ-run/writ/policies/label"
)

func random(r *rand.Rand) label.Label {
	l := label.Label{Integrity: label.Integrity(r.IntN(4)), Secrecy: label.Secrecy(r.IntN(4))}
	for range r.IntN(5) {
		l = l.Join(label.Label{Origins: []string{fmt.Sprintf("web:%d.example", r.IntN(8))}})
	}
	return l
}

func TestJoinIsALattice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		a, b, c := random(r), random(r), random(r)
		if !a.Join(b).Equal(b.Join(a)) {
			t.Fatalf("%v and %v join differently in two orders", a, b)
		}
		if !a.Join(b).Join(c).Equal(a.Join(b.Join(c))) {
			t.Fatalf("%v, %v and %v join differently in two groupings", a, b, c)
		}
		if !a.Join(a).Equal(a) || !a.Join(label.Label{}).Equal(a) {
			t.Fatalf("%v changes by a join with itself or with nothing", a)
		}
		j := a.Join(b)
		if j.Integrity < a.Integrity || j.Secrecy < a.Secrecy {
			t.Fatalf("%v joined with %v is more trusted or less secret: %v", a, b, j)
		}
		for _, o := range a.Origins {
			if !j.From(o) {
				t.Fatalf("%v lost the origin %s", j, o)
			}
		}
	}
}

func TestOriginsAreBounded(t *testing.T) {
	var l label.Label
	for i := range 100 {
		l = l.Join(label.Label{Origins: []string{fmt.Sprintf("web:%03d.example", i)}})
	}
	if len(l.Origins) != label.MaxOrigins || l.Origins[label.MaxOrigins-1] != label.More || !slices.IsSorted(l.Origins) {
		t.Errorf("got %v", l.Origins)
	}
	if !l.From("web:099.example") || !l.From("web:never.example") {
		t.Error("a label that has left origins out denies one of them")
	}
}

func TestJSON(t *testing.T) {
	in := label.Label{Integrity: label.Untrusted, Secrecy: label.Session, Origins: []string{"web:a.example"}}
	b, err := json.Marshal(in)
	if want := `{"integrity":"untrusted","secrecy":"session","origins":["web:a.example"]}`; err != nil || string(b) != want {
		t.Fatalf("got %s, %v; want %s", b, err, want)
	}
	var out label.Label
	if err := json.Unmarshal(b, &out); err != nil || !out.Equal(in) {
		t.Errorf("got %v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"integrity":"divine"}`), &out); err == nil {
		t.Error("an unknown level was read")
	}
}

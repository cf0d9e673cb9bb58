package main

import (
	"testing"

	"github.com/writ-run/writ/provenance"
)

// blocks are a source of what is in a map.
type blocks map[provenance.Link][]byte

func (b blocks) Root() provenance.Link { return provenance.Link{} }

func (b blocks) Get(l provenance.Link) ([]byte, error) {
	if data, ok := b[l]; ok {
		return data, nil
	}
	return nil, provenance.ErrAbsent
}

// Of two texts without a key the one that the head calls erased is told as erased, and the other as sealed.
func TestWhatIsErasedIsTold(t *testing.T) {
	texts := []*provenance.Payload{provenance.NewPayload([]byte("one")), provenance.NewPayload([]byte("another"))}
	for i, p := range texts {
		if _, err := p.Seal(provenance.LeafKey{byte(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	erasure, err := provenance.Encode(&provenance.Erasure{At: 1, Why: "asked for", Leaves: []provenance.Link{texts[0].Leaf()}})
	if err != nil {
		t.Fatal(err)
	}
	gone := listErased(blocks{erasure.CID: erasure.Data}, &provenance.Head{Erased: []provenance.Link{erasure.CID}})
	for i, want := range []string{"(erased)", "(sealed)"} {
		var p provenance.Payload // the same leaf, unopened
		p.Trust(texts[i])
		s := &provenance.Step{Event: &provenance.Result{Status: "ok", Output: &p}}
		tellErased(s, gone)
		if got := viewEvent(s.Event).Text; got != "ok "+want {
			t.Errorf("text %d: got %q, want %q", i, got, "ok "+want)
		}
	}
}

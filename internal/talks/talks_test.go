package talks

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/provenance"
)

func link(n byte) provenance.Link {
	b := sha256.Sum256([]byte{n})
	return provenance.NewRaw(b[:]).CID
}

func TestMemoryIsBoundedAndForgetsWhatIsOldest(t *testing.T) {
	m := NewMemory()
	long := func(n byte) Said {
		return Said{Run: link(n), Turn: thread.Turn{Answer: strings.Repeat("a", 4<<20)}}
	}
	for n := range byte(3) {
		m.Keep(link(n), long(n))
	}
	if s, ok := m.Recall(link(0)); !ok || s.Run != link(0) { // now it is the newest
		t.Fatal("the first is not kept")
	}
	m.Keep(link(3), long(3))
	for n, want := range []bool{true, false, true, true} {
		if _, ok := m.Recall(link(byte(n))); ok != want {
			t.Errorf("number %d is kept: %v, want %v", n, ok, want)
		}
	}
	m.Keep(link(3), long(3)) // again: it takes up no more
	if _, ok := m.Recall(link(0)); !ok {
		t.Error("what was kept twice has taken the place of another")
	}
	for n := range byte(4) {
		m.Forget(link(n))
	}
	if m.size != 0 || len(m.said) != 0 || m.order.Len() != 0 {
		t.Errorf("after all is forgotten %d bytes of %d are kept", m.size, len(m.said))
	}
}

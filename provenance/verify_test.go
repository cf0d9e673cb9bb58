package provenance

import "testing"

func TestSmoke(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	r, e := verifyCAR(file, Options{OperatorKey: operatorKey(), Keys: h.keys()})
	t.Logf("%d bytes %+v", len(file), r)
	if e == nil {
		t.Fatal()
	}
	blk, err := Encode(twoKB(t))
	t.Log(len(blk.Data), err)
}

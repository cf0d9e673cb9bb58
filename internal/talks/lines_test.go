package talks

import "testing"

func TestALineOfAThreadIsBoundedAndInOrder(t *testing.T) {
	w, k := NewLines(), Name{Thread: "plans"}
	isFirst := func(turn <-chan struct{}) bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	var turns []<-chan struct{}
	var leaves []func()
	for range MaxWaiting + 1 {
		turn, leave, ok := w.Enter(k)
		if !ok {
			t.Fatalf("only %d may wait", len(turns))
		}
		turns, leaves = append(turns, turn), append(leaves, leave)
	}
	if _, _, ok := w.Enter(k); ok {
		t.Error("one more than the line has room for was let in")
	}
	if _, leave, ok := w.Enter(Name{Thread: "other"}); !ok {
		t.Error("another thread's line is full too")
	} else {
		leave()
	}
	leaves[1]() // one in the middle gives up
	for i, turn := range turns {
		if i == 1 {
			continue
		}
		if !isFirst(turn) {
			t.Errorf("number %d does not come after the one before it", i)
		}
		if i+2 < len(turns) && isFirst(turns[i+2]) {
			t.Errorf("number %d came before its turn", i+2)
		}
		leaves[i]()
	}
	if len(w.waiting) > 0 {
		t.Errorf("%d lines are left", len(w.waiting))
	}
}

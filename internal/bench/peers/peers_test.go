package main

import "testing"

// The engines are compared only as long as they say the same.
func TestEnginesAgree(t *testing.T) {
	loaded := make([]engine, len(engines))
	for i, e := range engines {
		var err error
		if loaded[i], err = e.load(); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
	}
	if err := agree(loaded); err != nil {
		t.Error(err)
	}
	// Of each rule there is a request that it decides, so that none of them can be written wrongly in one language.
	decided := map[string]bool{}
	for _, q := range requests() {
		for _, id := range loaded[0].answer(loaded[0].ready(&q)).rules {
			decided[id] = true
		}
	}
	for _, r := range rules {
		if !decided[r.id] {
			t.Errorf("no request is decided by %s", r.id)
		}
	}
}

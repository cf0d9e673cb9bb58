package main

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/agent"
)

// A reload that reads its files while another one does could put older sets in the place of newer ones.
func TestReloadsFollowOneAnother(t *testing.T) {
	unread := errors.New("unread")
	var reading, read, together atomic.Int32
	n := &node{reread: func() (agent.Rules, error) {
		if reading.Add(1) > 1 {
			together.Add(1)
		}
		for range 100 {
			runtime.Gosched()
		}
		reading.Add(-1)
		read.Add(1)
		return agent.Rules{}, unread
	}}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := n.reload(t.Context(), false); !errors.Is(err, unread) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if read.Load() != 20 || together.Load() != 0 {
		t.Errorf("%d reloads, %d of them while another one was reading", read.Load(), together.Load())
	}
}

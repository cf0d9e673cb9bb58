package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
)

// ErrNoAgreement says that too few endpoints gave the same answer. The block may be too new for some of them.
var ErrNoAgreement = errors.New("too few endpoints of the chain agree")

// An agreement counts who says what.
type agreement struct {
	mu      sync.Mutex // guards what follows
	same    map[string]int
	errs    map[string]error
	reasons []string
	done    chan struct{} // closed once enough say the same
	need    int
	best    string
}

// CallAgreed is CallContractAtHash where at least need endpoints, and more than half of all, must answer alike; that a
// call reverts is an answer too. All are asked at once, and the rest is not waited for. It returns how many agreed.
func (p *Pool) CallAgreed(
	ctx context.Context, msg ethereum.CallMsg, block common.Hash, need int,
) ([]byte, int, error) {
	a := &agreement{
		same: map[string]int{}, errs: map[string]error{}, done: make(chan struct{}),
		need: max(need, len(p.endpoints)/2+1),
	}
	asking, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, e := range p.endpoints {
		all.Go(func() {
			out, err := tryEndpoint(asking, e, question[[]byte]{
				method: "eth_call",
				ask: func(ctx context.Context, c *ethclient.Client) ([]byte, error) {
					return c.CallContractAtHash(ctx, msg, block)
				},
			}, p.chain, p.shareTime(ctx, 1))
			a.add(e.host, out, err)
		})
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	select {
	case <-a.done:
	case <-finished:
	}
	cancel()
	<-finished
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.same[a.best]; n >= a.need {
		return []byte(strings.TrimPrefix(a.best, answered)), n, a.errs[a.best]
	}
	slices.Sort(a.reasons)
	return nil, 0, fmt.Errorf("%w: %d of %d are needed (%d answers, %s)", ErrNoAgreement, a.need, len(p.endpoints),
		len(a.same), strings.Join(a.reasons, "; "))
}

const answered = "="

func (a *agreement) add(host string, out []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := answered + string(out)
	switch {
	case err != nil && isExecutionError(err):
		key = "reverts" // whatever words a node has for it
		a.errs[key] = err
	case err != nil:
		a.reasons = append(a.reasons, host+": "+errorText(err))
		return
	case len(out) == 0: // as an endpoint without the state answers
		a.reasons = append(a.reasons, host+": it says nothing")
		return
	}
	a.same[key]++
	if a.same[key] > a.same[a.best] {
		a.best = key
	}
	if a.same[key] == a.need {
		close(a.done)
	}
}

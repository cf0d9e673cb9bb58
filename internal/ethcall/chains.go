package ethcall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/auth"
)

const (
	maxEndpoints = 8
	maxAtOnce    = 16 // questions under way; more wait for their turn, as long as they have time
	// Quorum is how many endpoints must agree before a contract wallet may move value, unless they are on loopback.
	Quorum = 2
	// Timeout bounds a question from its first request to its answer.
	Timeout = 5 * time.Second
	// MaxAge is how old the newest block of an endpoint may be that is not on loopback. An older one says that the
	// endpoint does not follow its chain.
	MaxAge = 10 * time.Minute

	grace    = 200 * time.Millisecond // for the others, once enough endpoints have named their newest block
	patience = time.Second            // for the others, once enough endpoints have answered
)

// A Chain says where a chain is asked.
type Chain struct {
	Chain uint64   // EIP-155 id
	URLs  []string // http or https; 1 to 8, no two alike
	// Quorum is how many of them must agree on a question whose answer lets value be moved: [Quorum] if 0, or 1 if all
	// of them are on loopback, and so one's own. For all other questions one is enough, if no more contradict it.
	Quorum int
}

// Config says which chains are asked.
type Config struct {
	Chains  []Chain
	Timeout time.Duration    // of one question; [Timeout] if 0
	Now     func() time.Time // time.Now if nil
}

// Chains is an auth.Contracts. It may be used by many goroutines at once.
type Chains struct {
	chains  map[uint64]*chain
	timeout time.Duration
	now     func() time.Time
	turns   chan struct{}
}

type chain struct {
	clients []*Client
	quorum  int
}

// New returns Chains, or an error that names what is wrong. It connects to nothing yet.
func New(c Config) (*Chains, error) {
	s := &Chains{chains: map[uint64]*chain{}, timeout: c.Timeout, now: c.Now, turns: make(chan struct{}, maxAtOnce)}
	if s.timeout == 0 {
		s.timeout = Timeout
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, w := range c.Chains {
		if w.Chain == 0 || s.chains[w.Chain] != nil {
			return nil, fmt.Errorf("contract wallets: chain %d is no chain, or is there twice", w.Chain)
		}
		if len(w.URLs) == 0 || len(w.URLs) > maxEndpoints {
			return nil, fmt.Errorf("contract wallets: chain %d has %d endpoints; give 1 to %d", w.Chain, len(w.URLs), maxEndpoints)
		}
		ch := &chain{quorum: w.Quorum}
		local := true
		for i, raw := range w.URLs {
			client, err := Dial(raw)
			if err != nil {
				return nil, fmt.Errorf("contract wallets: chain %d: endpoint %d: %w", w.Chain, i+1, err)
			}
			if slices.Contains(w.URLs[:i], raw) {
				return nil, fmt.Errorf("contract wallets: chain %d: endpoint %s is there twice, and counts once", w.Chain, client.host)
			}
			local = local && client.local
			ch.clients = append(ch.clients, client)
		}
		switch {
		case w.Quorum < 0 || w.Quorum > len(w.URLs):
			return nil, fmt.Errorf("contract wallets: chain %d: %d of %d endpoints cannot agree", w.Chain, w.Quorum, len(w.URLs))
		case w.Quorum == 0 && local:
			ch.quorum = 1
		case w.Quorum == 0:
			ch.quorum = Quorum
		}
		s.chains[w.Chain] = ch
	}
	return s, nil
}

// Close closes idle connections.
func (s *Chains) Close() {
	for _, ch := range s.chains {
		for _, c := range ch.clients {
			c.Close()
		}
	}
}

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", auth.ErrUnavailable, fmt.Sprintf(format, args...))
}

// Ask implements auth.Contracts.
func (s *Chains) Ask(ctx context.Context, q auth.Question) (auth.Verification, error) {
	ch := s.chains[q.Chain]
	if ch == nil {
		return auth.Verification{}, unavailable("no endpoint of chain %d is configured", q.Chain)
	}
	need := 1
	if q.Spends {
		need = ch.quorum
	}
	if need > len(ch.clients) {
		return auth.Verification{}, unavailable(
			"chain %d has %d endpoint configured, and %d must agree before value may be moved", q.Chain, len(ch.clients), need)
	}
	begun := s.now()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return auth.Verification{}, unavailable("too many questions at once")
	}
	at, who, err := s.pin(ctx, ch, need)
	if err != nil {
		return auth.Verification{}, err
	}
	a, agreed, err := answerAt(ctx, who, need, q, at)
	if err != nil {
		return auth.Verification{}, err
	}
	return auth.Verification{
		Answer: a, Chain: q.Chain, Number: at.Number, Block: at.Hash, Validator: auth.ValidatorHash,
		Asked: uint64(len(ch.clients)), Agreed: uint64(agreed), At: begun, Took: s.now().Sub(begun),
	}, nil
}

// A said is what one endpoint answered.
type said[T any] struct {
	client *Client
	v      T
	err    error
}

// all asks every client at once and returns what came, in no order. Once enough have answered without an error the
// others get a little longer; rest is how much. It waits for all that it started.
func all[T any](ctx context.Context, clients []*Client, enough int, rest time.Duration, f func(context.Context, *Client) (T, error)) []said[T] {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan said[T], len(clients))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, c := range clients {
		wg.Go(func() {
			v, err := f(ctx, c)
			answers <- said[T]{c, v, err}
		})
	}
	var out []said[T]
	var late <-chan time.Time
	for good := 0; len(out) < len(clients); {
		select {
		case a := <-answers:
			out = append(out, a)
			if a.err == nil {
				good++
			}
			if good == enough && late == nil {
				timer := time.NewTimer(rest)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return out
		}
	}
	return out
}

func reasons[T any](list []said[T]) string {
	var out []string
	for _, a := range list {
		if a.err != nil {
			out = append(out, a.err.Error())
		}
	}
	return strings.Join(out, "; ")
}

// pin chooses the newest block that enough endpoints have, and returns it with those that agree on it.
func (s *Chains) pin(ctx context.Context, ch *chain, need int) (Block, []*Client, error) {
	heads := all(ctx, ch.clients, need, grace, func(ctx context.Context, c *Client) (Block, error) {
		b, err := c.Newest(ctx)
		if age := s.now().Sub(b.Time); err == nil && !c.local && age > MaxAge {
			err = fmt.Errorf("%s: its newest block is %s old", c.host, age.Round(time.Second))
		}
		return b, err
	})
	why := reasons(heads)
	heads = slices.DeleteFunc(heads, func(h said[Block]) bool { return h.err != nil })
	if len(heads) < need {
		return Block{}, nil, unavailable("%d of %d endpoints answered, %d are needed (%s)", len(heads), len(ch.clients), need, why)
	}
	slices.SortFunc(heads, func(a, b said[Block]) int { return cmp.Compare(b.v.Number, a.v.Number) })
	number := heads[need-1].v.Number
	var ahead []*Client
	newest := map[*Client]Block{}
	for _, h := range heads {
		if h.v.Number >= number {
			ahead = append(ahead, h.client)
			newest[h.client] = h.v
		}
	}
	same := all(ctx, ahead, need, patience, func(ctx context.Context, c *Client) (Block, error) {
		if b := newest[c]; b.Number == number {
			return b, nil
		}
		return c.At(ctx, number)
	})
	at, who := most(same, func(b Block) [32]byte { return b.Hash })
	if len(who) < need {
		return Block{}, nil, unavailable("fewer than %d endpoints agree on block %d (%s)", need, number, reasons(same))
	}
	return at, who, nil
}

// answerAt asks the clients at one block and returns what enough of them, and more than any others, agree on.
func answerAt(ctx context.Context, clients []*Client, need int, q auth.Question, at Block) (auth.Answer, int, error) {
	answers := all(ctx, clients, need, patience, func(ctx context.Context, c *Client) (auth.Answer, error) {
		return c.AskAt(ctx, q, at.Hash)
	})
	a, who := most(answers, func(a auth.Answer) auth.Answer { return a })
	others := 0
	for _, x := range answers {
		if x.err == nil && x.v != a {
			others++
		}
	}
	if len(who) < need || others >= len(who) && others > 0 {
		err := errors.New(reasons(answers))
		if others > 0 {
			err = errors.New("they contradict each other")
		}
		return auth.Answer{}, 0, unavailable("fewer than %d endpoints agree on an answer at block %d (%v)", need, at.Number, err)
	}
	return a, len(who), nil
}

// most returns the value that most answers without an error share, and who gave it.
func most[T any, K comparable](list []said[T], key func(T) K) (v T, who []*Client) {
	groups := map[K][]*Client{}
	for _, a := range list {
		if a.err == nil {
			groups[key(a.v)] = append(groups[key(a.v)], a.client)
		}
	}
	for _, a := range list { // in the order of the answers, so that it does not depend on the map's
		if a.err == nil && len(groups[key(a.v)]) > len(who) {
			v, who = a.v, groups[key(a.v)]
		}
	}
	return v, who
}

package eth

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
	// MaxAhead is how far the newest block of an endpoint may be ahead of the clock. One that is further ahead is none
	// of the chain's.
	MaxAhead = 2 * time.Minute
	// MaxAheadLocal is the same of an endpoint on loopback: a dev chain's clock goes on by a second with each block.
	MaxAheadLocal = 24 * time.Hour

	grace    = 200 * time.Millisecond // for the others, once enough endpoints have named their newest block
	patience = time.Second            // for the others, once enough endpoints have answered
)

// A Chain says where a chain is asked.
type Chain struct {
	Chain uint64   // EIP-155 id
	URLs  []string // http or https; 1 to 8, no two alike
	// Quorum is how many of them must agree on a question whose answer lets value be moved: [Quorum] if 0, or 1 if all
	// of them are on loopback, and so one's own. Whatever it says, more than half of them must agree on every question.
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
	quorum  int // where value may be moved
}

// majority is how many must agree on every question: more than half of those that are configured, whether they answer
// or not.
func (ch *chain) majority() int { return len(ch.clients)/2 + 1 }

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
		var err error
		if s.chains[w.Chain], err = newChain(w); err != nil {
			return nil, fmt.Errorf("contract wallets: chain %d: %w", w.Chain, err)
		}
	}
	return s, nil
}

func newChain(w Chain) (*chain, error) {
	if len(w.URLs) == 0 || len(w.URLs) > maxEndpoints {
		return nil, fmt.Errorf("it has %d endpoints; give 1 to %d", len(w.URLs), maxEndpoints)
	}
	ch := &chain{quorum: w.Quorum}
	local := true
	for i, raw := range w.URLs {
		client, err := Dial(raw)
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		if slices.Contains(w.URLs[:i], raw) {
			return nil, fmt.Errorf("endpoint %s is there twice, and counts once", client.host)
		}
		local = local && client.local
		ch.clients = append(ch.clients, client)
	}
	switch {
	case w.Quorum < 0 || w.Quorum > len(w.URLs):
		return nil, fmt.Errorf("%d of %d endpoints cannot agree", w.Quorum, len(w.URLs))
	case w.Quorum == 0 && local:
		ch.quorum = 1
	case w.Quorum == 0:
		ch.quorum = Quorum
	}
	ch.quorum = max(ch.quorum, ch.majority())
	return ch, nil
}

// Close closes idle connections.
func (s *Chains) Close() {
	for _, ch := range s.chains {
		for _, c := range ch.clients {
			c.Close()
		}
	}
}

func unavailableError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", auth.ErrUnavailable, fmt.Sprintf(format, args...))
}

// Ask implements auth.Contracts.
func (s *Chains) Ask(ctx context.Context, q auth.Question) (auth.Verification, error) {
	ch := s.chains[q.Chain]
	if ch == nil {
		return auth.Verification{}, unavailableError("no endpoint of chain %d is configured", q.Chain)
	}
	need := ch.majority()
	if q.Spends {
		need = ch.quorum
	}
	if need > len(ch.clients) {
		return auth.Verification{}, unavailableError(
			"chain %d has %d endpoint configured, and %d must agree before value may be moved", q.Chain, len(ch.clients), need)
	}
	begun := s.now()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return auth.Verification{}, unavailableError("too many questions at once")
	}
	at, who, err := s.pinBlock(ctx, ch, need)
	if err != nil {
		return auth.Verification{}, err
	}
	a, agreed, err := answerAt(ctx, who, need, q, at)
	if err != nil && len(who) < len(ch.clients) { // those that were late with their newest block may have it
		a, agreed, err = answerAt(ctx, ch.clients, need, q, at)
	}
	if err != nil {
		return auth.Verification{}, err
	}
	return auth.Verification{
		Answer: a, Chain: q.Chain, Number: at.Number, Block: at.Hash, Validator: auth.ValidatorHash,
		Asked: uint64(len(ch.clients)), Agreed: uint64(agreed), At: begun, Took: s.now().Sub(begun),
	}, nil
}

// A reply is what one endpoint answered.
type reply[T any] struct {
	client *Client
	v      T
	err    error
}

// askAll asks every client at once and returns what came, in no order. Once it is enough the others get a little
// longer; rest is how much. It waits for all that it started.
func askAll[T any](
	ctx context.Context, clients []*Client, isEnough func([]reply[T]) bool, rest time.Duration,
	f func(context.Context, *Client) (T, error),
) []reply[T] {
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan reply[T], len(clients))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, c := range clients {
		wg.Go(func() {
			v, err := f(ctx, c)
			answers <- reply[T]{c, v, err}
		})
	}
	var out []reply[T]
	var late <-chan time.Time
	for len(out) < len(clients) {
		select {
		case a := <-answers:
			out = append(out, a)
			if late == nil && isEnough(out) {
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

// isEveryone waits for all.
func isEveryone[T any]([]reply[T]) bool { return false }

// areGood says that need have answered without an error.
func areGood[T any](need int) func([]reply[T]) bool {
	return func(list []reply[T]) bool {
		good := 0
		for _, a := range list {
			if a.err == nil {
				good++
			}
		}
		return good >= need
	}
}

// agree says that need have given the same answer.
func agree[T any, K comparable](need int, key func(T) K) func([]reply[T]) bool {
	return func(list []reply[T]) bool {
		_, who := majorityOf(list, key)
		return len(who) >= need
	}
}

func joinReasons[T any](list []reply[T]) string {
	var out []string
	for _, a := range list {
		if a.err != nil {
			out = append(out, a.err.Error())
		}
	}
	return strings.Join(out, "; ")
}

// pinBlock chooses the newest block that enough endpoints have, and returns it with those that agree on it. Those that
// answer first are tried first. If they do not agree, a liar may be among them, and the others are waited for.
func (s *Chains) pinBlock(ctx context.Context, ch *chain, need int) (Block, []*Client, error) {
	at, who, err := s.pinAmong(ctx, ch, need, areGood[Block](need))
	if err == nil {
		return at, who, nil
	}
	waiting, cancel := context.WithTimeout(ctx, s.timeout/3) // so that the question itself still has its time
	defer cancel()
	return s.pinAmong(waiting, ch, need, isEveryone[Block])
}

func (s *Chains) pinAmong(
	ctx context.Context, ch *chain, need int, isEnough func([]reply[Block]) bool,
) (Block, []*Client, error) {
	heads := askAll(ctx, ch.clients, isEnough, grace, s.newest)
	why := joinReasons(heads)
	stalled, n := newestStalled(heads)
	heads = slices.DeleteFunc(heads, func(h reply[Block]) bool { return h.err != nil })
	if len(heads) < need && len(heads)+n >= need { // they answer, and the chain stands
		return Block{}, nil, fmt.Errorf("%w: %w (%s)", auth.ErrUnavailable, stalled, why)
	}
	if len(heads) < need {
		return Block{}, nil, unavailableError("%d of %d endpoints answered, %d are needed (%s)", len(heads), len(ch.clients),
			need, why)
	}
	slices.SortFunc(heads, func(a, b reply[Block]) int { return cmp.Compare(b.v.Number, a.v.Number) })
	// No block is had by enough that is newer than that of the need-th. Whoever names a higher number than it has may
	// have pushed that up by one place: then an older one is the newest that enough have.
	var err error
	for i := need - 1; i < len(heads); i++ {
		number := heads[i].v.Number
		if i >= need && number == heads[i-1].v.Number {
			continue
		}
		at, who, why := agreeOnBlock(ctx, heads, need, number)
		if len(who) >= need {
			return at, who, nil
		}
		if err == nil {
			err = unavailableError("fewer than %d endpoints agree on block %d (%s)", need, number, why)
		}
	}
	return Block{}, nil, err
}

// newestStalled counts the endpoints whose newest block is too old, and returns the newest of those.
func newestStalled(heads []reply[Block]) (newest *auth.StalledError, n int) {
	for _, h := range heads {
		if e, ok := errors.AsType[*auth.StalledError](h.err); ok {
			if n++; newest == nil || e.Since.After(newest.Since) {
				newest = e
			}
		}
	}
	return newest, n
}

// agreeOnBlock asks those whose newest block is not older for the block of a number. It returns the block that most of
// them have, who has it, and why others have none.
func agreeOnBlock(ctx context.Context, heads []reply[Block], need int, number uint64) (Block, []*Client, string) {
	var ahead []*Client
	newest := map[*Client]Block{}
	for _, h := range heads {
		if h.v.Number >= number {
			ahead = append(ahead, h.client)
			newest[h.client] = h.v
		}
	}
	hash := func(b Block) [32]byte { return b.Hash }
	same := askAll(ctx, ahead, agree(need, hash), patience, func(ctx context.Context, c *Client) (Block, error) {
		if b := newest[c]; b.Number == number {
			return b, nil
		}
		return c.At(ctx, number)
	})
	at, who := majorityOf(same, hash)
	return at, who, joinReasons(same)
}

// newest returns an endpoint's newest block. One that is too old, or ahead of the clock, is the endpoint's fault.
func (s *Chains) newest(ctx context.Context, c *Client) (Block, error) {
	b, err := c.Newest(ctx)
	if err != nil {
		return b, err
	}
	ahead := MaxAhead
	if c.local {
		ahead = MaxAheadLocal
	}
	switch age := s.now().Sub(b.Time); {
	case !c.local && age > MaxAge:
		return b, fmt.Errorf("%s: its newest block is %s old (%w)", c.host, age.Round(time.Second),
			&auth.StalledError{Since: b.Time})
	case -age > ahead:
		return b, fmt.Errorf("%s: its newest block is %s ahead of the clock", c.host, (-age).Round(time.Second))
	}
	return b, nil
}

// answerAt asks the clients at one block and returns what enough of them, and more than any others, agree on.
func answerAt(ctx context.Context, clients []*Client, need int, q auth.Question, at Block) (auth.Answer, int, error) {
	whole := func(a auth.Answer) auth.Answer { return a }
	answers := askAll(ctx, clients, agree(need, whole), patience,
		func(ctx context.Context, c *Client) (auth.Answer, error) {
			return c.AskAt(ctx, q, at.Hash)
		})
	a, who := majorityOf(answers, whole)
	others := 0
	for _, x := range answers {
		if x.err == nil && x.v != a {
			others++
		}
	}
	if len(who) < need || others >= len(who) && others > 0 {
		err := errors.New(joinReasons(answers))
		if others > 0 {
			err = errors.New("they contradict each other")
		}
		return auth.Answer{}, 0, unavailableError("fewer than %d endpoints agree on an answer at block %d (%v)", need,
			at.Number, err)
	}
	return a, len(who), nil
}

// majorityOf returns the value that most answers without an error share, and who gave it.
func majorityOf[T any, K comparable](list []reply[T], key func(T) K) (v T, who []*Client) {
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

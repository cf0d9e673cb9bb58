package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// ErrUnavailable says that no endpoint gave an answer: each was unreachable, too slow, over its rate, or of another
// chain. Asking again later may help. Every other error of a [Pool] is the chain's own answer, or the context's.
var ErrUnavailable = errors.New("no endpoint of the chain answered")

const (
	maxEndpoints = 8
	maxBody      = 8 << 20 // bytes of one answer
	downFor      = 5 * time.Second
)

// A PoolConfig says where a chain is.
type PoolConfig struct {
	URLs    []string      // http or https, the preferred one first; 1 to 8
	Chain   uint64        // EIP-155 id; an endpoint of another chain is never used
	Timeout time.Duration // of one attempt at one endpoint; 10 s if 0
}

// A Pool asks several endpoints of one chain as if they were one. Its methods are those of [ethclient.Client] of the
// same names, and may be called by many goroutines at once. Errors name an endpoint by its host only, because URLs
// often carry a key.
type Pool struct {
	chain     *big.Int
	timeout   time.Duration
	endpoints []*endpoint
}

type endpoint struct {
	host   string
	client *ethclient.Client

	mu      sync.Mutex // guards what follows
	checked bool       // serves the right chain
	down    time.Time  // asked last until then
}

// NewPool returns a Pool, or an error that names what is wrong with the configuration. It connects to nothing yet;
// each endpoint's chain id is checked before its first use.
func NewPool(c PoolConfig) (*Pool, error) {
	if len(c.URLs) == 0 || len(c.URLs) > maxEndpoints {
		return nil, fmt.Errorf("chain: %d endpoints are configured; give 1 to %d", len(c.URLs), maxEndpoints)
	}
	if c.Chain == 0 {
		return nil, errors.New("chain: the chain id is missing")
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	p := &Pool{chain: new(big.Int).SetUint64(c.Chain), timeout: c.Timeout}
	for i, raw := range c.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			p.Close()
			return nil, fmt.Errorf("chain: endpoint %d is not an http or https URL", i+1) // it may carry a key
		}
		client, err := rpc.DialOptions(context.Background(), raw, rpc.WithHTTPClient(httpClient())) // dials nothing
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("chain: endpoint %s cannot be used", u.Host)
		}
		p.endpoints = append(p.endpoints, &endpoint{host: u.Host, client: ethclient.NewClient(client)})
	}
	return p, nil
}

// httpClient returns a client with bounds: connections, bytes of an answer, and no redirects, which would carry a
// signed transaction to a host that nobody configured.
func httpClient() *http.Client {
	return &http.Client{
		Transport: limited{&http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16,
			IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = body{http.MaxBytesReader(nil, resp.Body, maxBody), resp.Body}
	}
	return resp, err
}

type body struct {
	io.Reader
	io.Closer
}

// Close closes idle connections. Calls under way may fail.
func (p *Pool) Close() {
	for _, e := range p.endpoints {
		e.client.Close()
	}
}

// ask tries the endpoints in order until one answers; those that were down a moment ago come last.
func ask[T any](ctx context.Context, p *Pool, f func(context.Context, *ethclient.Client) (T, error)) (T, error) {
	var zero T
	var reasons []string
	var notFound error
	for _, e := range p.order(time.Now()) {
		v, err := try(ctx, p, e, f)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return zero, ctx.Err()
		case errors.Is(err, ethereum.NotFound):
			notFound = err // another endpoint may be further ahead
		case answered(err):
			return zero, err
		default:
			reasons = append(reasons, e.host+": "+plain(err))
		}
	}
	if notFound != nil {
		return zero, notFound
	}
	return zero, fmt.Errorf("%w (%s)", ErrUnavailable, strings.Join(reasons, "; "))
}

func try[T any](ctx context.Context, p *Pool, e *endpoint, f func(context.Context, *ethclient.Client) (T, error)) (v T, err error) {
	attempt, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err = e.check(attempt, p.chain); err == nil {
		v, err = f(attempt, e.client)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ethereum.NotFound) && !answered(err) {
		e.mu.Lock()
		e.down = time.Now().Add(downFor)
		e.mu.Unlock()
	}
	return v, err
}

// check makes sure, once, that the endpoint serves the right chain.
func (e *endpoint) check(ctx context.Context, want *big.Int) error {
	e.mu.Lock()
	checked := e.checked
	e.mu.Unlock()
	if checked {
		return nil
	}
	got, err := e.client.ChainID(ctx)
	if err != nil {
		return errors.New(plain(err)) // whatever it is, the endpoint cannot be used
	}
	if got.Cmp(want) != 0 {
		return fmt.Errorf("serves chain %s, not %s", got, want)
	}
	e.mu.Lock()
	e.checked = true
	e.mu.Unlock()
	return nil
}

func (p *Pool) order(now time.Time) []*endpoint {
	up, down := make([]*endpoint, 0, len(p.endpoints)), []*endpoint(nil)
	for _, e := range p.endpoints {
		e.mu.Lock()
		if now.Before(e.down) {
			down = append(down, e)
		} else {
			up = append(up, e)
		}
		e.mu.Unlock()
	}
	return append(up, down...)
}

// answered says whether err is what the chain answered, so that asking elsewhere is of no use. The exceptions are
// answers about the endpoint itself: over its rate (EIP-1474), out of resources, or behind the block that was named.
func answered(err error) bool {
	e, ok := errors.AsType[rpc.Error](err)
	if !ok {
		return false
	}
	return e.ErrorCode() != -32005 && e.ErrorCode() != -32002 && !strings.Contains(e.Error(), "header not found")
}

// plain returns an error's text without the URL that net/http puts into it.
func plain(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[rpc.HTTPError](err); ok {
		return "HTTP " + e.Status // its body is the endpoint's, and may be long
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "too slow"
	}
	s := err.Error()
	return s[:min(len(s), 200)]
}

// The methods of [ethclient.Client].

// ChainID returns the chain's EIP-155 id.
func (p *Pool) ChainID(ctx context.Context) (*big.Int, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (*big.Int, error) { return c.ChainID(ctx) })
}

// HeaderByNumber returns a block's header, the newest one if number is nil.
func (p *Pool) HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (*types.Header, error) {
		return c.HeaderByNumber(ctx, number)
	})
}

// TransactionCount returns how many transactions a block has.
func (p *Pool) TransactionCount(ctx context.Context, block common.Hash) (uint, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (uint, error) { return c.TransactionCount(ctx, block) })
}

// BalanceAtHash returns an account's balance in wei at a block.
func (p *Pool) BalanceAtHash(ctx context.Context, account common.Address, block common.Hash) (*big.Int, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (*big.Int, error) {
		return c.BalanceAtHash(ctx, account, block)
	})
}

// CallContractAtHash calls a contract at a block, without a transaction.
func (p *Pool) CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) ([]byte, error) {
		return c.CallContractAtHash(ctx, msg, block)
	})
}

// SimulateV1 runs calls on top of a block, without a transaction (eth_simulateV1).
func (p *Pool) SimulateV1(ctx context.Context, o ethclient.SimulateOptions, at *rpc.BlockNumberOrHash) ([]ethclient.SimulateBlockResult, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) ([]ethclient.SimulateBlockResult, error) {
		return c.SimulateV1(ctx, o, at)
	})
}

// TransactionByHash returns a transaction and whether it is still pending.
func (p *Pool) TransactionByHash(ctx context.Context, hash common.Hash) (*types.Transaction, bool, error) {
	type found struct {
		tx      *types.Transaction
		pending bool
	}
	f, err := ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (f found, err error) {
		f.tx, f.pending, err = c.TransactionByHash(ctx, hash)
		return f, err
	})
	return f.tx, f.pending, err
}

// TransactionReceipt returns the receipt of a transaction that is in a block.
func (p *Pool) TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (*types.Receipt, error) {
		return c.TransactionReceipt(ctx, hash)
	})
}

// NonceAt returns an account's next nonce at a block, the newest one if number is nil.
func (p *Pool) NonceAt(ctx context.Context, account common.Address, number *big.Int) (uint64, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (uint64, error) { return c.NonceAt(ctx, account, number) })
}

// CodeAt returns an account's code at a block, the newest one if number is nil.
func (p *Pool) CodeAt(ctx context.Context, account common.Address, number *big.Int) ([]byte, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) ([]byte, error) { return c.CodeAt(ctx, account, number) })
}

// PendingNonceAt returns an account's next nonce with its pending transactions counted.
func (p *Pool) PendingNonceAt(ctx context.Context, account common.Address) (uint64, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (uint64, error) { return c.PendingNonceAt(ctx, account) })
}

// SuggestGasTipCap returns the tip in wei per gas that gets a transaction in soon.
func (p *Pool) SuggestGasTipCap(ctx context.Context) (*big.Int, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (*big.Int, error) { return c.SuggestGasTipCap(ctx) })
}

// EstimateGas returns the gas that a transaction would use.
func (p *Pool) EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error) {
	return ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (uint64, error) { return c.EstimateGas(ctx, msg) })
}

// SendTransaction broadcasts a signed transaction. If one endpoint does not answer, the next one gets the same bytes,
// which is harmless: a transaction counts once.
func (p *Pool) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	_, err := ask(ctx, p, func(ctx context.Context, c *ethclient.Client) (struct{}, error) {
		return struct{}{}, c.SendTransaction(ctx, tx)
	})
	return err
}

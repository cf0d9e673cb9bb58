// Package pool makes one chain's JSON-RPC endpoints behave as a single client.
//
// A [Pool] asks the first endpoint and turns to the next when one does not serve. Whose an error is, is decided here:
// that a call reverts, or cannot be executed, is the chain's answer; everything else that an endpoint says instead of a
// result is the endpoint's own trouble, whatever code it chose for it, and the next one is asked. [ErrUnavailable] is
// said when there is no next one. Transactions go to all endpoints. What an endpoint cannot do, such as eth_simulateV1,
// is learnt for that endpoint and method alone. One that does not answer in its share of the time is left out for a
// while, so that it holds up one question and not each.
package pool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// ErrUnavailable says that no endpoint gave an answer: each was unreachable, too slow, over its rate, in trouble, or of
// another chain. Asking again later may help. Every other error of a [Pool] is the chain's own answer, the context's,
// or [ErrNoSimulation].
var ErrUnavailable = errors.New("no endpoint of the chain answered")

// ErrNoSimulation says that no endpoint has eth_simulateV1. It is an [rpc.Error] of code -32601, as of one node that
// has no such method.
var ErrNoSimulation error = noSimulation{}

type noSimulation struct{}

func (noSimulation) Error() string  { return "no endpoint of the chain simulates" }
func (noSimulation) ErrorCode() int { return -32601 }

const (
	maxEndpoints = 8
	maxBody      = 8 << 20 // bytes of one answer
	downFor      = 5 * time.Second
	outFor       = 30 * time.Second
	fairShare    = 500 * time.Millisecond // an attempt that was cut before says nothing of the endpoint
	maxAhead     = 24 * time.Hour         // of a newest block before the clock: a dev chain's goes on by a second a block
	lacksFor     = 10 * time.Minute       // after which an endpoint may have learnt a method
)

// A Config says where a chain is.
type Config struct {
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
	sends     sync.WaitGroup // broadcasts to endpoints whose answer nobody waits for; Close does
}

type endpoint struct {
	host   string
	client *ethclient.Client

	mu      sync.Mutex           // guards what follows
	checked bool                 // serves the right chain
	down    time.Time            // asked last until then
	out     time.Time            // did not answer in time: asked until then only if no other answers
	lacks   map[string]time.Time // methods that it does not have, asked last for them until then
}

// New returns a Pool, or an error that names what is wrong with the configuration. It connects to nothing yet;
// each endpoint's chain id is checked before its first use.
func New(c Config) (*Pool, error) {
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
		p.endpoints = append(p.endpoints, &endpoint{
			host: u.Host, client: ethclient.NewClient(client), lacks: map[string]time.Time{},
		})
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

// Close waits for broadcasts under way, each at most one attempt long, and closes idle connections. Other calls under
// way may fail.
func (p *Pool) Close() {
	p.sends.Wait()
	for _, e := range p.endpoints {
		e.client.Close()
	}
}

// A question is one call of one method. weak says of a result that another endpoint may know better: it counts if none
// does.
type question[T any] struct {
	method string
	ask    func(context.Context, *ethclient.Client) (T, error)
	weak   func(T) bool // none is if nil
}

// askMethod is askEndpoints where each result counts.
func askMethod[T any](
	ctx context.Context, p *Pool, method string, ask func(context.Context, *ethclient.Client) (T, error),
) (T, error) {
	return askEndpoints(ctx, p, question[T]{method: method, ask: ask})
}

// askEndpoints tries the endpoints in order until one answers; those that were down a moment ago, or do not have the
// method, come last. Those that are out are asked if none of the others has said anything. Each has a share of the time
// that ctx leaves, so that one that hangs leaves enough for the others and for the caller's next question.
func askEndpoints[T any](ctx context.Context, p *Pool, q question[T]) (T, error) {
	var none T
	var weak *T
	var reasons []string
	var notFound error
	lacking := 0
	order, in := p.orderEndpoints(q.method, time.Now())
	for i, e := range order {
		left := len(order) - i
		if i < in {
			left = in - i
		} else if weak != nil || notFound != nil {
			break
		}
		v, err := tryEndpoint(ctx, e, q, p.chain, p.shareTime(ctx, left))
		switch {
		case err == nil && q.weak != nil && q.weak(v):
			weak = &v
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return none, ctx.Err()
		case errors.Is(err, ethereum.NotFound):
			notFound = err // another endpoint may be further ahead
		case isExecutionError(err):
			return none, err
		default:
			if isMissingMethod(err) {
				lacking++
			}
			reasons = append(reasons, e.host+": "+errorText(err))
		}
	}
	switch {
	case weak != nil:
		return *weak, nil
	case notFound != nil:
		return none, notFound
	case lacking == len(p.endpoints) && q.method == simulateMethod:
		return none, ErrNoSimulation
	}
	return none, fmt.Errorf("%w (%s)", ErrUnavailable, strings.Join(reasons, "; "))
}

// shareTime returns how long one of the endpoints that are left may take. As much as each has stays for the caller.
func (p *Pool) shareTime(ctx context.Context, left int) time.Duration {
	until, ok := ctx.Deadline()
	if !ok || len(p.endpoints) == 1 {
		return p.timeout
	}
	return min(p.timeout, time.Until(until)/time.Duration(left+1))
}

const simulateMethod = "eth_simulateV1"

// tryEndpoint asks one endpoint, for so long at most, and remembers what its answer says of it.
func tryEndpoint[T any](
	ctx context.Context, e *endpoint, q question[T], chain *big.Int, share time.Duration,
) (v T, err error) {
	begun := time.Now()
	attempt, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	if err = e.checkChain(attempt, chain); err == nil {
		v, err = q.ask(attempt, e.client)
	}
	slow := errors.Is(attempt.Err(), context.DeadlineExceeded) && time.Since(begun) >= min(share, fairShare)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil || errors.Is(err, ethereum.NotFound) || isExecutionError(err):
		e.out = time.Time{}
	case slow: // whether by its share or by what time the caller had
		e.out = time.Now().Add(outFor)
	case ctx.Err() != nil: // the caller gave up
	case isMissingMethod(err):
		e.lacks[q.method] = time.Now().Add(lacksFor) // it may serve all else
	default:
		e.down = time.Now().Add(downFor)
	}
	return v, err
}

// checkChain makes sure, once, that the endpoint serves the right chain.
func (e *endpoint) checkChain(ctx context.Context, want *big.Int) error {
	e.mu.Lock()
	checked := e.checked
	e.mu.Unlock()
	if checked {
		return nil
	}
	got, err := e.client.ChainID(ctx)
	if err != nil {
		return errors.New(errorText(err)) // whatever it is, the endpoint cannot be used
	}
	if got.Cmp(want) != 0 {
		return fmt.Errorf("serves chain %s, not %s", got, want)
	}
	e.mu.Lock()
	e.checked = true
	e.mu.Unlock()
	return nil
}

// orderEndpoints returns the endpoints as they are to be asked: the first so many are in, the rest are out.
func (p *Pool) orderEndpoints(method string, now time.Time) (order []*endpoint, in int) {
	var last, out []*endpoint
	for _, e := range p.endpoints {
		e.mu.Lock()
		switch {
		case now.Before(e.out):
			out = append(out, e)
		case now.Before(e.down) || now.Before(e.lacks[method]):
			last = append(last, e)
		default:
			order = append(order, e)
		}
		e.mu.Unlock()
	}
	order = append(order, last...)
	return append(order, out...), len(order)
}

// executionErrors are what nodes say, in lower case, when the chain's own rules do not allow a call: asking elsewhere
// gives the same. Their codes are of no use: -32000, -32015, -32603 and 3 are all in use for them, and the first three
// for a node's own trouble too.
var executionErrors = []string{
	"revert", "out of gas", "invalid opcode", "opcode 0x", "bad instruction", "invalid jump", "bad jump destination",
	"stack underflow", "stack limit reached", "stack overflow", "write protection", "static state change",
	"gas required exceeds", "gas uint64 overflow", "intrinsic gas",
	"insufficient funds for gas", "insufficient funds for transfer", "insufficient balance for transfer",
	"insufficient funds. the account you tried", // with less, it may be the bill of whoever runs the endpoint
	"vm exception", "vm execution error", "evm error", "max code size exceeded", "contract address collision",
	"always failing transaction",
}

// ownTroubles are what nodes say of themselves, in lower case, in words that executions fail with too.
var ownTroubles = []string{
	"reorg", "snapshot", "database", "gas credit", "goroutine", "http error", "failed to get account",
}

// isExecutionError says whether err is what the chain answered: that a call reverts, or cannot be executed.
func isExecutionError(err error) bool {
	e, ok := errors.AsType[rpc.Error](err)
	if !ok {
		return false
	}
	if _, ok := ethclient.RevertErrorData(err); ok {
		return true
	}
	text := strings.ToLower(e.Error())
	says := func(s string) bool { return strings.Contains(text, s) }
	if says("execution reverted") { // for the contract's reason, which has any words
		return true
	}
	return slices.ContainsFunc(executionErrors, says) && !slices.ContainsFunc(ownTroubles, says)
}

// isMissingMethod says whether an endpoint does not have the method that it was asked: EIP-1474's -32601 and -32004,
// and what else is in use for it.
func isMissingMethod(err error) bool {
	e, ok := errors.AsType[rpc.Error](err)
	if !ok {
		return false
	}
	if e.ErrorCode() == -32601 || e.ErrorCode() == -32004 {
		return true
	}
	text := strings.ToLower(e.Error())
	if !strings.Contains(text, "method") {
		return false
	}
	for _, s := range []string{"does not exist", "not support", "unsupported", "not available", "not found", "not allowed",
		"unknown", "not whitelisted", "disabled"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// errorText returns an error's text without the URL that net/http puts into it.
func errorText(err error) string {
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
	return askMethod(ctx, p, "eth_chainId",
		func(ctx context.Context, c *ethclient.Client) (*big.Int, error) { return c.ChainID(ctx) })
}

// HeaderByNumber returns a block's header, the newest one if number is nil.
func (p *Pool) HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error) {
	if number != nil && number.Sign() < 0 {
		return p.taggedHeader(ctx, number)
	}
	return askMethod(ctx, p, "eth_getBlockByNumber",
		func(ctx context.Context, c *ethclient.Client) (*types.Header, error) {
			h, err := c.HeaderByNumber(ctx, number)
			if err == nil && number != nil && h.Number.Cmp(number) != 0 {
				return nil, fmt.Errorf("asked for block %d it gave %d", number, h.Number)
			}
			if err == nil && number == nil && h.Time > uint64(time.Now().Add(maxAhead).Unix()) {
				return nil, errors.New("its newest block is far ahead of the clock")
			}
			return h, err
		})
}

// taggedHeader returns the block that has a tag, such as the newest final one. An endpoint that answers with an error
// is taken for one that does not know the tag, and serves all else.
func (p *Pool) taggedHeader(ctx context.Context, tag *big.Int) (*types.Header, error) {
	name := rpc.BlockNumber(tag.Int64()).String()
	return askMethod(ctx, p, "eth_getBlockByNumber "+name,
		func(ctx context.Context, c *ethclient.Client) (*types.Header, error) {
			h, err := c.HeaderByNumber(ctx, tag)
			if _, answered := errors.AsType[rpc.Error](err); answered {
				return nil, unknownTag{name}
			}
			return h, err
		})
}

// unknownTag says that an endpoint does not know a tag. It is an [rpc.Error], as of a method that is not there.
type unknownTag struct{ name string }

func (e unknownTag) Error() string { return "it knows no block by the tag " + e.name }
func (unknownTag) ErrorCode() int  { return -32601 }

// TransactionCount returns how many transactions a block has.
func (p *Pool) TransactionCount(ctx context.Context, block common.Hash) (uint, error) {
	return askMethod(ctx, p, "eth_getBlockTransactionCountByHash",
		func(ctx context.Context, c *ethclient.Client) (uint, error) {
			return c.TransactionCount(ctx, block)
		})
}

// TransactionInBlock returns a transaction by its place in a block.
func (p *Pool) TransactionInBlock(ctx context.Context, block common.Hash, index uint) (*types.Transaction, error) {
	return askMethod(ctx, p, "eth_getTransactionByBlockHashAndIndex",
		func(ctx context.Context, c *ethclient.Client) (*types.Transaction, error) {
			return c.TransactionInBlock(ctx, block, index)
		})
}

// BalanceAtHash returns an account's balance in wei at a block.
func (p *Pool) BalanceAtHash(ctx context.Context, account common.Address, block common.Hash) (*big.Int, error) {
	return askMethod(ctx, p, "eth_getBalance", func(ctx context.Context, c *ethclient.Client) (*big.Int, error) {
		return c.BalanceAtHash(ctx, account, block)
	})
}

// CallContractAtHash calls a contract at a block, without a transaction.
func (p *Pool) CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error) {
	return askEndpoints(ctx, p, question[[]byte]{
		method: "eth_call",
		ask: func(ctx context.Context, c *ethclient.Client) ([]byte, error) {
			return c.CallContractAtHash(ctx, msg, block)
		},
		weak: func(out []byte) bool { return len(out) == 0 }, // as an endpoint without the state or the code answers
	})
}

// SimulateV1 runs calls on top of a block, without a transaction (eth_simulateV1).
func (p *Pool) SimulateV1(
	ctx context.Context, o ethclient.SimulateOptions, at *rpc.BlockNumberOrHash,
) ([]ethclient.SimulateBlockResult, error) {
	return askMethod(ctx, p, simulateMethod,
		func(ctx context.Context, c *ethclient.Client) ([]ethclient.SimulateBlockResult, error) {
			return c.SimulateV1(ctx, o, at)
		})
}

// TransactionByHash returns a transaction and whether it is still pending.
func (p *Pool) TransactionByHash(ctx context.Context, hash common.Hash) (*types.Transaction, bool, error) {
	type found struct {
		tx      *types.Transaction
		pending bool
	}
	f, err := askMethod(ctx, p, "eth_getTransactionByHash",
		func(ctx context.Context, c *ethclient.Client) (f found, err error) {
			f.tx, f.pending, err = c.TransactionByHash(ctx, hash)
			if err == nil && f.tx.Hash() != hash {
				return f, errors.New("it gave another transaction than it was asked for")
			}
			return f, err
		})
	return f.tx, f.pending, err
}

// TransactionReceipt returns the receipt of a transaction that is in a block. One that does not say how the transaction
// came out is no receipt yet: what is missing is not taken for a revert. One of another transaction, or that says
// something else than done or reverted, is the endpoint's fault.
func (p *Pool) TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error) {
	return askMethod(ctx, p, "eth_getTransactionReceipt",
		func(ctx context.Context, c *ethclient.Client) (*types.Receipt, error) {
			var r *receipt
			err := c.Client().CallContext(ctx, &r, "eth_getTransactionReceipt", hash)
			switch {
			case err != nil:
				return nil, err
			case r == nil || r.BlockNumber == nil || r.BlockHash == common.Hash{} || r.status == nil:
				return nil, ethereum.NotFound // what is in no block has no receipt
			case r.TxHash != hash:
				return nil, errors.New("its receipt is of another transaction")
			case *r.status > types.ReceiptStatusSuccessful:
				return nil, fmt.Errorf("its receipt has the status %d", *r.status)
			}
			return &r.Receipt, nil
		})
}

// A receipt is one as an endpoint answers it, which may leave its status out.
type receipt struct {
	types.Receipt
	status *uint64
}

func (r *receipt) UnmarshalJSON(b []byte) error {
	var said struct {
		Status *hexutil.Uint64 `json:"status"`
	}
	if err := json.Unmarshal(b, &said); err != nil {
		return fmt.Errorf("the status of a receipt: %w", err)
	}
	r.status = (*uint64)(said.Status)
	return r.Receipt.UnmarshalJSON(b)
}

// BlockByNumber returns a block with its transactions.
func (p *Pool) BlockByNumber(ctx context.Context, number *big.Int) (*types.Block, error) {
	return askMethod(ctx, p, "eth_getBlockByNumber", func(ctx context.Context, c *ethclient.Client) (*types.Block, error) {
		b, err := c.BlockByNumber(ctx, number)
		if err == nil && number != nil && number.Sign() >= 0 && b.Number().Cmp(number) != 0 {
			return nil, fmt.Errorf("asked for block %d it gave %d", number, b.Number())
		}
		return b, err
	})
}

// FilterLogs returns the events that q asks for.
func (p *Pool) FilterLogs(ctx context.Context, q ethereum.FilterQuery) ([]types.Log, error) {
	return askMethod(ctx, p, "eth_getLogs", func(ctx context.Context, c *ethclient.Client) ([]types.Log, error) {
		return c.FilterLogs(ctx, q)
	})
}

// CodeAt returns an account's code at a block, the newest one if number is nil.
func (p *Pool) CodeAt(ctx context.Context, account common.Address, number *big.Int) ([]byte, error) {
	return askMethod(ctx, p, "eth_getCode", func(ctx context.Context, c *ethclient.Client) ([]byte, error) {
		return c.CodeAt(ctx, account, number)
	})
}

// SuggestGasTipCap returns the tip in wei per gas that gets a transaction in soon.
func (p *Pool) SuggestGasTipCap(ctx context.Context) (*big.Int, error) {
	return askMethod(ctx, p, "eth_maxPriorityFeePerGas", func(ctx context.Context, c *ethclient.Client) (*big.Int, error) {
		return c.SuggestGasTipCap(ctx)
	})
}

// EstimateGas returns the gas that a transaction would use.
func (p *Pool) EstimateGas(ctx context.Context, msg ethereum.CallMsg) (uint64, error) {
	return askMethod(ctx, p, "eth_estimateGas", func(ctx context.Context, c *ethclient.Client) (uint64, error) {
		return c.EstimateGas(ctx, msg)
	})
}

// SendTransaction broadcasts a signed transaction to all endpoints at once, since one that takes it may keep it to
// itself. It returns nil as soon as one has it, or says that it knows it already; the others are still given theirs,
// and those that are out are waited for only if none of the others says anything of the transaction. If none takes it,
// the error is what the chain's rules say against it, as one of them has told, or [ErrUnavailable]. No error proves
// that the transaction is nowhere: its receipt and the account's nonce tell.
func (p *Pool) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	type answer struct {
		from *endpoint
		err  error
	}
	send := question[struct{}]{
		method: "eth_sendRawTransaction",
		ask: func(ctx context.Context, c *ethclient.Client) (struct{}, error) {
			return struct{}{}, c.SendTransaction(ctx, tx)
		},
	}
	answers := make(chan answer, len(p.endpoints)) // none waits to be heard
	order, in := p.orderEndpoints(send.method, time.Now())
	for _, e := range order {
		p.sends.Go(func() {
			_, err := tryEndpoint(context.WithoutCancel(ctx), e, send, p.chain, p.timeout)
			answers <- answer{e, err}
		})
	}
	var reasons []string
	var refused error
	for missing := slices.Clone(order[:in]); len(reasons) < len(order); {
		if refused != nil && len(missing) == 0 {
			return refused
		}
		select {
		case a := <-answers:
			if a.err == nil || isKnownAlready(a.err) {
				return nil
			}
			if isRefusal(a.err) {
				refused = a.err
			}
			reasons = append(reasons, a.from.host+": "+errorText(a.err))
			missing = slices.DeleteFunc(missing, func(e *endpoint) bool { return e == a.from })
		case <-ctx.Done():
			return cmp.Or(refused, ctx.Err())
		}
	}
	if refused != nil {
		return refused
	}
	return fmt.Errorf("%w (%s)", ErrUnavailable, strings.Join(reasons, "; "))
}

// isKnownAlready says whether an endpoint has the very transaction that it was sent.
func isKnownAlready(err error) bool {
	if saysOneOf(err, "unknown transaction", "account already exists") {
		return false
	}
	return saysOneOf(err, "already known", "known transaction", "already imported", "already exists", "already in mempool")
}

// isRefusal says whether a transaction is refused by the chain's rules, or for what else its account has sent, and not
// by the state of one endpoint.
func isRefusal(err error) bool {
	return isExecutionError(err) || saysOneOf(err, "nonce too low", "nonce too high", "underpriced", "fee too low",
		"could not replace", "replacementnotallowed", "replacement not allowed",
		"less than block base fee", "exceeds block gas limit", "invalid sender", "invalid chain id", "invalid signature",
		"transaction type not supported", "tip higher than fee cap", "oversized data", "exceeds the configured cap")
}

// saysOneOf says whether an endpoint's error has one of the texts, which are in lower case.
func saysOneOf(err error, texts ...string) bool {
	e, ok := errors.AsType[rpc.Error](err)
	if !ok {
		return false
	}
	text := strings.ToLower(e.Error())
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(text, s) })
}

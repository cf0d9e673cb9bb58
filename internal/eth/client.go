// Package eth asks Ethereum chains whether contract wallets accept signatures.
//
// A [Client] is one JSON-RPC endpoint, and no more of one than this needs: the newest block, a block by its number,
// eth_call and eth_getStorageAt, each with bounds on time and bytes. [Client.AskAt] puts an auth.Question at one block;
// an auditor uses it to ask again what a record says was answered.
//
// [Chains] is an auth.Contracts for a server: for each chain it has some endpoints and a quorum. They are asked at once
// about the same block, by its hash, and what counts is what most of them agree on, and at least the quorum where value
// may be moved. Everything else (no answer, too few endpoints, different blocks, different answers, a newest block that
// is old or ahead of the clock) is auth.ErrUnavailable, and never a yes or a no.
//
// An auditor also reads by it what a chain has of a log ([Client.Anchors]) and of a transaction ([Client.Mined]). The
// standard library, auth, provenance and tools/mined are all that it is made of, so that an auditor's program stays
// small.
package eth

import (
	"bytes"
	"context"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
)

const (
	maxAnswer = 64 << 10 // bytes of an eth_call's response
	maxBlock  = 4 << 20  // bytes of a block's response: it lists the hashes of its transactions
)

// A Client is one endpoint. It may be used by many goroutines at once. Errors name it by its host only, since URLs
// often carry a key.
type Client struct {
	url   string
	host  string
	local bool // on loopback: one's own
	http  *http.Client
}

// Dial returns a client of the endpoint at an http or https URL. It connects to nothing yet.
func Dial(raw string) (*Client, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("not an http or https URL") // which may hold a key
	}
	ip := net.ParseIP(u.Hostname())
	return &Client{
		url: raw, host: u.Host, local: u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16,
				IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Host returns the endpoint's host and port.
func (c *Client) Host() string { return c.host }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A Block is a block of a chain.
type Block struct {
	Number uint64
	Hash   [32]byte
	Time   time.Time
}

// ChainID returns the EIP-155 id of the chain that the endpoint serves.
func (c *Client) ChainID(ctx context.Context) (uint64, error) {
	var id quantity
	err := c.Call(ctx, maxAnswer, &id, "eth_chainId")
	return uint64(id), err
}

// Newest returns the newest block.
func (c *Client) Newest(ctx context.Context) (Block, error) { return c.blockOf(ctx, "latest") }

// At returns the block of a number.
func (c *Client) At(ctx context.Context, number uint64) (Block, error) {
	b, err := c.blockOf(ctx, "0x"+strconv.FormatUint(number, 16))
	if err == nil && b.Number != number {
		err = fmt.Errorf("%s: it was asked for block %d and gave %d", c.host, number, b.Number)
	}
	return b, err
}

func (c *Client) blockOf(ctx context.Context, which string) (Block, error) {
	var b *struct {
		Number    quantity `json:"number"`
		Hash      data     `json:"hash"`
		Timestamp quantity `json:"timestamp"`
	}
	if err := c.Call(ctx, maxBlock, &b, "eth_getBlockByNumber", which, false); err != nil {
		return Block{}, err
	}
	if b == nil || len(b.Hash) != 32 {
		return Block{}, fmt.Errorf("%s: it does not have the block %s", c.host, which)
	}
	return Block{uint64(b.Number), [32]byte(b.Hash), time.Unix(int64(b.Timestamp), 0)}, nil
}

// AskAt puts a question at the block with this hash, which must be on the chain that the endpoint holds for the right
// one. An error is about the endpoint, and no answer.
func (c *Client) AskAt(ctx context.Context, q auth.Question, block [32]byte) (auth.Answer, error) {
	call, err := q.Call()
	if err != nil {
		return auth.Answer{}, err
	}
	var out data
	err = c.Call(ctx, maxAnswer, &out, "eth_call",
		map[string]any{"data": data(call), "gas": "0x" + strconv.FormatUint(auth.ContractGas, 16)},
		map[string]any{"blockHash": data(block[:]), "requireCanonical": true})
	if err != nil {
		return auth.Answer{}, err
	}
	a, err := q.Read(out)
	if err != nil {
		return auth.Answer{}, fmt.Errorf("%s: %w", c.host, err)
	}
	if a.Standing == auth.StandingContract || a.Standing == auth.StandingDelegated {
		a.Proxy, err = c.readProxy(ctx, q.Account, a.Owners, block)
	}
	return a, err
}

// readProxy reads which code runs in an account's place, as auth.ProxyState has it.
func (c *Client) readProxy(
	ctx context.Context, account common.Address, owners, block [32]byte,
) (state [32]byte, err error) {
	at := map[string]any{"blockHash": data(block[:]), "requireCanonical": true}
	var words [len(auth.ProxySlots) + 1][32]byte // the last is slot 0
	var errs [len(words)]error
	var wg sync.WaitGroup
	for i := range words {
		var slot [32]byte
		if i < len(auth.ProxySlots) {
			slot = auth.ProxySlots[i]
		} else if owners == [32]byte{} {
			continue
		}
		wg.Go(func() { words[i], errs[i] = c.readSlot(ctx, account, slot, at) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return state, err
	}
	slots := [len(auth.ProxySlots)][32]byte(words[:])
	var beacon [32]byte
	if named := slots[auth.BeaconSlot]; named != [32]byte{} {
		var out data
		err := c.Call(ctx, maxAnswer, &out, "eth_call", map[string]any{
			"to": common.BytesToAddress(named[:]), "data": data(auth.BeaconCall),
			"gas": "0x" + strconv.FormatUint(auth.ContractGas, 16),
		}, at)
		if err != nil {
			return state, err
		}
		if len(out) >= len(beacon) {
			beacon = [32]byte(out)
		}
	}
	return auth.ProxyState(slots, owners, words[len(slots)], beacon), nil
}

func (c *Client) readSlot(ctx context.Context, account common.Address, slot [32]byte, at any) (w [32]byte, err error) {
	var word data
	if err = c.Call(ctx, maxAnswer, &word, "eth_getStorageAt", account, data(slot[:]), at); err != nil {
		return w, err
	}
	if len(word) != len(w) {
		return w, fmt.Errorf("%s: eth_getStorageAt: a word of %d bytes", c.host, len(word))
	}
	return [32]byte(word), nil
}

// Call makes one request and reads one result of at most limit bytes. Errors name the host and never the URL, which may
// hold a key; they may hold text of the endpoint.
func (c *Client) Call(ctx context.Context, limit int64, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %s: cannot be asked", c.host, method)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %s: %s", c.host, method, errorText(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: HTTP %d", c.host, method, resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("%s: %s: %s", c.host, method, errorText(err))
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%s: %s: the response is longer than %d bytes", c.host, method, limit)
	}
	var r struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s: %s: the response is not JSON-RPC", c.host, method)
	}
	if r.Error != nil {
		return fmt.Errorf("%s: %s: error %d: %s", c.host, method, r.Error.Code,
			r.Error.Message[:min(len(r.Error.Message), 200)])
	}
	if id := strings.Trim(string(r.ID), `"`); id != "" && id != "1" {
		return fmt.Errorf("%s: %s: the response is to another question", c.host, method)
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		return fmt.Errorf("%s: %s: the result is not of its form", c.host, method)
	}
	return nil
}

// errorText returns an error's text without the URL that net/http puts into it.
func errorText(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "too slow"
	}
	s := err.Error()
	return s[:min(len(s), 200)]
}

// data is bytes as JSON-RPC writes them.
type data []byte

func (d data) MarshalText() ([]byte, error) { return []byte("0x" + hex.EncodeToString(d)), nil }

// UnmarshalJSON refuses null, which is no bytes and not none.
func (d *data) UnmarshalJSON(b []byte) error { return readText(b, d) }

// UnmarshalText reads 0x and hex digits.
func (d *data) UnmarshalText(b []byte) (err error) {
	digits, ok := strings.CutPrefix(string(b), "0x")
	if *d, err = hex.DecodeString(digits); err != nil || !ok {
		return errors.New("not 0x and hex digits")
	}
	return nil
}

// quantity is a number as JSON-RPC writes it.
type quantity uint64

// UnmarshalJSON refuses null, which is no number and not 0.
func (q *quantity) UnmarshalJSON(b []byte) error { return readText(b, q) }

// UnmarshalText reads 0x and hex digits.
func (q *quantity) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(digits, 16, 63)
	if err != nil || !ok {
		return errors.New("not a quantity")
	}
	*q = quantity(n)
	return nil
}

func readText(b []byte, into encoding.TextUnmarshaler) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return errors.New("not a text")
	}
	return into.UnmarshalText([]byte(*s))
}

// Endpoints are those of one who checks what is recorded. They may serve different chains.
type Endpoints []*Client

// DialAll returns clients of the endpoints at the URLs.
func DialAll(urls []string) (Endpoints, error) {
	var all Endpoints
	for i, raw := range urls {
		c, err := Dial(raw)
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// AskAt puts a question at a block to all endpoints. Those that answer must agree; those of other chains, or without
// the block's state, do not count. The error says why there is no answer.
func (e Endpoints) AskAt(ctx context.Context, q auth.Question, block [32]byte) (auth.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*Timeout)
	defer cancel()
	answers := askAll(ctx, e, isEveryone, 0, func(ctx context.Context, c *Client) (auth.Answer, error) {
		return c.AskAt(ctx, q, block)
	})
	a, who := majorityOf(answers, func(a auth.Answer) auth.Answer { return a })
	for _, x := range answers {
		if x.err == nil && x.v != a {
			return auth.Answer{}, errors.New("the endpoints contradict each other")
		}
	}
	if len(who) == 0 {
		return auth.Answer{}, fmt.Errorf("no endpoint of chain %d has that block (%s)", q.Chain, joinReasons(answers))
	}
	return a, nil
}

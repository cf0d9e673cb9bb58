// Package price has the tool price.get, which reads prices of named feeds on a chain.
//
// A [Feed] is a contract that answers latestRoundData, as Chainlink's aggregators do, and that the operator has named
// for a pair. [New] makes the tool of them, [Tool.On] puts it on a chain. A price is told only if it can be relied on:
// a round that is not complete, an answer that is not positive, one that is older than the operator allows, decimals
// that nobody has, and a sequencer of a layer 2 that is down or was until a moment ago are errors, each in a sentence.
// All of an answer is read at one block, which it names; where the operator wants several endpoints to agree, they are
// asked at that block.
package price

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ToolName is what the tool is called.
const ToolName = "price.get"

const (
	maxDecimals = 36 // of a feed; more is no price's
	wordSize    = 32
	// lookBack is how many blocks before the newest are tried, where endpoints must agree: not all have the newest.
	lookBack = 3
)

// Bounds of what settings may say.
const (
	MaxFeeds = 32
	MaxAge   = 7 * 24 * time.Hour
)

// A Client is what the tool needs of a node.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
}

// A Quorum is a Client of several endpoints that can be asked whether they agree.
type Quorum interface {
	// CallAgreed is CallContractAtHash where at least so many endpoints, and more than half of all, must answer alike. It
	// returns how many did.
	CallAgreed(ctx context.Context, msg ethereum.CallMsg, block common.Hash, need int) ([]byte, int, error)
}

// A Feed says where the price of a pair is read, and when it counts.
type Feed struct {
	Pair    string // base and quote in capitals, e.g. ETH-USD
	Address common.Address
	MaxAge  time.Duration // of an update; required, since only who knows the feed knows how often it updates
	// Sequencer is the feed that says whether the sequencer of a layer 2 is up, as Chainlink's uptime feeds do. While it
	// is down, and for Grace after, prices are those of before. None if zero.
	Sequencer common.Address
	Grace     time.Duration // 1h if 0
	Quorum    int           // endpoints that must agree; one is asked if 0 or 1
}

// A Tool is price.get. Before [Tool.On] it can be described only.
type Tool struct {
	client Client
	chain  uint64
	feeds  map[string]Feed
	spec   tools.Spec
	now    func() time.Time
}

var pairShape = regexp.MustCompile(`^[A-Z0-9]{1,12}-[A-Z0-9]{1,12}$`)

// Check says what is wrong with a feed.
func (f Feed) Check() error {
	switch {
	case !pairShape.MatchString(f.Pair):
		return fmt.Errorf("%q is no pair, such as ETH-USD", f.Pair)
	case f.MaxAge <= 0 || f.MaxAge > MaxAge:
		return fmt.Errorf("%s: max_age must be said, at most %s: the time in which the feed always updates, and some more",
			f.Pair, MaxAge)
	case f.Grace < 0 || f.Grace > MaxAge || f.Quorum < 0:
		return fmt.Errorf("%s: grace and quorum are not below zero, and grace is at most %s", f.Pair, MaxAge)
	}
	return nil
}

// New makes the tool of feeds on the book's chain.
func New(book *tools.Book, feeds []Feed) (*Tool, error) {
	if len(feeds) == 0 || len(feeds) > MaxFeeds {
		return nil, fmt.Errorf("%d feeds of prices; 1 to %d are read", len(feeds), MaxFeeds)
	}
	t := &Tool{chain: book.Chain, feeds: map[string]Feed{}, now: time.Now}
	var pairs []string
	for _, f := range feeds {
		if err := f.Check(); err != nil {
			return nil, err
		}
		if _, twice := t.feeds[f.Pair]; twice {
			return nil, fmt.Errorf("the pair %s has two feeds", f.Pair)
		}
		if f.Grace == 0 {
			f.Grace = time.Hour
		}
		t.feeds[f.Pair], pairs = f, append(pairs, f.Pair)
	}
	if err := t.describe(pairs); err != nil {
		return nil, err
	}
	def, err := tools.Compile(t.spec)
	if err != nil {
		return nil, err
	}
	t.spec = def.Spec()
	return t, nil
}

// describe makes the tool's description, which names every feed and what is asked of it.
func (t *Tool) describe(pairs []string) error {
	var say strings.Builder
	for _, p := range pairs {
		f := t.feeds[p]
		fmt.Fprintf(&say, "%s: feed %s, at most %s old", p, f.Address.Hex(), f.MaxAge)
		if f.Sequencer != (common.Address{}) {
			fmt.Fprintf(&say, ", sequencer %s up for %s", f.Sequencer.Hex(), f.Grace)
		}
		if f.Quorum > 1 {
			fmt.Fprintf(&say, ", %d endpoints agree", f.Quorum)
		}
		say.WriteString(". ")
	}
	enum, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	described, err := json.Marshal(strings.TrimSpace(say.String()))
	if err != nil {
		return err
	}
	t.spec = tools.Spec{
		Name: ToolName, Class: tools.Read,
		Definition: provenance.NewRaw(fmt.Appendf(nil, "%d %s", t.chain, described)).CID.String(),
		About: "The price of a pair from its feed on the chain, with the block, the round and when it was updated. One " +
			"that cannot be relied on is an error.",
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["pair"],"properties":{
			"pair":{"type":"string","enum":` + string(enum) + `,"description":` + string(described) + `}}}`),
		Utterances: []string{"what is the price of {pair}", "price of {pair}", "{pair} price", "how much is {pair}",
			"what does {pair} cost", "show the price of {pair}"},
		Output: &tools.Output{Integrity: label.Tool, Secrecy: label.Session},
	}
	return nil
}

// On returns the tool on a chain. A feed of which several endpoints must agree needs a [Quorum].
func (t *Tool) On(c Client) (*Tool, error) {
	for _, f := range t.feeds {
		if _, ok := c.(Quorum); !ok && f.Quorum > 1 {
			return nil, fmt.Errorf("%s: the client cannot ask several endpoints", f.Pair)
		}
	}
	on := *t
	on.client = c
	return &on, nil
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// A result is a price as it is told.
type result struct {
	Pair      string `json:"pair"`
	Price     string `json:"price"` // exact, e.g. "3412.57"
	Display   string `json:"display"`
	Units     string `json:"units"`
	Decimals  uint8  `json:"decimals"`
	Feed      string `json:"feed"`
	Round     string `json:"round"`
	Updated   string `json:"updated_at"`
	Age       int64  `json:"age_seconds"`
	Agreed    int    `json:"endpoints_agreed"`
	Chain     uint64 `json:"chain"`
	Block     string `json:"block"`
	BlockHash string `json:"block_hash"`
}

// Call reads the price of a pair. Its errors are [*tools.Error]: stale_price, bad_price, incomplete_round, bad_feed,
// sequencer_down, endpoints_disagree, wrong_chain, chain_unavailable.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if t.client == nil {
		return nil, errors.New("the tool is on no chain")
	}
	f, ok := t.feeds[in.Args.Value("pair").Text]
	if !ok {
		return nil, errorf("unknown_pair", "There is no feed of this pair.")
	}
	id, err := t.client.ChainID(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if !id.IsUint64() || id.Uint64() != t.chain {
		return nil, errorf("wrong_chain",
			"The node serves chain %s, but the feeds are on chain %d; tell the operator.", id, t.chain)
	}
	r, err := t.readAgreed(ctx, f)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

// readAgreed reads a price at the newest block; where endpoints must agree, at the newest that enough of them have.
func (t *Tool) readAgreed(ctx context.Context, f Feed) (r result, err error) {
	head, err := t.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return r, unavailable(err)
	}
	for back := range lookBack + 1 {
		r, err = t.readAt(ctx, f, head)
		if !errors.Is(err, errNoAgreement) || back == lookBack || head.Number.Sign() == 0 {
			return r, err
		}
		older, missing := t.client.HeaderByNumber(ctx, new(big.Int).Sub(head.Number, big.NewInt(1)))
		if missing != nil {
			return r, unavailable(missing)
		}
		head = older
	}
	return r, err
}

// A reading is what a feed says at a block.
type reading struct {
	*Tool
	feed   Feed
	block  common.Hash
	agreed int // the fewest endpoints that agreed on an answer
}

func (t *Tool) readAt(ctx context.Context, f Feed, head *types.Header) (r result, err error) {
	at := &reading{Tool: t, feed: f, block: head.Hash(), agreed: math.MaxInt}
	// Of the clock's time and the block's the later one counts: neither a node that stands still nor a chain whose time
	// runs ahead makes a price younger than it is.
	now := max(t.now().Unix(), int64(head.Time))
	if err := at.checkSequencer(ctx, now); err != nil {
		return r, err
	}
	decimals, err := at.readDecimals(ctx)
	if err != nil {
		return r, err
	}
	round, err := at.latestRound(ctx, f.Address)
	if err != nil {
		return r, err
	}
	updated, err := round.check(f, int64(head.Time))
	if err != nil {
		return r, err
	}
	if age := time.Duration(now-updated) * time.Second; age > f.MaxAge {
		return r, errorf("stale_price", "The feed of %s was updated last at %s, %s ago; more than %s is too old to rely on. "+
			"Try again later, or tell the operator.", f.Pair, showTime(updated), age, f.MaxAge)
	}
	quote := f.Pair[strings.IndexByte(f.Pair, '-')+1:]
	price := decimalText(round.answer, decimals)
	return result{
		Pair: f.Pair, Price: price, Display: price + " " + quote, Units: round.answer.String(), Decimals: decimals,
		Feed: f.Address.Hex(), Round: round.id.String(), Updated: showTime(updated), Age: now - updated, Agreed: at.agreed,
		Chain: t.chain, Block: head.Number.String(), BlockHash: head.Hash().Hex(),
	}, nil
}

// checkSequencer makes sure that the sequencer of a layer 2 is up, and was for as long as prices need to catch up.
func (r *reading) checkSequencer(ctx context.Context, now int64) error {
	if r.feed.Sequencer == (common.Address{}) {
		return nil
	}
	round, err := r.latestRound(ctx, r.feed.Sequencer)
	if err != nil {
		return err
	}
	switch {
	case round.started.Sign() == 0 || !round.started.IsInt64() || round.started.Int64() > now:
		return errorf("sequencer_down", "It is not known since when the chain's sequencer is up; try again later.")
	case round.answer.Sign() != 0:
		return errorf("sequencer_down", "The chain's sequencer is down since %s, so prices on it are old; try again later.",
			showTime(round.started.Int64()))
	case now-round.started.Int64() <= int64(r.feed.Grace/time.Second):
		return errorf("sequencer_down", "The chain's sequencer is up again only since %s; prices on it count %s after that.",
			showTime(round.started.Int64()), r.feed.Grace)
	}
	return nil
}

var (
	selLatestRound = common.FromHex("feaf968c") // latestRoundData()
	selDecimals    = common.FromHex("313ce567") // decimals()
)

func (r *reading) readDecimals(ctx context.Context) (uint8, error) {
	out, err := r.call(ctx, r.feed.Address, selDecimals)
	if err != nil {
		return 0, err
	}
	n := new(big.Int).SetBytes(out)
	if len(out) != wordSize || !n.IsUint64() || n.Uint64() > maxDecimals {
		return 0, errorf("bad_feed", "The contract %s does not say its decimals as a feed does; tell the operator.",
			r.feed.Address.Hex())
	}
	return uint8(n.Uint64()), nil
}

// A round is what latestRoundData returns.
type round struct{ id, answer, started, updated, answeredIn *big.Int }

func (r *reading) latestRound(ctx context.Context, feed common.Address) (*round, error) {
	out, err := r.call(ctx, feed, selLatestRound)
	if err != nil {
		return nil, err
	}
	if len(out) != 5*wordSize {
		return nil, errorf("bad_feed", "The contract %s does not answer as a feed does; tell the operator.", feed.Hex())
	}
	word := func(i int) *big.Int { return new(big.Int).SetBytes(out[i*wordSize : (i+1)*wordSize]) }
	x := &round{word(0), word(1), word(2), word(3), word(4)}
	if x.answer.Bit(8*wordSize-1) == 1 { // two's complement
		x.answer.Sub(x.answer, new(big.Int).Lsh(big.NewInt(1), 8*wordSize))
	}
	return x, nil
}

// check returns when a round was updated, if it is one that gives a price.
func (x *round) check(f Feed, block int64) (updated int64, err error) {
	switch {
	case x.id.Sign() == 0 || x.updated.Sign() == 0:
		return 0, errorf("incomplete_round", "The newest round of the feed of %s is not complete; try again later.", f.Pair)
	case x.answeredIn.Cmp(x.id) < 0:
		return 0, errorf("incomplete_round", "The newest round of the feed of %s has no answer of its own but that of round "+
			"%s; try again later.", f.Pair, x.answeredIn)
	case !x.updated.IsInt64() || x.updated.Int64() > block:
		return 0, errorf("bad_feed", "The feed of %s says that it was updated after the block that it is in; tell the "+
			"operator.", f.Pair)
	case x.answer.Sign() <= 0:
		return 0, errorf("bad_price", "The feed of %s says %s, which is no price; tell the operator.", f.Pair, x.answer)
	}
	return x.updated.Int64(), nil
}

var errNoAgreement = errors.New("endpoints do not agree")

// call asks a contract at the block: one endpoint, or as many as must agree.
func (r *reading) call(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	msg := ethereum.CallMsg{To: &to, Data: data}
	if r.feed.Quorum <= 1 {
		r.agreed = 1
		out, err := r.client.CallContractAtHash(ctx, msg, r.block)
		return out, explain(ctx, err, to)
	}
	out, agreed, err := r.client.(Quorum).CallAgreed(ctx, msg, r.block, r.feed.Quorum)
	if _, answered := errors.AsType[rpc.Error](err); err != nil && !answered && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w (%w)", errNoAgreement, errorf("endpoints_disagree",
			"Fewer endpoints than %d agree on what the feed of %s says; try again in a minute.",
			r.feed.Quorum, r.feed.Pair), err)
	}
	r.agreed = min(r.agreed, agreed)
	return out, explain(ctx, err, to)
}

// explain says whose an error is: the contract's, which refuses, or the endpoint's, which does not answer.
func explain(ctx context.Context, err error, to common.Address) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if e, ok := errors.AsType[rpc.Error](err); ok && strings.Contains(e.Error(), "revert") {
		return errorf("bad_feed", "The contract %s refuses to say a price; tell the operator.", to.Hex())
	}
	return unavailable(err)
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unavailable says that nothing answered. The node's own words stay in the error, for the operator.
func unavailable(err error) error {
	told := errorf("chain_unavailable", "The chain cannot be reached now; try again in a minute.")
	return fmt.Errorf("%w (%w)", told, err)
}

func showTime(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// decimalText writes a positive count of smallest units as a decimal number, without zeros at its end.
func decimalText(n *big.Int, decimals uint8) string {
	s := n.String()
	if missing := int(decimals) + 1 - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	whole, part := s[:len(s)-int(decimals)], strings.TrimRight(s[len(s)-int(decimals):], "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}

package auth

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
)

// ErrNonce says that a nonce was never issued, was used before, or has expired. Asking for a new message helps.
var ErrNonce = errors.New("the nonce is unknown, used or expired")

// Nonces keeps what was issued. Its methods may be called by many goroutines at once, and on many nodes that share
// one store.
type Nonces interface {
	// PutNonce stores data under a new nonce until expires.
	PutNonce(ctx context.Context, nonce string, data []byte, expires time.Time) error
	// TakeNonce returns the data and forgets the nonce, atomically: of many calls at once, one succeeds. It returns
	// ErrNonce for a nonce that was never put, was taken, or had expired at now.
	TakeNonce(ctx context.Context, nonce string, now time.Time) ([]byte, error)
}

// Bounds and defaults of a desk.
const (
	NonceLife   = 5 * time.Minute
	DefaultLife = time.Hour // of a grant
)

// A Config says where a [Desk] stands and what it works with.
type Config struct {
	Scheme string           // of the pages that may ask: "https" or "http"; required
	Domain string           // as in [Offer]; required
	Nonces Nonces           // required
	Now    func() time.Time // the clock; required
	Rand   io.Reader        // chance fit for keys, safe for many goroutines: crypto/rand.Reader; required
	// Contracts asks the chains of contract wallets. Without it only accounts with a key sign in.
	Contracts Contracts
}

// A Desk gives out messages to sign and takes them back, each once. It may be used by many goroutines at once.
type Desk struct {
	c Config

	mu    sync.Mutex          // guards what follows
	wrote map[string]*written // by the exact text
	ring  [maxWritten]string  // its keys, the oldest at next
	next  int
}

// A written message waits for its signature. What the desk has read in it and hashed when it wrote it, it need not read
// and hash again. It keeps the newest maxWritten; any other message is read anew when it comes back.
type written struct {
	grant *Grant // unsigned
	hash  [32]byte
}

const maxWritten = 1024 // some 3 MB

func (d *Desk) rememberWritten(raw []byte, w *written) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.wrote, d.ring[d.next])
	d.ring[d.next] = string(raw)
	d.wrote[d.ring[d.next]] = w
	d.next = (d.next + 1) % maxWritten
}

// takeWritten returns what was kept of a message, once, or nil.
func (d *Desk) takeWritten(raw []byte) *written {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.wrote[string(raw)]
	if w != nil {
		delete(d.wrote, string(raw))
	}
	return w
}

// readWritten returns what keep would have kept of a message.
func (d *Desk) readWritten(raw []byte) (*written, error) {
	if w := d.takeWritten(raw); w != nil {
		return w, nil
	}
	m, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	g, err := readGrant(m)
	if g == nil {
		g = &Grant{Nonce: m.Nonce} // its nonce is used up all the same
	}
	return &written{g, textDigest(raw)}, m.addLine(err)
}

// NewDesk returns a Desk, or an error that names the first field that is wrong.
func NewDesk(c Config) (*Desk, error) {
	switch {
	case c.Nonces == nil:
		return nil, errors.New("auth: Config.Nonces is required")
	case c.Now == nil:
		return nil, errors.New("auth: Config.Now is required")
	case c.Rand == nil:
		return nil, errors.New("auth: Config.Rand is required")
	case !isOrigin(c.Scheme, c.Domain):
		return nil, fmt.Errorf("auth: %q is not the plain origin of a web page; give for instance https and app.example.com",
			c.Scheme+"://"+c.Domain)
	}
	return &Desk{c: c, wrote: make(map[string]*written)}, nil
}

// Origin returns the page that the desk's messages name: scheme://domain.
func (d *Desk) Origin() string { return d.c.Scheme + "://" + d.c.Domain }

// A Request says what a client wants a grant for.
type Request struct {
	Account  common.Address
	Chain    uint64 // EIP-155 id; one of Caveats.Chains
	Key      PublicKey
	Agent    string
	AgentCID cid.Cid
	RulesCID cid.Cid
	Tools    []string
	Caveats  Caveats
	Life     time.Duration // whole seconds up to MaxLife; DefaultLife if 0
	Channel  [32]byte      // the connection that asks; only it can answer

	OriginURI bool // as in [Offer]
}

// A Challenge is a message that waits for a signature.
type Challenge struct {
	Message   []byte // to be signed as it is
	Nonce     string
	RequestID string
	Expires   time.Time // of the challenge, not of the grant
}

// Challenge writes the message for a request and remembers it for [NonceLife]. An error is a [*Fault] if the request
// is at fault.
func (d *Desk) Challenge(ctx context.Context, r Request) (Challenge, error) {
	if r.Life == 0 {
		r.Life = DefaultLife
	}
	if r.Life < time.Second || r.Life > MaxLife {
		return Challenge{}, newFault(CodeTimeLife, "life", "it must be between a second and %d hours", int(MaxLife/time.Hour))
	}
	nonce, err := d.randomText()
	if err != nil {
		return Challenge{}, err
	}
	id, err := d.randomText()
	if err != nil {
		return Challenge{}, err
	}
	now := d.c.Now().UTC().Truncate(time.Second)
	raw, g, err := buildMessage(Offer{
		Scheme: d.c.Scheme, Domain: d.c.Domain, Account: r.Account, Chain: r.Chain, Key: r.Key, Nonce: nonce,
		RequestID: id, Agent: r.Agent, AgentCID: r.AgentCID, RulesCID: r.RulesCID, Tools: r.Tools, Caveats: r.Caveats,
		Issued: now, Expires: now.Add(r.Life), OriginURI: r.OriginURI,
	})
	if err != nil {
		return Challenge{}, err
	}
	c := Challenge{Message: raw, Nonce: nonce, RequestID: id, Expires: now.Add(NonceLife)}
	if err := d.c.Nonces.PutNonce(ctx, nonceSlot(nonce, r.Channel), raw, c.Expires); err != nil {
		return Challenge{}, fmt.Errorf("remember a challenge: %w", err)
	}
	d.rememberWritten(raw, &written{g, textDigest(raw)})
	return c, nil
}

// Open takes a signed message back over the channel that asked for it. The nonce of a text that can be read is used up
// by this, whatever comes of the rest. The error is a [*Fault], and [ErrNonce] if the nonce is not good (any more); any
// other error is the store's.
func (d *Desk) Open(ctx context.Context, raw, sig []byte, channel [32]byte) (*Grant, error) {
	w, unread := d.readWritten(raw)
	if w == nil {
		return nil, unread
	}
	now := d.c.Now()
	issued, err := d.c.Nonces.TakeNonce(ctx, nonceSlot(w.grant.Nonce, channel), now)
	if errors.Is(err, ErrNonce) {
		f := newFault(CodeNonceUsed, "Nonce",
			"it is unknown, used, expired, or was issued to another connection")
		f.cause = ErrNonce
		return nil, f
	}
	if err != nil {
		return nil, fmt.Errorf("look up a challenge: %w", err)
	}
	if bytes.Equal(raw, issued) {
		// What was issued was read by both readers then, and is what it promises: siwe-go is not asked again.
		if unread != nil {
			return nil, unread
		}
		if err := w.grant.checkTimes(now); err != nil {
			return nil, err
		}
		return d.checkSignature(ctx, w, raw, sig)
	}
	// Something was changed: the first check that fails says what.
	want, err := expectIssued(issued, now)
	if err != nil {
		return nil, fmt.Errorf("read a stored challenge: %w", err)
	}
	if _, err := Verify(raw, sig, want); err != nil { // by its key alone: no chain is asked about a text that is not ours
		return nil, err
	}
	return nil, newFault(CodeAltered, "message", "it is not the one that was issued")
}

// nonceSlot names what is stored of a challenge: its nonce on the connection that asked for it, so that who has seen a
// message cannot use it up from elsewhere.
func nonceSlot(nonce string, channel [32]byte) string {
	return nonce + "@" + hex.EncodeToString(channel[:])
}

// checkSignature checks the signature, by the account's key or its contract, and completes the grant.
func (d *Desk) checkSignature(ctx context.Context, w *written, raw, sig []byte) (*Grant, error) {
	g := w.grant
	g.Message, g.Sig = bytes.Clone(raw), bytes.Clone(sig)
	canonical, v, err := Check(ctx, d.c.Contracts, g.questionOf(w.hash))
	if err != nil {
		return nil, err
	}
	g.Sig, g.Method, g.Verified = canonical, MethodEOA, v
	if v != nil {
		g.Method = g.Question().Method()
	}
	return g, nil
}

// expectIssued returns what an issued message promises.
func expectIssued(issued []byte, now time.Time) (Expect, error) {
	m, err := Parse(issued)
	if err != nil {
		return Expect{}, err
	}
	g, err := readGrant(m)
	if err != nil {
		return Expect{}, err
	}
	return Expect{
		Scheme: g.Scheme, Domain: g.Domain, URI: g.URI, Key: g.Key, Chain: g.Chain, Nonce: g.Nonce, RequestID: g.RequestID,
		Account: g.Account, Agent: g.Agent, AgentCID: g.AgentCID, RulesCID: g.RulesCID, Now: now,
	}, nil
}

// randomText returns 22 random letters and digits: 131 bits.
func (d *Desk) randomText() (string, error) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out strings.Builder
	var buf [32]byte
	for range 100 {
		if _, err := io.ReadFull(d.c.Rand, buf[:]); err != nil {
			return "", fmt.Errorf("make a nonce: %w", err)
		}
		for _, b := range buf {
			if int(b) < 4*len(alphabet) { // a larger byte is dropped, or the first letters would be more likely
				out.WriteByte(alphabet[int(b)%len(alphabet)])
			}
			if out.Len() == 22 {
				return out.String(), nil
			}
		}
	}
	return "", errors.New("make a nonce: the source of chance gives no usable bytes")
}

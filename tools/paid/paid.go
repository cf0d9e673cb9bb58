// Package paid has the tools that buy what a server of the web sells by x402.
//
// [New] makes them of a list of hosts: NAME.offer asks what an address costs, and NAME.get pays that and returns what
// is there. If the operator lets bodies be posted, NAME.quote asks what one costs, and NAME.post pays that. So an offer
// is on record before anything is decided, and the payment is a call with an amount, an asset and a recipient like any
// other that moves value: policies, caps, payees and the wallet's approval see just these. When it is made, the server
// is asked once more, and what it then wants must be what the call says; else nothing is signed. A body is an argument
// of the call: the same bytes are sent to hear what they cost and to have them paid, so an offer for others is not
// paid.
//
// What is signed is an authorisation of EIP-3009 by the account that the operator's key is of. Its nonce is the call's
// key and its end follows from when the call was decided, so that a call that is made again, after a crash or for any
// other reason, signs the same and pays once. It is shown to the token first, which must be ready to take it, and then
// to the server.
//
// What was paid is what the chain shows. If the authorisation was used, the call is done, whatever the server answers
// besides; if it was not, and cannot be any more, nothing was paid, whatever the server says.
package paid

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/x402"
)

// Bounds of what settings may say, and what holds if they do not.
const (
	MinWindow     = 10 * time.Second
	MaxWindow     = x402.MaxWindow * time.Second
	defaultWindow = 60 * time.Second
	defaultTime   = 30 * time.Second
	defaultBytes  = 1 << 20
	maxText       = 32 << 10
	maxAssets     = 8
	settling      = 30 * time.Second // for what is asked of the chain after the authorisation's end
)

// A Client is what the tools need of an Ethereum node.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
	TransactionReceipt(ctx context.Context, hash common.Hash) (*types.Receipt, error)
	FilterLogs(ctx context.Context, q ethereum.FilterQuery) ([]types.Log, error)
}

// Config says what may be bought, and for how much.
type Config struct {
	Name  string         // that the tools' names begin with
	Hosts []string       // exact names that may be reached, lower case and without port; at least one
	Book  *tools.Book    // whose tokens pay
	Most  []money.Amount // the assets that pay, with the most that one call may pay; at least one
	// Methods are GET, POST or both; GET alone if there are none. With POST a body is also sent unpaid, to hear its price.
	Methods []string
	// Private lets the hosts be of private and local networks, with http and any port.
	Private bool
	// Window is for how long an authorisation holds at most; 60 s if 0.
	Window   time.Duration
	Ask      bool          // each payment needs the wallet's approval, whatever the policies permit besides
	MaxBytes int64         // of an answer; 1 MiB if 0
	Timeout  time.Duration // of one request; 30 s if 0

	Lookup func(ctx context.Context, host string) ([]netip.Addr, error) // the system's resolver if nil
	TLS    *tls.Config                                                  // the system's if nil
}

// New returns the tools, or an error that names what is wrong with the config. They can be described, and called once
// they are [Tool.On] a chain.
func New(c Config) ([]*Tool, error) {
	switch {
	case len(c.Hosts) == 0:
		return nil, errors.New("no host is named, so nothing could be bought; list exact names such as api.example.com")
	case len(c.Most) == 0 || len(c.Most) > maxAssets:
		return nil, fmt.Errorf("max says for 1 to %d assets the most that one call may pay, as 0.05 USDC", maxAssets)
	case c.Window != 0 && (c.Window < MinWindow || c.Window > MaxWindow):
		return nil, fmt.Errorf("a window of %s is not between %s and %s", c.Window, MinWindow, MaxWindow)
	case c.MaxBytes < 0 || c.Timeout < 0:
		return nil, errors.New("a bound is below zero")
	}
	for i, m := range c.Methods {
		if m != http.MethodGet && m != http.MethodPost || slices.Contains(c.Methods[:i], m) {
			return nil, errors.New("methods are GET and POST, each once")
		}
	}
	for _, h := range c.Hosts {
		if err := fetch.CheckHost(h); err != nil {
			return nil, err
		}
	}
	for i, m := range c.Most {
		symbol := m.Asset().Symbol
		switch t, ok := c.Book.Tokens[symbol]; {
		case !ok || t.Address == (common.Address{}):
			return nil, fmt.Errorf("%s is no token of the address book that can be paid with", symbol)
		case m.IsZero():
			return nil, fmt.Errorf("at most 0 %s could be paid", symbol)
		case slices.ContainsFunc(c.Most[:i], func(o money.Amount) bool { return o.Asset() == m.Asset() }):
			return nil, fmt.Errorf("the most of %s is said twice", symbol)
		}
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{http.MethodGet}
	}
	if c.Window == 0 {
		c.Window = defaultWindow
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultBytes
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTime
	}
	c.Hosts, c.Most, c.Methods = slices.Clone(c.Hosts), slices.Clone(c.Most), slices.Clone(c.Methods)
	transport := reach.Gate{Private: c.Private, Lookup: c.Lookup, TLS: c.TLS}.Transport()
	transport.DisableKeepAlives = true // on a connection that was used before, a request may be sent twice
	shared := &shop{cfg: c, skew: defaultSkew, least: leastTime, http: &http.Client{
		Transport: transport,
		// A redirect could lead a payment to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var out []*Tool
	if slices.Contains(c.Methods, http.MethodGet) {
		out = append(out, &Tool{shop: shared, spec: offerSpec(c)}, &Tool{shop: shared, spec: getSpec(c), pays: true})
	}
	if slices.Contains(c.Methods, http.MethodPost) {
		out = append(out, &Tool{shop: shared, spec: quoteSpec(c)}, &Tool{shop: shared, spec: postSpec(c), pays: true})
	}
	for _, t := range out {
		d, err := tools.Compile(t.spec)
		if err != nil {
			return nil, err
		}
		t.spec = d.Spec()
	}
	return out, nil
}

// A shop is what the tools share.
type shop struct {
	cfg    Config
	http   *http.Client
	client Client
	key    *ecdsa.PrivateKey
	from   common.Address
	final  tools.Finality
	skew   time.Duration // see defaultSkew
	least  time.Duration // see leastTime
}

// A Tool asks for an offer, or pays one.
type Tool struct {
	*shop
	spec tools.Spec
	pays bool
}

// On returns the tool on a chain. final says when a block counts for good.
func (t *Tool) On(client Client, key *ecdsa.PrivateKey, final string) (*Tool, error) {
	if key == nil && t.pays {
		return nil, errors.New("it pays, and there is no key of an account that does; set chain.key")
	}
	s := *t.shop
	s.client, s.key = client, key
	if key != nil {
		s.from = crypto.PubkeyToAddress(key.PublicKey)
	}
	var err error
	if s.final, err = tools.ParseFinality(final); err != nil {
		return nil, err
	}
	return &Tool{&s, t.spec, t.pays}, nil
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// Account names the account that pays, CAIP-10.
func (t *Tool) Account() string { return fmt.Sprintf("eip155:%d:%s", t.cfg.Book.Chain, t.from.Hex()) }

// MaxTime returns how long a call takes at most.
func (t *Tool) MaxTime() time.Duration {
	if !t.pays {
		return t.cfg.Timeout
	}
	return 2*t.cfg.Timeout + t.cfg.Window + t.skew + settling
}

func offerSpec(c Config) tools.Spec {
	return tools.Spec{
		Name: c.Name + ".offer",
		About: "Asks what an address costs, and pays nothing. " + reachable(c) + " Pay what it says with " + c.Name +
			".get.",
		Class:  tools.Read,
		Schema: schemaOf(`"url"`, urlArg, ""),
		Utterances: []string{
			"show the price of {url}", "what does {url} cost", "price of {url}", "how much is {url}",
			"what is the price of {url}",
		},
		Output: output,
	}
}

// quoteSpec describes the tool that asks what a body costs. It acts, unlike one that asks what an address costs: a
// server that wants no payment does what the body says.
func quoteSpec(c Config) tools.Spec {
	return tools.Spec{
		Name: c.Name + ".quote",
		About: "Posts a body without paying, to hear what that costs; a server that wants no payment acts on it. " +
			reachable(c) + " Pay what it says with " + c.Name + ".post of the same body.",
		Class:     tools.Once,
		AskWallet: c.Ask,
		Schema:    schemaOf(`"body","url"`, urlArg+","+bodyArgs, ""),
		Output:    output,
	}
}

// getSpec describes the tool that pays. Its window is a part of that: with another one it is another tool, so that a
// call which an earlier process may have made is judged by the window that it had.
func getSpec(c Config) tools.Spec {
	return payingSpec(c, tools.Spec{
		Name:   c.Name + ".get",
		About:  "Pays what an address costs and returns what is there.",
		Schema: schemaOf(`"amount","to","token","url"`, urlArg+","+amountArgs, byX402),
		Utterances: []string{
			"buy {url} for {amount} {token} from {to}", "pay {amount} {token} to {to} for {url}",
			"get {url} for {amount} {token} from {to}",
		},
	})
}

// postSpec describes the tool that pays for what a server makes of a body. No plain words order such a call: a
// condition among them would be taken for the body.
func postSpec(c Config) tools.Spec {
	return payingSpec(c, tools.Spec{
		Name:   c.Name + ".post",
		About:  "Pays what it costs to POST a body to an address, and returns the answer.",
		Schema: schemaOf(`"amount","body","to","token","url"`, urlArg+","+bodyArgs+","+amountArgs, byX402),
	})
}

// payingSpec adds what those tools have in common that pay.
func payingSpec(c Config, s tools.Spec) tools.Spec {
	asked := ".offer says"
	if strings.HasSuffix(s.Name, ".post") {
		asked = ".quote of the same body says"
	}
	s.About += " Amount, token and recipient are those that " + c.Name + asked + "; if the server wants " +
		"anything else by then, nothing is paid. " + reachable(c) + " At most " + mostOf(c) + " a call, within " +
		strconv.Itoa(int(c.Window/time.Second)) + " seconds."
	s.Class, s.Book, s.Output, s.AskWallet = tools.Keyed, c.Book, output, c.Ask
	s.Spend = &tools.Spend{Amount: "amount", Asset: "token", To: "to"}
	return s
}

func schemaOf(required, properties, more string) json.RawMessage {
	return json.RawMessage(`{"type":"object","additionalProperties":false,"required":[` + required + `],"properties":{` +
		properties + `}` + more + `}`)
}

// Arguments of the tools' schemas.
const (
	urlArg   = `"url":{"type":"string","format":"url","description":"the address of what is sold"}`
	bodyArgs = `"` + x402.ArgBody + `":{"type":"string","maxLength":12288,"description":"what is posted, to the letter: the ` +
		`text of a JSON object or list, or any text of type text/plain"},"` + x402.ArgType + `":{"type":"string","enum":["` +
		x402.TypeJSON + `","` + x402.TypeText + `"],"description":"of the body; application/json if it is left out"}`
	amountArgs = `"amount":{"type":"string","format":"amount","x-asset":"token","description":"what it costs, in whole tokens"},
			"token":{"type":"string","format":"token","description":"symbol of the token that pays"},
			"to":{"type":"string","format":"address","description":"who is paid, as the offer says"}`
	byX402 = `,"x-payment":"` + tools.PaymentX402 + `"`
)

// What a server answers is anybody's words.
var output = &tools.Output{Integrity: label.Untrusted, Secrecy: label.Session, Origins: true}

func reachable(c Config) string {
	hosts := c.Hosts[:min(len(c.Hosts), 12)]
	more := ""
	if len(c.Hosts) > len(hosts) {
		more = " and others"
	}
	return "Only these hosts can be reached: " + strings.Join(hosts, ", ") + more + "."
}

func mostOf(c Config) string {
	var all []string
	for _, m := range c.Most {
		all = append(all, m.String())
	}
	return strings.Join(all, " or ")
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

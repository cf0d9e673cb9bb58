package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth"
)

func authCommand(a *app) *cobra.Command {
	return cli.Group("auth", "Look into wallet sign-ins", authCheckCommand(a))
}

// An authCheck says what a signed message is compared with.
type authCheck struct {
	signature, domain            string // required
	scheme, address, uri         string
	nonce, requestID, at, chains string
	grant                        bool
	rpc                          []string
}

// A checked message, as --json shows it. A refusal has code, field, rule and place; what passed has the fields read.
type checked struct {
	Code    auth.Code `json:"code"`
	Field   string    `json:"field"`
	Message string    `json:"message"`
	Rule    string    `json:"rule,omitempty"`
	Line    int       `json:"line,omitempty"`   // from 1
	Column  int       `json:"column,omitempty"` // from 1, in bytes
	Byte    int       `json:"byte,omitempty"`   // of the file, from 1
	Text    string    `json:"text,omitempty"`   // the line

	Account     string   `json:"account,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Chain       uint64   `json:"chain,omitempty"`
	Agent       string   `json:"agent,omitempty"`
	Tools       []string `json:"tools,omitempty"`
	NotCompared []string `json:"not_compared,omitempty"`

	// Method is how the account signed: "eoa", "eip1271" or "eip6492"; "not checked" of a signature that no key makes and
	// that no endpoint was asked about.
	Method string `json:"method,omitempty"`
	// Kind is what the account is, as its chain says: "eoa", "contract", "delegated" (EIP-7702), "prepared" (EIP-6492), or
	// "not checked".
	Kind      string `json:"kind,omitempty"`
	Block     uint64 `json:"block,omitempty"` // at which the chain was asked
	BlockHash string `json:"block_hash,omitempty"`
	Asked     uint64 `json:"asked,omitempty"`  // endpoints
	Agreed    uint64 `json:"agreed,omitempty"` // of them
}

func authCheckCommand(a *app) *cobra.Command {
	var p authCheck
	c := &cobra.Command{
		Use: "check FILE", Short: "Check a signed Sign-In with Ethereum message, rule by rule",
		Long: `Reads a message of EIP-4361 from FILE, byte for byte (- is standard input), and says whether its account
signed it for the domain, and if not which rule is broken, and where: line, column and byte count from 1.

Checked are the grammar, the domain, the times as far as the message names them (60 seconds of skew), and the
signature. That of a contract wallet (EIP-1271, EIP-6492, a delegate's by EIP-7702) is for its chain to judge: --rpc
names endpoints of the message's chain, and of several, two must agree. Without one it is not checked. What else you
expect is compared if you name it; the answer lists what was not. With --grant the message must also be a permission of
writ: its ReCap canonical, every limit in its statement.

It only looks: nothing is used up, and a signed message that passes here can have been used already.`,
		Example: `  writ auth check message.txt --signature 0x... --domain app.example.com
  writ auth check message.txt --signature 0x --domain app.example.com --rpc https://one.example --rpc https://two.example
  writ auth check - --signature 0x... --domain app.example.com --nonce 4kPq81vX --chain 1 --json < message.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.authCheck(c.Context(), args[0], p) },
	}
	f := c.Flags()
	f.StringVar(&p.signature, "signature", "", "the signature: 0x and `hex` digits (required)")
	f.StringVar(&p.domain, "domain", "", "the `domain` that asked, with its port if it has one (required)")
	f.StringVar(&p.scheme, "scheme", "", "the scheme of the page that asked")
	f.StringVar(&p.address, "address", "", "the account that should have signed")
	f.StringVar(&p.uri, "uri", "", "the URI expected")
	f.StringVar(&p.chains, "chain", "", "the chain `id` expected")
	f.StringVar(&p.nonce, "nonce", "", "the nonce that was given out")
	f.StringVar(&p.requestID, "request-id", "", "the request `id` that was given out")
	f.StringVar(&p.at, "at", "", "check the times as of this `time` (RFC 3339; default now)")
	f.StringArrayVar(&p.rpc, "rpc", nil,
		"endpoint of the message's chain, a `URL`, to ask about a contract wallet; may be repeated")
	f.BoolVar(&p.grant, "grant", false, "it must be a permission of writ, too")
	return c
}

func (a *app) authCheck(ctx context.Context, file string, p authCheck) error {
	if p.signature == "" || p.domain == "" {
		return cli.Usage("say what the message must be: --signature 0x... and --domain NAME are needed")
	}
	now := time.Now()
	if p.at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339Nano, p.at); err != nil {
			return cli.Usage("--at %q is not a time like 2026-11-25T12:00:00Z", p.at)
		}
	}
	raw, err := a.ReadText(file)
	if err != nil {
		return err
	}
	out := checked{Message: "signed by its account for this domain, and in time"}
	m, err := p.check(ctx, raw, now, &out)
	if err != nil {
		f, ok := errors.AsType[*auth.Fault](err)
		if !ok {
			return err
		}
		return refuseMessage(a, raw, err, f, out)
	}
	out.Account, out.Domain, out.Chain = m.Address.Hex(), m.Domain, m.Chain
	return a.Done(out, func(w io.Writer) {
		fmt.Fprintf(w, "ok: %s signed this for %s, chain %d\n", out.Account, out.Domain, out.Chain)
		fmt.Fprintf(w, "signed by: %s\n", out.signer())
		if p.grant {
			fmt.Fprintf(w, "a permission for the agent %s to use: %s\n", out.Agent, strings.Join(out.Tools, ", "))
		}
		if len(out.NotCompared) > 0 {
			fmt.Fprintf(w, "not compared: %s\n", strings.Join(out.NotCompared, ", "))
		}
	})
}

// refuseMessage says what is wrong with a message, and where.
func refuseMessage(a *app, raw []byte, err error, f *auth.Fault, out checked) error {
	was := out
	out = describeRefusal(raw, f)
	out.Method, out.Kind = was.Method, was.Kind
	if out.Line > 0 {
		a.Note("%s", out.excerpt())
	}
	a.Note("rule: %s", out.Rule)
	says := out.Message
	if out.Method == notChecked {
		return &cli.Failure{Exit: cli.ExitIncomplete, Code: string(f.Code), Result: out,
			Message: says + "; give --rpc URL of its chain to ask it"}
	}
	if errors.Is(err, auth.ErrUnavailable) {
		return &cli.Failure{Exit: cli.ExitNetwork, Code: string(f.Code), Result: out,
			Message: says + ": " + cli.Plain(f.Unwrap().Error())}
	}
	if out.Kind == notChecked && f.Field == "signature" {
		a.Note("not checked: whether a contract at this address accepts it (--rpc URL)")
	}
	return &cli.Failure{Exit: cli.ExitSignature, Code: string(f.Code), Message: says, Result: out}
}

// check returns the message if all of it is as expected.
func (p *authCheck) check(ctx context.Context, raw []byte, now time.Time, out *checked) (*auth.Message, error) {
	if _, err := auth.Parse(raw); err != nil { // before a word about the signature
		return nil, err
	}
	sig, err := auth.ParseContractSig(p.signature)
	if err != nil {
		return nil, err
	}
	m, err := p.signed(ctx, raw, sig, now, out)
	if err != nil {
		return nil, err
	}
	if err := p.compare(m, out); err != nil {
		return nil, err
	}
	if p.grant {
		canonical := bytes.Clone(sig)
		if out.Method == auth.MethodEOA && canonical[64] < 27 {
			canonical[64] += 27
		}
		g, err := auth.RereadAs(out.Method, raw, canonical)
		if err != nil {
			return nil, err
		}
		out.Agent, out.Tools = g.Agent, g.Tools
	}
	return m, nil
}

// compare holds the message to what it must be, and notes what nothing was said of.
func (p *authCheck) compare(m *auth.Message, out *checked) error {
	requestID := ""
	if m.RequestID != nil {
		requestID = *m.RequestID
	}
	for _, e := range []struct {
		code        auth.Code
		field, flag string
		want, got   string
	}{
		{auth.CodeScheme, "scheme", "--scheme", p.scheme, m.Scheme},
		{auth.CodeAccount, "address", "--address", p.address, m.Address.Hex()},
		{auth.CodeURI, "URI", "--uri", p.uri, m.URI},
		{auth.CodeChain, "Chain ID", "--chain", p.chains, fmt.Sprint(m.Chain)},
		{auth.CodeNonce, "Nonce", "--nonce", p.nonce, m.Nonce},
		{auth.CodeRequestID, "Request ID", "--request-id", p.requestID, requestID},
	} {
		same := e.want == e.got || e.flag == "--address" && common.IsHexAddress(e.want) &&
			common.HexToAddress(e.want) == m.Address
		switch {
		case e.want == "":
			out.NotCompared = append(out.NotCompared, e.field+" ("+e.flag+")")
		case !same:
			f := &auth.Fault{Code: e.code, Field: e.field, Line: m.Line(e.field),
				Detail: "it is not the one expected, " + cli.Plain(e.want)}
			if f.Line > 0 {
				f.Column = 1
			}
			return f
		}
	}
	return nil
}

const notChecked = "not checked"

// signed checks the message and its signature, and notes what is known of the account.
func (p *authCheck) signed(ctx context.Context, raw, sig []byte, now time.Time, out *checked) (*auth.Message, error) {
	out.Kind = notChecked
	if len(p.rpc) == 0 {
		m, err := auth.Examine(raw, sig, p.domain, now)
		f, bad := errors.AsType[*auth.Fault](err)
		switch {
		case err == nil:
			out.Method = auth.MethodEOA
		case bad && f.Code == auth.CodeSigSize: // no key makes such a signature
			out.Method = notChecked
			f = &auth.Fault{Code: auth.CodeUnavailable, Field: f.Field, Line: f.Line, Column: f.Column,
				Detail: fmt.Sprintf("it is not one of a key; whether a contract on chain %d accepts it was not checked", m.Chain)}
			return nil, f
		}
		return m, err
	}
	m, err := auth.Parse(raw)
	if err != nil {
		return nil, err
	}
	chains, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: m.Chain, URLs: p.rpc,
		Quorum: min(eth.Quorum, len(p.rpc))}}})
	if err != nil {
		return nil, cli.Usage("--rpc: %s", err)
	}
	defer chains.Close()
	m, v, err := auth.ExamineOn(ctx, chains, raw, sig, p.domain, now)
	if err != nil {
		return nil, err
	}
	out.Method = auth.MethodEOA
	if v != nil {
		out.Method = auth.Question{Sig: sig}.Method()
		out.Kind, out.Block, out.BlockHash = string(v.Standing), v.Number, common.Hash(v.Block).Hex()
		out.Asked, out.Agreed = v.Asked, v.Agreed
	} else if got, err := chains.Account(ctx, m.Chain, m.Address); err == nil { // of a key's, only to say what it is
		out.Kind, out.Block, out.BlockHash = string(got.Answer.Standing), got.At.Number, common.Hash(got.At.Hash).Hex()
		out.Asked, out.Agreed = uint64(len(p.rpc)), uint64(len(got.Agree))
	}
	return m, nil
}

// signer says how and as what the account signed.
func (c *checked) signer() string {
	how := map[string]string{
		auth.MethodEOA: "its own key (eoa)", auth.MethodEIP1271: "its contract accepts it (eip1271)",
		auth.MethodEIP6492: "its contract accepts it once it is deployed, which was simulated (eip6492)",
	}[c.Method]
	if c.Kind == notChecked {
		return how + "; what the account is besides was not checked (--rpc URL)"
	}
	what := map[string]string{
		string(auth.StandingEOA): "no contract", string(auth.StandingContract): "a contract",
		string(auth.StandingPrepared):  "a contract that is not deployed yet",
		string(auth.StandingDelegated): "delegated by EIP-7702",
	}[c.Kind]
	return fmt.Sprintf("%s; the account is %s at block %d (%s) of chain %d, as %d of %d endpoints say", how, what,
		c.Block, c.BlockHash, c.Chain, c.Agreed, c.Asked)
}

// describeRefusal says what is known of a refusal.
func describeRefusal(raw []byte, f *auth.Fault) checked {
	// Who checks messages of others looks the code up.
	out := checked{Message: fmt.Sprintf("%s (%s)", cli.Plain(f.Error()), f.Code), Code: f.Code, Field: f.Field,
		Rule: f.Code.Rule(), Line: f.Line, Column: f.Column}
	if f.Line == 0 {
		return out
	}
	rest, at := string(raw), 0
	for range f.Line - 1 {
		_, after, ok := strings.Cut(rest, "\n")
		if !ok { // the message ends before this line
			return out
		}
		at += len(rest) - len(after)
		rest = after
	}
	out.Byte = at + f.Column
	out.Text, _, _ = strings.Cut(rest, "\n")
	return out
}

// excerpt shows the line and points to the place, if it is not too far out.
func (c *checked) excerpt() string {
	head := fmt.Sprintf("line %d | ", c.Line)
	text := []rune(cli.Plain(strings.ToValidUTF8(c.Text, "\ufffd")))
	if len(text) > 160 {
		text = append(text[:160], []rune("...")...)
	}
	s := head + string(text)
	if c.Column > 1 && c.Column <= 160 {
		s += "\n" + strings.Repeat(" ", len(head)+c.Column-1) + "^"
	}
	return s
}

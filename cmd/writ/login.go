package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

// A loginPlan says who signs in where.
type loginPlan struct {
	server  string
	agent   string
	wallet  string // reference; empty if the signature comes from elsewhere
	account string // whose signature comes from elsewhere
	chain   uint64
	life    time.Duration
	origin  string       // of the dApp's pages in whose name it is; empty for this program's own
	yes     bool         // do not ask before signing
	tools   []string     // fewer than the agent's; all of them if empty
	limits  *wire.Limits // the agent's defaults if nil
	unsaved bool         // leave the session that this program goes on with alone
	kind    auth.Kind    // of the session's key; Ed25519 if empty

	browser, noOpen bool // the wallet of a browser signs; the page is not opened by itself
	// textFile is where the text for the account goes, signedFile where its signature comes from; "" is the terminal.
	textFile, signedFile string
}

// loginOptions are the flags of writ login.
type loginOptions struct {
	plan          loginPlan
	key, keystore string
}

func loginCommand(a *app) *cobra.Command {
	var o loginOptions
	c := &cobra.Command{
		Use: "login", Short: "Sign in with a wallet: sign what an agent may do",
		Long: `Shows the exact text that the wallet signs, has it signed, and opens a session. The text names every
permission and every limit; a key of this session, made here, is bound into it and kept with the session in WRIT_HOME.

The wallet is one of these:

  --browser          the wallet of your browser (MetaMask, Rabby, ...). A page on this machine opens, good for one
                     sign-in and for five minutes; --no-open only prints its address. If the server is another machine,
                     the wallet may warn that the text names the server and not this page: compare the name.
  --keystore FILE    Ethereum's encrypted key file. Its password is asked for without echo, or read from the file that
                     --password-file names. It is never an argument.
  --account 0x...    a wallet that signs elsewhere. The text is printed, and the signature is read from standard input.
                     With --print-message FILE the exact text is written there (- is standard output), and with
                     --signature FILE the signature is awaited there. The text is good for this one connection and for
                     five minutes, so the program waits:

                       writ login --account $A --print-message text --signature sig &
                       until [ -e text ]; do sleep 1; done
                       cast wallet sign --ledger "$(cat text)" > sig; wait

  --key file:PATH, --key env:NAME
                     a raw private key, for automation. It is never an argument.

If none is named, the throw-away wallet of a ` + "`writ dev`" + ` server is taken there; elsewhere, on a terminal, the
browser's.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.login(c.Context(), a) },
	}
	o.addFlags(a, c.Flags())
	c.Flags().BoolVarP(&a.verbose, "verbose", "v", false, "show the whole text also where nobody is asked")
	c.Flags().StringVar(&o.plan.origin, "origin", "", "sign in as pages of this `origin` do, to try a dApp's rules")
	return c
}

// addFlags adds the flags that say who signs in where.
func (o *loginOptions) addFlags(a *app, f *pflag.FlagSet) {
	f.StringVar(&o.plan.server, "server", "", "`URL` of the server (default $WRIT_SERVER, else the one on this machine)")
	f.StringVar(&o.plan.agent, "agent", "", "which `agent` shall act (default: the first of the server's settings)")
	f.StringVar(&o.key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&o.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&o.plan.account, "account", "", "`address` of a wallet that signs elsewhere")
	f.BoolVar(&o.plan.browser, "browser", false, "the wallet of your browser signs")
	f.BoolVar(&o.plan.noOpen, "no-open", false, "do not open the browser, only print the address")
	f.StringVar(&a.PasswordFile, "password-file", "", "`file` with the password of the key file")
	f.StringVar(&o.plan.textFile, "print-message", "", "write the text to sign to this `file`, - for standard output")
	f.StringVar(&o.plan.signedFile, "signature", "", "await the signature in this `file`, - for standard input")
	f.Uint64Var(&o.plan.chain, "chain", 0, "EIP-155 `id` of the chain (default: the first that the agent's grant is for)")
	f.DurationVar(&o.plan.life, "life", time.Hour, "how long the session shall last, at most 24h")
	f.BoolVarP(&o.plan.yes, "yes", "y", false, "sign without asking")
}

func (o *loginOptions) login(ctx context.Context, a *app) error {
	if err := o.check(a); err != nil {
		return err
	}
	s, err := a.login(ctx, o.plan)
	if err != nil {
		return err
	}
	if o.plan.textFile == "-" { // standard output has the text, and nothing else
		a.Note("\nsigned in as %s at %s", s.Account, s.Server)
		return nil
	}
	return a.Done(sessionView(s), func(w io.Writer) {
		fmt.Fprintf(w, "signed in as %s at %s: agent %s, until %s\n", s.Account, s.Server, s.Agent, cli.Clock(s.Expires))
	})
}

// check says whether the flags go together, and completes the plan.
func (o *loginOptions) check(a *app) error {
	ways := 0
	for _, named := range []bool{o.key != "", o.keystore != "", o.plan.account != "", o.plan.browser} {
		if named {
			ways++
		}
	}
	switch {
	case ways > 1:
		return cli.Usage("give one of --browser, --keystore, --account and --key")
	case o.plan.account == "" && o.plan.textFile+o.plan.signedFile != "":
		return cli.Usage("--print-message and --signature go with --account: whose signature is it?")
	case o.plan.textFile == "-" && a.JSON:
		return cli.Usage("--print-message - and --json both want standard output; give --print-message a file")
	case o.plan.life < time.Second:
		return cli.Usage("--life %s is no time to act in; give at least 1s, at most 24h", o.plan.life)
	case o.keystore == "" && a.PasswordFile != "":
		return cli.Usage("--password-file goes with --keystore")
	}
	o.plan.wallet = o.key
	if o.keystore != "" {
		o.plan.wallet = "keystore:" + o.keystore
	}
	return nil
}

// login opens a session and saves it.
func (a *app) login(ctx context.Context, p loginPlan) (cli.SavedSession, error) {
	server, err := a.FindServer(p.server)
	if err != nil {
		return cli.SavedSession{}, err
	}
	if p.wallet == "" && p.account == "" && !p.browser {
		switch p.wallet = a.DevWallet(server); {
		case p.wallet != "":
			a.Note("no wallet was named: the throw-away wallet of `writ dev` signs")
		case cli.IsTerminal(a.In) && !a.JSON:
			p.browser = true
		default:
			return cli.SavedSession{}, cli.Usage("say which wallet signs: --browser, --keystore FILE, --key file:PATH, --key " +
				"env:NAME, or --account 0x... for one that signs elsewhere; writ wallet new FILE makes a key to try it with")
		}
	}
	if p.browser {
		return a.browserLogin(ctx, server, p)
	}
	if p.wallet == "" {
		if !common.IsHexAddress(p.account) {
			return cli.SavedSession{}, cli.Usage("--account %q is not an address", p.account)
		}
		return a.openSession(ctx, server, p, common.HexToAddress(p.account), "", func(message []byte) ([]byte, error) {
			return a.signElsewhere(ctx, p, message)
		})
	}
	w, err := a.OpenWallet(ctx, p.wallet)
	if err != nil {
		return cli.SavedSession{}, err
	}
	return a.openSession(ctx, server, p, w.Address(), p.wallet, func(message []byte) ([]byte, error) {
		isDev := a.DevWallet(server) == p.wallet // it has nothing to lose
		a.tellPermission(message, isDev && !a.verbose)
		if !isDev {
			if err := a.AskConsent(ctx, p.yes, "Sign this text?", "the text was not signed; nothing has changed"); err != nil {
				return nil, err
			}
		}
		return w.SignText(message)
	})
}

// tellPermission shows the text that is signed: all of it to who is asked, and otherwise what it permits.
func (a *app) tellPermission(message []byte, brief bool) {
	m, err := auth.Parse(message)
	if !brief || err != nil || m.Statement == nil {
		a.Note("----\n%s\n----", cli.Plain(string(message)))
		return
	}
	a.Note("signed for %s://%s, writ login --verbose shows the whole text:", m.Scheme, cli.Plain(m.Domain))
	words, rest, _ := strings.Cut(*m.Statement, " I further authorize ") // and this repeats it for programs
	if _, tools, ok := strings.Cut(rest, "'tool': "); ok {
		tools, _, _ = strings.Cut(tools, " for ")
		words += " Tools: " + strings.ReplaceAll(tools, "'", "")
	}
	for sentence := range strings.SplitSeq(strings.TrimSuffix(words, "."), ". ") {
		a.Note("  %s.", cli.Plain(sentence))
	}
}

// choose completes a plan by what the server has: its first agent if none is named, and the first chain of that agent's
// grant.
func (p *loginPlan) choose(ctx context.Context, c *client.Client) error {
	if p.agent != "" && p.chain != 0 {
		return nil
	}
	all, err := c.Agents(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, x := range all {
		if p.agent == "" {
			p.agent = x.Name
		}
		if x.Name == p.agent && len(x.Limits.Chains) > 0 {
			p.chain = cmp.Or(p.chain, x.Limits.Chains[0])
			return nil
		}
		names = append(names, x.Name)
	}
	if len(all) == 0 {
		return cli.Failf(cli.ExitIncomplete, "not_found", "the server has no agents; its operator sets them under agents")
	}
	return cli.Failf(cli.ExitIncomplete, "not_found", "the server has no agent %q; it has: %s", p.agent,
		strings.Join(names, ", "))
}

// checkText says whether the text that a server gives is the one that was asked for.
func (p *loginPlan) checkText(message []byte, server string, account common.Address) error {
	m, err := auth.Parse(message)
	if err != nil {
		return err
	}
	if m.Address != account || m.Chain != p.chain {
		return cli.Failf(cli.ExitSignature, "message",
			"the server gave a text for another account or chain; it was not signed")
	}
	// A server that passes on another's text would get this wallet's permission there.
	if p.origin != "" && p.origin != m.Scheme+"://"+m.Domain {
		return cli.Failf(cli.ExitSignature, "message", "the server gave a text for %s, not for %s; it was not signed",
			cli.Plain(m.Domain), p.origin)
	}
	if u, err := url.Parse(server); p.origin == "" && !cli.IsLoopback(server) &&
		(err != nil || !strings.EqualFold(u.Host, m.Domain)) {
		return cli.Failf(cli.ExitSignature, "message",
			"the server gave a text for %s, not for itself; it was not signed", cli.Plain(m.Domain))
	}
	return nil
}

// openSession opens a session for an account, whose signature comes from sign, and saves it.
func (a *app) openSession(
	ctx context.Context, server string, p loginPlan, account common.Address, wallet string,
	sign func([]byte) ([]byte, error),
) (cli.SavedSession, error) {
	key, err := auth.Generate(cmp.Or(p.kind, auth.Ed25519), rand.Reader)
	if err != nil {
		return cli.SavedSession{}, err
	}
	c, err := client.DialFrom(ctx, server, p.origin)
	if err != nil {
		return cli.SavedSession{}, err
	}
	defer c.Close()
	if p.unsaved {
		c.Device = wire.KeyDevice
	}
	if err := p.choose(ctx, c); err != nil {
		return cli.SavedSession{}, err
	}
	var text string
	opened, err := c.SignIn(ctx, wire.ChallengeParams{
		Account: account.Hex(), Chain: p.chain, Agent: p.agent, Life: uint64(p.life / time.Second),
		Tools: p.tools, Limits: p.limits,
	}, key, func(message []byte) ([]byte, error) {
		if err := p.checkText(message, server, account); err != nil {
			return nil, err
		}
		text = string(message)
		return sign(message)
	})
	if err != nil {
		return cli.SavedSession{}, err
	}
	s := cli.SavedSession{
		Server: server, Session: opened.ID, Account: opened.Account, Agent: opened.Agent, Expires: opened.Expires,
		Key: key.Secret(), Wallet: wallet, Message: text,
	}
	if p.unsaved {
		return s, nil
	}
	return s, a.Save("session.json", s)
}

// signElsewhere puts out the text and takes in the signature.
func (a *app) signElsewhere(ctx context.Context, p loginPlan, message []byte) ([]byte, error) {
	if p.textFile == "" {
		fmt.Fprintf(a.Err,
			"Sign the text between the lines as it is (personal_sign), and give the signature, 0x...:\n----\n%s\n----\n",
			cli.Plain(string(message)))
	} else if err := a.textFile(p.textFile, message); err != nil {
		return nil, err
	}
	if p.signedFile != "" && p.signedFile != "-" {
		a.Note("waiting for the signature in %s", p.signedFile)
		return a.signatureFile(ctx, p.signedFile)
	}
	return a.readSignature(ctx)
}

// readSignature reads a signature that was made elsewhere.
func (a *app) readSignature(ctx context.Context) ([]byte, error) {
	line, err := a.ReadLine(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return nil, cli.Failf(cli.ExitSignature, "sig.hex",
			"no signature came on standard input; sign the text and give 0x...")
	}
	return auth.ParseContractSig(line)
}

// connectSaved resumes the saved session. At the server of a `writ dev` one is opened if there is none: its wallet and
// its money are not real.
func (a *app) connectSaved(ctx context.Context, server string) (*client.Client, cli.SavedSession, error) {
	return a.connectFor(ctx, server, "")
}

// connectFor is connectSaved, and says which agent a session that is opened is for; the server's first if "".
func (a *app) connectFor(ctx context.Context, server, agent string) (*client.Client, cli.SavedSession, error) {
	server, err := a.FindServer(server)
	if err != nil {
		return nil, cli.SavedSession{}, err
	}
	c, s, err := a.resumeSession(ctx, server)
	if err == nil || cli.FailureOf(err).Exit != cli.ExitSignIn || a.DevWallet(server) == "" {
		return c, s, err
	}
	if _, err := a.login(ctx, loginPlan{server: server, agent: agent, life: time.Hour}); err != nil {
		return nil, cli.SavedSession{}, err
	}
	return a.resumeSession(ctx, server)
}

// resumeSession connects with the saved session, which must be one at this server.
func (a *app) resumeSession(ctx context.Context, server string) (*client.Client, cli.SavedSession, error) {
	var s cli.SavedSession
	if err := a.Load("session.json", &s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cli.SavedSession{}, err
	}
	if s.Server != server {
		return nil, cli.SavedSession{}, cli.Failf(cli.ExitSignIn, "session_required",
			"you are not signed in at %s; run: writ login", server)
	}
	if time.Now().UnixMilli() >= s.Expires {
		return nil, cli.SavedSession{}, cli.Failf(cli.ExitSignIn, "session_expired",
			"your session has ended; run: writ login")
	}
	key, err := auth.ParsePrivateKey(s.Key)
	if err != nil {
		return nil, cli.SavedSession{}, cli.Failf(cli.ExitSignIn, "session_required",
			"the saved session is damaged; run: writ login")
	}
	c, err := client.Dial(ctx, server)
	if err != nil {
		return nil, cli.SavedSession{}, err
	}
	if now, err := c.Resume(ctx, s.Session, key); err == nil {
		a.renewLater(now)
	} else {
		c.Close()
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Data.Code == wire.CodeNotFound {
			err = cli.Failf(cli.ExitSignIn, "session_required", "the server does not know your session; run: writ login")
		}
		return nil, cli.SavedSession{}, err
	}
	return c, s, nil
}

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/chain"
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
	origin  string // of the dApp's pages in whose name it is; empty for this program's own
	yes     bool   // do not ask before signing

	browser, noOpen      bool   // the wallet of a browser signs; the page is not opened by itself
	textFile, signedFile string // where the text for the account goes, and where its signature comes from; "" is the terminal
}

func (a *app) loginCommand() *cobra.Command {
	var p loginPlan
	var key, keystore string
	c := &cobra.Command{
		Use: "login", Short: "Sign in with a wallet: sign what an agent may do",
		Long: `Shows the exact text that the wallet signs, has it signed, and opens a session. The text names every permission and
every limit; a key of this session, made here, is bound into it and kept with the session in WRIT_HOME.

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

If none is named, the throw-away wallet of a ` + "`writ dev`" + ` server is taken there; elsewhere, on a terminal, the browser's.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ways := 0
			for _, named := range []bool{key != "", keystore != "", p.account != "", p.browser} {
				if named {
					ways++
				}
			}
			switch {
			case ways > 1:
				return usage("give one of --browser, --keystore, --account and --key")
			case p.account == "" && p.textFile+p.signedFile != "":
				return usage("--print-message and --signature go with --account: whose signature is it?")
			case p.textFile == "-" && a.json:
				return usage("--print-message - and --json both want standard output; give --print-message a file")
			case keystore == "" && a.passwordFile != "":
				return usage("--password-file goes with --keystore")
			}
			p.wallet = key
			if keystore != "" {
				p.wallet = "keystore:" + keystore
			}
			s, err := a.login(c.Context(), p)
			if err != nil {
				return err
			}
			if p.textFile == "-" { // standard output has the text, and nothing else
				a.note("\nsigned in as %s at %s", s.Account, s.Server)
				return nil
			}
			return a.done(sessionView(s), func(w io.Writer) {
				fmt.Fprintf(w, "signed in as %s at %s: agent %s, until %s\n", s.Account, s.Server, s.Agent, clock(s.Expires))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&p.server, "server", "", "`URL` of the server (default $WRIT_SERVER, else the one on this machine)")
	f.StringVar(&p.agent, "agent", "treasurer", "which agent shall act")
	f.StringVar(&key, "key", "", "where the wallet's private key is: file:PATH or env:NAME")
	f.StringVar(&keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&p.account, "account", "", "`address` of a wallet that signs elsewhere")
	f.BoolVar(&p.browser, "browser", false, "the wallet of your browser signs")
	f.BoolVar(&p.noOpen, "no-open", false, "do not open the browser, only print the address")
	f.StringVar(&a.passwordFile, "password-file", "", "`file` with the password of the key file")
	f.StringVar(&p.textFile, "print-message", "", "write the text to sign to this `file`, - for standard output")
	f.StringVar(&p.signedFile, "signature", "", "await the signature in this `file`, - for standard input")
	f.Uint64Var(&p.chain, "chain", chain.DevChainID, "EIP-155 `id` of the chain")
	f.DurationVar(&p.life, "life", time.Hour, "how long the session shall last, at most 24h")
	f.StringVar(&p.origin, "origin", "", "sign in as pages of this `origin` do, to try a dApp's rules")
	f.BoolVarP(&p.yes, "yes", "y", false, "sign without asking")
	return c
}

// login opens a session and saves it.
func (a *app) login(ctx context.Context, p loginPlan) (saved, error) {
	server, err := a.server(p.server)
	if err != nil {
		return saved{}, err
	}
	if p.wallet == "" && p.account == "" && !p.browser {
		switch p.wallet = a.devWallet(server); {
		case p.wallet != "":
			a.note("no wallet was named: the throw-away wallet of `writ dev` signs")
		case isTerminal(a.in) && !a.json:
			p.browser = true
		default:
			return saved{}, usage("say which wallet signs: --browser, --keystore FILE, --key file:PATH, --key env:NAME, or --account 0x... for one that signs elsewhere")
		}
	}
	if p.browser {
		return a.browserLogin(ctx, server, p)
	}
	if p.wallet == "" {
		if !common.IsHexAddress(p.account) {
			return saved{}, usage("--account %q is not an address", p.account)
		}
		return a.open(ctx, server, p, common.HexToAddress(p.account), "", func(message []byte) ([]byte, error) {
			return a.signElsewhere(ctx, p, message)
		})
	}
	w, err := a.wallet(ctx, p.wallet)
	if err != nil {
		return saved{}, err
	}
	return a.open(ctx, server, p, w.Address(), p.wallet, func(message []byte) ([]byte, error) {
		a.note("----\n%s\n----", plain(string(message)))
		if a.devWallet(server) != p.wallet { // the wallet of `writ dev` has nothing to lose
			if err := a.consent(ctx, p.yes, "Sign this text?", "the text was not signed; nothing has changed"); err != nil {
				return nil, err
			}
		}
		return w.SignText(message)
	})
}

// open opens a session for an account, whose signature comes from sign, and saves it.
func (a *app) open(ctx context.Context, server string, p loginPlan, account common.Address, wallet string, sign func([]byte) ([]byte, error)) (saved, error) {
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		return saved{}, err
	}
	c, err := client.DialFrom(ctx, server, p.origin)
	if err != nil {
		return saved{}, err
	}
	defer c.Close()
	opened, err := c.SignIn(ctx, wire.ChallengeParams{
		Account: account.Hex(), Chain: p.chain, Agent: p.agent, Life: uint64(p.life / time.Second),
	}, key, func(message []byte) ([]byte, error) {
		m, err := auth.Parse(message)
		if err != nil {
			return nil, err
		}
		if m.Address != account || m.Chain != p.chain {
			return nil, failf(exitSignature, "message", "the server gave a text for another account or chain; it was not signed")
		}
		// A server that passes on another's text would get this wallet's permission there.
		if p.origin != "" && p.origin != m.Scheme+"://"+m.Domain {
			return nil, failf(exitSignature, "message", "the server gave a text for %s, not for %s; it was not signed", plain(m.Domain), p.origin)
		}
		if u, err := url.Parse(server); p.origin == "" && !isLoopback(server) && (err != nil || !strings.EqualFold(u.Host, m.Domain)) {
			return nil, failf(exitSignature, "message", "the server gave a text for %s, not for itself; it was not signed", plain(m.Domain))
		}
		return sign(message)
	})
	if err != nil {
		return saved{}, err
	}
	s := saved{
		Server: server, Session: opened.ID, Account: opened.Account, Agent: opened.Agent, Expires: opened.Expires,
		Key: key.Secret(), Wallet: wallet,
	}
	return s, a.save("session.json", s)
}

// signElsewhere puts out the text and takes in the signature.
func (a *app) signElsewhere(ctx context.Context, p loginPlan, message []byte) ([]byte, error) {
	if p.textFile == "" {
		fmt.Fprintf(a.err, "Sign the text between the lines as it is (personal_sign), and give the signature, 0x...:\n----\n%s\n----\n", plain(string(message)))
	} else if err := a.textFile(p.textFile, message); err != nil {
		return nil, err
	}
	if p.signedFile != "" && p.signedFile != "-" {
		a.note("waiting for the signature in %s", p.signedFile)
		return a.signatureFile(ctx, p.signedFile)
	}
	return a.signature(ctx)
}

// signature reads a signature that was made elsewhere.
func (a *app) signature(ctx context.Context) ([]byte, error) {
	line, err := a.line(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return nil, failf(exitSignature, "sig.hex", "no signature came on standard input; sign the text and give 0x...")
	}
	return auth.ParseContractSig(line)
}

// keystore opens an encrypted key file. The password is asked for on the terminal, or taken from the file that
// --password-file or WRIT_PASSWORD_FILE names.
func (a *app) keystore(ctx context.Context, path string) (*auth.Wallet, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("the key file cannot be read: %s", err)
	}
	var password []byte
	f, isFile := a.in.(*os.File)
	switch file := or(a.passwordFile, a.env("WRIT_PASSWORD_FILE")); {
	case file != "":
		if password, err = os.ReadFile(file); err != nil {
			return nil, usage("the password file cannot be read: %s", err)
		}
		password = []byte(strings.TrimRight(string(password), "\r\n"))
	case isFile && isTerminal(f):
		fmt.Fprintf(a.err, "Password of %s: ", path)
		before, _ := term.GetState(f.Fd())
		stop := context.AfterFunc(ctx, func() { // a password that nobody gives must not leave the terminal without echo
			if before != nil {
				term.SetState(f.Fd(), before)
			}
			os.Exit(exitInterrupt)
		})
		password, err = term.ReadPassword(f.Fd())
		stop()
		fmt.Fprintln(a.err)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
	default:
		return nil, usage("the key file needs a password: run this on a terminal, or name a file with --password-file or WRIT_PASSWORD_FILE")
	}
	k, err := keystore.DecryptKey(b, string(password))
	if errors.Is(err, keystore.ErrDecrypt) {
		return nil, failf(exitSignature, "password", "the password does not open %s", path)
	} else if err != nil {
		return nil, usage("%s is not an encrypted key file", path)
	}
	return auth.ParseWallet(fmt.Sprintf("%x", crypto.FromECDSA(k.PrivateKey)))
}

// ask asks a person. Anything but a yes is a no.
func (a *app) ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := a.line(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// line reads a line from standard input, or ends with ctx. Nothing can take back a read that has begun: its
// goroutine ends with the next line or with the program.
func (a *app) line(ctx context.Context) (string, error) {
	if a.lines == nil {
		a.lines = make(chan string)
		go func() {
			defer close(a.lines)
			for s := bufio.NewScanner(a.in); s.Scan(); { // lines of 64 KiB at most
				a.lines <- s.Text()
			}
		}()
	}
	select {
	case line, ok := <-a.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return "", ctx.Err()
	}
}

// server returns the address of the server that is meant.
func (a *app) server(flag string) (string, error) {
	if flag != "" {
		return serverURL(flag)
	}
	if s := a.env("WRIT_SERVER"); s != "" {
		return serverURL(s)
	}
	var s saved
	signedIn := a.load("session.json", &s) == nil
	var n devNote
	// A `writ dev` that runs now is meant, unless there is a session at a server elsewhere.
	if (!signedIn || isLoopback(s.Server)) && a.load("dev.json", &n) == nil {
		return n.Server, nil
	}
	if signedIn {
		return s.Server, nil
	}
	return "http://" + defaultListen, nil
}

// connect resumes the saved session. At the server of a `writ dev` one is opened if there is none: its wallet and its
// money are not real.
func (a *app) connect(ctx context.Context, server string) (*client.Client, saved, error) {
	server, err := a.server(server)
	if err != nil {
		return nil, saved{}, err
	}
	c, s, err := a.resume(ctx, server)
	if err == nil || failureOf(err).exit != exitSignIn || a.devWallet(server) == "" {
		return c, s, err
	}
	if _, err := a.login(ctx, loginPlan{server: server, agent: "treasurer", chain: chain.DevChainID, life: time.Hour}); err != nil {
		return nil, saved{}, err
	}
	return a.resume(ctx, server)
}

// resume connects with the saved session, which must be one at this server.
func (a *app) resume(ctx context.Context, server string) (*client.Client, saved, error) {
	var s saved
	if err := a.load("session.json", &s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, saved{}, err
	}
	if s.Server != server {
		return nil, saved{}, failf(exitSignIn, "session_required", "you are not signed in at %s; run: writ login", server)
	}
	if time.Now().UnixMilli() >= s.Expires {
		return nil, saved{}, failf(exitSignIn, "session_expired", "your session has ended; run: writ login")
	}
	key, err := auth.ParsePrivateKey(s.Key)
	if err != nil {
		return nil, saved{}, failf(exitSignIn, "session_required", "the saved session is damaged; run: writ login")
	}
	c, err := client.Dial(ctx, server)
	if err != nil {
		return nil, saved{}, err
	}
	if now, err := c.Resume(ctx, s.Session, key); err == nil {
		a.renewLater(now)
	} else {
		c.Close()
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Data.Code == wire.CodeNotFound {
			err = failf(exitSignIn, "session_required", "the server does not know your session; run: writ login")
		}
		return nil, saved{}, err
	}
	return c, s, nil
}

// clock shows a time in ms UTC.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z") }

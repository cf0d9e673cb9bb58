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
	yes     bool // do not ask before signing
}

func (a *app) loginCommand() *cobra.Command {
	var p loginPlan
	var key, keystore string
	c := &cobra.Command{
		Use: "login", Short: "Sign in with a wallet: sign what an agent may do",
		Long: `Shows the exact text that the wallet signs, signs it, and opens a session. The text names every permission and every
limit; a key of this session, made here, is bound into it and kept with the session in WRIT_HOME.

The wallet is named by --key file:PATH, --key env:NAME or --keystore FILE (Ethereum's encrypted key file). A wallet
that is none of these, a hardware wallet say, signs elsewhere: with --account 0x... the text is printed, and its
signature is read from standard input (cast wallet sign --ledger makes one, for instance). The text is good for this
one connection, so the program waits for the signature.

At a ` + "`writ dev`" + ` server the throw-away wallet that came with it is taken if no other is named.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if (key != "" && keystore != "") || (p.account != "" && key+keystore != "") {
				return usage("give one of --key, --keystore and --account")
			}
			p.wallet = key
			if keystore != "" {
				p.wallet = "keystore:" + keystore
			}
			s, err := a.login(c.Context(), p)
			if err != nil {
				return err
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
	f.Uint64Var(&p.chain, "chain", chain.DevChainID, "EIP-155 `id` of the chain")
	f.DurationVar(&p.life, "life", time.Hour, "how long the session shall last, at most 24h")
	f.BoolVarP(&p.yes, "yes", "y", false, "sign without asking")
	return c
}

// login opens a session and saves it.
func (a *app) login(ctx context.Context, p loginPlan) (saved, error) {
	server, err := a.server(p.server)
	if err != nil {
		return saved{}, err
	}
	if p.wallet == "" && p.account == "" {
		if p.wallet = a.devWallet(server); p.wallet == "" {
			return saved{}, usage("say which wallet signs: --key file:PATH, --key env:NAME, --keystore FILE, or --account 0x... for one that signs elsewhere")
		}
		a.note("no wallet was named: the throw-away wallet of `writ dev` signs")
	}
	var account common.Address
	var sign func([]byte) ([]byte, error)
	if p.wallet != "" {
		w, err := a.wallet(ctx, p.wallet)
		if err != nil {
			return saved{}, err
		}
		account, sign = w.Address(), w.SignText
	} else {
		if !common.IsHexAddress(p.account) {
			return saved{}, usage("--account %q is not an address", p.account)
		}
		account = common.HexToAddress(p.account)
		sign = func([]byte) ([]byte, error) { return a.signature(ctx) }
	}
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		return saved{}, err
	}
	c, err := client.Dial(ctx, server)
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
		if u, err := url.Parse(server); !isLoopback(server) && (err != nil || !strings.EqualFold(u.Host, m.Domain)) {
			return nil, failf(exitSignature, "message", "the server gave a text for %s, not for itself; it was not signed", plain(m.Domain))
		}
		text := plain(string(message))
		if p.account != "" {
			fmt.Fprintf(a.err, "Sign the text between the lines as it is (personal_sign), and give the signature, 0x...:\n----\n%s\n----\n", text)
		} else {
			a.note("----\n%s\n----", text)
		}
		if p.wallet != "" && a.devWallet(server) != p.wallet { // the wallet of `writ dev` has nothing to lose
			if err := a.consent(ctx, p.yes, "Sign this text?", "the text was not signed; nothing has changed"); err != nil {
				return nil, err
			}
		}
		return sign(message)
	})
	if err != nil {
		return saved{}, err
	}
	s := saved{
		Server: server, Session: opened.ID, Account: opened.Account, Agent: opened.Agent, Expires: opened.Expires,
		Key: key.Secret(), Wallet: p.wallet,
	}
	return s, a.save("session.json", s)
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
	return auth.ParseSig(line)
}

// keystore opens an encrypted key file. The password is asked for on the terminal, or taken from the file that
// WRIT_PASSWORD_FILE names.
func (a *app) keystore(ctx context.Context, path string) (*auth.Wallet, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usage("the key file cannot be read: %s", err)
	}
	var password []byte
	f, isFile := a.in.(*os.File)
	switch {
	case a.env("WRIT_PASSWORD_FILE") != "":
		if password, err = os.ReadFile(a.env("WRIT_PASSWORD_FILE")); err != nil {
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
		return nil, usage("the key file needs a password: run this on a terminal, or set WRIT_PASSWORD_FILE")
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
	if _, err := c.Resume(ctx, s.Session, key); err != nil {
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

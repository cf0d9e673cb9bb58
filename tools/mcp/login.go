package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/writ-run/writ/internal/reach"
)

// A Login is what a sign-in at a server has left (OAuth 2.1, as the protocol's revision 2025-11-25 has it under
// Authorization): as which client, and the tokens. It is kept in a file that its owner alone may read.
type Login struct {
	Server  string           `json:"server"` // the URL that it is for; it is sent to no other one
	Client  string           `json:"client_id"`
	Secret  string           `json:"client_secret,omitempty"`
	Tokens  string           `json:"token_url"` // where they are made anew
	Style   oauth2.AuthStyle `json:"style"`     // how the client shows its secret there
	Access  string           `json:"access_token"`
	Refresh string           `json:"refresh_token,omitempty"`
	Expires time.Time        `json:"expires,omitzero"` // zero: it is not said
}

// Bounds of a sign-in.
const (
	maxLogin  = 64 << 10         // bytes of the file
	signInFor = 5 * time.Minute  // that a person may take
	tokenTime = 30 * time.Second // that a server of tokens may take
)

// ReadLogin reads what a sign-in at a server has left. An error of a file that is not there is [fs.ErrNotExist].
func ReadLogin(path, server string) (l Login, err error) {
	f, err := os.Open(path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLogin))
	if err != nil {
		return l, err
	}
	if json.Unmarshal(data, &l) != nil || l.Access == "" { // its own error could quote a token
		return Login{}, fmt.Errorf("%s is no sign-in that writ tools login has written", path)
	}
	if l.Server != server {
		return Login{}, fmt.Errorf("%s is a sign-in at %s, and not at %s", path, l.Server, server)
	}
	return l, nil
}

// Write keeps the sign-in in a file, whole or not at all.
func (l Login) Write(path string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".writ-") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(append(data, '\n'))
	if err = errors.Join(err, part.Sync(), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}

// A signIn is how a server is told who asks: by what a sign-in has left, or by a sign-in that goes on. It is an
// [auth.OAuthHandler].
type signIn struct {
	kept   *keptTokens                    // nil if nobody has signed in
	person *auth.AuthorizationCodeHandler // asks somebody to; nil if nobody is there
	wanted atomic.Bool                    // the server wants that somebody signs in
	// sentence says so, with what to do
	sentence error
}

func (s *signIn) TokenSource(ctx context.Context) (oauth2.TokenSource, error) {
	switch {
	case s.person != nil:
		return s.person.TokenSource(ctx)
	case s.kept != nil:
		return s.kept, nil
	}
	return nil, nil
}

// Authorize is called when the server lets nobody in with what was shown.
func (s *signIn) Authorize(ctx context.Context, r *http.Request, res *http.Response) error {
	if s.person != nil {
		return s.person.Authorize(ctx, r, res)
	}
	res.Body.Close()
	s.wanted.Store(true)
	return errors.New("nobody is signed in")
}

// newSignIn returns how a server on the network is told who asks.
func (s *Server) newSignIn() (*signIn, error) {
	in := &signIn{person: s.person, sentence: s.signInSentence()}
	if s.person != nil || s.cfg.Login == "" {
		return in, nil
	}
	l, err := ReadLogin(s.cfg.Login, s.cfg.URL)
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	in.kept = &keptTokens{
		path: s.cfg.Login, login: l, client: tokenClient(s.cfg.Gate), now: s.cfg.now, over: &in.wanted,
	}
	return in, err
}

// signInSentence says what a server that lets nobody in wants.
func (s *Server) signInSentence() error {
	switch {
	case s.cfg.Token != "":
		return errors.New("it does not take the token; give it another one")
	case s.cfg.Login != "":
		return fmt.Errorf("somebody has to sign in there: writ tools login %s", s.cfg.Name)
	}
	return fmt.Errorf("somebody has to sign in there: set login to a file for it, and then writ tools login %s",
		s.cfg.Name)
}

// lacks says what the server wants before it lets anybody in, or nil.
func (s *signIn) lacks() error {
	if s == nil || !s.wanted.Load() {
		return nil
	}
	return s.sentence
}

// tokenClient is for the servers of a sign-in, which are reached as the server of tools is.
func tokenClient(gate reach.Gate) *http.Client {
	return &http.Client{Transport: gate.Transport(), Timeout: tokenTime}
}

// keptTokens shows the token of a sign-in, and makes another one when its time is over.
type keptTokens struct {
	path   string
	client *http.Client
	now    func() time.Time
	over   *atomic.Bool // set when no token can be made any more

	mu    sync.Mutex
	login Login // guarded by mu
}

// spare is how long a token must be good yet to be shown.
const spare = 10 * time.Second

// Token returns one that is good. Another program may have made one with the same file, and a server of tokens takes a
// refresh token once, so the file is read before and after.
func (k *keptTokens) Token() (*oauth2.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.isGood() || k.readAgain() && k.isGood() {
		return k.token(), nil
	}
	if err := k.refresh(); err == nil {
		return k.token(), nil
	}
	if k.readAgain() && k.isGood() {
		return k.token(), nil
	}
	k.over.Store(true)
	return nil, errors.New("the sign-in is over") // the cause could quote what the server of tokens says
}

func (k *keptTokens) isGood() bool {
	return k.login.Expires.IsZero() || k.now().Add(spare).Before(k.login.Expires)
}

func (k *keptTokens) token() *oauth2.Token {
	return &oauth2.Token{AccessToken: k.login.Access, TokenType: "Bearer"}
}

// readAgain takes up what is in the file, and says whether that is another sign-in than is known.
func (k *keptTokens) readAgain() bool {
	l, err := ReadLogin(k.path, k.login.Server)
	if err != nil || l.Access == k.login.Access {
		return false
	}
	k.login = l
	return true
}

// refresh makes another token, and keeps it before it is used: the one that made it is of no use any more.
func (k *keptTokens) refresh() error {
	if k.login.Refresh == "" {
		return errors.New("it is not to be made anew")
	}
	c := oauth2.Config{
		ClientID: k.login.Client, ClientSecret: k.login.Secret,
		Endpoint: oauth2.Endpoint{TokenURL: k.login.Tokens, AuthStyle: k.login.Style},
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, k.client)
	fresh, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: k.login.Refresh}).Token()
	if err != nil {
		return err
	}
	l := k.login
	l.Access, l.Refresh, l.Expires = fresh.AccessToken, cmp.Or(fresh.RefreshToken, l.Refresh), fresh.Expiry
	k.login = l
	return l.Write(k.path)
}

// A SignIn says how somebody signs in at a server.
type SignIn struct {
	Client, Secret string   // as which client, if the server's operator has given one; else one is registered
	Scopes         []string // those that the server names if empty
	Redirect       string   // where the browser is led back to: an address of this machine
	// Show leads a person to an address, and returns the one that the browser was led back to.
	Show func(ctx context.Context, address string) (back string, err error)
}

// ErrNoSignIn says that a server lets in whoever asks.
var ErrNoSignIn = errors.New("it does not ask anybody to sign in")

// SignInAt has somebody sign in at a server on the network, and returns what is to be kept. The server has listed its
// tools with it.
func SignInAt(ctx context.Context, c Config, in SignIn) (l Login, err error) {
	c.Start, c.Token, c.Login = signInFor, "", ""
	s, err := New(c)
	if err != nil {
		return l, err
	}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: in.Redirect, RequestRefreshToken: true, AcceptUnadvertisedIss: true, Client: tokenClient(c.Gate),
		AuthorizationCodeFetcher: in.fetch,
		NewTokenSource: func(_ context.Context, c *oauth2.Config, t *oauth2.Token) (oauth2.TokenSource, error) {
			l = Login{
				s.cfg.URL, c.ClientID, c.ClientSecret, c.Endpoint.TokenURL, c.Endpoint.AuthStyle, t.AccessToken,
				t.RefreshToken, t.Expiry,
			}
			return oauth2.StaticTokenSource(t), nil
		},
	}
	if len(in.Scopes) > 0 {
		config.ScopeFilter = func([]string) []string { return in.Scopes }
	}
	if in.Client != "" {
		config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: in.Client}
		if in.Secret != "" {
			config.PreregisteredClient.ClientSecretAuth = &oauthex.ClientSecretAuth{ClientSecret: in.Secret}
		}
	} else {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName: "writ", RedirectURIs: []string{in.Redirect}, TokenEndpointAuthMethod: "none",
				GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
			},
		}
	}
	if s.person, err = auth.NewAuthorizationCodeHandler(config); err != nil {
		return l, fmt.Errorf("sign in at %s: %w", c.Name, err)
	}
	_, _, err = s.List(ctx)
	if err = errors.Join(err, s.Close()); err == nil && l.Access == "" {
		err = ErrNoSignIn
	}
	return l, err
}

// fetch leads a person to the server of the sign-in, and reads what the browser brings back.
func (in *SignIn) fetch(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	back, err := in.Show(ctx, args.URL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(back)
	if err != nil {
		return nil, errors.New("the browser was led back to no address")
	}
	q := u.Query()
	if q.Get("code") == "" {
		return nil, errors.New("the sign-in was refused")
	}
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

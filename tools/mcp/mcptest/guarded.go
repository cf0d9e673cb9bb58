// Package mcptest has a server of tools that wants somebody to sign in, for tests. It is ours, since of those that can
// be had none is small and takes a refresh token once only.
package mcptest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	neturl "net/url"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// A Guarded is a server of tools, at /mcp, with the server that signs people in for it (RFC 9728, 8414, 7591, 7636 and
// 9207). Who is led there by a browser agrees at once. A refresh token is taken once.
type Guarded struct {
	http.Handler
	url  string
	life time.Duration // of a token

	mu      sync.Mutex
	clients map[string]string // redirect by client
	codes   map[string]neturl.Values
	tokens  map[string]time.Time // good ones, and until when
	refresh map[string]bool      // that were not used yet
	made    int                  // tokens
	refuse  bool                 // whoever signs in
	revoked bool                 // all refresh tokens
}

// Refuse has whoever signs in refused, or not.
func (g *Guarded) Refuse(refuse bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = refuse
}

// Revoke takes back every sign-in and every token.
func (g *Guarded) Revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revoked = true
	clear(g.tokens)
}

// Made returns how many tokens were made.
func (g *Guarded) Made() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.made
}

// NewGuarded returns a server that is reached at a URL, and whose tokens live so long.
func NewGuarded(url string, life time.Duration) *Guarded {
	g := &Guarded{
		url: url, life: life, clients: map[string]string{}, codes: map[string]neturl.Values{}, tokens: map[string]time.Time{},
		refresh: map[string]bool{},
	}
	tools := mcp.NewServer(&mcp.Implementation{Name: "tracker", Version: "1"}, nil)
	mcp.AddTool(tools, &mcp.Tool{Name: "whoami", Description: "Says who is signed in."},
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "alice"}}}, nil, nil
		})
	mux := http.NewServeMux()
	g.Handler = mux
	check := auth.RequireBearerToken(g.checkToken, &auth.RequireBearerTokenOptions{
		ResourceMetadataURL: g.url + "/.well-known/oauth-protected-resource/mcp",
	})
	mux.Handle("/mcp", check(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools },
		&mcp.StreamableHTTPOptions{Stateless: true})))
	mux.Handle("/.well-known/oauth-protected-resource/mcp", auth.ProtectedResourceMetadataHandler(
		&oauthex.ProtectedResourceMetadata{
			Resource: g.url + "/mcp", AuthorizationServers: []string{g.url}, ScopesSupported: []string{"read"},
		}))
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		writeObject(w, 200, map[string]any{
			"issuer": g.url, "authorization_endpoint": g.url + "/authorize", "token_endpoint": g.url + "/token",
			"registration_endpoint": g.url + "/register", "response_types_supported": []string{"code"},
			"code_challenge_methods_supported":               []string{"S256"},
			"authorization_response_iss_parameter_supported": true,
			"token_endpoint_auth_methods_supported":          []string{"none"},
		})
	})
	mux.HandleFunc("POST /register", g.register)
	mux.HandleFunc("GET /authorize", g.authorize)
	mux.HandleFunc("POST /token", g.token)
	return g
}

func writeObject(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (g *Guarded) checkToken(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.tokens[token]
	if !ok || time.Now().After(until) {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{Scopes: []string{"read"}, Expiration: until}, nil
}

func (g *Guarded) register(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Redirects []string `json:"redirect_uris"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || len(asked.Redirects) != 1 {
		http.Error(w, "no redirect", http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id := rand.Text()
	g.clients[id] = asked.Redirects[0]
	writeObject(w, 201, map[string]any{
		"client_id": id, "redirect_uris": asked.Redirects, "token_endpoint_auth_method": "none",
	})
}

// authorize is the page where a person agrees, who does at once.
func (g *Guarded) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients[q.Get("client_id")] != q.Get("redirect_uri") || q.Get("code_challenge_method") != "S256" ||
		q.Get("resource") != g.url+"/mcp" {
		http.Error(w, "not as it must be", http.StatusBadRequest)
		return
	}
	back := neturl.Values{"state": q["state"], "iss": {g.url}}
	if g.refuse {
		back.Set("error", "access_denied")
	} else {
		code := rand.Text()
		g.codes[code] = q
		back.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (g *Guarded) token(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	refused := func() {
		writeObject(w, 400, map[string]string{"error": "invalid_grant", "error_description": "secret words"})
	}
	switch r.FormValue("grant_type") {
	case "authorization_code":
		asked := g.codes[r.FormValue("code")]
		delete(g.codes, r.FormValue("code"))
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if asked == nil || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
			refused()
			return
		}
	case "refresh_token":
		if g.revoked || !g.refresh[r.FormValue("refresh_token")] {
			refused()
			return
		}
		delete(g.refresh, r.FormValue("refresh_token")) // once only
	default:
		refused()
		return
	}
	access, refresh := "access-"+rand.Text(), "refresh-"+rand.Text()
	g.made++
	g.tokens[access], g.refresh[refresh] = time.Now().Add(g.life), true
	writeObject(w, 200, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(g.life / time.Second), "refresh_token": refresh,
	})
}

package door

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/tools"
)

const (
	cardPath     = "/.well-known/agent-card.json"
	cardKeysPath = "/a2a/keys.json"
	cardAge      = "public, max-age=300"
)

// A skill of a card is an agent of this server.
type skill struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	About string   `json:"description"`
	Tags  []string `json:"tags"`
}

// A card says what agents there are and how they are spoken to (section 4.4.1). Nothing in it is empty: the protocol's
// canonical form and that of its SDKs leave out different empty members, so what is signed would not be one thing.
type card struct {
	Name         string              `json:"name"`
	About        string              `json:"description"`
	Interfaces   []agentInterface    `json:"supportedInterfaces"`
	Version      string              `json:"version"`
	Manual       string              `json:"documentationUrl"`
	Capabilities map[string]bool     `json:"capabilities"`
	Schemes      map[string]any      `json:"securitySchemes"`
	Requires     []any               `json:"securityRequirements"`
	Takes        []string            `json:"defaultInputModes"`
	Gives        []string            `json:"defaultOutputModes"`
	Skills       []skill             `json:"skills"`
	Signatures   []map[string]string `json:"signatures,omitempty"`
}

type agentInterface struct {
	URL     string `json:"url"`
	Binding string `json:"protocolBinding"`
	Version string `json:"protocolVersion"`
}

func (d *Door) newCard(name, about string, agents []wire.Agent) (*card, error) {
	c := &card{
		Name: name, About: about, Version: d.cfg.Version, Manual: d.cfg.Page + "/docs/a2a",
		Interfaces: []agentInterface{
			{d.cfg.Page + "/a2a", "JSONRPC", agentProtocol}, {d.cfg.Page + "/a2a", "HTTP+JSON", agentProtocol},
		},
		Capabilities: map[string]bool{"streaming": true, "pushNotifications": false, "extendedAgentCard": true},
		Schemes: map[string]any{"key": map[string]any{"httpAuthSecurityScheme": map[string]string{
			"scheme": "Bearer", "description": "A key that writ key new makes. It stands for what its wallet has signed.",
		}}},
		Requires: []any{map[string]any{"schemes": map[string]any{"key": map[string][]string{"list": {"agent"}}}}},
		Takes:    []string{"text/plain"}, Gives: []string{"text/plain"}, Skills: []skill{},
	}
	for _, a := range agents {
		s := skill{a.Name, a.Name, a.About, a.Tools}
		if s.About == "" {
			s.About = "An agent that acts within limits that a wallet has signed."
		}
		if len(s.Tags) == 0 {
			s.Tags = []string{"agent"}
		}
		c.Skills = append(c.Skills, s)
	}
	return c, d.sign(c)
}

// sign signs a card under the key that auditors pin (section 8.4): a JWS over the card's canonical form. What it signs
// begins with the header's base64, and so is nothing else that this key signs.
func (d *Door) sign(c *card) error {
	if d.cfg.CardKey == nil {
		return nil
	}
	plain, err := strictjson.Marshal(c)
	if err != nil {
		return fmt.Errorf("sign a card: %w", err)
	}
	payload, err := tools.CanonicalJSON(plain)
	if err != nil {
		return fmt.Errorf("sign a card: %w", err)
	}
	header, err := strictjson.Marshal(map[string]string{
		"alg": "EdDSA", "typ": "JOSE", "kid": d.cardKeyID(), "jku": d.cfg.Page + cardKeysPath,
	})
	if err != nil {
		return fmt.Errorf("sign a card: %w", err)
	}
	protected := base64.RawURLEncoding.EncodeToString(header)
	input := protected + "." + base64.RawURLEncoding.EncodeToString(payload)
	sig, err := d.cfg.CardKey.Sign(nil, []byte(input), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("sign a card: %w", err)
	}
	c.Signatures = []map[string]string{{
		"protected": protected, "signature": base64.RawURLEncoding.EncodeToString(sig),
	}}
	return nil
}

// cardKeyID names the key as auditors do.
func (d *Door) cardKeyID() string { return hex.EncodeToString(d.cardKey()) }

func (d *Door) cardKey() ed25519.PublicKey {
	key, _ := d.cfg.CardKey.Public().(ed25519.PublicKey) // New checks it
	return key
}

// showCard serves the card of the server: all of its agents. Nobody needs a key for it.
func (d *Door) showCard(w http.ResponseWriter, r *http.Request) {
	caller := d.cfg.API.NewCaller(api.Transport{Private: true})
	defer caller.Leave()
	v := &visitor{api: d.cfg.API, caller: caller}
	all, err := ask[wire.Agents](r.Context(), &guest{v, d}, wire.AgentList, wire.None{}, false)
	if err != nil {
		resources{}.fail(w, agentErrorOf(err))
		return
	}
	c, err := d.newCard("writ", "Agents that act for wallets within limits that the wallets have signed. A key is for "+
		"one of them, its skill; every step is recorded, and anybody can check the record.", all.Agents)
	if err != nil {
		resources{}.fail(w, agentErrorOf(err))
		return
	}
	serveCached(w, r, c)
}

// showCardKeys serves the key of the cards' signatures, as RFC 7517 and RFC 8037 write it.
func (d *Door) showCardKeys(w http.ResponseWriter, r *http.Request) {
	keys := []map[string]string{}
	if d.cfg.CardKey != nil {
		keys = append(keys, map[string]string{
			"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": d.cardKeyID(),
			"x": base64.RawURLEncoding.EncodeToString(d.cardKey()),
		})
	}
	serveCached(w, r, map[string]any{"keys": keys})
}

// showOwnCard tells a key the card of its own agent.
func (g *guest) showOwnCard(ctx context.Context, _ cardParams, tell func(any) error) error {
	all, err := ask[wire.Agents](ctx, g, wire.AgentList, wire.None{}, false)
	if err != nil {
		return err
	}
	for _, a := range all.Agents {
		if a.Name == g.session.Agent {
			about := a.About
			if about == "" {
				about = "An agent that acts within limits that a wallet has signed."
			}
			a.Tools = g.session.Tools
			c, err := g.door.newCard(a.Name, about, []wire.Agent{a})
			if err != nil {
				return err
			}
			return tell(c)
		}
	}
	return wire.Errorf(wire.CodeNotFound, "This server does not run the key's agent any more.")
}

// serveCached serves a document that clients may keep for a while, and ask again whether it has changed.
func serveCached(w http.ResponseWriter, r *http.Request, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		resources{}.fail(w, agentErrorOf(err))
		return
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", cardAge)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n')) // whether it arrives only the client can know
}

package a2a

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Bounds of a card.
const (
	maxCard       = 128 << 10 // bytes
	maxSignatures = 8         // that are looked at
	maxAbout      = 1000      // bytes of a description that a model reads
	maxShownSkill = 100
)

// A Card is what a server says of its agent (A2A 1.0, section 4.4.1).
type Card struct {
	Name string
	JSON []byte // canonical, without its signatures, which may be made anew over the same words
	CID  provenance.Link

	says       wireCard
	signatures []wireSignature
}

// A wireCard is what is read of a card. All of it is pinned.
type wireCard struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Interfaces  []wireInterface `json:"supportedInterfaces"`
	Skills      []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"skills"`
}

type wireInterface struct {
	URL     string `json:"url"`
	Binding string `json:"protocolBinding"`
	Version string `json:"protocolVersion"`
	Tenant  string `json:"tenant"`
}

// ParseCard reads a card, with or without its signatures; order and white space do not matter.
func ParseCard(data []byte) (Card, error) {
	if len(data) > maxCard {
		return Card{}, fmt.Errorf("the card has more than %d bytes", maxCard)
	}
	canonical, err := tools.CanonicalJSON(data)
	if err != nil {
		return Card{}, errors.New("the card cannot be read: it is not one JSON object")
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(canonical, &members) != nil || members == nil {
		return Card{}, errors.New("the card cannot be read: it is not one JSON object")
	}
	var c Card
	if raw, signed := members["signatures"]; signed {
		if json.Unmarshal(raw, &c.signatures) != nil {
			return Card{}, errors.New("the card's signatures cannot be read")
		}
		delete(members, "signatures")
	}
	if c.JSON, err = json.Marshal(members); err == nil {
		c.JSON, err = tools.CanonicalJSON(c.JSON)
	}
	if err != nil || json.Unmarshal(c.JSON, &c.says) != nil || c.says.Name == "" {
		return Card{}, errors.New("the card is not one of A2A 1.0")
	}
	c.Name, c.CID = c.says.Name, provenance.NewRaw(c.JSON).CID
	return c, nil
}

// about is what a model reads of the agent: what a call does first, which is this program's, and then the card's words.
func (c Card) about() string {
	said := strings.TrimRight(c.says.Description, ". \n")
	for i, s := range c.says.Skills {
		if i == 0 {
			said += ". Skills"
		}
		said += map[bool]string{true: ": ", false: "; "}[i == 0] + s.Name
		if s.Description != "" && len(said) < maxAbout {
			said += ", " + wording.Clip(strings.TrimRight(s.Description, ". \n"), maxShownSkill)
		}
	}
	return wording.Clip(fmt.Sprintf("Sends a message to an agent of another server, %s, and returns its answer. With "+
		"task, of an earlier answer, it goes on with that task; with an empty message it waits on for it. The agent says of "+
		"itself: %s.", wording.Clip(wording.Visible(c.Name), 100), wording.Visible(said)), maxAbout)
}

// An endpoint is the interface that calls go to.
type endpoint struct {
	url    *url.URL
	rpc    bool // JSON-RPC, else HTTP's own methods and paths
	tenant string
}

// choose returns the interface that is spoken: JSON-RPC before HTTP+JSON, of version 1.0. The first of each counts, as
// the protocol's section 5.8 has it. Its host is the card's own or one that the operator names.
func (c Card) choose(card *url.URL, hosts []string, private bool) (endpoint, error) {
	for _, binding := range []string{"JSONRPC", "HTTP+JSON"} {
		for _, i := range c.says.Interfaces {
			if i.Binding != binding || i.Version != "1.0" && !strings.HasPrefix(i.Version, "1.0.") {
				continue
			}
			u, err := checkAddress(i.URL, private)
			if err != nil {
				return endpoint{}, fmt.Errorf("the address of its interface %w", err)
			}
			named := slices.Contains(hosts, strings.ToLower(u.Hostname())) || slices.Contains(hosts, strings.ToLower(u.Host))
			if u.Host != card.Host && !named {
				return endpoint{}, fmt.Errorf("its interface is at another host, %s, than its card; name that under hosts "+
					"if it is meant", wording.Reveal(wording.Clip(u.Host, 200)))
			}
			if strings.ContainsFunc(i.Tenant, func(r rune) bool { return r <= ' ' || r > '~' }) || len(i.Tenant) > 200 {
				return endpoint{}, errors.New("the tenant of its interface cannot be sent")
			}
			return endpoint{u, binding == "JSONRPC", i.Tenant}, nil
		}
	}
	return endpoint{}, errors.New("it speaks neither JSON-RPC nor HTTP+JSON of A2A 1.0")
}

func checkAddress(raw string, private bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" || len(raw) > 2048 ||
		u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("is not an http or https address without password, query and fragment")
	case u.Scheme == "http" && !private:
		return nil, errors.New("must be https; set private for one on your own network")
	}
	return u, nil
}

const acceptedSchema = "writ/accepted-card/1"

// An acceptedFile is the card that was accepted, kept beside the configuration, under version control. It holds the
// card itself and not only its CID: what models read of the agent is there when the other server is not, and a changed
// card can be compared with it line by line.
type acceptedFile struct {
	Schema string          `json:"schema"`
	Agent  string          `json:"agent"`
	CID    string          `json:"cid"`
	Card   json.RawMessage `json:"card"`
}

// ReadAccepted reads the card that was accepted of an agent. It is an error if it is not what its CID says.
func ReadAccepted(path, agent string) (Card, error) {
	f, err := os.Open(path)
	if err != nil {
		return Card{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4*maxCard+1))
	if err != nil {
		return Card{}, err
	}
	var file acceptedFile
	if json.Unmarshal(data, &file) != nil || file.Schema != acceptedSchema || file.Agent != agent {
		return Card{}, fmt.Errorf("%s is not the file of the accepted card of %s; make it again with: writ tools accept %s",
			path, agent, agent)
	}
	c, err := ParseCard(file.Card)
	if err != nil {
		return Card{}, fmt.Errorf("%s: %w", path, err)
	}
	if c.CID.String() != file.CID {
		return Card{}, fmt.Errorf("%s: the card is not the one that was accepted; look at it with: writ tools diff %s", path,
			agent)
	}
	return c, nil
}

// WriteAccepted writes the card of an agent that is accepted now.
func WriteAccepted(path, agent string, c Card) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(acceptedFile{acceptedSchema, agent, c.CID.String(), c.JSON}); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".accepted-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(b.Bytes())
	if err = errors.Join(err, part.Chmod(0o644), part.Sync(), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}

// Fetch reads the card as the server has it now, and checks its signature if the operator has named the key. Nobody's
// token goes with it: cards are for anybody. Its error is a [*tools.Error].
func (c *Client) Fetch(ctx context.Context) (Card, error) {
	data, err := c.get(ctx, c.card)
	if err != nil {
		return Card{}, err
	}
	card, err := ParseCard(data)
	if err != nil {
		return Card{}, c.errorf("definition_changed", "%v", err)
	}
	if c.key != nil {
		if err := card.verify(c.key); err != nil {
			return Card{}, c.errorf("definition_changed", "%v", err)
		}
	}
	return card, nil
}

// get reads a document of the card's server.
func (c *Client) get(ctx context.Context, u *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRequest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, c.errorf("server_down", "its card has no address")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "writ")
	res, err := c.http.Do(req)
	if err != nil {
		f := c.describeBroken(ctx, err)
		return nil, c.errorf(f.code, "its card cannot be read: %s", f.says)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return nil, c.errorf("redirected", "the address of its card leads to another one, which is not followed; name that "+
			"one under card if it is meant")
	case res.StatusCode != http.StatusOK:
		return nil, c.errorf("server_down", "its card cannot be read: it answers %d", res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxCard+1))
	if err != nil {
		f := c.describeBroken(ctx, err)
		return nil, c.errorf(f.code, "its card cannot be read: %s", f.says)
	}
	return data, nil
}

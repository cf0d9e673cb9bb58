package node

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/a2a"
)

// AgentClient makes the client of the agent elsewhere that settings name. Nothing is asked yet.
func AgentClient(a config.A2A) (*a2a.Client, error) {
	c := a2a.Config{
		Name: a.Name, Card: a.Card, Key: strings.ToLower(a.Key), Header: a.Header, Timeout: a.Timeout, Reconcile: a.Reconcile,
		Gate: reach.Gate{Private: a.Private},
	}
	for _, h := range a.Hosts {
		c.Hosts = append(c.Hosts, strings.ToLower(h))
	}
	if a.Token != "" {
		var err error
		if c.Token, err = a.Token.Reveal(); err != nil {
			return nil, badSetting("tools: %s: token: %s", a.Name, err)
		}
	}
	client, err := a2a.NewClient(c)
	if err != nil {
		return nil, badSetting("tools: %s: %s", a.Name, err)
	}
	return client, nil
}

// agentTool makes the tool of an agent elsewhere, of the card that was accepted.
func agentTool(a config.A2A) (tools.Tool, error) {
	card, err := a2a.ReadAccepted(a.Accepted, a.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badSetting("tools: %s: its card was not accepted yet; look at it with: writ tools diff %s", a.Name,
			a.Name)
	} else if err != nil {
		return nil, badSetting("tools: %s", err)
	}
	client, err := AgentClient(a)
	if err != nil {
		return nil, err
	}
	use, err := useOf(a.Known(), nil)
	if err != nil {
		return nil, badSetting("tools: %s: %s", a.Name, err)
	}
	t, err := a2a.New(client, card, a2a.Use{Spec: tools.Spec{
		Class: use.Class, Utterances: use.Utterances, Foreign: !a.Vouched, Output: use.Output, Clearance: use.Clearance,
		AskWallet: use.AskWallet,
	}})
	if err != nil {
		return nil, badSetting("tools: %s: %s", a.Name, wording.Reveal(err.Error()))
	}
	return t, nil
}

// sealAgents gives the tools that are agents elsewhere their secret, one that is derived from the operator's key.
func sealAgents(list []tools.Tool, operator ed25519.PrivateKey) error {
	secret, err := hkdf.Key(sha256.New, operator.Seed(), nil, "writ/a2a/task/1", sha256.Size)
	if err != nil {
		return fmt.Errorf("derive the secret of tasks elsewhere: %w", err)
	}
	for _, t := range list {
		if agent, is := t.(*a2a.Tool); is {
			agent.SealWith([32]byte(secret))
		}
	}
	return nil
}

// DescribeAgent says what the agent elsewhere is as a tool. Its server is not asked.
func DescribeAgent(a config.A2A) (tools.Spec, error) {
	t, err := agentTool(a)
	if err != nil {
		return tools.Spec{}, err
	}
	return t.Spec(), nil
}

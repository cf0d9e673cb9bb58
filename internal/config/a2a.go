package config

import (
	"fmt"
	"time"

	"github.com/writ-run/writ/tools/arg"
)

// An A2A is an agent of another server that is one tool. It is asked only as long as its card is the one that was
// accepted: writ tools add, accept and diff.
type A2A struct {
	Name       string        `yaml:"name" about:"the tool's name, e.g. desk.ask"`
	Card       string        `yaml:"card" about:"address of the agent's card, e.g. https://other.example/.well-known/agent-card.json"`
	Accepted   string        `yaml:"accepted" path:"yes" about:"file of the card that was accepted; writ tools add and accept write it"`
	Key        string        `yaml:"key" about:"the key that signs the card, in hex: 64 digits of Ed25519, as auditors pin a server's, or 130 of P-256; signatures are not looked at if empty"`
	Token      Secret        `yaml:"token" path:"secret" about:"token by which the server knows the operator, if it needs one"`
	Header     string        `yaml:"header" about:"header in which the token goes; Authorization, as a bearer token, if empty"`
	Hosts      []string      `yaml:"hosts" about:"hosts at which the agent's interface may be, beside that of its card"`
	Private    bool          `yaml:"private" about:"card and interface may be of private networks, and http"`
	Timeout    time.Duration `yaml:"timeout" about:"how long a call waits for the agent to be done, at most 10m; 2m if 0"`
	Reconcile  bool          `yaml:"reconcile" about:"of class once: the server takes a contextId of its client's choosing, and its agent answers every message with a task, so after a doubt the tasks are listed by it"`
	Class      string        `yaml:"class" about:"what repeating a message would do: read, keyed (the server takes the same messageId for the same task, as a writ does) or once; once if empty"`
	Ask        string        `yaml:"ask" about:"when the wallet is asked: always or never; always if empty, unless the class is read"`
	Integrity  string        `yaml:"integrity" about:"what its answers are worth: tool or untrusted; untrusted if empty"`
	Secrecy    string        `yaml:"secrecy" about:"who may see its answers: public, session, wallet or secret; session if empty"`
	Clearance  string        `yaml:"clearance" about:"the most secret that it may be told: session, wallet or secret; session if empty"`
	Utterances []string      `yaml:"utterances" about:"sentences with {message} as a slot that mean a call of it"`
	Vouched    bool          `yaml:"vouched" about:"whoever accepted its card vouches for the words in it; else a run that is offered the tool counts as having read untrusted content"`
}

// Known returns what is said of the tool as of any other.
func (a A2A) Known() ToolUse {
	return ToolUse{
		Tool: a.Name, As: a.Name, Class: a.Class, Ask: a.Ask, Integrity: a.Integrity, Secrecy: a.Secrecy,
		Clearance: a.Clearance, Utterances: a.Utterances,
	}
}

func (a A2A) check() error {
	switch {
	case !arg.IsToolName(a.Name):
		return fmt.Errorf("%q is not a tool's name, such as desk.ask", a.Name)
	case a.Card == "":
		return fmt.Errorf("%s needs card, the address of the agent's card", a.Name)
	case a.Accepted == "":
		return fmt.Errorf("%s needs accepted, the file of the card that was accepted; begin with: writ tools add %s "+
			"--card %s", a.Name, a.Name, a.Card)
	case a.Timeout < 0 || a.Timeout > 10*time.Minute:
		return fmt.Errorf("%s: timeout is at most 10m", a.Name)
	case a.Header != "" && a.Token == "":
		return fmt.Errorf("%s: header says where a token goes, and there is none", a.Name)
	}
	if err := isEndpoint(a.Card); err != nil {
		return fmt.Errorf("%s: card: %v", a.Name, err)
	}
	if err := a.Token.checkForm(); err != nil {
		return fmt.Errorf("%s: token: %v", a.Name, err)
	}
	if err := a.Known().check(); err != nil {
		return fmt.Errorf("%s: %v", a.Name, err)
	}
	if a.Reconcile && a.Class != "" && a.Class != "once" {
		return fmt.Errorf("%s: reconcile is for class once", a.Name)
	}
	return nil
}

// Package a2a makes a tool of an agent elsewhere, one that a server of the Agent2Agent protocol (A2A 1.0) has.
//
// A [Client] reads the agent's [Card]; the one that the operator has accepted is pinned by its CID, and an agent whose
// card says anything else is not asked. A [Tool] sends the agent a message and follows the task that comes of it until
// it has ended or waits for somebody. What the agent answers is anybody's words. Connections go through a [reach.Gate],
// no redirect is followed, and the operator's token goes to the one interface that the accepted card names.
package a2a

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
)

// Bounds of a call.
const (
	DefaultTimeout = 2 * time.Minute
	MaxTimeout     = 10 * time.Minute
	MaxMessage     = 12 << 10 // bytes; beside it stand the task and what JSON escapes, within [tools.MaxArgs]

	maxFlying  = 8                // calls at a time
	maxOfOne   = 4                // of one wallet
	maxEntry   = 10 * time.Second // that a call waits for its place
	maxTries   = 3                // of what may be repeated
	maxID      = 256
	cardAge    = 10 * time.Second // for which a card that was as accepted is believed to be so
	cancelTime = 5 * time.Second
)

// A Config says which agent is asked. Name and Card are required.
type Config struct {
	Name      string        // of the tool
	Card      string        // address of the card
	Key       string        // that signs the card, as [ParseKey] reads it; signatures are not looked at if empty
	Token     string        // that the agent's server knows the operator by; none if empty
	Header    string        // that the token goes in; Authorization, as a bearer's, if empty
	Hosts     []string      // where the interface may be beside the card's own host
	Timeout   time.Duration // how long a call follows its task; DefaultTimeout if 0
	Reconcile bool          // the server takes a context of the caller's choosing, and always answers with a task in it
	Gate      reach.Gate
}

// A Use is what the operator knows of the agent. Its Spec has Class, AskWallet, Output, Clearance, Utterances and
// Foreign; the rest is the card's.
type Use struct{ Spec tools.Spec }

// schema of the arguments. The message is bounded as MaxMessage says.
const schema = `{"type":"object","additionalProperties":false,"required":["message"],"properties":{
"message":{"type":"string","maxLength":12288,"description":"what the agent is told or asked"},
"task":{"type":"string","maxLength":300,"description":"task of an earlier answer, to go on with it"}}}`

// A Tool is an agent elsewhere.
type Tool struct {
	client   *Client
	accepted Card
	at       endpoint
	spec     tools.Spec
	seal     []byte // see sealTask
	places   places

	mu      sync.Mutex
	checked time.Time // when the card was last as it was accepted; guarded by mu
}

// New makes the tool of an agent whose card was accepted, whatever its server says now.
func New(c *Client, accepted Card, u Use) (*Tool, error) {
	at, err := accepted.choose(c.card, c.cfg.Hosts, c.cfg.Gate.Private)
	if err != nil {
		return nil, err
	}
	if t := c.cfg.Timeout; t < 0 || t > MaxTimeout {
		return nil, fmt.Errorf("a timeout of %s: say at most %s", t, MaxTimeout)
	}
	spec := u.Spec
	spec.Name, spec.About, spec.Definition = c.cfg.Name, accepted.about(), accepted.CID.String()
	if spec.Schema, err = tools.AdaptSchema([]byte(schema)); err != nil {
		return nil, err
	}
	spec.Class = cmp.Or(spec.Class, tools.Once)
	def, err := tools.Compile(spec)
	if err != nil {
		return nil, err
	}
	t := &Tool{client: c, accepted: accepted, at: at, spec: def.Spec()}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it does not fail
	t.SealWith(secret)
	return t, nil
}

// SealWith says by which secret of this server, and of nobody else, the tool makes the names of tasks; those that were
// made by another one are not known any more. Without it that is one of this process's. It is called before any call.
func (t *Tool) SealWith(secret [32]byte) {
	m := hmac.New(sha256.New, secret[:])
	fmt.Fprintf(m, "writ/a2a/task\n%s", t.client.cfg.Card)
	t.seal = m.Sum(nil)
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

func (t *Tool) timeout() time.Duration { return cmp.Or(t.client.cfg.Timeout, DefaultTimeout) }

// MaxTime returns how long a call takes at most.
func (t *Tool) MaxTime() time.Duration {
	most := maxEntry + maxRequest + t.timeout() + 2*cancelTime
	if t.client.cfg.Reconcile { // and then it may be made: the card, the list twice, and the call
		most += 3*maxRequest + settleTime
	}
	return most
}

// Close ends idle connections.
func (t *Tool) Close() error { return t.client.Close() }

// sealTask returns the name by which a task is gone on with. The server knows all tasks of the operator's token, so it
// does not tell one wallet's from another's; the name does.
func (t *Tool) sealTask(who tools.Asker, id string) string {
	m := hmac.New(sha256.New, t.seal)
	fmt.Fprintf(m, "%q %q %q", who.Wallet, who.Agent, id)
	return id + "~" + hex.EncodeToString(m.Sum(nil)[:8])
}

// openTask returns the id of a task by that name.
func (t *Tool) openTask(who tools.Asker, name string) (id string, ok bool) {
	i := strings.LastIndexByte(name, '~')
	if i <= 0 {
		return "", false
	}
	return name[:i], hmac.Equal([]byte(t.sealTask(who, name[:i])), []byte(name))
}

// An order is one call's: what is said, and in which task.
type order struct {
	Message string `json:"message"`
	Task    string `json:"task"`

	id      string // the task's; "" of a new one
	context string // of a new one, if it is chosen here
}

// Call sends the message and follows the task. Its errors are [*tools.Error] where nothing was done, and of every
// failure if the class is read: definition_changed, unauthorised, busy, timeout, unreachable, refused, task_not_found.
func (t *Tool) Call(ctx context.Context, in tools.Input) (out []byte, err error) {
	o, err := t.readOrder(in)
	if err == nil {
		out, err = t.perform(ctx, in, o)
	}
	e, certain := errors.AsType[*tools.Error](err)
	switch {
	case certain && o.Message == "" && errors.Is(ctx.Err(), context.Canceled): // the next start looks again
		return nil, context.Cause(ctx)
	case certain && o.Message != "" && in.Again && t.spec.Class == tools.Keyed:
		return nil, errors.New(e.Message) // it leaves open what came of the call of an earlier process
	}
	return out, err
}

// perform does the call of an order.
func (t *Tool) perform(ctx context.Context, in tools.Input, o order) ([]byte, error) {
	if host := strings.ToLower(t.at.url.Hostname()); len(in.Hosts) > 0 && !slices.Contains(in.Hosts, host) {
		return nil, t.client.errorf("host_not_allowed", "its host %s is not one that the wallet's grant names", host)
	}
	leave, err := t.places.enter(ctx, in.Asker.Wallet)
	if err != nil {
		return nil, t.client.errorf("busy", "%v; try again later", err)
	}
	defer leave()
	if err := t.checkUnchanged(ctx); err != nil {
		return nil, err
	}
	following, cancel := context.WithTimeout(ctx, t.timeout())
	defer cancel()
	var task wireTask
	if o.Message == "" {
		task, err = t.readTask(following, o.id, "")
	} else {
		var said *wireMessage
		if task, said, err = t.send(following, o, in); said != nil {
			return t.resultOf(in.Asker, wireTask{Artifacts: []wireArtifact{{Parts: said.Parts}}, Context: said.Context,
				Status: wireStatus{State: stateCompleted}}, "")
		}
	}
	if err != nil {
		return nil, err
	}
	return t.finish(ctx, following, in, task)
}

// finish follows a task until there is a result.
func (t *Tool) finish(ctx, following context.Context, in tools.Input, task wireTask) ([]byte, error) {
	task, note := t.follow(following, task)
	if !task.rests() && tools.IsWithdrawn(ctx) {
		t.cancel(ctx, task.ID)
		return nil, errors.New("the run has ended, and the task was cancelled")
	}
	if !task.rests() && ctx.Err() != nil { // it is taken up again, by the same message, or it is in doubt
		return nil, context.Cause(ctx)
	}
	return t.resultOf(in.Asker, task, note)
}

// readOrder reads the arguments of a call.
func (t *Tool) readOrder(in tools.Input) (o order, err error) {
	bad := func(why string) (order, error) { return o, t.client.errorf("bad_argument", "%s", why) }
	if json.Unmarshal(in.Args.JSON, &o) != nil {
		return bad("the arguments cannot be read")
	}
	if o.Message = strings.TrimSpace(o.Message); o.Message == "" && o.Task == "" {
		return bad("there is nothing to say to it; give a message")
	}
	if len(o.Message) > MaxMessage {
		return bad(fmt.Sprintf("the message has more than %d bytes; say it in fewer", MaxMessage))
	}
	if o.Task != "" {
		var ours bool
		if o.id, ours = t.openTask(in.Asker, o.Task); !ours {
			return bad("that is no task of an earlier answer to this user; leave task out to begin one")
		}
	} else if t.client.cfg.Reconcile {
		o.context = contextOf(in.Key)
	}
	return o, nil
}

// contextOf is the context in which a message begins its task, if it is chosen here: the same if the call is repeated.
func contextOf(key [32]byte) string { return "writ-" + hex.EncodeToString(key[:16]) }

// checkUnchanged refuses an agent whose card is not as it was accepted.
func (t *Tool) checkUnchanged(ctx context.Context) error {
	t.mu.Lock()
	fresh := time.Since(t.checked) < cardAge
	t.mu.Unlock()
	if fresh {
		return nil
	}
	now, err := t.client.Fetch(ctx)
	if err != nil {
		return err
	}
	if now.CID != t.accepted.CID {
		return t.client.errorf("definition_changed", "its card is not as it was accepted, so it is not asked; the operator "+
			"looks at it with: writ tools diff %s", t.spec.Name)
	}
	t.mu.Lock()
	t.checked = time.Now()
	t.mu.Unlock()
	return nil
}

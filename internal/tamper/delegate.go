package tamper

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// bossWorld is a run that calls a sub-agent, which calls a tool and answers.
func bossWorld() *world {
	w := smallWorld()
	w.input = "have somebody say hi"
	w.replies = []model.Reply{replyCall("agent.helper", `{"input":"say hi"}`), replyText("hi was said")}
	w.helper = smallWorld()
	w.helper.input, w.helper.nonce = "say hi", 2
	w.offer.Caveats.MaxDepth = 1
	return w
}

// helperLimits are what the boss's tool promises its sub-agent.
func helperLimits() auth.Caveats {
	return auth.Caveats{MaxCalls: 5, MaxTokens: 10_000, MaxCostNanoUSD: 100_000_000, Chains: []uint64{1337},
		MaxTotal: []money.Amount{}, MaxPerCall: []money.Amount{}}
}

// addHelper gives the agent a tool that calls another agent.
func (h *history) addHelper(helper *world, defs map[provenance.Link]*provenance.ToolDef, names *[]string) error {
	other := provenance.Agent{Name: "helper", Instructions: "Pay what is asked.", Limits: h.agent.Limits}
	other.Routes = h.agent.Routes
	may := []string{}
	for _, spec := range helper.tools {
		def, _, err := definition.RecordOf(spec)
		if err != nil {
			return err
		}
		c, err := cidOf(def)
		if err != nil {
			return err
		}
		other.Tools, may = append(other.Tools, c), append(may, spec.Name)
	}
	c, err := cidOf(&other)
	if err != nil {
		return err
	}
	def, _, err := definition.RecordOf(definition.AgentTool("helper", "Asks the helper.", nil))
	if err != nil {
		return err
	}
	def.Delegate = &provenance.Delegate{Agent: c, Tools: may, Life: (10 * time.Minute).Milliseconds(),
		Caveats: helperLimits().Sorted().JSON()}
	link, err := cidOf(def)
	if err != nil {
		return err
	}
	h.tools = append(h.tools, def)
	h.agent.Tools = append(h.agent.Tools, link)
	defs[link] = def
	*names = append(*names, def.Name)
	return nil
}

// playDelegate answers a call of a sub-agent: it plays the run that the call opens.
func (g *game) playDelegate(ref provenance.Ref, e *provenance.Call) (provenance.Event, error) {
	step, err := cidOf(g.steps[ref.Seq])
	if err != nil {
		return nil, err
	}
	at := g.steps[ref.Seq].At
	d, err := g.machine.Authority().Delegate(g.machine.DelegateOf(e), e.Handed, g.run.Grant,
		provenance.Parent{Step: step, Effect: ref.Index}, at)
	if err != nil {
		return nil, err
	}
	key, err := auth.Ed25519Key(g.runtime.Key)
	if err != nil {
		return nil, err
	}
	d.Nonce, d.Issuer = [32]byte{7}, key.String()
	w := *g.helper
	begins, _ := e.Handed.Label.Bytes()
	w.caller, w.delegation, w.opened, w.begins = g, d, time.UnixMilli(at), begins
	if w.claims != "" {
		w.begins = []byte(w.claims)
	}
	w.parent = &provenance.Parent{Step: step, Effect: ref.Index}
	h, err := playWorld(&w)
	if err != nil {
		return nil, err
	}
	g.child, g.answered = h, len(g.steps)
	if _, says := g.sends[g.answered]; says {
		g.answered++ // the user comes first
	}
	g.late += int64(len(h.steps)) * 1000
	r, err := g.resultOf(ref)
	if err == nil && g.misgiven != nil {
		g.misgiven(r)
	}
	return r, err
}

func (h *history) resultOf(ref provenance.Ref) (*provenance.Result, error) {
	c := h.child
	head, err := cidOf(&c.head)
	if err != nil {
		return nil, err
	}
	last := c.steps[len(c.steps)-1]
	o, err := subagent.OutcomeOf(c.runCID, last)
	if err != nil {
		return nil, err
	}
	return &provenance.Result{
		Of: ref, Status: provenance.StatusOK, Child: head, Output: provenance.NewPayload(o.JSON()),
		Took: last.At - c.run.Opened,
	}, nil
}

// signDelegation signs the delegation that a run acts under.
func (h *history) signDelegation() error {
	if !h.keepSig {
		signed, err := h.delegation.Signed()
		if err != nil {
			return err
		}
		h.delegation.Sig = ed25519.Sign(h.operator, signed)
	}
	c, err := h.putRecord(h.delegation)
	h.run.Delegation = c
	return err
}

// replayHelper makes the sub-agent's run anew, for the call as it is now, and its result.
func (h *history) replayHelper(prev provenance.Link, cids []provenance.Link) error {
	r, ok := h.steps[h.answered].Event.(*provenance.Result)
	if !ok {
		return errors.New("no result of a sub-agent")
	}
	call := provenance.Parent{Step: cids[r.Of.Seq], Effect: r.Of.Index}
	if c := h.child; !c.disown {
		c.delegation.Call, c.delegation.From, c.run.Parent = call, h.run.Grant, &call
	}
	h.child.grant = h.grant
	if err := h.child.relinkAll(); err != nil {
		return err
	}
	got, err := h.resultOf(r.Of)
	if err != nil {
		return err
	}
	*r = *got
	if h.misgiven != nil {
		h.misgiven(r)
	}
	for _, b := range h.child.blocks {
		h.putBlock(b)
	}
	for c, k := range h.child.keys {
		h.keys[c] = k
	}
	return nil
}

// stopBoss has the boss's user say stop before the boss hears of the sub-agent.
func stopBoss(w *world) {
	w.sends = map[int]string{2: "stop"}
	w.replies = append(w.replies, replyText("I have stopped"))
}

// delayFrom dates the steps from a number on so much later.
func (h *history) delayFrom(seq int, by time.Duration) {
	for _, s := range h.steps[seq:] {
		s.At += by.Milliseconds()
	}
}

// makeFamily is the run of a boss, changed and made anew; the file is the sub-agent's history if below, else the
// boss's.
func makeFamily(below bool, change func(h *history)) func(*bench) ([]byte, error) {
	return familyOf(func(*world) {}, below, change)
}

func familyOf(world func(*world), below bool, change func(h *history)) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		w := bossWorld()
		world(w)
		h, err := playWorld(w)
		if err != nil {
			return nil, err
		}
		change(h)
		if err := h.relinkAll(); err != nil {
			return nil, err
		}
		for c, k := range h.keys {
			b.keys[c] = k
		}
		blocks := map[provenance.Link][]byte{}
		for _, x := range h.blocks {
			blocks[x.CID] = x.Data
		}
		root := h.blocks[0].CID
		if below {
			if root, err = cidOf(&h.child.head); err != nil {
				return nil, err
			}
		}
		var out bytes.Buffer
		_, err = provenance.Export(&out, root, func(c provenance.Link) ([]byte, error) {
			if data, ok := blocks[c]; ok {
				return data, nil
			}
			return nil, provenance.ErrAbsent
		})
		return out.Bytes(), err
	}
}

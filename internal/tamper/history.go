package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A history is a run as records. Lies are told by changing it; link then makes every CID, signature and leaf anew, so
// that nothing but the lie is wrong.
type history struct {
	people
	agent   provenance.Agent
	tools   []*provenance.ToolDef
	books   []provenance.Block
	grant   provenance.Grant
	rules   provenance.PolicySet
	dapp    *provenance.PolicySet // what stands under it; nil if nothing does
	runtime provenance.Runtime
	run     provenance.Run
	steps   []*provenance.Step
	head    provenance.Head
	offer   auth.Offer // what the wallet signed
	public  bool
	name    string // of the agent

	verification *provenance.Verification // of a contract wallet's grant; nil if there is none
	delegation   *provenance.Delegation   // of a sub-agent's run
	child        *history                 // of the sub-agent that was called; nil if none was
	answered     int                      // the step that has its result

	// Settings of a liar.
	keepAsk     bool                              // the request's signature stays as it is
	keepVerdict bool                              // so do the approvals
	keepSig     bool                              // and the delegation's signature
	misgiven    func(*provenance.Result)          // changes the result of the sub-agent's call
	disown      bool                              // the delegation is for the call that it names, not for the one that was made
	foreign     map[int]provenance.Link           // steps that name another run
	patch       func(seq int, data []byte) []byte // of an encoded step
	behead      func(*provenance.Head)            // before the head is signed
	crowned     func(*provenance.Head)            // after it was signed

	runCID provenance.Link
	blocks []provenance.Block // in the order of the file, the head first
	keys   map[provenance.Link]provenance.LeafKey
	leaves map[provenance.Link]provenance.Block
	extra  map[provenance.Link][]byte // more blocks for the file
}

// seal gives the payloads of a record their leaves.
func (h *history) seal(r provenance.Record, public bool) error {
	for _, p := range provenance.Payloads(r) {
		if b, sealed := h.leaves[p.Leaf()]; sealed {
			h.put(b)
			continue
		}
		plain, ok := p.Bytes()
		if !ok {
			return errors.New("a payload has no text")
		}
		var b provenance.Block
		var err error
		if public {
			b, err = p.Publish()
		} else {
			k := leafKey(plain)
			if b, err = p.Seal(k); err == nil {
				h.keys[b.CID] = k
			}
		}
		if err != nil {
			return err
		}
		h.leaves[b.CID] = b
		h.put(b)
	}
	return nil
}

func (h *history) put(b provenance.Block) {
	if !slices.ContainsFunc(h.blocks, func(o provenance.Block) bool { return o.CID == b.CID }) {
		h.blocks = append(h.blocks, b)
	}
}

// record stores a record and returns its CID.
func (h *history) record(r provenance.Record) (provenance.Link, error) {
	b, err := provenance.Encode(r)
	if err == nil {
		h.put(b)
	}
	return b.CID, err
}

// link encodes everything from the leaves up.
func (h *history) link() (err error) {
	h.blocks = nil
	for _, b := range h.books {
		h.put(b)
	}
	for _, t := range h.tools {
		if _, err := h.record(t); err != nil {
			return err
		}
	}
	if err := h.seal(&h.grant, false); err != nil {
		return err
	}
	if x := h.verification; x != nil {
		if err := h.seal(x, false); err != nil {
			return err
		}
		if h.grant.Verification, err = h.record(x); err != nil {
			return err
		}
	}
	parts := []struct {
		to  *provenance.Link
		rec provenance.Record
	}{{&h.run.Agent, &h.agent}, {&h.run.Rules, &h.rules}, {&h.run.Grant, &h.grant}, {&h.run.Runtime, &h.runtime}}
	for _, p := range parts {
		c, err := h.record(p.rec)
		if err != nil {
			return err
		}
		*p.to = c
	}
	if h.dapp != nil {
		h.dapp.Under = h.run.Rules
		if h.run.Rules, err = h.record(h.dapp); err != nil {
			return err
		}
	}
	if h.delegation != nil {
		if err := h.empower(); err != nil {
			return err
		}
	}
	if h.runCID, err = h.record(&h.run); err != nil {
		return err
	}
	var prev provenance.Link
	cids := make([]provenance.Link, len(h.steps))
	for i, s := range h.steps {
		if h.child != nil && i == h.answered {
			if err := h.bringBack(prev, cids); err != nil {
				return err
			}
		}
		s.Run, s.Prev = h.runCID, prev
		if other, ok := h.foreign[i]; ok {
			s.Run = other
		}
		if err := h.resign(s, cids); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if err := h.seal(s, h.public); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		b, err := provenance.Encode(s)
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if h.patch != nil {
			if data := h.patch(i, bytes.Clone(b.Data)); !bytes.Equal(data, b.Data) {
				b = provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
			}
		}
		h.put(b)
		prev, cids[i] = b.CID, b.CID
	}
	if len(h.steps) == 0 {
		return nil
	}
	last := h.steps[len(h.steps)-1]
	h.head = provenance.Head{Run: h.runCID, Seq: last.Seq, Step: prev, At: last.At}
	return h.crown()
}

// indexed gives the head an index of the first n steps.
func (h *history) indexed(n int) {
	h.behead = func(d *provenance.Head) {
		steps := map[uint64]provenance.Link{}
		for _, b := range h.blocks {
			s := new(provenance.Step)
			if provenance.Decode(b.Data, s) == nil && s.Run == h.runCID {
				steps[s.Seq] = b.CID
			}
		}
		step := func(i int) provenance.Link { return steps[uint64(i)] }
		err := provenance.IndexSteps(n, step, func(b provenance.Block) error {
			d.Index, h.extra = b.CID, map[provenance.Link][]byte{b.CID: b.Data}
			return nil
		})
		if err != nil {
			panic(err) // n is above zero, and every step has a CID
		}
	}
}

// crown signs the head and puts it first.
func (h *history) crown() error {
	if h.behead != nil {
		h.behead(&h.head)
	}
	if err := h.head.Sign(h.operator); err != nil {
		return err
	}
	if h.crowned != nil {
		h.crowned(&h.head)
	}
	b, err := provenance.Encode(&h.head)
	if err != nil {
		return err
	}
	h.blocks = slices.Insert(h.blocks, 0, b)
	for _, c := range slices.SortedFunc(maps.Keys(h.extra), func(a, b provenance.Link) int { return bytes.Compare(a.Bytes(), b.Bytes()) }) {
		h.put(provenance.Block{CID: c, Data: h.extra[c]})
	}
	return nil
}

// resign has the session key sign the request, and the wallet the approvals, of a step.
func (h *history) resign(s *provenance.Step, cids []provenance.Link) error {
	if ask, ok := s.Event.(*provenance.Ask); ok && !h.keepAsk {
		params, _ := ask.Request.Bytes()
		if h.delegation != nil {
			f := auth.Frame{Session: h.run.Delegation, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method, Params: params}
			ask.Sig = ed25519.Sign(h.operator, f.Bytes())
			return nil
		}
		sig, err := h.session.SignFrame(auth.Frame{Session: h.run.Grant, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method, Params: params})
		if err != nil {
			return err
		}
		ask.Sig = sig
	}
	v, ok := s.Event.(*provenance.Verdict)
	if !ok || v.Approval == nil || h.keepVerdict && v.Approval.Sig != nil {
		return nil
	}
	return h.approve(v, cids[v.Of.Seq], h.wallet, func(*auth.Approval) {})
}

// approve has a wallet sign what a verdict answers, the seek of the step with CID at, after change was made to it.
func (h *history) approve(v *provenance.Verdict, at provenance.Link, by *auth.Wallet, change func(*auth.Approval)) error {
	message, _ := h.grant.Message.Bytes()
	sig, _ := h.grant.Sig.Bytes()
	grant, err := auth.Reread(message, sig)
	if err != nil {
		return err
	}
	if v.Of.Seq >= uint64(len(h.steps)) || v.Of.Index >= uint64(len(h.steps[v.Of.Seq].Does)) {
		return errors.New("an approval of nothing")
	}
	seek, ok := h.steps[v.Of.Seq].Does[v.Of.Index].(*provenance.Seek)
	if !ok {
		return errors.New("an approval of what was not sought")
	}
	a, err := loop.ApprovalOf(grant, h.run.Grant, h.runCID, at, v.Of, seek)
	if err != nil {
		return err
	}
	change(&a)
	text, err := a.MarshalJSON()
	if err != nil {
		return err
	}
	signed, err := by.SignTyped(a)
	if err != nil {
		return err
	}
	v.Approval.Message, v.Approval.Sig = provenance.NewPayload(text), provenance.NewPayload(signed)
	return nil
}

// car writes the blocks as a CAR file whose root is the first.
func (h *history) car() []byte { return carOf(h.blocks) }

func carOf(blocks []provenance.Block) []byte {
	b := carHeader(blocks[0].CID)
	for _, x := range blocks {
		b = append(b, section(x)...)
	}
	return b
}

func carHeader(root provenance.Link) []byte {
	b := []byte("\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00")
	b = append(b, root.Bytes()...)
	return append(b, "\x67version\x01"...)
}

func section(b provenance.Block) []byte {
	out := varint(len(b.CID.Bytes()) + len(b.Data))
	return append(append(out, b.CID.Bytes()...), b.Data...)
}

// exported is the file as the runtime would export it.
func (h *history) exported() ([]byte, error) {
	all := map[provenance.Link][]byte{}
	for _, b := range h.blocks {
		all[b.CID] = b.Data
	}
	var out bytes.Buffer
	_, err := provenance.Export(&out, h.blocks[0].CID, func(c provenance.Link) ([]byte, error) {
		if data, ok := all[c]; ok {
			return data, nil
		}
		return nil, provenance.ErrAbsent
	})
	return out.Bytes(), err
}

package tamper

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/auth/httpsig"
	"github.com/writ-run/writ/internal/tamper/carfile"
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
	turn         thread.Turn              // what a later run of its thread is told of it
	turns        []thread.Turn            // what it was told itself
	shared       thread.Shared            // what a fork of it is told
	answered     int                      // the step that has its result

	// Settings of a liar.
	keepAsk     bool                     // the request's signature stays as it is
	posted      func(*httpsig.Request)   // changes the request that is signed as HTTP; nil for none
	keepVerdict bool                     // so do the approvals
	keepSig     bool                     // and the delegation's signature
	misgiven    func(*provenance.Result) // changes the result of the sub-agent's call
	// the delegation is for the call that it names, not for the one that was made
	disown  bool
	foreign map[int]provenance.Link           // steps that name another run
	patch   func(seq int, data []byte) []byte // of an encoded step
	behead  func(*provenance.Head)            // before the head is signed
	crowned func(*provenance.Head)            // after it was signed

	runCID provenance.Link
	blocks []provenance.Block       // in the order of the file, the head first
	have   map[provenance.Link]bool // the same by their CIDs
	cids   []provenance.Link        // of the steps, as far as they were linked
	keys   map[provenance.Link]provenance.LeafKey
	leaves map[provenance.Link]provenance.Block
	extra  map[provenance.Link][]byte // more blocks for the file
}

// sealPayloads gives the payloads of a record their leaves.
func (h *history) sealPayloads(r provenance.Record, public bool) error {
	for _, p := range provenance.Payloads(r) {
		if b, sealed := h.leaves[p.Leaf()]; sealed {
			h.putBlock(b)
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
		h.putBlock(b)
	}
	return nil
}

func (h *history) putBlock(b provenance.Block) {
	if !h.have[b.CID] {
		h.blocks = append(h.blocks, b)
		h.have[b.CID] = true
	}
}

// putRecord stores a record and returns its CID.
func (h *history) putRecord(r provenance.Record) (provenance.Link, error) {
	b, err := provenance.Encode(r)
	if err == nil {
		h.putBlock(b)
	}
	return b.CID, err
}

// relinkAll encodes everything from the leaves up.
func (h *history) relinkAll() (err error) {
	h.blocks, h.have, h.cids = nil, map[provenance.Link]bool{}, make([]provenance.Link, len(h.steps))
	for _, b := range h.books {
		h.putBlock(b)
	}
	for _, t := range h.tools {
		if _, err := h.putRecord(t); err != nil {
			return err
		}
	}
	if err := h.sealPayloads(&h.grant, false); err != nil {
		return err
	}
	if x := h.verification; x != nil {
		if err := h.sealPayloads(x, false); err != nil {
			return err
		}
		if h.grant.Verification, err = h.putRecord(x); err != nil {
			return err
		}
	}
	parts := []struct {
		to  *provenance.Link
		rec provenance.Record
	}{{&h.run.Agent, &h.agent}, {&h.run.Rules, &h.rules}, {&h.run.Grant, &h.grant}, {&h.run.Runtime, &h.runtime}}
	for _, p := range parts {
		c, err := h.putRecord(p.rec)
		if err != nil {
			return err
		}
		*p.to = c
	}
	if h.dapp != nil {
		h.dapp.Under = h.run.Rules
		if h.run.Rules, err = h.putRecord(h.dapp); err != nil {
			return err
		}
	}
	if h.delegation != nil {
		if err := h.signDelegation(); err != nil {
			return err
		}
	}
	if h.runCID, err = h.putRecord(&h.run); err != nil {
		return err
	}
	for i := range h.steps {
		if err := h.linkStep(i); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if len(h.steps) == 0 {
		return nil
	}
	return h.linkHead()
}

// linkStep encodes a step, whose predecessors have their CIDs.
func (h *history) linkStep(i int) error {
	s := h.steps[i]
	s.Run, s.Prev = h.runCID, provenance.Link{}
	if i > 0 {
		s.Prev = h.cids[i-1]
	}
	if h.child != nil && i == h.answered {
		if err := h.replayHelper(s.Prev, h.cids); err != nil {
			return err
		}
	}
	if other, ok := h.foreign[i]; ok {
		s.Run = other
	}
	if err := h.signAgain(s, h.cids); err != nil {
		return err
	}
	if err := h.sealPayloads(s, h.public); err != nil {
		return err
	}
	b, err := provenance.Encode(s)
	if err != nil {
		return err
	}
	if h.patch != nil {
		if data := h.patch(i, bytes.Clone(b.Data)); !bytes.Equal(data, b.Data) {
			b = provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
		}
	}
	h.putBlock(b)
	h.cids[i] = b.CID
	return nil
}

// linkHead signs a head for the last step.
func (h *history) linkHead() error {
	last := h.steps[len(h.steps)-1]
	h.head = provenance.Head{Run: h.runCID, Seq: last.Seq, Step: h.cids[len(h.cids)-1], At: last.At}
	return h.signHead()
}

// addIndex gives the head an index of the first n steps.
func (h *history) addIndex(n int) {
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

// signHead signs the head and puts it first.
func (h *history) signHead() error {
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
	h.have[b.CID] = true
	for _, c := range slices.SortedFunc(maps.Keys(h.extra),
		func(a, b provenance.Link) int { return bytes.Compare(a.Bytes(), b.Bytes()) }) {
		h.putBlock(provenance.Block{CID: c, Data: h.extra[c]})
	}
	return nil
}

// signAgain has the session key sign the request, and the wallet the approvals, of a step.
func (h *history) signAgain(s *provenance.Step, cids []provenance.Link) error {
	if ask, ok := s.Event.(*provenance.Ask); ok && !h.keepAsk {
		params, _ := ask.Request.Bytes()
		if foreign.IsForm(ask.Method) {
			return h.signPosted(ask, params)
		}
		if h.delegation != nil {
			f := auth.Frame{Session: h.run.Delegation, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method,
				Params: params}
			ask.Sig = ed25519.Sign(h.operator, f.Bytes())
			return nil
		}
		sig, err := h.session.SignFrame(auth.Frame{Session: h.run.Grant, Channel: ask.Channel, Seq: ask.Seq,
			Method: ask.Method, Params: params})
		if err != nil {
			return err
		}
		ask.Sig = sig
	}
	v, ok := s.Event.(*provenance.Verdict)
	if !ok || v.Approval == nil || h.keepVerdict && v.Approval.Sig != nil {
		return nil
	}
	return h.signApproval(v, cids[v.Of.Seq], h.wallet, func(*auth.Approval) {})
}

// signApproval has a wallet sign what a verdict answers, the seek of the step with CID at, after change was made to it.
func (h *history) signApproval(v *provenance.Verdict, at provenance.Link, by *auth.Wallet,
	change func(*auth.Approval)) error {
	message, _ := h.grant.Message.Bytes()
	sig, _ := h.grant.Sig.Bytes()
	grant, err := auth.RereadAs(h.grant.Method, message, sig)
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
	a, err := approval.Of(grant, h.run.Grant, h.runCID, at, v.Of, seek)
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

// writeCAR writes the blocks as a CAR file whose root is the first.
func (h *history) writeCAR() []byte { return carfile.Write(h.blocks) }

// exportCAR is the file as the runtime would export it.
func (h *history) exportCAR() ([]byte, error) {
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

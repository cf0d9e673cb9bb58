package tamper

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/tamper/carfile"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A vector is one file with what a verifier must say of it.
type vector struct {
	Name    string          `json:"name"`
	File    string          `json:"file"`
	Keys    string          `json:"keys,omitempty"`
	Verdict string          `json:"verdict"`         // "verified", "gaps" or "failed"
	Code    provenance.Code `json:"code,omitempty"`  // of a failure
	Class   int             `json:"class,omitempty"` // of the 72 tamperings
	Peer    string          `json:"peer,omitempty"`  // the manipulation that other systems did not notice
	What    string          `json:"what"`

	make func(*bench) ([]byte, error)
	keys func(*bench) []byte // nil for the common key file
}

// A bench has the two honest files to work on.
type bench struct {
	small, whole         *history
	smallFile, wholeFile []byte
	keys                 map[provenance.Link]provenance.LeafKey // of every vector
}

func newBench() (*bench, error) {
	b := &bench{keys: map[provenance.Link]provenance.LeafKey{}}
	var err error
	if b.small, err = playWorld(smallWorld()); err != nil {
		return nil, err
	}
	if b.whole, err = playWorld(wholeWorld()); err != nil {
		return nil, err
	}
	if b.smallFile, err = b.small.exportCAR(); err != nil {
		return nil, err
	}
	b.wholeFile, err = b.whole.exportCAR()
	return b, err
}

// changeHistory plays the run of a world, changes it, and makes all anew that hangs on the change.
func changeHistory(w func() *world, change func(h *history) error) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		h, err := playWorld(w())
		if err != nil {
			return nil, err
		}
		if err := change(h); err != nil {
			return nil, err
		}
		if err := h.relinkAll(); err != nil {
			return nil, err
		}
		for c, k := range h.keys {
			b.keys[c] = k
		}
		return h.writeCAR(), nil
	}
}

// changeSafely is lie for a change that cannot fail.
func changeSafely(w func() *world, change func(h *history)) func(*bench) ([]byte, error) {
	return changeHistory(w, func(h *history) error { change(h); return nil })
}

// lastClose is how the run was closed.
func (h *history) lastClose() *provenance.Close {
	does := h.steps[len(h.steps)-1].Does
	return does[len(does)-1].(*provenance.Close)
}

// changeWorld is the run of a changed world, which tells its own lie.
func changeWorld(w func() *world, change func(*world)) func(*bench) ([]byte, error) {
	return changeSafely(func() *world { x := w(); change(x); return x }, func(*history) {})
}

// changeSigning is the whole run, in which the agent's account signs something else than the call says.
func changeSigning(change func(*signing)) func(*bench) ([]byte, error) {
	return changeWorld(wholeWorld, func(w *world) { w.signs = change })
}

// changeFile changes the file of the small run.
func changeFile(change func(file []byte, b *bench) []byte) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) { return change(bytes.Clone(b.smallFile), b), nil }
}

// respellStep changes the bytes of the newest step of the small run, and all links to it.
func respellStep(change func([]byte) []byte) func(*bench) ([]byte, error) {
	return changeSafely(smallWorld, func(h *history) {
		h.patch = func(seq int, data []byte) []byte {
			if seq != 3 {
				return data
			}
			out := change(bytes.Clone(data))
			if bytes.Equal(out, data) {
				panic("a change that changes nothing")
			}
			return out
		}
	})
}

// replaceFirst replaces the first old by new.
func replaceFirst(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

// respellTime replaces the value of the step's "at", which takes nine bytes.
func respellTime(value string) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte("\x62at\x1b")) + 3
		return slices.Concat(b[:i], []byte(value), b[i+9:])
	}
}

// respellPrev replaces the step's link to the one before it, from the tag on. digest stands for the digest's 32 bytes.
func respellPrev(link string) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b, []byte("\x64prev\xd8\x2a\x58\x25\x00")) + 5
		digest := string(b[i+9 : i+41])
		return slices.Concat(b[:i], []byte(strings.ReplaceAll(link, "DIGEST", digest)), b[i+41:])
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// shiftTimes adds to the times of all steps from one on.
func shiftTimes(h *history, from int, by time.Duration) {
	for _, s := range h.steps[from:] {
		s.At += by.Milliseconds()
	}
}

// insertStep puts a step at a place, and renumbers those after it and the references to them.
func insertStep(h *history, place int, s *provenance.Step) {
	h.steps = slices.Insert(h.steps, place, s)
	renumberSteps(h, uint64(place), 1)
}

// removeStep takes a step out, and renumbers likewise.
func removeStep(h *history, place int) {
	h.steps = slices.Delete(h.steps, place, place+1)
	renumberSteps(h, uint64(place), -1)
}

func renumberSteps(h *history, from uint64, by int) {
	move := func(r *provenance.Ref) {
		if r != nil && r.Seq >= from && r.Seq > 0 {
			r.Seq += uint64(by)
		}
	}
	for i, s := range h.steps {
		if s.Seq = uint64(i); s.Seq < from {
			continue
		}
		switch e := s.Event.(type) {
		case *provenance.Reply:
			move(&e.Of)
		case *provenance.Result:
			move(&e.Of)
		case *provenance.Verdict:
			move(&e.Of)
		}
		for _, e := range s.Does {
			switch e := e.(type) {
			case *provenance.Call:
				move(&e.Of)
			case *provenance.Seek:
				move(&e.Of)
			case *provenance.Deny:
				move(&e.Of)
			}
		}
	}
}

func replyAt(h *history, n int) *provenance.Reply     { return h.steps[n].Event.(*provenance.Reply) }
func resultAt(h *history, n int) *provenance.Result   { return h.steps[n].Event.(*provenance.Result) }
func verdictAt(h *history, n int) *provenance.Verdict { return h.steps[n].Event.(*provenance.Verdict) }

// changeApproval changes the approval of the whole run.
func changeApproval(by func(*history) *auth.Wallet, change func(*auth.Approval)) func(*bench) ([]byte, error) {
	return changeHistory(wholeWorld, func(h *history) error {
		h.keepVerdict = true
		v := verdictAt(h, 5)
		return h.signApproval(v, must(cidOf(h.steps[v.Of.Seq])), by(h), change)
	})
}

func ownWallet(h *history) *auth.Wallet { return h.wallet }

func usd(n uint64) []money.Amount { return []money.Amount{money.Of(usdc, n*1_000_000)} }

// changeContract is the small run of a contract wallet.
func changeContract(change func(*history, *provenance.Verification)) func(*bench) ([]byte, error) {
	return changeContractOf(smallWorld, change)
}

// changeContractOf is the run of any world, as a contract wallet's.
func changeContractOf(w func() *world, change func(*history, *provenance.Verification)) func(*bench) ([]byte, error) {
	return changeSafely(w, func(h *history) {
		h.grant.Method, h.grant.Sig = auth.MethodEIP1271, provenance.NewPayload([]byte("an owner's word"))
		h.verification = &provenance.Verification{
			Method: auth.MethodEIP1271, Standing: string(auth.StandingContract), Chain: 1337, Number: 10,
			Block: [32]byte{1},
			State: provenance.NewPayload(make([]byte, 96)), Validator: auth.ValidatorHash, Gas: 3000, Asked: 2,
			Agreed: 2,
			At:     start.Add(-time.Second).UnixMilli(), Took: 5,
		}
		change(h, h.verification)
	})
}

// lieAboutReply is a run in which the record of reply n is changed, and all that follows from it is as it says.
func lieAboutReply(n int, change func(*provenance.ModelCall)) func(*bench) ([]byte, error) {
	return changeSafely(wireWorld(func(i int, mc *provenance.ModelCall) {
		if i == n {
			change(mc)
		}
	}), func(*history) {})
}

// calledBy is the small run as one that another, long one has opened, whose history is changed. The file has that
// history up to its last step but one.
func calledBy(change func(*history)) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		caller, err := playWorld(longWorld(20))
		if err != nil {
			return nil, err
		}
		change(caller)
		if err := caller.relinkAll(); err != nil {
			return nil, err
		}
		w := smallWorld()
		w.extra = map[provenance.Link][]byte{}
		for _, x := range caller.blocks[1:] { // without the head
			w.extra[x.CID] = x.Data
		}
		last := len(caller.cids) - 1
		delete(w.extra, caller.cids[last])
		w.parent = &provenance.Parent{Step: caller.cids[last-1]}
		h, err := playWorld(w)
		if err != nil {
			return nil, err
		}
		if err := h.linkHead(); err != nil {
			return nil, err
		}
		maps.Copy(b.keys, caller.keys)
		return h.exportCAR()
	}
}

// putUnixFS puts a dag-pb node in the place of the small run's first payload.
func putUnixFS(node string) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		sum := sha256.Sum256([]byte(node))
		pb := "\x01\x70\x12\x20" + string(sum[:])
		return changeSafely(smallWorld, func(h *history) {
			h.patch = func(seq int, data []byte) []byte {
				if seq != 3 {
					return data
				}
				i := bytes.Index(data, []byte("\x62ct\xd8\x2a\x58\x25\x00")) + 8
				return slices.Concat(data[:i], []byte(pb), data[i+36:])
			}
		})(b)
	}
}

// leaveOut leaves out of a file the records that gone says, and what only they lead to.
func leaveOut(make func(*bench) ([]byte, error), gone func(provenance.Record) bool) func(*bench) ([]byte, error) {
	return func(b *bench) ([]byte, error) {
		file, err := make(b)
		if err != nil {
			return nil, err
		}
		src, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return nil, err
		}
		var left []provenance.Block
		seen := map[provenance.Link]bool{}
		for todo := []provenance.Link{src.Root()}; len(todo) > 0; {
			c := todo[0]
			todo = todo[1:]
			data, err := src.Get(c)
			if seen[c] || err != nil {
				continue
			}
			seen[c] = true
			if c.Prefix().Codec == cid.DagCBOR {
				rec, err := provenance.DecodeAny(data)
				if err != nil {
					return nil, err
				}
				if c != src.Root() && gone(rec) {
					continue
				}
				todo = append(todo, provenance.Links(rec)...)
			}
			left = append(left, provenance.Block{CID: c, Data: data})
		}
		return carfile.Write(left), nil
	}
}

// ladderOfBlocks is a world whose run was opened by another one, whose history is a ladder: each block links to the
// next twice.
func ladderOfBlocks() *world {
	w := smallWorld()
	next := provenance.NewRaw([]byte("the end"))
	extra := map[provenance.Link][]byte{next.CID: next.Data}
	for range 40 {
		link := "\xd8\x2a\x58\x25\x00" + next.CID.KeyString()
		data := []byte("\x82" + link + link)
		next = provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
		extra[next.CID] = data
	}
	w.parent, w.extra = &provenance.Parent{Step: next.CID}, extra
	return w
}

// overpadLeaf makes a leaf whose padding is longer than the rule says.
func overpadLeaf(b *bench) ([]byte, error) {
	text := []byte("it said hi")
	k := leafKey(append([]byte("padded "), text...))
	enc := sha256.Sum256(append([]byte("writ/leaf/1 seal  \n"), k[:]...))
	aead, err := chacha20poly1305.NewX(enc[:])
	if err != nil {
		return nil, err
	}
	plain := append(append(bytes.Clone(text), 0x80), make([]byte, 500)...)
	leaf := provenance.NewRaw(aead.Seal(nil, make([]byte, aead.NonceSize()), plain, nil))
	b.keys[leaf.CID] = k
	return changeSafely(smallWorld, func(h *history) {
		h.extra[leaf.CID] = leaf.Data
		old := h.steps[3].Does[0].(*provenance.Say).Text.Leaf()
		h.patch = func(seq int, data []byte) []byte {
			if seq != 3 {
				return data
			}
			// The reply's text and the answer are one leaf; only the answer's is exchanged.
			return bytes.Replace(data, old.Bytes(), leaf.CID.Bytes(), 1)
		}
	})(b)
}

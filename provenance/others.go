package provenance

import (
	"crypto/ed25519"
	"hash/maphash"
)

// others are the histories that lie in a file beside the one that is asked for: those of sub-agents, from their heads,
// and those of the runs that called, up to the step of the call. Their structure is judged as the first one's is, with
// keys or without; what they decided is for agent/audit, which needs to read the permission.
//
// Memory is three bits and eight bytes a block of the file, whatever the histories are.
type others struct {
	list   []uint32 // what is still to be judged: the place in the file, and whether it is a step
	queued []uint64 // a bit for each block: it is, or was, in list
	walked []uint64 // a bit for each block: it is a step that a history has
	again  int      // steps that more than one history had
	runs   int      // that were judged
	steps  int      // of them
	heads  int      // that the operator signed
	salt   maphash.Seed
	sums   []uint32 // for each leaf, 32 bits of what a record says of it; 0 for nothing yet
}

func newOthers(blocks int) *others {
	words := blocks/64 + 1
	return &others{queued: make([]uint64, words), walked: make([]uint64, words), sums: make([]uint32, blocks),
		salt: maphash.MakeSeed()}
}

// setBit sets a bit, and says whether it was set before.
func setBit(bits []uint64, at int) (was bool) {
	word, bit := &bits[at/64], uint64(1)<<(at%64)
	was = *word&bit != 0
	*word |= bit
	return was
}

// addOther notes a history that is to be judged once the one at hand is: from its head, or up to a step. One of which
// nothing is there is another file's.
func (v *verifier) addOther(l Link, isStep bool) {
	if v.others == nil {
		return
	}
	place, _ := v.findBlock(l)
	switch {
	case place < 0 && !isStep:
		v.report.Unprove("what the sub-agents did: a run of theirs is not here")
		return
	case place < 0, setBit(v.others.queued, place):
		return
	}
	item := uint32(place) << 1
	if isStep {
		item |= 1
	}
	v.others.list = append(v.others.list, item)
}

// readOthers judges the structure of every other history that the file has.
func (v *verifier) readOthers(operator ed25519.PublicKey) error {
	for o := v.others; o != nil && len(o.list) > 0; {
		item := o.list[len(o.list)-1]
		o.list = o.list[:len(o.list)-1]
		place, isStep := int(item>>1), item&1 != 0
		if isStep && o.walked[place/64]&(1<<(place%64)) != 0 {
			continue // a history that was judged has this step
		}
		l, err := v.car.cidAt(place)
		if err != nil {
			return err
		}
		if err := v.readOther(l, isStep, operator); err != nil || v.report.Status(CheckHistory).Status == Fail {
			return err
		}
	}
	return nil
}

// readOther judges one history: the same marks, keys and counts, and an evidence of its own, which is then forgotten.
func (v *verifier) readOther(l Link, isStep bool, operator ed25519.PublicKey) error {
	w := *v
	w.found, w.closed, w.open = nil, "", 0
	w.gather = func(p *Payload) { w.found = append(w.found, p) }
	w.answers, w.asks = map[Ref]answer{}, map[Ref]int32{}
	w.ev = newEvidence(l, v.src, v.keys)
	err := w.readOtherFrom(l, isStep, operator)
	v.blocks, v.bytes, v.records, v.leaves = w.blocks, w.bytes, w.records, w.leaves
	v.others.runs++
	v.others.steps += w.ev.Len()
	return err
}

func (w *verifier) readOtherFrom(l Link, isStep bool, operator ed25519.PublicKey) error {
	h := &w.ev.Head
	if isStep { // as far as this step its history is evidence here, and its head is another file's
		var s Step
		if err := w.readRecord(l, &s); err != nil {
			return err
		}
		*h = Head{Run: s.Run, Seq: s.Seq, Step: l, At: s.At}
	} else if err := w.readRecord(l, h); err != nil {
		return err
	}
	if err := w.readRun(); err != nil || w.report.Status(CheckHistory).Status == Fail {
		return err
	}
	if isStep {
		return nil
	}
	if err := verifyHead(h, l, operator); err != nil {
		return err
	}
	if len(operator) > 0 {
		w.others.heads++
	}
	if err := w.checkIndex(); err != nil {
		return err
	}
	return w.checkErasures()
}

// checkOneCommitment says whether two records say different things of one leaf, which needs no key to see.
func (v *verifier) checkOneCommitment(p *Payload, place int) error {
	if v.others == nil || place < 0 {
		return nil
	}
	sum := uint32(1) // the cost of a leaf in the open
	if !p.public {
		sum = uint32(maphash.Bytes(v.others.salt, p.commit[:])) | 2
	}
	was := &v.others.sums[place]
	if *was != 0 && *was != sum {
		return &Fault{CodeLeafCommit, p.leaf, "two records commit to different texts for one leaf"}
	}
	*was = sum
	return nil
}

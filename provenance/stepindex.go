package provenance

import (
	"fmt"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// IndexFanout is how many steps or indexes one [StepIndex] lists.
const IndexFanout = 256

// MinIndexed is from how many steps on the runtime gives a closed run's head an index. A shorter chain is walked soon.
const MinIndexed = 32

// CodeLinksIndex says that a head's index is not that of its steps.
const CodeLinksIndex Code = "links.index"

// A StepIndex lists steps, so that they can be fetched at once and not one after the other along "prev". It lists the
// steps themselves in order if there are at most [IndexFanout], or else indexes, each of the steps that come next. Only
// the last of each level is not full, so one row of steps has one index. A [Head] may name it; it proves nothing.
type StepIndex struct {
	Steps uint64 // how many it covers
	Kids  []Link // *Step or *StepIndex
}

func (*StepIndex) versionName() string { return "index/1" }

func (x *StepIndex) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, x.versionName())
	listField(c, &f, "kids", &x.Kids, (*coder).CodeLink)
	c.uintField(&f, "steps", &x.Steps)
	c.closeMap(&f)
	if c.Err == nil && c.Mode != dagcbor.Walking && (len(x.Kids) == 0 || len(x.Kids) > IndexFanout) {
		c.failWith(CodeSchemaRange, "an index of %d entries", len(x.Kids))
	}
}

// IndexSteps makes the index of n steps, whose CIDs step returns, and calls emit with each of its blocks, kids first.
// The last block is the root. n must be above zero.
func IndexSteps(n int, step func(i int) Link, emit func(Block) error) error {
	kids, each := make([]Link, 0, IndexFanout), 1 // of this level; how many steps one of them covers
	level := make([]Link, n/IndexFanout+1)[:0]    // the indexes of this level
	for count := n; ; {
		for i := range count {
			kids = append(kids, step(i))
			if len(kids) < IndexFanout && i < count-1 {
				continue
			}
			b, err := Encode(&StepIndex{Steps: uint64(min(n, (i+1)*each) - len(level)*IndexFanout*each), Kids: kids})
			if err == nil {
				err = emit(b)
			}
			if err != nil {
				return fmt.Errorf("index %d steps: %w", n, err)
			}
			level, kids = append(level, b.CID), kids[:0]
		}
		if len(level) == 1 {
			return nil
		}
		below := level
		step = func(i int) Link { return below[i] }
		count, each, level = len(below), each*IndexFanout, nil
	}
}

// checkIndex compares the index that the head names, if it does, with that of the steps that were read.
func (v *verifier) checkIndex() error {
	want := v.ev.Head.Index
	if !want.Defined() {
		return nil
	}
	var blocks []Link
	if err := IndexSteps(v.ev.Len(), v.ev.StepCID,
		func(b Block) error { blocks = append(blocks, b.CID); return nil }); err != nil {
		return err
	}
	if blocks[len(blocks)-1] != want {
		return &Fault{CodeLinksIndex, v.ev.HeadCID, "the index that the head names is not that of its steps"}
	}
	for _, l := range blocks { // that they are canonical is known: they are those that were just made
		if _, err := v.requireBlock(l); err != nil {
			return err
		}
	}
	v.records += len(blocks)
	return nil
}

package mined

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/provenance"
)

// maxAsked bounds the transactions of one run that a chain is asked for.
const maxAsked = 4096

// An Ask asks a chain for a transaction. [ErrNobody] and every other error are no answers.
type Ask func(Place) (*Receipt, error)

// At is the step that says what a claim says.
type At struct {
	Step provenance.Link
	Seq  uint64
}

// Claims are those of one run, and what came of asking for them. The zero Claims asks nobody.
type Claims struct {
	Ask   Ask // nil: there is nobody to ask
	list  map[provenance.Ref]noted
	found int
	more  int    // that were not kept
	why   string // one was not checked, that could have been
	open  []string
}

type noted struct {
	Claim
	at    At
	whole bool
}

// Note takes in what a step says came of a call. What a later step says of the same call takes its place. whole is
// whether it names its place in full.
func (cs *Claims) Note(at At, of provenance.Ref, c Claim, whole bool) {
	if _, known := cs.list[of]; !known && len(cs.list) >= maxAsked {
		cs.more++
		return
	}
	if cs.list == nil {
		cs.list = map[provenance.Ref]noted{}
	}
	cs.list[of] = noted{c, at, whole}
}

// Check asks for all of them. The error is what the first is not, in the order of the steps, and at says where that is.
func (cs *Claims) Check() (at At, err error) {
	if cs.Ask == nil {
		return at, nil
	}
	list := make([]noted, 0, len(cs.list))
	for _, n := range cs.list {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b noted) int { return cmp.Compare(a.at.Seq, b.at.Seq) })
	for _, n := range list {
		if err := cs.checkOne(&n); err != nil {
			return n.at, err
		}
	}
	if cs.more > 0 {
		cs.why = fmt.Sprintf("%d transactions more than the %d that are asked for", cs.more, maxAsked)
	}
	return at, nil
}

func (cs *Claims) checkOne(n *noted) error {
	if n.Early {
		cs.leaveOpen("that transaction %s is on its chain: its block was not final by the record", n.Tx.Hex())
		return nil
	}
	if !n.whole {
		return errors.New("it does not name in full where a transaction was mined")
	}
	r, err := cs.Ask(n.Place)
	if errors.Is(err, ErrNobody) {
		cs.leaveOpen("that transactions of chain %d are on it: %v", n.Chain, err)
		return nil
	}
	if err != nil {
		if cs.why == "" {
			cs.why = fmt.Sprintf("chain %d could not be asked for transaction %s: %v", n.Chain, n.Tx.Hex(), err)
		}
		return nil
	}
	switch err := n.check(r); {
	case errors.Is(err, errMoved):
		cs.leaveOpen("in which block transaction %s was at first: that block has gone, and chain %d has it in %s", n.Tx.Hex(),
			n.Chain, r.Block.Hex())
	case err != nil:
		return fmt.Errorf("asked for transaction %s, chain %d %w", n.Tx.Hex(), n.Chain, err)
	}
	cs.found++
	return nil
}

func (cs *Claims) leaveOpen(format string, args ...any) {
	if says := fmt.Sprintf(format, args...); len(cs.open) < 16 && !slices.Contains(cs.open, says) {
		cs.open = append(cs.open, says)
	}
}

// Conclude tells a report what was found and what was left open. skipped says why something was not checked that could
// have been; found is a note of what was.
func (cs *Claims) Conclude(rep *provenance.Report) (skipped string, found []string) {
	for _, what := range cs.open {
		rep.Unprove(what)
	}
	if cs.why != "" {
		return "not checked: " + cs.why, nil
	}
	if cs.found == 0 {
		return "", nil
	}
	const was = "that tools and chains answered what is recorded, or that a signed transaction is on its chain"
	if i := slices.Index(rep.Unproven, was); i >= 0 && len(cs.open) == 0 {
		rep.Unproven[i] = "that tools and chains answered what is recorded, besides the transactions that were looked for"
	}
	return "", []string{fmt.Sprintf("%d found on the chain", cs.found)}
}

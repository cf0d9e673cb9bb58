package tamper

import (
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/tamper/carfile"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Long returns the file and the keys of an honest run of 2 + 2*calls steps: so many calls of a tool, each asked for by
// a model and decided on, and an answer. It is for measuring what an audit of a long run takes.
func Long(calls int) (car, keys []byte, err error) {
	h, err := playWorld(longWorld(calls))
	if err != nil {
		return nil, nil, err
	}
	if err := h.linkHead(); err != nil {
		return nil, nil, err
	}
	return h.writeCAR(), keyFile(h.keys), nil
}

func longWorld(calls int) *world {
	w := smallWorld()
	w.long, w.replies = true, nil
	for i := range calls {
		w.replies = append(w.replies, model.Reply{Stop: model.StopTools, Calls: []model.Call{
			{ID: fmt.Sprint("c", i), Tool: "echo.say", Args: fmt.Appendf(nil, `{"text":"hi %d"}`, i)}}})
	}
	w.replies = append(w.replies, replyText("it said hi"))
	w.rules = longRules
	w.offer.Expires = start.Add(24 * time.Hour)
	w.offer.Caveats.MaxCalls, w.offer.Caveats.MaxTokens = 100_000, 1_000_000_000
	w.offer.Caveats.MaxCostNanoUSD, w.offer.Caveats.MaxTotal = 1_000_000_000_000, []money.Amount{}
	return w
}

const longRules = `schema: writ/policies/1
name: long
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// JunkBehind returns the file of a small honest run that says it was opened by a run whose history is n blocks of
// nothing, and its keys. One block links to the next 4,000, so whoever remembers what is still to be looked at
// remembers much. It is for measuring what a hostile file takes.
func JunkBehind(n int) (car, keys []byte, err error) {
	const fan = 4000
	var junk []byte
	var next []provenance.Link
	for i := range n {
		leaf := provenance.NewRaw(fmt.Appendf(nil, "junk %d", i))
		junk = append(junk, carfile.Section(leaf)...)
		if next = append(next, leaf.CID); len(next) == fan || i == n-1 {
			b := listOf(next)
			junk = append(junk, carfile.Section(b)...)
			next = append(next[:0], b.CID)
		}
	}
	w := smallWorld()
	w.parent = &provenance.Parent{Step: next[0]}
	h, err := playWorld(w)
	if err != nil {
		return nil, nil, err
	}
	return append(h.writeCAR(), junk...), keyFile(h.keys), nil
}

// listOf is a block that is a list of links and nothing else.
func listOf(links []provenance.Link) provenance.Block {
	data := []byte{0x80 | 25, byte(len(links) >> 8), byte(len(links))}
	if len(links) < 256 {
		data = []byte{0x80 | 24, byte(len(links))}
	}
	if len(links) < 24 {
		data = []byte{0x80 | byte(len(links))}
	}
	for _, l := range links {
		data = append(append(data, "\xd8\x2a\x58\x25\x00"...), l.KeyString()...)
	}
	return provenance.Block{CID: provenance.Sum(cid.DagCBOR, data), Data: data}
}

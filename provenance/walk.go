package provenance

import "github.com/writ-run/writ/provenance/internal/dagcbor"

// EachPayload calls f for every payload of r in the order of its block. Unlike [Payloads] it does not pass over a
// payload that stands in two places, so that two copies of one record can be walked side by side.
func EachPayload(r Record, f func(*Payload)) {
	r.codeFields(&coder{Coder: dagcbor.Coder{Mode: dagcbor.Walking}, payload: f})
}

// Adopt gives p the leaf that q has, sealing or publishing p's own plaintext the same way. It fails with a [*Fault]
// of [CodeLeafCommit] if that does not lead to q's leaf: then p and q are different texts. k is q's key; it is
// ignored for a public leaf.
func (p *Payload) Adopt(q *Payload, k LeafKey) error {
	mine := Payload{plain: p.plain, known: true}
	var err error
	if q.public {
		_, err = mine.Publish()
	} else {
		_, err = mine.Seal(k)
	}
	if err != nil {
		return err
	}
	if mine.leaf != q.leaf || mine.commit != q.commit {
		return &Fault{CodeLeafCommit, q.leaf, "the leaf holds another text than the one recomputed"}
	}
	*p = mine
	return nil
}

// Trust gives p the leaf that q has without looking at either text, for a reader who has no key. What rests on it is
// not proven.
func (p *Payload) Trust(q *Payload) { p.leaf, p.commit, p.public = q.leaf, q.commit, q.public }

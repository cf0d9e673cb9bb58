package tamper

import (
	"fmt"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/provenance"
)

// addAgents gives the agent a tool that calls another, which has one that calls the next, and so on, n deep.
func (h *history) addAgents(n int) error {
	var below []provenance.Link
	for i := range n {
		agent := h.agent
		agent.Name, agent.Tools = fmt.Sprint("helper", i), below
		c, err := h.addBlock(&agent)
		if err != nil {
			return err
		}
		def, _, err := definition.RecordOf(definition.AgentTool(agent.Name, "Asks the helper.", nil))
		if err != nil {
			return err
		}
		def.Delegate = &provenance.Delegate{Agent: c, Tools: []string{}, Life: 60_000,
			Caveats: helperLimits().Sorted().JSON()}
		if c, err = h.addBlock(def); err != nil {
			return err
		}
		below = []provenance.Link{c}
	}
	h.agent.Tools = append(h.agent.Tools, below...)
	return nil
}

// addRevocations ends the run n times, by a revocation each.
func (h *history) addRevocations(n int) error {
	last := h.steps[len(h.steps)-1]
	for i := range n {
		r := &provenance.Revocation{Grant: h.run.Grant, At: last.At + int64(i), Method: provenance.RevokedText,
			Message: provenance.NewPayload([]byte(fmt.Sprint("end ", i))), Sig: provenance.NewPayload([]byte("a word"))}
		c, err := h.addBlock(r)
		if err != nil {
			return err
		}
		h.steps = append(h.steps, &provenance.Step{Seq: last.Seq + 1 + uint64(i), At: last.At,
			Event: &provenance.Lapse{Why: provenance.LapseRevoked, By: c}})
	}
	return nil
}

// addBlock puts a record and its leaves into the file.
func (h *history) addBlock(r provenance.Record) (provenance.Link, error) {
	if err := h.sealPayloads(r, false); err != nil {
		return provenance.Link{}, err
	}
	b, err := provenance.Encode(r)
	if err != nil {
		return provenance.Link{}, err
	}
	if h.extra == nil {
		h.extra = map[provenance.Link][]byte{}
	}
	h.extra[b.CID] = b.Data
	for _, p := range provenance.Payloads(r) {
		h.extra[p.Leaf()] = h.leaves[p.Leaf()].Data
	}
	return b.CID, nil
}

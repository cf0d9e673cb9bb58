// Package modelcall has the life of a model call: an [Open] one waits for its answer, [Of] makes the record of that, as
// the runner writes it and an auditor who has read the provider's bytes again compares with, and [Tries] know which
// models have failed of a turn and which are left.
package modelcall

import (
	"cmp"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// MaxUsage bounds the tokens that one reply may count of each sort, so that no sum of them wraps around.
const MaxUsage = 1 << 40

// Of returns the record of a reply. How long it took is not in it.
func Of(info model.Info, reply model.Reply) *provenance.ModelCall {
	u := &reply.Usage
	for _, n := range []*int64{&u.In, &u.Out, &u.CachedIn, &u.Write5m, &u.Write1h, &u.Reasoning} {
		*n = min(max(*n, 0), MaxUsage)
	}
	mc := &provenance.ModelCall{
		Name: info.Name, Provider: info.Provider, Asked: info.Model,
		Answered: RecordName(cmp.Or(reply.Model, info.Model)),
		ID:       model.RecordID(reply.ID), Stop: RecordName(cmp.Or(reply.Stop, model.StopEnd)),
		Tier: RecordName(reply.Tier), TTFT: reply.TTFT, Cost: info.Cost(reply.Usage),
		Usage: provenance.Usage{
			In: uint64(u.In), Out: uint64(u.Out), Cached: uint64(u.CachedIn),
			Write5m: uint64(u.Write5m), Write1h: uint64(u.Write1h), Reasoning: uint64(u.Reasoning),
		},
	}
	if reply.Text != "" {
		mc.Text = provenance.NewPayload([]byte(reply.Text))
	}
	for _, c := range model.UniqueCalls(reply.Calls) {
		args, err := tools.CanonicalJSON(c.Args)
		if err != nil { // recorded as it came; the first gate refuses it
			args = c.Args
		}
		mc.Calls = append(mc.Calls, provenance.ToolAsk{
			ID: c.ID, Tool: RecordName(c.Tool), Args: provenance.NewPayload(args),
		})
	}
	if len(reply.Response) > 0 && len(reply.Response) <= provenance.MaxPayload {
		mc.Response = provenance.NewPayload(reply.Response)
	}
	mc.Evidence = EvidenceOf(mc)
	return mc
}

// UsageOf returns the tokens that a record counts.
func UsageOf(u provenance.Usage) model.Usage {
	return model.Usage{
		In: int64(u.In), Out: int64(u.Out), CachedIn: int64(u.Cached),
		Write5m: int64(u.Write5m), Write1h: int64(u.Write1h), Reasoning: int64(u.Reasoning),
	}
}

// RecordName makes a provider's word fit for a record: valid UTF-8, at most 200 bytes.
func RecordName(s string) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.ToValidUTF8(s[:min(200, len(s))], "") // a character that was cut in two is dropped
}

// EvidenceOf returns the level of evidence that a model call shows by itself: 1 for the provider's id and bytes.
func EvidenceOf(mc *provenance.ModelCall) uint64 {
	if mc.ID != "" && mc.Response != nil {
		return 1
	}
	return 0
}

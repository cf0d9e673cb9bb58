package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/provenance"
)

// maxDelegates bounds the agents that one agent may call.
const maxDelegates = 8

// agentRecord makes the record of an agent, and before it those of the agents that it calls: an agent's version is that
// of its sub-agents too. above names the agents that lead to this one.
func (r *Runner) agentRecord(d Definition, put func(provenance.Record) (provenance.Link, error), above []string) (AgentInfo, error) {
	if info, done := r.agents[d.Name]; done {
		return info, nil
	}
	if slices.Contains(above, d.Name) {
		return AgentInfo{}, fmt.Errorf("agent %q calls itself, by way of %q", d.Name, above)
	}
	if len(d.Delegates) > maxDelegates {
		return AgentInfo{}, fmt.Errorf("agent %q names %d delegates; at most %d can be", d.Name, len(d.Delegates), maxDelegates)
	}
	info := AgentInfo{Name: d.Name, About: d.About, Tools: slices.Clone(d.Tools), Defaults: d.Grant}
	named := map[string]provenance.Link{}
	for name, link := range r.tools {
		named[name] = link
	}
	own := d
	own.Tools = slices.Clone(d.Tools)
	for _, x := range d.Delegates {
		bad := func(format string, args ...any) (AgentInfo, error) {
			return AgentInfo{}, fmt.Errorf("agent %q: delegate %q: %w", d.Name, x.Agent, fmt.Errorf(format, args...))
		}
		i := slices.IndexFunc(r.cfg.Agents, func(o Definition) bool { return o.Name == x.Agent })
		if i < 0 {
			return bad("there is no agent of that name; list it too")
		}
		other, err := r.agentRecord(r.cfg.Agents[i], put, append(slices.Clip(above), d.Name))
		if err != nil {
			return AgentInfo{}, err
		}
		rec := &provenance.Delegate{Agent: other.CID, Tools: []string{}, Life: or(x.Life, 10*time.Minute).Milliseconds()}
		if x.Life < 0 || x.Life > 24*time.Hour {
			return bad("its life of %s is not between a second and a day", x.Life)
		}
		outer := d.Grant.Sorted()
		limits := x.Grant.Sorted()
		if limits.MaxCalls == 0 {
			if limits, err = other.Defaults.Sorted().Narrow(outer); err != nil {
				return bad("what both its own grant and that of %q allow: %w", d.Name, err)
			}
		}
		if err := limits.Validate(); err != nil {
			return bad("its limits: %w", err)
		}
		outer.MaxDepth--
		if err := limits.Within(outer); err != nil {
			return bad("its limits against the grant of %q: %w", d.Name, err)
		}
		rec.Caveats = limits.JSON()
		may := x.Tools
		if may == nil {
			may = other.Tools
		}
		for _, t := range may {
			if !slices.Contains(other.Tools, t) {
				return bad("it has no tool %q", t)
			}
			if !slices.Contains(info.Tools, t) { // the wallet signs every tool that is called on its word
				info.Tools = append(info.Tools, t)
			}
		}
		rec.Tools = append(rec.Tools, may...)
		slices.Sort(rec.Tools)
		rec.Tools = slices.Compact(rec.Tools)
		spec := loop.AgentTool(x.Agent, or(x.About, or(other.About, "Asks the agent "+x.Agent+".")), x.Utterances)
		if named[spec.Name].Defined() {
			return bad("there is a tool %s already", spec.Name)
		}
		def, _, err := loop.RecordOf(spec)
		if err != nil {
			return bad("%w", err)
		}
		def.Delegate = rec
		if named[spec.Name], err = put(def); err != nil {
			return bad("%w", err)
		}
		own.Tools = append(own.Tools, spec.Name)
		info.Tools = append(info.Tools, spec.Name)
	}
	rec, err := own.record(named)
	if err != nil {
		return AgentInfo{}, err
	}
	if info.CID, err = put(rec); err != nil {
		return AgentInfo{}, fmt.Errorf("agent %q: %w", d.Name, err)
	}
	r.agents[d.Name] = info
	return info, nil
}

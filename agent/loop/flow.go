package loop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Information flow. The loop keeps one label for the run's context: the join of everything that a model has been
// given. What a model says has that label, since nobody can tell which of it the model used; so a call's arguments
// have it too, all but those that the user wrote. The label is a function of the steps and of the tools' records.
//
// Two rules hold whatever the policy sets say, and they can only be tightened:
//
//	flow/untrusted  a call that moves value needs the wallet's approval if any of its arguments comes from untrusted
//	                content. Arguments are the user's own only if the call is a plain order of the signed request (see
//	                order.go).
//	flow/secrecy    data does not go to a reader that may not have it. What is private to the wallet goes to a tool
//	                without clearance only with the wallet's approval; what is secret never does, nor into an answer,
//	                nor to a model that is not this program's own.
//
// An approval releases the one call that was approved. The context keeps its label.
const (
	ruleUntrusted = "flow/untrusted"
	ruleSecrecy   = "flow/secrecy"
)

// contractWords is the label of a reason that a contract gives for reverting.
var contractWords = label.Label{Integrity: label.Untrusted, Secrecy: label.Session, Origins: []string{"chain:revert reason"}}

// outputLabel is the label of what a tool returned, as its spec declares it. A tool that declares nothing is untrusted.
func outputLabel(s *tools.Spec, out []byte) label.Label {
	own := []string{"tool:" + s.Name}
	if s.Output == nil {
		return label.Label{Integrity: label.Untrusted, Secrecy: label.Session, Origins: own}
	}
	l := label.Label{Integrity: s.Output.Integrity, Secrecy: s.Output.Secrecy, Origins: own}
	var said struct {
		Origins []string `json:"origins"`
	}
	if s.Output.Origins && json.Unmarshal(out, &said) == nil && len(said.Origins) > 0 {
		l.Origins = nil
		for _, o := range said.Origins {
			l = l.Join(label.Label{Origins: []string{origin(o)}})
		}
	}
	return l
}

// origin makes a name fit for a label: printable ASCII, short. It comes from outside.
func origin(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 120)]
}

// documentLabel is what a document's own words add to its tool's label. A level that is not known is the strictest.
func documentLabel(d document) label.Label {
	l := label.Label{Origins: []string{origin("doc:" + d.Source)}}
	if d.Integrity != "" {
		l.Integrity, _ = label.ParseIntegrity(d.Integrity)
	}
	if d.Secrecy != "" {
		l.Secrecy, _ = label.ParseSecrecy(d.Secrecy)
	}
	return l
}

// weigh gives a call the label of its arguments: the context's for every argument that the user did not write.
func (w *work) weigh(c *call) {
	c.label = label.Label{Integrity: label.User, Secrecy: label.Session}
	c.foreign = nil
	if c.tool.spec.Spend != nil {
		c.order = w.orderFor(c)
	}
	for _, v := range c.args.Values {
		if !v.Set || c.order >= 0 {
			continue
		}
		// Whether a value that moves money is the user's is for the whole order to say: an attacker could put together
		// what the user wrote apart.
		if c.tool.spec.Spend == nil && typed(w.s.input, v) {
			continue
		}
		c.label = c.label.Join(w.s.context)
		c.foreign = append(c.foreign, v.Name)
	}
}

// flow returns the decisions of the two default rules on a call; none if neither has anything to say.
func (w *work) flow(c *call, approved bool) []policies.Decision {
	var ds []policies.Decision
	ask := func(p policies.Point, rule, message string) {
		d := policies.Decision{Point: p, Outcome: policies.Approve, Rules: []string{rule}, Message: message,
			Change: "an approval by the wallet", TTL: policies.DefaultTTL}
		if approved { // recorded, so that it shows which call the wallet has released
			d = policies.Decision{Point: p, Outcome: policies.Permit, Rules: []string{rule}}
		}
		ds = append(ds, d)
	}
	// A called agent takes what it is told for its user's words, so an agent's call counts as one that moves value.
	if (c.tool.spec.Spend != nil || c.tool.delegate != nil) && c.label.Integrity == label.Untrusted {
		point := policies.Spend
		if c.tool.delegate != nil {
			point = policies.ToolCall
		}
		ask(point, ruleUntrusted, w.blame(c))
	}
	if clearance := max(c.tool.spec.Clearance, label.Session); c.label.Secrecy > clearance {
		if c.label.Secrecy == label.Secret {
			ds = append(ds, leak(policies.ToolCall, "the tool "+c.tool.spec.Name, c.label))
		} else {
			ask(policies.ToolCall, ruleSecrecy, fmt.Sprintf("%s would be given what is private to the wallet, from %s",
				c.tool.spec.Name, sources(c.label.Origins)))
		}
	}
	return ds
}

// leak is the decision that keeps a secret from a reader.
func leak(p policies.Point, reader string, l label.Label) policies.Decision {
	return policies.Decision{Point: p, Outcome: policies.Deny, Rules: []string{ruleSecrecy},
		Message: fmt.Sprintf("%s would hold a secret from %s, which it may not have", reader, sources(l.Origins))}
}

// blame says which arguments of a call come from where: "the recipient and the amount come from untrusted content:
// web content of evil.example".
func (w *work) blame(c *call) string {
	roles := map[string]string{}
	if s := c.tool.spec.Spend; s != nil {
		roles = map[string]string{s.Amount: "the amount", s.Asset: "the asset", s.To: "the recipient"}
	}
	var words []string
	for _, name := range c.foreign {
		if roles[name] != "" {
			words = append(words, roles[name])
		} else {
			words = append(words, fmt.Sprintf("the argument %q", name))
		}
	}
	verb := "come"
	if len(words) == 1 {
		verb = "comes"
	}
	return fmt.Sprintf("%s may %s from untrusted content: %s", and(words), strings.TrimSuffix(verb, "s"), sources(c.label.Origins))
}

func and(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// sources tells origins in words, the first few of them; the web and documents before tools, since that is where
// strangers write.
func sources(origins []string) string {
	words := map[string]string{"web": "web content of ", "doc": "documents of ", "tool": "what the tool ", "about": "the description of the tool ", "chain": "the chain, its "}
	sorted := slices.Clone(origins)
	slices.SortStableFunc(sorted, func(a, b string) int {
		own := func(s string) int {
			if strings.HasPrefix(s, "tool:") {
				return 1
			}
			return 0
		}
		return own(a) - own(b)
	})
	var out []string
	for i, o := range sorted {
		kind, name, _ := strings.Cut(o, ":")
		switch {
		case i == 3 || o == label.More:
			return strings.Join(append(out, "others"), ", ")
		case kind == "tool":
			out = append(out, words[kind]+name+" returned")
		case words[kind] != "":
			out = append(out, words[kind]+name)
		default:
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return "an unknown origin"
	}
	return strings.Join(out, ", ")
}

// mayRead says whether a model may be given the context. Rules and recordings are part of this program; a model
// proper is somebody else's.
func mayRead(kind model.Kind, l label.Label) bool {
	return kind != model.KindModel || l.Secrecy < label.Secret
}

// relabel puts the context's label into the step if it has changed and says more than that the user has spoken and
// trusted tools have answered.
func (w *work) relabel(before label.Label) error {
	l := w.s.context
	if l.Equal(before) || l.Integrity < label.Untrusted && l.Secrecy <= label.Session {
		return nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("label of the context: %w", err)
	}
	w.next.Label = provenance.NewPayload(b)
	return nil
}

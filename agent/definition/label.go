package definition

import (
	"encoding/json"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// OutputLabel is the label of what a tool returned, as its spec declares it. A tool that declares nothing is untrusted.
func OutputLabel(s *tools.Spec, out []byte) label.Label {
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
			l = l.Join(label.Label{Origins: []string{label.CleanOrigin(o)}})
		}
	}
	return l
}

// DocumentLabel is what a document's own words add to its tool's label. A level that is not known is the strictest.
func DocumentLabel(source, integrity, secrecy string) label.Label {
	l := label.Label{Origins: []string{label.CleanOrigin("doc:" + source)}}
	if integrity != "" {
		l.Integrity, _ = label.ParseIntegrity(integrity)
	}
	if secrecy != "" {
		l.Secrecy, _ = label.ParseSecrecy(secrecy)
	}
	return l
}

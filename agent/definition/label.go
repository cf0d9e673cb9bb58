package definition

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ErrSealed says that a payload whose words are needed is sealed.
var ErrSealed = errors.New("a payload is sealed")

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

// ContractWords is the label of a reason that a contract gives for reverting.
var ContractWords = label.Label{
	Integrity: label.Untrusted, Secrecy: label.Session, Origins: []string{"chain:revert reason"},
}

// UnknownLabel is the label of which nothing better is known.
var UnknownLabel = label.Label{Integrity: label.Untrusted, Secrecy: label.Secret}

// WidestLabel is the label of what a tool may return. A document says itself what it is.
func WidestLabel(s *tools.Spec) label.Label {
	l := OutputLabel(s, nil)
	if s.Class.Sends() {
		l = l.Join(ContractWords)
	}
	if s.Output != nil && s.Output.Documents {
		l = l.Join(UnknownLabel)
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

// ReadLabel reads a label that a record carries.
func ReadLabel(p *provenance.Payload) (label.Label, error) {
	b, ok := p.Bytes()
	if !ok {
		return label.Label{}, fmt.Errorf("its label: %w", ErrSealed)
	}
	var l label.Label
	if err := json.Unmarshal(b, &l); err != nil {
		return l, fmt.Errorf("its label: %w", err)
	}
	return l.Clean(), nil
}

// LabelPayload writes a label for a record.
func LabelPayload(l label.Label) *provenance.Payload {
	b, err := l.JSON()
	if err != nil { // it cannot fail: all fields are strings
		panic("definition: " + err.Error())
	}
	return provenance.NewPayload(b)
}

// MayReadContext says whether a model may be given what has this label. Rules and recordings are part of this program;
// a model is somebody else's.
func MayReadContext(kind model.Kind, l label.Label) bool {
	return kind != model.KindModel || l.Secrecy < label.Secret
}

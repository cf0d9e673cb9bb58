package tools

import (
	"fmt"

	"github.com/writ-run/writ/tools/arg"
)

// MarkSpend returns an adapted schema in which the three arguments of s have the formats amount, token and address, as
// [Spec.Spend] needs them. In the schema they must be required texts.
func MarkSpend(schema []byte, s Spend) ([]byte, error) {
	v, err := parseJSON(schema, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	props := v.member("properties")
	for _, a := range []struct{ role, name, format string }{
		{"amount", s.Amount, "amount"}, {"asset", s.Asset, "token"}, {"recipient", s.To, "address"},
	} {
		var p *value
		if props != nil {
			p = props.member(a.name)
		}
		switch {
		case !arg.IsName(a.name) || p == nil:
			return nil, fmt.Errorf("spend: there is no argument %q for the %s", clipText(a.name), a.role)
		case p.member("type") == nil || p.member("type").text != "string" || !isRequired(&v, a.name):
			return nil, fmt.Errorf("spend: the argument %q, for the %s, is not a text that is required", a.name, a.role)
		}
		marked := value{kind: object}
		marked.setMember("type", value{kind: text, text: "string"})
		if d := p.member("description"); d != nil {
			marked.setMember("description", *d)
		}
		marked.setMember("format", value{kind: text, text: a.format})
		if a.format == "amount" {
			marked.setMember("x-asset", value{kind: text, text: s.Asset})
		}
		*p = marked
	}
	return v.appendTo(nil), nil
}

package grammar

import (
	"encoding/json"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// A kind is the type of a slot.
type kind int

const (
	kindText kind = iota
	kindInt
	kindBool
	kindAddress
	kindToken
	kindAmount
	kindHash
	kindBlock
	kindURL
	kindThing
)

// wants says what a slot of each kind is, for questions.
var wants = [...]string{
	kindText: "some text", kindInt: "a whole number", kindBool: "yes or no", kindAddress: "a name or a 0x address",
	kindToken: "a token's symbol, such as USDC", kindAmount: "a number, such as 12.5", kindHash: "0x and 64 hex digits",
	kindBlock: "a block number, or latest", kindURL: "an address that begins with https://",
	kindThing: "the number of a thing",
}

// A prop is an argument of a tool.
type prop struct {
	name     string
	kind     kind
	required bool
	enum     []string
}

// A tool is a model.Tool whose schema was read.
type tool struct {
	name       string
	verb       string // the last part of the name
	about      string
	props      []prop // by name
	acts       bool   // anything but a known reading verb
	utterances []string
}

// newTool reads a tool's schema. ok is false if the planner cannot fill what is required, such as a nested object; such
// a tool is left to models.
func newTool(t Tool) (*tool, bool) {
	var schema struct {
		Properties map[string]struct {
			Type   string            `json:"type"`
			Format string            `json:"format"`
			Enum   []json.RawMessage `json:"enum"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if len(t.Schema) > 0 && json.Unmarshal(t.Schema, &schema) != nil {
		return nil, false
	}
	out := &tool{name: t.Name, about: t.About, utterances: t.Utterances}
	parts := strings.FieldsFunc(strings.ToLower(t.Name), func(r rune) bool { return r == '.' || r == '_' || r == '-' })
	if len(parts) == 0 {
		return nil, false
	}
	out.verb = parts[len(parts)-1]
	out.acts = !reading[out.verb]
	for name, s := range schema.Properties {
		p := prop{name: name}
		switch s.Type + " " + s.Format {
		case "string address":
			p.kind = kindAddress
		case "string token":
			p.kind = kindToken
		case "string amount":
			p.kind = kindAmount
		case "string hash":
			p.kind = kindHash
		case "string block":
			p.kind = kindBlock
		case "string thing":
			p.kind = kindThing
		case "string url":
			p.kind = kindURL
		case "string ":
			p.kind = kindText
		case "integer ":
			p.kind = kindInt
		case "boolean ":
			p.kind = kindBool
		default:
			if slices.Contains(schema.Required, name) {
				return nil, false
			}
			continue // the planner leaves it out
		}
		for _, e := range s.Enum {
			var v string
			if json.Unmarshal(e, &v) == nil {
				p.enum = append(p.enum, v)
			}
		}
		for _, r := range schema.Required {
			p.required = p.required || r == name
		}
		out.props = append(out.props, p)
	}
	sort.Slice(out.props, func(i, j int) bool { return out.props[i].name < out.props[j].name })
	return out, true
}

// onlyProperty returns the index of the tool's one property of kind k, or -1.
func (t *tool) onlyProperty(k kind) int {
	at := -1
	for i, p := range t.props {
		if p.kind == k {
			if at >= 0 {
				return -1
			}
			at = i
		}
	}
	return at
}

func (t *tool) findProperty(name string) int {
	for i, p := range t.props {
		if p.name == name {
			return i
		}
	}
	return -1
}

var (
	addressShape = regexp.MustCompile(`^0[xX][0-9a-fA-F]{40}$`)
	nameShape    = regexp.MustCompile(`^[a-z]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	tokenShape   = regexp.MustCompile(`^[a-z][a-z0-9]{1,10}$`)
	amountShape  = regexp.MustCompile(`^(0|[1-9][0-9]{0,76})(\.[0-9]{1,36})?$`)
	hashShape    = regexp.MustCompile(`^0x[0-9a-f]{64}$`)
	blockShape   = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})$`)
	thingShape   = regexp.MustCompile(`^(0|[1-9][0-9]{0,77})$`)
	urlShape     = regexp.MustCompile(`^https?://[!-~]+$`)
	intShape     = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)
)

// readSlot returns the argument that w stands for in a slot, or ok false. caps says that capitals mean something in
// the request, which they do not where all of it is shouted.
func (p *prop) readSlot(w word, caps bool) (value string, ok bool) {
	if len(p.enum) > 0 {
		for _, e := range p.enum {
			if strings.EqualFold(e, w.text) {
				return e, true
			}
		}
		return "", false
	}
	switch p.kind {
	case kindAddress:
		if addressShape.MatchString(w.text) {
			return w.text, true
		}
		return w.low, isName(w)
	case kindToken:
		if w.low == "ether" {
			return "ETH", true
		}
		return strings.ToUpper(w.text), isToken(w, caps)
	case kindAmount:
		return w.text, amountShape.MatchString(w.text)
	case kindHash:
		return w.low, hashShape.MatchString(w.low)
	case kindBlock:
		n := strings.TrimPrefix(w.low, "#")
		if canonOf(n) == "latest" {
			return "latest", true
		}
		return n, blockShape.MatchString(n)
	case kindThing:
		n := strings.TrimPrefix(w.low, "#")
		return n, thingShape.MatchString(n)
	case kindURL:
		return w.text, urlShape.MatchString(w.text)
	case kindInt:
		return w.text, intShape.MatchString(w.text)
	case kindBool:
		switch w.low {
		case "yes", "true", "on":
			return "true", true
		case "no", "false", "off":
			return "false", true
		}
		return "", false
	default:
		return w.text, w.text != "" && w.text != ";"
	}
}

// isName says whether w can name an account: a word that means nothing else here.
func isName(w word) bool {
	return nameShape.MatchString(w.low) && !nobody[w.low] && !doubt[w.low] && !number[w.low] && !symbols[w.low] &&
		!sending[w.low] && w.low != "ether"
}

// isToken says whether w is a token's symbol: one that is known, or one in capitals where capitals mean something.
func isToken(w word, caps bool) bool {
	if symbols[w.low] || w.low == "ether" {
		return true
	}
	return caps && w.text == strings.ToUpper(w.text) && tokenShape.MatchString(w.low) && !nobody[w.low] &&
		!doubt[w.low] && !number[w.low]
}

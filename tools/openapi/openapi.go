// Package openapi makes tools of operations of an HTTP interface, as an OpenAPI 3 document describes them.
//
// [Read] reads a document from its bytes alone: a reference that leads out of it is an error. Of its operations those
// become tools that [Document.Tool] is asked for, with their parameters and the members of their JSON body as typed
// arguments. A call goes to one base address, by a connection that a [reach.Gate] has checked, with the credentials of
// an [Auth] that no model sees; redirects are not followed, and of an answer no more is read and told than the bounds
// and the chosen fields allow.
package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

// MaxDocument bounds a document, in bytes.
const MaxDocument = 4 << 20

const maxAbout = 1000 // bytes of a description that a model reads

// A Document is an OpenAPI document. It is safe for concurrent use.
type Document struct {
	doc *openapi3.T
	cid string
}

// Read reads a document, JSON or YAML, of version 3.0 or 3.1.
func Read(data []byte) (*Document, error) {
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("the document has %d bytes; at most %d are read", len(data), MaxDocument)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data) // references to other files and addresses are errors
	if err != nil {
		return nil, fmt.Errorf("the document cannot be read: %s", wording.Reveal(wording.Clip(err.Error(), 300)))
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		return nil, errors.New("the document is not of OpenAPI 3")
	}
	return &Document{doc, provenance.NewRaw(data).CID.String()}, nil
}

// CID names the document's bytes.
func (d *Document) CID() string { return d.cid }

// Server returns the first address that the document names, or "" if it is none to begin with.
func (d *Document) Server() string {
	if len(d.doc.Servers) == 0 || strings.Contains(d.doc.Servers[0].URL, "{") {
		return ""
	}
	return d.doc.Servers[0].URL
}

// An Operation is what can be a tool.
type Operation struct {
	ID     string `json:"id"` // the document's, or the method and the path
	Method string `json:"method"`
	Path   string `json:"path"`
	About  string `json:"about,omitempty"`

	item *openapi3.PathItem
	op   *openapi3.Operation
}

// Operations lists the document's operations, by path and method.
func (d *Document) Operations() (out []Operation) {
	for _, path := range d.doc.Paths.InMatchingOrder() {
		item := d.doc.Paths.Value(path)
		for method, op := range item.Operations() {
			o := Operation{ID: op.OperationID, Method: method, Path: path, About: op.Summary, item: item, op: op}
			if o.ID == "" {
				o.ID = strings.ToLower(method) + " " + path
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Operation) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
	return out
}

// A Use is what the operator knows of an operation. Its name, class and the rest are as a server of tools has them.
type Use struct {
	Operation string // its id, or its method and path: "get /orders/{id}"
	Spec      tools.Spec
	// Fields are the members of an answer that are told, as paths such as "items.name"; all if there are none.
	Fields []string
}

// A place is where an argument goes.
type place struct{ arg, in, name string }

// ToolName returns what an operation is called if the operator does not say it.
func ToolName(source, id string) string {
	var b strings.Builder
	for _, r := range id {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case r >= 'A' && r <= 'Z':
			b.WriteString("_" + strings.ToLower(string(r)))
		default:
			b.WriteByte('_')
		}
	}
	name := strings.TrimLeft(regexp.MustCompile(`_+`).ReplaceAllString(b.String(), "_"), "_0123456789")
	if name = strings.TrimRight(name, "_"); name == "" {
		name = "call"
	}
	return source + "." + name[:min(len(name), 64-len(source)-1)]
}

// describe returns what an operation is as a tool, where its arguments go, and whether its body is one argument.
func (o Operation) describe(u Use) (spec tools.Spec, places []place, err error) {
	spec = u.Spec
	about := strings.TrimSpace(strings.TrimSpace(o.op.Summary) + "\n" + o.op.Description)
	if spec.About = wording.Clip(wording.Visible(about), maxAbout); spec.About == "" {
		spec.About = "Calls " + o.Method + " " + o.Path + "."
	}
	props, required := map[string]any{}, []string{}
	add := func(p place, schema any, must bool) error {
		if props[p.arg] != nil {
			return fmt.Errorf("two arguments would be called %q", p.arg)
		}
		props[p.arg], places = schema, append(places, p)
		if must {
			required = append(required, p.arg)
		}
		return nil
	}
	if err := o.addParameters(add); err != nil {
		return spec, nil, err
	}
	if err := o.addBody(add); err != nil {
		return spec, nil, err
	}
	whole := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		whole["required"] = required
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		return spec, nil, err
	}
	if spec.Schema, err = tools.AdaptSchema(raw); err != nil {
		return spec, nil, err
	}
	if spec.Spend != nil {
		if spec.Schema, err = tools.MarkSpend(spec.Schema, *spec.Spend); err != nil {
			return spec, nil, err
		}
	}
	def, err := tools.Compile(spec)
	if err != nil {
		return spec, nil, err
	}
	return def.Spec(), places, nil
}

// addParameters makes arguments of the parameters of the path and of the operation.
func (o Operation) addParameters(add func(p place, schema any, must bool) error) error {
	for _, ref := range slices.Concat(o.item.Parameters, o.op.Parameters) {
		p := ref.Value
		if p == nil || overridden(o, p, ref) {
			continue
		}
		if p.In == openapi3.ParameterInCookie || p.In == openapi3.ParameterInHeader && isOurs(p.Name) {
			if p.Required && p.In == openapi3.ParameterInCookie {
				return fmt.Errorf("it needs the cookie %s, which is not sent", wording.Reveal(p.Name))
			}
			continue
		}
		if len(p.Content) > 0 || p.Schema == nil {
			return fmt.Errorf("the parameter %s has no schema", wording.Reveal(p.Name))
		}
		must := p.Required || p.In == openapi3.ParameterInPath
		if err := add(place{argName(p.Name), p.In, p.Name}, schemaOf(p.Schema, p.Description, 0), must); err != nil {
			return err
		}
	}
	return nil
}

// overridden says whether a parameter of the path is said again by the operation.
func overridden(o Operation, p *openapi3.Parameter, ref *openapi3.ParameterRef) bool {
	if slices.Contains(o.op.Parameters, ref) {
		return false
	}
	return o.op.Parameters.GetByInAndName(p.In, p.Name) != nil
}

// isOurs says whether a header is this program's to set, never a model's.
func isOurs(header string) bool {
	return slices.Contains([]string{
		"Authorization", "Host", "Content-Type", "Accept", "Content-Length", "Cookie", "Idempotency-Key", "Connection",
		"Transfer-Encoding", "Proxy-Authorization", "User-Agent",
	}, http.CanonicalHeaderKey(header))
}

// addBody adds the members of a JSON body, or the body as one argument if it is no object of known members.
func (o Operation) addBody(add func(place, any, bool) error) error {
	if o.op.RequestBody == nil || o.op.RequestBody.Value == nil {
		return nil
	}
	body := o.op.RequestBody.Value
	media := body.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		if body.Required {
			return errors.New("its body is not JSON")
		}
		return nil
	}
	schema, _ := schemaOf(media.Schema, "", 0).(map[string]any)
	members, ok := schema["properties"].(map[string]any)
	if _, open := schema["additionalProperties"]; !ok || open {
		return add(place{"body", "body", ""}, schema, body.Required)
	}
	must, _ := schema["required"].([]string)
	for _, name := range sortedKeys(members) {
		required := body.Required && slices.Contains(must, name)
		if err := add(place{argName(name), "member", name}, members[name], required); err != nil {
			return err
		}
	}
	return nil
}

// argName returns a name as policies can say it.
func argName(name string) string {
	if arg.IsName(name) {
		return name
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if clean = strings.TrimLeft(clean, "_0123456789"); clean == "" {
		clean = "arg"
	}
	return clean[:min(len(clean), 60)]
}

// Find returns an operation by its id, or by method and path.
func (d *Document) Find(id string) (Operation, error) {
	all := d.Operations()
	var ids []string
	for _, o := range all {
		if o.ID == id || strings.EqualFold(o.Method+" "+o.Path, id) {
			return o, nil
		}
		ids = append(ids, o.ID)
	}
	hint := ""
	if near := wording.Nearest(id, ids); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return Operation{}, fmt.Errorf("there is no operation %q in the document%s", wording.Reveal(id), hint)
}

// Tool makes a tool of an operation, which the client calls.
func (d *Document) Tool(c *Client, u Use) (*Tool, error) {
	o, err := d.Find(u.Operation)
	if err != nil {
		return nil, err
	}
	u.Spec.Definition = d.cid
	spec, places, err := o.describe(u)
	if err != nil {
		return nil, fmt.Errorf("operation %s: %w", wording.Reveal(o.ID), err)
	}
	return &Tool{client: c, op: o, spec: spec, places: places, fields: u.Fields}, nil
}

// A Tool is one operation.
type Tool struct {
	client *Client
	op     Operation
	spec   tools.Spec
	places []place
	fields []string
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// MaxTime returns how long a call takes at most.
func (t *Tool) MaxTime() time.Duration { return t.client.cfg.Timeout }

// Call calls the operation. Its errors are [*tools.Error] where nothing was done, and wherever the tool only reads.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	return t.client.call(ctx, t, in)
}

package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

const (
	maxDefinition = 128 << 10 // bytes
	maxToolName   = 128
	maxAbout      = 1000 // bytes of a description that a model reads
)

// A Definition is what a server says of a tool: its name, its descriptions, its schemas and hints.
type Definition struct {
	Name string // as the server has it
	JSON []byte // canonical
	CID  provenance.Link
	Kind string // "" of a tool; resources, template or prompt of what a server has beside its tools

	template string
}

// Class returns the class that a definition has by its kind, or "": of a tool nothing is known by itself.
func (d Definition) Class() tools.Class {
	if d.Kind != "" {
		return tools.Read
	}
	return ""
}

// A wireDefinition is what of a tool's definition is pinned: all that says what it is and takes.
type wireDefinition struct {
	Kind         string          `json:"kind,omitempty"`
	Template     string          `json:"uriTemplate,omitempty"`
	Name         string          `json:"name"`
	Title        string          `json:"title,omitempty"`
	Description  string          `json:"description,omitempty"`
	InputSchema  json.RawMessage `json:"inputSchema"`
	OutputSchema json.RawMessage `json:"outputSchema,omitempty"`
	Annotations  json.RawMessage `json:"annotations,omitempty"`
}

// ParseDefinition reads a definition as [Definition.JSON] writes it; order and white space do not matter.
func ParseDefinition(data []byte) (Definition, error) {
	if len(data) > maxDefinition {
		return Definition{}, fmt.Errorf("a definition has %d bytes; at most %d are read", len(data), maxDefinition)
	}
	canonical, err := tools.CanonicalJSON(data)
	if err != nil {
		return Definition{}, fmt.Errorf("a definition cannot be read: %w", err)
	}
	var w wireDefinition
	if err := json.Unmarshal(canonical, &w); err != nil {
		return Definition{}, errors.New("a definition is not of the form that tools have")
	}
	if w.Name == "" || len(w.Name) > maxToolName {
		return Definition{}, fmt.Errorf("a tool's name has %d bytes; 1 to %d are allowed", len(w.Name), maxToolName)
	}
	switch w.Kind {
	case "", kindResources, kindTemplate, kindPrompt:
	default:
		return Definition{}, errors.New("a definition is of a kind that is not known")
	}
	return Definition{
		Name: w.Name, JSON: canonical, CID: provenance.NewRaw(canonical).CID, Kind: w.Kind, template: w.Template,
	}, nil
}

// definitionOf reads what the server says of a tool.
func definitionOf(t *mcp.Tool) (Definition, error) {
	w := wireDefinition{Name: t.Name, Title: t.Title, Description: t.Description}
	for _, part := range []struct {
		to   *json.RawMessage
		from any
		is   bool
	}{
		{&w.InputSchema, t.InputSchema, true}, {&w.OutputSchema, t.OutputSchema, t.OutputSchema != nil},
		{&w.Annotations, t.Annotations, t.Annotations != nil},
	} {
		if !part.is {
			continue
		}
		var err error
		if *part.to, err = json.Marshal(part.from); err != nil {
			return Definition{}, fmt.Errorf("a definition cannot be written: %w", err)
		}
	}
	b, err := json.Marshal(w)
	if err != nil {
		return Definition{}, fmt.Errorf("a definition cannot be written: %w", err)
	}
	return ParseDefinition(b)
}

// A listing is what a server lists: its definitions, and why some of its tools cannot be used, by name.
type listing struct {
	definitions []Definition
	faults      map[string]string
}

// list asks for all pages of the list of tools.
func (c *session) list(ctx context.Context) (listing, error) {
	out := listing{faults: map[string]string{}}
	seen := map[string]bool{}
	cursor := ""
	for page := 0; ; page++ {
		if page == maxPages {
			return out, fmt.Errorf("its list of tools has more than %d pages", maxPages)
		}
		res, err := c.client.ListTools(ctx, &mcp.ListToolsParams{Cursor: cursor})
		if err != nil {
			return out, fmt.Errorf("it does not list its tools")
		}
		for _, t := range res.Tools {
			if len(seen) == maxTools {
				return out, fmt.Errorf("it lists more than %d tools", maxTools)
			}
			name := wording.Clip(t.Name, maxToolName)
			d, err := definitionOf(t)
			switch {
			case seen[name]:
				out.faults[name] = "the server lists it twice"
			case err != nil:
				out.faults[name] = err.Error()
			default:
				out.definitions = append(out.definitions, d)
			}
			seen[name] = true
		}
		if cursor = res.NextCursor; cursor == "" {
			return out, c.listBeside(ctx, &out)
		}
	}
}

// List asks the server for its tools as they are now, in its order. faults says of tools that cannot be used why.
func (s *Server) List(ctx context.Context) (defs []Definition, faults map[string]string, err error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := c.refresh(ctx, 0); err != nil {
		s.drop(c, err)
		return nil, nil, s.errorf("server_down", "%v", err)
	}
	l := c.listed()
	for _, d := range l.definitions {
		if l.faults[d.Name] == "" {
			defs = append(defs, d)
		}
	}
	return defs, l.faults, nil
}

// ToolName returns what a tool is called here if the operator does not say it: the server's name, a dot, and the tool's
// own name in the letters that names have.
func ToolName(server, tool string) string {
	var b strings.Builder
	for i, r := range strings.ToLower(tool) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' && i > 0:
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			b.WriteString("t" + string(r))
		default:
			b.WriteByte('_')
		}
	}
	name := strings.TrimLeft(b.String(), "_0123456789")
	if name == "" {
		name = "tool"
	}
	return server + "." + name[:min(len(name), 64-len(server)-1)]
}

// SpecOf returns what a definition is as a tool here, used as the operator says.
func SpecOf(server string, d Definition, u Use) (tools.Spec, error) {
	var w wireDefinition
	if err := json.Unmarshal(d.JSON, &w); err != nil {
		return tools.Spec{}, errors.New("its definition cannot be read")
	}
	schema, err := tools.AdaptSchema(w.InputSchema)
	if err != nil {
		return tools.Spec{}, err
	}
	about := wording.Clip(wording.Visible(strings.TrimSpace(w.Description)), maxAbout)
	if about == "" {
		about = fmt.Sprintf("The tool %s of the server %s.", d.Name, server)
	}
	spec := tools.Spec{
		Name: u.Name, About: about, Class: u.Class, Schema: schema, Spend: u.Spend, Book: u.Book, Utterances: u.Utterances,
		Foreign: !u.Vouched, Output: u.Output, Clearance: u.Clearance, AskWallet: u.AskWallet, Definition: d.CID.String(),
	}
	if spec.Name == "" {
		spec.Name = ToolName(server, d.Name)
	}
	switch {
	case d.Kind != "" && spec.Class != "" && spec.Class != tools.Read:
		return tools.Spec{}, errors.New("resources and prompts are only read: leave its class out, or say read")
	case d.Kind != "" && u.Elicit:
		return tools.Spec{}, errors.New("resources and prompts ask nothing: leave elicit out")
	case d.Kind != "":
		spec.Class = tools.Read
	case spec.Class == "":
		spec.Class = tools.Once
	}
	if spec.Spend != nil {
		if spec.Schema, err = tools.MarkSpend(spec.Schema, *spec.Spend); err != nil {
			return tools.Spec{}, err
		}
	}
	if u.Elicit {
		if spec.Schema, err = tools.MarkElicited(spec.Schema); err != nil {
			return tools.Spec{}, err
		}
	}
	if u.Reconcile != nil {
		if spec.Schema, err = tools.MarkReconciled(spec.Schema, u.Reconcile.Rule); err != nil {
			return tools.Spec{}, err
		}
	}
	compiled, err := tools.Compile(spec)
	if err != nil {
		return tools.Spec{}, err
	}
	return compiled.Spec(), nil
}

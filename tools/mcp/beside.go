package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/writ-run/writ/internal/wording"
)

// What a server has beside its tools can be tools too, where the settings ask for it: one that reads its resources, of
// which each is named in the definition, one for each template of resources, and one for each prompt. Their definitions
// are made here of what the server lists, and are accepted, pinned and compared as those of its tools are. They are of
// class read.
const (
	kindResources = "resources" // reads one of the resources that the definition lists
	kindTemplate  = "template"  // reads the resource of a template
	kindPrompt    = "prompt"    // gets a prompt
)

// resourcesName is what the tool that reads resources is called at its server.
const resourcesName = "resources/read"

// An askedList is a list of a server that has pages.
type askedList func(ctx context.Context, cursor string) (next string, err error)

// readPages asks for all pages of a list.
func readPages(ctx context.Context, what string, ask askedList) error {
	cursor := ""
	for range maxPages {
		next, err := ask(ctx, cursor)
		if err != nil {
			return fmt.Errorf("it does not list its %s", what)
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
	return fmt.Errorf("its list of %s has more than %d pages", what, maxPages)
}

var errTooMany = fmt.Errorf("it lists more than %d things", maxTools)

// listBeside adds what the server has beside its tools, as far as it is asked for and the server has it.
func (c *session) listBeside(ctx context.Context, out *listing) error {
	has := &mcp.ServerCapabilities{}
	if r := c.client.InitializeResult(); r != nil && r.Capabilities != nil {
		has = r.Capabilities
	}
	if c.beside.resources && has.Resources != nil {
		if err := c.listResources(ctx, out); err != nil {
			return err
		}
		if err := c.listTemplates(ctx, out); err != nil {
			return err
		}
	}
	if c.beside.prompts && has.Prompts != nil {
		return c.listPrompts(ctx, out)
	}
	return nil
}

// add takes a definition in, or says why there is none.
func (l *listing) add(w wireDefinition) {
	b, err := json.Marshal(w)
	var d Definition
	if err == nil {
		d, err = ParseDefinition(b)
	}
	name := wording.Clip(w.Name, maxToolName)
	switch {
	case slices.ContainsFunc(l.definitions, func(o Definition) bool { return o.Name == name }) || l.faults[name] != "":
		l.faults[name] = "the server lists it twice"
	case err != nil:
		l.faults[name] = err.Error()
	default:
		l.definitions = append(l.definitions, d)
	}
}

// listResources makes one tool of all resources, by their URIs. Whatever a server says of them is its description.
func (c *session) listResources(ctx context.Context, out *listing) error {
	var uris, says []string
	err := readPages(ctx, "resources", func(ctx context.Context, cursor string) (string, error) {
		res, err := c.client.ListResources(ctx, &mcp.ListResourcesParams{Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, r := range res.Resources {
			if len(uris) == maxTools {
				return "", errTooMany
			}
			uris = append(uris, r.URI)
			says = append(says, strings.TrimSpace(r.URI+" "+firstOf(r.Title, r.Name)+" "+r.MIMEType+" "+r.Description))
		}
		return res.NextCursor, nil
	})
	if err != nil || len(uris) == 0 {
		return err
	}
	schema, err := objectOf([]argument{{"uri", "which of them", uris, true}})
	if err != nil {
		return err
	}
	slices.Sort(says)
	out.add(wireDefinition{Kind: kindResources, Name: resourcesName, InputSchema: schema,
		Description: "Reads one of the server's resources: " + strings.Join(says, "; ")})
	return nil
}

// listTemplates makes a tool of each template, with the names in it as arguments.
func (c *session) listTemplates(ctx context.Context, out *listing) error {
	n := 0
	return readPages(ctx, "templates of resources", func(ctx context.Context, cursor string) (string, error) {
		res, err := c.client.ListResourceTemplates(ctx, &mcp.ListResourceTemplatesParams{Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, t := range res.ResourceTemplates {
			if n++; n > maxTools {
				return "", errTooMany
			}
			w := wireDefinition{Kind: kindTemplate, Name: "resources/" + t.Name, Title: t.Title, Template: t.URITemplate,
				Description: strings.TrimSpace("Reads the resource " + t.URITemplate + ". " + t.Description)}
			var args []argument
			if _, err := expand(t.URITemplate, func(name string) (string, bool) {
				args = append(args, argument{name: name, must: true})
				return "x", true
			}); err != nil {
				out.faults[w.Name] = err.Error()
				continue
			}
			if w.InputSchema, err = objectOf(args); err != nil {
				return "", err
			}
			out.add(w)
		}
		return res.NextCursor, nil
	})
}

// listPrompts makes a tool of each prompt.
func (c *session) listPrompts(ctx context.Context, out *listing) error {
	n := 0
	return readPages(ctx, "prompts", func(ctx context.Context, cursor string) (string, error) {
		res, err := c.client.ListPrompts(ctx, &mcp.ListPromptsParams{Cursor: cursor})
		if err != nil {
			return "", err
		}
		for _, p := range res.Prompts {
			if n++; n > maxTools {
				return "", errTooMany
			}
			var args []argument
			for _, a := range p.Arguments {
				args = append(args, argument{a.Name, firstOf(a.Description, a.Title), nil, a.Required})
			}
			w := wireDefinition{Kind: kindPrompt, Name: "prompts/" + p.Name, Title: p.Title,
				Description: strings.TrimSpace("Gets a prompt that the server has written. " + p.Description)}
			if w.InputSchema, err = objectOf(args); err != nil {
				return "", err
			}
			out.add(w)
		}
		return res.NextCursor, nil
	})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// An argument is a text that a tool which is made here takes.
type argument struct {
	name, about string
	of          []string // what it can be; anything if empty
	must        bool
}

// objectOf makes the schema of arguments.
func objectOf(args []argument) (json.RawMessage, error) {
	props, required := map[string]any{}, []string{}
	for _, a := range args {
		p := map[string]any{"type": "string"}
		if a.about != "" {
			p["description"] = a.about
		}
		if len(a.of) > 0 {
			p["enum"] = slices.Compact(slices.Sorted(slices.Values(a.of)))
		}
		props[a.name] = p
		if a.must && !slices.Contains(required, a.name) {
			required = append(required, a.name)
		}
	}
	whole := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		whole["required"] = required
	}
	return json.Marshal(whole)
}

// expand fills in a template of a URI: each {name} with what value has for it, in which nothing but letters, digits and
// -._~ stands as it is, and which makes no part of a path that is . or .., so that a value cannot leave its place. The
// other forms of RFC 6570 are not read.
func expand(template string, value func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	rest := template
	for {
		before, after, open := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return "", errors.New("its template is malformed")
		}
		b.WriteString(before)
		if !open {
			return b.String(), checkPath(b.String())
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.Trim(name, letters+"_0123456789") != "" {
			return "", errors.New("its template has more in braces than a name")
		}
		v, ok := value(name)
		if !ok {
			return "", fmt.Errorf("the argument %s is missing", name)
		}
		for i := range len(v) {
			if strings.IndexByte(letters+"0123456789-._~", v[i]) >= 0 {
				b.WriteByte(v[i])
			} else {
				fmt.Fprintf(&b, "%%%02X", v[i])
			}
		}
		rest = behind
	}
}

// checkPath refuses a URI that leads to another place than is written: of it the part before . or .. goes away, however
// the points are spelled.
func checkPath(uri string) error {
	path, _, _ := strings.Cut(uri, "#")
	path, _, _ = strings.Cut(path, "?")
	for part := range strings.SplitSeq(path, "/") {
		if part = strings.ReplaceAll(strings.ToLower(part), "%2e", "."); part == "." || part == ".." {
			return errors.New("its address has a part that is . or .., which leads elsewhere")
		}
	}
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// callBeside reads a resource or gets a prompt, and returns it as the result of a tool.
func (t *Tool) callBeside(
	ctx context.Context, c *session, token string, arguments []byte,
) (*mcp.CallToolResult, error) {
	var args map[string]string
	if err := json.Unmarshal(arguments, &args); err != nil {
		return nil, errArguments
	}
	if t.accepted.Kind == kindPrompt {
		params := &mcp.GetPromptParams{Name: strings.TrimPrefix(t.accepted.Name, "prompts/"), Arguments: args}
		params.SetProgressToken(token)
		return resultOfPrompt(c.client.GetPrompt(ctx, params))
	}
	uri := args["uri"]
	if t.accepted.Kind == kindTemplate {
		var err error
		uri, err = expand(t.accepted.template, func(name string) (string, bool) { v, ok := args[name]; return v, ok })
		if err != nil {
			return nil, errArguments
		}
	}
	params := &mcp.ReadResourceParams{URI: uri}
	params.SetProgressToken(token)
	res, err := c.client.ReadResource(ctx, params)
	if err != nil {
		return nil, err
	}
	if res.NeedsInput() {
		return nil, errNeedsInput
	}
	out := &mcp.CallToolResult{}
	for _, r := range res.Contents {
		out.Content = append(out.Content, &mcp.EmbeddedResource{Resource: r})
	}
	return out, nil
}

// resultOfPrompt says who says what in a prompt. To a model here it is something that it has read, and no order.
func resultOfPrompt(res *mcp.GetPromptResult, err error) (*mcp.CallToolResult, error) {
	if err != nil {
		return nil, err
	}
	if res.NeedsInput() {
		return nil, errNeedsInput
	}
	out := &mcp.CallToolResult{}
	for _, m := range res.Messages {
		if text, is := m.Content.(*mcp.TextContent); is {
			out.Content = append(out.Content, &mcp.TextContent{Text: string(m.Role) + ": " + text.Text})
		} else {
			out.Content = append(out.Content, m.Content)
		}
	}
	return out, nil
}

var (
	errArguments  = errors.New("the arguments cannot be read")
	errNeedsInput = errors.New("it asks a question before it goes on, and goes on asking")
	errUserFirst  = errors.New("it asks a question that the user is asked first")
)

// Package manual is the documentation as pages that a server shows at /docs/: each file of the folder docs, a page for
// each error code, and a search that needs no script. The pages are made once, when the server starts, from the
// Markdown that the program carries, so they are never older or newer than it. They ask nothing of anybody.
package manual

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

//go:embed page.html style.css
var files embed.FS

// policy lets a page load its style sheet and nothing else; the one form is the search. There is no script.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'"

// A page is one of the manual's.
type page struct {
	Name     string // in the address: "protocol", "errors/conflict"
	Title    string
	About    string // its first sentence
	Group    string // under which the index has it
	Body     template.HTML
	sections []section
}

// A section is what the search finds: a heading with the text up to the next one.
type section struct {
	title, anchor, text string
}

// A Manual serves the pages.
type Manual struct {
	pages  map[string]*page
	order  []*page // as the index has them
	layout *template.Template
	style  []byte
}

// groups are the index's, in its order, with their pages; a page that is not named is in the last.
var groups = []struct {
	Title string
	Pages []string
}{
	{"Begin", []string{"concepts", "permissions", "chains", "threat-model"}},
	{"Build on it", []string{"dapp", "sdk", "protocol", "errors", "attachments", "front-door", "mcp", "a2a", "agents",
		"tools", "subagents", "models"}},
	{"Permissions and rules", []string{"policies", "labels", "accounts"}},
	{"Check it", []string{"record", "log", "ipfs", "not-proven"}},
	{"Operate it", []string{"serving", "notices", "durability", "failures"}},
	{"More", nil},
}

// New makes the manual of Markdown files.
func New(docs fs.FS) (*Manual, error) {
	m := &Manual{pages: map[string]*page{}}
	var err error
	if m.layout, err = template.ParseFS(files, "page.html"); err != nil {
		return nil, fmt.Errorf("manual: %w", err)
	}
	if m.style, err = files.ReadFile("style.css"); err != nil {
		return nil, fmt.Errorf("manual: %w", err)
	}
	names, err := fs.Glob(docs, "*.md")
	if err != nil {
		return nil, fmt.Errorf("manual: %w", err)
	}
	for _, name := range names {
		source, err := fs.ReadFile(docs, name)
		if err != nil {
			return nil, fmt.Errorf("manual: %w", err)
		}
		if err := m.add(strings.TrimSuffix(name, ".md"), source); err != nil {
			return nil, fmt.Errorf("manual: %s: %w", name, err)
		}
		if err := m.addErrors(source); err != nil {
			return nil, fmt.Errorf("manual: codes of %s: %w", name, err)
		}
	}
	if err := m.add("errors", m.listCodes()); err != nil {
		return nil, fmt.Errorf("manual: the list of errors: %w", err)
	}
	m.sortPages()
	return m, nil
}

func (m *Manual) sortPages() {
	place := map[string]int{}
	for g, group := range groups {
		for i, name := range group.Pages {
			place[name] = g*100 + i
		}
	}
	for name, p := range m.pages {
		at, named := place[name]
		if !named {
			at = 100 * (len(groups) - 1)
		}
		if !strings.Contains(name, "/") {
			p.Group = groups[at/100].Title
		}
		m.order = append(m.order, p)
	}
	slices.SortFunc(m.order, func(a, b *page) int {
		at := func(p *page) int {
			if n, named := place[p.Name]; named {
				return n
			}
			return 100 * len(groups)
		}
		return cmp.Or(cmp.Compare(at(a), at(b)), strings.Compare(a.Name, b.Name))
	})
}

// markdown reads what GitHub does: tables, struck words, bare links, and an anchor for each heading.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()))

// add makes a page of Markdown.
func (m *Manual) add(name string, source []byte) error {
	root := markdown.Parser().Parse(text.NewReader(source))
	p := &page{Name: name, Title: name}
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			n.Destination = []byte(addressOf(string(n.Destination)))
		case *ast.Heading:
			p.addSection(n, source)
		default:
			if n.Type() == ast.TypeBlock && len(p.sections) > 0 && n.Kind() != ast.KindList && n.Kind() != ast.KindListItem {
				p.addText(n, source)
				if p.About == "" && n.Kind() == ast.KindParagraph {
					p.About = firstSentence(plainText(n, source))
				}
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	dropFarLinks(root)
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, source, root); err != nil {
		return err
	}
	// Ours: raw HTML in it is left out by the renderer. What may be wider than a small screen is scrolled by keyboard too.
	p.Body = template.HTML(strings.NewReplacer("<th></th>", "<td></td>", "<pre>", `<pre tabindex="0">`,
		"<table>", `<table tabindex="0">`).Replace(out.String()))
	m.pages[name] = p
	return nil
}

func (p *page) addSection(h *ast.Heading, source []byte) {
	title := plainText(h, source)
	if h.Level == 1 {
		p.Title = title
	}
	anchor := ""
	if id, there := h.AttributeString("id"); there && h.Level > 1 {
		anchor = string(id.([]byte))
	}
	p.sections = append(p.sections, section{title: title, anchor: anchor})
}

func (p *page) addText(n ast.Node, source []byte) {
	last := &p.sections[len(p.sections)-1]
	switch n.Kind() {
	case ast.KindCodeBlock, ast.KindFencedCodeBlock:
		last.text += " " + string(n.Lines().Value(source))
	case ast.KindParagraph, ast.KindTextBlock, extensionCell:
		last.text += " " + plainText(n, source)
	}
}

// plainText returns what a reader sees of a node.
func plainText(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(c ast.Node, entering bool) (ast.WalkStatus, error) { // the function never fails
		switch t := c.(type) {
		case *ast.Text:
			if entering {
				b.Write(t.Segment.Value(source))
				if t.SoftLineBreak() {
					b.WriteByte(' ')
				}
			}
		case *ast.String:
			if entering {
				b.Write(t.Value)
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i+1]
	}
	return s
}

// served are files that docs link to and that a server has.
var served = map[string]string{"../agent/wire/openrpc.json": "/openrpc.json"}

// far marks a link to what only the repository has.
const far = "#in-the-repository"

// addressOf turns a link of a file into one of a page.
func addressOf(link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "#") || strings.HasPrefix(link, "/") {
		return link
	}
	if there := served[link]; there != "" {
		return there
	}
	name, anchor, _ := strings.Cut(link, "#")
	page, is := strings.CutSuffix(name, ".md")
	if !is || strings.Contains(page, "/") {
		return far
	}
	if anchor != "" {
		anchor = "#" + anchor
	}
	return "/docs/" + page + anchor
}

// dropFarLinks leaves of links to what only the repository has their words.
func dropFarLinks(root ast.Node) {
	var links []*ast.Link
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function never fails
		if l, is := n.(*ast.Link); is && entering && string(l.Destination) == far {
			links = append(links, l)
		}
		return ast.WalkContinue, nil
	})
	for _, l := range links {
		words := ast.NewEmphasis(1)
		for c := l.FirstChild(); c != nil; {
			next := c.NextSibling()
			words.AppendChild(words, c)
			c = next
		}
		l.Parent().ReplaceChild(l.Parent(), l, words)
	}
}

// ServeHTTP answers under /docs.
func (m *Manual) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cache-Control", "no-cache")
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/docs"), "/")
	switch {
	case name == "style.css":
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(m.style) // whether it arrives only the browser can know
	case name == "":
		m.write(w, http.StatusOK, view{Title: "Documentation", Index: m.index()})
	case name == "search":
		m.writeFound(w, r.URL.Query().Get("q"))
	case m.pages[name] != nil:
		m.write(w, http.StatusOK, view{Title: m.pages[name].Title, Page: m.pages[name]})
	default:
		m.write(w, http.StatusNotFound, view{Title: "There is no such page", Index: m.index()})
	}
}

// A view is what the layout shows.
type view struct {
	Title string
	Page  *page
	Index []indexGroup
	Query string
	Found []hit
}

// An indexGroup is a part of the index.
type indexGroup struct {
	Title string
	Pages []*page
}

func (m *Manual) index() []indexGroup {
	var out []indexGroup
	for _, g := range groups {
		one := indexGroup{Title: g.Title}
		for _, p := range m.order {
			if p.Group == g.Title {
				one.Pages = append(one.Pages, p)
			}
		}
		if len(one.Pages) > 0 {
			out = append(out, one)
		}
	}
	return out
}

func (m *Manual) write(w http.ResponseWriter, status int, v view) {
	var out bytes.Buffer
	if err := m.layout.Execute(&out, v); err != nil { // a template of ours, which the tests render
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // whether it arrives only the browser can know
}

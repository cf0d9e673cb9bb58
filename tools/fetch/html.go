package fetch

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// readPage returns the title and the visible text of an HTML page. Blocks are lines.
// What a page says it does not show is left out: it cannot be told from what is meant for machines alone. A page can
// hide text in ways that only a browser sees; its label is untrusted either way.
func readPage(page string) (title, text string, err error) {
	root, err := html.Parse(strings.NewReader(page)) // bounds its own depth
	if err != nil {
		return "", "", err
	}
	var p pageText
	p.read(root)
	var lines []string
	for line := range strings.SplitSeq(p.text.String(), "\x00") {
		if line = squeezeSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return p.title, strings.Join(lines, "\n"), nil
}

// A pageText is what a page says to who sees it.
type pageText struct {
	title string
	text  strings.Builder // a zero byte ends a line
}

// read takes in what is visible of a node.
func (p *pageText) read(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		p.text.WriteString(n.Data)
		return
	case html.CommentNode, html.DoctypeNode:
		return
	case html.ElementNode:
		switch n.DataAtom {
		case atom.Title:
			if p.title == "" && n.FirstChild != nil {
				p.title = squeezeSpace(n.FirstChild.Data)
			}
			return
		case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Svg, atom.Iframe, atom.Object:
			return
		}
		if isHidden(n) {
			return
		}
	}
	block := blocks[n.DataAtom]
	if block {
		p.text.WriteString("\x00")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		p.read(c)
	}
	if block {
		p.text.WriteString("\x00")
	}
}

func squeezeSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

var blocks = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Br: true, atom.Li: true, atom.Tr: true, atom.H1: true, atom.H2: true, atom.H3: true,
	atom.H4: true, atom.H5: true, atom.H6: true, atom.Pre: true, atom.Blockquote: true, atom.Section: true,
	atom.Article: true,
	atom.Header:  true, atom.Footer: true, atom.Ul: true, atom.Ol: true, atom.Table: true, atom.Dt: true, atom.Dd: true,
	atom.Hr:   true,
	atom.Main: true, atom.Nav: true, atom.Form: true, atom.Option: true,
}

// isHidden says whether an element says that it is not shown.
func isHidden(n *html.Node) bool {
	for _, a := range n.Attr {
		v := strings.ToLower(strings.ReplaceAll(a.Val, " ", ""))
		switch a.Key {
		case "hidden":
			return true
		case "aria-hidden":
			if v == "true" {
				return true
			}
		case "style":
			for _, s := range []string{"display:none", "visibility:hidden", "font-size:0", "opacity:0"} {
				if strings.Contains(v, s) {
					return true
				}
			}
		}
	}
	return false
}

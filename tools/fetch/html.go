package fetch

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// words returns the title and the visible text of an HTML page. Blocks are lines.
// What a page says it does not show is left out: it cannot be told from what is meant for machines alone. A page can
// hide text in ways that only a browser sees; its label is untrusted either way.
func words(page string) (title, text string, err error) {
	root, err := html.Parse(strings.NewReader(page)) // bounds its own depth
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			b.WriteString(n.Data)
			return
		case html.CommentNode, html.DoctypeNode:
			return
		case html.ElementNode:
			switch n.DataAtom {
			case atom.Title:
				if title == "" && n.FirstChild != nil {
					title = squeeze(n.FirstChild.Data)
				}
				return
			case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Svg, atom.Iframe, atom.Object, atom.Head:
				if n.DataAtom == atom.Head {
					break
				}
				return
			}
			if hidden(n) {
				return
			}
		}
		block := blocks[n.DataAtom]
		if block {
			b.WriteString("\x00")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
		if block {
			b.WriteString("\x00")
		}
	}
	walk(root)
	var lines []string
	for line := range strings.SplitSeq(b.String(), "\x00") {
		if line = squeeze(line); line != "" {
			lines = append(lines, line)
		}
	}
	return title, strings.Join(lines, "\n"), nil
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

var blocks = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Br: true, atom.Li: true, atom.Tr: true, atom.H1: true, atom.H2: true, atom.H3: true,
	atom.H4: true, atom.H5: true, atom.H6: true, atom.Pre: true, atom.Blockquote: true, atom.Section: true, atom.Article: true,
	atom.Header: true, atom.Footer: true, atom.Ul: true, atom.Ol: true, atom.Table: true, atom.Dt: true, atom.Dd: true, atom.Hr: true,
	atom.Main: true, atom.Nav: true, atom.Form: true, atom.Option: true,
}

// hidden says whether an element says that it is not shown.
func hidden(n *html.Node) bool {
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

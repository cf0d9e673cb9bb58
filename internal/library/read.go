package library

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/ledongthuc/pdf"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Media types that [Read] reads.
const (
	Markdown = "text/markdown"
	Plain    = "text/plain"
	HTML     = "text/html"
	CSV      = "text/csv"
	PDF      = "application/pdf"
)

var mediaOf = map[string]string{
	".md": Markdown, ".markdown": Markdown, ".txt": Plain, ".html": HTML, ".htm": HTML, ".csv": CSV, ".pdf": PDF,
}

// MediaOf returns the media type of a file by the end of its name; "" if it is not one that [Read] reads.
func MediaOf(name string) string { return mediaOf[strings.ToLower(filepath.Ext(name))] }

// Read returns the text of a document, with its headings as lines that begin with '#'.
func Read(media string, data []byte) (text string, err error) {
	switch media {
	case Markdown, Plain:
		text = string(data)
	case HTML:
		text, err = readHTML(data)
	case CSV:
		text, err = readCSV(data)
	case PDF:
		text, err = readPDF(data)
	default:
		err = fmt.Errorf("the media type %q is not one of Markdown, text, HTML, CSV and PDF", media)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	case !utf8.ValidString(text):
		return "", fmt.Errorf("%w: it is not UTF-8 text", ErrFormat)
	case len(text) > MaxText:
		return "", fmt.Errorf("%w: it has %d bytes of text; at most %d are taken", ErrFormat, len(text), MaxText)
	case strings.TrimSpace(text) == "":
		return "", fmt.Errorf("%w: there is no text in it", ErrFormat)
	}
	return text, nil
}

// readHTML reads what a page shows. What it says it does not show is left out.
func readHTML(data []byte) (string, error) {
	root, err := html.Parse(bytes.NewReader(data)) // bounds its own depth
	if err != nil {
		return "", err
	}
	var raw strings.Builder
	writeNode(&raw, root)
	var out strings.Builder
	for line := range strings.SplitSeq(raw.String(), "\x00") {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out.WriteString(line + "\n\n")
		}
	}
	return out.String(), nil
}

var headings = map[atom.Atom]string{
	atom.H1: "# ", atom.H2: "## ", atom.H3: "### ", atom.H4: "#### ", atom.H5: "##### ", atom.H6: "###### ",
}

// inline are the elements that do not begin a line.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.B: true, atom.I: true, atom.Em: true, atom.Strong: true, atom.Span: true, atom.Code: true,
	atom.Small: true, atom.Sub: true, atom.Sup: true, atom.U: true, atom.Abbr: true, atom.Cite: true, atom.Q: true,
	atom.Time: true, atom.Mark: true, atom.Kbd: true, atom.S: true, atom.Del: true, atom.Ins: true, atom.Label: true,
}

func writeNode(out *strings.Builder, n *html.Node) {
	switch n.Type {
	case html.TextNode:
		out.WriteString(n.Data)
		return
	case html.CommentNode, html.DoctypeNode:
		return
	case html.ElementNode:
		switch n.DataAtom {
		case atom.Title, atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Svg, atom.Iframe, atom.Object:
			return
		}
		if isHidden(n) {
			return
		}
	}
	switch {
	case n.DataAtom == atom.Td || n.DataAtom == atom.Th:
		defer out.WriteString(" ")
	case n.Type == html.ElementNode && !inline[n.DataAtom]:
		out.WriteString("\x00" + headings[n.DataAtom])
		defer out.WriteString("\x00")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		writeNode(out, c)
	}
}

func isHidden(n *html.Node) bool {
	for _, a := range n.Attr {
		v := strings.ToLower(strings.ReplaceAll(a.Val, " ", ""))
		if a.Key == "hidden" || a.Key == "aria-hidden" && v == "true" || a.Key == "style" &&
			(strings.Contains(v, "display:none") || strings.Contains(v, "visibility:hidden") ||
				strings.Contains(v, "font-size:0") || strings.Contains(v, "opacity:0")) {
			return true
		}
	}
	return false
}

// readCSV writes each row as a line that names its columns, so that a row can be understood alone.
func readCSV(data []byte) (string, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	head, err := r.Read()
	if err != nil {
		return "", err
	}
	head = append([]string{}, head...)
	r.ReuseRecord = true
	var out strings.Builder
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		for i, v := range row {
			if i > 0 {
				out.WriteString("; ")
			}
			out.WriteString(strings.Join(strings.Fields(head[i]+": "+v), " "))
		}
		out.WriteString("\n")
		if out.Len() > MaxText {
			return "", fmt.Errorf("it has more than %d bytes of text", MaxText)
		}
	}
}

// readPDF reads the text of each page; a page is a heading.
func readPDF(data []byte) (text string, err error) {
	defer func() { // the reader panics over files that are not what they say
		if p := recover(); p != nil {
			err = fmt.Errorf("the PDF is damaged: %v", p)
		}
	}()
	r, err := pdf.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for n := 1; n <= r.NumPage() && out.Len() <= MaxText; n++ {
		page := r.Page(n)
		if page.V.IsNull() {
			continue
		}
		said, err := page.GetPlainText(nil)
		if err != nil {
			return "", fmt.Errorf("page %d: %w", n, err)
		}
		fmt.Fprintf(&out, "# page %d\n\n%s\n\n", n, strings.ToValidUTF8(said, "\uFFFD"))
	}
	return out.String(), nil
}

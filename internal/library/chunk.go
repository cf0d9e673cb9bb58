package library

import (
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ/agent/search"
)

// A Chunk is a part of a document, cut at the ends of paragraphs and never across a heading.
type Chunk = search.Chunk

// Sizes of a chunk.
const (
	chunkBytes = 1200 // about that long
	maxHeading = 300
	maxDepth   = 6
)

// A section is text under one path of headings. A text is cut into sections by its reader.
type section struct {
	heading string
	from    int
	text    string
}

// Split cuts a text into chunks. Lines that begin with one to six '#' and a space are headings; what is between fences
// of ``` is not looked at for them.
func Split(document, text string) []Chunk {
	var out []Chunk
	for _, s := range splitSections(text) {
		for at := 0; at < len(s.text); {
			end := cutAt(s.text, at)
			part := s.text[at:end]
			if trimmed := strings.TrimSpace(part); trimmed != "" {
				lead := strings.Index(part, trimmed)
				out = append(out, Chunk{Document: document, From: s.from + at + lead, Heading: s.heading, Text: trimmed})
			}
			at = end
		}
	}
	return out
}

func splitSections(text string) (out []section) {
	var path [maxDepth]string
	current, at, fenced := section{}, 0, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		level := headingLevel(line)
		if level > 0 && !fenced {
			current.text = text[current.from:at]
			out = append(out, current)
			path[level-1] = strings.Trim(strings.TrimSpace(line), "# ")
			clear(path[level:])
			current = section{heading: joinHeadings(path), from: at + len(line)}
		}
		at += len(line)
	}
	current.text = text[current.from:]
	return append(out, current)
}

func headingLevel(line string) int {
	rest := strings.TrimLeft(line, "#")
	level := len(line) - len(rest)
	if level < 1 || level > maxDepth || !strings.HasPrefix(rest, " ") {
		return 0
	}
	return level
}

func joinHeadings(path [maxDepth]string) string {
	var parts []string
	for _, h := range path {
		if h != "" {
			parts = append(parts, h)
		}
	}
	joined := strings.Join(parts, " > ")
	for len(joined) > maxHeading {
		_, size := utf8.DecodeLastRuneInString(joined)
		joined = joined[:len(joined)-size]
	}
	return joined
}

// cutAt returns where the chunk that begins at at ends: at a paragraph, a line, a sentence or a word, if one ends in
// the second half.
func cutAt(text string, at int) int {
	end := min(at+chunkBytes, len(text))
	if end == len(text) {
		return end
	}
	for _, sep := range []string{"\n\n", "\n", ". ", " "} {
		if i := strings.LastIndex(text[at:end], sep); i > chunkBytes/2 {
			return at + i + len(sep)
		}
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}

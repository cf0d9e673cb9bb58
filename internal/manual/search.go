package manual

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a search.
const (
	maxQuery = 100 // bytes
	maxWords = 8
	maxFound = 30
)

// A hit is a section that has all words of a search.
type hit struct {
	Page    *page
	Title   string
	Address string
	Part    template.HTML // of the text, with the words marked
	weight  int
}

func (m *Manual) writeFound(w http.ResponseWriter, query string) {
	if len(query) > maxQuery {
		query = strings.ToValidUTF8(query[:maxQuery], "")
	}
	m.write(w, http.StatusOK, view{Title: "Search", Query: query, Found: m.search(query)})
}

// search returns the sections that have all words, those first that have them in their title.
func (m *Manual) search(query string) []hit {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return nil
	}
	words = words[:min(len(words), maxWords)]
	var hits []hit
	for _, p := range m.order {
		for _, s := range p.sections {
			title, text := strings.ToLower(s.title), strings.ToLower(s.text)
			h := hit{Page: p, Title: s.title, Address: "/docs/" + p.Name}
			if s.anchor != "" {
				h.Address += "#" + s.anchor
			}
			for _, word := range words {
				switch {
				case strings.Contains(title, word):
					h.weight += 2
				case !strings.Contains(text, word):
					h.weight = -1000
				}
			}
			if h.weight >= 0 {
				h.Part = markWords(s.text, words)
				hits = append(hits, h)
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return b.weight - a.weight })
	return hits[:min(len(hits), maxFound)]
}

// markWords returns about 200 bytes of text around the first word that is in it, as HTML with all words marked.
func markWords(text string, words []string) template.HTML {
	const before, most = 60, 220
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // letters whose small form has another length: then no places are known
		lower = text
	}
	at := 0
	if i := strings.Index(lower, words[0]); i > before {
		at = i - before
	}
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	end := min(len(text), at+most)
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	var out strings.Builder
	for at < end {
		next, length := end, 0
		for _, word := range words {
			if i := strings.Index(lower[at:end], word); i >= 0 && at+i < next {
				next, length = at+i, len(word)
			}
		}
		out.WriteString(template.HTMLEscapeString(text[at:next]))
		if length > 0 {
			out.WriteString("<mark>" + template.HTMLEscapeString(text[next:next+length]) + "</mark>")
		}
		at = next + length
	}
	return template.HTML(out.String()) // all of it was escaped above
}

package main

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Sizes in units of the picture: a cell of the terminal, and the room around the cells.
const (
	cellW, cellH = 7.8, 17.0
	pad, bar     = 18.0, 38.0
	fontSize     = 13
)

// css draws on a dark ground, and on a light one where the reader prefers that. Only fonts of the reader's machine are
// named: the picture loads nothing.
const css = `
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;fill:#d6deeb;white-space:pre}
.bg{fill:#0f1623;stroke:#2b3a52}.b{font-weight:700;fill:#fff}.d{fill:#8b9bb4}.t{fill:#8b9bb4;text-anchor:middle}
.c31,.c91{fill:#ff7b72}.c32,.c92{fill:#56d364}.c33,.c93{fill:#e3b341}.c34,.c94{fill:#79c0ff}.c35,.c95{fill:#d2a8ff}.c36,.c96{fill:#56d4dd}
@media (prefers-color-scheme:light){text{fill:#1f2937}.bg{fill:#fbfcfe;stroke:#c5cfdd}.b{fill:#000}.d,.t{fill:#5b687a}
.c31,.c91{fill:#c0202b}.c32,.c92{fill:#116b2e}.c33,.c93{fill:#8a5a00}.c34,.c94{fill:#0a55b0}.c35,.c95{fill:#7a3bbd}.c36,.c96{fill:#0b6570}}
`

// draw returns the picture. Every word stands at the place of its cell, so columns meet in any font.
func draw(title string, lines []line, cols int) string {
	w, h := float64(cols)*cellW+2*pad, float64(len(lines))*cellH+bar+pad
	var b strings.Builder
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img">`, w, h, w, h)
	fmt.Fprintf(&b, "\n<title>%s</title>\n<style>%s</style>\n", escaped("A terminal that shows what "+title+" printed"),
		css)
	fmt.Fprintf(&b, `<rect class="bg" x=".5" y=".5" width="%.0f" height="%.0f" rx="9"/>`+"\n", w-1, h-1)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="19" r="6" fill="%s"/>`, 22+20*i, colour)
	}
	fmt.Fprintf(&b, "\n"+`<text class="t" x="%.0f" y="23">%s</text>`+"\n", w/2, escaped(title))
	for i, l := range lines {
		y, col := bar+float64(i)*cellH+fontSize, 0
		for _, p := range l {
			for _, word := range words(p.text) {
				if n := utf8.RuneCountInString(word); strings.TrimSpace(word) == "" {
					col += n
				} else {
					fmt.Fprintf(&b, `<text%s x="%s" y="%.0f" textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`,
						classes(p.style), number(pad+float64(col)*cellW), y, number(float64(n)*cellW), escaped(word))
					col += n
				}
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// words splits a text into runs of spaces, where there are two or more or they stand at an end, and what is between.
func words(s string) []string {
	var out []string
	for s != "" {
		n := len(s) - len(strings.TrimLeft(s, " "))
		if n == 0 {
			if n = strings.Index(s, "  "); n < 0 {
				n = len(strings.TrimRight(s, " "))
			}
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

func classes(s style) string {
	var names []string
	if s&bold != 0 {
		names = append(names, "b")
	}
	if s&dim != 0 {
		names = append(names, "d")
	}
	if c := s.colour(); c != 0 {
		names = append(names, fmt.Sprintf("c%d", c))
	}
	if len(names) == 0 {
		return ""
	}
	return ` class="` + strings.Join(names, " ") + `"`
}

func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.1f", v), "0"), ".")
}

func escaped(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

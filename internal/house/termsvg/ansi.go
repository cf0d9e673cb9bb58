package main

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A style is how a run of text looks: an ANSI foreground colour (0 is none, 30 to 37, 90 to 97) and two bits.
type style int

const (
	bold style = 1 << 8
	dim  style = 1 << 9
)

func (s style) colour() int { return int(s & 0xff) }

// A piece is text of one style.
type piece struct {
	text  string
	style style
}

// A line is what one line of a terminal shows.
type line []piece

func (l line) text() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.text)
	}
	return b.String()
}

// escape matches what a program says to a terminal: a control sequence, an operating system command, or a lone ESC.
var escape = regexp.MustCompile(`\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?`)

// read turns output into lines. Colours are kept, other escapes and control characters left out; what a carriage
// return overwrites is gone, as on a terminal.
func read(out string) []line {
	var lines []line
	var now style
	for raw := range strings.SplitSeq(strings.TrimRight(strings.ToValidUTF8(out, "\ufffd"), "\n"), "\n") {
		raw = strings.TrimSuffix(raw, "\r")
		raw = raw[strings.LastIndexByte(raw, '\r')+1:]
		var l line
		add := func(s string) {
			s = strings.Map(func(r rune) rune {
				if unicode.IsControl(r) || r == 0xfffe || r == 0xffff {
					return -1
				}
				return r
			}, strings.ReplaceAll(s, "\t", "    "))
			if s != "" {
				l = append(l, piece{s, now})
			}
		}
		at := 0
		for _, m := range escape.FindAllStringSubmatchIndex(raw, -1) {
			add(raw[at:m[0]])
			if m[4] >= 0 && raw[m[4]:m[5]] == "m" {
				now = now.after(raw[m[2]:m[3]])
			}
			at = m[1]
		}
		add(raw[at:])
		lines = append(lines, l)
	}
	return lines
}

// after returns the style after the parameters of a "select graphic rendition".
func (s style) after(params string) style {
	codes := strings.Split(params, ";")
	for i := 0; i < len(codes); i++ {
		n, err := strconv.Atoi(codes[i])
		switch {
		case codes[i] == "" || err == nil && n == 0:
			s = 0
		case err != nil:
		case n == 1:
			s |= bold
		case n == 2:
			s |= dim
		case n == 22:
			s &^= bold | dim
		case n == 39:
			s &^= 0xff
		case n == 38 || n == 48: // a colour of a larger palette: not drawn, but its parameters are no codes
			switch {
			case i+1 < len(codes) && codes[i+1] == "5":
				i += 2
			case i+1 < len(codes) && codes[i+1] == "2":
				i += 4
			}
		case n >= 30 && n <= 37, n >= 90 && n <= 97:
			s = s&^0xff | style(n)
		}
	}
	return s
}

// wrap breaks a line that is wider than cols at its last space that fits, or where it must. What follows is indented.
func (l line) wrap(cols int) []line {
	var cells []cell
	for _, p := range l {
		for _, r := range p.text {
			cells = append(cells, cell{r, p.style})
		}
	}
	const indent = "    "
	end := breakAt(cells, cols)
	out := []line{joinCells(nil, cells[:end])}
	for cells = cells[end:]; len(cells) > 0; cells = cells[end:] {
		if cells[0].r == ' ' {
			cells = cells[1:]
		}
		end = breakAt(cells, cols-len(indent))
		out = append(out, joinCells(line{{text: indent}}, cells[:end]))
	}
	return out
}

// A cell is one character of a line.
type cell struct {
	r     rune
	style style
}

// breakAt returns how many cells stand on a line of that width.
func breakAt(cells []cell, width int) int {
	end := min(width, len(cells))
	if end == len(cells) {
		return end
	}
	for i := end; i > width/2; i-- {
		if cells[i].r == ' ' {
			return i
		}
	}
	return end
}

// joinCells adds cells to a line, those of one style as one piece.
func joinCells(l line, cells []cell) line {
	for _, c := range cells {
		if n := len(l); n > 0 && l[n-1].style == c.style {
			l[n-1].text += string(c.r)
		} else {
			l = append(l, piece{string(c.r), c.style})
		}
	}
	return l
}

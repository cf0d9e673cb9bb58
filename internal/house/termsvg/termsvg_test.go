package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func show(l line) string {
	var b strings.Builder
	for _, p := range l {
		fmt.Fprintf(&b, "%s{%s}", strings.TrimPrefix(classes(p.style), " class="), p.text)
	}
	return b.String()
}

func TestOutputIsReadAsATerminalWould(t *testing.T) {
	for _, c := range []struct{ rule, out, want string }{
		{"plain text has no style", "hello", `{hello}`},
		{"colours and weights end with a reset", "\x1b[1mhi\x1b[0m \x1b[2;36mx\x1b[m.", `"b"{hi}{ }"d c36"{x}{.}`},
		{"a later colour replaces an earlier", "\x1b[31ma\x1b[92mb\x1b[39mc", `"c31"{a}"c92"{b}{c}`},
		{"bold ends alone", "\x1b[1;32ma\x1b[22mb", `"b c32"{a}"c32"{b}`},
		{"a colour of a larger palette is not taken for codes", "\x1b[38;5;1ma\x1b[38;2;1;2;31mb", `{a}{b}`},
		{"other escapes are left out", "\x1b[2K\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b[1;2H", `{a}{b}`},
		{"what a carriage return overwrites is gone", "10%\r50%\rdone\r", `{done}`},
		{"control characters cannot reach the picture", "a\x00\x08b\x1b", `{ab}`},
		{"bytes that are no text are marked", "a\xffb", "{a\ufffdb}"},
	} {
		if got := show(read(c.out)[0]); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestWideLinesBreakAtASpace(t *testing.T) {
	for _, c := range []struct {
		rule, in string
		want     []string
	}{
		{"a line that fits stays", "1234567890", []string{"1234567890"}},
		{"one that does not is broken at a space, and goes on indented", "one two three four", []string{"one two", "    three", "    four"}},
		{"a word that is too long is cut", "abcdefghijklm", []string{"abcdefghij", "    klm"}},
		{"an empty line is a line", "", []string{""}},
	} {
		var got []string
		for _, l := range (line{{text: c.in}}).wrap(10) {
			got = append(got, l.text())
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestLinesAreChosenInTheirOrder(t *testing.T) {
	const out = "head\n\n1 one\na\nb\n\n2 two\nc\nb"
	for _, c := range []struct {
		rule  string
		spans []string
		want  string
	}{
		{"no span is everything", nil, out},
		{"a span is from one match to the next of another", []string{"^1..b"}, "1 one\na\nb"},
		{"one expression is one line", []string{"a"}, "head"},
		{"what is left out is marked, and a gap kept", []string{"^1", "^2..b"}, "1 one\n  ...\n\n2 two\nc\nb"},
		{"an end that does not come is an error", []string{"^2..a"}, `no line matches "a" after line 6 of the output`},
		{"an order that is not there is an error", []string{"^2", "^1"}, `no line matches "^1" after line 7 of the output`},
	} {
		var spans []span
		for _, s := range c.spans {
			sp, err := parseSpan(s)
			if err != nil {
				t.Fatal(err)
			}
			spans = append(spans, sp)
		}
		lines, err := crop(read(out), spans)
		var texts []string
		for _, l := range lines {
			texts = append(texts, l.text())
		}
		got := strings.Join(texts, "\n")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
}

// The picture is well-formed whatever was printed, and its text is the text.
func FuzzDraw(f *testing.F) {
	f.Add("\x1b[1m<b>&\"'\x1b[0m  two  spaces")
	f.Add("]]>\x1b[31m\u2500\u2502\x00\ufffe")
	f.Fuzz(func(t *testing.T, out string) {
		var lines []line
		want := ""
		for _, l := range read(out) {
			lines = append(lines, l.wrap(40)...)
		}
		for _, l := range lines {
			want += strings.ReplaceAll(l.text(), " ", "")
		}
		got, depth := "", 0
		d := xml.NewDecoder(strings.NewReader(draw("t", lines, 40)))
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				if tok.Name.Local == "text" && tok.Attr[0].Value != "t" {
					depth++
				}
			case xml.EndElement:
				depth = 0
			case xml.CharData:
				if depth > 0 {
					got += strings.ReplaceAll(string(tok), " ", "")
				}
			}
		}
		if depth == 0 && got != want {
			t.Errorf("the picture says %q, the lines %q", got, want)
		}
	})
}

func TestACommandIsDrawn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.svg")
	if err := run(t.Context(), []string{"-o", file, "sh", "-c", `printf '\033[32mgreen\033[0m %s\n' "$CLICOLOR_FORCE"`}); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`class="c32"`, ">green</text>", ">1</text>", "prefers-color-scheme:light"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
	for rule, args := range map[string][]string{
		"no command":               {},
		"a command that fails":     {"sh", "-c", "exit 3"},
		"a line that is not there": {"-show", "nothing", "echo", "x"},
		"a bad expression":         {"-show", "(", "echo", "x"},
		"too many lines":           {"-lines", "1", "printf", `a\nb`},
		"too narrow a terminal":    {"-cols", "3", "echo", "x"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
}

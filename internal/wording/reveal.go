package wording

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is here is for people who decide by what they read: what is shown is what is signed. A character that is not
// seen, that moves others, or that looks like another one is spelled out, as in
//
//	p<U+0430 Cyrillic, looks like a>ypal
//
// Whatever the form, two texts that differ are shown differently: a "<" that begins what could be such a name is
// spelled out itself.

// Reveal shows a text of others in one line, for a person who decides. It keeps ASCII, the letters of words that are in
// one script and cannot be taken for others, and some signs; all else is spelled out. So is what runs from right to
// left, since it would move what stands beside it, and a sign that combines with the letter before it.
func Reveal(s string) string { return spellOut(s, false) }

// Spell is [Reveal] in ASCII, for what a wallet shows and signs.
func Spell(s string) string { return spellOut(s, true) }

// SpellShort is [Spell] in at most about n bytes. What does not fit is not shown, and then the length of the whole and
// its SHA-256 are, so that another text with the same beginning is shown differently.
func SpellShort(s string, n int) string {
	whole := s
	if len(s) > n {
		s = s[:n]
	}
	if spelled := Spell(s); len(s) == len(whole) && len(spelled) <= n {
		return spelled
	}
	end := 0
	for at, size := 0, 0; at < len(s); at += size {
		_, size = utf8.DecodeRuneInString(s[at:])
		if len(Spell(s[:at+size])) > n {
			break
		}
		end = at + size
	}
	return fmt.Sprintf("%s... (%d bytes, SHA-256 %x)", Spell(s[:end]), len(whole), sha256.Sum256([]byte(whole)))
}

func spellOut(s string, ascii bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		if n := wordLength(s); n > 0 {
			writeWord(&b, s[:n], ascii)
			s = s[n:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		first, last := b.Len() == 0, size == len(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "<byte 0x%02X>", s[0])
		case r == '<' && (strings.HasPrefix(s, "<U+") || strings.HasPrefix(s, "<byte 0x")):
			writeName(&b, r)
		case r == ' ' && (first || last || s[1] == ' '): // a page shows two blanks as one
			writeName(&b, r)
		case r >= ' ' && r <= '~', !ascii && isPlainSign(r):
			b.WriteString(s[:size])
		default:
			writeName(&b, r)
		}
		s = s[size:]
	}
	return b.String()
}

// wordLength is how many bytes of s are letters, with the signs that combine with them; 0 if it begins with none.
func wordLength(s string) int {
	n := 0
	for i, r := range s {
		switch {
		case unicode.IsLetter(r), n > 0 && unicode.Is(unicode.M, r):
			n = i + utf8.RuneLen(r)
		default:
			return n
		}
	}
	return n
}

// writeWord writes the letters of a word, those of them spelled out that cannot be told from others.
func writeWord(b *strings.Builder, word string, ascii bool) {
	scripts := map[*script]bool{}
	telling := map[*script]bool{} // has a letter that looks like none of another script
	for _, r := range word {
		if sc := scriptOf(r); sc != nil {
			scripts[sc] = true
			if _, like := lookAlike[r]; !like {
				telling[sc] = true
			}
		}
	}
	for _, r := range word {
		sc := scriptOf(r)
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case ascii || sc == nil, !sc.mixes && (len(scripts) > 1 || !telling[sc]):
			writeName(b, r)
		default:
			b.WriteRune(r)
		}
	}
}

// A script is an alphabet whose letters may be shown.
type script struct {
	mixes bool // words of it stand beside Latin letters, and none of its letters looks like one
	in    []unicode.Range32
}

// scripts are the letters that may be shown. Left out are those that are written in two ways, compatibility forms,
// phonetic letters and what runs from right to left.
var scripts = []*script{
	// Latin
	{true,
		[]unicode.Range32{{Lo: 'A', Hi: 'Z', Stride: 1}, {Lo: 'a', Hi: 'z', Stride: 1}, {Lo: 0xc0, Hi: 0xd6, Stride: 1},
			{Lo: 0xd8, Hi: 0xf6, Stride: 1}, {Lo: 0xf8, Hi: 0x130, Stride: 1}, {Lo: 0x134, Hi: 0x137, Stride: 1},
			{Lo: 0x139, Hi: 0x13e, Stride: 1}, {Lo: 0x141, Hi: 0x148, Stride: 1}, {Lo: 0x14a, Hi: 0x17e, Stride: 1},
			{Lo: 0x1a0, Hi: 0x1a1, Stride: 1}, {Lo: 0x1af, Hi: 0x1b0, Stride: 1}, {Lo: 0x1cd, Hi: 0x1dc, Stride: 1},
			{Lo: 0x218, Hi: 0x21b, Stride: 1}, {Lo: 0x1ea0, Hi: 0x1ef9, Stride: 1}}},
	// Cyrillic
	{false, []unicode.Range32{{Lo: 0x400, Hi: 0x481, Stride: 1}, {Lo: 0x48a, Hi: 0x4ff, Stride: 1}}},
	// Greek
	{false, []unicode.Range32{{Lo: 0x386, Hi: 0x386, Stride: 1}, {Lo: 0x388, Hi: 0x3ce, Stride: 1}}},
	// Armenian
	{false, []unicode.Range32{{Lo: 0x531, Hi: 0x556, Stride: 1}, {Lo: 0x561, Hi: 0x586, Stride: 1}}},
	// Georgian
	{false, []unicode.Range32{{Lo: 0x10d0, Hi: 0x10f0, Stride: 1}}},
	// Thai
	{false,
		[]unicode.Range32{{Lo: 0xe01, Hi: 0xe30, Stride: 1}, {Lo: 0xe32, Hi: 0xe32, Stride: 1},
			{Lo: 0xe40, Hi: 0xe45, Stride: 1}}},
	// East Asian
	{true, []unicode.Range32{{Lo: 0x3041, Hi: 0x3096, Stride: 1}, {Lo: 0x30a1, Hi: 0x30fa, Stride: 1},
		{Lo: 0x3400, Hi: 0x4dbf, Stride: 1}, {Lo: 0x4e00, Hi: 0x9fff, Stride: 1}, {Lo: 0xac00, Hi: 0xd7a3, Stride: 1}}},
}

// scriptOf is the script of a letter that may be shown, or nil.
func scriptOf(r rune) *script {
	if _, like := lookAlike[r]; like && scripts[0].has(r) {
		return nil // within its own script it would be taken for another
	}
	for _, sc := range scripts {
		if sc.has(r) {
			return sc
		}
	}
	return nil
}

func (sc *script) has(r rune) bool {
	for _, x := range sc.in {
		if rune(x.Lo) <= r && r <= rune(x.Hi) {
			return unicode.IsLetter(r)
		}
	}
	return false
}

// lookAlike tells which ASCII letters, in common type, a letter is taken for.
var lookAlike = func() map[rune]string {
	m := map[rune]string{}
	put := func(letters, like string) {
		l := []rune(like)
		for i, r := range []rune(letters) {
			m[r] = string(l[i])
		}
	}
	put("АВЕЅІЈКМНОРСТУХҮԌԚԜҺӀ", "ABESIJKMHOPCTYXYGQWhI") // Cyrillic
	put("авеѕіјкмнорстухүһӏԁԛԝҽґ", "abesijkmhopctyxyhldqwer")
	put("ғѵѴӔӕҫҪїЇёЁӧӦӓӒҐ", "fvVEecCiIeEoOaAr")
	put("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC") // Greek
	put("αβγεηικνορτυχωςϲϳάέήίόύώϊϋΐΰΆΈΉΊΌΎΏΪΫ", "aByenikvoptuxwscjaeniouwiuiuAEHIOYOIY")
	put("օոսհցյլզքգՕՍՏԼՈՇ", "onuhgjlqfqOUSLns") // Armenian
	put("ıȷ", "ij")
	return m
}()

// isPlainSign says whether a sign that is no letter looks like itself alone. Dashes, quotation marks and dots do not.
func isPlainSign(r rune) bool {
	return strings.ContainsRune("€£¥§°±÷«»©®¿¡、。「」『』", r) || r >= 0x1f300 && r <= 0x1f3fa ||
		r >= 0x1f400 && r <= 0x1f64f || r >= 0x1f680 && r <= 0x1f6c5
}

// writeName writes what stands for a character: its number and what it is.
func writeName(b *strings.Builder, r rune) { fmt.Fprintf(b, "<U+%04X %s>", r, nameOf(r)) }

// characters are the names of those that are used to deceive.
var characters = map[rune]string{
	0: "null", '\t': "tab", '\n': "line feed", '\r': "carriage return", 0x1b: "escape", ' ': "blank",
	'<':  "less-than sign",
	0x7f: "delete", 0x85: "next line", 0xa0: "no-break blank", 0xad: "soft hyphen", 0x34f: "grapheme joiner",
	0x61c: "Arabic letter mark", 0x115f: "Hangul filler", 0x1160: "Hangul filler", 0x1680: "Ogham blank",
	0x17b4: "Khmer vowel that is not shown", 0x17b5: "Khmer vowel that is not shown", 0x180e: "Mongolian vowel separator",
	0x200b: "zero width space", 0x200c: "zero width non-joiner", 0x200d: "zero width joiner", 0x200e: "left-to-right mark",
	0x200f: "right-to-left mark", 0x2028: "line separator", 0x2029: "paragraph separator",
	0x202a: "left-to-right embedding", 0x202b: "right-to-left embedding", 0x202c: "pop directional formatting",
	0x202d: "left-to-right override", 0x202e: "right-to-left override", 0x202f: "narrow no-break blank",
	0x2060: "word joiner", 0x2061: "function application", 0x2062: "invisible times", 0x2063: "invisible separator",
	0x2064: "invisible plus", 0x2066: "left-to-right isolate", 0x2067: "right-to-left isolate",
	0x2068: "first strong isolate", 0x2069: "pop directional isolate", 0x2800: "blank Braille pattern",
	0x3000: "wide blank", 0x3164: "Hangul filler", 0xfeff: "zero width no-break space", 0xffa0: "Hangul filler",
	0xfffc: "object replacement", 0xfffd: "replacement character",
}

// nameOf says what a character is, as far as that helps somebody who decides.
func nameOf(r rune) string {
	if n, ok := characters[r]; ok {
		return n
	}
	switch {
	case r >= 0xe0020 && r <= 0xe007e:
		return "tag, hides " + tagName(r-0xe0000)
	case r >= 0xe0000 && r <= 0xe007f:
		return "tag, hidden"
	case unicode.Is(unicode.Variation_Selector, r):
		return "variation selector, hidden"
	case unicode.Is(unicode.Cc, r):
		return "control"
	case unicode.Is(unicode.Cf, r):
		return "hidden format"
	case unicode.Is(unicode.Co, r):
		return "private use"
	case unicode.Is(unicode.M, r):
		return "combining sign"
	case unicode.Is(unicode.Z, r):
		return "blank of another width"
	case r >= 0xff01 && r <= 0xff5e:
		return "wide " + tagName(r-0xff00+' ')
	case r >= 0x1d400 && r <= 0x1d7ff:
		return "mathematical letter"
	}
	name := "sign"
	for _, sc := range namedScripts {
		if unicode.Is(unicode.Scripts[sc], r) {
			name = sc
		}
	}
	switch {
	case unicode.IsDigit(r):
		name += " digit"
	case !unicode.IsPrint(r):
		return "no character"
	}
	if like := lookAlike[r]; like != "" {
		name += ", looks like " + like
	}
	return name
}

var namedScripts = []string{"Latin", "Cyrillic", "Greek", "Armenian", "Georgian", "Cherokee", "Coptic", "Hebrew",
	"Arabic",
	"Syriac", "Thaana", "Devanagari", "Bengali", "Tamil", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Ethiopic", "Han",
	"Hiragana", "Katakana", "Hangul", "Lisu", "Tifinagh", "Mongolian", "Runic", "Deseret", "Gothic"}

// tagName names an ASCII character within a name.
func tagName(r rune) string {
	if n, ok := characters[r]; ok {
		return n
	}
	if r == '>' {
		return "greater-than sign"
	}
	return string(r)
}

// isHidden says whether a character is not seen, or moves what is: a control or format character, a blank of no width,
// a filler, a tag, a selector of variants, a separator of lines.
func isHidden(r rune) bool {
	switch {
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector):
		return true
	case r >= 0xe0000 && r <= 0xe0fff, r >= 0x17b4 && r <= 0x17b5, r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0,
		r == 0x34f, r == 0x2800, r >= 0x2060 && r <= 0x206f, r >= 0xfff0 && r <= 0xfff8:
		return true
	}
	return false
}

// Visible takes out what a reader would not see, for a text that a model reads: instructions are hidden in it. Line
// breaks and tabs stay.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		if isHidden(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// Plain makes text of others fit for a terminal: what is hidden or moves other text is spelled out, so that it cannot
// move the cursor or rewrite what is shown. Line breaks and tabs stay. It may be applied twice.
func Plain(s string) string {
	hides := func(r rune) bool { return isHidden(r) && r != '\n' && r != '\t' }
	if strings.IndexFunc(s, hides) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hides(r) {
			writeName(&b, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Printable is [Plain] for text that shall be one line: line breaks and tabs are blanks.
func Printable(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(Plain(s))
}

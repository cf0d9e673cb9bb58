package wording

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What a person is shown of a text, by what could deceive them. Where spelled is "", it is the same in ASCII.
var shown = []struct{ what, in, reveal, spell string }{
	{"plain ASCII", `{"to":"bob","amount":"5"}`, `{"to":"bob","amount":"5"}`, ""},
	{"a backslash", `C:\u202e`, `C:\u202e`, ""},
	{"nothing", "", "", ""},
	{"an arrow of ASCII", "a <b> <- c", "a <b> <- c", ""},

	{"right-to-left override", "pay \u202ebob", "pay <U+202E right-to-left override>bob", ""},
	{"left-to-right override", "\u202d", "<U+202D left-to-right override>", ""},
	{"right-to-left embedding", "\u202b", "<U+202B right-to-left embedding>", ""},
	{"left-to-right embedding", "\u202a", "<U+202A left-to-right embedding>", ""},
	{"pop directional formatting", "\u202c", "<U+202C pop directional formatting>", ""},
	{"left-to-right isolate", "\u2066", "<U+2066 left-to-right isolate>", ""},
	{"right-to-left isolate", "\u2067", "<U+2067 right-to-left isolate>", ""},
	{"first strong isolate", "\u2068", "<U+2068 first strong isolate>", ""},
	{"pop directional isolate", "\u2069", "<U+2069 pop directional isolate>", ""},
	{"left-to-right mark", "a\u200eb", "a<U+200E left-to-right mark>b", ""},
	{"right-to-left mark", "a\u200fb", "a<U+200F right-to-left mark>b", ""},
	{"Arabic letter mark", "a\u061cb", "a<U+061C Arabic letter mark>b", ""},

	{"zero width space", "bo\u200bb", "bo<U+200B zero width space>b", ""},
	{"zero width non-joiner", "bo\u200cb", "bo<U+200C zero width non-joiner>b", ""},
	{"zero width joiner", "bo\u200db", "bo<U+200D zero width joiner>b", ""},
	{"word joiner", "1\u20600", "1<U+2060 word joiner>0", ""},
	{"function application", "1\u20610", "1<U+2061 function application>0", ""},
	{"invisible times", "1\u20620", "1<U+2062 invisible times>0", ""},
	{"invisible separator", "1\u20630", "1<U+2063 invisible separator>0", ""},
	{"invisible plus", "1\u20640", "1<U+2064 invisible plus>0", ""},
	{"byte order mark", "\ufeffbob", "<U+FEFF zero width no-break space>bob", ""},
	{"soft hyphen", "bo\u00adb", "bo<U+00AD soft hyphen>b", ""},
	{"grapheme joiner", "bo\u034fb", "bo<U+034F grapheme joiner>b", ""},
	{"Hangul filler", "bob\u3164", "bob<U+3164 Hangul filler>", ""},
	{"half Hangul filler", "bob\uffa0", "bob<U+FFA0 Hangul filler>", ""},
	{"Braille blank", "bob\u2800", "bob<U+2800 blank Braille pattern>", ""},
	{"Mongolian vowel separator", "a\u180eb", "a<U+180E Mongolian vowel separator>b", ""},
	{"a variation selector", "5\ufe0f", "5<U+FE0F variation selector, hidden>", ""},
	{"a variation selector of the supplement", "a\U000e0100", "a<U+E0100 variation selector, hidden>", ""},
	{"tag characters", "ok\U000e0061\U000e003e", "ok<U+E0061 tag, hides a><U+E003E tag, hides greater-than sign>", ""},
	{"the first tag", "\U000e0001", "<U+E0001 tag, hidden>", ""},
	{"line separator", "a\u2028b", "a<U+2028 line separator>b", ""},
	{"paragraph separator", "a\u2029b", "a<U+2029 paragraph separator>b", ""},

	{"a line feed", "a\nb", "a<U+000A line feed>b", ""},
	{"a carriage return", "a\rb", "a<U+000D carriage return>b", ""},
	{"a tab", "a\tb", "a<U+0009 tab>b", ""},
	{"null", "a\x00b", "a<U+0000 null>b", ""},
	{"escape", "\x1b[2K", "<U+001B escape>[2K", ""},
	{"a control of one byte", "a\x08b", "a<U+0008 control>b", ""},
	{"delete", "a\x7fb", "a<U+007F delete>b", ""},
	{"next line", "a\u0085b", "a<U+0085 next line>b", ""},
	{"another control", "\u009b31m", "<U+009B control>31m", ""},
	{"two blanks", "a  b", "a<U+0020 blank> b", ""},
	{"a blank at the end", "bob ", "bob<U+0020 blank>", ""},
	{"a blank at the beginning", " bob", "<U+0020 blank>bob", ""},
	{"a no-break blank", "a\u00a0b", "a<U+00A0 no-break blank>b", ""},
	{"a thin blank", "a\u2009b", "a<U+2009 blank of another width>b", ""},
	{"a wide blank", "a\u3000b", "a<U+3000 wide blank>b", ""},

	{"a Cyrillic letter in a Latin word", "p\u0430ypal", "p<U+0430 Cyrillic, looks like a>ypal", ""},
	{"a Cyrillic word of look-alikes", "\u0440\u0430\u0443", "<U+0440 Cyrillic, looks like p><U+0430 Cyrillic, looks like a><U+0443 Cyrillic, looks like y>", ""},
	{"a Greek letter in a Latin word", "b\u03bfb", "b<U+03BF Greek, looks like o>b", ""},
	{"a Greek word of look-alikes", "\u0392\u039f\u0392", "<U+0392 Greek, looks like B><U+039F Greek, looks like O><U+0392 Greek, looks like B>", ""},
	{"a Latin letter in a Cyrillic word", "\u043fpi", "<U+043F Cyrillic>pi", ""},
	{"Cyrillic and Greek", "\u0436\u03b4", "<U+0436 Cyrillic><U+03B4 Greek>", ""},
	{"an Armenian letter", "b\u0585b", "b<U+0585 Armenian, looks like o>b", ""},
	{"a Cherokee letter", "\u13aa", "<U+13AA Cherokee>", ""},
	{"a phonetic letter", "p\u0251y", "p<U+0251 Latin>y", ""},
	{"an i without a dot", "b\u0131d", "b<U+0131 Latin, looks like i>d", ""},
	{"a Kelvin sign", "\u212a", "<U+212A Latin>", ""},
	{"wide letters", "\uff42\uff4f\uff42", "<U+FF42 wide b><U+FF4F wide o><U+FF42 wide b>", ""},
	{"a mathematical letter", "\U0001d41b", "<U+1D41B mathematical letter>", ""},
	{"Arabic digits", "\u0665", "<U+0665 Arabic digit>", ""},
	{"another minus", "\u22125", "<U+2212 sign>5", ""},
	{"another full stop", "a\u2024b", "a<U+2024 sign>b", ""},
	{"another solidus", "a\u2215b", "a<U+2215 sign>b", ""},
	{"a ligature", "\ufb01", "<U+FB01 Latin>", ""},
	{"Hebrew", "\u05d0", "<U+05D0 Hebrew>", ""},
	{"Arabic", "\u0627", "<U+0627 Arabic>", ""},
	{"a combining sign", "e\u0301", "e<U+0301 combining sign>", ""},
	{"a run of combining signs", "Z\u0335\u0321", "Z<U+0335 combining sign><U+0321 combining sign>", ""},
	{"private use", "\ue000", "<U+E000 private use>", ""},
	{"no character", "\u0378", "<U+0378 no character>", ""},
	{"a byte that is no text", "a\xff", "a<byte 0xFF>", ""},
	{"half a character", "a\xe2\x82", "a<byte 0xE2><byte 0x82>", ""},
	{"what looks like a name", "a<U+202E right-to-left override>", "a<U+003C less-than sign>U+202E right-to-left override>", ""},
	{"what looks like a byte", "<byte 0xFF>", "<U+003C less-than sign>byte 0xFF>", ""},
	{"the replacement character", "\ufffd", "<U+FFFD replacement character>", ""},

	{"an accent", "caf\u00e9", "caf\u00e9", "caf<U+00E9 Latin>"},
	{"a Russian word", "\u043f\u0440\u0438\u0432\u0435\u0442", "\u043f\u0440\u0438\u0432\u0435\u0442",
		"<U+043F Cyrillic><U+0440 Cyrillic, looks like p><U+0438 Cyrillic><U+0432 Cyrillic, looks like b><U+0435 Cyrillic, looks like e><U+0442 Cyrillic, looks like t>"},
	{"Chinese", "\u4ed8\u6b3e", "\u4ed8\u6b3e", "<U+4ED8 Han><U+6B3E Han>"},
	{"Latin beside Chinese", "USDC\u4ed8", "USDC\u4ed8", "USDC<U+4ED8 Han>"},
	{"Korean", "\ub3c8", "\ub3c8", "<U+B3C8 Hangul>"},
	{"money", "5 \u20ac", "5 \u20ac", "5 <U+20AC sign>"},
	{"a picture", "\U0001f642", "\U0001f642", "<U+1F642 sign>"},
}

func TestWhatIsShown(t *testing.T) {
	if len(shown) < 60 {
		t.Errorf("%d strings", len(shown))
	}
	for _, c := range shown {
		if got := Reveal(c.in); got != c.reveal {
			t.Errorf("%s: Reveal(%+q) = %s, want %s", c.what, c.in, got, c.reveal)
		}
		want := c.spell
		if want == "" {
			want = c.reveal
		}
		if got := Spell(c.in); got != want {
			t.Errorf("%s: Spell(%+q) = %s, want %s", c.what, c.in, got, want)
		}
	}
}

// readBack undoes Reveal and Spell. That it can is the proof that two texts are never shown the same.
func readBack(t *rapid.T, s string) string {
	var b strings.Builder
	for len(s) > 0 {
		hex, isChar := strings.CutPrefix(s, "<U+")
		isByte := false
		if !isChar {
			hex, isByte = strings.CutPrefix(s, "<byte 0x")
		}
		if !isChar && !isByte {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		name, rest, ok := strings.Cut(hex, ">")
		name, _, _ = strings.Cut(name, " ")
		n, err := strconv.ParseUint(name, 16, 32)
		if !ok || err != nil {
			t.Fatalf("%q is no name", s)
		}
		if isByte {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
		s = rest
	}
	return b.String()
}

// genDeceit draws texts of what deceives, of what names it, and of anything.
func genDeceit() *rapid.Generator[string] {
	var parts []string
	for _, c := range shown {
		parts = append(parts, c.in, c.reveal)
	}
	parts = append(parts, "<", "U+", "<U+", ">", " ", "byte 0x", "a", "\u0430", "\u03b1", "\u0436", "\u4ed8", "1")
	one := rapid.OneOf(rapid.SampledFrom(parts), rapid.String(), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes"))
	}))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(one, 0, 6).Draw(t, "parts"), "") })
}

func TestTwoTextsAreNeverShownTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genDeceit().Draw(t, "s")
		r, a := Reveal(s), Spell(s)
		if got := readBack(t, r); got != s {
			t.Fatalf("Reveal(%+q) = %+q, which says %+q", s, r, got)
		}
		if got := readBack(t, a); got != s {
			t.Fatalf("Spell(%+q) = %+q, which says %+q", s, a, got)
		}
		for i := range len(a) {
			if a[i] < ' ' || a[i] > '~' {
				t.Fatalf("Spell(%+q) = %+q", s, a)
			}
		}
		if !utf8.ValidString(r) || Plain(r) != r || Printable(r) != r || strings.Contains(r, "  ") {
			t.Fatalf("Reveal(%+q) = %+q", s, r)
		}
	})
}

// skeleton is what a hurried reader sees: a look-alike as the letter that it looks like.
func skeleton(s string) string {
	var b strings.Builder
	for _, r := range s {
		if like := lookAlike[r]; like != "" {
			b.WriteString(like)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Nor do two texts look the same to who takes a look-alike for its letter.
func TestLookAlikesDoNotMakeTwoTextsLookTheSame(t *testing.T) {
	letters := []rune("abeopcxykiBHABEM\u0430\u0432\u0435\u043e\u0440\u0441\u0445\u0443\u043a\u0456\u0412\u041d\u0410\u0415\u041c\u03bf\u03c1\u03b1\u0392\u0397\u0391\u0585\u0436\u03b4\u0436 \u200b1-")
	gen := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom(letters), 1, 5).Draw(t, "letters"))
	})
	rapid.Check(t, func(t *rapid.T) {
		a := gen.Draw(t, "a")
		// Another text that a hurried reader takes for the first: letters exchanged for those that look like them.
		var b strings.Builder
		for _, r := range a {
			like := []rune{r}
			for _, x := range letters {
				if skeleton(string(x)) == skeleton(string(r)) {
					like = append(like, x)
				}
			}
			b.WriteRune(rapid.SampledFrom(like).Draw(t, "like"))
		}
		if b.String() != a && skeleton(Reveal(a)) == skeleton(Reveal(b.String())) {
			t.Fatalf("%+q and %+q are shown as %s and %s", a, b.String(), Reveal(a), Reveal(b.String()))
		}
	})
}

func TestPlainSpellsOutWhatIsHidden(t *testing.T) {
	const in = "a\x1b[2Kb\u202ec\u2028d\u200e\u200f\n\te\U000e0061"
	const want = "a<U+001B escape>[2Kb<U+202E right-to-left override>c<U+2028 line separator>d<U+200E left-to-right mark><U+200F right-to-left mark>\n\te<U+E0061 tag, hides a>"
	if got := Plain(in); got != want || Plain(got) != got {
		t.Errorf("got %s", got)
	}
	if got := Printable("a\nb\u2029"); got != "a b<U+2029 paragraph separator>" {
		t.Errorf("got %s", got)
	}
	if got := Visible(in); got != "a[2Kbcd\n\te" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsCutHasItsLengthAndHash(t *testing.T) {
	long := `{"text":"` + strings.Repeat("x", 300) + `"}`
	got := SpellShort(long, 160)
	if want := long[:160] + "... (311 bytes, SHA-256 "; !strings.HasPrefix(got, want) || len(got) > 300 {
		t.Errorf("got %s", got)
	}
	if SpellShort("short", 160) != "short" {
		t.Errorf("got %s", SpellShort("short", 160))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := genDeceit().Draw(t, "a"), genDeceit().Draw(t, "b")
		head := strings.Repeat("a", rapid.IntRange(0, 60).Draw(t, "head"))
		if a != b && SpellShort(head+a, 40) == SpellShort(head+b, 40) {
			t.Fatalf("%+q and %+q are shown the same: %s", a, b, SpellShort(head+a, 40))
		}
		if s := SpellShort(head+a, 40); len(s) > 140 {
			t.Fatalf("%d bytes: %s", len(s), s)
		}
	})
}

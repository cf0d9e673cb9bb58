package strictjson

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestWhatIsRefused(t *testing.T) {
	for _, in := range []string{
		`"`, `"\`, `"\x"`, `"\u00`, `"\u+123"`, `"\ud83d"`, `"\ud83d\u0041"`, `"\udc00\ud83d"`, "\"\n\"", "\"\xff\"",
	} {
		s := Scanner{In: []byte(in)}
		if text, _, err := s.ReadText(); err == nil {
			t.Errorf("%s is read as %q", in, text)
		}
	}
	for _, in := range []string{"-", "01", "-00", "1.", ".5", "1e", "1e+", "+1", ""} {
		s := Scanner{In: []byte(in)}
		if n, err := s.ReadNumber(); err == nil {
			t.Errorf("%q is read as %s", in, n)
		}
	}
}

// FuzzReadText: what is read as a text is what encoding/json reads, and has one spelling, which reads as the same.
func FuzzReadText(f *testing.F) {
	for _, s := range []string{`""`, `"a"`, `"\u00e9\ud83d\ude00\n"`, `"\ud83d"`, "\"\xff\"", `"a" `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || in[0] != '"' {
			return
		}
		s := Scanner{In: in}
		text, _, err := s.ReadText()
		var other string
		if err != nil {
			return
		}
		if otherErr := json.Unmarshal(in[:s.At], &other); otherErr != nil || other != text || !utf8.ValidString(text) {
			t.Fatalf("%q is read as %q, and by encoding/json as %q (%v)", in[:s.At], text, other, otherErr)
		}
		spelt := Scanner{In: AppendText(nil, text)}
		if again, _, err := spelt.ReadText(); err != nil || again != text || spelt.At != len(spelt.In) {
			t.Fatalf("%q is spelt %q, which reads as %q (%v)", text, spelt.In, again, err)
		}
	})
}

package elicit

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func form(props string) []byte {
	return []byte(`{"type":"object","properties":{` + props + `},"required":["a"]}`)
}

// What no form may ask for, and what cannot be shown, is put to nobody.
func TestWhatAServerMayNotAsk(t *testing.T) {
	for name, tt := range map[string]struct {
		message, props string
		secret         bool
	}{
		"a password":            {"Sign in", `"password":{"type":"string"}`, true},
		"a password, in camel":  {"Sign in", `"userPassWord":{"type":"string"}`, true},
		"by its title":          {"Sign in", `"a":{"type":"string","title":"Your API key"}`, true},
		"by its description":    {"Sign in", `"a":{"type":"string","description":"the 12 words of your seed phrase"}`, true},
		"in the message":        {"Send me your private key", `"a":{"type":"string"}`, true},
		"with a hidden letter":  {"Sign in", `"a":{"type":"string","title":"pass` + "\u200b" + `word"}`, true},
		"a card":                {"Pay", `"cardNumber":{"type":"string"}`, true},
		"a code":                {"Check", `"otp":{"type":"string"}`, true},
		"an object":             {"x", `"a":{"type":"object"}`, false},
		"an unknown format":     {"x", `"a":{"type":"string","format":"password-hash"}`, true},
		"no fields":             {"x", ``, false},
		"nine fields":           {"x", `"a":{"type":"string"},"b":{"type":"string"},"c":{"type":"string"},"d":{"type":"string"},"e":{"type":"string"},"f":{"type":"string"},"g":{"type":"string"},"h":{"type":"string"},"i":{"type":"string"}`, false},
		"fifteen choices":       {"x", `"a":{"type":"string","enum":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15"]}`, false},
		"a choice that hides":   {"x", `"a":{"type":"string","enum":["yes` + "\u202e" + `","no"]}`, false},
		"two choices, one name": {"x", `"a":{"type":"string","enum":["1","2"],"enumNames":["pay","pay"]}`, false},
		"a choice named as another": {"x", `"a":{"type":"string","enum":["keep","drop"],"enumNames":["drop","keep"]}`,
			false},
		"a name with a space":              {"x", `"a b":{"type":"string"}`, false},
		"no JSON":                          {"x", `"a":`, false},
		"a default of what may be skipped": {"x", `"a":{"type":"string"},"b":{"type":"boolean","default":true}`, false},
		"a default of nothing":             {"x", `"b":{"type":"string","default":null}`, false},
		"a default within a text":          {"x", `"b":{"type":"string","properties":{"c":{"default":1}}}`, false},
	} {
		_, err := NewForm("crm", tt.message, form(tt.props))
		if err == nil || errors.Is(err, errSecret) != tt.secret {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewForm("crm", "x", form(`"a":{"type":"boolean","default":true}`)); err != nil {
		t.Errorf("a default of what cannot be skipped: %v", err)
	}
	for _, address := range []string{"http://a.example/x", "javascript:alert(1)", "https://crm.example@evil.example/",
		"https://p\u0430ypal.example/", "https://a.example/\u202e", "https:///x", "https://a.example/" + strings.Repeat("x", 500), ""} {
		if a, err := NewPage("crm", "Sign in", address); err == nil {
			t.Errorf("%s is put to the user: %+v", address, a)
		}
	}
	if a, err := NewPage("crm", "Sign in", "https://xn--pypal-4ve.example/x"); err != nil || !strings.Contains(a.Host, "look like another") {
		t.Errorf("a name in foreign letters: %+v, %v", a, err)
	}
}

const order = `"a":{"type":"integer","minimum":1,"maximum":9,"description":"how many"},"b":{"type":"boolean"},` +
	`"c":{"type":"string","enum":["s","l"],"enumNames":["small","large"]},"d":{"type":"array","items":{"enum":["x","y"]}},` +
	`"e":{"type":"string","format":"email"}`

// begin asks for an order.
func begin(t *testing.T) Talk {
	t.Helper()
	a, err := NewForm("shop", "Which \u201corder\u201d?", form(order))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"asks": a})
	if err != nil {
		t.Fatal(err)
	}
	read, is := ReadResult(raw)
	talk, ok := Talk{}.Begin(read)
	if !is || !ok || read.Hash != a.Hash {
		t.Fatalf("%s is not asked: %t %t", raw, is, ok)
	}
	return talk
}

// A record is anybody's: a question in one whose labels are not those of its choices is none.
func TestAQuestionWithLabelsOfNoChoiceIsNone(t *testing.T) {
	for _, kind := range []string{choice, several} {
		for labels, want := range map[string]bool{`["one","two"]`: true, `["one","two","three"]`: false, `["one"]`: false} {
			ask, is := ReadResult([]byte(`{"asks":{"server":"x","mode":"form","hash":"00","fields":[{"name":"a","kind":"` + kind +
				`","choices":["1","2"],"labels":` + labels + `}]}}`))
			if is != want {
				t.Errorf("%s with labels %s: %t", kind, labels, is)
			}
			if talk, _ := (Talk{}).Begin(ask); is {
				if _, what := talk.Take("three"); what != More {
					t.Errorf("%s with labels %s takes a label of nothing: %s", kind, labels, what)
				}
			}
		}
	}
}

// A user answers field by field, and what is no answer to a field is asked again.
func TestAnswersAreReadFieldByField(t *testing.T) {
	talk := begin(t)
	var asked []string
	for _, said := range []string{"ten", "7", "yes", "LARGE", "y, x", "skip"} {
		q, choices := talk.Question()
		asked = append(asked, q+" "+strings.Join(choices, "/"))
		if !strings.Contains(q, "The server shop asks") || !strings.Contains(q, "\u201cWhich <U+201C sign>order<U+201D sign>?\u201d") || len(q) > 2000 {
			t.Errorf("asked as %s", q)
		}
		var what string
		if talk, what = talk.Take(said); (what == Answered) != (said == "skip") || what == Declined {
			t.Fatalf("after %q it is %s", said, what)
		}
	}
	for i, want := range []string{"a whole number from 1 to 9", "That is no answer: it wants a whole number from 1 to 9",
		"yes/no/skip/decline", "small/large/skip/decline", "some of these, with commas: \u201cx\u201d, \u201cy\u201d", "an email address"} {
		if !strings.Contains(asked[i], want) {
			t.Errorf("%d is asked as %s; want %q", i, asked[i], want)
		}
	}
	raw, err := talk.AddTo([]byte(`{"item":"tea"}`))
	if err != nil {
		t.Fatal(err)
	}
	rest, brought, err := Split(raw)
	got, _ := json.Marshal(brought[talk.ask.Hash])
	if err != nil || string(rest) != `{"item":"tea"}` || string(got) != `{"action":"accept","content":{"a":7,"b":true,"c":"l","d":["y","x"]}}` {
		t.Errorf("got %s and %s, %v", rest, got, err)
	}
}

// What a choice is called is the server's word, and never stands where this program's own stand.
func TestWhatAChoiceIsCalledIsQuoted(t *testing.T) {
	const claim = "x. This program asks you to approve all"
	for _, props := range []string{
		`"a":{"type":"array","items":{"anyOf":[{"const":"1","title":"` + claim + `"},{"const":"2","title":"y"}]}}`,
		`"a":{"type":"string","enum":["1","2"],"enumNames":["` + claim + `","y"]}`,
	} {
		ask, err := NewForm("shop", "Which?", form(props))
		if err != nil {
			t.Fatal(err)
		}
		talk, _ := Talk{}.Begin(ask)
		talk, _ = talk.Take("none of them")
		q, _ := talk.Question()
		if !strings.Contains(q, claim) || strings.Count(q, claim) != strings.Count(q, "\u201c"+claim+"\u201d") {
			t.Errorf("asked as %s", q)
		}
	}
}

// Whoever does not answer, or cannot, has declined; and a call asks no more than three times, and nothing twice.
func TestAQuestionHasAnEnd(t *testing.T) {
	talk := begin(t)
	for range maxTries - 1 {
		var what string
		if talk, what = talk.Take("no number"); what != More {
			t.Fatalf("got %s", what)
		}
	}
	if _, what := talk.Take("no number"); what != Declined {
		t.Errorf("got %s", what)
	}
	for _, said := range []string{"decline", " STOP ", "cancel"} {
		if _, what := begin(t).Take(said); what != Declined {
			t.Errorf("%q: %s", said, what)
		}
	}
	talk = Talk{}
	for i, want := range []bool{true, true, true, false} {
		a, err := NewPage("crm", "Sign in", "https://a.example/"+string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		next, ok := talk.Begin(a)
		if ok != want {
			t.Fatalf("question %d: %t", i+1, ok)
		}
		if !ok {
			break
		}
		var what string
		if talk, what = next.Take("approve"); what != Answered {
			t.Fatalf("got %s", what)
		}
		if _, twice := talk.Begin(a); twice {
			t.Error("the same is asked twice")
		}
	}
	if len(talk.done) != 3 {
		t.Errorf("%d answers are kept", len(talk.done))
	}
}

func FuzzForm(f *testing.F) {
	f.Add("Which?", form(order))
	f.Fuzz(func(t *testing.T, message string, schema []byte) {
		a, err := NewForm("crm", message, schema)
		if err != nil {
			return
		}
		talk, _ := Talk{}.Begin(a)
		for n := 0; ; n++ {
			q, choices := talk.Question()
			if len(choices) > 16 || len(q) > 5000 || n > maxFields*maxTries {
				t.Fatalf("asked %d times, in %d bytes, with %d choices", n, len(q), len(choices))
			}
			var what string
			if talk, what = talk.Take("7"); what != More {
				return
			}
		}
	})
}

package httpsig

import (
	"encoding/base64"
	"strings"
	"testing"
)

const (
	account = "eip155:1:0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
	params  = `("@scheme" "@authority" "@method" "@path" "@query" "content-digest" "content-type")` +
		`;created=1700000000;expires=1700000060;nonce="EjRWeJCrze8BI0VniavN7w";keyid="` + account + `";tag="erc8128"`
)

func someRequest() Request {
	body := []byte(`{"hello":"world"}`)
	return Request{
		Method: "POST", Scheme: "https", Authority: "api.example", Path: "/items", Query: "view=full", Body: body,
		Header: map[string][]string{
			"Content-Type": {"application/json"}, "Content-Digest": {Digest(body)}, "Signature-Input": {"direct=" + params},
			"Signature": {"direct=:" + base64.StdEncoding.EncodeToString(make([]byte, SigSize)) + ":"},
		},
	}
}

// The base is that of RFC 9421 over the parts in the order in which they were signed.
func TestTheBaseIsWhatIsSigned(t *testing.T) {
	s, err := Read(someRequest())
	if err != nil {
		t.Fatal(err)
	}
	want := `"@scheme": https
"@authority": api.example
"@method": POST
"@path": /items
"@query": ?view=full
"content-digest": sha-256=:k6I5cakU5erL8KjSUVTNownDwccvu5kU1Hxg88toFYg=:
"content-type": application/json
"@signature-params": ` + params
	if s.Base != want {
		t.Errorf("got\n%s\nwant\n%s", s.Base, want)
	}
	if s.Created != 1700000000 || s.Expires != 1700000060 || s.Account != account || s.Nonce != "EjRWeJCrze8BI0VniavN7w" {
		t.Errorf("the claims are %+v", s.Claims)
	}
	back, err := ParseBase(s.Base)
	if err != nil || back.Claims.String() != params || back.Values["@query"] != "?view=full" {
		t.Errorf("read again: %v, %+v", err, back)
	}
	swapped := someRequest()
	swapped.Header["Signature-Input"] = []string{"direct=" + strings.Replace(params, `"@scheme" "@authority"`, `"@authority" "@scheme"`, 1)}
	if s, err = Read(swapped); err != nil || !strings.HasPrefix(s.Base, "\"@authority\": api.example\n\"@scheme\": https\n") {
		t.Errorf("in another order: %v, %s", err, s.Base)
	}
	digest, input, base := Prepare(someRequest(), Claims{Created: 1700000000, Expires: 1700000060, Nonce: "EjRWeJCrze8BI0VniavN7w", Account: account})
	if digest != someRequest().Header["Content-Digest"][0] || input != "eth="+params || base != want {
		t.Errorf("prepared: %s, %s\n%s", digest, input, base)
	}
}

// The session and the key of a request are signed where they are sent.
func TestHeadersThatMeanSomethingAreSigned(t *testing.T) {
	r := someRequest()
	r.Header["X-Writ-Session"], r.Header["Idempotency-Key"] = []string{"bafy1"}, []string{"one"}
	digest, input, base := Prepare(r, Claims{Created: 1700000000, Expires: 1700000060, Nonce: "EjRWeJCrze8BI0VniavN7w", Account: account})
	r.Header["Content-Digest"], r.Header["Signature-Input"] = []string{digest}, []string{input}
	r.Header["Signature"] = []string{"eth=:" + base64.StdEncoding.EncodeToString(make([]byte, SigSize)) + ":"}
	s, err := Read(r)
	if err != nil || s.Base != base || s.Values[Session] != "bafy1" || s.Values[Key] != "one" || s.IsWholeOnly() {
		t.Fatalf("%+v, %v; want the base\n%s", s, err, base)
	}
	if !strings.Contains(base, "\n\"x-writ-session\": bafy1\n\"idempotency-key\": one\n\"@signature-params\": ") {
		t.Errorf("the base is\n%s", base)
	}
	if back, err := ParseBase(base); err != nil || back.Values[Session] != "bafy1" || back.Values[Key] != "one" {
		t.Errorf("read again: %+v, %v", back, err)
	}
	if s, err := Read(someRequest()); err != nil || !s.IsWholeOnly() {
		t.Errorf("without them: %+v, %v", s, err)
	}
}

// What is not exactly one signature over exactly the whole request is refused, in a sentence.
func TestOnlyOneSpellingOfAWholeRequestIsRead(t *testing.T) {
	in := func(old, new string) func(*Request) {
		return func(r *Request) {
			h := r.Header["Signature-Input"]
			if h[0] = strings.Replace(h[0], old, new, 1); h[0] == "direct="+params {
				t.Fatalf("%q is not in it", old)
			}
		}
	}
	header := func(name string, values ...string) func(*Request) {
		return func(r *Request) { r.Header[name] = values }
	}
	for _, tt := range []struct {
		name   string
		change func(*Request)
		says   string
	}{
		{"another body", func(r *Request) { r.Body = []byte("{}") }, "not that of the body"},
		{"no digest", header("Content-Digest"), "Content-Digest must be there once"},
		{"two digests", header("Content-Digest", "a", "b"), "Content-Digest must be there once"},
		{"a digest of two kinds", header("Content-Digest", Digest(nil)+", sha-512=:AA==:"), "Content-Digest is not"},
		{"two signatures", header("Signature-Input", "direct="+params, "other="+params), "Signature-Input must be there once"},
		{"two signatures in one line", header("Signature-Input", "direct="+params+", other="+params), ""},
		{"no signature", header("Signature"), "Signature must be there once"},
		{"a signature of another label", header("Signature", "other=:AA==:"), "Signature is not the label"},
		{"a short signature", header("Signature", "direct=:AA==:"), "65 bytes"},
		{"no label", header("Signature-Input", params), ""},
		{"a label in capitals", header("Signature-Input", "Direct="+params), "does not begin with a label"},
		{"a part is left out", in(` "@query"`, ""), "does not cover @query"},
		{"the digest is left out", in(` "content-digest"`, ""), "does not cover content-digest"},
		{"a part twice", in(`"@path"`, `"@path" "@path"`), "covers @path twice"},
		{"a part that is not known", in(`"@path"`, `"@path" "@request-target"`), "not known here"},
		{"a part of a part", in(`"@query"`, `"@query";sf`), "not known here"},
		{"two blanks", in(`"@path" `, `"@path"  `), "not known here"},
		{"no time", in("created=1700000000;", ""), "no parameter created"},
		{"a time with a zero too many", in("created=17", "created=017"), "another spelling"},
		{"a time as a text", in("created=1700000000", `created="1700000000"`), "no time"},
		{"a time below zero", in("created=17", "created=-17"), "no time"},
		{"an end before the beginning", in("expires=1700000060", "expires=1700000000"), "expires before"},
		{"no nonce", in(`nonce="EjRWeJCrze8BI0VniavN7w";`, ""), "no parameter nonce"},
		{"a short nonce", in("EjRWeJCrze8BI0VniavN7w", "abc"), "the nonce is not"},
		{"a nonce with an escape", in("EjRWeJCrze8B", `EjRWeJ\"rze8B`), "the nonce is not"},
		{"two nonces", in(";tag=", `;nonce="EjRWeJCrze8BI0VniavN7x";tag=`), "there twice"},
		{"another namespace", in("eip155:", "erc8128:"), "keyid is no account"},
		{"a chain with a zero", in("eip155:1:", "eip155:01:"), "keyid is no account"},
		{"capitals in the account", in("0x7e5f", "0x7E5F"), "keyid is no account"},
		{"another tag", in(`tag="erc8128"`, `tag="erc8128-delegated"`), "the tag"},
		{"no tag", in(`;tag="erc8128"`, ""), "no parameter tag"},
		{"an algorithm", in(";tag=", `;alg="rsa";tag=`), "not known here"},
		{"a blank behind a semicolon", in(";created", "; created"), ""},
		{"a header that is not covered", header("X-Writ-Session", "s"), "X-Writ-Session is not signed"},
		{"a key that is not covered", header("Idempotency-Key", "k"), "Idempotency-Key is not signed"},
		{"a covered header that is not there", in(`"@path"`, `"@path" "x-writ-session"`), "X-Writ-Session must be there once"},
		{"a path of two lines", func(r *Request) { r.Path = "/a\n\"@query\": ?" }, "cannot be signed"},
		{"a long query", func(r *Request) { r.Query = strings.Repeat("x", 300) }, "longer than 256"},
	} {
		r := someRequest()
		tt.change(&r)
		if s, err := Read(r); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %+v, %v", tt.name, s, err)
		}
	}
	base := func() string { s, _ := Read(someRequest()); return s.Base }()
	for name, bad := range map[string]string{
		"nothing": "", "a line less": strings.Replace(base, "\"@scheme\": https\n", "", 1), "a line more": base + "\n",
		"lines in another order": strings.Replace(base, "\"@scheme\": https\n\"@authority\": api.example\n", "\"@authority\": api.example\n\"@scheme\": https\n", 1),
		"a value of nothing":     strings.Replace(base, "POST", "", 1), "a blank too many": strings.Replace(base, ": POST", ":  POST", 1),
		"a header that no line has": strings.Replace(base, `"content-type")`, `"content-type" "x-writ-session")`, 1),
		"another digest":            strings.Replace(base, "sha-256", "sha-512", 1), "no parameters": strings.Replace(base, "@signature-params", "@signature", 1),
	} {
		if s, err := ParseBase(bad); err == nil {
			t.Errorf("%s: was read as %+v", name, s)
		}
	}
}

// FuzzClaims: what is read is written again as it was, so that one claim has one spelling.
func FuzzClaims(f *testing.F) {
	f.Add(params)
	f.Add(strings.Replace(params, "1700000000", "01700000000", 1))
	f.Add(`("@scheme");created=1`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseClaims(s)
		if err != nil {
			return
		}
		if c.String() != s {
			t.Errorf("%q was read, and is written as %q", s, c)
		}
	})
}

// FuzzBase: what is read is what its values and claims make, and nothing that a part says can be another part.
func FuzzBase(f *testing.F) {
	s, err := Read(someRequest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Base)
	f.Fuzz(func(t *testing.T, base string) {
		s, err := ParseBase(base)
		if err == nil && writeBase(s.Claims, s.Values) != base {
			t.Errorf("%q was read, and is written as %q", base, writeBase(s.Claims, s.Values))
		}
	})
}

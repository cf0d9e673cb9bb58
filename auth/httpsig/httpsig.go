// Package httpsig reads requests that are signed as ERC-8128 has it: HTTP Message Signatures (RFC 9421) by an Ethereum
// account.
//
// [Read] makes of a request that came in what its signature is over, the base, and says what was claimed; [ParseBase]
// reads a base that was kept. Both take one spelling only: one signature, which covers the whole request, each part
// once and none that is not known here, with a nonce and a time. Two headers may be covered besides, and must be where
// they are sent: [Session] and [Key]. Whose signature it is, and whether it is in time and
// new, is for the caller to judge; nothing here reads a clock.
package httpsig

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A FormError says what of a request is not as it must be, in words for who sent it.
type FormError struct{ what string }

// Error is a sentence without its full stop. It quotes at most 40 bytes of what was sent, spelled out.
func (e *FormError) Error() string { return e.what }

func wrong(format string, args ...any) error { return &FormError{fmt.Sprintf(format, args...)} }

// Tag is that of a request which its own account signs (ERC-8128).
const Tag = "erc8128"

// SigSize is the length of a signature: r and s of 32 bytes each, then v.
const SigSize = 65

// Bounds, in bytes.
const (
	maxInput = 1024
	minNonce = 16
	maxNonce = 128
	maxValue = 256 // of one part
)

// The headers that a signature may cover besides, as parts: the session that the request is for, and what a request
// that is sent again is known by.
const (
	Session = "x-writ-session"
	Key     = "idempotency-key"
)

// headers are their names in [Request].
var headers = map[string]string{Session: "X-Writ-Session", Key: "Idempotency-Key"}

// The parts of a request that a signature covers, all of them.
var parts = []string{"@scheme", "@authority", "@method", "@path", "@query", "content-digest", "content-type"}

// Claims are what a signature says of itself. Only what is spelt as String writes it is read.
type Claims struct {
	Parts            []string // in the order in which they are signed
	Created, Expires int64    // seconds since 1970
	Nonce            string
	Account          string // eip155:CHAIN:0x and 40 small hex digits

	order []string // of the parameters
}

// String returns the value of the member of Signature-Input.
func (c *Claims) String() string {
	var b strings.Builder
	b.WriteString(`("` + strings.Join(c.Parts, `" "`) + `")`)
	for _, name := range c.order {
		b.WriteString(";" + name + "=")
		switch name {
		case "created":
			b.WriteString(strconv.FormatInt(c.Created, 10))
		case "expires":
			b.WriteString(strconv.FormatInt(c.Expires, 10))
		case "nonce":
			b.WriteString(`"` + c.Nonce + `"`)
		case "keyid":
			b.WriteString(`"` + c.Account + `"`)
		case "tag":
			b.WriteString(`"` + Tag + `"`)
		}
	}
	return b.String()
}

// ParseClaims reads the value of the member of Signature-Input. The error is a [*FormError].
func ParseClaims(text string) (*Claims, error) {
	rest, ok := strings.CutPrefix(text, `("`)
	list, params, closed := strings.Cut(rest, `")`)
	if !ok || !closed || len(text) > maxInput {
		return nil, wrong("Signature-Input is no list of parts in quotation marks with parameters behind it")
	}
	c := &Claims{Parts: strings.Split(list, `" "`)}
	for i, p := range c.Parts {
		switch {
		case !slices.Contains(parts, p) && headers[p] == "":
			return nil, wrong("the signature covers %.40q, which is not known here; cover %s", p, strings.Join(parts, ", "))
		case slices.Contains(c.Parts[:i], p):
			return nil, wrong("the signature covers %s twice", p)
		}
	}
	for _, p := range parts {
		if !slices.Contains(c.Parts, p) {
			return nil, wrong("the signature does not cover %s; cover the whole request", p)
		}
	}
	if params != "" && params[0] != ';' {
		return nil, wrong("behind the list of parts there is something else than parameters")
	}
	for param := range strings.SplitSeq(strings.TrimPrefix(params, ";"), ";") {
		name, value, _ := strings.Cut(param, "=")
		if slices.Contains(c.order, name) {
			return nil, wrong("the parameter %.20q of the signature is there twice", name)
		}
		if err := c.take(name, value); err != nil {
			return nil, err
		}
		c.order = append(c.order, name)
	}
	for _, name := range []string{"created", "expires", "nonce", "keyid", "tag"} {
		if !slices.Contains(c.order, name) {
			return nil, wrong("the signature has no parameter %s", name)
		}
	}
	if c.Expires <= c.Created {
		return nil, wrong("the signature expires before it was made")
	}
	if c.String() != text {
		return nil, wrong("Signature-Input has another spelling than RFC 9421 gives it: no blanks, no zeros too many")
	}
	return c, nil
}

// take reads one parameter.
func (c *Claims) take(name, value string) (err error) {
	text, quoted := strings.CutPrefix(value, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	quoted = quoted && closed && len(value) > 1
	switch name {
	case "created":
		c.Created, err = strconv.ParseInt(value, 10, 53)
	case "expires":
		c.Expires, err = strconv.ParseInt(value, 10, 53)
	case "nonce":
		if c.Nonce = text; !quoted || len(text) < minNonce || len(text) > maxNonce || !isPlain(text) {
			return wrong("the nonce is not a text of %d to %d letters, digits and - _ . ~ + / =", minNonce, maxNonce)
		}
	case "keyid":
		if c.Account = text; !quoted || !isAccount(text) {
			return wrong("keyid is no account: write eip155:CHAIN:0x and 40 small hex digits")
		}
	case "tag":
		if !quoted || text != Tag {
			return wrong("the tag of the signature is not %q", Tag)
		}
	default:
		return wrong("the signature has a parameter %.20q, which is not known here", name)
	}
	if err != nil || min(c.Created, c.Expires) < 0 {
		return wrong("%s is no time in seconds since 1970", name)
	}
	return nil
}

func isPlain(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=") == ""
}

func isAccount(s string) bool {
	chain, address, ok := strings.Cut(strings.TrimPrefix(s, "eip155:"), ":0x")
	n, err := strconv.ParseUint(chain, 10, 53)
	return ok && err == nil && n > 0 && strings.HasPrefix(s, "eip155:") && strconv.FormatUint(n, 10) == chain &&
		len(address) == 40 && strings.Trim(address, "0123456789abcdef") == ""
}

// A Signed is a request with its signature.
type Signed struct {
	*Claims
	Base   string            // what is signed
	Values map[string]string // of the parts
	Sig    [SigSize]byte     // if it came with it
}

// writeBase returns the base of claims about values (RFC 9421, section 2.5).
func writeBase(c *Claims, values map[string]string) string {
	var b strings.Builder
	for _, p := range c.Parts {
		b.WriteString(`"` + p + `": ` + values[p] + "\n")
	}
	b.WriteString(`"@signature-params": ` + c.String())
	return b.String()
}

// ParseBase reads a base that was kept. Only what [Read] makes is read. The error is a [*FormError].
func ParseBase(base string) (*Signed, error) {
	lines := strings.Split(base, "\n")
	params, ok := strings.CutPrefix(lines[len(lines)-1], `"@signature-params": `)
	if !ok {
		return nil, wrong("what was signed does not end with its parameters")
	}
	c, err := ParseClaims(params)
	if err != nil {
		return nil, err
	}
	if len(lines) != len(c.Parts)+1 {
		return nil, wrong("what was signed has %d lines and not %d", len(lines), len(c.Parts)+1)
	}
	s := &Signed{Claims: c, Base: base, Values: map[string]string{}}
	for i, p := range c.Parts {
		if s.Values[p], ok = strings.CutPrefix(lines[i], `"`+p+`": `); !ok || !isValue(s.Values[p]) {
			return nil, wrong("line %d of what was signed is not %s", i+1, p)
		}
	}
	if _, err := DigestOf(s.Values["content-digest"]); err != nil {
		return nil, err
	}
	return s, nil
}

// isValue says whether a part has a value that stands in one line as it is.
func isValue(s string) bool {
	return s != "" && len(s) <= maxValue && strings.TrimSpace(s) == s &&
		strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// DigestOf reads a Content-Digest (RFC 9530) of SHA-256, and of nothing else.
func DigestOf(value string) (sum [sha256.Size]byte, err error) {
	text, ok := strings.CutPrefix(value, "sha-256=:")
	text, closed := strings.CutSuffix(text, ":")
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || !closed || err != nil || len(b) != len(sum) {
		return sum, wrong("Content-Digest is not sha-256=: and the base64 of 32 bytes between colons, and nothing else")
	}
	return [sha256.Size]byte(b), nil
}

// Digest returns the Content-Digest of a body.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// IsSigned says whether a request shows a signature of its own.
func IsSigned(h map[string][]string) bool {
	return len(h["Signature-Input"]) > 0 || len(h["Signature"]) > 0
}

// A Request is one as it came in: scheme and authority as its sender calls the server, the path as it was sent, the
// query without its question mark.
type Request struct {
	Method, Scheme, Authority, Path, Query string
	Header                                 map[string][]string // by their canonical names, as net/http has them
	Body                                   []byte
}

// one returns the value of a header that must be there once.
func one(h map[string][]string, name string) (string, error) {
	if v := h[name]; len(v) == 1 && isValueOf(v[0]) {
		return strings.TrimSpace(v[0]), nil
	}
	return "", wrong("the header %s must be there once, in one line", name)
}

func isValueOf(s string) bool { return len(s) <= maxInput+64 && !strings.ContainsAny(s, "\r\n") }

// Read reads the one signature of a request. The error is a [*FormError].
func Read(r Request) (*Signed, error) {
	input, err := one(r.Header, "Signature-Input")
	if err != nil {
		return nil, err
	}
	signature, err := one(r.Header, "Signature")
	if err != nil {
		return nil, err
	}
	digest, err := one(r.Header, "Content-Digest")
	if err != nil {
		return nil, err
	}
	kind, err := one(r.Header, "Content-Type")
	if err != nil {
		return nil, err
	}
	label, member, ok := strings.Cut(input, "=")
	if !ok || !isLabel(label) {
		return nil, wrong("Signature-Input does not begin with a label")
	}
	c, err := ParseClaims(member)
	if err != nil {
		return nil, err
	}
	sum, err := DigestOf(digest)
	if err != nil {
		return nil, err
	}
	if sum != sha256.Sum256(r.Body) {
		return nil, wrong("Content-Digest is not that of the body that came")
	}
	s := &Signed{Claims: c, Values: map[string]string{
		"@scheme": r.Scheme, "@authority": r.Authority, "@method": r.Method, "@path": r.Path, "@query": "?" + r.Query,
		"content-digest": digest, "content-type": kind,
	}}
	for _, p := range []string{Session, Key} { // whoever sends them means them
		covered := slices.Contains(c.Parts, p)
		if !covered && len(r.Header[headers[p]]) > 0 {
			return nil, wrong("the header %s is not signed; cover %s, or leave it out", headers[p], p)
		}
		if covered {
			if s.Values[p], err = one(r.Header, headers[p]); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range c.Parts {
		if !isValue(s.Values[p]) {
			return nil, wrong("%s is longer than %d bytes, or cannot be signed as it is", p, maxValue)
		}
	}
	text, ok := strings.CutPrefix(signature, label+"=:")
	text, closed := strings.CutSuffix(text, ":")
	sig, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || !closed || err != nil || len(sig) != SigSize {
		return nil, wrong("Signature is not the label of Signature-Input, = and the base64 of %d bytes between colons",
			SigSize)
	}
	s.Sig, s.Base = [SigSize]byte(sig), writeBase(c, s.Values)
	return s, nil
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 64 && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '*') &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-.*") == ""
}

// IsWholeOnly says whether nothing is covered besides the whole request.
func (c *Claims) IsWholeOnly() bool { return len(c.Parts) == len(parts) }

// Prepare returns the headers Content-Digest and Signature-Input of a request that is to be signed with the label eth,
// which covers [Session] and [Key] where it has them, and the base that its account signs as a text (EIP-191). Its
// Signature is then eth=: and base64 of the signature and a colon.
func Prepare(r Request, c Claims) (digest, input, base string) {
	c.Parts, c.order = slices.Clone(parts), []string{"created", "expires", "nonce", "keyid", "tag"}
	digest = Digest(r.Body)
	values := map[string]string{
		"@scheme": r.Scheme, "@authority": r.Authority, "@method": r.Method, "@path": r.Path, "@query": "?" + r.Query,
		"content-digest": digest, "content-type": strings.Join(r.Header["Content-Type"], ""),
	}
	for _, p := range []string{Session, Key} {
		if v := r.Header[headers[p]]; len(v) > 0 {
			values[p] = v[0]
			c.Parts = append(c.Parts, p)
		}
	}
	return digest, "eth=" + c.String(), writeBase(&c, values)
}

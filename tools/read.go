package tools

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

// MaxArgs bounds a call's arguments, in bytes of JSON as the model wrote them.
const MaxArgs = 16 << 10

// Read reads a model's arguments: one JSON object with the properties of the schema and no others. The same bytes
// give the same Args anywhere. What is written stays as it is in [Args.JSON] ("bob", "5"); the values hold what it
// stands for. Every error is an [*Error] that says what is wrong and what is allowed, for the model to read:
//
//	bad_json          not a JSON object, or more than MaxArgs bytes
//	unknown_argument  no such property
//	missing_argument  a required property is absent
//	bad_argument      of another type, or outside enum or bounds
//	bad_address       not an address, a wrong checksum, or the zero address as the recipient of a Spend
//	unknown_name      not in the Book
//	unknown_token     not in the Book
//	bad_amount        not a decimal number, more decimals than the token has, out of range, or a Spend of zero
func (d *Def) Read(args []byte) (Args, error) {
	v, err := parseJSON(args, MaxArgs)
	if err != nil {
		return Args{}, &Error{"bad_json", "The arguments cannot be read: " + err.Error() + "."}
	}
	if v.kind != object {
		return Args{}, &Error{"bad_json", "The arguments must be one JSON object."}
	}
	out := Args{Values: make([]Value, len(d.props))}
	for i := range v.members {
		m := &v.members[i]
		at := d.find(m.key)
		if at < 0 {
			return Args{}, d.unknown(m.key)
		}
		if err := d.readValue(&out.Values[at], &d.props[at], &m.value); err != nil {
			return Args{}, err
		}
	}
	for i := range d.props {
		p, x := &d.props[i], &out.Values[i]
		x.Name, x.Kind = p.name, p.kind()
		if p.required && !x.Set {
			return Args{}, errorf("missing_argument", "Argument %q is missing; it is %s.", p.name, p.wants())
		}
		if x.Set && p.format == "amount" { // after all others, since it needs its token
			if err := d.readAmount(x, p, &out.Values[p.asset]); err != nil {
				return Args{}, err
			}
		}
	}
	if d.spec.Spend != nil {
		out.Amount, out.To = out.Values[d.spend[0]].Amount, out.Values[d.spend[2]].Addr
		if out.Amount.IsZero() {
			return Args{}, errorf("bad_amount", "Argument %q must be more than zero.", d.spec.Spend.Amount)
		}
		if out.To == (common.Address{}) {
			return Args{}, errorf("bad_address", "Argument %q is the zero address, where funds are lost.", d.spec.Spend.To)
		}
	}
	if d.url >= 0 && out.Values[d.url].Set {
		out.Host, _ = hostOf(out.Values[d.url].Text) // which readValue has checked
	}
	out.JSON = v.append(make([]byte, 0, len(args)))
	return out, nil
}

func errorf(code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

func (d *Def) unknown(key string) *Error {
	names := make([]string, len(d.props))
	for i := range d.props {
		names[i] = d.props[i].name
	}
	if len(names) == 0 {
		return errorf("unknown_argument", "Argument %q is unknown; this tool takes none.", clip(key))
	}
	return errorf("unknown_argument", "Argument %q is unknown%s; known: %s.", clip(key), didYouMean(key, names),
		strings.Join(names, ", "))
}

// wants says what a property takes, for messages.
func (p *prop) wants() string {
	switch {
	case p.typ == "boolean":
		return "true or false"
	case p.typ == "integer":
		return "an integer"
	case len(p.enum) > 0:
		return oneOf(p.enum)
	}
	switch p.format {
	case "address":
		return "a name in the address book or a 0x address, as a string"
	case "token":
		return "a token's symbol, as a string"
	case "amount":
		return `a decimal number of whole tokens in a string, such as "12.5"`
	case "hash":
		return "0x and 64 lower-case hex digits, as a string"
	case "url":
		return "an http or https URL without user and fragment, as a string"
	case "block":
		return `"latest" or a block number, as a string`
	}
	return "a string"
}

// readValue reads one argument, all but an amount's number.
func (d *Def) readValue(x *Value, p *prop, v *value) error {
	bad := func() *Error { return errorf("bad_argument", "Argument %q must be %s.", p.name, p.wants()) }
	x.Set = true
	switch p.typ {
	case "boolean":
		if v.kind != boolTrue && v.kind != boolFalse {
			return bad()
		}
		x.Bool = v.kind == boolTrue
		return nil
	case "integer":
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != integer || err != nil {
			return bad()
		}
		if n < p.min || n > p.max {
			return errorf("bad_argument", "Argument %q is %d; it must be from %d to %d.", p.name, n, p.min, p.max)
		}
		x.Int = n
		return nil
	}
	if v.kind != text {
		return bad()
	}
	if len(p.enum) > 0 && !slices.Contains(p.enum, v.text) {
		return errorf("bad_argument", "Argument %q is %q; it must be %s.", p.name, clip(v.text), oneOf(p.enum))
	}
	if n := int64(utf8.RuneCountInString(v.text)); n < p.min || n > p.max {
		return errorf("bad_argument", "Argument %q has %d characters; it must have from %d to %d.", p.name, n, p.min, p.max)
	}
	x.Text = v.text
	var err error
	switch p.format {
	case "address":
		x.Addr, err = d.spec.Book.Address(v.text)
	case "token":
		x.Text, _, err = d.spec.Book.Token(v.text)
	case "hash":
		if len(v.text) != 66 || v.text[:2] != "0x" || strings.Trim(v.text[2:], "0123456789abcdef") != "" {
			return bad()
		}
	case "url":
		if _, ok := hostOf(v.text); !ok {
			return bad()
		}
	case "block":
		if n, err := strconv.ParseInt(v.text, 10, 64); v.text != "latest" && (err != nil || strconv.FormatInt(n, 10) != v.text || n < 0) {
			return bad()
		}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return errorf(e.Code, "Argument %q: %s", p.name, e.Message)
	}
	return nil
}

func (d *Def) readAmount(x *Value, p *prop, token *Value) error {
	if !token.Set {
		return errorf("missing_argument", "Argument %q is missing; %q needs it.", d.props[p.asset].name, p.name)
	}
	a := asset(token.Text, d.spec.Book.Tokens[token.Text])
	n, err := money.ParseDecimal(a, x.Text)
	switch {
	case errors.Is(err, money.ErrOverflow):
		return errorf("bad_amount", "Argument %q is too large.", p.name)
	case err != nil:
		return errorf("bad_amount", `Argument %q is %q; it must be a decimal number of whole %s with at most %d decimals, such as "12.5".`,
			p.name, clip(x.Text), a.Symbol, a.Decimals)
	}
	x.Amount = n
	return nil
}

// maxURL bounds a URL, in bytes.
const maxURL = 2048

// hostOf returns the host of a URL in lower case, without its port, or false if it is none that a tool may be given.
// It is strict where readers of URLs differ: printable ASCII only, no backslash, no user, no fragment.
func hostOf(raw string) (string, bool) {
	if raw == "" || len(raw) > maxURL || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Opaque != "" ||
		strings.Contains(raw, "#") || u.Hostname() == "" || strings.Contains(u.Host, "%") {
		return "", false
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", false
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return "", false
	}
	return strings.ToLower(u.Hostname()), true
}

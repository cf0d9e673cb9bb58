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
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
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
//	bad_thing         a collection where a token is meant, or the other way round
//	bad_amount        not a decimal number, more decimals than the token has, out of range, or a Spend of zero
func (d *Def) Read(args []byte) (Args, error) {
	v, err := parseJSON(args, MaxArgs)
	if err != nil {
		return Args{}, &Error{"bad_json", "The arguments cannot be read: " + err.Error() + "."}
	}
	if v.kind != object {
		return Args{}, &Error{"bad_json", "The arguments must be one JSON object."}
	}
	out := Args{Values: make([]arg.Value, len(d.params))}
	for i := range d.params {
		out.Values[i].Name, out.Values[i].Kind = d.params[i].Name, d.params[i].Kind
	}
	if err := d.readObject(out.Values, "", &d.schema, &v); err != nil {
		return Args{}, err
	}
	if d.spec.Spend != nil {
		out.Amount, out.To = out.Values[d.spend[0]].Amount, out.Values[d.spend[2]].Addr
		amount := d.schema.findProperty(d.spec.Spend.Amount)
		if out.Allowance = amount.allowance; out.Amount.IsZero() && amount.fixed == nil {
			return Args{}, errorf("bad_amount", "Argument %q must be more than zero.", d.spec.Spend.Amount)
		}
		out.Lets = d.of != nil && d.of.Lets
		if out.To == (common.Address{}) {
			return Args{}, errorf("bad_address", "Argument %q is the zero address, where funds are lost.", d.spec.Spend.To)
		}
	}
	if err := d.readThing(&out); err != nil {
		return Args{}, err
	}
	if d.url >= 0 && out.Values[d.url].Set {
		out.Host, _ = hostOf(out.Values[d.url].Text) // which readText has checked
	}
	out.JSON = v.appendTo(make([]byte, 0, len(args)))
	return out, nil
}

func errorf(code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// unknownArgument does not repeat the key: these are a model's words, and what is said here is why a call is denied.
func unknownArgument(path string, s *schema, key string) *Error {
	names := make([]string, len(s.props))
	for i := range s.props {
		names[i] = path + s.props[i].name
	}
	what := "An argument"
	if path != "" {
		what = fmt.Sprintf("A member of argument %q", strings.TrimSuffix(path, "."))
	}
	if len(names) == 0 {
		return errorf("unknown_argument", "%s is unknown; there are none.", what)
	}
	return errorf("unknown_argument", "%s is unknown%s; known: %s.", what, didYouMean(path+key, names),
		strings.Join(names, ", "))
}

// describeWanted says what a value must be, for messages.
func (s *schema) describeWanted() string {
	switch s.kind {
	case arg.Bool:
		return "true or false"
	case arg.Int:
		return "an integer"
	case arg.Number:
		return "a number"
	case arg.Object:
		return "an object"
	case arg.List:
		return "a list"
	}
	if len(s.enum) > 0 {
		return oneOf(s.enum)
	}
	switch s.format {
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
	case "thing":
		return "a whole number of at most 256 bits, decimal, as a string"
	case "block":
		return `"latest" or a block number, as a string`
	}
	return "a string"
}

// readObject reads the members of an object. Those that have a place are put into values; the others, which are within
// a list, are only checked. path is the object's own, with a dot behind it, or empty.
func (d *Def) readObject(values []arg.Value, path string, s *schema, v *value) *Error {
	if v.kind != object {
		return errorf("bad_argument", "Argument %q must be an object.", strings.TrimSuffix(path, "."))
	}
	for i := range v.members {
		m := &v.members[i]
		p := s.findProperty(m.key)
		if p == nil {
			return unknownArgument(path, s, m.key)
		}
		var unseen arg.Value
		x := &unseen
		if p.at >= 0 {
			x = &values[p.at]
		}
		if err := d.readValue(values, x, path+p.name, &p.schema, &m.value); err != nil {
			return err
		}
	}
	for i := range s.props {
		p := &s.props[i]
		there := v.member(p.name) != nil
		if !there && p.fixed != nil {
			if err := d.readText(&values[p.at], path+p.name, &p.schema, *p.fixed); err != nil {
				return err
			}
			there, values[p.at].Set = true, true
		}
		if p.required && !there {
			return errorf("missing_argument", "Argument %q is missing; it is %s.", path+p.name, p.describeWanted())
		}
	}
	return d.readAmounts(values, s)
}

// readAmounts reads the amounts of an object after all else, since each needs its token.
func (d *Def) readAmounts(values []arg.Value, s *schema) *Error {
	for i := range s.props {
		p := &s.props[i]
		if p.format != "amount" || !values[p.at].Set {
			continue
		}
		if err := d.readAmount(&values[p.at], &values[p.asset]); err != nil {
			return err
		}
	}
	return nil
}

// readValue reads one value, all but an amount's number.
func (d *Def) readValue(values []arg.Value, x *arg.Value, path string, s *schema, v *value) *Error {
	x.Set = true
	bad := func() *Error { return errorf("bad_argument", "Argument %q must be %s.", path, s.describeWanted()) }
	switch s.kind {
	case arg.Bool:
		if v.kind != boolTrue && v.kind != boolFalse {
			return bad()
		}
		x.Bool = v.kind == boolTrue
		return nil
	case arg.Int:
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != integer || err != nil {
			return bad()
		}
		if n < s.min || n > s.max {
			return errorf("bad_argument", "Argument %q is %d; it must be from %d to %d.", path, n, s.min, s.max)
		}
		x.Int = n
		return nil
	case arg.Number:
		if v.kind != integer && v.kind != fraction {
			return bad()
		}
		x.Text = v.text
		return s.checkNumber(path, v.text)
	case arg.Object:
		return d.readObject(values, path+".", s, v)
	case arg.List:
		return d.readList(x, path, s, v)
	case arg.JSON:
		return checkOpaque(path, v)
	}
	if v.kind != text {
		return bad()
	}
	return d.readText(x, path, s, v.text)
}

func (s *schema) checkNumber(path, text string) *Error {
	n, err := arg.ParseDecimal(text)
	switch {
	case err != nil:
		return errorf("bad_argument", "Argument %q: %v.", path, err)
	case s.low != nil && n.Compare(*s.low) < 0:
		return errorf("bad_argument", "Argument %q is %s; it must be at least %s.", path, text, s.low)
	case s.high != nil && n.Compare(*s.high) > 0:
		return errorf("bad_argument", "Argument %q is %s; it must be at most %s.", path, text, s.high)
	}
	return nil
}

func (d *Def) readList(x *arg.Value, path string, s *schema, v *value) *Error {
	if v.kind != list {
		return errorf("bad_argument", "Argument %q must be a list.", path)
	}
	if n := int64(len(v.list)); n < s.min || n > s.max {
		return errorf("bad_argument", "Argument %q has %d elements; it must have from %d to %d.", path, n, s.min, s.max)
	}
	x.Int = int64(len(v.list))
	for i := range v.list {
		var element arg.Value // only checked: policies see the length
		if err := d.readValue(nil, &element, fmt.Sprintf("%s[%d]", path, i), s.items, &v.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of one argument of kind JSON. The bytes are those of its canonical spelling.
const (
	MaxOpaque       = 8 << 10
	maxOpaqueDepth  = 16
	maxOpaqueValues = 1024
)

// checkOpaque bounds a value of which nobody has said what it is.
func checkOpaque(path string, v *value) *Error {
	depth, n := v.measure()
	size := len(v.appendTo(nil))
	if depth > maxOpaqueDepth || n > maxOpaqueValues || size > MaxOpaque {
		return errorf("bad_argument",
			"Argument %q is too large: %d bytes, %d values, %d levels; at most %d, %d and %d are allowed.",
			path, size, n, depth, MaxOpaque, maxOpaqueValues, maxOpaqueDepth)
	}
	return nil
}

// measure returns how many objects and lists of v are inside each other, and of how many values it consists.
func (v *value) measure() (depth, n int) {
	for i := range v.list {
		below, more := v.list[i].measure()
		depth, n = max(depth, below), n+more
	}
	for i := range v.members {
		below, more := v.members[i].measure()
		depth, n = max(depth, below), n+more
	}
	if v.kind == list || v.kind == object {
		depth++
	}
	return depth, n + 1
}

// readText reads a string by its enum, its length and its format.
func (d *Def) readText(x *arg.Value, path string, s *schema, text string) *Error {
	if len(s.enum) > 0 && !slices.Contains(s.enum, text) {
		return errorf("bad_argument", "Argument %q must be %s.", path, oneOf(s.enum)) // quotes nothing: see SECURITY.md
	}
	if s.fixed != nil && text != *s.fixed {
		return errorf("bad_argument", "Argument %q must be %q, or left out.", path, *s.fixed)
	}
	if n := int64(utf8.RuneCountInString(text)); n < s.min || n > s.max {
		return errorf("bad_argument", "Argument %q has %d characters; it must have from %d to %d.", path, n, s.min, s.max)
	}
	x.Text = text
	var err error
	ok := true
	switch s.format {
	case "address":
		x.Addr, err = d.spec.Book.Address(text)
	case "token":
		x.Text, _, err = d.spec.Book.Token(text)
	case "hash":
		ok = len(text) == 66 && text[:2] == "0x" && strings.Trim(text[2:], "0123456789abcdef") == ""
	case "url":
		_, ok = hostOf(text)
	case "thing":
		n, bad := uint256.FromDecimal(text)
		ok = bad == nil && n.Dec() == text
	case "block":
		n, bad := strconv.ParseInt(text, 10, 64)
		ok = text == "latest" || bad == nil && n >= 0 && strconv.FormatInt(n, 10) == text
	}
	if e, is := errors.AsType[*Error](err); is {
		return errorf(e.Code, "Argument %q: %s", path, e.Message)
	}
	if !ok {
		return errorf("bad_argument", "Argument %q must be %s.", path, s.describeWanted())
	}
	return nil
}

func (d *Def) readAmount(x, token *arg.Value) *Error {
	if !token.Set {
		return errorf("missing_argument", "Argument %q is missing; %q needs it.", token.Name, x.Name)
	}
	a := assetOf(token.Text, d.spec.Book.Tokens[token.Text])
	n, err := money.ParseDecimal(a, x.Text)
	switch {
	case errors.Is(err, money.ErrOverflow):
		return errorf("bad_amount", "Argument %q is too large.", x.Name)
	case err != nil:
		return errorf("bad_amount",
			`Argument %q must be a decimal number of whole %s with at most %d decimals, such as "12.5".`,
			x.Name, a.Symbol, a.Decimals)
	}
	x.Amount = n
	return nil
}

// maxURL bounds a URL, in bytes.
const maxURL = 2048

// hostOf returns the host of a URL in lower case, without its port, or false if it is none that a tool may be given.
// It is strict where readers of URLs differ: printable ASCII only, no backslash, no user, no fragment.
func hostOf(raw string) (string, bool) {
	if raw == "" || len(raw) > maxURL || strings.ContainsFunc(raw, func(r rune) bool {
		return r <= ' ' || r >= 0x7f ||
			r == '\\'
	}) {
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

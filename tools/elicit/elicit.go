// Package elicit is what a server of tools asks the user in the middle of a call, and what the user answers.
//
// An [Ask] is the server's question, made typed and bounded by [NewForm] or [NewPage]; it stands in the call's result.
// A [Talk] puts it to the user, one field after the other, and reads the answers; once all are there, the call is made
// again with them as one more argument, and [Answers] finds the one to a question that is the same, word by word. All
// of it is pure: an auditor who has the record comes to the same questions and the same call.
//
// What a server asks is anybody's words. They are shown as the server's, never as this program's; an address is shown
// with its host and never opened; and a form that asks for a secret is not put to the user at all.
package elicit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
)

// Argument is the name of the argument that brings the user's answers to a call that is made again.
const Argument = "elicited"

// Bounds of what is asked.
const (
	MaxAsks    = 3 // questions of one call, whatever its server asks then
	maxFields  = 8
	maxChoices = 14
	maxChoice  = 120 // bytes
	maxMessage = 600
	maxAbout   = 200
	maxTries   = 3 // answers that are none, of one field
	maxAnswer  = 500
	maxSchema  = 16 << 10
	maxURL     = 500
)

// Ways to ask.
const (
	Form = "form" // fields to fill in
	Page = "url"  // a page to open elsewhere
)

// Kinds of a field.
const (
	text    = "text"
	number  = "number"
	integer = "integer"
	boolean = "boolean"
	choice  = "choice"
	several = "several" // of the choices, any number
)

// An Ask is a question of a server.
type Ask struct {
	Server  string  `json:"server"` // as the operator calls it
	Mode    string  `json:"mode"`
	Message string  `json:"message"` // the server's words
	Fields  []Field `json:"fields,omitempty"`
	URL     string  `json:"url,omitempty"`
	Host    string  `json:"host,omitempty"` // of it, with what looks like something else spelt out
	Hash    string  `json:"hash"`           // of all that the server has said
}

// A Field is one thing that is asked for.
type Field struct {
	Name     string   `json:"name"`
	About    string   `json:"about,omitempty"`
	Kind     string   `json:"kind"`
	Format   string   `json:"format,omitempty"` // of a text: email, uri, date, date-time
	Choices  []string `json:"choices,omitempty"`
	Labels   []string `json:"labels,omitempty"` // of the choices, if they have any
	Required bool     `json:"required,omitempty"`
	Min      *float64 `json:"min,omitempty"` // of a number; of a text's characters; of how many choices
	Max      *float64 `json:"max,omitempty"`
}

// errSecret says that a form asks for a secret, which no server may ask for so.
var errSecret = errors.New("it asks for a secret in a form, which nobody is asked for")

// secrets are words for what is not to be typed into a form. A name counts with its parts taken together.
var secrets = regexp.MustCompile(`(?i)pass[-_ ]?(word|wort|phrase|code|key)|\bpasswd|secret|\btoken|api[-_ ]?key|` +
	`access[-_ ]?key|private[-_ ]?key|seed[-_ ]?(phrase|words)|mnemonic|recovery[-_ ]?(phrase|code|words)|credential|` +
	`card[-_ ]?(number|no\b)|credit[-_ ]?card|\bcvv\d?\b|\bcvc\d?\b|\bpin\b|\bpin[-_ ]?code|\bssn\b|` +
	`one[-_ ]?time[-_ ]?(code|password)|\botp\b|\biban\b`)

func isSecret(words ...string) bool {
	for _, w := range words {
		split := regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(w, "${1} ${2}")
		if secrets.MatchString(wording.Visible(w)) || secrets.MatchString(split) {
			return true
		}
	}
	return false
}

// hashOf is one value for one question, in all its parts.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %s\n", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// shown returns a server's words as people see them: nothing hidden, nothing that looks like something else, cut.
func shown(s string, n int) string {
	if len(s) > 4*n {
		s = s[:4*n]
	}
	return wording.Clip(wording.Reveal(strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")), n)
}

// NewForm reads a form: message and schema are the server's. The error says why it is not put to the user.
func NewForm(server, message string, schema []byte) (Ask, error) {
	if len(schema) > maxSchema || len(message) > maxSchema {
		return Ask{}, fmt.Errorf("it asks in more than %d bytes", maxSchema)
	}
	var form struct {
		Type       string                     `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if err := json.Unmarshal(schema, &form); err != nil || form.Type != "object" {
		return Ask{}, errors.New("its form cannot be read")
	}
	if len(form.Properties) == 0 || len(form.Properties) > maxFields {
		return Ask{}, fmt.Errorf("its form has %d fields; 1 to %d are asked for", len(form.Properties), maxFields)
	}
	out := Ask{
		Server: server, Mode: Form, Message: shown(message, maxMessage), Hash: hashOf(Form, message, string(schema)),
	}
	if isSecret(message) {
		return Ask{}, errSecret
	}
	for name, raw := range form.Properties {
		f, err := readField(name, raw, slices.Contains(form.Required, name))
		if err != nil {
			return Ask{}, err
		}
		out.Fields = append(out.Fields, f)
	}
	slices.SortFunc(out.Fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// formats are those of a text that are checked.
var formats = []string{"", "email", "uri", "date", "date-time"}

// readField reads one property: a primitive, one of a list, or several of one.
func readField(name string, raw json.RawMessage, required bool) (Field, error) {
	type option struct {
		Const string `json:"const"`
		Title string `json:"title"`
	}
	var p struct {
		Type        string   `json:"type"`
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Format      string   `json:"format"`
		Enum        []string `json:"enum"`
		EnumNames   []string `json:"enumNames"`
		OneOf       []option `json:"oneOf"`
		Items       struct {
			Enum  []string `json:"enum"`
			AnyOf []option `json:"anyOf"`
		} `json:"items"`
		Minimum   *float64 `json:"minimum"`
		Maximum   *float64 `json:"maximum"`
		MinLength *float64 `json:"minLength"`
		MaxLength *float64 `json:"maxLength"`
		MinItems  *float64 `json:"minItems"`
		MaxItems  *float64 `json:"maxItems"`

		Default    json.RawMessage `json:"default"`
		Properties json.RawMessage `json:"properties"` // of no primitive; but they may have defaults
	}
	bad := func(why string) (Field, error) { return Field{}, errors.New("a field of its form " + why) }
	if !fieldName.MatchString(name) || json.Unmarshal(raw, &p) != nil {
		return bad("cannot be read")
	}
	if isSecret(name, p.Title, p.Description, p.Format) {
		return Field{}, errSecret
	}
	if !required && (p.Default != nil || p.Properties != nil) {
		// The protocol's client fills in what the user skips, and the server would be told that the user has said it.
		return bad("is answered by the server itself if the user skips it")
	}
	about := strings.TrimSpace(p.Title + ". " + p.Description)
	f := Field{Name: name, About: shown(strings.Trim(about, ". "), maxAbout), Kind: p.Type, Required: required}
	add := func(values, labels []string) error {
		if len(values) > maxChoices || len(labels) != 0 && len(labels) != len(values) {
			return fmt.Errorf("a field of its form has more than %d choices, or names for other ones", maxChoices)
		}
		for i, v := range values {
			if v == "" || len(v) > maxChoice || v != shown(v, 4*maxChoice) || slices.Contains(values[:i], v) {
				return errors.New("a choice of its form cannot be shown as it is")
			}
		}
		f.Choices = values
		for i, l := range labels {
			l = shown(l, maxChoice)
			if l == "" || slices.Contains(f.Labels, l) || slices.Contains(values, l) && values[i] != l {
				return errors.New("two choices of its form have one name")
			}
			f.Labels = append(f.Labels, l)
		}
		return nil
	}
	split := func(list []option) (values, labels []string) {
		for _, o := range list {
			values, labels = append(values, o.Const), append(labels, o.Title)
		}
		return values, labels
	}
	var err error
	switch {
	case p.Type == "string" && len(p.Enum) > 0:
		f.Kind, err = choice, add(p.Enum, p.EnumNames)
	case p.Type == "string" && len(p.OneOf) > 0:
		f.Kind, err = choice, add(split(p.OneOf))
	case p.Type == "string":
		if !slices.Contains(formats, p.Format) {
			return bad("has a format that is not known")
		}
		f.Kind, f.Format, f.Min, f.Max = text, p.Format, p.MinLength, p.MaxLength
	case p.Type == number || p.Type == integer:
		f.Min, f.Max = p.Minimum, p.Maximum
	case p.Type == boolean:
	case p.Type == "array" && len(p.Items.Enum) > 0:
		f.Kind, f.Min, f.Max, err = several, p.MinItems, p.MaxItems, add(p.Items.Enum, nil)
	case p.Type == "array" && len(p.Items.AnyOf) > 0:
		f.Kind, f.Min, f.Max = several, p.MinItems, p.MaxItems
		err = add(split(p.Items.AnyOf))
	default:
		return bad("is neither a text, a number, yes or no, nor a choice")
	}
	return f, err
}

// NewPage reads the wish that the user opens a page. The error says why it is not put to the user.
func NewPage(server, message, address string) (Ask, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return Ask{}, errors.New("it wants a page to be opened whose address is not https")
	case u.User != nil:
		return Ask{}, errors.New("it wants a page to be opened whose address hides its host behind a name")
	case len(address) > maxURL || len(message) > maxSchema:
		return Ask{}, fmt.Errorf("it wants a page to be opened whose address has more than %d bytes", maxURL)
	case strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > 0x7e }):
		return Ask{}, errors.New("it wants a page to be opened whose address has signs that look like others: " +
			shown(u.Hostname(), 300))
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, "xn--") {
		host += " (a name in foreign letters, which may look like another one)"
	}
	return Ask{
		Server: server, Mode: Page, Message: shown(message, maxMessage), URL: address, Host: host,
		Hash: hashOf(Page, message, address),
	}, nil
}

// ReadResult returns the question in the result of a call, if there is one.
func ReadResult(out []byte) (Ask, bool) {
	var r struct {
		Asks *Ask `json:"asks"`
	}
	if json.Unmarshal(out, &r) != nil || r.Asks == nil {
		return Ask{}, false
	}
	a := *r.Asks
	ok := a.Mode == Page && a.URL != "" || a.Mode == Form && len(a.Fields) > 0 && len(a.Fields) <= maxFields
	// A record can say what NewForm never made: a label beyond the choices would name one that is not there.
	ok = ok && !slices.ContainsFunc(a.Fields, func(f Field) bool {
		return len(f.Labels) != 0 && len(f.Labels) != len(f.Choices)
	})
	return a, ok && a.Hash != ""
}

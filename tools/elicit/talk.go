package elicit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// What the user says to give no answer.
const (
	sayDecline = "decline"
	saySkip    = "skip"
	sayOpened  = "approve"
)

// refusals give no answer, in whichever field they stand.
var refusals = []string{sayDecline, "cancel", "stop"}

// An Answer is the user's to one question.
type Answer struct {
	Action  string                     `json:"action"` // accept
	Content map[string]json.RawMessage `json:"content,omitempty"`
}

// Answers are those that a call brings, by the hash of the question.
type Answers map[string]Answer

// A Talk is what is asked of the user in one call, and what was answered. It is a value: what is done with it makes
// another one.
type Talk struct {
	ask   Ask
	open  bool
	asks  int     // that were put to the user
	at    int     // the field
	tries int     // answers to it that were none
	why   string  // the last one was none
	given Answer  // to this question
	done  Answers // to those before
}

// IsOpen says whether the user is being asked.
func (t Talk) IsOpen() bool { return t.open }

// Begin asks the user. It is false if the call has asked often enough, or asks what was answered.
func (t Talk) Begin(a Ask) (Talk, bool) {
	_, answered := t.done[a.Hash]
	if t.open || t.asks == MaxAsks || answered {
		return t, false
	}
	return Talk{
		ask: a, open: true, asks: t.asks + 1, done: t.done,
		given: Answer{Action: "accept", Content: map[string]json.RawMessage{}},
	}, true
}

// Question returns what the user is asked now, and what there is to choose from.
func (t Talk) Question() (question string, choices []string) {
	a := t.ask
	from := fmt.Sprintf("The server %s asks this in the call; the words in quotes are its own: \u201c%s\u201d ", a.Server,
		a.Message) // in which such quotes are spelt out
	if a.Mode == Page {
		return from + fmt.Sprintf("It wants you to open a page of %s: %s . This program does not open it, and sees nothing "+
			"of what you do there. Say %s once you have done there what you want to, and the call is made again.", a.Host, a.URL,
			sayOpened), []string{sayOpened, sayDecline}
	}
	f := a.Fields[t.at]
	if t.why != "" {
		from = "That is no answer: " + t.why + ". " + from
	}
	from += fmt.Sprintf("%d of %d: %s, %s", t.at+1, len(a.Fields), f.Name, f.describeWanted())
	if f.About != "" {
		from += " (\u201c" + f.About + "\u201d)"
	}
	from += ". Tell it no password and no key."
	switch {
	case f.Kind == boolean:
		choices = []string{"yes", "no"}
	case f.Kind == choice && len(f.Labels) > 0:
		choices = slices.Clone(f.Labels)
	case f.Kind == choice:
		choices = slices.Clone(f.Choices)
	}
	if !f.Required {
		choices = append(choices, saySkip)
	}
	return from, append(choices, sayDecline)
}

// describeWanted says what a field is.
func (f Field) describeWanted() string {
	bounds := func(what string) string {
		switch {
		case f.Min != nil && f.Max != nil:
			return fmt.Sprintf(" from %s to %s%s", plain(*f.Min), plain(*f.Max), what)
		case f.Min != nil:
			return fmt.Sprintf(" of at least %s%s", plain(*f.Min), what)
		case f.Max != nil:
			return fmt.Sprintf(" of at most %s%s", plain(*f.Max), what)
		}
		return ""
	}
	switch f.Kind {
	case number:
		return "a number" + bounds("")
	case integer:
		return "a whole number" + bounds("")
	case boolean:
		return "yes or no"
	case choice:
		return "one of the choices"
	case several:
		return "some of these, with commas: " + f.quoteNames()
	}
	return map[string]string{"": "a text", "email": "an email address", "uri": "an address of the web",
		"date": "a date such as 2026-12-31", "date-time": "a time such as 2026-12-31T23:59:00Z"}[f.Format] +
		bounds(" characters")
}

func plain(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func (f Field) names() []string {
	if len(f.Labels) > 0 {
		return f.Labels
	}
	return f.Choices
}

// quoteNames lists the choices, each in quotes: they are the server's words, in which such quotes are spelt out.
func (f Field) quoteNames() string {
	var out []string
	for _, n := range f.names() {
		out = append(out, "\u201c"+n+"\u201d")
	}
	return strings.Join(out, ", ")
}

// Outcomes of an answer.
const (
	More     = "more"     // there is another question
	Answered = "answered" // all is there
	Declined = "declined" // the user gives no answer
)

// Take reads what the user says.
func (t Talk) Take(said string) (Talk, string) {
	said = strings.TrimSpace(said)
	if slices.Contains(refusals, strings.ToLower(said)) {
		t.open = false
		return t, Declined
	}
	if t.ask.Mode == Page {
		if t.open = !strings.EqualFold(said, sayOpened); t.open {
			if t.tries++; t.tries == maxTries {
				t.open = false
				return t, Declined
			}
			return t, More
		}
		t.given.Content = nil
		return t.close(), Answered
	}
	f := t.ask.Fields[t.at]
	if f.Required || !strings.EqualFold(said, saySkip) {
		v, err := f.read(said)
		if err != nil {
			t.why = err.Error()
			if t.tries++; t.tries == maxTries {
				t.open = false
				return t, Declined
			}
			return t, More
		}
		content := map[string]json.RawMessage{f.Name: v}
		for name, x := range t.given.Content {
			content[name] = x
		}
		t.given.Content = content
	}
	t.at, t.tries, t.why = t.at+1, 0, ""
	if t.at < len(t.ask.Fields) {
		return t, More
	}
	return t.close(), Answered
}

// close keeps the answer beside those before it.
func (t Talk) close() Talk {
	done := Answers{t.ask.Hash: t.given}
	for hash, a := range t.done {
		done[hash] = a
	}
	t.open, t.done = false, done
	return t
}

// AddTo returns the arguments of a call, a JSON object, with the answers.
func (t Talk) AddTo(args []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(args, &members); err != nil || members == nil {
		return nil, errors.New("the arguments are no object")
	}
	raw, err := json.Marshal(t.done)
	if err != nil {
		return nil, fmt.Errorf("the answers cannot be written: %w", err)
	}
	members[Argument] = raw
	return json.Marshal(members)
}

// Split takes the answers out of the arguments of a call.
func Split(args []byte) (rest []byte, brought Answers, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(args, &members); err != nil {
		return nil, nil, errors.New("the arguments are no object")
	}
	raw, there := members[Argument]
	if !there {
		return args, nil, nil
	}
	if err := json.Unmarshal(raw, &brought); err != nil {
		return nil, nil, errors.New("the answers cannot be read")
	}
	delete(members, Argument)
	rest, err = json.Marshal(members)
	return rest, brought, err
}

// read makes a field's value of what the user says.
func (f Field) read(said string) (json.RawMessage, error) {
	if said == "" || len(said) > maxAnswer {
		return nil, fmt.Errorf("it must have 1 to %d bytes", maxAnswer)
	}
	wanted := errors.New("it wants " + f.describeWanted())
	within := func(x float64) bool { return (f.Min == nil || x >= *f.Min) && (f.Max == nil || x <= *f.Max) }
	switch f.Kind {
	case boolean:
		switch strings.ToLower(said) {
		case "yes", "true":
			return json.RawMessage("true"), nil
		case "no", "false":
			return json.RawMessage("false"), nil
		}
		return nil, wanted
	case number, integer:
		x, err := strconv.ParseFloat(said, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || !within(x) || f.Kind == integer && x != math.Trunc(x) ||
			math.Abs(x) > 1<<53 {
			return nil, wanted
		}
		return json.RawMessage(plain(x)), nil
	case choice:
		i := f.find(said)
		if i < 0 {
			return nil, errors.New("it is one of: " + f.quoteNames())
		}
		return json.Marshal(f.Choices[i])
	case several:
		chosen := []string{}
		for part := range strings.SplitSeq(said, ",") {
			i := f.find(strings.TrimSpace(part))
			if i < 0 || slices.Contains(chosen, f.Choices[i]) {
				return nil, wanted
			}
			chosen = append(chosen, f.Choices[i])
		}
		if !within(float64(len(chosen))) {
			return nil, wanted
		}
		return json.Marshal(chosen)
	}
	var err error
	switch f.Format {
	case "email":
		var a *mail.Address
		if a, err = mail.ParseAddress(said); err == nil && a.Address != said {
			err = wanted
		}
	case "uri":
		var u *url.URL
		if u, err = url.Parse(said); err == nil && (u.Scheme == "" || u.Host == "") {
			err = wanted
		}
	case "date":
		_, err = time.Parse(time.DateOnly, said)
	case "date-time":
		_, err = time.Parse(time.RFC3339, said)
	}
	if err != nil || !within(float64(utf8.RuneCountInString(said))) {
		return nil, wanted
	}
	return json.Marshal(said)
}

// find returns the place of the choice that is meant, or -1.
func (f Field) find(said string) int {
	if i := slices.Index(f.Choices, said); i >= 0 {
		return i
	}
	return slices.IndexFunc(f.names(), func(n string) bool { return strings.EqualFold(n, said) })
}

// Package fault says whose it is that something did not work.
//
// A [Fault] is made once, where an answer from outside came in; from there on nobody guesses from a text. Its code is
// one of a closed list, and the list says the rest: whose fault it is ([Owner]), whether the same may work later,
// whether it may have cost all the same, and what the user is told. So a code in a record is enough to decide on, and
// an auditor who reads it decides the same.
//
// Only a provider's own faults count against its health: nobody's mistake takes a service from somebody else.
package fault

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// An Owner is who has to do something about a fault.
type Owner string

// The owners.
const (
	User     Owner = "user"     // who asked took it back
	Request  Owner = "request"  // what was asked cannot be answered as it is: too long, refused, malformed
	Quota    Owner = "quota"    // the other side answers no more of these for now
	Provider Owner = "provider" // the other side does not work
	Chain    Owner = "chain"    // a chain, or what is asked about it, does not answer
	Us       Owner = "us"       // this server is set up wrongly: a key, a URL, a name
)

// A Code names a fault, for programs and records. Codes never change their meaning.
type Code string

// Codes of models that gave no reply.
const (
	ModelCancelled     Code = "model.cancelled"
	ModelOutrun        Code = "model.outrun"
	ModelContextLength Code = "model.context_length"
	ModelRequest       Code = "model.request"
	ModelDeclined      Code = "model.declined"
	ModelSlow          Code = "model.slow"
	ModelTooLarge      Code = "model.too_large"
	ModelUnreadable    Code = "model.unreadable"
	ModelStopped       Code = "model.stopped"
	ModelRate          Code = "model.rate"
	ModelQuota         Code = "model.quota"
	ModelBusy          Code = "model.busy"
	ModelOverloaded    Code = "model.overloaded"
	ModelError         Code = "model.error"
	ModelUnreachable   Code = "model.unreachable"
	ModelTimeout       Code = "model.timeout"
	ModelStall         Code = "model.stall"
	ModelStream        Code = "model.stream"
	ModelFailed        Code = "model.failed"
	ModelKey           Code = "model.key"
	ModelSetup         Code = "model.setup"
	ModelPrompt        Code = "model.prompt"
	ModelUsage         Code = "model.usage"
	ModelEmpty         Code = "model.empty"
	ModelOther         Code = "model.other"
	ModelGone          Code = "model.gone"
	ModelsDown         Code = "model.down"
	ModelForm          Code = "model.form"
)

// Codes of calls that did not work. What a tool says of itself beyond these stands in its result.
const (
	ChainUnavailable Code = "chain.unavailable"
	ChainFees        Code = "chain.fees"
	ChainFunds       Code = "chain.funds"
	WalletFunds      Code = "wallet.funds"
	ToolArguments    Code = "tool.arguments"
	ToolFailed       Code = "tool.failed"
	ToolUnavailable  Code = "tool.unavailable"
	ToolChanged      Code = "tool.changed"
	ToolSetup        Code = "tool.setup"
)

// A kind is all that there is to say of a code.
type kind struct {
	whose   Owner
	again   bool   // the same may work later
	charged bool   // it may have cost as much as a whole answer
	told    string // to the user: one sentence without its full stop
}

var kinds = map[Code]kind{
	ModelCancelled: {User, true, true, "the request was taken back"},
	ModelOutrun:    {Us, false, true, "another model that was asked beside it was quicker"},
	ModelContextLength: {Request, false, false,
		"the conversation is longer than the model can read; ask for less at once"},
	ModelRequest:  {Request, false, false, "the model's provider did not take the request as it is; ask in another way"},
	ModelDeclined: {Request, false, false, "the model's provider declined to answer this; ask for something else"},
	ModelSlow:     {Request, false, true, "the answer took longer than it may; ask for less at once"},
	ModelTooLarge: {Request, false, true, "the answer is larger than it may be; ask for less at once"},
	ModelUnreadable: {Request, false, true,
		"the model gave an answer that cannot be read; ask in another way"},
	ModelStopped: {Request, false, true, "the model's provider broke the answer off; ask in another way"},
	ModelRate:    {Quota, true, false, "the model answers no more requests for now; try again later"},
	ModelQuota: {Quota, false, false,
		"this server's account with the model's provider is used up; its operator has to top it up"},
	ModelBusy: {Quota, true, false,
		"as many requests wait for the model as may; try again later"},
	ModelOverloaded: {Provider, true, false, "the model's provider is overloaded; try again later"},
	ModelError:      {Provider, true, false, "the model's provider does not work at the moment; try again later"},
	ModelUnreachable: {Provider, true, false,
		"the model's server cannot be reached; try again later"},
	ModelTimeout: {Provider, true, true, "the model said nothing in time; try again later"},
	ModelStall:   {Provider, true, true, "the model fell silent in the middle of its answer; try again later"},
	ModelStream:  {Provider, true, true, "the model's answer broke off in the middle; try again"},
	ModelFailed:  {Provider, true, true, "the model failed; try again later"},
	ModelKey:     {Us, false, false, "this server's key for the model is not accepted; its operator has to mend it"},
	ModelSetup:   {Us, false, false, "this server's settings for the model are wrong; its operator has to mend them"},
	ModelPrompt:  {Us, false, false, "the request cannot be put to the model; the server's operator has to mend it"},
	ModelUsage: {Us, false, true,
		"the model does not say what its answer costs; the server's operator has to mend its settings"},
	ModelEmpty: {Provider, true, true, "the model ended its answer without having said anything; try again"},
	ModelOther: {Us, false, true,
		"another model answered than the one that was asked; the server's operator has to mend its settings"},
	ModelForm: {Request, false, true,
		"the model's answer does not fit the schema that was asked for; the answer says where"},
	ModelGone:  {Us, true, false, "the model is not there any more; start a new run"},
	ModelsDown: {Provider, true, false, "the models have failed of late and are left alone for a moment; try again later"},

	ChainUnavailable: {Chain, true, false, "the chain cannot be asked at the moment; try again later"},
	ChainFees:        {Chain, true, false, "the chain asks more for it now than this server pays; try again later"},
	ChainFunds:       {Us, true, false, "the agent's account has too little for this; its operator has to fund it"},
	WalletFunds:      {User, true, false, "the wallet has too little for this; fund it, or ask for less"},
	ToolArguments:    {Request, false, false, "what a tool was asked with could not be read; say it in another way"},
	ToolFailed:       {Request, false, false, "a tool could not do what was asked; the answer says why"},
	ToolUnavailable:  {Provider, true, false, "what a tool has to ask does not answer at the moment; try again later"},
	ToolSetup:        {Us, false, false, "this server's settings for a tool are wrong; its operator has to mend them"},
	ToolChanged:      {Us, true, false, "a tool has changed since the run began; start a new run"},
}

// IsKnown says whether c is one of the codes.
func (c Code) IsKnown() bool { _, ok := kinds[c]; return ok }

// Whose returns whose fault it is; a code that is not known is ours.
func (c Code) Whose() Owner {
	if k, ok := kinds[c]; ok {
		return k.whose
	}
	return Us
}

// Retryable says whether the same may work later.
func (c Code) Retryable() bool { return kinds[c].again }

// MayCost says whether what failed so may have to be paid for all the same. A code that is not known may.
func (c Code) MayCost() bool { k, ok := kinds[c]; return !ok || k.charged }

// Told returns what the user is told: words without a capital and a full stop, with the next step.
func (c Code) Told() string {
	if k, ok := kinds[c]; ok {
		return k.told
	}
	return "something went wrong on this side; try again later"
}

// Codes lists the codes, sorted.
func Codes() []Code {
	out := make([]Code, 0, len(kinds))
	for c := range kinds {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// A Fault is one failure.
type Fault struct {
	Code  Code
	After time.Duration // when the other side said that trying again may help; 0 if it said nothing
	// Says is the other side's own sentence, at most 300 bytes, made by [Clean]. It is for the operator's log alone.
	Says string
	Hint string // for the operator: what to look at; a whole sentence, no secret, nothing of the request
	Err  error  // the cause, for errors.Is; only a context's end
}

// Whose returns whose fault it is.
func (f *Fault) Whose() Owner { return f.Code.Whose() }

// Error is one or two sentences for people: what happened, and what to look at. The other side's words are not in it.
func (f *Fault) Error() string {
	told := f.Code.Told()
	s := strings.ToUpper(told[:1]) + told[1:] + "."
	if f.Hint != "" {
		s = f.Hint
	}
	return s
}

// Unwrap returns the cause if it is a context's end.
func (f *Fault) Unwrap() error { return f.Err }

// MaxSays bounds what is kept of the other side's own sentence, in bytes.
const MaxSays = 300

// Clean makes another side's sentence fit for one line of an operator's log: at most [MaxSays] bytes, no control
// characters, none of the secrets, and nothing that stands in private, which is what the other side was sent.
func Clean(says string, private string, secrets ...string) string {
	if len(says) > 4*MaxSays { // enough to cut from
		says = strings.ToValidUTF8(says[:4*MaxSays], "")
	}
	for _, s := range secrets {
		if s != "" {
			says = strings.ReplaceAll(says, s, "[redacted]")
		}
	}
	words := strings.FieldsFunc(says, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == utf8.RuneError
	})
	for i, w := range words {
		if isSecret(w) {
			words[i] = "[redacted]"
		}
	}
	says = withoutQuotes(strings.Join(words, " "), private)
	if len(says) > MaxSays {
		says = strings.ToValidUTF8(says[:MaxSays-3], "") + "..."
	}
	return says
}

// isSecret says whether a word looks like a key, a part of one, or an address that may hold one.
func isSecret(w string) bool {
	low := strings.ToLower(w)
	if strings.Contains(low, "sk-") || strings.Contains(low, "://") || strings.Contains(w, "***") {
		return true
	}
	letters := strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return -1
	}, w)
	return len(letters) >= 24 && strings.ContainsAny(letters, "0123456789")
}

// quoteSize is how long a piece of what was sent may be in what comes back, in bytes, before it counts as a quotation.
const quoteSize = 20

// withoutQuotes takes out of says what stands in private too.
func withoutQuotes(says, private string) string {
	var out strings.Builder
	for i := 0; i < len(says); {
		n := quoteSize
		if i+n > len(says) || !strings.Contains(private, says[i:i+n]) {
			out.WriteByte(says[i])
			i++
			continue
		}
		for i+n < len(says) && strings.Contains(private, says[i:i+n+1]) {
			n++
		}
		out.WriteString("[...]")
		i += n
	}
	return strings.ToValidUTF8(out.String(), "")
}

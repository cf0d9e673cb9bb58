// Package thread derives what a model is told of a talk: the messages of a run, and before them what its user asked
// and what was answered in the runs before it in its thread.
//
// Nothing of it is stored. A run in a thread names the head of the run before it, and records of the runs before only
// an [Earlier]: how many of them its model is told of, the digest and the size of that, and its label. Who has the
// earlier runs derives the same words from them and compares; who has not can still judge everything else.
package thread

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ErrOther says that the earlier runs are not those, or do not say what, a run was told of them.
var ErrOther = errors.New("the runs before it in its thread say something else than it was told of them")

// MaxBytes bounds what a model is told of the runs before. Bytes are an upper bound of tokens.
const MaxBytes = 32 << 10

// MaxTurns bounds the runs that a model is told of.
const MaxTurns = 128

// BudgetOf returns how many bytes of earlier runs a run of so many tokens is told: at most a quarter of them, so that
// what was said does not use up what is to be done.
func BudgetOf(tokens int64) int64 { return min(max(tokens, 0)/4, MaxBytes) }

// A Turn is what a later run is told of an earlier one.
type Turn struct {
	Request string       // as the policies let it in; empty if they did not
	Answer  string       // what was said to the user at the end
	Label   label.Label  // of all that its model had been given
	Files   []model.File // that were attached, as far as they are told again
	Summary string       // of what came before the run in its thread, if a model summed it up for it; else empty
}

// messages returns the turn as a model sees it.
func (t Turn) messages() [2]model.Message {
	if t.Request == "" {
		t.Request = "(a request that the rules did not let in)"
	}
	asked := model.Message{Role: model.RoleUser, Text: t.Request, Files: t.Files}
	return [2]model.Message{asked, {Role: model.RoleAssistant, Text: t.Answer}}
}

// Size returns how much of a budget the turn takes.
func (t Turn) Size() int64 {
	talk := Talk{Bytes: int64(len(t.Summary))}
	for _, m := range t.messages() {
		talk.Add(m)
	}
	return talk.Bytes
}

// An Earlier is what a run records of the runs before it in its thread, or a fork of the run that it goes on from.
type Earlier struct {
	Place  uint64   // how many runs came before; of a fork, how deep it is one
	Shown  uint64   // how many of them, the newest, its model is told of; of a fork, how many messages
	Digest [32]byte // of the talk that they make, salted by the run's request
	Bytes  int64    // of it
	Label  label.Label
}

// earlierJSON is the form of an Earlier, in canonical JSON.
type earlierJSON struct {
	Bytes  int64       `json:"bytes"`
	Digest string      `json:"digest"`
	Label  label.Label `json:"label"`
	Place  uint64      `json:"place"`
	Shown  uint64      `json:"shown"`
}

// JSON returns e in its one spelling.
func (e Earlier) JSON() []byte {
	b, err := json.Marshal(earlierJSON{e.Bytes, hex.EncodeToString(e.Digest[:]), e.Label, e.Place, e.Shown})
	if err == nil {
		b, err = tools.CanonicalJSON(b)
	}
	if err != nil { // numbers and texts marshal
		panic("thread: " + err.Error())
	}
	return b
}

// Read reads what [Earlier.JSON] has written for a request of the method, and nothing else.
func Read(method string, b []byte) (Earlier, error) {
	var in earlierJSON
	err := json.Unmarshal(b, &in)
	e := Earlier{Place: in.Place, Shown: in.Shown, Bytes: in.Bytes, Label: in.Label}
	if err == nil {
		var digest []byte
		if digest, err = hex.DecodeString(in.Digest); len(digest) == len(e.Digest) {
			copy(e.Digest[:], digest)
		} else if err == nil {
			err = errors.New("the digest has another length")
		}
	}
	isFork := method == wire.RunFork
	switch {
	case err != nil:
	case e.Place == 0 || e.Bytes < 0,
		!isFork && (e.Shown > min(e.Place, MaxTurns) || e.Bytes > 2*MaxBytes),
		isFork && (e.Place > MaxForks || e.Bytes > MaxForkBytes || e.Shown > MaxForkBytes):
		err = errors.New("a number is out of its range")
	case !bytes.Equal(e.JSON(), b):
		err = errors.New("it is not in its one spelling")
	}
	if err != nil {
		return Earlier{}, fmt.Errorf("what is told of earlier runs: %w", err)
	}
	return e, nil
}

// A Talk is what a run has said to its model and heard from it.
type Talk struct {
	Messages []model.Message
	Digest   [32]byte // of the messages
	Bytes    int64    // of them, an upper bound of their tokens

	before span   // what runs before have said
	forks  uint64 // how deep the run is a fork
	noted  bool   // the first message after that stands in the place of others
}

// IsCut says whether some of what was said is left out, or summed up.
func (t *Talk) IsCut() bool { return t.noted }

// IsAssumed says whether words of runs before are not here.
func (t *Talk) IsAssumed() bool { return t.before.bytes > 0 && t.before.held == 0 }

// FrameTokens is more than what providers add to a message, a call or a tool for their own framing.
const FrameTokens = 32

// Add appends a message and carries the digest on. Digest n is the SHA-256 of digest n-1 and the message's parts, each
// with its length before it, so a turn costs its own messages and not the whole conversation.
func (t *Talk) Add(msg model.Message) {
	t.Messages = append(t.Messages, msg)
	h := sha256.New()
	h.Write(t.Digest[:])
	part := func(b string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write([]byte(b))
		t.Bytes += int64(len(b))
	}
	part(string(msg.Role))
	part(msg.Text)
	part(msg.CallID)
	part(msg.Tool)
	t.Bytes += FrameTokens * int64(1+len(msg.Calls))
	for _, f := range msg.Files {
		t.addFile(f, part)
	}
	for _, c := range msg.Calls {
		part(c.ID)
		part(c.Tool)
		part(string(c.Args))
	}
	h.Sum(t.Digest[:0])
}

// ImageTokens is how many tokens an image is taken for, whatever its size: more than most models count for one. What a
// model has counted is what is settled.
const ImageTokens = 4800

// addFile carries the digest on over a file: its name, type and CID stand for its bytes.
func (t *Talk) addFile(f model.File, part func(string)) {
	for _, s := range []string{"file", f.Name, f.Type, f.CID} {
		part(s)
	}
	if t.Bytes += 8 * FrameTokens; f.IsImage() {
		t.Bytes += ImageTokens
	} else {
		t.Bytes += int64(len(f.Data))
	}
}

// HasImages says whether a model must read images to follow the talk.
func (t *Talk) HasImages() bool {
	return slices.ContainsFunc(t.Messages, func(m model.Message) bool {
		return slices.ContainsFunc(m.Files, func(f model.File) bool { return f.IsImage() })
	})
}

// MaxCarried is how long a text that was attached to a request may be to be told to the runs after it, in bytes. Of
// other files they are told that there was one.
const MaxCarried = 4 << 10

// CarryFiles returns what later runs are told of a request with files: the short texts themselves, and of the others
// that they were there.
func CarryFiles(request string, files []model.File) (said string, carried []model.File) {
	for _, f := range files {
		if !f.IsImage() && len(f.Data) <= MaxCarried {
			carried = append(carried, f)
			continue
		}
		request += fmt.Sprintf("\n[A file was attached here, %q (%s, %d bytes), and is not shown again. "+
			"Attached again, it is.]", f.Name, f.Type, len(f.Data))
	}
	return request, carried
}

// Salt makes a run's salt of its signed request, whose idempotency key is the client's chance. Digests of sealed texts
// are public; without a salt, whoever can guess a text could make sure of it.
func Salt(request []byte) (salt [32]byte) {
	h := sha256.New()
	h.Write([]byte("writ/salt/1\n"))
	h.Write(request)
	h.Sum(salt[:0])
	return salt
}

// Begin returns the talk of a run whose thread has place runs before it, of which its model is told turns, oldest
// first. Those that are left out are said to be, and summed up if the oldest that is told has a summary of them.
func Begin(request []byte, place uint64, turns []Turn) (Talk, Earlier) {
	t := Talk{Digest: Salt(request)}
	e := Earlier{Place: place, Shown: uint64(len(turns)), Label: label.Label{Integrity: label.User}}
	if out := place - e.Shown; out > 0 {
		how := "left out here"
		if e.Shown > 0 && turns[0].Summary != "" {
			how = "summed up in what follows"
		}
		t.Add(model.Message{Role: model.RoleSystem, Text: fmt.Sprintf("This conversation began earlier: its first %d "+
			"requests and their answers are %s.", out, how)})
		if e.Shown > 0 && turns[0].Summary != "" {
			t.Add(model.Message{Role: model.RoleAssistant, Text: turns[0].Summary})
		}
	}
	for _, turn := range turns {
		for _, m := range turn.messages() {
			t.Add(m)
		}
		e.Label = e.Label.Join(turn.Label)
	}
	e.Digest, e.Bytes = t.Digest, t.Bytes
	t.before = span{held: len(t.Messages), messages: 2 * e.Shown, bytes: t.Bytes, digest: t.Digest}
	return t, e
}

// Assume returns the talk that e is of, without its words: what follows can be judged, and no model be asked.
func Assume(method string, e Earlier) Talk {
	t := Talk{Digest: e.Digest, Bytes: e.Bytes}
	t.before = span{messages: 2 * e.Shown, bytes: e.Bytes, digest: e.Digest}
	if method == wire.RunFork {
		t.before, t.forks = spanOfFork(e), e.Place
	}
	return t
}

// Recall derives the talk again and compares it with what was recorded of it.
func Recall(request []byte, was Earlier, turns []Turn) (Talk, error) {
	t, e := Begin(request, was.Place, turns)
	if !bytes.Equal(e.JSON(), was.JSON()) {
		return Talk{}, ErrOther
	}
	return t, nil
}

// Resume returns the talk that a run's request goes on with, and its label: what turns say, or of a fork what is
// shared, which must be what the request's event has recorded of them, or without them what that says of them.
func Resume(
	ask *provenance.Ask, request []byte, turns []Turn, shared *Shared,
) (t Talk, before label.Label, err error) {
	switch {
	case ask.After.Defined() != (ask.Earlier != nil):
		return t, before, errors.New("a head or step of a run before, and what is told of it, go together")
	case ask.Earlier == nil:
		return Talk{Digest: Salt(request)}, before, nil
	}
	raw, _ := ask.Earlier.Bytes()
	e, err := Read(ask.Method, raw)
	switch isFork := ask.Method == wire.RunFork; {
	case err != nil:
	case isFork && shared != nil:
		t, err = RecallFork(request, e, *shared)
	case isFork, turns == nil && e.Shown > 0:
		t = Assume(ask.Method, e)
	default:
		t, err = Recall(request, e, turns)
	}
	return t, e.Label, err
}

// PayloadOf returns e as a record has it.
func PayloadOf(e Earlier) *provenance.Payload { return provenance.NewPayload(e.JSON()) }

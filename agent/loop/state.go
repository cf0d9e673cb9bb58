package loop

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A State is a run so far: the fold of its steps. [Machine.Step] takes one and returns another; the one given stays
// as it was, so a step that could not be committed is tried again from it. The zero State is a run before its ask.
type State struct {
	Run    provenance.Link
	Seq    uint64 // of the next step
	At     int64  // of the last step, ms UTC
	Opened int64
	Closed bool
	Status string // "running", "parked", or why it closed

	messages []model.Message
	salt     [32]byte // of digests that stand in the open; only who can read the request knows it
	chain    [32]byte // digest of messages
	bytes    int64    // of messages, an upper bound of their tokens

	asking *asking // the model call that is open
	tried  []string
	calls  []call // of this turn
	wrap   bool   // the next turn, or this one, is the last and has no tools

	own []use // of the ledgers that this run has drawn on

	shown []policies.Budget // the ledgers as the last step left them, if nobody else has drawn on them since

	keys ledgerKeys

	input   string        // what the user asked for, as it was signed
	context label.Label   // of everything that a model has been given
	done    []int         // clauses of input that a call was made for
	past    policies.Past // the calls that have ended, as the rules ask of them
	refused int64         // tool calls that were denied

	acted, denied bool
	ending        string // why the run ends once its broadcasts have their outcome
	totals        provenance.Totals
}

// An asking is an open model call.
type asking struct {
	ref     provenance.Ref
	model   model.Info
	reserve []provenance.Reserve
}

// A use is what this run alone has drawn from a budget. Whatever others draw, a ledger shows at least this much.
type use struct {
	ledger      string
	held, spent money.Amount
}

// A call is one tool call of the turn, from the gates to its one outcome.
type call struct {
	of      provenance.Ref // the reply's step, and the place among its calls
	ask     provenance.ToolAsk
	tool    *tool
	args    tools.Args
	phase   string         // of the open effect; PhaseSeek for an approval; "" once it has an outcome
	wait    provenance.Ref // the open effect
	until   int64          // of the approval
	changes []byte         // what the simulation showed
	outcome string         // JSON for the model, once it has one
	says    label.Label    // of the outcome

	label   label.Label // of the arguments
	foreign []string    // arguments that the user did not write
	order   int         // the clause that asks for just this call, or -1

	reserve   []provenance.Reserve // what is held back for it
	reserveAt provenance.Ref       // by which effect
}

// phaseSeek is the phase of a call that waits for the wallet.
const phaseSeek = "seek"

// clone returns a state that shares nothing that a step changes.
func (s State) clone() State {
	s.messages = slices.Clip(s.messages)
	s.calls = slices.Clone(s.calls)
	s.tried = slices.Clip(s.tried)
	s.totals.Spent = slices.Clone(s.totals.Spent)
	s.own = slices.Clone(s.own)
	s.done = slices.Clip(s.done)
	return s
}

// Ending says whether the run has been told to end and only waits for what cannot be taken back.
func (s State) Ending() bool { return s.ending != "" }

// Parked says whether the run waits for nothing but the wallet.
func (s State) Parked() bool {
	if s.asking != nil || s.Closed {
		return false
	}
	waits := false
	for _, c := range s.calls {
		if c.phase != "" && c.phase != phaseSeek {
			return false
		}
		waits = waits || c.phase == phaseSeek
	}
	return waits
}

// Open returns the effects that wait for an answer, oldest first.
func (s State) Open() []provenance.Ref {
	var refs []provenance.Ref
	if s.asking != nil {
		refs = append(refs, s.asking.ref)
	}
	for _, c := range s.calls {
		if c.phase != "" {
			refs = append(refs, c.wait)
		}
	}
	slices.SortFunc(refs, func(a, b provenance.Ref) int {
		if a.Seq != b.Seq {
			return int(int64(a.Seq) - int64(b.Seq))
		}
		return int(int64(a.Index) - int64(b.Index))
	})
	return refs
}

// begin makes the run's salt of the signed request, whose idempotency key is the client's chance. Digests of sealed
// texts are public; without a salt, whoever can guess a text could make sure of it.
func (s *State) begin(params []byte) {
	h := sha256.New()
	h.Write([]byte("writ/salt/1\n"))
	h.Write(params)
	h.Sum(s.salt[:0])
	s.chain = s.salt
}

// Salt returns what the digests of the run's texts begin with.
func (s State) Salt() [32]byte { return s.salt }

// frameTokens is more than what providers add to a message, a call or a tool for their own framing.
const frameTokens = 32

// say appends a message and carries the digest on. Digest n is the SHA-256 of digest n-1 and the message's parts,
// each with its length before it, so a turn costs its own messages and not the whole conversation.
func (s *State) say(msg model.Message) {
	s.messages = append(s.messages, msg)
	h := sha256.New()
	h.Write(s.chain[:])
	part := func(b string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write([]byte(b))
		s.bytes += int64(len(b))
	}
	part(string(msg.Role))
	part(msg.Text)
	part(msg.CallID)
	part(msg.Tool)
	s.bytes += frameTokens * int64(1+len(msg.Calls))
	for _, c := range msg.Calls {
		part(c.ID)
		part(c.Tool)
		part(string(c.Args))
	}
	h.Sum(s.chain[:0])
}

func (s *State) addSpent(a money.Amount) error {
	for i, t := range s.totals.Spent {
		if t.Asset() == a.Asset() {
			sum, err := t.Add(a)
			if err != nil {
				return err
			}
			s.totals.Spent[i] = sum
			return nil
		}
	}
	s.totals.Spent = append(s.totals.Spent, a)
	slices.SortFunc(s.totals.Spent, func(a, b money.Amount) int { return cmpString(a.Asset().Symbol, b.Asset().Symbol) })
	return nil
}

// basePrompt returns the digest of what every prompt of an agent begins with, and its size in bytes.
func basePrompt(instructions string, tools []provenance.Link) ([32]byte, int64) {
	h := sha256.New()
	h.Write([]byte("writ/prompt/1\n"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(instructions))))
	h.Write([]byte(instructions))
	for _, l := range tools {
		h.Write(l.Bytes())
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum, int64(len(instructions))
}

// promptDigest is the digest of the prompt that s leads to: the base, the messages, and whether tools are offered.
func (m *Machine) promptDigest(s *State) [32]byte {
	var b [65]byte
	copy(b[:32], m.base[:])
	copy(b[32:64], s.chain[:])
	if s.wrap {
		b[64] = 1
	}
	return sha256.Sum256(b[:])
}

// Prompt returns what the open model call of s is to be given. It is a function of the steps, so it is not stored;
// the effect carries its digest.
func (m *Machine) Prompt(s State, maxTokens int64) model.Prompt {
	p := model.Prompt{System: m.agent.Instructions, Messages: s.messages, MaxTokens: maxTokens}
	if !s.wrap {
		p.Tools = m.offered
	}
	return p
}

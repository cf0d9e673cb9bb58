package loop

import (
	"crypto/sha256"
	"slices"

	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
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

	talk     thread.Talk
	folded   *thread.Plan    // what the open model call sums up; nil if it is a turn of the talk
	unsummed bool            // no model has summed up what was to be: it is not asked again
	sought   []uint64        // steps of replies of which a call was brought to the wallet
	summary  string          // of the runs before, if a model has made one
	salt     [32]byte        // of digests that stand in the open; only who can read the request knows it
	earlier  []thread.Turn   // of the runs before in the thread, until the request has come; see Recall
	shared   *thread.Shared  // likewise, of the run that a fork goes on from
	request  string          // as it was let in
	files    []model.File    // that were attached to it and to what was sent since, and let in
	attached int64           // bytes of all that were attached
	sent     []sent          // by the user since
	unheard  []model.Message // of that, since a model was last asked
	unheeded bool            // something that may take back orders came since then
	// refusedLast: the last of what was sent was not let in, so that no model is told that anything may be taken back
	refusedLast bool
	channel     [32]byte // over which the last of it came, or the request
	frame       uint64   // and its number there
	said        string   // to the user, at the end

	asks     modelcall.Asks  // the model calls that are open
	tries    modelcall.Tries // that failed this turn
	stop     string          // of the last reply
	byRules  bool            // rules gave it
	calls    []call          // of this turn
	client   []*tool         // the caller's own, in the order in which they are offered
	form     *form.Form      // what the answer must look like; nil for any text
	mended   bool            // the model was told once that its answer does
	reused   bool            // one of the replies was another run's
	lastTurn bool            // the next turn, or this one, is the last and has no tools

	own []ownUse // of the ledgers that this run has reserved in

	lastShown []policies.Budget // the ledgers as the last step left them, if nobody else has drawn on them since

	keys ledgerKeys

	signed  []string      // what the user has signed of what the run was asked for, and sent
	context label.Label   // of everything that a model has been given
	done    []int         // clauses of signed that a call was made for
	past    policies.Past // the calls that have ended, as the rules ask of them
	refused int64         // tool calls that were denied

	mistakes int64 // of those, calls of no tool or with arguments that are none

	orders     []grammar.Clause // of signed, once they have been read
	ordersRead bool

	known    turn.Facts // of the request, once routes ask of it; of searches; of the first answer
	isRead   bool       // the request has been
	looked   bool       // an answer was looked at again, or none is to be
	kept     string     // that answer, until another one comes
	answered string     // the model of the last reply

	subTurns uint64 // those of totals that sub-agents took

	acted   bool             // a call did what it was for
	trouble string           // how the last call that did not ended: denied or failed, as a run closes; "" if all did
	code    fault.Code       // its failure's
	inDoubt bool             // it is not known of a call whether it happened
	doubts  []provenance.Ref // those calls that are its own
	ending  string           // why the run ends once its broadcasts have their outcome

	outSince int64 // since when transactions are with the chain; 0 if none is
	waited   int64 // ms that they were before

	notes  []string // said with the answer: what payments moved that is not what was asked for
	totals provenance.Totals
}

// IsOutrun says whether an open model call is one whose turn another one has answered.
func (s State) IsOutrun(of provenance.Ref) bool { return s.asks.IsOutrun(of) }

// IsAskedAgain says whether the open model call is not the first of its turn, and the one before failed by its
// provider's fault.
func (s State) IsAskedAgain() bool { return s.tries.AreProviders() }

// An ownUse is what this run alone has used of a budget. Whatever others use, a ledger shows at least this much.
type ownUse struct {
	ledger          string
	reserved, spent money.Amount
}

// A call is one tool call of the turn, from the gates to its one outcome.
type call struct {
	of           provenance.Ref // the reply's step, and the place among its calls
	ask          provenance.ToolAsk
	tool         *tool
	args         tools.Args
	phase        string              // of the open effect; phaseSeek for an approval; "" once it has an outcome
	wait         provenance.Ref      // the open effect
	until        int64               // of the approval
	signed       *provenance.Payload // once it is; of several attempts the newest, or the one that is in a block
	attempts     []attempt           // all that were signed for it, oldest first
	told         bool                // it is on record that the newest is stuck
	sends        int                 // how often it was begun to be sent
	block        string              // that it was last seen in, until it is final
	blockHash    string
	changes      []byte      // what the simulation showed
	moved        tools.Moved // what that comes to, or what the block shows once it is mined
	simulated    string      // how the simulation came to know it
	outcome      string      // JSON for the model, once it has one
	outcomeLabel label.Label // of the outcome

	counted bool               // it has passed the first gate
	elicit  elicit.Talk        // what its server asks the user
	handed  *provenance.Handed // of the call of a sub-agent, once it is made

	label       label.Label // of the arguments
	foreignArgs []string    // arguments that the user did not write
	order       int         // the clause that asks for just this call, or -1
	outdated    bool        // the user has said something since that may take it back

	reserved   []provenance.Reserve // what is reserved for it
	reservedBy provenance.Ref       // by which effect
}

// acts says whether a call does more than read.
func (c *call) acts() bool { return c.tool.spec.Class != tools.Read }

// mayAct says whether the open effect of a call changes something outside.
func (c *call) mayAct() bool {
	return c.acts() && c.phase != provenance.PhaseSimulate && c.phase != provenance.PhaseSign && c.phase != phaseSeek
}

// finish gives a call its one outcome.
func (c *call) finish(outcome []byte) { c.phase, c.outcome = "", string(outcome) }

// phaseSeek is the phase of a call that waits for the wallet.
const phaseSeek = "seek"

// clone returns a state that shares nothing that a step changes, with room for what most steps add.
func (s State) clone(r *room) State {
	s.talk.Messages = slices.Clip(s.talk.Messages)
	s.calls = slices.Clone(s.calls)
	for i := range s.calls {
		s.calls[i].attempts = slices.Clip(s.calls[i].attempts)
	}
	s.sent, s.unheard = slices.Clip(s.sent), slices.Clip(s.unheard)
	s.tries = s.tries.Clip()
	s.totals.Spent, s.totals.Over = slices.Clone(s.totals.Spent), slices.Clone(s.totals.Over)
	s.own = append(r.own[:0], s.own...)
	s.done = slices.Clip(s.done)
	s.notes, s.doubts = slices.Clip(s.notes), slices.Clip(s.doubts)
	return s
}

// Doubts returns the calls of which it is not known whether they happened.
func (s State) Doubts() []provenance.Ref { return slices.Clone(s.doubts) }

// IsAsked says whether the run has begun.
func (s State) IsAsked() bool { return s.Seq > 0 }

// IsEnding says whether the run has been told to end and only waits for what cannot be taken back.
func (s State) IsEnding() bool { return s.ending != "" }

// IsParked says whether the run waits for nothing but its user, the wallet and blocks of the chain.
func (s State) IsParked() bool {
	if s.asks.Any() || s.Closed {
		return false
	}
	waits := false
	for i := range s.calls {
		c := &s.calls[i]
		idle := c.waitsForUser() || c.isOut() || c.phase != "" && c.tool.isClient()
		if c.phase != "" && !idle {
			return false
		}
		waits = waits || idle
	}
	return waits
}

// OpenEffects returns the effects that wait for an answer, oldest first.
func (s State) OpenEffects() []provenance.Ref {
	var refs []provenance.Ref
	for _, a := range s.asks.List() {
		refs = append(refs, a.Ref)
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

// findOpenCall returns the call that waits for the answer to an effect; nil if none does.
func (s *State) findOpenCall(effect provenance.Ref) *call {
	for i := range s.calls {
		if s.calls[i].phase != "" && s.calls[i].wait == effect {
			return &s.calls[i]
		}
	}
	return nil
}

// Salt returns what the digests of the run's texts begin with.
func (s State) Salt() [32]byte { return s.salt }

func (s *State) addSpent(a money.Amount) { s.totals.Spent = money.AddTo(s.totals.Spent, a) }

// addOver counts what left an account beyond what was reserved.
func (s *State) addOver(a money.Amount) { s.totals.Over = money.AddTo(s.totals.Over, a) }

// promptDigest is the digest of the prompt that s leads to: the base, the messages, and whether tools are offered.
func (m *Machine) promptDigest(s *State) [32]byte {
	var b [65]byte
	copy(b[:32], m.baseDigest[:])
	if s.folded != nil {
		return s.folded.SumDigest()
	}
	copy(b[32:64], s.talk.Digest[:])
	if s.lastTurn {
		b[64] = 1
	}
	return sha256.Sum256(s.appendClientTools(b[:]))
}

// Prompt returns what the open model call of s is to be given. It is a function of the steps, so it is not stored;
// the effect carries its digest.
func (m *Machine) Prompt(s State, maxTokens int64) model.Prompt {
	if s.folded != nil {
		return s.folded.SumPrompt(maxTokens)
	}
	p := model.Prompt{
		System: m.agent.Instructions, Messages: s.talk.Messages, MaxTokens: maxTokens,
		HasModel: m.hasModel, CacheKey: m.cacheKey,
	}
	if !s.lastTurn {
		p.Tools = s.offerTools(m.offered)
	}
	if s.form != nil {
		p.Answer = s.form.Schema()
	}
	return p
}

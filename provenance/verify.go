package provenance

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
)

// Codes of links between records.
const (
	CodeLinksMissing     Code = "links.missing"     // a record that is linked to is not there
	CodeLinksKind        Code = "links.kind"        // a link leads to a record of another kind
	CodeLinksUnreachable Code = "links.unreachable" // a block to which nothing links
	CodeLinksSize        Code = "links.size"        // tools and address books of more than 16 MiB together
)

// Codes of the history.
const (
	CodeHistoryHead       Code = "history.head"       // the head names another run or place than its step
	CodeHistoryRun        Code = "history.run"        // a step of another run
	CodeHistorySeq        Code = "history.seq"        // a step out of its place: one was dropped, swapped or doubled
	CodeHistoryClock      Code = "history.clock"      // time runs backwards
	CodeHistoryAsk        Code = "history.ask"        // no request at the beginning, or one later on
	CodeHistoryOf         Code = "history.of"         // an answer to an effect that is not there, or is not earlier
	CodeHistoryKind       Code = "history.kind"       // an answer of another kind than the effect wants
	CodeHistoryTwice      Code = "history.twice"      // an effect answered twice
	CodeHistoryUnanswered Code = "history.unanswered" // a run closed as answered that still waits
	CodeHistoryCall       Code = "history.call"       // an effect for a tool call that no model asked for
	CodeHistoryClose      Code = "history.close"      // something follows the close
	CodeHistoryBound      Code = "history.bound"      // more answers or calls without their counterpart than are kept
)

// Bounds on what [Verify] keeps in memory, so that a hostile history costs no more than an honest one.
const (
	maxWaiting = 1 << 16  // answers, and calls, whose counterpart has not been reached
	maxTools   = 16 << 20 // bytes of tools and address books
	maxCommits = 1 << 14  // leaves that need not be opened again
)

// A Source has the blocks of a history: [*CAR], a store, a gateway. It is not trusted.
type Source interface {
	// Root returns the CID of the [Head], or of a [Receipt] of it.
	Root() Link
	// Get returns a block's bytes, or an error for which errors.Is(err, ErrAbsent) or, for a leaf,
	// errors.Is(err, ErrWithheld) holds if it does not have it.
	Get(Link) ([]byte, error)
}

// Options are what a verifier brings along. Nothing of it comes from the evidence.
type Options struct {
	OperatorKey ed25519.PublicKey // that heads must be signed by; without it the head is not checked
	Keys        map[Link]LeafKey  // of the leaves that were disclosed to the verifier; may be nil
	KeyByWallet bool              // agent/audit finds the operator's key by what their wallet bound, so none is missed
	// Part says that the head is one that the verifier has made itself, of steps that another history shares and is
	// judged with: nobody signed it.
	Part bool
}

// Verify judges the history that src's root points to, up to [CheckLeaves]; the later checks are left as not
// checked, for agent/audit to make on the evidence. The evidence is nil if anything failed.
//
// It trusts nothing that src says: hashes are computed here (a [*CAR] computes its own), and the operator's key
// comes from o. Steps are read from the newest back to the first, each once, and are not kept: memory is 4 bytes a step
// (36 without a file), the tools, and what is waiting for its counterpart, all with bounds.
func Verify(src Source, o Options) (*Report, *Evidence) {
	v := &verifier{
		src: src, keys: o.Keys, wallet: o.KeyByWallet, part: o.Part, report: NewReport(), away: map[cidKey][32]byte{},
		commits: map[cidKey][32]byte{}, erased: map[Link]bool{},
		answers: map[Ref]answer{}, asks: map[Ref]int32{},
	}
	v.gather = func(p *Payload) { v.found = append(v.found, p) }
	if v.car, _ = src.(*CAR); v.car != nil {
		v.reached = make([]uint64, v.car.Len()/64+1)
		v.others = newOthers(v.car.Len())
		v.report.Pass(CheckFrame, v.car.Len(), "")
		v.report.Pass(CheckHash, v.car.Len(), "")
	} else {
		v.seen = map[cidKey]struct{}{}
		v.report.Pass(CheckFrame, 0, "no file: the blocks were fetched one by one")
	}
	v.ev = newEvidence(src.Root(), src, o.Keys)
	err := v.readHistory(o.OperatorKey)
	r := v.report
	r.Root, r.Steps, r.Blocks, r.Bytes = src.Root().String(), v.ev.Len(), v.blocks, v.bytes
	if v.ev.Head.Run.Defined() {
		r.Run = v.ev.Head.Run.String()
	}
	if v.car != nil {
		r.Blocks, r.Bytes = v.car.Len(), v.car.Size()
	}
	if err != nil {
		r.Fault(err)
	} else {
		v.concludeChecks(o.OperatorKey)
	}
	if v.others != nil {
		v.ev.Others = Histories{Structure: v.others.runs, Steps: v.others.steps}
	}
	if r.Refused() {
		r.SkipUnreached()
		return r, nil
	}
	return r, v.ev
}

func newEvidence(head Link, src Source, keys map[Link]LeafKey) *Evidence {
	return &Evidence{
		HeadCID: head, Tools: map[Link]*ToolDef{}, Books: map[Link][]byte{}, Agents: map[Link]*Agent{},
		Revocations: map[Link]*Revocation{}, Grants: map[Link]*Grant{}, Verifications: map[Link]*Verification{},
		src: src, keys: keys,
	}
}

// A cidKey is a CID as the key of a map. A Link would keep the whole block alive of which it is a part.
type cidKey [cidLen]byte

// keyOf returns the key of a CID of ours.
func keyOf(l Link) (k cidKey) {
	copy(k[:], l.KeyString())
	return k
}

type verifier struct {
	src    Source
	wallet bool // the operator is known by a wallet
	part   bool // nobody signed the head
	car    *CAR // src, if it is one
	keys   map[Link]LeafKey
	report *Report
	ev     *Evidence

	reached []uint64            // with a CAR: a bit for each of its blocks
	others  *others             // the same: the histories beside this one
	seen    map[cidKey]struct{} // without: the blocks
	blocks  int
	bytes   int64
	room    cidKey // for a CID that is compared
	records int
	last    int            // bytes of the record read last
	place   int            // with a CAR: of that record in the file
	found   []*Payload     // of that record
	gather  func(*Payload) // adds to found
	tools   int            // bytes of tools and address books

	away    map[cidKey][32]byte // leaves that src does not have, with what is committed to; at most maxWaiting
	commits map[cidKey][32]byte // of leaves that were opened with their key lately, so that they are not opened again
	erased  map[Link]bool       // leaves that a head says are erased
	leaves  LeafCounts

	answers map[Ref]answer // seen in later steps, effect not reached yet
	asks    map[Ref]int32  // tool calls that later effects name, reply not reached yet; the place of the latest effect
	closed  string         // the reason of the close
	open    int            // effects without an answer
}

// An answer is an event that answers an effect.
type answer struct {
	kind  answerKind
	place int32 // of its step in Evidence.steps
}

type answerKind uint8

const (
	byReply answerKind = iota + 1
	byResult
	byVerdict
	byLapse
	byAsk
)

// readHistory reads every record, and judges codec, schema, links and history on the way. Faults of the history are
// noted and do not stop it; the error is what made it stop.
func (v *verifier) readHistory(operator ed25519.PublicKey) error {
	e := v.ev
	if err := v.readReceipt(); err != nil {
		return err
	}
	if err := v.readRecord(e.HeadCID, &e.Head); err != nil {
		return err
	}
	if err := v.readRun(); err != nil {
		return err
	}
	if e.Run.Parent != nil {
		v.report.Unprove("what the run that opened this one did: its history is another one, and the structure of what " +
			"is here of it is all that was checked")
	}
	if v.report.Status(CheckHistory).Status == Fail {
		return nil // what nothing links to is then a second sign of the same
	}
	if err := v.checkIndex(); err != nil {
		return err
	}
	if err := v.readOthers(operator); err != nil {
		return err
	}
	if v.report.Status(CheckHistory).Status == Fail {
		return nil
	}
	if err := v.checkErasures(); err != nil {
		return err
	}
	if err := v.readAssertions(); err != nil {
		return err
	}
	return v.findUnreachable()
}

// readRun reads everything of the history that the head of the evidence names.
func (v *verifier) readRun() error {
	e := v.ev
	e.RunCID = e.Head.Run
	if err := v.readRecord(e.Head.Run, &e.Run); err != nil {
		return err
	}
	for _, part := range []struct {
		cid Link
		rec Record
	}{{e.Run.Agent, &e.Agent}, {e.Run.Grant, &e.Grant}, {e.Run.Runtime, &e.Runtime}} {
		if err := v.readRecord(part.cid, part.rec); err != nil {
			return err
		}
	}
	if err := v.readRules(); err != nil {
		return err
	}
	for _, l := range e.Agent.Tools {
		if err := v.readTool(l); err != nil {
			return err
		}
	}
	if err := v.readVerification(e.Grant.Verification); err != nil {
		return err
	}
	if err := v.readDelegations(); err != nil {
		return err
	}
	if p := e.Run.Parent; p != nil {
		v.addOther(p.Step, true)
	}
	return v.walkSteps()
}

// readRules reads the run's policy sets: the operator's, and before it a dApp's if the run names one.
func (v *verifier) readRules() error {
	e := v.ev
	at := e.Run.Rules
	if err := v.readRecord(at, &e.Rules); err != nil {
		return err
	}
	if under := e.Rules.Under; under.Defined() {
		dapp := e.Rules
		e.Dapp, e.Rules = &dapp, PolicySet{}
		if err := v.readRecord(under, &e.Rules); err != nil {
			return err
		}
		if e.Rules.Under.Defined() {
			return &Fault{CodeLinksKind, under, "a dApp's policy set stands where the operator's should"}
		}
		if err := v.readParts(e.Dapp); err != nil {
			return err
		}
	}
	return v.readParts(&e.Rules)
}

func (v *verifier) readParts(s *PolicySet) error {
	for _, p := range s.Parts {
		if err := v.readRaw(p.Data, "a part of a policy set"); err != nil {
			return err
		}
	}
	return nil
}

// walkSteps goes from the head's step back to the first.
func (v *verifier) walkSteps() error {
	h := &v.ev.Head
	var after *Step // the step after the one at hand
	afterCID := v.ev.HeadCID
	for at := h.Step; at.Defined(); {
		s := new(Step)
		if err := v.readRecord(at, s); err != nil {
			return err
		}
		place := int32(v.ev.Len())
		if v.car != nil {
			v.ev.places = append(v.ev.places, uint32(v.place))
			if setBit(v.others.walked, v.place) {
				if v.others.again++; v.others.again > v.car.Len() {
					return &Fault{CodeHistoryBound, at, "more histories share their steps than are judged"}
				}
			}
		} else {
			v.ev.steps = append(v.ev.steps, at.KeyString()...)
		}
		switch {
		case after == nil && (s.Seq != h.Seq || s.Run != h.Run):
			v.noteFault(CodeHistoryHead, v.ev.HeadCID, "the head says step %d, its step says %d, or another run",
				h.Seq, s.Seq)
		case after == nil && h.At < s.At:
			v.noteFault(CodeHistoryClock, v.ev.HeadCID, "the head is older than its step")
		case after != nil && s.Run != h.Run:
			v.noteFault(CodeHistoryRun, at, "step %d belongs to another run", s.Seq)
		case after != nil && after.Seq != s.Seq+1:
			v.noteFault(CodeHistorySeq, afterCID, "step %d follows step %d", after.Seq, s.Seq)
		case after != nil && after.At < s.At:
			v.noteFault(CodeHistoryClock, afterCID, "step %d is older than the step before it", after.Seq)
		case s.Seq == 0 && s.At < v.ev.Run.Opened:
			v.noteFault(CodeHistoryClock, at, "the first step is older than the run")
		}
		if err := v.judgeStep(place, at, s); err != nil {
			return err
		}
		if len(v.answers) > maxWaiting || len(v.asks) > maxWaiting {
			return &Fault{CodeHistoryBound, at, "more answers or calls wait for their counterpart than are kept"}
		}
		after, afterCID, at = s, at, s.Prev
	}
	v.judgeUnmatched()
	return nil
}

// judgeStep judges what one step asks for and answers. It is called for later steps first, so a step's answers are
// known when it comes, and the questions that it answers are not. place is that in Evidence.steps, 0 for the last step.
func (v *verifier) judgeStep(place int32, at Link, s *Step) error {
	for i, effect := range s.Does {
		ref := Ref{s.Seq, uint64(i)}
		a, answered := v.answers[ref]
		delete(v.answers, ref)
		takes, of := answerWanted(effect)
		if answered && (takes == 0 || a.kind != takes && a.kind != byLapse) {
			v.noteFault(CodeHistoryKind, v.ev.stepCIDAt(a.place),
				"an answer to effect %d of step %d is of the wrong kind", i, s.Seq)
		}
		if takes != 0 && !answered {
			v.open++
		}
		if of != nil && of.Seq > s.Seq {
			v.noteFault(CodeHistoryCall, at, "step %d acts on a tool call of step %d, which is later", s.Seq, of.Seq)
		} else if of != nil {
			v.asks[*of] = place
		}
		switch x := effect.(type) {
		case *Call:
			if err := v.readTool(x.Tool); err != nil {
				return err
			}
		case *Close:
			if place != 0 || i != len(s.Does)-1 {
				v.noteFault(CodeHistoryClose, at, "step %d closes the run, and something follows", s.Seq)
			}
			v.closed = x.Reason
		}
	}
	if ask, isAsk := s.Event.(*Ask); (isAsk && ask.Method != methodSend) != (s.Seq == 0) {
		v.noteFault(CodeHistoryAsk, at, "step %d: the request is the first step's event, and only its", s.Seq)
	}
	if r, is := s.Event.(*Reply); is && r.Model != nil {
		for i := range r.Model.Calls {
			delete(v.asks, Ref{s.Seq, uint64(i)})
		}
	}
	if err := v.readRecordsOf(s.Event); err != nil {
		return err
	}
	if w := s.Facts.Wallet; w != nil {
		if err := v.readVerification(w.By); err != nil {
			return err
		}
	}
	kind, of := effectAnswered(s.Event)
	switch _, twice := v.answers[of]; {
	case kind == 0:
	case of.Seq >= s.Seq:
		v.noteFault(CodeHistoryOf, at, "step %d answers effect %d of step %d, which is not earlier", s.Seq, of.Index,
			of.Seq)
	case twice:
		v.noteFault(CodeHistoryTwice, at, "effect %d of step %d is answered twice", of.Index, of.Seq)
	default:
		v.answers[of] = answer{kind, place}
	}
	return nil
}

// answerWanted returns what an effect wants to be answered by, 0 for nothing, and the tool call that it is for, if any.
func answerWanted(e Effect) (answerKind, *Ref) {
	switch e := e.(type) {
	case *AskModel:
		return byReply, nil
	case *Call:
		if e.Phase == PhaseAsk {
			return byAsk, &e.Of
		}
		return byResult, &e.Of
	case *Seek:
		return byVerdict, &e.Of
	case *Deny:
		return 0, &e.Of
	}
	return 0, nil
}

// effectAnswered returns the effect that an event answers, and how; 0 if it answers none.
func effectAnswered(e Event) (answerKind, Ref) {
	switch e := e.(type) {
	case *Reply:
		return byReply, e.Of
	case *Result:
		return byResult, e.Of
	case *Verdict:
		return byVerdict, e.Of
	case *Ask:
		if e.Of != nil {
			return byAsk, *e.Of
		}
	case *Lapse:
		if e.Of != nil && e.Why != LapseSlow {
			return byLapse, *e.Of
		}
	}
	return 0, Ref{}
}

// judgeUnmatched judges what has found no counterpart once the first step is reached.
func (v *verifier) judgeUnmatched() {
	if ref, ok := earliestRef(v.answers); ok {
		v.noteFault(CodeHistoryOf, v.ev.stepCIDAt(v.answers[ref].place), "step %d has no effect %d to be answered",
			ref.Seq, ref.Index)
	}
	if ref, ok := earliestRef(v.asks); ok {
		v.noteFault(CodeHistoryCall, v.ev.stepCIDAt(v.asks[ref]), "no model asked for tool call %d of step %d",
			ref.Index, ref.Seq)
	}
	if v.closed == CloseAnswered && v.open > 0 {
		v.noteFault(CodeHistoryUnanswered, v.ev.Head.Step, "the run is closed as answered, and %d effects are not",
			v.open)
	}
}

// earliestRef returns the earliest key, so that a report does not depend on the order of a map.
func earliestRef[V any](m map[Ref]V) (least Ref, ok bool) {
	for ref := range m {
		if !ok || cmp.Or(cmp.Compare(ref.Seq, least.Seq), cmp.Compare(ref.Index, least.Index)) < 0 {
			least, ok = ref, true
		}
	}
	return least, ok
}

func (v *verifier) noteFault(code Code, at Link, format string, args ...any) {
	v.report.Fault(&Fault{code, at, fmt.Sprintf(format, args...)})
}

// readRecord reads the record that l names into r, with its leaves. Leaves whose key is known are opened.
func (v *verifier) readRecord(l Link, r Record) error {
	if codecOf(l) != cid.DagCBOR {
		return &Fault{CodeLinksKind, l, "a raw block stands where a " + r.versionName() + " should"}
	}
	data, err := v.requireBlock(l)
	if err != nil {
		return err
	}
	v.records++
	v.last = len(data)
	v.found = v.found[:0]
	if v.car != nil { // it gives each caller bytes of their own; what another source does with its bytes is not known
		err = readOwned(data, r, v.gather)
	} else {
		err = readRecord(data, r, v.gather)
	}
	if err == nil {
		for _, p := range v.found {
			v.judgeLeaf(p)
		}
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		f.At = l
		if f.Code == CodeSchemaVersion && isOtherKind(data, r) {
			f.Code = CodeLinksKind
		}
		return f
	}
	return err
}

// isOtherKind says whether data is a known record of another kind than r, and not another version of it.
func isOtherKind(data []byte, r Record) bool {
	version, err := versionOf(data)
	name, _, _ := strings.Cut(version, "/")
	want, _, _ := strings.Cut(r.versionName(), "/")
	return err == nil && name != want && newRecord(version) != nil
}

// requireBlock fetches a block that must be there.
func (v *verifier) requireBlock(l Link) ([]byte, error) {
	data, place, err := v.fetchBlock(l)
	switch {
	case errors.Is(err, ErrAbsent):
		return nil, &Fault{CodeLinksMissing, l, "a record that is linked to is not there"}
	case err != nil:
		return nil, err
	}
	v.place = place
	v.markReached(l, place, len(data))
	return data, nil
}

// fetchBlock returns a block whose hash is checked, and with a CAR its place in the file.
func (v *verifier) fetchBlock(l Link) (data []byte, place int, err error) {
	if v.car != nil {
		data, place, err = v.car.readBlock(l)
	} else if data, err = v.src.Get(l); err == nil {
		err = checkHash(l, data)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("block %s: %w", l, err)
	}
	return data, place, nil
}

// findBlock returns a block's place in the file, -1 if it is not there or there is no file, and whether it was linked
// to before.
func (v *verifier) findBlock(l Link) (place int, reached bool) {
	if v.car == nil {
		_, reached = v.seen[keyOf(l)]
		return -1, reached
	}
	i, ok := v.car.ordinalBy(l, &v.room)
	if !ok {
		return -1, false
	}
	return i, v.reached[i/64]&(1<<(i%64)) != 0
}

// markReached marks a block of size bytes as linked to, and says whether it was not yet. place is that in the file, if
// there is one.
func (v *verifier) markReached(l Link, place, size int) (fresh bool) {
	if v.car == nil {
		if _, again := v.seen[keyOf(l)]; again {
			return false
		}
		v.seen[keyOf(l)] = struct{}{}
	} else {
		word, bit := &v.reached[place/64], uint64(1)<<(place%64)
		if *word&bit != 0 {
			return false
		}
		*word |= bit
	}
	v.blocks++
	v.bytes += int64(size)
	return true
}

// judgeLeaf looks after the leaf of one payload. One leaf may stand in several places; it is read once, and has one
// commitment.
func (v *verifier) judgeLeaf(p *Payload) {
	key, known := v.keys[p.leaf]
	known = known && !p.public
	place, reached := v.findBlock(p.leaf)
	if err := v.checkOneCommitment(p, place); err != nil {
		v.report.Fault(err)
		return
	}
	if commit, again := v.commits[keyOf(p.leaf)]; again && known {
		if commit != p.commit {
			v.report.Fault(&Fault{CodeLeafCommit, p.leaf, "two records commit to different texts for one leaf"})
		}
		return
	}
	if reached && !known {
		return
	}
	var data []byte
	err := ErrAbsent
	if v.car == nil || place >= 0 && (p.public || known) {
		data, place, err = v.fetchBlock(p.leaf)
	} else if place >= 0 { // the hash was checked when the file was opened
		err = nil
	}
	switch {
	case errors.Is(err, ErrAbsent) || errors.Is(err, ErrWithheld):
		if commit, again := v.away[keyOf(p.leaf)]; again && commit != p.commit {
			v.report.Fault(&Fault{CodeLeafCommit, p.leaf, "two records commit to different texts for one leaf"})
		} else if len(v.away) < maxWaiting {
			v.away[keyOf(p.leaf)] = p.commit
		}
		return
	case err != nil:
		v.report.Fault(err)
		return
	}
	fresh := v.markReached(p.leaf, place, len(data))
	switch {
	case p.public || known:
		if err := p.Open(data, key); err != nil {
			v.report.Fault(err)
		}
		if known {
			if len(v.commits) == maxCommits { // a forgotten one is opened and checked again
				clear(v.commits)
			}
			v.commits[keyOf(p.leaf)] = p.commit
		}
		switch {
		case !fresh:
		case p.public:
			v.leaves.Public++
		default:
			v.leaves.Disclosed++
		}
	case fresh:
		v.leaves.Sealed++
	}
}

// readTool reads a tool's definition and its address book, once.
func (v *verifier) readTool(l Link) error {
	if _, ok := v.ev.Tools[l]; ok {
		return nil
	}
	def := new(ToolDef)
	if err := v.readRecord(l, def); err != nil {
		return err
	}
	v.ev.Tools[l] = def
	v.tools += v.last
	if def.Delegate != nil {
		if err := v.readSubAgent(def.Delegate.Agent); err != nil {
			return err
		}
	}
	if def.Book.Defined() {
		if err := v.readRaw(def.Book, "an address book"); err != nil {
			return err
		}
	}
	if v.tools > maxTools {
		return &Fault{CodeLinksSize, l, "the tools, the rules and what they name take too much memory"}
	}
	return nil
}

// readRaw reads a raw block that a record names, once.
func (v *verifier) readRaw(l Link, what string) error {
	if _, ok := v.ev.Books[l]; ok {
		return nil
	}
	if codecOf(l) != cid.Raw {
		return &Fault{CodeLinksKind, l, "a record stands where " + what + " should"}
	}
	data, err := v.requireBlock(l)
	if err != nil {
		return err
	}
	v.ev.Books[l] = data
	if v.tools += len(data); v.tools > maxTools {
		return &Fault{CodeLinksSize, l, "the tools, the rules and what they name take too much memory"}
	}
	return nil
}

// findUnreachable looks for a block that nothing links to. Only a file can have one.
func (v *verifier) findUnreachable() error {
	if v.car == nil {
		return nil
	}
	for i := range v.car.Len() {
		if v.reached[i/64]&(1<<(i%64)) == 0 {
			l, err := v.car.cidAt(i)
			if err != nil {
				return err
			}
			return &Fault{CodeLinksUnreachable, l, "nothing links to this block"}
		}
	}
	return nil
}

// concludeChecks settles the checks after every record was read.
func (v *verifier) concludeChecks(operator ed25519.PublicKey) {
	r := v.report
	if v.car == nil {
		r.Pass(CheckHash, v.blocks, "")
	}
	r.Pass(CheckCodec, v.records, "")
	r.Pass(CheckSchema, v.records, "")
	if r.Status(CheckHistory).Status == Fail {
		r.Skip(CheckLinks, 0, "not finished: the history is wrong")
	} else {
		r.Pass(CheckLinks, r.Blocks, "")
	}
	note := "closed: " + v.closed
	if v.closed == "" {
		note = "the run is not closed"
		r.Unprove("what happened after the last step: the run is not closed")
	}
	if v.open > 0 {
		note += fmt.Sprintf("; %d effects without an answer", v.open)
	}
	v.ev.Closed = v.closed != ""
	if o := v.others; o != nil && o.runs > 0 {
		note += fmt.Sprintf("; and %d steps of %d other histories in the file", o.steps, o.runs)
	}
	r.Pass(CheckHistory, v.ev.Len(), note)
	if v.part {
		r.Skip(CheckHead, 0, "a part of another history")
	} else if err := verifyHead(&v.ev.Head, v.ev.HeadCID, operator); err != nil {
		r.Fault(err)
	} else if len(operator) == 0 && v.wallet { // agent/audit finds the key by the wallet's binding
		r.Skip(CheckHead, 0, "the operator's wallet has bound no key")
	} else if len(operator) == 0 {
		r.Skip(CheckHead, 0, "no operator key given; the key in the evidence proves nothing")
		r.Unprove("that the operator made this history: no operator key was given")
	} else {
		n := 1
		if v.others != nil {
			n += v.others.heads
		}
		r.Pass(CheckHead, n, "")
	}
	v.leaves.Missing = len(v.away)
	r.Leaves = v.leaves
	open := v.leaves.Public + v.leaves.Disclosed
	if v.leaves.Reopened > 0 {
		r.Remark(CheckLeaves, open, CodeLeafReopened, v.leaves.String())
		r.Unprove("that what the record calls erased is gone: it was opened with a key that was kept")
	} else if v.leaves.Sealed+v.leaves.Erased+v.leaves.Missing > 0 {
		r.Skip(CheckLeaves, open, v.leaves.String())
	} else {
		r.Pass(CheckLeaves, open, v.leaves.String())
	}
}

// verifyHead checks a head's signature by the operator's key. Without one it must at least be that of the key that it
// names: who made the head is then not shown, but nobody else has changed it.
func verifyHead(h *Head, at Link, operator ed25519.PublicKey) error {
	if len(operator) == 0 {
		operator = h.Key
	}
	err := h.Verify(operator)
	if err == nil {
		return nil
	}
	f := asFault(err)
	f.At = at
	return f
}

// Evidence is a history that [Verify] found nothing wrong with, for the checks that need more than its bytes.
// Payloads are open where their key was given.
type Evidence struct {
	HeadCID, RunCID Link
	Head            Head
	Run             Run
	Agent           Agent
	Grant           Grant
	Rules           PolicySet  // the operator's
	Dapp            *PolicySet // what stands under it; nil if the run names no dApp's
	Runtime         Runtime
	Closed          bool              // the last step closes the run
	Logged          *Logged           // the receipt that the file begins with; nil without one
	Tools           map[Link]*ToolDef // those of the agent, and those that were called
	Books           map[Link][]byte   // the raw blocks that they name: address books, parts of policy sets
	Agents          map[Link]*Agent   // the sub-agents that the tools call, and theirs

	DelegationCIDs []Link        // of a sub-agent's run, from the grant's own delegation down to the run's
	Delegations    []*Delegation // the same

	Revocations map[Link]*Revocation // that ended the run
	Grants      map[Link]*Grant      // of other sessions whose keys signed a revocation

	Verifications map[Link]*Verification // of what a contract wallet signed

	Assertions []Asserted // of the operator's wallet, on calls in doubt, oldest first

	Others Histories // in the same file, as far as [Verify] has judged them

	src    Source
	keys   map[Link]LeafKey
	steps  []byte   // their CIDs, newest first
	places []uint32 // with a CAR, in place of them: where they stand in the file

	kept      []*Step // the first ones, as far as Each keeps them
	keptBytes int     // of them, and of one more if there was no room for it
	lastBytes int     // of the step that was read last, its leaves included
}

// Len returns the number of steps.
func (e *Evidence) Len() int { return len(e.steps)/cidLen + len(e.places) }

// StepCID returns the CID of step seq, which must be below Len.
func (e *Evidence) StepCID(seq int) Link { return e.stepCIDAt(int32(e.Len() - 1 - seq)) }

func (e *Evidence) stepCIDAt(place int32) Link {
	if car, ok := e.src.(*CAR); ok {
		l, err := car.cidAt(int(e.places[place]))
		if err != nil {
			return cid.Undef // the file changed, or cannot be read any more; whoever looks for the step will see that
		}
		return l
	}
	return linkFromBytes(e.steps[int(place)*cidLen : (int(place)+1)*cidLen])
}

// Each calls do with every step from the first on. It ends with the first error. A step must not be changed: those of a
// short history are kept for the next call, others are read again.
func (e *Evidence) Each(do func(c Link, s *Step) error) error {
	for seq := range e.Len() {
		c := e.StepCID(seq)
		var s *Step
		var err error
		if seq < len(e.kept) {
			s = e.kept[seq]
		} else if s, err = e.readStep(c); err == nil && e.Len() <= maxKept && seq == len(e.kept) {
			if e.keptBytes += e.lastBytes; e.keptBytes <= maxKeptBytes {
				e.kept = append(e.kept, s)
			}
		}
		if err == nil {
			err = do(c, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Bounds on what Each keeps: steps, and the bytes of their blocks and leaves.
const (
	maxKept      = 256
	maxKeptBytes = 1 << 20
)

func (e *Evidence) readStep(c Link) (*Step, error) {
	data, err := e.src.Get(c)
	if _, checked := e.src.(*CAR); err == nil && !checked {
		err = checkHash(c, data)
	}
	if err != nil {
		return nil, fmt.Errorf("step %s: %w", c, err)
	}
	s := new(Step)
	var ps []*Payload
	e.lastBytes = len(data)
	if err := readRecord(data, s, func(p *Payload) { ps = append(ps, p) }); err != nil {
		return nil, fmt.Errorf("step %s: %w", c, err)
	}
	open := map[Link]*Payload{} // one leaf may stand in several places; Verify saw that its commitment is one
	for _, p := range ps {
		if same, ok := open[p.leaf]; ok && same.commit == p.commit {
			p.plain, p.known = same.plain, same.known
		} else if err := e.openLeaf(p); err != nil {
			return nil, fmt.Errorf("step %s: %w", c, err)
		}
		open[p.leaf] = p
	}
	return s, nil
}

func (e *Evidence) openLeaf(p *Payload) error {
	key, known := e.keys[p.leaf]
	if !p.public && !known {
		return nil
	}
	data, err := e.src.Get(p.leaf)
	if errors.Is(err, ErrAbsent) || errors.Is(err, ErrWithheld) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leaf %s: %w", p.leaf, err)
	}
	e.lastBytes += len(data)
	return p.Open(data, key)
}

package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// Codes of an operator's key as its wallet bound it.
const (
	CodeHeadBinding  provenance.Code = "head.binding"  // the wallet did not sign the key binding
	CodeHeadOperator provenance.Code = "head.operator" // the key is bound by another wallet than the operator's
	// the run or its head lies outside the time for which the key is bound
	CodeHeadWindow provenance.Code = "head.window"
	CodeHeadBuild  provenance.Code = "head.build" // another program than the one for which the key is bound
	CodeHeadLog    provenance.Code = "head.log"   // another log than the one for which the key is bound
)

// checkLog judges the receipt that the evidence begins with, and those that others hold.
func (a *auditor) checkLog(o Options) {
	l := logCheck{auditor: a, o: o.Log, policy: o.Log.Policy, key: o.OperatorKey}
	if !l.readBinding(o) {
		a.rep.Skip(provenance.CheckLog, 0, "not reached: the key binding does not hold")
		return
	}
	err := l.followEpochs()
	if err != nil {
		l.failLog(err)
		return
	}
	if l.held, err = l.checkReceipts(o.Log.Receipts, l.key, l.policy); err != nil {
		l.failLog(err)
		return
	}
	switch {
	case len(l.policy.Logs) == 0 && l.held > 0:
		note := fmt.Sprintf("no log key given; %d receipts agree with the history", l.held)
		a.rep.Skip(provenance.CheckLog, l.held, note)
		return
	case len(l.policy.Logs) == 0:
		a.rep.Skip(provenance.CheckLog, 0, "no log key given")
		return
	case a.ev.Logged == nil:
		const note = "the file has no receipt; export it again once the log has published its head"
		a.rep.Skip(provenance.CheckLog, l.held, note)
		return
	}
	if err := l.checkProof(); err != nil {
		l.failLog(err)
		return
	}
	l.conclude()
}

// A logCheck is what is known of the log that the head stands in.
type logCheck struct {
	*auditor
	o      LogOptions
	policy logproof.Policy   // of o, with the log that the operator's wallet names
	key    ed25519.PublicKey // of the operator, as known or as its wallet has bound it
	held   int               // receipts that agree
	epochs []logproof.Epoch  // of the statements that the verifier has
	way    logproof.Way      // those by which the head's log became what it is
	unkept bool              // it was not shown that it kept what they say

	index    uint64 // of the head
	seen     logproof.Checkpoint
	outside  uint64 // entries of the log that the checkpoint from elsewhere covers
	unasked  string // why its log could not be asked
	anchored string // where the head is anchored
}

// readBinding checks the key binding if there is one, and returns false if it does not hold.
func (l *logCheck) readBinding(o Options) bool {
	logged, byWallet := l.ev.Logged, l.o.Wallet != [20]byte{} && len(l.key) == 0
	if logged == nil || logged.Binding == nil {
		switch {
		case byWallet:
			l.rep.Unprove("that the operator made this history: its wallet has bound no key in this file")
		case l.o.Wallet != [20]byte{}:
			l.rep.Unprove("that the operator's wallet " + common.Address(l.o.Wallet).Hex() +
				" stands behind the key: it has bound none in this file")
		}
		return true
	}
	holds, shown := l.checkBinding(logged.Binding, o)
	if !holds || !shown || !byWallet {
		return holds
	}
	l.key = logged.Binding.Key
	if len(l.policy.Logs) == 0 { // the wallet's binding names the log as well
		if k, err := logproof.ParseKey(logged.Binding.Log); err == nil {
			l.policy.Logs = []logproof.Key{k}
		}
	}
	return true
}

// checkProof checks that the head stands in the log, and the log against what is known of it from elsewhere.
func (l *logCheck) checkProof() error {
	logged := l.ev.Logged
	p, err := logproof.ParseProof(logged.Proof)
	if err != nil {
		return err
	}
	l.index = p.Index
	if l.seen, err = p.Verify(entryOf(&l.ev.Head, l.ev.HeadCID), l.policy); err != nil {
		return err
	}
	for _, k := range l.policy.Logs {
		if k.Origin() == l.seen.Origin {
			l.logKey = k.VKey()
		}
	}
	if err := l.checkEpochs(); err != nil {
		return err
	}
	if logged.Binding != nil {
		if err := l.checkBindingLogged(logged, p.Index, l.seen, l.policy); err != nil {
			return err
		}
	}
	if len(l.o.Checkpoint) > 0 {
		if l.outside, l.unasked, err = l.checkKnownCheckpoint(); err != nil {
			return err
		}
	}
	if l.o.Anchors != nil {
		l.anchored, err = l.checkAnchors(p.Index, l.seen, l.o, l.policy)
	}
	return err
}

// conclude says what is shown of the log, and what is not.
func (l *logCheck) conclude() {
	note := fmt.Sprintf("entry %d of %s, size %d", l.index, l.seen.Origin, l.seen.Size)
	if len(l.seen.Cosigned) > 0 {
		note += fmt.Sprintf("; cosigned by %d witnesses", len(l.seen.Cosigned))
	}
	if l.held > 0 {
		note += fmt.Sprintf("; %d receipts agree", l.held)
	}
	if l.outside > 0 {
		note += fmt.Sprintf("; one log with the checkpoint from elsewhere, of size %d", l.outside)
	}
	note += l.describeEpochs()
	switch {
	case l.unasked != "":
		l.rep.Unprove("that the log is one with the checkpoint from elsewhere: " + l.unasked)
	case len(l.o.Checkpoint) > 0 && l.outside <= l.index:
		l.rep.Unprove("that others see this head in the log: the checkpoint from elsewhere is older than it")
	}
	l.rep.Pass(provenance.CheckLog, 1+l.held, note+l.anchored)
	witnessed := l.policy.Quorum.Wants() // the quorum was met, or the checkpoint would have been refused
	switch {
	case !l.ev.Closed:
		l.rep.Unprove("that nothing happened after this head: the run is not closed")
	case l.held == 0 && !witnessed && l.outside <= l.index && l.anchored == "":
		l.rep.Unprove("that others see the same log: no receipt, witness or checkpoint from outside was given")
	default:
		l.rep.Establish(witnessed || l.anchored != "")
	}
}

// failLog notes a fault of the log, at the head unless it names another block.
func (l *logCheck) failLog(err error) {
	f, ok := errors.AsType[*provenance.Fault](err)
	if !ok {
		l.rep.Fault(err)
		return
	}
	if !f.At.Defined() {
		f.At = l.ev.HeadCID
	}
	l.rep.Fault(f)
}

// checkBinding judges the key binding: holds says that nothing speaks against it, shown that the wallet did sign it,
// which of a contract wallet only its chain can say. If the operator is known by its wallet alone, it is what the head
// is checked by.
func (l *logCheck) checkBinding(b *provenance.KeyBinding, o Options) (holds, shown bool) {
	at := l.ev.Logged.BindingCID
	signed := auth.KeyBinding{
		Chain: b.Chain, Operator: common.Address(b.Operator), Key: [32]byte(b.Key), Build: b.Build, Log: b.Log,
		From: time.UnixMilli(b.From).UTC(), Until: time.UnixMilli(b.Until).UTC(),
	}
	wallet := o.Log.Wallet
	why, err := l.checkOperatorSignature(signed, b.Method, b.Sig, b.Chain, b.Asked)
	if err != nil {
		l.rep.Fault(&provenance.Fault{Code: CodeHeadBinding, At: at, Detail: fmt.Sprintf(
			"the wallet %s did not sign this key binding (%v)", signed.Operator.Hex(), err)})
		return false, false
	}
	if f := l.compareBinding(b, wallet); f != nil {
		l.rep.Fault(f)
		return false, false
	}
	if why != "" {
		l.rep.Unprove("that the operator's wallet bound the key: " + why)
	}
	if len(o.OperatorKey) > 0 || wallet == [20]byte{} {
		return true, why == ""
	}
	if why != "" {
		l.rep.Skip(provenance.CheckHead, 0, "not checked: "+why)
		return true, false
	}
	if err := l.ev.Head.Verify(b.Key); err != nil {
		l.failLog(err)
		return false, false
	}
	l.rep.Pass(provenance.CheckHead, 2, "the wallet "+signed.Operator.Hex()+" bound the key")
	return true, true
}

// compareBinding says what is wrong with a binding that is signed: another wallet, key, time or program.
func (l *logCheck) compareBinding(b *provenance.KeyBinding, wallet [20]byte) *provenance.Fault {
	h, run := &l.ev.Head, &l.ev.Run
	fail := func(code provenance.Code, format string, args ...any) *provenance.Fault {
		return &provenance.Fault{Code: code, At: l.ev.Logged.BindingCID, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case wallet != [20]byte{} && wallet != b.Operator:
		return fail(CodeHeadOperator, "the key is bound by the wallet %s, and the operator's is %s",
			common.Address(b.Operator).Hex(), common.Address(wallet).Hex())
	case !bytes.Equal(b.Key, h.Key):
		return fail(provenance.CodeHeadKey, "the head is signed by another key than the one that is bound")
	case run.Opened < b.From || h.At >= b.Until:
		return fail(CodeHeadWindow, "the key is bound from %s until %s, and the run lasts from %s to %s",
			formatTime(b.From), formatTime(b.Until), formatTime(run.Opened), formatTime(h.At))
	case l.ev.Runtime.Build != b.Build:
		return fail(CodeHeadBuild, "the key is bound for the program %.80q, and %.80q ran", b.Build, l.ev.Runtime.Build)
	}
	return nil
}

func formatTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// entryOf returns what the log has of a head.
func entryOf(h *provenance.Head, c provenance.Link) provenance.LogEntry {
	return provenance.NewLogEntry(h.Run, h.Seq, c)
}

// checkBindingLogged checks that the binding is for this log and stands in it before the head.
func (l *logCheck) checkBindingLogged(logged *provenance.Logged, index uint64, c logproof.Checkpoint,
	policy logproof.Policy) error {
	k, err := logproof.ParseKey(logged.Binding.Log)
	if err != nil || k.Origin() != c.Origin {
		return &provenance.Fault{Code: CodeHeadLog, At: logged.BindingCID,
			Detail: fmt.Sprintf("the key is bound for the log %.100q, and the head is in %.100q", logged.Binding.Log,
				c.Origin)}
	}
	p, err := logproof.ParseProof(logged.Bound)
	if err != nil {
		return err
	}
	if _, err := p.Verify(provenance.NewLogEntry(logged.BindingCID, 0, logged.BindingCID), policy); err != nil {
		return &provenance.Fault{Code: logproof.CodeLogBinding, At: logged.BindingCID,
			Detail: fmt.Sprintf("the key binding is not shown to be in the log: %v", err)}
	}
	if p.Index >= index {
		return &provenance.Fault{Code: logproof.CodeLogBinding, At: logged.BindingCID,
			Detail: fmt.Sprintf("the key binding is entry %d of the log, after the head, which is entry %d", p.Index,
				index)}
	}
	return nil
}

// checkKnownCheckpoint checks the evidence's checkpoint against one that the verifier has from elsewhere: they must be
// of one log. It returns the size of that other one, or why its log could not be asked.
func (l *logCheck) checkKnownCheckpoint() (outside uint64, unasked string, err error) {
	old, err := logproof.Policy{Logs: l.policy.Logs}.OpenCheckpoint(l.o.Checkpoint)
	if err != nil {
		return 0, "", err
	}
	if old, unasked = l.carryCheckpoint(old); unasked != "" {
		return 0, unasked, nil
	}
	if unasked, err = checkOneLog(l.seen, old, l.o); unasked != "" || err != nil {
		return 0, unasked, err
	}
	return old.Size, "", nil
}

// checkOneLog checks that two checkpoints are of one log, or says why its log could not be asked.
func checkOneLog(a, b logproof.Checkpoint, o LogOptions) (unasked string, err error) {
	if b.Size < a.Size {
		a, b = b, a
	}
	var hashes [][32]byte
	if a.Size != b.Size && a.Size > 0 {
		if o.Consistency == nil {
			return "the log itself was not given, which has the proof", nil
		}
		hashes, err = o.Consistency(a, b)
		if _, found := errors.AsType[*provenance.Fault](err); found {
			return "", err
		} else if err != nil {
			return err.Error(), nil
		}
	}
	return "", a.Consistent(b, hashes)
}

// checkAnchors checks the head's place and time by the anchors on a chain, and says where the head is anchored; nothing
// if that is not shown.
func (l *logCheck) checkAnchors(index uint64, c logproof.Checkpoint, o LogOptions, policy logproof.Policy) (string,
	error) {
	var keys []string
	for _, k := range policy.Logs {
		if k.Origin() == c.Origin {
			keys = append(keys, k.VKey())
		}
	}
	if err := o.Anchors.Check(keys); err != nil {
		return "", err
	}
	if err := o.Anchors.Place(index, l.ev.Head.At); err != nil {
		return "", err
	}
	by, yes := o.Anchors.Cover(index)
	if !yes {
		l.rep.Unprove("that the head is anchored: no anchor on the chain has it yet")
		return "", nil
	}
	for _, x := range o.Anchors.List {
		if x.Size == c.Size { // no proof is needed
			by = x
		}
	}
	unasked, err := checkOneLog(c, logproof.Checkpoint{Origin: c.Origin, Size: by.Size, Root: by.Root}, o)
	if f, found := errors.AsType[*provenance.Fault](err); found && f.Code == logproof.CodeLogConsistency {
		return "", &provenance.Fault{Code: logproof.CodeAnchorRoot, Detail: fmt.Sprintf(
			"the tree of size %d that is anchored in block %d is not one log with the checkpoint of size %d",
			by.Size, by.Block, c.Size)}
	}
	switch {
	case err != nil:
		return "", err
	case unasked != "":
		l.rep.Unprove("that the anchored tree has this head: " + unasked)
		return "", nil
	}
	return fmt.Sprintf("; anchored in block %d of chain %d at %s", by.Block, o.Anchors.Chain,
		formatTime(1000*by.Time)), nil
}

// checkReceipts checks what clients hold against the history, and returns how many agree.
func (l *logCheck) checkReceipts(all [][]byte, key ed25519.PublicKey, policy logproof.Policy) (int, error) {
	if len(key) == 0 {
		key = l.ev.Head.Key // not proven to be the operator's, but whoever made this history made the receipt
	}
	for i, raw := range all {
		bad := func(why string) (int, error) {
			return i, &provenance.Fault{Code: logproof.CodeLogReceipt,
				Detail: fmt.Sprintf("receipt %d of %d does not hold: %s", i+1, len(all), why)}
		}
		p, err := logproof.ParseProof(raw)
		if err != nil {
			return bad(err.Error())
		}
		var h provenance.Head
		if err := provenance.Decode(p.Extra, &h); err != nil {
			return bad("its extra data is not a head")
		}
		if h.Run != l.ev.RunCID {
			return bad("it is for another run")
		}
		if err := h.Verify(key); err != nil {
			return bad("the operator did not sign its head")
		}
		if len(policy.Logs) > 0 {
			// A client's receipt may be older than the cosignatures of its checkpoint.
			if _, err := p.Verify(entryOf(&h, provenance.Sum(cid.DagCBOR, p.Extra)),
				logproof.Policy{Logs: policy.Logs}); err != nil {
				return bad(err.Error())
			}
		}
		switch {
		case h.Seq > l.ev.Head.Seq:
			return i, &provenance.Fault{Code: logproof.CodeLogCut,
				Detail: fmt.Sprintf("a client holds a receipt for step %d, and the history ends with step %d", h.Seq,
					l.ev.Head.Seq)}
		case l.ev.StepCID(int(h.Seq)) != h.Step:
			return i, &provenance.Fault{Code: logproof.CodeLogBranch,
				Detail: fmt.Sprintf("a client holds a receipt for another step %d of this run", h.Seq)}
		}
	}
	return len(all), nil
}

// ParseLogOptions reads what a person tells a verifier of the operator's wallet and of the log: an address, a log's
// verifier key, and the text of a policy file (c2sp.org/tlog-policy). Each may be empty.
func ParseLogOptions(wallet, logKey string, policy []byte) (o LogOptions, err error) {
	if wallet != "" {
		if !common.IsHexAddress(wallet) || common.HexToAddress(wallet) == (common.Address{}) {
			return o, errors.New("an operator's wallet is an address: 0x and 40 hex digits")
		}
		o.Wallet = common.HexToAddress(wallet)
	}
	if len(policy) > 0 {
		if o.Policy, err = logproof.ParsePolicy(policy); err != nil {
			return o, fmt.Errorf("the witness policy: %w", err)
		}
	}
	if logKey != "" {
		k, err := logproof.ParseKey(logKey)
		if err != nil {
			return o, err
		}
		o.Policy.Logs = append(o.Policy.Logs, k)
	}
	return o, nil
}

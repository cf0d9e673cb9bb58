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
)

// Codes of an operator's key as its wallet bound it.
const (
	CodeHeadBinding  provenance.Code = "head.binding"  // the wallet did not sign the key binding
	CodeHeadOperator provenance.Code = "head.operator" // the key is bound by another wallet than the operator's
	CodeHeadWindow   provenance.Code = "head.window"   // the run or its head lies outside the time for which the key is bound
	CodeHeadBuild    provenance.Code = "head.build"    // another program than the one for which the key is bound
	CodeHeadLog      provenance.Code = "head.log"      // another log than the one for which the key is bound
)

// log judges the receipt that the evidence begins with, and those that others hold.
func (a *auditor) log(o provenance.Options) {
	policy, key := o.Log.Policy, o.OperatorKey
	logged := a.ev.Logged
	if logged != nil && logged.Binding != nil {
		holds, shown := a.bound(logged.Binding, o)
		if !holds {
			a.rep.Skip(provenance.CheckLog, 0, "not reached: the key binding does not hold")
			return
		}
		if shown && len(key) == 0 && o.Log.Wallet != [20]byte{} {
			key = logged.Binding.Key
			if len(policy.Logs) == 0 { // the wallet says which log, too
				if k, err := provenance.ParseLogKey(logged.Binding.Log); err == nil {
					policy.Logs = []provenance.LogKey{k}
				}
			}
		}
	} else if o.Log.Wallet != [20]byte{} && len(key) == 0 {
		a.rep.Unprove("that the operator made this history: its wallet has bound no key in this file")
	}
	held, err := a.receipts(o.Log.Receipts, key, policy)
	if err != nil {
		a.failed(err)
		return
	}
	switch {
	case len(policy.Logs) == 0 && held > 0:
		a.rep.Skip(provenance.CheckLog, held, fmt.Sprintf("no log key given; %d receipts agree with the history", held))
		return
	case len(policy.Logs) == 0:
		a.rep.Skip(provenance.CheckLog, 0, "no log key given")
		return
	case logged == nil:
		a.rep.Skip(provenance.CheckLog, held, "the file has no receipt; export it again once the log has published its head")
		return
	}
	p, err := provenance.ParseProof(logged.Proof)
	if err != nil {
		a.failed(err)
		return
	}
	c, err := p.Verify(a.ev.HeadCID, policy)
	if err == nil && logged.Binding != nil {
		err = a.boundBefore(logged, p.Index, c, policy)
	}
	var outside uint64 // entries of the log that the checkpoint from elsewhere covers
	var unasked, anchored string
	if err == nil && len(o.Log.Checkpoint) > 0 {
		outside, unasked, err = known(c, o.Log, policy)
	}
	if err == nil && o.Log.Anchors != nil {
		anchored, err = a.anchored(p.Index, c, o.Log, policy)
	}
	if err != nil {
		a.failed(err)
		return
	}
	note := fmt.Sprintf("entry %d of %s, size %d", p.Index, c.Origin, c.Size)
	if len(c.Cosigned) > 0 {
		note += fmt.Sprintf("; cosigned by %d witnesses", len(c.Cosigned))
	}
	if held > 0 {
		note += fmt.Sprintf("; %d receipts agree", held)
	}
	if outside > 0 {
		note += fmt.Sprintf("; one log with the checkpoint from elsewhere, of size %d", outside)
	}
	switch {
	case unasked != "":
		a.rep.Unprove("that the log is one with the checkpoint from elsewhere: " + unasked)
	case len(o.Log.Checkpoint) > 0 && outside <= p.Index:
		a.rep.Unprove("that others see this head in the log: the checkpoint from elsewhere is older than it")
	}
	a.rep.Pass(provenance.CheckLog, 1+held, note+anchored)
	witnessed := policy.Quorum.Wants() // and met, or the checkpoint would not have been accepted
	switch {
	case !a.ev.Closed:
		a.rep.Unprove("that nothing happened after this head: the run is not closed")
	case held == 0 && !witnessed && outside <= p.Index && anchored == "":
		a.rep.Unprove("that others see the same log: no receipt, witness or checkpoint from outside was given")
	default:
		a.rep.Establish()
	}
}

// failed notes a fault of the log, at the head unless it names another block.
func (a *auditor) failed(err error) {
	f, ok := errors.AsType[*provenance.Fault](err)
	if !ok {
		a.rep.Fault(err)
		return
	}
	if !f.At.Defined() {
		f.At = a.ev.HeadCID
	}
	a.rep.Fault(f)
}

// bound judges the key binding: holds says that nothing speaks against it, shown that the wallet did sign it, which of a
// contract wallet only its chain can say. If the operator is known by its wallet alone, it is what the head is checked by.
func (a *auditor) bound(b *provenance.KeyBinding, o provenance.Options) (holds, shown bool) {
	at := a.ev.Logged.BindingCID
	fail := func(code provenance.Code, format string, args ...any) (bool, bool) {
		a.rep.Fault(&provenance.Fault{Code: code, At: at, Detail: fmt.Sprintf(format, args...)})
		return false, false
	}
	signed := auth.KeyBinding{
		Chain: b.Chain, Operator: common.Address(b.Operator), Key: [32]byte(b.Key), Build: b.Build, Log: b.Log,
		From: time.UnixMilli(b.From).UTC(), Until: time.UnixMilli(b.Until).UTC(),
	}
	wallet := o.Log.Wallet
	h, run := &a.ev.Head, &a.ev.Run
	why, err := a.signedBinding(b, signed)
	if err != nil {
		return fail(CodeHeadBinding, "the wallet %s did not sign this key binding (%v)", signed.Operator.Hex(), err)
	}
	switch {
	case wallet != [20]byte{} && wallet != b.Operator:
		return fail(CodeHeadOperator, "the key is bound by the wallet %s, and the operator's is %s", signed.Operator.Hex(), common.Address(wallet).Hex())
	case !bytes.Equal(b.Key, h.Key):
		return fail(provenance.CodeHeadKey, "the head is signed by another key than the one that is bound")
	case run.Opened < b.From || h.At >= b.Until:
		return fail(CodeHeadWindow, "the key is bound from %s until %s, and the run lasts from %s to %s", stamp(b.From), stamp(b.Until), stamp(run.Opened), stamp(h.At))
	case a.ev.Runtime.Build != b.Build:
		return fail(CodeHeadBuild, "the key is bound for the program %.80q, and %.80q ran", b.Build, a.ev.Runtime.Build)
	}
	if why != "" {
		a.rep.Unprove("that the operator's wallet bound the key: " + why)
	}
	if len(o.OperatorKey) > 0 || wallet == [20]byte{} {
		return true, why == ""
	}
	if why != "" {
		a.rep.Skip(provenance.CheckHead, 0, "not checked: "+why)
		return true, false
	}
	if err := h.Verify(b.Key); err != nil {
		a.failed(err)
		return false, false
	}
	a.rep.Pass(provenance.CheckHead, 2, "the wallet "+signed.Operator.Hex()+" bound the key")
	return true, true
}

// signedBinding says whether the wallet signed a key binding: err if it did not, why if that was not checked. A contract
// wallet's chain is asked again at the block that the binding names.
func (a *auditor) signedBinding(b *provenance.KeyBinding, signed auth.KeyBinding) (why string, err error) {
	if b.Method == auth.MethodEOA {
		return "", signed.Verify(b.Sig)
	}
	q, err := signed.Question(b.Sig)
	if err == nil {
		_, err = q.Call()
	}
	switch {
	case err != nil:
		return "", err
	case b.Method != q.Method():
		return "", fmt.Errorf("the signature is not one of the method %.20q", b.Method)
	case b.Asked == nil:
		return "", errors.New("it does not say at which block its chain was asked")
	case a.wallet.ask == nil:
		return fmt.Sprintf("it is a contract (%s), and chain %d accepted its signature at block %d, as the operator says; give an endpoint of that chain to ask it again", b.Method, b.Chain, b.Asked.Number), nil
	}
	got, err := a.wallet.ask(q, b.Asked.Block)
	if err != nil {
		return fmt.Sprintf("it is a contract, and its chain could not be asked again at block %d: %v", b.Asked.Number, err), nil
	}
	if got.Verdict != auth.Accepted {
		return "", fmt.Errorf("asked again at block %d of chain %d, %s", b.Asked.Number, b.Chain, got.Verdict)
	}
	return "", nil
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// boundBefore checks that the binding is for this log and stands in it before the head.
func (a *auditor) boundBefore(l *provenance.Logged, index uint64, c provenance.Checkpoint, policy provenance.LogPolicy) error {
	k, err := provenance.ParseLogKey(l.Binding.Log)
	if err != nil || k.Origin() != c.Origin {
		return &provenance.Fault{Code: CodeHeadLog, At: l.BindingCID, Detail: fmt.Sprintf("the key is bound for the log %.100q, and the head is in %.100q", l.Binding.Log, c.Origin)}
	}
	p, err := provenance.ParseProof(l.Bound)
	if err != nil {
		return err
	}
	if _, err := p.Verify(l.BindingCID, policy); err != nil {
		return &provenance.Fault{Code: provenance.CodeLogBinding, At: l.BindingCID, Detail: fmt.Sprintf("the key binding is not shown to be in the log: %v", err)}
	}
	if p.Index >= index {
		return &provenance.Fault{Code: provenance.CodeLogBinding, At: l.BindingCID, Detail: fmt.Sprintf("the key binding is entry %d of the log, after the head, which is entry %d", p.Index, index)}
	}
	return nil
}

// known checks the evidence's checkpoint against one that the verifier has from elsewhere: they must be of one log. It
// returns the size of that other one, or why its log could not be asked.
func known(c provenance.Checkpoint, o provenance.LogOptions, policy provenance.LogPolicy) (outside uint64, unasked string, err error) {
	old, err := provenance.LogPolicy{Logs: policy.Logs}.OpenCheckpoint(o.Checkpoint)
	if err != nil {
		return 0, "", err
	}
	if unasked, err = joined(c, old, o); unasked != "" || err != nil {
		return 0, unasked, err
	}
	return old.Size, "", nil
}

// joined checks that two checkpoints are of one log, or says why its log could not be asked.
func joined(a, b provenance.Checkpoint, o provenance.LogOptions) (unasked string, err error) {
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

// anchored checks the head's place and time by the anchors on a chain, and says where the head is anchored; nothing if
// that is not shown.
func (a *auditor) anchored(index uint64, c provenance.Checkpoint, o provenance.LogOptions, policy provenance.LogPolicy) (string, error) {
	var keys []string
	for _, k := range policy.Logs {
		if k.Origin() == c.Origin {
			keys = append(keys, k.VKey())
		}
	}
	if err := o.Anchors.Check(keys); err != nil {
		return "", err
	}
	if err := o.Anchors.Place(index, a.ev.Head.At); err != nil {
		return "", err
	}
	by, yes := o.Anchors.Cover(index)
	if !yes {
		a.rep.Unprove("that the head is anchored: no anchor on the chain has it yet")
		return "", nil
	}
	for _, x := range o.Anchors.List {
		if x.Size == c.Size { // no proof is needed
			by = x
		}
	}
	unasked, err := joined(c, provenance.Checkpoint{Origin: c.Origin, Size: by.Size, Root: by.Root}, o)
	if f, found := errors.AsType[*provenance.Fault](err); found && f.Code == provenance.CodeLogConsistency {
		return "", &provenance.Fault{Code: provenance.CodeAnchorRoot, Detail: fmt.Sprintf(
			"the tree of size %d that is anchored in block %d is not one log with the checkpoint of size %d", by.Size, by.Block, c.Size)}
	}
	switch {
	case err != nil:
		return "", err
	case unasked != "":
		a.rep.Unprove("that the anchored tree has this head: " + unasked)
		return "", nil
	}
	return fmt.Sprintf("; anchored in block %d of chain %d at %s", by.Block, o.Anchors.Chain, stamp(1000*by.Time)), nil
}

// receipts checks what clients hold against the history, and returns how many agree.
func (a *auditor) receipts(all [][]byte, key ed25519.PublicKey, policy provenance.LogPolicy) (int, error) {
	if len(key) == 0 {
		key = a.ev.Head.Key // not proven to be the operator's, but whoever made this history made the receipt
	}
	for i, raw := range all {
		bad := func(why string) (int, error) {
			return i, &provenance.Fault{Code: provenance.CodeLogReceipt, Detail: fmt.Sprintf("receipt %d of %d does not hold: %s", i+1, len(all), why)}
		}
		p, err := provenance.ParseProof(raw)
		if err != nil {
			return bad(err.Error())
		}
		var h provenance.Head
		if err := provenance.Decode(p.Extra, &h); err != nil {
			return bad("its extra data is not a head")
		}
		if h.Run != a.ev.RunCID {
			return bad("it is for another run")
		}
		if err := h.Verify(key); err != nil {
			return bad("the operator did not sign its head")
		}
		if len(policy.Logs) > 0 {
			// A client's receipt may be older than the cosignatures of its checkpoint.
			if _, err := p.Verify(provenance.Sum(cid.DagCBOR, p.Extra), provenance.LogPolicy{Logs: policy.Logs}); err != nil {
				return bad(err.Error())
			}
		}
		switch {
		case h.Seq > a.ev.Head.Seq:
			return i, &provenance.Fault{Code: provenance.CodeLogCut, Detail: fmt.Sprintf("a client holds a receipt for step %d, and the history ends with step %d", h.Seq, a.ev.Head.Seq)}
		case a.ev.StepCID(int(h.Seq)) != h.Step:
			return i, &provenance.Fault{Code: provenance.CodeLogBranch, Detail: fmt.Sprintf("a client holds a receipt for another step %d of this run", h.Seq)}
		}
	}
	return len(all), nil
}

// ParseLog reads what a person tells a verifier of the operator's wallet and of the log: an address, a log's verifier
// key, and the text of a policy file (c2sp.org/tlog-policy). Each may be empty.
func ParseLog(wallet, logKey string, policy []byte) (o provenance.LogOptions, err error) {
	if wallet != "" {
		if !common.IsHexAddress(wallet) || common.HexToAddress(wallet) == (common.Address{}) {
			return o, errors.New("an operator's wallet is an address: 0x and 40 hex digits")
		}
		o.Wallet = common.HexToAddress(wallet)
	}
	if len(policy) > 0 {
		if o.Policy, err = provenance.ParseLogPolicy(policy); err != nil {
			return o, fmt.Errorf("the witness policy: %w", err)
		}
	}
	if logKey != "" {
		k, err := provenance.ParseLogKey(logKey)
		if err != nil {
			return o, err
		}
		o.Policy.Logs = append(o.Policy.Logs, k)
	}
	return o, nil
}

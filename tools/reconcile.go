package tools

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KeyReconcile is the keyword of a schema that holds a [Reconciliation]. It stands in the schema, and so in the tool's
// record: an auditor judges again what the second tool has said.
const KeyReconcile = "x-reconcile"

// ReconcileKey stands for the call's idempotency key, 64 hex digits, among what a second tool is given.
const ReconcileKey = "$key"

// CodeNotDone is the code of an [*Error] of a call that was cut, and did not happen as its second tool says.
const CodeNotDone = "not_done"

// What a second tool says of a call in doubt.
const (
	Done    = "done"
	NotDone = "not_done"
	InDoubt = "in_doubt" // it has not said either
)

const (
	maxReconcile = 16      // arguments, and values of each list
	maxFound     = 8 << 10 // bytes of an answer that is believed and kept
	keyFound     = "reconciled"
)

// A Reconciliation says how a second tool of the same source is asked whether a call happened, and what of its answer
// means which. What is neither leaves the call in doubt. It is of tools of class once and keyed.
type Reconciliation struct {
	Tool       string            `json:"tool"`       // at the source
	Definition string            `json:"definition"` // the CID of what the source says of that tool
	Arguments  map[string]string `json:"arguments"`  // of the second tool: each is an argument of the call, or [ReconcileKey]
	Field      string            `json:"field"`      // the member of the answer that says it, a path through objects: "payment.state"
	Done       []string          `json:"done"`       // its values if the call happened; true, false and whole numbers as they are written
	NotDone    []string          `json:"not_done"`   // if it did not
}

// Reconciliation returns how it is found out whether a call of the tool happened; nil if it cannot be.
func (d *Def) Reconciliation() *Reconciliation { return d.reconciled }

// MarkReconciled returns an adapted schema with the rule in it.
func MarkReconciled(schema []byte, r Reconciliation) ([]byte, error) {
	v, err := parseJSON(schema, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	rule, err := parseJSON(raw, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	v.setMember(KeyReconcile, rule)
	return v.appendTo(nil), nil
}

// readReconciled reads the keyword, which may be absent.
func (d *Def) readReconciled(v *value) error {
	if v == nil {
		return nil
	}
	bad := func(why string) error { return errors.New("reconcile: " + why) }
	if d.spec.Class != Once && d.spec.Class != Keyed {
		return bad("it is for class once and keyed: what only reads is never in doubt")
	}
	if err := v.checkKeys("tool", "definition", "arguments", "field", "done", "not_done"); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	var r Reconciliation
	if err := json.Unmarshal(v.appendTo(nil), &r); err != nil {
		return bad("its members are not of their types")
	}
	both := func(x string) bool { return slices.Contains(r.NotDone, x) }
	switch {
	case r.Tool == "" || r.Definition == "" || r.Field == "" || len(r.Done) == 0:
		return bad("it needs a tool, the field of its answer, and the values that mean done")
	case len(r.Done) > maxReconcile || len(r.NotDone) > maxReconcile || len(r.Arguments) > maxReconcile:
		return bad(fmt.Sprintf("at most %d arguments, and %d values of each list", maxReconcile, maxReconcile))
	case slices.ContainsFunc(r.Done, both):
		return bad("a value cannot mean both done and not done")
	case len(r.Arguments) == 0:
		return bad("the second tool must be given something of the call, or it answers about another one")
	}
	for name, from := range r.Arguments {
		if from != ReconcileKey && d.schema.findProperty(from) == nil {
			return bad(fmt.Sprintf("%s is made of %q, which is no argument of the call", clipText(name), clipText(from)))
		}
	}
	d.reconciled = &r
	return nil
}

// ArgumentsOf returns what the second tool is given about a call with these arguments and this key. What the call
// leaves out is left out.
func (r *Reconciliation) ArgumentsOf(args []byte, key [32]byte) ([]byte, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(args, &given); err != nil {
		return nil, errors.New("the call's arguments cannot be read")
	}
	out := map[string]json.RawMessage{}
	for name, from := range r.Arguments {
		if from == ReconcileKey {
			out[name] = json.RawMessage(`"` + hex.EncodeToString(key[:]) + `"`)
		} else if v, ok := given[from]; ok {
			out[name] = v
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, errors.New("the second tool's arguments cannot be written")
	}
	return CanonicalJSON(raw)
}

// Judge says what an answer of the second tool means: Done, NotDone or InDoubt.
func (r *Reconciliation) Judge(answer []byte) string {
	v, err := parseJSON(answer, maxFound)
	if err != nil {
		return InDoubt
	}
	at := &v
	for part := range strings.SplitSeq(r.Field, ".") {
		if at.kind != object {
			return InDoubt
		}
		if at = at.member(part); at == nil {
			return InDoubt
		}
	}
	says := ""
	switch at.kind {
	case text, integer:
		says = at.text
	case boolTrue:
		says = "true"
	case boolFalse:
		says = "false"
	default:
		return InDoubt
	}
	switch {
	case slices.Contains(r.Done, says):
		return Done
	case slices.Contains(r.NotDone, says):
		return NotDone
	}
	return InDoubt
}

// A Finding is what a second tool was asked about a call, and has said. It stands in the call's result.
type Finding struct {
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Says      string          `json:"says"`             // Done, NotDone or InDoubt
	Answer    json.RawMessage `json:"answer,omitempty"` // canonical; none if there is none that can be read
	Why       string          `json:"why,omitempty"`    // there is no answer
}

// Find judges an answer. One that is too long or no JSON is none, and says nothing.
func (r *Reconciliation) Find(arguments, answer []byte, why string) Finding {
	f := Finding{Tool: r.Tool, Arguments: arguments, Says: InDoubt, Why: why}
	if answer == nil {
		return f
	}
	canonical, err := CanonicalJSON(answer)
	if err != nil || len(canonical) > maxFound {
		f.Why = fmt.Sprintf("its answer is no JSON, or has more than %d bytes", maxFound)
		return f
	}
	f.Answer, f.Says = canonical, r.Judge(canonical)
	return f
}

// AddTo returns a result, a JSON object or nothing, with the finding in it.
func (f Finding) AddTo(out []byte) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if out != nil {
		if err := json.Unmarshal(out, &members); err != nil {
			return nil, errors.New("a result that is no object cannot hold what a second tool has said")
		}
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("a finding cannot be written: %w", err)
	}
	members[keyFound] = raw
	whole, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("a result cannot be written: %w", err)
	}
	return CanonicalJSON(whole)
}

// Outcome returns the result of a call that its second tool says was done.
func (f Finding) Outcome() ([]byte, error) {
	note, err := json.Marshal(map[string]string{"note": "The answer was lost. It was done, as " + f.Tool + " says."})
	if err != nil {
		return nil, err
	}
	return f.AddTo(note)
}

// A FoundError is an error of a call about which a second tool was asked.
type FoundError struct {
	Err     error
	Finding Finding
}

func (e *FoundError) Error() string { return e.Err.Error() }
func (e *FoundError) Unwrap() error { return e.Err }

// AddFinding returns the record of a failure with what a second tool has said of the call, if err holds that.
func AddFinding(failure []byte, err error) []byte {
	e, ok := errors.AsType[*FoundError](err)
	if !ok {
		return failure
	}
	if out, err := e.Finding.AddTo(failure); err == nil {
		return out
	}
	return failure
}

// CheckFound is [Reconciliation.Check] of a recorded call of the tool. What is sealed is not looked at.
func (d *Def) CheckFound(args func() ([]byte, bool), key [32]byte, status string, out func() ([]byte, bool)) string {
	raw, open := args()
	result, shown := out()
	if d.reconciled == nil || !open || !shown {
		return ""
	}
	return d.reconciled.Check(d.spec.Class, raw, key, status, result)
}

// Check judges again what a result rests on: args are those of the call, status and out are the result's as recorded
// (ok, error, in_doubt). It returns what is wrong, or "".
func (r *Reconciliation) Check(class Class, args []byte, key [32]byte, status string, out []byte) string {
	var members map[string]json.RawMessage
	if len(out) > 0 && json.Unmarshal(out, &members) != nil {
		return ""
	}
	var code string
	_ = json.Unmarshal(members["code"], &code) // of a result that is no failure there is none
	raw, found := members[keyFound]
	if !found {
		if status == "error" && code == CodeNotDone {
			return "is said not to have happened, and nobody was asked"
		}
		return ""
	}
	var f Finding
	if json.Unmarshal(raw, &f) != nil {
		return "rests on a finding that cannot be read"
	}
	if want, err := r.ArgumentsOf(args, key); err != nil || f.Tool != r.Tool || !bytes.Equal(want, f.Arguments) {
		return "rests on what a second tool said about something else"
	}
	if means := r.Find(f.Arguments, f.Answer, "").Says; means != f.Says {
		return fmt.Sprintf("is taken for %s, and what the second tool has answered means %s", f.Says, means)
	}
	keyed := class == Keyed // may be made again whatever is said
	switch {
	case status == "ok" && f.Says == Done:
		for name := range members {
			if name != keyFound && name != "note" {
				return "says more than the second tool has, which alone has answered"
			}
		}
	case status == "ok" && f.Says == InDoubt && !keyed:
		return "was made again, though it was not known whether it had happened"
	case status == "error" && (f.Says == Done || code == CodeNotDone && f.Says != NotDone || f.Says == InDoubt && !keyed):
		return "is said not to have happened, and the second tool has not said so"
	case status == "in_doubt" && f.Says != InDoubt:
		return "is said to be in doubt, and the second tool has told"
	}
	return ""
}

package tools

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// Bounds of a Spec.
const (
	maxAbout      = 1024 // bytes of About, and of a property's description
	maxUtterances = 64
	maxUtterance  = 256 // bytes
)

// A Def is a compiled [Spec]. It is immutable and may be used by many goroutines at once.
type Def struct {
	spec   Spec
	schema schema
	params []arg.Param
	offer  []byte // the schema as models are told it
	of     *Contract
	spend  [3]int // places of the Spend's amount, asset and to among the params; only if spec.Spend is set
	url    int    // place of the property of format url, or -1

	payment    string
	computed   bool // by a module
	reconciled *Reconciliation
}

// Compile checks a Spec and makes it ready for [Def.Read]. Everything that the comment of [Spec] says is enforced: a
// keyword of JSON Schema outside the subset is an error, not ignored. The Def's Spec holds the schema in its
// canonical spelling and its own copy of the Book, so what was compiled cannot change.
func Compile(s Spec) (*Def, error) {
	d, err := compileSpec(s)
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", clipText(s.Name), err)
	}
	return d, nil
}

func compileSpec(s Spec) (*Def, error) {
	if err := checkSpec(&s); err != nil {
		return nil, err
	}
	d := &Def{spec: s, url: -1}
	if err := d.readSchema(s.Schema); err != nil {
		return nil, err
	}
	if s.Book != nil {
		d.spec.Book = s.Book.clone()
	}
	if err := d.readSpend(s.Spend); err != nil {
		return nil, err
	}
	if err := d.checkLets(); err != nil {
		return nil, err
	}
	if err := d.checkUtterances(s.Utterances); err != nil {
		return nil, err
	}
	d.spec.Utterances = slices.Clone(s.Utterances)
	if s.Output != nil {
		out := *s.Output
		d.spec.Output = &out
	}
	return d, nil
}

// Finality returns when a block counts for good, of a tool of class chain.
func (d *Def) Finality() Finality {
	f, _ := ParseFinality(d.spec.Final) // checkSpec has
	return f
}

// checkSpec checks what needs no schema.
func checkSpec(s *Spec) error {
	if !arg.IsToolName(s.Name) {
		return errors.New("the name must be parts of lower-case letters, digits and '_' joined by '.', each " +
			"beginning with a letter, at most 64 bytes in all")
	}
	switch s.Class {
	case Read, Keyed, ChainTx, Once, WalletTx:
	case "":
		return errors.New("a class is missing: say read, keyed, chain or once")
	default:
		return fmt.Errorf("class %q is unknown: say read, keyed, chain or once", s.Class)
	}
	if (s.Class == WalletTx) != strings.HasPrefix(s.Name, "wallet.") {
		return errors.New(`names of tools of class wallet begin with "wallet.", and no others do`)
	}
	if s.About == "" || len(s.About) > maxAbout {
		return fmt.Errorf("about must say in 1 to %d bytes what the tool does", maxAbout)
	}
	if s.Output != nil && (s.Output.Integrity > label.Untrusted || s.Output.Secrecy > label.Secret) {
		return errors.New("the label of its output is unknown")
	}
	if _, err := ParseFinality(s.Final); err != nil || s.Final != "" && !s.Class.Sends() {
		return errors.New("final is for class chain, and one of: finalized, safe, a number such as 12 blocks")
	}
	if s.Clearance > label.Secret {
		return errors.New("its clearance is unknown")
	}
	if s.Book != nil {
		return s.Book.Check()
	}
	return nil
}

// Spec returns what was compiled, with the schema in canonical spelling. Its parts must not be changed.
func (d *Def) Spec() Spec { return d.spec }

// Params returns the properties of the schema, sorted by name, each followed by its members if it is an object. The
// list must not be changed.
func (d *Def) Params() []arg.Param { return d.params }

// readSchema reads the schema of the arguments.
func (d *Def) readSchema(raw []byte) error {
	v, err := parseJSON(raw, maxSchema)
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	if v.kind != object {
		return errors.New("schema: it must be an object")
	}
	if t := v.member("type"); t == nil || t.text != "object" {
		return errors.New(`schema: "type" must be "object"`)
	}
	if _, err := v.stringMember("description", maxAbout); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	var r schemaReader
	if d.schema, err = r.readObject(&v, "", 0, true, true); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	for i, format := range r.formats {
		switch {
		case format == "url" && d.url >= 0:
			return errors.New("two properties have the format url; a call reaches one host")
		case format == "url":
			d.url = i
		case d.spec.Book == nil && (format == "address" || format == "token"):
			return fmt.Errorf("property %q has format %s, so a Book is required", r.params[i].Name, format)
		}
	}
	d.spec.Schema, d.params = v.appendTo(nil), r.params
	d.offer = d.schema.offered(&v, d.spec.Schema)
	if d.of, err = d.readContract(v.member(keyContract)); err != nil {
		return err
	}
	if err = d.readModule(v.member(KeyModule)); err != nil {
		return err
	}
	if err = d.readReconciled(v.member(KeyReconcile)); err != nil {
		return err
	}
	d.payment, err = d.readPayment(v.member(keyPayment))
	return err
}

func (d *Def) readSpend(s *Spend) error {
	switch {
	case s == nil && d.spec.Class.Sends():
		return errors.New("class chain moves value, so Spend is required")
	case s == nil:
		return nil
	case d.spec.Class == Read:
		return errors.New("class read moves nothing, so it has no Spend")
	}
	for i, want := range []struct{ role, name, format string }{
		{"amount", s.Amount, "amount"}, {"asset", s.Asset, "token"}, {"recipient", s.To, "address"},
	} {
		p := d.schema.findProperty(want.name)
		if p == nil || p.format != want.format || !p.required && p.fixed == nil {
			return fmt.Errorf("Spend: the %s must name a required property of format %s, not %q",
				want.role, want.format, want.name)
		}
		d.spend[i] = p.at
	}
	if d.schema.findProperty(s.Amount).asset != d.spend[1] {
		return fmt.Errorf("Spend: the amount counts another token than %q", s.Asset)
	}
	spend := *s
	d.spec.Spend = &spend
	return nil
}

// checkUtterances checks that each slot of each pattern is a property, and none stands twice.
func (d *Def) checkUtterances(list []string) error {
	if len(list) > maxUtterances {
		return fmt.Errorf("more than %d utterances", maxUtterances)
	}
	for _, u := range list {
		if u == "" || len(u) > maxUtterance {
			return fmt.Errorf("utterance %q must have 1 to %d bytes", clipText(u), maxUtterance)
		}
		seen := map[string]bool{}
		for rest := u; ; {
			before, after, open := strings.Cut(rest, "{")
			if strings.Contains(before, "}") {
				return fmt.Errorf("utterance %q has a '}' without its '{'", u)
			}
			if !open {
				break
			}
			slot, tail, closed := strings.Cut(after, "}")
			if !closed || d.schema.findProperty(slot) == nil || seen[slot] {
				return fmt.Errorf("utterance %q: slot {%s} is not a property, or stands twice", u, clipText(slot))
			}
			seen[slot], rest = true, tail
		}
	}
	return nil
}

// didYouMean returns a hint if one of the choices is close to s, and "" otherwise.
func didYouMean(s string, choices []string) string {
	best := wording.Nearest(s, choices)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// assetOf returns the money asset of a token.
func assetOf(symbol string, t Token) money.Asset {
	return money.Asset{Symbol: symbol, Decimals: t.Decimals}
}

// Package definition turns tools and policy sets into their records, and back.
package definition

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// SpecOf returns the tool that a record describes. book is the block that the record names, or nil.
func SpecOf(rec *provenance.ToolDef, book []byte) (tools.Spec, error) {
	s := tools.Spec{
		Name: rec.Name, About: rec.About, Class: tools.Class(rec.Class),
		Schema: json.RawMessage(rec.Schema), Utterances: rec.Utterances, Foreign: rec.Foreign,
		AskWallet: rec.AskWallet, Definition: rec.Definition, Final: rec.Final,
	}
	if o := rec.Output; o != nil {
		s.Output = &tools.Output{Origins: o.Origins, Documents: o.Documents}
		var err, err2 error
		s.Output.Integrity, err = label.ParseIntegrity(o.Integrity)
		if s.Output.Secrecy, err2 = label.ParseSecrecy(o.Secrecy); err != nil || err2 != nil {
			return s, fmt.Errorf("tool %s: the label of its output is unknown", rec.Name)
		}
	}
	if rec.Clearance != "" {
		var err error
		if s.Clearance, err = label.ParseSecrecy(rec.Clearance); err != nil {
			return s, fmt.Errorf("tool %s: %w", rec.Name, err)
		}
	}
	if rec.Spend != nil {
		s.Spend = &tools.Spend{Amount: rec.Spend.Amount, Asset: rec.Spend.Asset, To: rec.Spend.To}
	}
	if rec.Book.Defined() {
		b, err := tools.ParseBook(book)
		if err != nil {
			return s, fmt.Errorf("tool %s: address book %s: %w", rec.Name, rec.Book, err)
		}
		s.Book = b
	}
	return s, nil
}

// RecordOf returns the record of a tool, and the block of its address book if it has one.
func RecordOf(s tools.Spec) (*provenance.ToolDef, *provenance.Block, error) {
	schema, err := tools.CanonicalJSON(s.Schema)
	if err != nil {
		return nil, nil, fmt.Errorf("tool %s: schema: %w", s.Name, err)
	}
	rec := &provenance.ToolDef{
		Name: s.Name, About: s.About, Class: string(s.Class), Schema: string(schema),
		Utterances: s.Utterances, Foreign: s.Foreign,
		AskWallet: s.AskWallet, Definition: s.Definition, Final: s.Final,
	}
	if s.Output != nil {
		rec.Output = &provenance.ToolOutput{
			Integrity: s.Output.Integrity.String(), Secrecy: s.Output.Secrecy.String(),
			Origins: s.Output.Origins, Documents: s.Output.Documents,
		}
	}
	if s.Clearance > label.Session {
		rec.Clearance = s.Clearance.String()
	}
	if s.Spend != nil {
		rec.Spend = &provenance.Spend{Amount: s.Spend.Amount, Asset: s.Spend.Asset, To: s.Spend.To}
	}
	if s.Book == nil {
		return rec, nil, nil
	}
	book := provenance.NewRaw(s.Book.JSON())
	rec.Book = book.CID
	return rec, &book, nil
}

// RulesOf returns the record of a policy set, and the raw blocks that it names.
func RulesOf(s *policies.Set) (*provenance.PolicySet, []provenance.Block) {
	rec := &provenance.PolicySet{Name: s.Name(), Source: string(s.Source())}
	var blocks []provenance.Block
	for _, p := range s.Parts() {
		b := provenance.NewRaw(p.Data)
		blocks = append(blocks, b)
		rec.Parts = append(rec.Parts, provenance.Part{Name: p.Name, Data: b.CID})
	}
	return rec, blocks
}

// PartsOf returns what a recorded policy set depends on, by name, as far as it is among blocks. It is never nil: a set
// is judged by what was recorded with it and by nothing else.
func PartsOf(rec *provenance.PolicySet, blocks map[provenance.Link][]byte) map[string][]byte {
	parts := map[string][]byte{}
	for _, p := range rec.Parts {
		if data, ok := blocks[p.Data]; ok {
			parts[p.Name] = data
		}
	}
	return parts
}

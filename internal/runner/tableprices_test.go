package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// Whoever has the table that a run's record names computes what each call cost again: an operator that took other
// prices than the table's is found at the first step that shows it, though the record agrees with itself.
func TestWhoHasTheTableFindsAnotherPrice(t *testing.T) {
	table := &prices.File{Schema: prices.Schema, Models: map[string]prices.Price{
		"a/1": {In: 3_000_000_001, Out: 15_000_000_007, Cached: 300_000_003},
	}}
	id, err := table.CID()
	if err != nil {
		t.Fatal(err)
	}
	honest := model.Info{Name: "m", Kind: model.KindModel, Provider: "test", Model: "a/1", PriceIn: 3_000_000_001,
		PriceOut: 15_000_000_007, PriceCached: 300_000_003, MaxTokens: 1000, Prices: id.String()}
	dearer, unknown, other, byHand := honest, honest, honest, honest
	dearer.PriceOut++ // of 1,000,000 tokens; so little that it shows only where it is rounded up
	unknown.Model = "a/2"
	other.Prices = provenance.Sum(0x55, []byte("another table")).String()
	byHand.Prices = ""
	for _, tt := range []struct {
		name string
		info model.Info
		used model.Usage
		code provenance.Code
		says string // in the detail, or in what is unproven
	}{
		{"as the table says", honest, model.Usage{In: 700, Out: 300, CachedIn: 200}, "", ""},
		{"another price", dearer, model.Usage{In: 700, Out: 1_000_000}, audit.CodePriceCost, "by the table, and"},
		{"a model that the table has not", unknown, model.Usage{In: 7, Out: 3}, audit.CodePriceCost, `the table has no "a/2"`},
		{"another table", other, model.Usage{In: 7, Out: 3}, audit.CodePriceTable, "and the one given is " + id.String()},
		{"set by hand", byHand, model.Usage{In: 7, Out: 3}, "", "their prices were set by hand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := openWith(t, replies{}, func(c *runner.Config) {
				c.Models = []runner.NamedModel{{Info: tt.info, Model: replies{
					model.Reply{Stop: model.StopEnd, Text: "hi", Model: tt.info.Model, Usage: tt.used}}}}
				c.Agents[0].Routes = []agentfile.Route{{ID: "m", Use: "m"}}
				c.Agents[0].Grant.MaxCostNanoUSD, c.Agents[0].Grant.MaxTokens = 100_000_000_000, 1_000_000_000
			})
			run := b.start("hi")
			b.ended(run)
			src, o := b.exported(run)
			without := audit.Verify(src, o)
			if named := strings.Contains(strings.Join(without.Unproven, "\n"), "no table was given (--prices)"); without.Refused() ||
				named != (tt.info.Prices != "") {
				t.Errorf("without a table: %s %s, unproven %q", without.Code, without.Detail, without.Unproven)
			}
			o.Prices = &audit.PriceTable{CID: id.String(), Reprice: table.Reprice}
			rep := audit.Verify(src, o)
			said := rep.Detail + strings.Join(rep.Unproven, "\n")
			if rep.Code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("with it: %q at %s: %s; unproven %q", rep.Code, rep.At, rep.Detail, rep.Unproven)
			}
			if tt.code != "" && (rep.At == "" || !strings.HasPrefix(rep.Detail, "step 1: ")) {
				t.Errorf("the step is not named: %q, %q", rep.At, rep.Detail)
			}
			note := rep.Status(provenance.CheckTotals).Note
			if (tt.code == "" && tt.info.Prices != "") != strings.Contains(note, "1 calls of models cost what the table") {
				t.Errorf("the check of the sums says %q", note)
			}
		})
	}
}

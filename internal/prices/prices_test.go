package prices

import (
	"strings"
	"testing"
)

const table = `{
	"sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
	"claude-x": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
		"cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06, "cache_read_input_token_cost": 3e-07,
		"input_cost_per_token_above_200k_tokens": 6e-06, "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
		"input_cost_per_token_batches": 9e-01, "input_cost_per_token_priority": 9e-01},
	"gpt-y": {"input_cost_per_token": 0.00000015, "output_cost_per_token": 0.0000006, "cache_read_input_token_cost": null},
	"odd": {"input_cost_per_token": 1.0000000000000001e-15, "output_cost_per_token": 0},
	"image": {"output_cost_per_image": 0.04}, "half": {"input_cost_per_token": 1e-06}}`

func TestAPublicTableBecomesWholePrices(t *testing.T) {
	f, skipped, err := Import([]byte(table))
	if err != nil || skipped != 3 {
		t.Fatalf("skipped %d, %v", skipped, err)
	}
	for name, want := range map[string]Price{
		"claude-x": {In: 6_000_000_000, Out: 15_000_000_000, Cached: 300_000_000, Write5m: 7_500_000_000, Write1h: 6_000_000_000},
		"gpt-y":    {In: 150_000_000, Out: 600_000_000},
		"odd":      {In: 2}, // rounded up
	} {
		if got := f.Models[name]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if _, known := f.Find("openai", "image"); known {
		t.Error("a model without a price by the token has one")
	}
	b, cid, err := f.Encode()
	if err != nil || !cid.Defined() {
		t.Fatal(cid, err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, cid2, _ := again.Encode(); cid2 != cid {
		t.Errorf("the same prices have the CIDs %s and %s", cid, cid2)
	}
}

func TestABadTableIsRefused(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`[]`, "as LiteLLM"}, {`{}`, "no model"},
		{`{"a":{"input_cost_per_token":-1,"output_cost_per_token":0}}`, "no price"},
		{`{"a":{"input_cost_per_token":"1/3","output_cost_per_token":0}}`, "no number"},
		{`{"a":{"input_cost_per_token":1e9,"output_cost_per_token":0}}`, "out of range"},
		{`{"a":{"input_cost_per_token":1e-9999999,"output_cost_per_token":0}}`, "out of range"},
	} {
		if _, _, err := Import([]byte(c.src)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.src, err, c.want)
		}
	}
	for _, src := range []string{`{}`, `{"schema":"writ/prices/1","models":{"a":{"in":-1,"out":0}}}`, `{"schema":"writ/prices/1","more":1}`} {
		if _, err := Parse([]byte(src)); err == nil {
			t.Errorf("%s is read", src)
		}
	}
}

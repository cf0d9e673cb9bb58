// Package prices reads what providers charge for tokens.
//
// A [File] is canonical JSON with a CID: the same prices have the same CID wherever they were imported. Prices are
// whole nano-USD for 1,000,000 tokens, rounded up. A model that is not in it has no price, which is not the price 0.
package prices

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/writ-run/writ/provenance"
)

// Schema names the version of the format.
const Schema = "writ/prices/1"

// A Price is that of one model, in nano-USD for 1,000,000 tokens. Parts of the input that are 0 are priced as In.
type Price struct {
	In      int64 `json:"in"`
	Out     int64 `json:"out"`
	Cached  int64 `json:"cached,omitempty"`
	Write5m int64 `json:"write5m,omitempty"`
	Write1h int64 `json:"write1h,omitempty"`
}

// A File is a table of prices by the models' names.
type File struct {
	Schema string           `json:"schema"`
	Models map[string]Price `json:"models"`
}

// MaxSize bounds a table, in bytes.
const MaxSize = 16 << 20

// Encode returns the canonical bytes of f and their CID.
func (f *File) Encode() ([]byte, provenance.Link, error) {
	b, err := json.Marshal(f) // keys of a map are sorted
	if err != nil {
		return nil, provenance.Link{}, err
	}
	return b, provenance.NewRaw(b).CID, nil
}

// CID returns what names the prices, however their file was written.
func (f *File) CID() (provenance.Link, error) {
	_, id, err := f.Encode()
	return id, err
}

// Reprice returns a model with the table's prices in the place of its own, as far as the table has them: what a cache
// changes stays what it was where the table does not say it. It returns false if the table does not have the model.
func (f *File) Reprice(m provenance.ModelInfo) (provenance.ModelInfo, bool) {
	p, known := f.Find(m.Provider, m.Model)
	if !known {
		return m, false
	}
	m.PriceIn, m.PriceOut = p.In, p.Out
	for _, x := range []struct {
		to   *int64
		from int64
	}{{&m.PriceCached, p.Cached}, {&m.PriceWrite5m, p.Write5m}, {&m.PriceWrite1h, p.Write1h}} {
		if x.from != 0 {
			*x.to = x.from
		}
	}
	return m, true
}

// Compare says what of a runtime's models is not priced as the table says, in the models' order; those that were
// priced by hand are left out, and checked is how many were not. What a cache changes is the table's only where it
// says so: else it is what is known of the provider. [File.Reprice] is what both this and an audit compare with.
func (f *File) Compare(models []provenance.ModelInfo) (differ []string, checked int, err error) {
	id, err := f.CID()
	if err != nil {
		return nil, 0, err
	}
	for _, m := range models {
		if m.Prices == "" {
			continue
		}
		checked++
		priced, known := f.Reprice(m)
		switch {
		case m.Prices != id.String():
			differ = append(differ, fmt.Sprintf("%s is priced by the table %s, and this is %s", m.Name, m.Prices, id))
		case !known:
			differ = append(differ, fmt.Sprintf("%s has a price, and the table has no %q", m.Name, m.Model))
		case priced != m:
			differ = append(differ, fmt.Sprintf("%s costs %d in and %d out by the table, and %d and %d by the record", m.Name,
				priced.PriceIn, priced.PriceOut, m.PriceIn, m.PriceOut))
		}
	}
	return differ, checked, nil
}

// Read reads the bytes of a table, no more than [MaxSize].
func Read(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(b) > MaxSize {
		err = fmt.Errorf("the table has more than %d bytes", MaxSize)
	}
	return b, err
}

// Parse reads a file, strictly.
func Parse(b []byte) (*File, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	f := &File{}
	if err := dec.Decode(f); err != nil {
		return nil, errors.New("it is no table of prices; make one with: writ prices import")
	}
	if _, err := dec.Token(); err != io.EOF || f.Schema != Schema {
		return nil, fmt.Errorf("its schema is not %q; make one with: writ prices import", Schema)
	}
	for name, p := range f.Models {
		if min(p.In, p.Out, p.Cached, p.Write5m, p.Write1h) < 0 {
			return nil, fmt.Errorf("the price of %q is below zero", name)
		}
	}
	return f, nil
}

// Find returns the price of a model of a provider: by both names, or by the model's alone.
func (f *File) Find(provider, model string) (Price, bool) {
	for _, name := range []string{provider + "/" + model, model} {
		if p, there := f.Models[name]; there {
			return p, true
		}
	}
	return Price{}, false
}

// Import reads the public table of LiteLLM (model_prices_and_context_window.json). Models of which it does not say what
// both input and output cost by the token are left out, and counted as skipped. Of prices in steps the dearest is
// taken, so that a long input never costs more than is counted.
func Import(table []byte) (f *File, skipped int, err error) {
	if len(table) > MaxSize {
		return nil, 0, fmt.Errorf("the table has more than %d bytes", MaxSize)
	}
	var entries map[string]map[string]json.RawMessage
	if json.Unmarshal(table, &entries) != nil {
		return nil, 0, errors.New("the table is no JSON object of objects, as LiteLLM publishes it")
	}
	f = &File{Schema: Schema, Models: map[string]Price{}}
	for name, e := range entries {
		p, whole, err := readEntry(e)
		if err != nil {
			return nil, 0, fmt.Errorf("%.80q: %w", name, err)
		}
		if name == "sample_spec" || !whole || len(name) > 200 {
			skipped++
			continue
		}
		f.Models[name] = p
	}
	if len(f.Models) == 0 {
		return nil, skipped, errors.New("the table has no model with a price by the token")
	}
	return f, skipped, nil
}

// readEntry reads one model; whole says whether input and output are priced.
func readEntry(e map[string]json.RawMessage) (p Price, whole bool, err error) {
	in, out := false, false
	for key, raw := range e {
		var at *int64
		switch {
		case isPriceOf(key, "cache_creation_input_token_cost_above_1hr"):
			at = &p.Write1h
		case isPriceOf(key, "cache_creation_input_token_cost"):
			at = &p.Write5m
		case isPriceOf(key, "cache_read_input_token_cost"):
			at = &p.Cached
		case isPriceOf(key, "input_cost_per_token"):
			at, in = &p.In, true
		case isPriceOf(key, "output_cost_per_token"), isPriceOf(key, "output_cost_per_reasoning_token"):
			at, out = &p.Out, true
		default:
			continue
		}
		n, err := readPrice(raw)
		if err != nil {
			return p, false, fmt.Errorf("%s: %w", key, err)
		}
		*at = max(*at, n)
	}
	return p, in && out, nil
}

// isPriceOf says whether a key is a price, or that of a step of it. Prices of other service tiers are not asked for.
func isPriceOf(key, name string) bool {
	return key == name || strings.HasPrefix(key, name+"_above_") && strings.HasSuffix(key, "_tokens")
}

// readPrice reads USD for one token as nano-USD for 1,000,000, rounded up.
func readPrice(raw json.RawMessage) (int64, error) {
	if string(raw) == "null" {
		return 0, nil
	}
	text := string(raw)
	if len(text) > 40 || strings.ContainsAny(text, "/\"") {
		return 0, errors.New("it is no number")
	}
	if _, exponent, has := strings.Cut(strings.ToLower(text), "e"); has && len(exponent) > 3 {
		return 0, errors.New("it is out of range")
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || r.Sign() < 0 {
		return 0, errors.New("it is no price")
	}
	r.Mul(r, new(big.Rat).SetInt64(1_000_000_000_000_000))
	n := new(big.Int).Add(r.Num(), new(big.Int).Sub(r.Denom(), big.NewInt(1)))
	if n.Quo(n, r.Denom()); !n.IsInt64() {
		return 0, errors.New("it is out of range")
	}
	return n.Int64(), nil
}

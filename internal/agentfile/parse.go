package agentfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// file is the YAML form, described by agents/schema.json.
type file struct {
	Schema       string   `yaml:"schema"`
	Name         string   `yaml:"name"`
	About        string   `yaml:"about"`
	Instructions string   `yaml:"instructions"`
	Answer       any      `yaml:"answer"`
	Tools        []string `yaml:"tools"`
	Routes       []Route  `yaml:"routes"`
	Limits       struct {
		Turns  uint64 `yaml:"turns"`
		Calls  uint64 `yaml:"calls"`
		Tokens int64  `yaml:"tokens"`
		USD    string `yaml:"usd"`
		Wall   string `yaml:"wall"`
	} `yaml:"limits"`
	Delegates []fileDelegate `yaml:"delegates"`
	Threads   struct {
		Busy string `yaml:"busy"`
	} `yaml:"threads"`
	Grant fileGrant `yaml:"grant"`
}

type fileDelegate struct {
	Agent      string     `yaml:"agent"`
	About      string     `yaml:"about"`
	Tools      []string   `yaml:"tools"`
	Life       string     `yaml:"life"`
	Utterances []string   `yaml:"utterances"`
	Grant      *fileGrant `yaml:"grant"`
}

// fileGrant is the YAML form of caveats.
type fileGrant struct {
	Assets           map[string]uint8  `yaml:"assets"`
	MaxTotal         map[string]string `yaml:"max_total"`
	MaxPerCall       map[string]string `yaml:"max_per_call"`
	ApproveAbove     map[string]string `yaml:"approve_above"`
	MaxCalls         uint64            `yaml:"max_calls"`
	MaxTokens        uint64            `yaml:"max_tokens"`
	MaxUSD           string            `yaml:"max_usd"`
	MaxDepth         uint64            `yaml:"max_depth"`
	Chains           []uint64          `yaml:"chains"`
	Recipients       []string          `yaml:"recipients"`
	Hosts            []string          `yaml:"hosts"`
	Models           []string          `yaml:"models"`
	Things           []string          `yaml:"things"`
	ApproveIfTainted *bool             `yaml:"approve_if_tainted"`
}

// Schema names the version of the file format.
const Schema = "writ/agent/1"

// maxFile bounds an agent file.
const maxFile = 64 << 10

// Parse reads an agent file: strict YAML, one document, at most 64 KiB. An unknown key is an error that
// names its line. A grant that names no chains is for the given one.
func Parse(src []byte, chain uint64) (Definition, error) {
	f, err := decodeFile(src)
	if err != nil {
		return Definition{}, err
	}
	if len(f.Grant.Chains) == 0 {
		f.Grant.Chains = []uint64{chain}
	}
	d := Definition{
		Name: f.Name, About: f.About, Instructions: f.Instructions, Tools: f.Tools, Routes: f.Routes,
		Limits: Limits{Turns: f.Limits.Turns, Calls: f.Limits.Calls, Tokens: f.Limits.Tokens},
	}
	if f.Answer != nil {
		schema, err := json.Marshal(f.Answer)
		if err == nil {
			_, err = form.Parse(schema)
		}
		if err != nil {
			return Definition{}, fmt.Errorf("agent %q: %w", f.Name, err)
		}
		d.Answer = string(schema)
	}
	switch f.Threads.Busy {
	case "", "refuse":
	case "wait":
		d.ThreadWaits = true
	default:
		return Definition{}, fmt.Errorf("agent %q: threads.busy is %q: write refuse or wait", f.Name, f.Threads.Busy)
	}
	if f.Limits.USD != "" {
		if d.Limits.Cost, err = parseNanoUSD(f.Limits.USD); err != nil {
			return Definition{}, fmt.Errorf("agent %q: limits.usd: %w", f.Name, err)
		}
	}
	if d.Limits.Wall, err = parsePeriod(f.Limits.Wall, "30m"); err != nil {
		return Definition{}, fmt.Errorf("agent %q: limits.wall %w", f.Name, err)
	}
	if d.Grant, err = f.Grant.parseCaveats(); err != nil {
		return Definition{}, fmt.Errorf("agent %q: grant.%w", f.Name, err)
	}
	if len(f.Delegates) > 0 {
		d.Delegates = make([]Delegate, len(f.Delegates))
	}
	if missing := f.Grant.listMissing(); len(missing) > 0 && !reflect.ValueOf(f.Grant).IsZero() {
		return Definition{}, fmt.Errorf("agent %q: its grant lacks %s: no wallet could sign it", f.Name,
			strings.Join(missing, ", "))
	}
	if !reflect.ValueOf(f.Grant).IsZero() && chain != 0 { // without a chain it is not whole, and is only looked at
		if err := d.Grant.Sorted().Validate(); err != nil {
			return Definition{}, fmt.Errorf("agent %q: no wallet could sign its grant: %w", f.Name, err)
		}
	}
	if err := d.checkFields(); err != nil { // before its delegates are measured by it
		return Definition{}, err
	}
	for i, x := range f.Delegates {
		if d.Delegates[i], err = f.parseDelegate(src, i, x, d.Grant); err != nil {
			return Definition{}, fmt.Errorf("agent %q: %w", f.Name, err)
		}
	}
	return d, nil
}

func decodeFile(src []byte) (f file, err error) {
	if len(src) > maxFile {
		return f, fmt.Errorf("an agent file of %d bytes is longer than %d", len(src), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return f, fmt.Errorf("read the agent file: %s", tellFault(err))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return f, errors.New("read the agent file: it holds more than one document")
	}
	if f.Schema != Schema {
		return f, fmt.Errorf("read the agent file: schema is %q; this program reads %q", f.Schema, Schema)
	}
	return f, nil
}

// parseDelegate reads the i-th delegate, whose limits are measured by the agent's own.
func (f *file) parseDelegate(src []byte, i int, x fileDelegate, own auth.Caveats) (d Delegate, err error) {
	d = Delegate{Agent: x.Agent, About: x.About, Tools: x.Tools, Utterances: x.Utterances}
	if d.Life, err = parsePeriod(x.Life, "10m"); err != nil {
		return d, fmt.Errorf("delegates %d: life %w", i+1, err)
	}
	if x.Grant == nil {
		return d, nil
	}
	var key string
	if d.Grant, key, err = x.Grant.narrowCaveats(own, f.Grant.Assets); err != nil {
		return d, fmt.Errorf("%sdelegates %d: grant.%s: %w", lineOf(src, i, key), i+1, key, err)
	}
	return d, nil
}

// parsePeriod reads a duration above zero, or none.
func parsePeriod(text, example string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration such as %s", text, example)
	}
	return d, nil
}

// parseCaveats reads the limits; an error begins with the key.
func (g *fileGrant) parseCaveats() (auth.Caveats, error) {
	c := auth.Caveats{
		MaxCalls: g.MaxCalls, MaxTokens: g.MaxTokens, MaxDepth: g.MaxDepth,
		Chains: g.Chains, Hosts: g.Hosts, Models: g.Models, Things: g.Things,
		ApproveIfTainted: g.ApproveIfTainted != nil && *g.ApproveIfTainted,
	}
	var err error
	for i, text := range g.Recipients {
		a := common.HexToAddress(text)
		if !common.IsHexAddress(text) || a.Hex() != text {
			return c, fmt.Errorf("recipients: entry %d is not an address with the capitals of EIP-55", i+1)
		}
		c.Recipients = append(c.Recipients, a)
	}
	if g.MaxUSD != "" {
		if c.MaxCostNanoUSD, err = parseNanoUSD(g.MaxUSD); err != nil {
			return c, fmt.Errorf("max_usd: %w", err)
		}
	}
	for _, part := range []struct {
		key  string
		from map[string]string
		to   *[]money.Amount
	}{
		{"max_total", g.MaxTotal, &c.MaxTotal},
		{"max_per_call", g.MaxPerCall, &c.MaxPerCall},
		{"approve_above", g.ApproveAbove, &c.ApproveAbove},
	} {
		if *part.to, err = parseAmounts(part.from, g.Assets); err != nil {
			return c, fmt.Errorf("%s: %w", part.key, err)
		}
	}
	return c, nil
}

// listMissing returns the keys that a grant needs and this one lacks, all at once. An agent without any is called by
// others only, under what they delegate.
func (g *fileGrant) listMissing() (out []string) {
	amounts := []struct {
		key string
		of  map[string]string
	}{{"max_total", g.MaxTotal}, {"max_per_call", g.MaxPerCall}, {"approve_above", g.ApproveAbove}}
	named := map[string]bool{}
	for _, a := range amounts {
		for symbol := range a.of {
			named[symbol] = true
		}
	}
	for _, a := range amounts {
		for _, symbol := range slices.Sorted(maps.Keys(named)) {
			if _, ok := a.of[symbol]; !ok {
				out = append(out, a.key+"."+symbol)
			}
		}
	}
	for _, x := range []struct {
		key string
		is  bool
	}{{"max_calls", g.MaxCalls > 0}, {"max_tokens", g.MaxTokens > 0}, {"max_usd", g.MaxUSD != ""}} {
		if !x.is {
			out = append(out, x.key)
		}
	}
	return out
}

func parseNanoUSD(usd string) (int64, error) {
	a, err := money.ParseDecimal(money.USD, usd)
	if err != nil {
		return 0, err
	}
	n := a.Uint256()
	if !n.IsUint64() || n.Uint64() > 1<<62 {
		return 0, fmt.Errorf("%s: %w", usd, money.ErrOverflow)
	}
	return int64(n.Uint64()), nil
}

// parseAmounts reads amounts by symbol; assets gives the decimals of each symbol.
func parseAmounts(by map[string]string, assets map[string]uint8) ([]money.Amount, error) {
	var out []money.Amount
	for _, symbol := range slices.Sorted(maps.Keys(by)) {
		decimals, ok := assets[symbol]
		if !ok {
			return nil, fmt.Errorf("%s is not among grant.assets, which gives its decimals", symbol)
		}
		a, err := money.ParseDecimal(money.Asset{Symbol: symbol, Decimals: decimals}, by[symbol])
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

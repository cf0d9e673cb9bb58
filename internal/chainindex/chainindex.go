// Package chainindex keeps the events of named contracts, and answers sums, counts, top lists and time series over
// them, each with the blocks that it is of.
//
// An [Index] is one SQLite file in a server's data folder. [Index.Follow] reads, source by source, the events of one
// contract by its ABI from a block on: in ranges, which become smaller where an endpoint refuses them, up to 16 blocks
// before the newest, and these last by their hashes, so that an endpoint that lags behind is asked again instead of
// believed. The hashes of the blocks up to which it has read are kept: where the chain has others it goes back, and
// deletes what these blocks had said. All of it can be read again from the chain, so the file is in no backup.
//
// The tool chain.query answers from the file, once the chain still has the block up to which it speaks. Amounts are
// whole numbers of any size, as decimal texts. What events say is anybody's words.
package chainindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/sqlfile"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// Bounds of an index.
const (
	MaxSources = 16
	maxEvents  = 2 << 20 // of one source
	maxRow     = 4 << 10 // bytes of what one event says
	maxText    = 256     // bytes of one text in it
)

// A Client is what an index needs of a node.
type Client interface {
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	FilterLogs(ctx context.Context, q ethereum.FilterQuery) ([]types.Log, error)
}

// A Config says which events of which contract are a source.
type Config struct {
	Name    string // what queries call it, e.g. usdc.transfers
	Address common.Address
	ABI     []byte // a list, or an object with the member abi
	Event   string // its name, or its signature if there are several of the name
	From    uint64 // the first block
	Amount  string // the field that is an amount of Asset, a token of the book; optional
	Asset   string
	Book    *tools.Book
}

// A Source is the events of one contract that an index keeps.
type Source struct {
	name    string
	address common.Address
	event   calldata.Event
	from    uint64
	amount  string
	asset   money.Asset
	book    *tools.Book
	fields  []string // of an event, in the order of the ABI
	id      string   // of all that says which events they are
}

// NewSource reads the ABI and finds the event.
func NewSource(c Config) (*Source, error) {
	parsed, err := calldata.ReadABI(c.ABI)
	if err != nil {
		return nil, err
	}
	e, err := calldata.FindEvent(parsed, c.Event)
	if err != nil {
		return nil, err
	}
	s := &Source{
		name: c.Name, address: c.Address, event: calldata.Event{Event: e}, from: c.From, amount: c.Amount, book: c.Book,
	}
	for i, in := range e.Inputs {
		if in.Name == "" {
			s.event.Inputs[i].Name = fmt.Sprint("arg", i)
		}
		s.fields = append(s.fields, calldata.Clean(s.event.Inputs[i].Name, 64))
	}
	if c.Amount != "" {
		symbol, t, err := c.Book.Token(c.Asset)
		if err != nil {
			return nil, fmt.Errorf("asset: %w", err)
		}
		if s.asset = (money.Asset{Symbol: symbol, Decimals: t.Decimals}); !s.isNumber(c.Amount) {
			return nil, fmt.Errorf("amount: the event %s has no whole number %q; it has %s", e.RawName, wording.Reveal(c.Amount),
				strings.Join(s.fields, ", "))
		}
	}
	written, err := json.Marshal([]any{c.Book.Chain, c.Address.Hex(), e.Sig, s.fields, c.From, indexed(e)})
	if err != nil {
		return nil, err
	}
	s.id = provenance.NewRaw(written).CID.String()
	return s, nil
}

func indexed(e abi.Event) (out []bool) {
	for _, in := range e.Inputs {
		out = append(out, in.Indexed)
	}
	return out
}

// input returns the event's input that is called so.
func (s *Source) input(field string) (abi.Argument, bool) {
	for i, f := range s.fields {
		if f == field {
			return s.event.Inputs[i], true
		}
	}
	return abi.Argument{}, false
}

// isNumber says whether a field is a whole number, of which sums are made.
func (s *Source) isNumber(field string) bool {
	in, ok := s.input(field)
	return ok && (in.Type.T == abi.UintTy || in.Type.T == abi.IntTy)
}

// row writes what an event says, field by field, as one JSON list of texts. ok is false of what is no event of the
// source.
func (s *Source) row(l *types.Log) (text string, ok bool) {
	values, ok := s.event.Read(l.Topics, l.Data)
	if !ok {
		return "", false
	}
	out := make([]string, len(s.fields))
	for i, in := range s.event.Inputs {
		switch v := calldata.Show(values[in.Name]).(type) {
		case string:
			out[i] = wording.Clip(v, maxText)
		default:
			b, err := json.Marshal(v)
			if err != nil {
				return "", false
			}
			out[i] = wording.Clip(string(b), maxText)
		}
	}
	b, err := json.Marshal(out)
	return string(b), err == nil && len(b) <= maxRow
}

// An Index is the events of its sources. Before [Index.Open] it can be described only.
type Index struct {
	sources []*Source
	book    *tools.Book
	client  Client
	file    *sqlfile.File
	log     *slog.Logger
	pause   time.Duration // between two looks at the chain
}

// New makes an index of sources of one chain.
func New(book *tools.Book, sources []*Source) (*Index, error) {
	if len(sources) == 0 || len(sources) > MaxSources {
		return nil, fmt.Errorf("%d sources of events; 1 to %d are kept", len(sources), MaxSources)
	}
	x := &Index{sources: sources, book: book, pause: time.Second}
	if _, err := tools.Compile(x.Spec()); err != nil {
		return nil, err
	}
	return x, nil
}

// find returns the source of a name.
func (x *Index) find(name string) (*Source, error) {
	for _, s := range x.sources {
		if s.name == name {
			return s, nil
		}
	}
	return nil, errors.New("there is no such index")
}

package chainindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/tools"
)

const transfers = `[{"type":"event","name":"Transfer","inputs":[{"name":"from","type":"address","indexed":true},
	{"name":"to","type":"address","indexed":true},{"name":"value","type":"uint256"}]},
	{"type":"event","name":"Said","inputs":[{"name":"what","type":"string"},{"name":"","type":"int64"}]},
	{"type":"event","name":"Said","inputs":[{"name":"what","type":"string"}]}]`

var (
	token = common.HexToAddress("0x00000000000000000000000000000000000070cE")
	bob   = common.HexToAddress("0x00000000000000000000000000000000000b0b00")
	carol = common.HexToAddress("0x0000000000000000000000000000000000ca7010")
)

var book = &tools.Book{
	Chain: 7, Names: map[string]common.Address{"bob": bob},
	Tokens: map[string]tools.Token{"USDC": {Address: token, Decimals: 6}},
}

// A fakeChain is a node that serves ranges of so many blocks, and can replace its newest ones.
type fakeChain struct {
	mu      sync.Mutex
	headers []*types.Header
	logs    []types.Log
	limit   uint64 // blocks of a range; any if 0
	ranges  []uint64
	refused int
	down    error
}

// mine adds a block with transfers of so many units to somebody.
func (f *fakeChain) mine(salt string, to common.Address, units ...*big.Int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &types.Header{
		Number: big.NewInt(int64(len(f.headers))), Extra: []byte(salt), Time: uint64(1_767_225_600 + 3600*len(f.headers)),
		Difficulty: new(big.Int),
	}
	if n := len(f.headers); n > 0 {
		h.ParentHash = f.headers[n-1].Hash()
	}
	f.headers = append(f.headers, h)
	for i, u := range units {
		f.logs = append(f.logs, types.Log{
			Address: token, BlockNumber: h.Number.Uint64(), BlockHash: h.Hash(), Index: uint(i), Data: common.LeftPadBytes(u.Bytes(), 32),
			Topics: []common.Hash{source(nil).event.ID, common.BytesToHash(carol[:]), common.BytesToHash(to[:])},
		})
	}
}

// cut takes the blocks from a number on away.
func (f *fakeChain) cut(from int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.headers = f.headers[:from]
	var kept []types.Log
	for _, l := range f.logs {
		if l.BlockNumber < uint64(from) {
			kept = append(kept, l)
		}
	}
	f.logs = kept
}

func (f *fakeChain) HeaderByNumber(_ context.Context, number *big.Int) (*types.Header, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.down != nil:
		return nil, f.down
	case number == nil:
		return f.headers[len(f.headers)-1], nil
	case number.Uint64() >= uint64(len(f.headers)):
		return nil, ethereum.NotFound
	}
	return f.headers[number.Uint64()], nil
}

func (f *fakeChain) FilterLogs(_ context.Context, q ethereum.FilterQuery) (out []types.Log, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.BlockHash == nil {
		asked := q.ToBlock.Uint64() - q.FromBlock.Uint64() + 1
		if f.limit > 0 && asked > f.limit {
			f.refused++
			return nil, fmt.Errorf("block range is too large, the limit is %d", f.limit)
		}
		f.ranges = append(f.ranges, asked)
	}
	for _, l := range f.logs {
		in := q.BlockHash != nil && l.BlockHash == *q.BlockHash ||
			q.BlockHash == nil && l.BlockNumber >= q.FromBlock.Uint64() && l.BlockNumber <= q.ToBlock.Uint64()
		if in && l.Topics[0] == q.Topics[0][0] {
			out = append(out, l)
		}
	}
	return out, nil
}

func source(t *testing.T) *Source {
	s, err := NewSource(Config{
		Name: "usdc", Address: token, ABI: []byte(transfers), Event: "Transfer", Amount: "value", Asset: "usdc", Book: book,
	})
	if err != nil && t != nil {
		t.Fatal(err)
	}
	return s
}

func openIndex(t *testing.T, dir string, f *fakeChain) *Index {
	t.Helper()
	x, err := New(book, []*Source{source(t)})
	if err != nil {
		t.Fatal(err)
	}
	open, err := x.Open(dir, f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	open.pause = time.Millisecond
	return open
}

// follow runs the index until the test ends, or stop is called.
func follow(t *testing.T, x *Index) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.Follow(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func call(t *testing.T, x *Index, args string) (r result, err error) {
	t.Helper()
	d, err := tools.Compile(x.Spec())
	if err != nil {
		t.Fatal(err)
	}
	read, err := d.Read([]byte(args))
	if err != nil {
		return r, err
	}
	b, err := x.Call(t.Context(), tools.Input{Args: read})
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// ask asks until all blocks are in the answer.
func ask(t *testing.T, x *Index, args string) result {
	t.Helper()
	for range 1000 {
		r, err := call(t, x, args)
		if e, ok := errors.AsType[*tools.Error](err); ok && (e.Code == "not_indexed" || e.Code == "chain_changes") {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Missing == "" {
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the index does not come to the chain's end")
	return result{}
}

func TestQueries(t *testing.T) {
	f := &fakeChain{}
	huge := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	f.mine("", bob)
	f.mine("", bob, big.NewInt(1), big.NewInt(2_500_000))
	f.mine("", carol, big.NewInt(7), huge)
	for range 30 {
		f.mine("", bob)
	}
	f.mine("", carol, huge)
	x := openIndex(t, t.TempDir(), f)
	follow(t, x)
	double := new(big.Int).Lsh(huge, 1)
	all := new(big.Int).Add(double, big.NewInt(2_500_008))
	r := ask(t, x, `{"index":"usdc","measure":"sum"}`)
	text := all.String()
	want := text[:len(text)-6] + "." + text[len(text)-6:] + " USDC"
	if r.Count != 5 || r.Sum.Units != text || r.Sum.Display != want || *r.Sum.Decimals != 6 || r.To != "33" || r.From != "0" ||
		r.ToHash != f.headers[33].Hash().Hex() || r.Chain != 7 || r.Contract != token.Hex() {
		t.Errorf("got %+v %+v", r, r.Sum)
	}
	r = ask(t, x, `{"index":"usdc","measure":"sum","by":"to","to_block":"20"}`)
	if r.Different != 2 || r.Top[0].Value != carol.Hex() || r.Top[1].Name != "bob" || r.Top[1].Sum.Display != "2.500001 USDC" ||
		r.ToHash != f.headers[20].Hash().Hex() {
		t.Errorf("got %+v", r)
	}
	r = ask(t, x, `{"index":"usdc","measure":"count","every":"day","where":[{"field":"to","is":"bob"}]}`)
	if r.Count != 2 || r.Sum != nil || len(r.Series) != 1 || r.Series[0] != (period{"2026-01-01T00:00:00Z", 2, nil}) {
		t.Errorf("got %+v", r)
	}
	r = ask(t, x, `{"index":"usdc","measure":"count","every":"hour","since":"2026-01-01T02:00:00Z","until":"2026-01-02"}`)
	if r.Count != 2 || len(r.Series) != 1 || r.Series[0].From != "2026-01-01T02:00:00Z" {
		t.Errorf("got %+v", r)
	}
	for args, want := range map[string]string{
		`{"index":"usdc","measure":"sum","field":"to"}`:                           "whole number",
		`{"index":"usdc","measure":"sum","by":"too"}`:                             "no field",
		`{"index":"usdc","measure":"sum","by":"to","every":"day"}`:                "one of them",
		`{"index":"usdc","measure":"sum","where":[{"field":"to","is":"nobody"}]}`: "not in the address book",
		`{"index":"usdc","measure":"sum","where":[{"field":"value","is":"1.5"}]}`: "whole number",
		`{"index":"usdc","measure":"sum","to_block":"99"}`:                        "read up to block 33",
		`{"index":"usdc","measure":"sum","since":"yesterday"}`:                    "is not a time",
		`{"index":"other","measure":"sum"}`:                                       "usdc",
	} {
		if _, err := call(t, x, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

func TestRefusedRangesAreLearnt(t *testing.T) {
	f := &fakeChain{limit: 37}
	for i := range 3000 {
		f.mine("", bob, big.NewInt(int64(i)))
	}
	dir := t.TempDir()
	x := openIndex(t, dir, f)
	stop := follow(t, x)
	if r := ask(t, x, `{"index":"usdc","measure":"sum"}`); r.Count != 3000 || r.Sum.Units != "4498500" {
		t.Errorf("got %+v", r)
	}
	stop()
	f.mu.Lock()
	if len(f.ranges) > 150 || f.refused > 40 { // 81 if each had the 37 blocks
		t.Errorf("%d ranges were read, and %d refused", len(f.ranges), f.refused)
	}
	f.refused = 0
	f.mu.Unlock()
	for i := range 200 {
		f.mine("", bob, big.NewInt(int64(i)))
	}
	x = openIndex(t, dir, f) // what was learnt and read is there after a restart
	follow(t, x)
	if r := ask(t, x, `{"index":"usdc","measure":"count"}`); r.Count != 3200 || f.refused > 3 {
		t.Errorf("got %+v, and %d ranges were refused", r, f.refused)
	}
}

func TestReplacedBlocksAreUndone(t *testing.T) {
	for _, depth := range []int{1, 5, 300} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			f := &fakeChain{}
			for range 400 {
				f.mine("first", bob, big.NewInt(1))
			}
			x := openIndex(t, t.TempDir(), f)
			follow(t, x)
			if r := ask(t, x, `{"index":"usdc","measure":"sum"}`); r.Sum.Units != "400" {
				t.Errorf("got %+v", r)
			}
			f.cut(400 - depth)
			for range depth + 1 {
				f.mine("second", carol, big.NewInt(1000))
			}
			r := ask(t, x, `{"index":"usdc","measure":"sum","by":"to"}`)
			if want := fmt.Sprint(400 - depth + 1000*(depth+1)); r.Sum.Units != want || r.ToHash != f.headers[400].Hash().Hex() {
				t.Errorf("got %+v %+v, want %s", r, r.Sum, want)
			}
		})
	}
}

// An answer is of blocks that the chain has when it is given, also if nothing has followed the chain since.
func TestAnAnswerIsNotOfReplacedBlocks(t *testing.T) {
	f := &fakeChain{}
	for range 10 {
		f.mine("first", bob, big.NewInt(1))
	}
	x := openIndex(t, t.TempDir(), f)
	defer x.Close()
	for {
		did, err := x.step(t.Context(), x.sources[0])
		if err != nil {
			t.Fatal(err)
		}
		if !did {
			break
		}
	}
	f.cut(9)
	f.mine("second", bob)
	_, err := call(t, x, `{"index":"usdc","measure":"sum"}`)
	if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != "chain_changes" {
		t.Errorf("got %v", err)
	}
	// A node that is behind is no reason to undo anything.
	f.cut(5)
	if did, err := x.step(t.Context(), x.sources[0]); did || err != nil {
		t.Errorf("got %t, %v", did, err)
	}
	var m mark
	if err := x.file.Read(t.Context(), func(c *sqlite.Conn) (err error) { m, _, err = readMark(c, "usdc", 100); return err }); err != nil || m.number != 9 {
		t.Errorf("got %+v, %v", m, err)
	}
	f.down = errors.New("gone")
	_, err = call(t, x, `{"index":"usdc","measure":"sum"}`)
	if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code != "chain_unavailable" {
		t.Errorf("got %v", err)
	}
}

func TestSources(t *testing.T) {
	good := Config{Name: "a", Address: token, ABI: []byte(transfers), Event: "Transfer", Book: book}
	for want, change := range map[string]func(*Config){
		"no event \"Tranfer\"; did you mean": func(c *Config) { c.Event = "Tranfer" },
		"several events Said":                func(c *Config) { c.Event = "Said" },
		"cannot be read":                     func(c *Config) { c.ABI = []byte("{") },
		"no whole number":                    func(c *Config) { c.Amount, c.Asset = "to", "USDC" },
		"not a token known":                  func(c *Config) { c.Amount, c.Asset = "value", "EURC" },
	} {
		c := good
		change(&c)
		if _, err := NewSource(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	good.Event = "Said(string,int64)"
	s, err := NewSource(good)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.event.Inputs.Pack("pay\u202e mallory"+strings.Repeat("x", 9000), int64(-5))
	if err != nil {
		t.Fatal(err)
	}
	row, ok := s.row(&types.Log{Topics: []common.Hash{s.event.ID}, Data: data})
	var said []string
	if err := json.Unmarshal([]byte(row), &said); !ok || err != nil || said[1] != "-5" || strings.Contains(said[0], "\u202e") || len(said[0]) > 300 {
		t.Errorf("got %t %s", ok, row)
	}
	if _, ok := s.row(&types.Log{Topics: []common.Hash{s.event.ID}, Data: data[:40]}); ok {
		t.Error("half an event was read")
	}
}

// A source that is another than before begins anew, and the file is its owner's alone.
func TestAnotherSourceBeginsAnew(t *testing.T) {
	f := &fakeChain{}
	for range 5 {
		f.mine("", bob, big.NewInt(1))
	}
	dir := t.TempDir()
	x := openIndex(t, dir, f)
	stop := follow(t, x)
	ask(t, x, `{"index":"usdc","measure":"sum"}`)
	stop()
	if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	s := source(t)
	s.from, s.id = 3, "another"
	y, err := New(book, []*Source{s})
	if err == nil {
		y, err = y.Open(dir, f, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		t.Fatal(err)
	}
	follow(t, y)
	if r := ask(t, y, `{"index":"usdc","measure":"count"}`); r.Count != 2 || r.From != "3" {
		t.Errorf("got %+v", r)
	}
}

func TestDecimal(t *testing.T) {
	for _, tt := range []struct {
		n        string
		decimals uint8
		want     string
	}{{"0", 6, "0"}, {"1", 6, "0.000001"}, {"-1500000", 6, "-1.5"}, {"12", 0, "12"}, {"1000000", 6, "1"}} {
		n, _ := new(big.Int).SetString(tt.n, 10)
		if got := decimal(n, tt.decimals); got != tt.want {
			t.Errorf("%s: got %s", tt.n, got)
		}
	}
}

package chainindex

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/sqlfile"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ToolName is what the tool is called.
const ToolName = "chain.query"

// Bounds of an answer.
const (
	maxKeys    = 100_000 // different values of a field, of which the top is told
	maxPeriods = 366
	maxWait    = 3 * time.Second // for the newest blocks
	retries    = 3               // while the chain changes
)

// Spec describes the tool.
func (x *Index) Spec() tools.Spec {
	var names, ids []string
	var say strings.Builder
	for _, s := range x.sources {
		names, ids = append(names, s.name), append(ids, s.id)
		fmt.Fprintf(&say, "%s: %s of %s with %s. ", s.name, s.event.RawName, s.address.Hex(), strings.Join(s.fields, ", "))
	}
	enum, _ := json.Marshal(names) // texts
	described, _ := json.Marshal(strings.TrimSpace(say.String()))
	return tools.Spec{
		Name: ToolName, Class: tools.Read, Definition: provenance.NewRaw([]byte(strings.Join(ids, "\n"))).CID.String(),
		About: "Counts events of a contract, or sums one of their fields: all of them, the top values of a field, or by " +
			"hour, day or month (UTC; periods without events are left out). It says of which blocks.",
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["index","measure"],"properties":{
			"index":{"type":"string","enum":` + string(enum) + `,"description":` + string(described) + `},
			"measure":{"type":"string","enum":["sum","count"]},
			"field":{"type":"string","maxLength":64,"description":"what is summed; the amount if absent"},
			"by":{"type":"string","maxLength":64,"description":"field whose top values are told, each with its measure"},
			"every":{"type":"string","enum":["hour","day","month"],"description":"period of a time series"},
			"limit":{"type":"integer","minimum":1,"maximum":50,"description":"how many top values; 10 if absent"},
			"where":{"type":"array","maxItems":4,"description":"only events whose fields are so","items":{"type":"object","additionalProperties":false,"required":["field","is"],"properties":{
				"field":{"type":"string","maxLength":64},
				"is":{"type":"string","maxLength":256,"description":"an address, a name in the address book, a whole number or a text"}}}},
			"from_block":{"type":"string","format":"block","description":"first block; the index's first if absent"},
			"to_block":{"type":"string","format":"block","description":"last block; the newest if absent"},
			"since":{"type":"string","maxLength":32,"description":"only events at or after this time, e.g. 2026-01-31 or 2026-01-31T12:00:00Z"},
			"until":{"type":"string","maxLength":32,"description":"only events before this time"}}}`),
		Utterances: []string{"query the {measure} of {index}", "query the {measure} of {index} by {by}",
			"query the {measure} of {index} every {every}"},
		Output: &tools.Output{Integrity: label.Untrusted, Secrecy: label.Session},
	}
}

// A query is what is asked.
type query struct {
	source       *Source
	field        string // that is summed; "" to count only
	by, every    string
	limit        int
	where        map[int]string // what a field is, by its place
	from, to     int64          // blocks
	since, until int64          // seconds
}

type argument struct {
	Index, Measure, Field, By, Every, Since, Until string
	Limit                                          int
	Where                                          []struct{ Field, Is string }
	From                                           string `json:"from_block"`
	To                                             string `json:"to_block"`
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// readQuery makes a query of a call's arguments.
func (x *Index) readQuery(raw []byte) (q query, err error) {
	var a argument
	if err := json.Unmarshal(raw, &a); err != nil {
		return q, errorf("bad_argument", "The arguments cannot be read.")
	}
	if q.source, err = x.find(a.Index); err != nil {
		return q, errorf("bad_argument", "There is no index %q.", a.Index)
	}
	s := q.source
	q.by, q.every, q.limit = a.By, a.Every, cmp.Or(a.Limit, 10)
	if a.Measure == "sum" {
		if q.field = cmp.Or(a.Field, s.amount); q.field == "" || !s.isNumber(q.field) {
			return q, errorf("bad_argument", "A sum needs a field that is a whole number; the fields of %s are %s.", s.name,
				strings.Join(s.fields, ", "))
		}
	}
	if _, ok := s.input(q.by); q.by != "" && !ok {
		return q, errorf("bad_argument", "There is no field %q; the fields of %s are %s.", q.by, s.name,
			strings.Join(s.fields, ", "))
	}
	if q.by != "" && q.every != "" {
		return q, errorf("bad_argument", "Give by or every, one of them.")
	}
	if err := q.readConditions(a); err != nil {
		return q, err
	}
	return q, q.readBounds(a)
}

// readConditions reads what fields must be.
func (q *query) readConditions(a argument) error {
	q.where = map[int]string{}
	for _, w := range a.Where {
		in, ok := q.source.input(w.Field)
		place := slices.Index(q.source.fields, w.Field)
		if _, twice := q.where[place]; !ok || twice {
			return errorf("bad_argument", "Argument \"where\": there is no field %q, or it is there twice; the fields of %s "+
				"are %s.", w.Field, q.source.name, strings.Join(q.source.fields, ", "))
		}
		is := w.Is
		switch in.Type.T {
		case abi.AddressTy:
			to, err := q.source.book.Address(is)
			if err != nil {
				return errorf("bad_argument", "Argument \"where\": %s: %v", w.Field, err)
			}
			is = to.Hex()
		case abi.UintTy, abi.IntTy:
			n, ok := new(big.Int).SetString(is, 10)
			if !ok {
				return errorf("bad_argument", "Argument \"where\": %s is a whole number, in smallest units.", w.Field)
			}
			is = n.String()
		}
		q.where[place] = is
	}
	return nil
}

// readBounds reads of which blocks and times events are asked for.
func (q *query) readBounds(a argument) error {
	q.from, q.to, q.since, q.until = int64(q.source.from), math.MaxInt64, math.MinInt64, math.MaxInt64
	for text, to := range map[*string]*int64{&a.From: &q.from, &a.To: &q.to} {
		if *text == "" || *text == "latest" && to == &q.to {
			continue
		}
		n, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			return errorf("bad_argument", "The blocks must be numbers; to_block may be latest.")
		}
		if *to = n; n < int64(q.source.from) {
			return errorf("not_indexed", "The index %s begins at block %d.", q.source.name, q.source.from)
		}
	}
	if q.from > q.to {
		return errorf("bad_argument", "The first block is after the last.")
	}
	for text, to := range map[*string]*int64{&a.Since: &q.since, &a.Until: &q.until} {
		if *text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, *text)
		if err != nil {
			at, err = time.Parse(time.DateOnly, *text)
		}
		if err != nil {
			return errorf("bad_argument", "%q is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z.", *text)
		}
		*to = at.Unix()
	}
	return nil
}

// A result says what there was, and of which blocks.
type result struct {
	Index     string   `json:"index"`
	Event     string   `json:"event"`
	Contract  string   `json:"contract"`
	Chain     uint64   `json:"chain"`
	From      string   `json:"from_block"`
	To        string   `json:"to_block"`
	ToHash    string   `json:"to_block_hash"`
	Time      string   `json:"to_time"`
	Missing   string   `json:"blocks_not_read_yet,omitempty"` // up to the chain's newest
	Count     int64    `json:"count"`
	Sum       *sum     `json:"sum,omitempty"`
	Top       []group  `json:"top,omitempty"`
	Different int      `json:"different,omitempty"` // values of the field of the top
	Series    []period `json:"series,omitempty"`
}

// A sum is of one field, in its smallest units.
type sum struct {
	Field    string `json:"field"`
	Units    string `json:"units"`
	Token    string `json:"token,omitempty"`
	Decimals *uint8 `json:"decimals,omitempty"`
	Display  string `json:"display,omitempty"`
}

type group struct {
	Value string `json:"value"`
	Name  string `json:"name,omitempty"` // in the address book
	Count int64  `json:"count"`
	Sum   *sum   `json:"sum,omitempty"`
}

type period struct {
	From  string `json:"from"`
	Count int64  `json:"count"`
	Sum   *sum   `json:"sum,omitempty"`
}

// Call answers a query.
func (x *Index) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if x.file == nil {
		return nil, fmt.Errorf("the index is not open")
	}
	q, err := x.readQuery(in.Args.JSON)
	if err != nil {
		return nil, err
	}
	for range retries {
		newest, err := x.awaitHead(ctx, q)
		if err != nil {
			return nil, err
		}
		r, ok, err := x.answer(ctx, q, newest)
		if err != nil {
			return nil, err
		}
		if ok {
			b, err := json.Marshal(r)
			if err != nil {
				return nil, err
			}
			return tools.CanonicalJSON(b)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(x.pause):
		}
	}
	return nil, errorf("chain_changes", "The chain has just replaced its newest blocks; ask again in a minute.")
}

func unavailable(err error) error {
	told := errorf("chain_unavailable", "The chain cannot be reached now; try again in a minute.")
	return fmt.Errorf("%w (%w)", told, err)
}

// awaitHead waits until the newest block is read, if nearly all are, and returns its number.
func (x *Index) awaitHead(ctx context.Context, q query) (uint64, error) {
	head, err := x.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return 0, unavailable(err)
	}
	newest := head.Number.Uint64()
	for until := time.Now().Add(maxWait); time.Now().Before(until); {
		var m mark
		var there bool
		err := x.file.Read(ctx, func(c *sqlite.Conn) (err error) {
			m, there, err = readMark(c, q.source.name, math.MaxInt64)
			return err
		})
		if err != nil {
			return 0, err
		}
		read := m.number
		if !there {
			read = q.source.from
		}
		if there && m.number >= min(newest, uint64(q.to)) || read+4*nearHead < newest {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return newest, nil
}

// answer reads what there is. ok is false if the chain has not the blocks any more of which it was read.
func (x *Index) answer(ctx context.Context, q query, newest uint64) (r result, ok bool, err error) {
	t := tally{query: q, groups: map[string]*part{}}
	var last mark
	var there bool
	err = x.file.Read(ctx, func(c *sqlite.Conn) (err error) {
		if last, there, err = readMark(c, q.source.name, math.MaxInt64); err != nil || !there {
			return err
		}
		q.to = min(q.to, int64(last.number))
		return sqlfile.Each(c, `SELECT time, said FROM events
			WHERE source = ? AND number BETWEEN ? AND ? AND time >= ? AND time < ? ORDER BY number, place`,
			t.add, q.source.name, q.from, q.to, q.since, q.until)
	})
	if err != nil {
		return r, false, err
	}
	if asked := t.query.to; !there || q.from > q.to || asked != math.MaxInt64 && asked > int64(last.number) {
		return r, false, errorf("not_indexed", "The index %s is read up to block %d now, and the chain is at %d; ask for "+
			"these, or later.", q.source.name, last.number, newest)
	}
	end, err := x.client.HeaderByNumber(ctx, big.NewInt(q.to))
	if err != nil {
		return r, false, unavailable(err)
	}
	tip := end
	if uint64(q.to) != last.number {
		if tip, err = x.client.HeaderByNumber(ctx, new(big.Int).SetUint64(last.number)); err != nil {
			return r, false, unavailable(err)
		}
	}
	if tip.Hash() != last.hash {
		return r, false, nil
	}
	s := q.source
	r = result{
		Index: s.name, Event: s.event.Sig, Contract: s.address.Hex(), Chain: s.book.Chain, From: fmt.Sprint(q.from),
		To: fmt.Sprint(q.to), ToHash: end.Hash().Hex(), Time: time.Unix(int64(end.Time), 0).UTC().Format(time.RFC3339),
	}
	if t.query.to == math.MaxInt64 && newest > last.number {
		r.Missing = fmt.Sprint(newest - last.number)
	}
	t.fill(&r)
	return r, true, nil
}

// A tally adds events up.
type tally struct {
	query
	all    part
	groups map[string]*part // by value, or by period
}

type part struct {
	count int64
	sum   big.Int
}

func (p *part) add(n *big.Int) {
	if p.count++; n != nil {
		p.sum.Add(&p.sum, n)
	}
}

// add takes one event, a row of its time and what it says.
func (t *tally) add(r *sqlite.Stmt) error {
	var said []string
	if err := json.Unmarshal([]byte(r.ColumnText(1)), &said); err != nil || len(said) != len(t.source.fields) {
		return fmt.Errorf("the index %s has an event that cannot be read", t.source.name)
	}
	for place, is := range t.where {
		if said[place] != is {
			return nil
		}
	}
	var n *big.Int
	if t.field != "" {
		var ok bool
		if n, ok = new(big.Int).SetString(said[slices.Index(t.source.fields, t.field)], 10); !ok {
			return fmt.Errorf("the index %s has an event whose %s is no number", t.source.name, t.field)
		}
	}
	t.all.add(n)
	key, most := "", maxKeys
	switch {
	case t.by != "":
		key = said[slices.Index(t.source.fields, t.by)]
	case t.every != "":
		key, most = periodOf(r.ColumnInt64(0), t.every), maxPeriods
	default:
		return nil
	}
	if t.groups[key] == nil {
		if len(t.groups) == most {
			return errorf("too_many", "There are more than %d groups; ask for fewer blocks, or for longer periods.", most)
		}
		t.groups[key] = &part{}
	}
	t.groups[key].add(n)
	return nil
}

// periodOf returns the beginning of the period that a time is in.
func periodOf(seconds int64, every string) string {
	at := time.Unix(seconds, 0).UTC()
	switch every {
	case "hour":
		at = at.Truncate(time.Hour)
	case "day":
		at = at.Truncate(24 * time.Hour)
	default:
		at = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	return at.Format(time.RFC3339)
}

// fill writes what there was into a result. Of equal values the one that is first by its letters is first.
func (t *tally) fill(r *result) {
	r.Count, r.Sum = t.all.count, t.show(&t.all)
	keys := slices.Sorted(maps.Keys(t.groups))
	if t.every != "" {
		for _, k := range keys {
			r.Series = append(r.Series, period{k, t.groups[k].count, t.show(t.groups[k])})
		}
		return
	}
	slices.SortStableFunc(keys, func(a, b string) int {
		if t.field != "" {
			return t.groups[b].sum.Cmp(&t.groups[a].sum)
		}
		return cmp.Compare(t.groups[b].count, t.groups[a].count)
	})
	r.Different = len(keys)
	for _, k := range keys[:min(t.limit, len(keys))] {
		r.Top = append(r.Top, group{k, t.nameOf(k), t.groups[k].count, t.show(t.groups[k])})
	}
}

// nameOf returns the first name in the address book of an address.
func (t *tally) nameOf(value string) string {
	for _, name := range slices.Sorted(maps.Keys(t.source.book.Names)) {
		if t.source.book.Names[name].Hex() == value {
			return name
		}
	}
	return ""
}

// show writes a sum exactly, of the field that is an amount with its token.
func (t *tally) show(p *part) *sum {
	if t.field == "" {
		return nil
	}
	out := &sum{Field: t.field, Units: p.sum.String()}
	if a := t.source.asset; t.field == t.source.amount {
		out.Token, out.Decimals, out.Display = a.Symbol, &a.Decimals, decimal(&p.sum, a.Decimals)+" "+a.Symbol
	}
	return out
}

// decimal writes smallest units as whole tokens, without a rounding.
func decimal(n *big.Int, decimals uint8) string {
	digits := new(big.Int).Abs(n).String()
	if short := int(decimals) + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	whole, rest := digits[:len(digits)-int(decimals)], strings.TrimRight(digits[len(digits)-int(decimals):], "0")
	if rest != "" {
		whole += "." + rest
	}
	if n.Sign() < 0 {
		return "-" + whole
	}
	return whole
}

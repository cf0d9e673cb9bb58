// Package showrecord has the commands that show one record and judge all of a run's.
package showrecord

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// catOptions are the flags of writ cat.
type catOptions struct {
	data, file, keys, identity string
}

// Command returns writ cat.
func Command(s *cli.Shell) *cobra.Command {
	var o catOptions
	c := &cobra.Command{
		Use: "cat CID", Short: "Show one record",
		Long: `Shows a record as JSON with the names of its schema, links as {"/": cid}, bytes as hex, and each payload whose
key is known opened. The record comes from a CAR file, a data folder, or both in this order.

A CID that lines show shortened, bafyre..hylphi, or the end of one, stands for the block of the file, or for the run,
session or step of the folder's newest thousand runs, that it ends; it must be one alone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.show(c.Context(), s, args) },
	}
	c.Flags().StringVar(&o.data, "data", "", "data `folder` to look in")
	c.Flags().StringVar(&o.file, "file", "", "CAR `file` to look in")
	c.Flags().StringVar(&o.keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&o.identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	return c
}

func (o *catOptions) show(ctx context.Context, a *cli.Shell, args []string) error {
	link, err := cid.Decode(args[0])
	if err != nil {
		if _, short := cli.EndOfCID(args[0]); short != nil {
			return cli.Usage("%q is not a CID", args[0])
		}
	}
	if o.file == "" && o.data == "" {
		return cli.Usage("say where the record is: --file run.car, --data DIR, or both")
	}
	known, err := evidence.OpenKeys(o.keys, o.identity)
	if err != nil {
		return err
	}
	from := places{keys: known}
	if o.file != "" {
		src, f, err := evidence.OpenCAR(o.file)
		if err != nil {
			return err
		}
		defer f.Close()
		from.blocks = append(from.blocks, src.Get)
		from.lists = append(from.lists, func(do func(provenance.Link) error) error { return eachBlock(f, do) })
		from.heads = append(from.heads, func(provenance.Record) provenance.Link { return src.Root() })
	}
	if o.data != "" {
		db, err := evidence.OpenData(ctx, o.data)
		if err != nil {
			return err
		}
		defer db.Close()
		from.blocks = append(from.blocks, func(l provenance.Link) ([]byte, error) { return db.Block(ctx, l) })
		from.lists = append(from.lists, func(do func(provenance.Link) error) error { return eachRecord(ctx, db, do) })
		from.storedKey = func(l provenance.Link) (provenance.LeafKey, error) { return db.LeafKey(ctx, l) }
		from.heads = append(from.heads, func(rec provenance.Record) provenance.Link {
			if step, ok := rec.(*provenance.Step); ok {
				info, _ := db.Run(ctx, step.Run) // of a run that is not here nothing is known to be erased
				return info.Head
			}
			return cid.Undef
		})
	}
	if !link.Defined() {
		if link, err = from.find(args[0]); err != nil {
			return err
		}
	}
	v, err := recordView(link, &from)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Done(map[string]any{"cid": link.String(), "record": v}, nil)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", b)
	return err
}

// places are where a record may be, and the keys of its leaves.
type places struct {
	blocks    []func(provenance.Link) ([]byte, error) // in this order
	lists     []func(func(provenance.Link) error) error
	keys      map[provenance.Link]provenance.LeafKey // that were given
	storedKey func(provenance.Link) (provenance.LeafKey, error)
	heads     []func(provenance.Record) provenance.Link // of the run that a record belongs to; undefined if not known
}

// erased returns the leaves that the heads of a record's run call erased.
func (p *places) erased(rec provenance.Record) map[provenance.Link]bool {
	gone := map[provenance.Link]bool{}
	read := func(l provenance.Link) provenance.Record {
		data, err := p.block(l)
		if err != nil {
			return nil
		}
		rec, err := provenance.DecodeAny(data)
		if err != nil {
			return nil
		}
		return rec
	}
	for _, headOf := range p.heads {
		l := headOf(rec)
		if !l.Defined() {
			continue
		}
		if head, ok := read(l).(*provenance.Head); ok {
			for _, l := range head.Erased {
				if e, ok := read(l).(*provenance.Erasure); ok {
					for _, leaf := range e.Leaves {
						gone[leaf] = true
					}
				}
			}
		}
	}
	return gone
}

// find returns what a shortened CID stands for.
func (p *places) find(text string) (provenance.Link, error) {
	found := map[string]bool{}
	for _, each := range p.lists {
		err := each(func(l provenance.Link) error {
			if s := l.String(); cli.IsShortOf(text, s) {
				found[s] = true
			}
			return nil
		})
		if err != nil {
			return cid.Undef, err
		}
	}
	one, err := cli.OnlyOne(text, "record", slices.Sorted(maps.Keys(found)))
	if err != nil {
		return cid.Undef, err
	}
	return cid.Decode(one)
}

// eachBlock calls do with the CIDs of a CAR file that was checked.
func eachBlock(file io.ReaderAt, do func(provenance.Link) error) error {
	in := bufio.NewReader(io.NewSectionReader(file, 0, math.MaxInt64))
	header, err := binary.ReadUvarint(in)
	if err == nil {
		_, err = in.Discard(int(header))
	}
	for err == nil {
		size, end := binary.ReadUvarint(in)
		if end == io.EOF {
			return nil
		}
		read, link := 0, cid.Undef
		if err = end; err == nil {
			read, link, err = cid.CidFromReader(in)
		}
		if err == nil {
			err = do(link)
		}
		if err == nil {
			_, err = in.Discard(int(size) - read)
		}
	}
	return err
}

// maxRuns bounds how many runs of a folder are looked through, and stepsAtOnce how many of their steps are in memory.
const (
	maxRuns     = 1000
	stepsAtOnce = 100
)

// eachRecord calls do with the newest runs of a store, their sessions and their steps.
func eachRecord(ctx context.Context, db journal.Database, do func(provenance.Link) error) error {
	runs, err := db.Runs(ctx, common.Address{}, maxRuns)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if err := cmp.Or(do(r.ID), do(r.Session), do(r.Head)); err != nil {
			return err
		}
		for seq := uint64(0); seq < r.Steps; seq += stepsAtOnce {
			steps, err := db.Steps(ctx, r.ID, seq, stepsAtOnce)
			for _, s := range steps {
				err = cmp.Or(err, do(s.CID))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *places) block(l provenance.Link) ([]byte, error) {
	for _, get := range p.blocks {
		b, err := get(l)
		if err == nil {
			return b, nil
		}
		if !errors.Is(err, provenance.ErrAbsent) && !errors.Is(err, journal.ErrNotFound) {
			return nil, err
		}
	}
	return nil, cli.Failf(cli.ExitIncomplete, "not_found",
		"there is no block %s there; it may be in another file or folder", l)
}

func (p *places) key(l provenance.Link) (provenance.LeafKey, bool) {
	k, ok := p.keys[l]
	if !ok && p.storedKey != nil {
		var err error
		k, err = p.storedKey(l)
		ok = err == nil
	}
	return k, ok
}

// recordView returns a block as JSON for people: the names of its schema in their order, and its payloads opened
// where their leaf and, if it is sealed, its key are there; else it is said that they are erased, or sealed. A raw
// block is shown as what it holds.
func recordView(link provenance.Link, from *places) (json.RawMessage, error) {
	data, err := from.block(link)
	if err != nil {
		return nil, err
	}
	if link.Prefix().Codec == cid.Raw {
		return listMembers("kind", "leaf", "bytes", len(data), "content", viewBytes(data))
	}
	rec, err := provenance.DecodeAny(data)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", link, err)
	}
	var failed error
	gone := from.erased(rec)
	provenance.EachPayload(rec, func(p *provenance.Payload) {
		k, ok := from.key(p.Leaf())
		if failed != nil || !ok && !p.Public() {
			return
		}
		if leaf, err := from.block(p.Leaf()); err == nil { // else it was withheld
			failed = p.Open(leaf, k)
		}
	})
	if failed != nil {
		return nil, fmt.Errorf("block %s: %w", link, failed)
	}
	return viewer(gone).viewValue(reflect.ValueOf(rec))
}

// A viewer knows which leaves are erased.
type viewer map[provenance.Link]bool

var (
	linkType    = reflect.TypeFor[provenance.Link]()
	payloadType = reflect.TypeFor[*provenance.Payload]()
	amountType  = reflect.TypeFor[money.Amount]()
	eventType   = reflect.TypeFor[provenance.Event]()
	effectType  = reflect.TypeFor[provenance.Effect]()
	recordType  = reflect.TypeFor[provenance.Record]()
)

func (w viewer) viewValue(v reflect.Value) (json.RawMessage, error) {
	switch t := v.Type(); {
	case t == linkType:
		return json.Marshal(map[string]string{"/": v.Interface().(provenance.Link).String()})
	case t == amountType:
		return json.Marshal(v.Interface().(money.Amount).String())
	case t == payloadType:
		p := v.Interface().(*provenance.Payload)
		if b, ok := p.Bytes(); ok {
			return listMembers("leaf", p.Leaf().String(), "content", viewBytes(b))
		}
		if w[p.Leaf()] {
			return listMembers("leaf", p.Leaf().String(), "content", "(erased)")
		}
		return listMembers("leaf", p.Leaf().String(), "content", "(sealed: no key was given)")
	case v.Kind() == reflect.Interface:
		return w.viewValue(v.Elem())
	case v.Kind() == reflect.Pointer:
		if t.Implements(eventType) || t.Implements(effectType) || t.Implements(recordType) {
			return w.viewStruct(v.Elem(), "kind", toSnakeCase(t.Elem().Name()))
		}
		return w.viewValue(v.Elem())
	case v.Kind() == reflect.Struct:
		return w.viewStruct(v)
	case v.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return json.Marshal(hexOf(b))
	case v.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return json.Marshal(hexOf(v.Bytes()))
	case v.Kind() == reflect.Slice:
		items := make([]json.RawMessage, v.Len())
		for i := range items {
			item, err := w.viewValue(v.Index(i))
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return json.Marshal(items)
	}
	return json.Marshal(v.Interface())
}

// viewStruct shows a struct's fields in their order, after the pairs given; what is absent is left out.
func (w viewer) viewStruct(v reflect.Value, pairs ...any) (json.RawMessage, error) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || v.Field(i).IsZero() && f.Type.Kind() != reflect.Uint64 {
			continue
		}
		value, err := w.viewValue(v.Field(i))
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, toSnakeCase(f.Name), value)
	}
	return listMembers(pairs...)
}

// listMembers makes a JSON object of names and values, in this order.
func listMembers(pairs ...any) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(pairs[i])
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(pairs[i+1])
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// viewBytes shows bytes as the JSON or the text that they are, else as hex.
func viewBytes(b []byte) any {
	switch {
	case len(b) > 0 && (b[0] == '{' || b[0] == '[') && json.Valid(b):
		return json.RawMessage(b)
	case utf8.Valid(b):
		return string(b)
	}
	return hexOf(b)
}

// toSnakeCase turns MaxTokens into max_tokens.
func toSnakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && unicode.IsLower(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// hexOf shows bytes.
func hexOf(b []byte) string { return hex.EncodeToString(b) }

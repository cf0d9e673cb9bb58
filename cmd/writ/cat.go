package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func (a *app) catCommand() *cobra.Command {
	var data, file, keys, identity string
	c := &cobra.Command{
		Use: "cat CID", Short: "Show one record",
		Long: `Shows a record as JSON with the names of its schema, links as {"/": cid}, bytes as hex, and each payload whose key is
known opened. The record comes from a CAR file, a data folder, or both in this order.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			link, err := cid.Decode(args[0])
			if err != nil {
				return usage("%q is not a CID", args[0])
			}
			if file == "" && data == "" {
				return usage("say where the record is: --file run.car, --data DIR, or both")
			}
			var sources []func(provenance.Link) ([]byte, error)
			known, err := openKeys(keys, identity)
			if err != nil {
				return err
			}
			key := func(l provenance.Link) (provenance.LeafKey, bool) { k, ok := known[l]; return k, ok }
			if file != "" {
				src, f, err := openCAR(file)
				if err != nil {
					return err
				}
				defer f.Close()
				sources = append(sources, src.Get)
			}
			if data != "" {
				db, err := openData(c.Context(), data)
				if err != nil {
					return err
				}
				defer db.Close()
				sources = append(sources, func(l provenance.Link) ([]byte, error) { return db.Block(c.Context(), l) })
				given := key
				key = func(l provenance.Link) (provenance.LeafKey, bool) {
					if k, ok := given(l); ok {
						return k, true
					}
					k, err := db.LeafKey(c.Context(), l)
					return k, err == nil
				}
			}
			get := func(l provenance.Link) (b []byte, err error) {
				for _, s := range sources {
					if b, err = s(l); err == nil {
						return b, nil
					}
					if !errors.Is(err, provenance.ErrAbsent) && !errors.Is(err, agent.ErrNotFound) {
						return nil, err
					}
				}
				return nil, failf(exitIncomplete, "not_found", "there is no block %s there; it may be in another file or folder", l)
			}
			v, err := recordView(link, get, key)
			if err != nil {
				return err
			}
			if a.json {
				return a.done(map[string]any{"cid": link.String(), "record": v}, nil)
			}
			b, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s\n", b)
			return err
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` to look in")
	c.Flags().StringVar(&file, "file", "", "CAR `file` to look in")
	c.Flags().StringVar(&keys, "keys", "", "key `file` of the sealed payloads")
	c.Flags().StringVar(&identity, "identity", "", "age identity `file`, if the key file is encrypted to it")
	return c
}

// recordView returns a block as JSON for people: the names of its schema in their order, and its payloads opened
// where their leaf and, if it is sealed, its key are there. A raw block is shown as what it holds.
func recordView(link provenance.Link, get func(provenance.Link) ([]byte, error), key func(provenance.Link) (provenance.LeafKey, bool)) (json.RawMessage, error) {
	data, err := get(link)
	if err != nil {
		return nil, err
	}
	if link.Prefix().Codec == cid.Raw {
		return members("kind", "leaf", "bytes", len(data), "content", content(data))
	}
	rec, err := provenance.DecodeAny(data)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", link, err)
	}
	var failed error
	provenance.EachPayload(rec, func(p *provenance.Payload) {
		k, ok := key(p.Leaf())
		if failed != nil || !ok && !p.Public() {
			return
		}
		if leaf, err := get(p.Leaf()); err == nil { // else it was withheld
			failed = p.Open(leaf, k)
		}
	})
	if failed != nil {
		return nil, fmt.Errorf("block %s: %w", link, failed)
	}
	return view(reflect.ValueOf(rec))
}

var (
	linkType    = reflect.TypeFor[provenance.Link]()
	payloadType = reflect.TypeFor[*provenance.Payload]()
	amountType  = reflect.TypeFor[money.Amount]()
	eventType   = reflect.TypeFor[provenance.Event]()
	effectType  = reflect.TypeFor[provenance.Effect]()
	recordType  = reflect.TypeFor[provenance.Record]()
)

func view(v reflect.Value) (json.RawMessage, error) {
	switch t := v.Type(); {
	case t == linkType:
		return json.Marshal(map[string]string{"/": v.Interface().(provenance.Link).String()})
	case t == amountType:
		return json.Marshal(v.Interface().(money.Amount).String())
	case t == payloadType:
		p := v.Interface().(*provenance.Payload)
		if b, ok := p.Bytes(); ok {
			return members("leaf", p.Leaf().String(), "content", content(b))
		}
		return members("leaf", p.Leaf().String(), "content", "(sealed: no key was given)")
	case v.Kind() == reflect.Interface:
		return view(v.Elem())
	case v.Kind() == reflect.Pointer:
		if t.Implements(eventType) || t.Implements(effectType) || t.Implements(recordType) {
			return object(v.Elem(), "kind", snake(t.Elem().Name()))
		}
		return view(v.Elem())
	case v.Kind() == reflect.Struct:
		return object(v)
	case v.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return json.Marshal(hexOf(b))
	case v.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return json.Marshal(hexOf(v.Bytes()))
	case v.Kind() == reflect.Slice:
		items := make([]json.RawMessage, v.Len())
		for i := range items {
			item, err := view(v.Index(i))
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return json.Marshal(items)
	}
	return json.Marshal(v.Interface())
}

// object shows a struct's fields in their order, after the pairs given; what is absent is left out.
func object(v reflect.Value, pairs ...any) (json.RawMessage, error) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || v.Field(i).IsZero() && f.Type.Kind() != reflect.Uint64 {
			continue
		}
		value, err := view(v.Field(i))
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, snake(f.Name), value)
	}
	return members(pairs...)
}

// members makes a JSON object of names and values, in this order.
func members(pairs ...any) (json.RawMessage, error) {
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

// content shows bytes as the JSON or the text that they are, else as hex.
func content(b []byte) any {
	switch {
	case len(b) > 0 && (b[0] == '{' || b[0] == '[') && json.Valid(b):
		return json.RawMessage(b)
	case utf8.Valid(b):
		return string(b)
	}
	return hexOf(b)
}

// snake turns MaxTokens into max_tokens.
func snake(name string) string {
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

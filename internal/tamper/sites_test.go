package tamper

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// choices are how a value is changed: nil for the smallest change, the same each time.
type choices struct{ *rand.Rand }

// pick returns a number below n, 0 without chance.
func (c *choices) pick(n int) int {
	if c == nil {
		return 0
	}
	return c.IntN(n)
}

// A site is a value that can be changed. Its path names the kind of place; what is done to a list, or to what may be
// there or not, has a path of its own.
type site struct {
	path   string
	change func(*choices)
}

type siteList struct {
	sites []site
	links []provenance.Link // to put in the place of others
}

// sitesOf lists the places of a history, from a step on; those of its permission and agent too if that is the first.
func sitesOf(h *history, from int) []site {
	l := &siteList{}
	for _, b := range h.blocks {
		l.links = append(l.links, b.CID)
	}
	l.addHistory(h, from)
	if h.child != nil {
		l.addHistory(h.child, 0)
	}
	return l.sites
}

func (l *siteList) addHistory(h *history, from int) {
	first := len(l.sites)
	if from == 0 {
		for _, r := range []provenance.Record{&h.run, &h.agent, &h.grant, &h.rules, &h.runtime} {
			if h.delegation == nil || r != provenance.Record(&h.grant) { // a sub-agent's is its caller's
				l.walk(reflect.ValueOf(r).Elem(), reflect.TypeOf(r).Elem().Name())
			}
		}
		if h.dapp != nil {
			l.walk(reflect.ValueOf(h.dapp).Elem(), "PolicySet(dApp)")
		}
		if h.delegation != nil {
			l.walk(reflect.ValueOf(h.delegation).Elem(), "Delegation")
		}
	}
	l.walk(reflect.ValueOf(h.tools[len(h.tools)-1]).Elem(), "ToolDef")
	for i, s := range h.steps[from:] {
		l.walk(reflect.ValueOf(s).Elem(), "Step")
		if h.child == nil && from+i < len(h.steps)-1 { // how far it has come, a head says alone
			l.add("Step left out", func(*choices) { removeStep(h, from+i) })
		}
	}
	l.addHead(h)
	if h.delegation == nil {
		return
	}
	for i := first; i < len(l.sites); i++ { // an agent's key signs what a sub-agent is asked, and the operator has that
		l.sites[i].path = strings.Replace(l.sites[i].path, "(Ask).", "(Ask of an agent).", 1)
	}
}

// addHead lists the places of the head. It is made anew with the file, so it is changed then, before it is signed.
func (l *siteList) addHead(h *history) {
	sites := func(d *provenance.Head) []site {
		own := &siteList{links: l.links}
		own.walk(reflect.ValueOf(d).Elem(), "Head")
		return own.sites
	}
	unsigned := h.head
	unsigned.Key, unsigned.Sig = nil, nil
	for i, s := range sites(&unsigned) {
		l.add(s.path, func(c *choices) { h.behead = func(d *provenance.Head) { sites(d)[i].change(c) } })
	}
}

func (l *siteList) add(path string, change func(*choices)) {
	l.sites = append(l.sites, site{path, change})
}

func (l *siteList) walk(v reflect.Value, path string) {
	switch x := v.Interface().(type) {
	case provenance.Link:
		l.add(path, func(c *choices) { v.Set(reflect.ValueOf(l.links[c.pick(len(l.links))])) })
		return
	case money.Amount:
		l.add(path, func(c *choices) { v.Set(reflect.ValueOf(changeAmount(x, c))) })
		return
	case *provenance.Payload:
		l.addPayload(v, x, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			l.add(path+" added", func(*choices) { v.Set(reflect.New(v.Type().Elem())) })
			return
		}
		l.walk(v.Elem(), path)
		l.add(path+" left out", func(*choices) { v.SetZero() })
	case reflect.Interface:
		if !v.IsNil() {
			l.walk(v.Elem().Elem(), path+"("+v.Elem().Type().Elem().Name()+")")
		}
	case reflect.Struct:
		for i := range v.NumField() {
			l.walk(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice, reflect.Array:
		l.addList(v, path)
	default:
		l.add(path, func(c *choices) { changeScalar(v, c) })
	}
}

func (l *siteList) addPayload(v reflect.Value, p *provenance.Payload, path string) {
	if p == nil {
		l.add(path+" added", func(*choices) { v.Set(reflect.ValueOf(provenance.NewPayload([]byte(`{}`)))) })
		return
	}
	if b, ok := p.Bytes(); ok {
		l.add(path, func(c *choices) { v.Set(reflect.ValueOf(provenance.NewPayload(changeText(b, c)))) })
	}
	l.add(path+" left out", func(*choices) { v.SetZero() })
}

func (l *siteList) addList(v reflect.Value, path string) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Len() > 0 {
			l.add(path, func(c *choices) {
				at := v.Index(c.pick(v.Len()))
				at.SetUint(at.Uint() ^ 1<<c.pick(8))
			})
		}
		return
	}
	for i := range v.Len() {
		l.walk(v.Index(i), path+"[]")
	}
	if n := v.Len(); n > 0 && v.Kind() == reflect.Slice {
		l.add(path+" without its last", func(*choices) { v.Set(v.Slice(0, n-1)) })
		l.add(path+" with its last twice", func(*choices) { v.Set(reflect.Append(v.Slice3(0, n, n), v.Index(n-1))) })
	}
	if n := v.Len(); n > 1 {
		l.add(path+" in another order", func(c *choices) {
			i := c.pick(n - 1)
			reflect.Swapper(v.Interface())(i, i+1)
		})
	}
}

// vocabularies are words of which no change by chance makes another one.
var vocabularies = [][]string{
	{provenance.BreakerClosed, provenance.BreakerOpen, provenance.BreakerHalfOpen},
	{string(fault.ModelOutrun), string(fault.ModelGone), string(fault.ModelStopped), string(fault.ModelTimeout)},
}

func changeScalar(v reflect.Value, c *choices) {
	switch v.Kind() {
	case reflect.Int64:
		v.SetInt([]int64{v.Int() + 1, v.Int() - 1, 0, v.Int() * 2, v.Int() ^ 1<<c.pick(40)}[c.pick(5)])
	case reflect.Uint64:
		v.SetUint([]uint64{v.Uint() + 1, v.Uint() - 1, 0, v.Uint() * 2, v.Uint() ^ 1<<c.pick(40)}[c.pick(5)])
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		s := v.String()
		for _, words := range vocabularies {
			if i := slices.Index(words, s); i >= 0 && c.pick(2) == 0 {
				v.SetString(words[(i+1+c.pick(len(words)-1))%len(words)])
				return
			}
		}
		if c.pick(2) == 0 || s == "" {
			v.SetString(s + "x")
			return
		}
		v.SetString(string(changeText([]byte(s), c)))
	default:
		panic(v.Type().String() + " is a kind that this test cannot change")
	}
}

func changeAmount(x money.Amount, c *choices) money.Amount {
	n := x.Uint256()
	switch c.pick(4) {
	case 1:
		if !n.IsZero() {
			n.SubUint64(n, 1)
		}
	case 2:
		n.Clear()
	case 3:
		n.Add(n, n)
	default:
		n.AddUint64(n, 1)
	}
	return money.FromUint256(x.Asset(), n)
}

// changeText changes the last letter or digit of a text, so that JSON stays JSON; with chance another one too.
func changeText(b []byte, c *choices) []byte {
	out := bytes.Clone(b)
	if c.pick(8) == 1 {
		return append(out, ' ')
	}
	last := len(out) - 1
	if last > 0 && c.pick(2) == 1 {
		last = c.pick(len(out))
	}
	for i := last; i >= 0; i-- {
		switch x := out[i]; {
		case x >= 'a' && x < 'z', x >= '0' && x < '9':
			out[i]++
			return out
		case x == 'z' || x == '9':
			out[i]--
			return out
		}
	}
	return append(out, ' ')
}

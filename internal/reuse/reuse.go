// Package reuse remembers where the answers stand that may be given again: for the key of a prompt the step that
// recorded its answer, and nothing of the answer itself, so that one that was erased is gone from here too.
//
// Who needs an answer claims its key ([Cache.Claim]). One of those who claim a key at the same time leads: it asks, and
// says where the answer stands, or that there is none. The others wait for it; of a lead that came to nothing one of
// them takes the place.
package reuse

import (
	"context"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/provenance"
)

// A Key stands for all that an answer depends on.
type Key [32]byte

// A Source says where an answer stands.
type Source struct {
	Run  provenance.Link
	Seq  uint64
	From provenance.Reused
}

// Read reads the answer where it stands, without what its provider counted and sent. It is nil if it cannot be read any
// more.
func (s Source) Read(ctx context.Context, db archive.OpenedRecords) *provenance.ModelCall {
	steps, err := archive.Steps(ctx, db, s.Run, s.Seq, 1)
	if err != nil || len(steps) == 0 || steps[0].CID != s.From.Step {
		return nil
	}
	reply, ok := steps[0].Step.Event.(*provenance.Reply)
	if !ok || reply.Model == nil {
		return nil
	}
	was, open := reply.Model, true
	copyOf := func(p *provenance.Payload) *provenance.Payload {
		text, ok := p.Bytes()
		open = open && ok
		return provenance.NewPayload(text)
	}
	mc := &provenance.ModelCall{
		Name: was.Name, Provider: was.Provider, Asked: was.Asked, Answered: was.Answered, Stop: was.Stop, Tier: was.Tier,
	}
	if was.Text != nil {
		mc.Text = copyOf(was.Text)
	}
	for _, c := range was.Calls {
		mc.Calls = append(mc.Calls, provenance.ToolAsk{ID: c.ID, Tool: c.Tool, Args: copyOf(c.Args)})
	}
	if !open {
		return nil
	}
	return mc
}

// IsSource says whether an event is a model's own answer, which other runs name by the head that it stands under.
func IsSource(ev provenance.Event) bool {
	r, ok := ev.(*provenance.Reply)
	return ok && r.Model != nil && r.From == nil
}

// MaxEntries bounds what is remembered; the oldest goes first.
const MaxEntries = 4096

// A Cache remembers for a while. Its methods may be called by many goroutines at once.
type Cache struct {
	now  func() time.Time
	life time.Duration

	mu      sync.Mutex // guards what follows
	entries map[Key]*entry
	order   []kept // those that are known, oldest first
}

type entry struct {
	source Source
	until  time.Time
	lead   *Lead // who asks; nil once it is known
}

type kept struct {
	key Key
	of  *entry
}

// New returns a Cache that remembers each answer for life.
func New(now func() time.Time, life time.Duration) *Cache {
	return &Cache{now: now, life: life, entries: map[Key]*entry{}}
}

// A Lead is the duty to ask. One of its methods must be called; what is called after the first does nothing.
type Lead struct {
	cache *Cache
	key   Key
	once  sync.Once
	done  chan struct{} // closed once it is known what came of it
}

// Claim returns where the answer stands, or a Lead if the caller is to ask for it. While another asks it waits, until
// ctx ends.
func (c *Cache) Claim(ctx context.Context, k Key) (Source, *Lead, error) {
	for {
		source, lead, wait := c.claimNow(k)
		if wait == nil {
			return source, lead, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return Source{}, nil, ctx.Err()
		}
	}
}

func (c *Cache) claimNow(k Key) (Source, *Lead, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	switch {
	case e != nil && e.lead != nil:
		return Source{}, nil, e.lead.done
	case e != nil && c.now().Before(e.until):
		return e.source, nil, nil
	}
	lead := &Lead{cache: c, key: k, done: make(chan struct{})}
	c.entries[k] = &entry{lead: lead}
	return Source{}, lead, nil
}

// Keep says where the answer stands.
func (l *Lead) Keep(s Source) { l.end(&s) }

// Drop says that there is none to be given again.
func (l *Lead) Drop() { l.end(nil) }

func (l *Lead) end(s *Source) {
	l.once.Do(func() {
		c := l.cache
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.entries, l.key)
		if s != nil {
			c.keep(l.key, &entry{source: *s, until: c.now().Add(c.life)})
		}
		close(l.done)
	})
}

// keep adds what is known, and forgets what is too old or too much.
func (c *Cache) keep(k Key, e *entry) {
	c.entries[k] = e
	c.order = append(c.order, kept{k, e})
	for len(c.order) > MaxEntries || !c.now().Before(c.order[0].of.until) {
		if old := c.order[0]; c.entries[old.key] == old.of {
			delete(c.entries, old.key)
		}
		if c.order = c.order[1:]; len(c.order) == 0 {
			break
		}
	}
}

// Forget forgets where an answer stands that cannot be read any more.
func (c *Cache) Forget(k Key, s Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k]; e != nil && e.lead == nil && e.source == s {
		delete(c.entries, k)
	}
}

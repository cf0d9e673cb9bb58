package api

import (
	"context"
	"net/netip"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

type sourceKey struct{}

// A source is where a request comes from.
type source struct {
	address netip.Addr
	origin  string
}

// WithSource says in a context which address a request comes from, as the transport believes its proxies, and the
// origin of the page that asks, "" if none does. Transports call it: a session whose wallet said whence it may be used
// is not let in without it.
func WithSource(ctx context.Context, address netip.Addr, origin string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source{address, origin})
}

// sourcesOf returns whence a session may be used, nil if from anywhere.
func sourcesOf(s journal.Session) (*auth.Caveats, error) {
	c, err := auth.CaveatsOf(s.Message)
	if err != nil {
		return nil, err
	}
	if len(c.From) == 0 {
		return nil, nil
	}
	return &c, nil
}

// checkSource refuses a request of a session that its wallet does not let be used from where it comes. It does not say
// where it may be used: who has a key that was stolen need not know.
func (s *seat) checkSource(ctx context.Context) error {
	from, _ := ctx.Value(sourceKey{}).(source)
	if s.bound == nil || s.bound.LetsIn(from.address, from.origin) {
		return nil
	}
	return wire.Errorf(wire.CodeElsewhere,
		"This session may not be used from here: its wallet named other networks or pages; sign in with one for this place.")
}

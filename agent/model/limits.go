package model

import (
	"context"
	"time"
)

// A Limit is what a provider says of one kind of what it takes.
type Limit struct {
	Limit int64         // that it takes in one span; 0 if it has not said
	Left  int64         // of that
	Full  time.Duration // until all of it is there again
}

// Limits are what a provider says that it takes.
type Limits struct{ Requests, Tokens Limit }

type limitsKey struct{}

// WithLimits returns a context under which take is told what a model's provider says with its answer.
func WithLimits(ctx context.Context, take func(Limits)) context.Context {
	return context.WithValue(ctx, limitsKey{}, take)
}

// TellLimits tells who waits under ctx, if anybody does, what a provider has said.
func TellLimits(ctx context.Context, l Limits) {
	if take, ok := ctx.Value(limitsKey{}).(func(Limits)); ok {
		take(l)
	}
}

package model

import (
	"context"
	"time"
)

// Patience is how long a model is waited for. What is 0 is left to the model's own limits, which bound the rest too.
type Patience struct {
	First time.Duration // to the first content
	Stall time.Duration // between two pieces of it
	Total time.Duration // for the whole answer
}

type patienceKey struct{}

// WithPatience returns a context under which models wait no longer than p.
func WithPatience(ctx context.Context, p Patience) context.Context {
	return context.WithValue(ctx, patienceKey{}, p)
}

type firstKey struct{}

// WithFirst returns a context under which heard is told that a model has begun to answer. It must not block.
func WithFirst(ctx context.Context, heard func()) context.Context {
	return context.WithValue(ctx, firstKey{}, heard)
}

// TellFirst tells who waits under ctx, if anybody does, that the first content has come.
func TellFirst(ctx context.Context) {
	if heard, ok := ctx.Value(firstKey{}).(func()); ok {
		heard()
	}
}

// Within returns how long a model with its own limits to the first content and between two pieces waits under ctx.
func Within(ctx context.Context, first, stall time.Duration) (time.Duration, time.Duration) {
	p, _ := ctx.Value(patienceKey{}).(Patience)
	if p.First > 0 {
		first = min(first, p.First)
	}
	if p.Stall > 0 {
		stall = min(stall, p.Stall)
	}
	return first, stall
}

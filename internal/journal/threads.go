package journal

import (
	"context"
	"errors"

	"github.com/writ-run/writ/provenance"
)

// ErrThreadOpen says that the newest run of a thread has not closed: what it answers is not known yet.
var ErrThreadOpen = errors.New("the last run of the thread is still open")

// ErrThreadName says that another thread has the name that one is to get.
var ErrThreadName = errors.New("another thread has that name")

// MaxThreads is how many threads [Threads] lists at once.
const MaxThreads = 100

// Threads is the part of a store that knows which runs follow on each other. A run takes its place with its opening.
type Threads interface {
	// Thread returns the thread that its owner calls by a name in talk with an agent, or ErrNotFound.
	Thread(ctx context.Context, owner, agent, name string) (Thread, error)
	// Threads lists an owner's threads, those with the newest runs first.
	Threads(ctx context.Context, q ThreadQuery) ([]Thread, error)
	// RenameThread gives a thread another name, which must be free: else ErrThreadName.
	RenameThread(ctx context.Context, owner, agent, name, to string) error
	// DeleteThread forgets a thread. Its runs stay, as records of their own.
	DeleteThread(ctx context.Context, owner, agent, name string) error
}

// A Thread is a chain of runs.
type Thread struct {
	Agent, Name string
	Runs        uint64          // so far
	Last        provenance.Link // the newest run
}

// A ThreadQuery asks for a page of threads.
type ThreadQuery struct {
	Owner  string          // see [Session.Owner]
	Agent  string          // all agents if empty
	Before provenance.Link // only those whose newest run is older than this one; undefined for the first page
	Limit  int             // [MaxThreads] at most
}

// A ThreadPlace is where a run that opens stands in its thread.
type ThreadPlace struct {
	Owner  string          // see [Session.Owner]
	Name   string          // within the owner's threads with the agent
	Before provenance.Link // the run before it; undefined for the first
}

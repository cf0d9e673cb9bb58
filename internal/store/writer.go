package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/writ-run/writ/internal/journal"
)

// A job is one caller's write. All jobs of a group share one transaction and its fsync; each has its own savepoint,
// so that one that is refused leaves nothing and the others stand. The first needs none while no other one waits.
type job struct {
	apply func(context.Context, *transaction) error
	size  int           // bytes that it brings, about
	taken atomic.Bool   // by the writer, or by its caller, who gave up waiting: whichever sets it first
	err   error         // written before done is closed
	done  chan struct{} // closed when the answer is durable
}

// write hands apply to the writer and waits until its group is on the disk. A caller whose ctx ends before the writer
// has begun with its job leaves nothing behind; after that write waits for the answer, so that no outcome is ever
// unknown. Where there is no disk to wait for, the caller writes itself.
func (h *handle) write(ctx context.Context, size int, apply func(context.Context, *transaction) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if h.queue == nil {
		h.mu.RLock()
		defer h.mu.RUnlock()
		if h.closed {
			return errWriteClosed
		}
		return h.writer.writeAlone(context.WithoutCancel(ctx), apply)
	}
	j := &job{apply: apply, size: size, done: make(chan struct{})}
	if err := h.enqueue(j); err != nil {
		return err
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	}
	if j.taken.CompareAndSwap(false, true) {
		return context.Cause(ctx)
	}
	<-j.done
	return j.err
}

var errWriteClosed = fmt.Errorf("%w: it is closed", journal.ErrFull)

func (h *handle) enqueue(j *job) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return errWriteClosed
	}
	select {
	case h.queue <- j:
		return nil
	default:
		return fmt.Errorf("%w: %d are waiting; try again later", journal.ErrFull, cap(h.queue))
	}
}

// A writer runs the transactions. Whoever has mu uses it: the writer's goroutine for the length of a group, and of a
// store in memory, which has no other connection, every caller in turn.
type writer struct {
	mu     sync.Mutex
	tx     *transaction
	engine engine
	faults func() error
	limit  int                   // jobs in one group
	broken atomic.Pointer[error] // why nothing is acknowledged any more; nil while all is well
	full   atomic.Pointer[error] // why the last transaction that had something to write found no room; nil if it did
}

func newWriter(c conn, e engine, cfg Config) *writer {
	return &writer{
		tx: &transaction{
			conn:   c,
			now:    func() int64 { return cfg.Now().UnixMilli() },
			most:   cfg.nonces,
			nonces: -1,
			owner:  cfg.Owner,
		},
		engine: e,
		faults: cfg.faults,
		limit:  cfg.Group,
	}
}

// writeGroups writes groups until queue is closed and empty.
func (w *writer) writeGroups(ctx context.Context, queue <-chan *job) {
	for first := range queue {
		group, err := w.writeGroup(ctx, first, queue)
		for _, j := range group {
			if err != nil {
				j.err = err
			}
			close(j.done)
		}
	}
}

// maxGroupBytes ends a group early, so that a few large writes do not make small ones wait.
const maxGroupBytes = 8 << 20

// writeGroup runs first, and what else is waiting by then, in one transaction. Its error is the answer to all of them:
// a refusal is an answer too, and it stands only if what it was based on is durable.
func (w *writer) writeGroup(ctx context.Context, first *job, queue <-chan *job) (group []*job, err error) {
	if broken := w.broken.Load(); broken != nil {
		return []*job{first}, *broken
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.tx.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return []*job{first}, w.failGroup(fmt.Errorf("begin: %w", err))
	}
	size, wrote := 0, false
	if err = w.tx.checkHold(ctx); err != nil {
		_ = w.tx.exec(ctx, "ROLLBACK")
		return []*job{first}, w.failGroup(err)
	}
	for j := first; j != nil; j = w.nextJob(queue, len(group), size) {
		if !j.taken.CompareAndSwap(false, true) {
			continue // its caller has left
		}
		group = append(group, j)
		size += j.size
		if len(group) == 1 && len(queue) == 0 {
			if j.err = j.apply(ctx, w.tx); j.err != nil {
				return group, w.undoLone(ctx, j.err)
			}
		} else if err = w.applyJob(ctx, j); err != nil {
			break
		}
		wrote = wrote || j.err == nil
	}
	if err == nil {
		err = w.commitGroup(ctx, wrote)
	}
	if err != nil {
		// SQLite may have rolled back by itself, which makes this an error. If neither did, the next BEGIN says so.
		_ = w.tx.exec(ctx, "ROLLBACK")
		w.tx.nonces = -1
		return group, w.failGroup(err)
	}
	if wrote {
		if err := w.engine.afterCommit(); err != nil {
			return group, w.failGroup(err)
		}
	}
	return group, nil
}

// undoLone ends the transaction of a job that had it for itself, so that it needed no savepoint, and was refused. What
// refuses the job goes to its caller; an error of the database is the group's.
func (w *writer) undoLone(ctx context.Context, refusal error) error {
	kind, isFault := faultOf(refusal)
	if err := w.tx.exec(ctx, "ROLLBACK"); err != nil || isFault && kind != faultRefusal {
		w.tx.nonces = -1
		return w.failGroup(errors.Join(refusal, err))
	}
	return nil
}

// writeAlone runs a job in a transaction of its own.
func (w *writer) writeAlone(ctx context.Context, apply func(context.Context, *transaction) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if broken := w.broken.Load(); broken != nil {
		return *broken
	}
	if err := w.tx.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return w.failGroup(fmt.Errorf("begin: %w", err))
	}
	if refusal := apply(ctx, w.tx); refusal != nil {
		return cmp.Or(w.undoLone(ctx, refusal), refusal)
	}
	if err := w.commitGroup(ctx, true); err != nil {
		_ = w.tx.exec(ctx, "ROLLBACK")
		w.tx.nonces = -1
		return w.failGroup(err)
	}
	return w.engine.afterCommit()
}

func (w *writer) commitGroup(ctx context.Context, wrote bool) error {
	if wrote {
		if err := w.engine.beforeCommit(ctx, w.tx); err != nil {
			return err
		}
	}
	if w.faults != nil {
		if err := w.faults(); err != nil {
			return err
		}
	}
	err := w.tx.exec(ctx, "COMMIT")
	if err == nil && wrote {
		w.full.Store(nil)
	}
	return err
}

// nextJob returns a job that joins the group, or nil if the group is full or nobody is waiting. Callers that were just
// answered get one chance to come back with their next write before the fsync.
func (w *writer) nextJob(queue <-chan *job, n, size int) *job {
	if n >= w.limit || size >= maxGroupBytes {
		return nil
	}
	for range 2 {
		select {
		case j := <-queue: // nil if closed: the group ends, and run too
			return j
		default:
			runtime.Gosched()
		}
	}
	return nil
}

// applyJob applies one job. What refuses the job goes to its caller; an error of the database ends the group.
func (w *writer) applyJob(ctx context.Context, j *job) error {
	if err := w.tx.exec(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.err = j.apply(ctx, w.tx)
	if j.err == nil {
		return w.tx.exec(ctx, "RELEASE job")
	}
	if kind, ok := faultOf(j.err); ok && kind != faultRefusal {
		return j.err
	}
	return errors.Join(w.tx.exec(ctx, "ROLLBACK TO job"), w.tx.exec(ctx, "RELEASE job"))
}

// failGroup says what an error of the database means for the callers, and whether the store may go on.
func (w *writer) failGroup(err error) error {
	switch kind, _ := faultOf(err); kind {
	case faultFull:
		err = fmt.Errorf("%w: the disk is full; free some space (%v)", journal.ErrFull, err)
		w.full.Store(&err)
		return err
	case faultBusy:
		return fmt.Errorf("%w: another process has locked the file; try again later (%v)", journal.ErrFull, err)
	}
	switch {
	case errors.Is(err, journal.ErrHeld): // another process writes now, so what this one holds is out of date
		return w.breakOff(fmt.Errorf("%w: %w; this one must be stopped", journal.ErrFenced, err))
	case errors.Is(err, journal.ErrMoved):
		return w.breakOff(fmt.Errorf("%w: %w; stop the server, keep what is there, and restore the newest backup",
			journal.ErrFull, err))
	}
	// What a failed fsync left on the disk is unknown, and a second one may lie: nothing is acknowledged any more.
	return w.breakOff(fmt.Errorf("%w: the disk failed; check it and restart (%w)", journal.ErrFull, err))
}

// breakOff has nothing acknowledged any more.
func (w *writer) breakOff(err error) error {
	w.broken.Store(&err)
	return err
}

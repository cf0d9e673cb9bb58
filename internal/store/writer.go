package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/writ-run/writ/agent"
)

// A job is one caller's write. All jobs of a group share one transaction and its fsync; each has its own savepoint,
// so that one that is refused leaves nothing and the others stand.
type job struct {
	apply func(context.Context, *writer) error
	size  int           // bytes that it brings, about
	taken atomic.Bool   // by the writer, or by a caller that gave up waiting: whoever sets it first
	err   error         // written before done is closed
	done  chan struct{} // closed when the answer is durable
}

// do hands apply to the writer and waits until its group is on the disk. A caller whose ctx ends before the writer has
// begun with its job leaves nothing behind; after that do waits for the answer, so that no outcome is ever unknown.
func (db *DB) do(ctx context.Context, size int, apply func(context.Context, *writer) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	j := &job{apply: apply, size: size, done: make(chan struct{})}
	if err := db.enqueue(j); err != nil {
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

func (db *DB) enqueue(j *job) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		return fmt.Errorf("%w: it is closed", agent.ErrFull)
	}
	select {
	case db.queue <- j:
		return nil
	default:
		return fmt.Errorf("%w: %d are waiting; try again later", agent.ErrFull, cap(db.queue))
	}
}

// A writer owns the one connection that writes. Only its goroutine uses it.
type writer struct {
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt // by their text
	now    func() int64         // ms UTC
	faults func() error
	limit  int   // jobs in one group
	most   int64 // sign-in nonces that may be outstanding
	nonces int64 // outstanding sign-in nonces; -1 if they must be counted
	mark   *mark // of the newest group
	ended  bool  // the commit at hand has deleted leaves that end with their run
	broken error // why nothing is acknowledged any more; nil while all is well
}

func newWriter(ctx context.Context, pool *sql.DB, c Config) (w *writer, epoch string, err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, "", err
	}
	w = &writer{
		conn:   conn,
		stmts:  map[string]*sql.Stmt{},
		now:    func() int64 { return c.Now().UnixMilli() },
		faults: c.faults,
		limit:  c.Group,
		most:   c.nonces,
		nonces: -1,
	}
	epoch, err = migrate(ctx, conn, w.now())
	if err != nil {
		return nil, "", errors.Join(err, w.close())
	}
	return w, epoch, nil
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// run writes groups until queue is closed and empty.
func (w *writer) run(ctx context.Context, queue <-chan *job) {
	for first := range queue {
		group, err := w.group(ctx, first, queue)
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

// group runs first, and what else is waiting by then, in one transaction. Its error is the answer to all of them:
// a refusal is an answer too, and it stands only if what it was based on is durable.
func (w *writer) group(ctx context.Context, first *job, queue <-chan *job) (group []*job, err error) {
	if w.broken != nil {
		return []*job{first}, w.broken
	}
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return []*job{first}, w.failed(fmt.Errorf("begin: %w", err))
	}
	size, wrote, count := 0, false, int64(0)
	for j := first; j != nil; j = w.next(queue, len(group), size) {
		if !j.taken.CompareAndSwap(false, true) {
			continue // its caller has left
		}
		group = append(group, j)
		size += j.size
		if err = w.savepoint(ctx, j); err != nil {
			break
		}
		wrote = wrote || j.err == nil
	}
	if err == nil && wrote {
		count, err = w.count(ctx)
	}
	if err == nil && w.faults != nil {
		err = w.faults()
	}
	if err == nil {
		_, err = w.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		// SQLite may have rolled back by itself, which makes this an error. If neither did, the next BEGIN says so.
		_, _ = w.conn.ExecContext(ctx, "ROLLBACK")
		w.nonces = -1
		return group, w.failed(err)
	}
	if wrote {
		_ = w.mark.write(count)
	}
	return group, nil
}

// next returns a job that joins the group, or nil if the group is full or nobody is waiting. Callers that were just
// answered get one chance to come back with their next write before the fsync.
func (w *writer) next(queue <-chan *job, n, size int) *job {
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

// savepoint applies one job. What refuses the job goes to its caller; an error of the database ends the group.
func (w *writer) savepoint(ctx context.Context, j *job) error {
	if err := w.exec(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.err = j.apply(ctx, w)
	if j.err == nil {
		return w.exec(ctx, "RELEASE job")
	}
	if e, ok := errors.AsType[*sqlite.Error](j.err); ok && !refusal(e) {
		return j.err
	}
	return errors.Join(w.exec(ctx, "ROLLBACK TO job"), w.exec(ctx, "RELEASE job"))
}

// refusal says whether an error of the database concerns the one statement and not the disk.
func refusal(e *sqlite.Error) bool {
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return false
}

// failed says what an error of the database means for the callers, and whether the store may go on.
func (w *writer) failed(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("%w: the disk is full; free some space (%v)", agent.ErrFull, err)
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: another process holds the file; try again later (%v)", agent.ErrFull, err)
		}
	}
	// What a failed fsync left on the disk is unknown, and a second one may lie: nothing is acknowledged any more.
	w.broken = fmt.Errorf("%w: the disk failed; check it and restart (%w)", agent.ErrFull, err)
	return w.broken
}

// prepared returns the statement of query, prepared once.
func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	_, err := w.changed(ctx, query, args...)
	return err
}

// changed runs query and returns how many rows it changed.
func (w *writer) changed(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row reads one row into dest. It returns agent.ErrNotFound if there is none.
func (w *writer) row(ctx context.Context, query string, args []any, dest ...any) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	err = s.QueryRowContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return agent.ErrNotFound
	}
	return err
}

package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
)

// busyWait is how long a statement waits for another process.
const busyWait = 5 * time.Second

// A sqliteConn is a connection to a SQLite database. Each statement is prepared once.
type sqliteConn struct {
	conn  *sqlite.Conn
	stmts map[string]*sqlite.Stmt // by their text
}

// connectSQLite opens a connection and sets its pragmas, in their order.
func connectSQLite(path string, flags sqlite.OpenFlags, pragmas ...string) (*sqliteConn, error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|flags)
	if err != nil {
		return nil, sqliteFault(err)
	}
	conn.SetBusyTimeout(busyWait)
	c := &sqliteConn{conn: conn, stmts: map[string]*sqlite.Stmt{}}
	for _, p := range append([]string{"trusted_schema = 0"}, pragmas...) {
		if err := c.runScript("PRAGMA " + p); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *sqliteConn) close() error { return c.conn.Close() }

// runScript runs statements that need not be prepared, nor return anything.
func (c *sqliteConn) runScript(text string) error {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		s, rest, err := c.conn.PrepareTransient(text)
		if err != nil {
			return sqliteFault(err)
		}
		text = text[len(text)-rest:]
		for more := true; more && err == nil; {
			more, err = s.Step()
		}
		if err := errors.Join(err, s.Finalize()); err != nil {
			return sqliteFault(err)
		}
	}
	return nil
}

func (c *sqliteConn) prepareBound(query string, args []any) (*sqlite.Stmt, error) {
	s := c.stmts[query]
	if s == nil {
		var err error
		if s, err = c.conn.Prepare(query); err != nil {
			return nil, sqliteFault(err)
		}
		c.stmts[query] = s
	}
	if n := s.BindParamCount(); n != len(args) {
		return nil, fmt.Errorf("a statement of %d parameters is given %d", n, len(args))
	}
	for i, a := range args {
		if err := bindParameter(s, i+1, a); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func bindParameter(s *sqlite.Stmt, i int, a any) error {
	switch a := a.(type) {
	case nil:
		s.BindNull(i)
	case int64:
		s.BindInt64(i, a)
	case int:
		s.BindInt64(i, int64(a))
	case bool:
		s.BindBool(i, a)
	case string:
		s.BindText(i, a)
	case []byte:
		if a == nil {
			s.BindNull(i)
		} else {
			s.BindBytes(i, a)
		}
	default:
		return fmt.Errorf("a parameter is a %T", a)
	}
	return nil
}

func (c *sqliteConn) exec(query string, args ...any) (changed int64, err error) {
	s, err := c.prepareBound(query, args)
	if err != nil {
		return 0, err
	}
	more := true
	for more && err == nil {
		more, err = s.Step()
	}
	if err := errors.Join(err, s.Reset()); err != nil {
		return 0, sqliteFault(err)
	}
	return int64(c.conn.Changes()), nil
}

func (c *sqliteConn) query(ctx context.Context, query string, args []any, row func(scanner) error) error {
	if ctx.Done() != nil { // a long list can be cut short
		c.conn.SetInterrupt(ctx.Done())
		defer c.conn.SetInterrupt(nil)
	}
	s, err := c.prepareBound(query, args)
	if err != nil {
		return err
	}
	var scan scanner = func(dest ...any) error { return scanRow(s, dest) }
	for {
		more, err := s.Step()
		switch {
		case err != nil && ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), s.Reset())
		case err != nil:
			_ = s.Reset() // says the same error again
			return sqliteFault(err)
		case !more:
			return s.Reset()
		}
		if err := row(scan); err != nil {
			return errors.Join(err, s.Reset())
		}
	}
}

func (c *sqliteConn) readRow(_ context.Context, query string, args, dest []any) (found bool, err error) {
	s, err := c.prepareBound(query, args)
	if err != nil {
		return false, err
	}
	found, err = s.Step()
	if err != nil {
		_ = s.Reset() // says the same error again
		return false, sqliteFault(err)
	}
	if found {
		err = scanRow(s, dest)
	}
	for more := found; more && err == nil; { // what the statement changes is changed by its last step
		if more, err = s.Step(); err != nil {
			_ = s.Reset()
			return false, sqliteFault(err)
		}
	}
	return found, errors.Join(err, s.Reset())
}

// scanRow reads the columns of a row. NULL is a nil []byte, and an error for anything else.
func scanRow(s *sqlite.Stmt, dest []any) error {
	if n := s.ColumnCount(); n != len(dest) {
		return fmt.Errorf("a row of %d columns is read into %d", n, len(dest))
	}
	for i, d := range dest {
		kind := s.ColumnType(i)
		b, isBytes := d.(*[]byte)
		switch {
		case isBytes && kind == sqlite.TypeNull:
			*b = nil
			continue
		case isBytes:
			*b = make([]byte, s.ColumnLen(i))
			s.ColumnBytes(i, *b)
			continue
		case kind == sqlite.TypeNull:
			return fmt.Errorf("column %d has no value", i+1)
		}
		if amount, ok := d.(*[32]byte); ok {
			if n := s.ColumnLen(i); kind != sqlite.TypeBlob || n != len(amount) {
				return fmt.Errorf("column %d has %d bytes instead of %d", i+1, n, len(amount))
			}
			s.ColumnBytes(i, amount[:])
			continue
		}
		if text, ok := d.(*string); ok {
			*text = s.ColumnText(i)
			continue
		}
		n, err := scanInteger(s, i, kind)
		if err != nil {
			return err
		}
		switch d := d.(type) {
		case *int64:
			*d = n
		case *int:
			*d = int(n)
		case *bool:
			*d = n != 0
		case *uint8:
			if n < 0 || n > math.MaxUint8 {
				return fmt.Errorf("column %d is out of range", i+1)
			}
			*d = uint8(n)
		default:
			return fmt.Errorf("column %d is read into a %T", i+1, d)
		}
	}
	return nil
}

// scanInteger reads a whole number, which in the table meta is text.
func scanInteger(s *sqlite.Stmt, i int, kind sqlite.ColumnType) (int64, error) {
	switch kind {
	case sqlite.TypeInteger:
		return s.ColumnInt64(i), nil
	case sqlite.TypeText:
		return strconv.ParseInt(s.ColumnText(i), 10, 64)
	}
	return 0, fmt.Errorf("column %d is no whole number", i+1)
}

// sqliteFault says what an error of SQLite means.
func sqliteFault(err error) error {
	f := &fault{err: err}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultConstraint, sqlite.ResultTooBig, sqlite.ResultMismatch:
		f.kind = faultRefusal
	case sqlite.ResultFull:
		f.kind = faultFull
	case sqlite.ResultBusy, sqlite.ResultLocked:
		f.kind = faultBusy
	case sqlite.ResultNotADB:
		f.kind = faultFormat
	case sqlite.ResultCorrupt:
		f.kind = faultDamaged
	case sqlite.ResultReadOnly, sqlite.ResultCantOpen:
		f.kind = faultReadOnly
	}
	return f
}

// A sqlitePool has the connections of a file's readers. They are opened when they are first needed.
type sqlitePool struct {
	path   string
	turns  chan struct{}    // one for each connection that may be in use
	idle   chan *sqliteConn // as many at most
	closed chan struct{}
}

// maxReaders is how many readers of a file may read at once; more wait.
const maxReaders = 8

func newPool(path string) *sqlitePool {
	return &sqlitePool{
		path:   path,
		turns:  make(chan struct{}, maxReaders),
		idle:   make(chan *sqliteConn, maxReaders),
		closed: make(chan struct{}),
	}
}

var errClosed = errors.New("the store is closed")

func (p *sqlitePool) query(ctx context.Context, query string, args []any, row func(scanner) error) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer p.putBack(c)
	return c.query(ctx, query, args, row)
}

func (p *sqlitePool) readRow(ctx context.Context, query string, args, dest []any) (found bool, err error) {
	c, err := p.take(ctx)
	if err != nil {
		return false, err
	}
	defer p.putBack(c)
	return c.readRow(ctx, query, args, dest)
}

// take waits for a connection.
func (p *sqlitePool) take(ctx context.Context) (c *sqliteConn, err error) {
	select {
	case p.turns <- struct{}{}:
	case <-p.closed:
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-p.closed:
		err = errClosed
	case c = <-p.idle:
	default:
		c, err = connectSQLite(p.path, 0, "query_only = 1")
	}
	if err != nil {
		<-p.turns
	}
	return c, err
}

func (p *sqlitePool) putBack(c *sqliteConn) {
	p.idle <- c
	<-p.turns
}

// close waits for those who read.
func (p *sqlitePool) close() error {
	close(p.closed)
	for range maxReaders {
		p.turns <- struct{}{}
	}
	var errs []error
	for {
		select {
		case c := <-p.idle:
			errs = append(errs, c.close())
			continue
		default:
		}
		return errors.Join(errs...)
	}
}

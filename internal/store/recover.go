package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// ErrSigned says that what is damaged stands under a signed head: cutting it off would take back what others may have
// seen.
var ErrSigned = errors.New("the damage reaches behind a signed head; restore the newest backup of the data folder")

// A Recovery is what a start has found damaged, and what became of it.
type Recovery struct {
	Runs int   // that were looked at
	Cuts []Cut // of runs whose end was damaged

	// Of a damaged write-ahead log: where it was put aside, and how many transactions were lost that may have been
	// acknowledged.
	Log  string
	Lost int
	// Behind says that the database has not all the writes that were acknowledged, or that the mark that counts them is
	// gone, so that this cannot be known.
	Behind bool
}

// Unknown says that it is not known what was lost. Then every open run ends and every session is over.
func (r Recovery) Unknown() bool { return r.Log != "" || r.Behind }

// A Cut is a run that was cut back to its last valid step. It ends with its next step, and no effect that the lost
// steps may have had is tried again. What was cut is in the store's table cuts.
type Cut struct {
	Run   provenance.Link
	Steps uint64 // that are left
	Lost  uint64 // steps that were cut
	Why   string // what was found
}

// newest is how many of the newest closed runs and log entries are looked at besides the open runs.
const newest = 256

// Recover looks at every step of the open runs and at the newest records: the ends of the newest runs and the newest
// heads. A damaged end is cut back to the last valid step. It changes nothing and returns [ErrSigned] or [ErrCorrupt] if
// what is damaged stands under a head. It is to be called before anybody writes.
func (db *DB) Recover(ctx context.Context) (Recovery, error) {
	var r Recovery
	fail := func(err error) (Recovery, error) {
		return Recovery{}, fmt.Errorf("look for damage: %w", openError(err))
	}
	var note string
	err := db.get(ctx, "SELECT value FROM meta WHERE key = 'damaged'", nil, &note)
	if err != nil && !errors.Is(err, agent.ErrNotFound) {
		return fail(err)
	}
	if note != "" {
		if _, err := fmt.Sscan(note, &r.Lost); err != nil {
			return fail(err)
		}
		_, r.Log, _ = strings.Cut(note, " ")
	}
	if r.Behind, err = db.behind(ctx); err != nil {
		return fail(err)
	}
	if r.Unknown() {
		// A log that is used up to its middle over pages that have all of it can leave any page in any state.
		var found string
		if err := db.get(ctx, "PRAGMA integrity_check(1)", nil, &found); err != nil {
			return fail(err)
		}
		if found != "ok" {
			return fail(fmt.Errorf("%w: its log is damaged, and without it %s", ErrCorrupt, found))
		}
	}
	limit := newest
	if r.Unknown() {
		limit = 1 << 40 // all
	}
	ends, err := db.runEnds(ctx, limit)
	if err != nil {
		return fail(err)
	}
	var found []tail
	for _, e := range ends {
		t, err := db.checkTail(ctx, e)
		if err != nil {
			return fail(err)
		}
		r.Runs++
		if t.why != "" {
			found = append(found, t)
			r.Cuts = append(r.Cuts, Cut{Run: e.run, Steps: t.valid, Lost: max(e.steps, t.valid) - t.valid, Why: t.why})
		}
	}
	if err := db.checkEntries(ctx, limit); err != nil {
		return fail(err)
	}
	if len(found) == 0 && !r.Unknown() {
		return r, nil
	}
	err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
		for _, t := range found {
			if err := w.cut(ctx, t); err != nil {
				return err
			}
		}
		if !r.Unknown() {
			return nil
		}
		for _, e := range ends {
			if err := w.useHolds(ctx, e.id); err != nil {
				return err
			}
		}
		if err := w.exec(ctx, "UPDATE runs SET status = ?, cut = ? WHERE closed = 0", agent.StatusCut, w.now()); err != nil {
			return err
		}
		if err := w.exec(ctx, "UPDATE sessions SET expires = min(expires, ?)", w.now()); err != nil {
			return err
		}
		return w.exec(ctx, "DELETE FROM meta WHERE key IN ('damaged', 'behind')")
	})
	if err != nil {
		return fail(err)
	}
	return r, nil
}

// A runEnd is what the index says of a run.
type runEnd struct {
	id         int64
	run        provenance.Link
	steps      uint64
	last, head provenance.Link
	closed     bool
}

func (db *DB) runEnds(ctx context.Context, limit int) ([]runEnd, error) {
	return list(ctx, db, func(scan func(...any) error) (e runEnd, err error) {
		var run, last, head []byte
		var steps int64
		err = scan(&e.id, &run, &steps, &last, &head, &e.closed)
		e.steps = uint64(steps)
		return e, errors.Join(err, link(run, &e.run), link(last, &e.last), link(head, &e.head))
	}, `SELECT id, cid, steps, last, head, closed FROM runs
		WHERE closed = 0 OR id > (SELECT coalesce(max(id), 0) FROM runs) - ? ORDER BY id`, limit)
}

// A tail is how far the steps of a run are valid, and why no farther; why is empty if all are.
type tail struct {
	runEnd
	valid uint64
	prev  provenance.Link // the last valid step
	why   string
	bad   []provenance.Link // blocks behind it whose bytes are not theirs
}

// checkTail reads the steps of an open run, and of a closed one the last. Damage under the run's head is an error.
func (db *DB) checkTail(ctx context.Context, e runEnd) (tail, error) {
	t := tail{runEnd: e}
	from := uint64(0)
	if e.closed {
		from = max(e.steps, 1) - 1
	}
	for t.valid = from; t.why == ""; {
		rows, err := list(ctx, db, scanRaw, `SELECT seq, steps.cid, data FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
			WHERE run = ? AND seq >= ? ORDER BY seq LIMIT 64`, e.id, int64(t.valid))
		if err != nil {
			return t, fmt.Errorf("run %s: %w", e.run, err)
		}
		for _, row := range rows {
			if t.why = row.fault(t, from); t.why != "" {
				break
			}
			t.valid, t.prev = t.valid+1, row.cid
		}
		if len(rows) < 64 {
			break
		}
	}
	if t.why != "" {
		rows, err := list(ctx, db, scanRaw, `SELECT seq, steps.cid, data FROM steps JOIN blocks ON blocks.cid = steps.cid
			WHERE run = ? AND seq >= ?`, e.id, int64(t.valid))
		if err != nil {
			return t, fmt.Errorf("run %s: %w", e.run, err)
		}
		for _, row := range rows {
			if row.cid.Defined() && checkRead(row.cid, row.data) != nil {
				t.bad = append(t.bad, row.cid)
			}
		}
	}
	if t.why == "" && (t.valid != e.steps || t.prev != e.last) {
		t.why = fmt.Sprintf("it has %d steps and its entry says %d", t.valid, e.steps)
	}
	var head provenance.Head
	data, err := db.Block(ctx, e.head)
	if err == nil {
		err = provenance.Decode(data, &head)
	}
	switch {
	case !e.head.Defined() && t.why == "":
		return t, nil
	case !e.head.Defined():
		return t, fmt.Errorf("run %s: %s, and it was never signed: %w", e.run, t.why, ErrCorrupt)
	case errors.Is(err, agent.ErrNotFound):
		return t, fmt.Errorf("run %s: its head %s is gone: %w", e.run, e.head, ErrCorrupt)
	case err != nil:
		return t, fmt.Errorf("run %s: its head: %w", e.run, err)
	case head.Run != e.run || head.Seq >= e.steps:
		return t, fmt.Errorf("run %s: its head is of step %d of %s: %w", e.run, head.Seq, head.Run, ErrCorrupt)
	case t.why != "" && (e.closed || head.Seq >= t.valid):
		return t, fmt.Errorf("run %s: %s, and its head %s is of step %d: %w", e.run, t.why, e.head, head.Seq, ErrSigned)
	}
	return t, nil
}

// A rawStep is a row of the journal as it is on the disk.
type rawStep struct {
	seq  int64
	cid  provenance.Link
	data []byte
}

func scanRaw(scan func(...any) error) (s rawStep, err error) {
	var id []byte
	if err := scan(&s.seq, &id, &s.data); err != nil {
		return s, err
	}
	_ = link(id, &s.cid) // a name that is none fits no bytes
	return s, nil
}

// fault says what is wrong with a step behind those that t has found valid, or "".
func (s rawStep) fault(t tail, from uint64) string {
	var step provenance.Step
	switch {
	case uint64(s.seq) != t.valid:
		return fmt.Sprintf("step %d is missing", t.valid)
	case s.data == nil:
		return fmt.Sprintf("the block of step %d is missing", t.valid)
	case !s.cid.Defined() || checkRead(s.cid, s.data) != nil:
		return fmt.Sprintf("the bytes of step %d do not match its CID", t.valid)
	case provenance.Decode(s.data, &step) != nil:
		return fmt.Sprintf("step %d is not a step", t.valid)
	case step.Run != t.run || step.Seq != t.valid || t.valid > from && step.Prev != t.prev:
		return fmt.Sprintf("step %d does not follow on the one before", t.valid)
	}
	return ""
}

// checkEntries reads the blocks of the newest log entries.
func (db *DB) checkEntries(ctx context.Context, limit int) error {
	_, err := list(ctx, db, func(scan func(...any) error) (one struct{}, err error) {
		var id, data []byte
		if err := scan(&id, &data); err != nil {
			return one, err
		}
		var c provenance.Link
		if err := link(id, &c); err != nil {
			return one, err
		}
		if err := checkRead(c, data); err != nil {
			return one, fmt.Errorf("an entry of the log: %w", err)
		}
		return one, nil
	}, `SELECT log.cid, data FROM log LEFT JOIN blocks ON blocks.cid = log.cid
		WHERE idx > (SELECT coalesce(max(idx), 0) FROM log) - ?`, limit)
	return err
}

// cut takes the end of a run off and keeps it aside.
func (w *writer) cut(ctx context.Context, t tail) error {
	err := w.exec(ctx, `INSERT INTO cuts SELECT run, seq, steps.cid, data, ? FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
		WHERE run = ? AND seq >= ?`, w.now(), t.id, int64(t.valid))
	if err != nil {
		return err
	}
	for _, c := range t.bad { // others would be taken for it, and a block that is put again would not replace it
		if err := w.exec(ctx, "DELETE FROM blocks WHERE cid = ?", key(c)); err != nil {
			return err
		}
	}
	if err := w.exec(ctx, "DELETE FROM steps WHERE run = ? AND seq >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := w.cutHolds(ctx, t); err != nil {
		return err
	}
	return w.exec(ctx, "UPDATE runs SET steps = ?, last = ?, status = ?, cut = ? WHERE id = ?",
		int64(t.valid), key(t.prev), agent.StatusCut, w.now(), t.id)
}

// cutHolds brings the ledgers to where the last valid step left them, but for what the lost steps have reserved: that
// counts as spent, for it may have been.
func (w *writer) cutHolds(ctx context.Context, t tail) error {
	rows, err := w.conn.QueryContext(ctx, `SELECT ledger, symbol, decimals, spent, reserved, seq, idx, amount, used
		FROM holds JOIN ledgers ON holds.ledger = ledgers.key
		WHERE run = ?1 AND (seq >= ?2 AND settled IS NULL OR seq < ?2 AND settled >= ?2) ORDER BY ledger, seq, idx`, t.id, int64(t.valid))
	if err != nil {
		return err
	}
	defer rows.Close()
	ledgers := map[string]agent.Ledger{}
	for rows.Next() {
		var name, symbol string
		var decimals uint8
		var seq, idx int64
		var spent, reserved, amount, used []byte
		if err := rows.Scan(&name, &symbol, &decimals, &spent, &reserved, &seq, &idx, &amount, &used); err != nil {
			return err
		}
		l, ok := ledgers[name]
		if !ok {
			l = ledgerOf(name, symbol, decimals, spent, reserved)
		}
		asset := l.Spent.Asset()
		held, back := amountOf(asset, amount), amountOf(asset, used)
		var errs [2]error
		if uint64(seq) >= t.valid {
			l.Reserved, errs[0] = l.Reserved.Sub(held)
			l.Spent, errs[1] = l.Spent.Add(held)
		} else {
			l.Reserved, errs[0] = l.Reserved.Add(held)
			l.Spent, errs[1] = l.Spent.Sub(back)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("ledger %s: %w: %w", name, ErrCorrupt, err)
		}
		ledgers[name] = l
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, l := range ledgers {
		if err := w.exec(ctx, "UPDATE ledgers SET spent = ?, reserved = ? WHERE key = ?", units(l.Spent), units(l.Reserved), l.Key); err != nil {
			return err
		}
	}
	if err := w.exec(ctx, "DELETE FROM holds WHERE run = ? AND seq >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := w.exec(ctx, "UPDATE holds SET settled = NULL WHERE run = ? AND settled >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	return w.useHolds(ctx, t.id)
}

// useHolds has what the run still holds back count as spent in full, whatever the steps to come say of it: a step that
// is lost may have paid it. It stays reserved until one of them settles it, since the run's record has it so.
func (w *writer) useHolds(ctx context.Context, run int64) error {
	return w.exec(ctx, "UPDATE holds SET used = amount WHERE run = ? AND settled IS NULL", run)
}

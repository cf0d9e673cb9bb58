package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/provenance"
)

// newest is how many of the newest closed runs and log entries are looked at besides the open runs.
const newest = 256

// Recover looks at every step of the open runs and at the newest records: the ends of the newest runs and the newest
// heads. A damaged end is cut back to the last valid step. It changes nothing and returns [journal.ErrSigned] or
// [journal.ErrCorrupt] if what is damaged stands under a head. It is to be called before anybody writes.
func (db recovery) Recover(ctx context.Context) (journal.Recovery, error) {
	r, err := db.cutDamage(ctx)
	if err != nil {
		return journal.Recovery{}, fmt.Errorf("look for damage: %w", openError(err))
	}
	return r, nil
}

func (db recovery) cutDamage(ctx context.Context) (journal.Recovery, error) {
	r, err := db.readDamage(ctx)
	if err != nil {
		return r, err
	}
	limit := newest
	if r.Unknown() {
		// A log that is used up to its middle over pages that have all of it can leave any page in any state.
		if err := db.engine.checkDatabase(ctx); err != nil {
			return r, err
		}
		limit = 1 << 40 // all
	}
	ends, err := db.runEnds(ctx, limit)
	if err != nil {
		return r, err
	}
	var found []tail
	for _, e := range ends {
		t, err := db.checkTail(ctx, e)
		if err != nil {
			return r, err
		}
		r.Runs++
		if t.why != "" {
			found = append(found, t)
			r.Cuts = append(r.Cuts, journal.Cut{
				Run: e.run, Steps: t.valid, Lost: max(e.steps, t.valid) - t.valid, Why: t.why,
			})
		}
	}
	if err := db.checkEntries(ctx, limit); err != nil {
		return r, err
	}
	if len(found) == 0 && !r.Unknown() {
		return r, nil
	}
	return r, db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		for _, t := range found {
			if err := tx.cutTail(ctx, t); err != nil {
				return err
			}
		}
		if r.Unknown() {
			return tx.endAll(ctx, ends)
		}
		return nil
	})
}

// readDamage returns what was noted when the store was opened.
func (db recovery) readDamage(ctx context.Context) (r journal.Recovery, err error) {
	var note string
	err = db.readRow(ctx, "SELECT value FROM meta WHERE key = 'damaged'", nil, &note)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return r, err
	}
	if note != "" {
		if _, err := fmt.Sscan(note, &r.Lost); err != nil {
			return r, err
		}
		_, r.Log, _ = strings.Cut(note, " ")
	}
	r.Behind, err = db.isBehind(ctx)
	return r, err
}

// endAll ends every open run and every session, since what they have done last may be lost. What the runs have reserved
// may have been paid.
func (tx *transaction) endAll(ctx context.Context, ends []runEnd) error {
	for _, e := range ends {
		if err := tx.spendReservations(ctx, e.id); err != nil {
			return err
		}
	}
	now := tx.now()
	err := tx.exec(ctx, "UPDATE runs SET status = ?, cut = ? WHERE closed = 0", journal.StatusCut, now)
	if err == nil {
		err = tx.exec(ctx, "UPDATE sessions SET expires = ? WHERE expires > ?", now, now)
	}
	if err == nil {
		err = tx.exec(ctx, "DELETE FROM meta WHERE key IN ('damaged', 'behind')")
	}
	return err
}

// A runEnd is what the index says of a run.
type runEnd struct {
	id         int64
	run        provenance.Link
	steps      uint64
	last, head provenance.Link
	closed     bool
}

func (db recovery) runEnds(ctx context.Context, limit int) ([]runEnd, error) {
	return readAll(ctx, db.reads, func(scan scanner) (e runEnd, err error) {
		var run, last, head []byte
		var steps int64
		err = scan(&e.id, &run, &steps, &last, &head, &e.closed)
		e.steps = uint64(steps)
		return e, errors.Join(err, parseLink(run, &e.run), parseLink(last, &e.last), parseLink(head, &e.head))
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
func (db recovery) checkTail(ctx context.Context, e runEnd) (tail, error) {
	t := tail{runEnd: e}
	from := uint64(0)
	if e.closed {
		from = max(e.steps, 1) - 1
	}
	for t.valid = from; t.why == ""; {
		rows, err := readAll(ctx, db.reads, scanRaw, `SELECT seq, steps.cid, data
			FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
			WHERE run = ? AND seq >= ? ORDER BY seq LIMIT 64`, e.id, int64(t.valid))
		if err != nil {
			return t, fmt.Errorf("run %s: %w", e.run, err)
		}
		for _, row := range rows {
			if t.why = row.findFault(t, from); t.why != "" {
				break
			}
			t.valid, t.prev = t.valid+1, row.cid
		}
		if len(rows) < 64 {
			break
		}
	}
	if t.why != "" {
		rows, err := readAll(ctx, db.reads, scanRaw, `SELECT seq, steps.cid, data
			FROM steps JOIN blocks ON blocks.cid = steps.cid
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
	data, err := blocks(db).Block(ctx, e.head)
	if err == nil {
		err = provenance.Decode(data, &head)
	}
	switch {
	case !e.head.Defined() && t.why == "":
		return t, nil
	case !e.head.Defined():
		return t, fmt.Errorf("run %s: %s, and it was never signed: %w", e.run, t.why, journal.ErrCorrupt)
	case errors.Is(err, journal.ErrNotFound):
		return t, fmt.Errorf("run %s: its head %s is gone: %w", e.run, e.head, journal.ErrCorrupt)
	case err != nil:
		return t, fmt.Errorf("run %s: its head: %w", e.run, err)
	case head.Run != e.run || head.Seq >= e.steps:
		return t, fmt.Errorf("run %s: its head is of step %d of %s: %w", e.run, head.Seq, head.Run, journal.ErrCorrupt)
	case t.why != "" && (e.closed || head.Seq >= t.valid):
		return t, fmt.Errorf("run %s: %s, and its head %s is of step %d: %w", e.run, t.why, e.head, head.Seq,
			journal.ErrSigned)
	}
	return t, nil
}

// A rawStep is a row of the journal as it is on the disk.
type rawStep struct {
	seq  int64
	cid  provenance.Link
	data []byte
}

func scanRaw(scan scanner) (s rawStep, err error) {
	var id []byte
	if err := scan(&s.seq, &id, &s.data); err != nil {
		return s, err
	}
	_ = parseLink(id, &s.cid) // a name that is no CID matches no bytes
	return s, nil
}

// findFault says what is wrong with a step behind those that t has found valid, or "".
func (s rawStep) findFault(t tail, from uint64) string {
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
func (db recovery) checkEntries(ctx context.Context, limit int) error {
	_, err := readAll(ctx, db.reads, func(scan scanner) (one struct{}, err error) {
		var id, data []byte
		if err := scan(&id, &data); err != nil {
			return one, err
		}
		var c provenance.Link
		if err := parseLink(id, &c); err != nil {
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

// cutTail takes the end of a run off and keeps it aside.
func (tx *transaction) cutTail(ctx context.Context, t tail) error {
	err := tx.exec(ctx, `INSERT INTO cuts SELECT run, seq, steps.cid, data, ?
		FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
		WHERE run = ? AND seq >= ?`, tx.now(), t.id, int64(t.valid))
	if err != nil {
		return err
	}
	for _, c := range t.bad { // they would be read in place of a good one, since a block that is put again replaces none
		if err := tx.exec(ctx, "DELETE FROM blocks WHERE cid = ?", linkBytes(c)); err != nil {
			return err
		}
	}
	if err := tx.exec(ctx, "DELETE FROM steps WHERE run = ? AND seq >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := tx.cutReservations(ctx, t); err != nil {
		return err
	}
	return tx.exec(ctx, "UPDATE runs SET steps = ?, last = ?, status = ?, cut = ? WHERE id = ?",
		int64(t.valid), linkBytes(t.prev), journal.StatusCut, tx.now(), t.id)
}

// cutReservations brings the ledgers to where the last valid step left them, but for what the lost steps have
// reserved: that counts as spent, for it may have been.
func (tx *transaction) cutReservations(ctx context.Context, t tail) error {
	ledgers := map[string]journal.Ledger{}
	err := tx.conn.query(ctx, `SELECT ledger, symbol, decimals, spent, reserved, seq, idx, amount, coalesce(used, zeroblob(32))
		FROM reservations JOIN ledgers ON reservations.ledger = ledgers.key
		WHERE run = ?1 AND (seq >= ?2 AND settled IS NULL OR seq < ?2 AND settled >= ?2) ORDER BY ledger, seq, idx`,
		[]any{t.id, int64(t.valid)}, func(scan scanner) error { return t.takeBack(scan, ledgers) })
	if err != nil {
		return err
	}
	for _, l := range ledgers {
		if err := tx.exec(ctx, "UPDATE ledgers SET spent = ?, reserved = ? WHERE key = ?", amountBytes(l.Spent),
			amountBytes(l.Reserved), l.Key); err != nil {
			return err
		}
	}
	if err := tx.exec(ctx, "DELETE FROM wallet_sent WHERE run = ? AND seq >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := tx.exec(ctx, "DELETE FROM doubts WHERE run = ? AND step >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := tx.exec(ctx, "DELETE FROM reservations WHERE run = ? AND seq >= ?", t.id, int64(t.valid)); err != nil {
		return err
	}
	if err := tx.exec(ctx, "UPDATE reservations SET settled = NULL WHERE run = ? AND settled >= ?", t.id,
		int64(t.valid)); err != nil {
		return err
	}
	return tx.spendReservations(ctx, t.id)
}

// takeBack undoes in a ledger what the lost steps have done to one reservation.
func (t tail) takeBack(scan scanner, ledgers map[string]journal.Ledger) error {
	var row ledgerRow
	var seq, idx int64
	var amount, used [32]byte
	if err := scan(&row.key, &row.symbol, &row.decimals, &row.spent, &row.reserved, &seq, &idx, &amount,
		&used); err != nil {
		return err
	}
	name := row.key
	l, ok := ledgers[name]
	if !ok {
		l = row.ledger(name)
	}
	asset := l.Spent.Asset()
	whole, part := amountOf(asset, &amount), amountOf(asset, &used)
	var errs [2]error
	if uint64(seq) >= t.valid {
		l.Reserved, errs[0] = l.Reserved.Sub(whole)
		l.Spent, errs[1] = l.Spent.Add(whole)
	} else {
		l.Reserved, errs[0] = l.Reserved.Add(whole)
		l.Spent, errs[1] = l.Spent.Sub(part)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("ledger %s: %w: %w", name, journal.ErrCorrupt, err)
	}
	ledgers[name] = l
	return nil
}

// spendReservations has all that the run has reserved count as spent in full, whatever its later steps say: a step that
// is lost may have paid it. It stays reserved until one of them settles it, since the run's record says so.
func (tx *transaction) spendReservations(ctx context.Context, run int64) error {
	return tx.exec(ctx, "UPDATE reservations SET used = amount WHERE run = ? AND settled IS NULL", run)
}

package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/internal/journal"
)

// A mark is a small file beside the database that says how many groups of writes were acknowledged. The database counts
// them itself, in the transaction of each group (meta.writes). The mark is written after a group is on the disk and is
// itself never waited for, so it is never ahead of what was acknowledged: a database that has counted less has lost an
// end that was on the disk, be it a step, a revocation or a nonce.
//
// It has two slots, written in turn, so that a write that is cut short leaves the other one. The file is made, and
// waited for, before the first group is: one that is missing, or has no valid slot, says the same as one that is
// ahead of the database.
type mark struct{ file *os.File }

const (
	markSlot = 8 + 8 // the count, big-endian, and the start of its SHA-256
	markGap  = 4096  // from one slot to the next: no block of a disk has both
)

// openMark opens the mark of the database at path, and makes the file if it is not there.
func openMark(path string) (*mark, error) {
	if err := refuseLink(path + "-mark"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+"-mark", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &mark{f}, nil
}

// writeCount says that the database counts n and that this is on the disk. An error of it takes nothing back: what was
// written is, and an old mark is true.
func (m *mark) writeCount(n int64) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(n))
	sum := sha256.Sum256(b)
	_, err := m.file.WriteAt(append(b, sum[:8]...), n%2*markGap)
	return err
}

// readCount returns how many groups were acknowledged at least, or -1 if no slot is valid, and whether both are. If
// one is not, its write was cut short, and the group that it was for is one more than the other slot says.
func (m *mark) readCount() (n int64, whole bool, err error) {
	n, whole = -1, true
	for slot := range int64(2) {
		b := make([]byte, markSlot)
		if _, err := m.file.ReadAt(b, slot*markGap); err != nil && !isEnd(err) {
			return 0, false, err
		}
		says, sum := int64(binary.BigEndian.Uint64(b)), sha256.Sum256(b[:8])
		if string(sum[:8]) != string(b[8:]) || says < 0 || says%2 != slot {
			whole = false
			continue
		}
		n = max(n, says)
	}
	if !whole && n >= 0 {
		n++
	}
	return n, whole, nil
}

// rewrite writes the mark anew for a database that counts n, above 0, and waits until it is on the disk.
func (m *mark) rewrite(n int64) error {
	dir, err := os.Open(filepath.Dir(m.file.Name()))
	if err != nil {
		return err
	}
	defer dir.Close()
	return errors.Join(m.writeCount(n-1), m.writeCount(n), m.file.Sync(), dir.Sync())
}

// checkMark compares the mark with the database, before anything else is written. If an end is lost, the database
// itself remembers it until [DB.Recover] has dealt with it, as [writer.noteDamage] has it.
func (e *sqliteFile) checkMark(ctx context.Context, tx *transaction) error {
	// The mark first: another process that writes raises the database's count before the mark's.
	said, whole, err := e.mark.readCount()
	if err != nil {
		return err
	}
	var counted int64
	if err := tx.readRow(ctx, "SELECT value FROM meta WHERE key = 'writes'", nil, &counted); err != nil {
		return fmt.Errorf("count of writes: %w", err)
	}
	behind := said > counted || said < 0 && counted > 1
	if behind {
		if err := tx.exec(ctx, "INSERT INTO meta VALUES ('behind', '1') ON CONFLICT DO NOTHING"); err != nil {
			return err
		}
		if counted, err = tx.countGroup(ctx); err != nil { // the note must be durable, too
			return err
		}
	}
	// One that has counted nothing is new, or from before there was a count: nothing is expected of its mark.
	if behind || !whole {
		return e.mark.rewrite(counted)
	}
	return nil
}

// countGroup raises the count of groups by the one under way, and returns it.
func (tx *transaction) countGroup(ctx context.Context) (n int64, err error) {
	err = tx.readRow(ctx, "UPDATE meta SET value = value + 1 WHERE key = 'writes' RETURNING value", nil, &n)
	return n, err
}

// isBehind says whether the database has lost an end that was acknowledged.
func (db recovery) isBehind(ctx context.Context) (bool, error) {
	var one int
	err := db.readRow(ctx, "SELECT 1 FROM meta WHERE key = 'behind'", nil, &one)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// A mark names the newest step that was acknowledged, in a small file beside the database: run, step and a checksum.
// It is written after the step is on the disk and is itself never waited for, so it is never ahead of what was
// acknowledged. A database without the step that its mark names has lost an end that was on the disk.
type mark struct {
	file *os.File
	next []byte // of the group under way; nil if it has no step
}

const markSize = 2*36 + 8

func openMark(path string) (*mark, error) {
	f, err := os.OpenFile(path+"-mark", os.O_RDWR|os.O_CREATE, 0o600)
	return &mark{file: f}, err
}

// set notes the step of a commit; it counts once the group is durable.
func (m *mark) set(c *agent.Commit) {
	m.next = append(append(m.next[:0], c.Run.Bytes()...), c.Step.CID.Bytes()...)
}

// write says that the group is durable. An error of it takes nothing back: what was written is, and an old mark is true.
func (m *mark) write() {
	if len(m.next) == markSize-8 {
		sum := sha256.Sum256(m.next)
		_, _ = m.file.WriteAt(append(m.next, sum[:8]...), 0)
	}
	m.next = m.next[:0]
}

// readMark returns the step that the mark at path names, or the undefined one if there is no whole mark.
func readMark(path string) (run, step provenance.Link, err error) {
	f, err := os.Open(path + "-mark")
	if errors.Is(err, fs.ErrNotExist) {
		return run, step, nil
	}
	if err != nil {
		return run, step, err
	}
	defer f.Close()
	b := make([]byte, markSize)
	if _, err := io.ReadFull(f, b); ended(err) {
		return run, step, nil
	} else if err != nil {
		return run, step, err
	}
	if sum := sha256.Sum256(b[:72]); string(sum[:8]) != string(b[72:]) {
		return run, step, nil // torn: it says nothing
	}
	run, err = cid.Cast(b[:36])
	if err == nil {
		step, err = cid.Cast(b[36:72])
	}
	if err != nil {
		return provenance.Link{}, provenance.Link{}, nil
	}
	return run, step, nil
}

// behind says whether the step that the mark names is not in the journal, and not among what was cut.
func (db *DB) behind(ctx context.Context) (bool, error) {
	run, step, err := readMark(db.path)
	if err != nil || !step.Defined() {
		return false, err
	}
	var one int
	err = db.get(ctx, `SELECT 1 FROM steps JOIN runs ON run = id WHERE runs.cid = ?1 AND steps.cid = ?2
		UNION ALL SELECT 1 FROM cuts JOIN runs ON run = id WHERE runs.cid = ?1 AND cuts.cid = ?2 LIMIT 1`, []any{key(run), key(step)}, &one)
	if errors.Is(err, agent.ErrNotFound) {
		return true, nil
	}
	return false, err
}

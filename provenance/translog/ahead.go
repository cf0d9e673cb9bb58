package translog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A tree of files takes several writes for an entry, each brought to the disk, and what waits for an entry needs one:
// that the log itself, and not only the journal, cannot forget it. So an entry that is waited for is first noted in one
// file of the log's folder, with one write, and goes into the tree with those that come soon after it. A log whose
// notes the journal does not have is ErrBehind or ErrForked as one whose tree has more is.
//
// The file has a fixed size, so that a write changes nothing but bytes, and its places are written in turn. A note is
// overwritten once its entry is in the tree. Each has a sum over the log's name and key, so that one that was cut
// short, or is of another log, counts for nothing.

const (
	noteSize  = 8 + 72 + 8 // index, entry, start of the sum
	noteSlots = 1024
)

// errNoRoom says that the tree is too far behind for another note.
var errNoRoom = errors.New("the notes are full")

func aheadPath(dir string) string { return filepath.Join(dir, "ahead") }

// An ahead has the notes of one log. Its methods may be called by many goroutines at once.
type ahead struct {
	name string // of the log, with its key

	mu      sync.Mutex
	gathers *notes // guarded by mu: that the next write takes along; nil if none waits for it

	writing sync.Mutex
	file    *os.File // guarded by writing, as is all below
	places  []uint64 // the entry that each place has, plus 1; 0 for none
	next    int
	failed  error // after which nothing is noted any more
}

// notes go to the disk together.
type notes struct {
	entries []journal.Entry
	done    chan struct{} // closed when err is set
	err     error
}

// openAhead opens the notes in a log's folder, and makes the file if it is not there or has another size. Whatever it
// holds was looked at before.
func openAhead(dir, name string, slots int) (*ahead, error) {
	f, err := os.OpenFile(aheadPath(dir), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	a := &ahead{name: name, file: f, places: make([]uint64, slots)}
	err = a.fill()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// fill writes zeros over the file, and brings its name to the disk.
func (a *ahead) fill() error {
	dir, err := os.Open(filepath.Dir(a.file.Name()))
	if err != nil {
		return err
	}
	defer dir.Close()
	size := int64(len(a.places) * noteSize)
	_, err = a.file.WriteAt(make([]byte, size), 0)
	return errors.Join(err, a.file.Truncate(size), a.file.Sync(), dir.Sync())
}

// add returns once an entry is noted on the disk. Those that come while others are written share the next write.
// integrated says how many entries the tree has. errNoRoom says that it is too far behind.
func (a *ahead) add(e journal.Entry, integrated func() uint64) error {
	a.mu.Lock()
	n := a.gathers
	first := n == nil
	if first {
		n = &notes{done: make(chan struct{})}
		a.gathers = n
	}
	n.entries = append(n.entries, e)
	a.mu.Unlock()
	if !first {
		<-n.done
		return n.err
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	a.gathers = nil
	a.mu.Unlock()
	n.err = a.write(n.entries, integrated())
	close(n.done)
	return n.err
}

// write brings notes to the disk. writing is held.
func (a *ahead) write(entries []journal.Entry, integrated uint64) error {
	switch {
	case a.failed != nil:
		return a.failed
	case len(entries) > len(a.places):
		return errNoRoom
	}
	for i := range entries {
		if a.places[(a.next+i)%len(a.places)] > integrated {
			return errNoRoom
		}
	}
	for len(entries) > 0 { // in two parts if they go over the end
		part := entries[:min(len(entries), len(a.places)-a.next)]
		var b []byte
		for i, e := range part {
			b = appendNote(b, a.name, e)
			a.places[a.next+i] = e.Index + 1
		}
		if _, err := a.file.WriteAt(b, int64(a.next*noteSize)); err != nil {
			a.failed = err
			return err
		}
		a.next = (a.next + len(part)) % len(a.places)
		entries = entries[len(part):]
	}
	a.failed = a.file.Sync() // what a failed one left on the disk is not known, and a second one may lie
	return a.failed
}

func (a *ahead) close() error {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.failed = fs.ErrClosed
	return a.file.Close()
}

func appendNote(b []byte, name string, e journal.Entry) []byte {
	from := len(b)
	b = binary.BigEndian.AppendUint64(b, e.Index)
	b = append(b, e.Logged[:]...)
	sum := sumNote(name, b[from:])
	return append(b, sum[:]...)
}

func sumNote(name string, note []byte) (sum [8]byte) {
	h := sha256.New()
	_, _ = io.WriteString(h, "writ/log/ahead/1\n"+name+"\n")
	h.Write(note)
	copy(sum[:], h.Sum(nil))
	return sum
}

// readAhead returns the notes in a log's folder that are whole and of the log of that name.
func readAhead(dir, name string) (all []journal.Entry, err error) {
	f, err := os.Open(aheadPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, noteSlots*noteSize))
	if err != nil {
		return nil, err
	}
	for ; len(raw) >= noteSize; raw = raw[noteSize:] {
		note, sum := raw[:noteSize-8], raw[noteSize-8:noteSize]
		if got := sumNote(name, note); string(got[:]) != string(sum) {
			continue
		}
		logged, ok := provenance.ParseLogEntry(note[8:])
		if !ok {
			continue
		}
		all = append(all, journal.Entry{Index: binary.BigEndian.Uint64(note), Logged: logged})
	}
	return all, nil
}

// checkAhead compares the notes with the store, which must have what they say.
func checkAhead(ctx context.Context, l *Log) error {
	noted, err := readAhead(l.cfg.Dir, l.vkey)
	if err != nil {
		return err
	}
	for _, n := range noted {
		has, err := l.cfg.Store.Entries(ctx, n.Index, 1)
		switch {
		case err != nil:
			return err
		case len(has) == 0:
			return fmt.Errorf("entry %d was noted, and the journal has it not: %w", n.Index, ErrBehind)
		case has[0].Index != n.Index || has[0].Logged != n.Logged:
			return fmt.Errorf("entry %d was noted, and the journal has another: %w", n.Index, ErrForked)
		}
	}
	return nil
}

// noteEntry notes an entry of the store. It is false if the tree must be waited for.
func noteEntry(ctx context.Context, l *Log, e journal.Entry) (bool, error) {
	if err := l.cfg.Store.Fence(ctx); err != nil { // another process that has the store has the log too
		return false, err
	}
	err := l.ahead.add(e, func() uint64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.integrated
	})
	if err != nil && !errors.Is(err, errNoRoom) {
		l.log.ErrorContext(ctx, "the log does not take notes; the tree is waited for", "err", err)
	}
	return err == nil, nil
}

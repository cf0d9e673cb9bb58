package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// A logDamage is the part of a write-ahead log that SQLite would drop without a word: it reads up to the first frame
// whose checksum is wrong, and begins there anew.
type logDamage struct {
	file    string // where the log was put aside
	commits int    // transactions of which at least the end is there, behind the damage
}

// checkLog looks for damage in the write-ahead log of the database at path and, if there is any, keeps a copy of the
// log before SQLite touches it. A process that is killed leaves its last transaction without an end, which is no
// damage: nobody was told that it is durable. An end of a transaction behind a bad frame is: bytes that were there
// are gone.
func checkLog(path string) (*logDamage, error) {
	f, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := lostCommits(bufio.NewReaderSize(f, 1<<20))
	if err != nil || n == 0 {
		return nil, err
	}
	kept := path + "-wal.damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	to, err := os.OpenFile(kept, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(to, f)
	return &logDamage{kept, n}, errors.Join(err, to.Sync(), to.Close())
}

// lostCommits counts the transactions in a write-ahead log whose last frame stands behind a bad one.
// https://www.sqlite.org/fileformat2.html, section 4, "The Write-Ahead Log".
func lostCommits(r io.Reader) (int, error) {
	head := make([]byte, 32)
	if _, err := io.ReadFull(r, head); isEnd(err) {
		return 0, nil // nothing was ever written behind it
	} else if err != nil {
		return 0, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	magic := binary.BigEndian.Uint32(head)
	if magic == 0x377f0683 {
		order = binary.BigEndian
	}
	var sum [2]uint32
	sum = walSum(order, sum, head[:24])
	valid := magic&^1 == 0x377f0682 && sum == [2]uint32{binary.BigEndian.Uint32(head[24:]),
		binary.BigEndian.Uint32(head[28:])}
	salt := [8]byte(head[16:24])
	size := binary.BigEndian.Uint32(head[8:])
	if size < 512 || size > 65536 || size&(size-1) != 0 {
		if valid {
			return 0, nil // SQLite reads no such log either
		}
		size = 4096 // what our stores have
	}
	frame := make([]byte, 24+size)
	lost := 0
	for first := true; ; first = false {
		if _, err := io.ReadFull(r, frame); isEnd(err) {
			return lost, nil
		} else if err != nil {
			return lost, err
		}
		if first && !valid { // the header is damaged: the frames' own salt is what tells this log from older ones
			salt = [8]byte(frame[8:16])
		}
		ends := binary.BigEndian.Uint32(frame[4:]) != 0
		current := [8]byte(frame[8:16]) == salt
		if valid {
			sum = walSum(order, walSum(order, sum, frame[:8]), frame[24:])
			if valid = current && sum == [2]uint32{binary.BigEndian.Uint32(frame[16:]),
				binary.BigEndian.Uint32(frame[20:])}; valid {
				continue
			}
		}
		if current && ends && binary.BigEndian.Uint32(frame) != 0 {
			lost++
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func walSum(order binary.ByteOrder, s [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		s[0] += order.Uint32(b) + s[1]
		s[1] += order.Uint32(b[4:]) + s[0]
	}
	return s
}

// noteDamage remembers in the store itself that its log was damaged, until [DB.Recover] has dealt with it: whoever
// opens the store first may not be the server.
func (tx *transaction) noteDamage(ctx context.Context, d *logDamage) error {
	return tx.exec(ctx, "INSERT INTO meta VALUES ('damaged', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		fmt.Sprintf("%d %s", d.commits, d.file))
}

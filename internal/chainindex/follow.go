package chainindex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/sqlfile"
)

// How the chain is read.
const (
	firstSpan = 10_000 // blocks of a range, until an endpoint refuses it
	maxSpan   = 100_000
	nearHead  = 16  // blocks that are read one by one, each by its hash
	maxMarks  = 256 // of a source; a deeper change of the chain has it read anew
	maxPause  = time.Minute
)

// errChanged says that the chain has changed while it was read.
var errChanged = errors.New("the chain has changed while it was read")

// Follow reads the sources until ctx ends. What fails is said once in the log, and tried again.
func (x *Index) Follow(ctx context.Context) {
	failed := map[string]bool{}
	for {
		more, trouble := false, false
		for _, s := range x.sources {
			did, err := x.step(ctx, s)
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errors.Is(err, errChanged) {
				trouble = true
				if !failed[s.name] {
					x.log.WarnContext(ctx, "events of a contract cannot be read now; it is tried again", "index", s.name,
						"err", err)
				}
			} else if failed[s.name] {
				x.log.InfoContext(ctx, "events of a contract are read again", "index", s.name)
			}
			failed[s.name] = err != nil && !errors.Is(err, errChanged)
			more = more || did
		}
		pause := x.pause
		if trouble {
			pause = min(10*x.pause, maxPause)
		} else if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// step takes a source a range further, or back to where the chain has changed. did is false if it was at the end.
func (x *Index) step(ctx context.Context, s *Source) (did bool, err error) {
	head, err := x.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("newest block: %w", err)
	}
	newest := head.Number.Uint64()
	next, full, err := x.findNext(ctx, s, newest)
	if err != nil || full || next > newest {
		return false, err
	}
	if newest < nearHead || next > newest-nearHead {
		return true, x.readBlock(ctx, s, next)
	}
	return true, x.readRange(ctx, s, next, newest-nearHead)
}

// findNext says which block of a source is read next, and undoes what was read of blocks that the chain has not any
// more. full says that there is no room for more events.
func (x *Index) findNext(ctx context.Context, s *Source, newest uint64) (next uint64, full bool, err error) {
	most := int64(math.MaxInt64)
	for {
		var m mark
		var there bool
		var kept int64
		err = x.file.Read(ctx, func(c *sqlite.Conn) error {
			if m, there, err = readMark(c, s.name, most); err != nil {
				return err
			}
			return sqlfile.Each(c, "SELECT kept FROM sources WHERE name = ?",
				func(r *sqlite.Stmt) error { kept = r.ColumnInt64(0); return nil }, s.name)
		})
		if err != nil {
			return 0, false, err
		}
		if there && m.number > newest { // a node that is behind, or a chain that has become shorter
			most = int64(newest)
			continue
		}
		if there {
			now, err := x.client.HeaderByNumber(ctx, new(big.Int).SetUint64(m.number))
			if err != nil {
				return 0, false, fmt.Errorf("block %d: %w", m.number, err)
			}
			if now.Hash() != m.hash {
				most = int64(m.number) - 1
				continue
			}
		}
		last := int64(s.from) - 1
		if there {
			last = int64(m.number)
		}
		return x.cutAfter(ctx, s, last, most, newest, kept)
	}
}

// cutAfter undoes what was read after a source's last block that the chain still has, if the chain has others there.
func (x *Index) cutAfter(
	ctx context.Context, s *Source, last, most int64, newest uint64, kept int64,
) (next uint64, full bool, err error) {
	switch {
	case most == math.MaxInt64:
		return uint64(last + 1), kept >= maxEvents, nil
	case most == int64(newest): // what stands on the newest block here may still be on the chain
		return newest + 1, false, nil
	}
	x.log.InfoContext(ctx, "the chain has other blocks than before; their events are read anew", "index", s.name,
		"after", last)
	err = x.file.Write(ctx, func(c *sqlite.Conn) error { return undo(c, s.name, last) })
	return uint64(last + 1), false, err
}

// readBlock reads the events of one block by its hash, on the block before.
func (x *Index) readBlock(ctx context.Context, s *Source, number uint64) error {
	h, err := x.client.HeaderByNumber(ctx, new(big.Int).SetUint64(number))
	if err != nil {
		return fmt.Errorf("block %d: %w", number, err)
	}
	hash := h.Hash()
	logs, err := x.client.FilterLogs(ctx, ethereum.FilterQuery{
		BlockHash: &hash, Addresses: []common.Address{s.address}, Topics: [][]common.Hash{{s.event.ID}},
	})
	if err != nil {
		return fmt.Errorf("events of block %d: %w", number, err)
	}
	list, err := x.readEvents(ctx, s, logs, number, number, map[uint64]*types.Header{number: h})
	if err != nil {
		return err
	}
	return x.file.Write(ctx, func(c *sqlite.Conn) error {
		before, there, err := readMark(c, s.name, math.MaxInt64)
		if err == nil && there && before.number+1 == number && before.hash != h.ParentHash {
			err = errChanged // between the look at the mark and now
		}
		if err != nil {
			return err
		}
		return addEvents(c, s.name, list, mark{number, hash, int64(h.Time)})
	})
}

// readRange reads the events of blocks that are not among the newest.
func (x *Index) readRange(ctx context.Context, s *Source, first, last uint64) error {
	span, refused, err := x.readSpan(ctx, s)
	if err != nil {
		return err
	}
	last = min(last, first+span-1)
	end, err := x.client.HeaderByNumber(ctx, new(big.Int).SetUint64(last))
	if err != nil {
		return fmt.Errorf("block %d: %w", last, err)
	}
	logs, err := x.client.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: new(big.Int).SetUint64(first), ToBlock: new(big.Int).SetUint64(last),
		Addresses: []common.Address{s.address}, Topics: [][]common.Hash{{s.event.ID}},
	})
	if err != nil {
		// It has just told a block: it is the range that it does not want, so long as there is a smaller one.
		if asked := last - first + 1; asked > 1 && ctx.Err() == nil {
			return x.keepSpan(ctx, s, max(asked/2, 1), asked)
		}
		return fmt.Errorf("events of blocks %d to %d: %w", first, last, err)
	}
	list, err := x.readEvents(ctx, s, logs, first, last, map[uint64]*types.Header{last: end})
	if err != nil {
		return err
	}
	again, err := x.client.HeaderByNumber(ctx, end.Number)
	if err != nil {
		return fmt.Errorf("block %d: %w", last, err)
	}
	if again.Hash() != end.Hash() {
		return errChanged
	}
	err = x.file.Write(ctx, func(c *sqlite.Conn) error {
		return addEvents(c, s.name, list, mark{last, end.Hash(), int64(end.Time)})
	})
	if err == nil && last-first+1 == span {
		span, refused = widen(span, refused)
		err = x.keepSpan(ctx, s, span, refused)
	}
	return err
}

// widen makes a range that was answered wider, and comes ever closer to the smallest one that was refused. Where it is
// close, that one slowly counts for less: what was refused may have been full of events.
func widen(span, refused uint64) (wider, stillRefused uint64) {
	switch {
	case refused == 0 || refused <= span:
		return min(2*span, maxSpan), 0
	case refused-span <= span/8:
		return span, refused + refused/64 + 1
	}
	return span + (refused-span)/2, refused
}

func (x *Index) readSpan(ctx context.Context, s *Source) (span, refused uint64, err error) {
	err = x.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, "SELECT span, refused FROM sources WHERE name = ?", func(r *sqlite.Stmt) error {
			span, refused = uint64(r.ColumnInt64(0)), uint64(r.ColumnInt64(1))
			return nil
		}, s.name)
	})
	return max(span, 1), refused, err
}

func (x *Index) keepSpan(ctx context.Context, s *Source, span, refused uint64) error {
	return x.file.Write(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Exec(c, "UPDATE sources SET span = ?, refused = ? WHERE name = ?", int64(span), int64(refused), s.name)
	})
}

// readEvents decodes events, and finds the times of their blocks. headers are those that are known.
func (x *Index) readEvents(
	ctx context.Context, s *Source, logs []types.Log, first, last uint64, headers map[uint64]*types.Header,
) (list []event, err error) {
	for i := range logs {
		l := &logs[i]
		if l.Removed || l.Address != s.address {
			continue
		}
		if l.BlockNumber < first || l.BlockNumber > last {
			return nil, fmt.Errorf("the endpoint tells an event of block %d among those of %d to %d", l.BlockNumber, first,
				last)
		}
		said, ok := s.row(l)
		if !ok {
			continue
		}
		h := headers[l.BlockNumber]
		if h == nil && l.BlockTimestamp == 0 {
			if h, err = x.client.HeaderByNumber(ctx, new(big.Int).SetUint64(l.BlockNumber)); err != nil {
				return nil, fmt.Errorf("block %d: %w", l.BlockNumber, err)
			}
			headers[l.BlockNumber] = h
		}
		at := int64(l.BlockTimestamp)
		if h != nil {
			if at = int64(h.Time); h.Hash() != l.BlockHash {
				return nil, errChanged
			}
		}
		list = append(list, event{l.BlockNumber, uint64(l.Index), at, said})
	}
	return list, nil
}

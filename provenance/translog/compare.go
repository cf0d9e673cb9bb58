package translog

import (
	"bytes"
	"context"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"
)

// Compare says whether the journal's entries are those of a checkpoint of its log: [ErrBehind] if it has fewer of them,
// [ErrForked] if others. Who signed the checkpoint is not looked at. It writes nothing, so that it may be called beside
// a server; entries come after the checkpoint was read.
func Compare(ctx context.Context, store journal.EntryReader, raw []byte) error {
	c, err := logproof.ParseCheckpoint(raw)
	if err != nil {
		return err
	}
	states, err := rootsOf(ctx, store, c.Size, nil)
	if err != nil {
		return err
	}
	switch mine := states[len(states)-1]; {
	case mine.size < c.Size:
		return fmt.Errorf("the log has %d entries and the journal %d: %w", c.Size, mine.size, ErrBehind)
	case !bytes.Equal(mine.root, c.Root[:]):
		return fmt.Errorf("the log, of size %d, has another root than the journal's entries: %w", c.Size, ErrForked)
	}
	return nil
}

package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/provenance"
)

// maxJudged bounds a record that the server verifies itself, in bytes.
const maxJudged = 64 << 20

// judgeRun verifies a run from its record alone, as anybody with the file and its keys does.
func (n *Node) judgeRun(ctx context.Context, run provenance.Link) (*provenance.Report, error) {
	var car bounded
	if _, err := archive.Export(ctx, n.db, &car, run); err != nil {
		return nil, fmt.Errorf("verify run %s: %w", run, err)
	}
	keys, err := archive.Keys(ctx, n.db, run)
	if err != nil {
		return nil, fmt.Errorf("verify run %s: %w", run, err)
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		return nil, fmt.Errorf("verify run %s: %w", run, err)
	}
	return audit.Verify(src, audit.Options{Keys: keys, OperatorKey: n.key.Public().(ed25519.PublicKey)}), nil
}

// bounded is a buffer that is no larger than [maxJudged].
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxJudged {
		return 0, fmt.Errorf("the record has more than %d bytes; verify it elsewhere: writ export, writ verify", maxJudged)
	}
	return b.Buffer.Write(p)
}

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/datadir"
)

// keepReceipt stores the receipt of a run's newest head, and returns where; "" if the server has no log, or the log has
// not published the head in time. A receipt is what later shows that the operator took a step away.
func (a *app) keepReceipt(ctx context.Context, cl *client.Client, run string) string {
	text, err := cl.Receipt(ctx, run, evidence.ReceiptWait)
	if err != nil || text == "" {
		if err != nil {
			a.Note("no receipt: %s", err)
		}
		return ""
	}
	dir, err := a.HomeDir()
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "receipts"), 0o700)
	}
	path := filepath.Join(dir, "receipts", run+".tlog-proof")
	if err == nil {
		err = datadir.WriteSecret(path, []byte(text))
	}
	if err != nil {
		a.Note("the receipt was not kept: %s", err)
		return ""
	}
	return path
}

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/provenance"
)

// receiptWait bounds how long a command stays for a receipt: the log publishes a checkpoint a second, or more often.
const receiptWait = 3 * time.Second

// keepReceipt stores the receipt of a run's newest head, and returns where; "" if the server has no log, or the log has
// not published the head in time. A receipt is what later shows that the operator took a step away.
func (a *app) keepReceipt(ctx context.Context, cl *client.Client, run string) string {
	text, err := cl.Receipt(ctx, run, receiptWait)
	if err != nil || text == "" {
		if err != nil {
			a.note("no receipt: %s", err)
		}
		return ""
	}
	dir, err := a.home()
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "receipts"), 0o700)
	}
	path := filepath.Join(dir, "receipts", run+".tlog-proof")
	if err == nil {
		err = writeSecret(path, []byte(text))
	}
	if err != nil {
		a.note("the receipt was not kept: %s", err)
		return ""
	}
	return path
}

// logOptions reads what a verifier is told of the operator's wallet and of the log.
func logOptions(wallet, key, policy string, receipts []string) (o provenance.LogOptions, err error) {
	var text []byte
	if policy != "" {
		if text, err = readSource(policy); err != nil {
			return o, err
		}
	}
	if key != "" && strings.Count(key, "+") < 2 { // a file that holds it
		b, err := readSource(key)
		if err != nil {
			return o, err
		}
		key = strings.TrimSpace(string(b))
	}
	if o, err = audit.ParseLog(wallet, key, text); err != nil {
		return o, usage("%s", err)
	}
	for _, name := range receipts {
		b, err := readSource(name)
		if err != nil {
			return o, err
		}
		o.Receipts = append(o.Receipts, b)
	}
	return o, nil
}
